// The report of a pass as a table for a terminal and as CSV.
#include <algorithm>

#include "compress/report.h"
#include "core/number_text.h"

namespace espalier {
namespace {

constexpr std::size_t kColumns = 110;
constexpr std::size_t kLongestName = 24;

// A layer before and after the pass; null: there is none.
struct Row {
  const LayerSize* before = nullptr;
  const LayerSize* after = nullptr;
  const LayerSize& any() const { return after ? *after : *before; }
};

const LayerSize* find_layer(const ModelSize& size, const std::string& name) {
  for (const LayerSize& layer : size.layers) {
    if (layer.name == name) return &layer;
  }
  return nullptr;
}

// Layers by name, in the order of the model before; new ones stand behind those whose place they take.
std::vector<Row> rows_of(const Report& report) {
  std::vector<Row> rows;
  for (const LayerSize& layer : report.before.layers) {
    rows.push_back({&layer, find_layer(report.after, layer.name)});
  }
  std::size_t place = 0;
  for (const LayerSize& layer : report.after.layers) {
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&](const Row& known) { return known.after == &layer; });
    if (row != rows.end()) {
      place = static_cast<std::size_t>(row - rows.begin()) + 1;
      continue;
    }
    while (place < rows.size() && !rows[place].after) ++place;
    rows.insert(rows.begin() + static_cast<std::ptrdiff_t>(place++), {nullptr, &layer});
  }
  return rows;
}

struct Column {
  std::string_view name;
  std::int64_t (*of)(const LayerSize& layer);
};
constexpr Column kNumbers[] = {
    {"parameters", [](const LayerSize& layer) { return layer.parameters; }},
    {"nonzeros", [](const LayerSize& layer) { return layer.nonzeros; }},
    {"bits", [](const LayerSize& layer) { return std::int64_t{layer.bits}; }},
    {"bytes", [](const LayerSize& layer) { return layer.bytes; }},
    {"macs", [](const LayerSize& layer) { return layer.macs; }},
};

// --- numbers ---

std::string percent(double share) { return espalier::percent(share, 2); }

std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

// "431k": where there is no room for "431,080".
std::string compact(std::int64_t number) {
  constexpr const char* kUnits[] = {"", "k", "M", "G", "T"};
  if (number < 1000) return std::to_string(number);
  double scaled = static_cast<double>(number);
  int unit = 0;
  for (; scaled >= 999.5 && unit < 4; ++unit) scaled /= 1000;
  const int decimals = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
  return (decimals > 0 ? decimal(scaled, decimals)
                       : std::to_string(static_cast<std::int64_t>(scaled + 0.5))) +
         kUnits[unit];
}

using NumberText = std::string (*)(std::int64_t);

// "8,000 -> 800", or one number where nothing changed.
std::string change(const Row& row, const Column& column, NumberText text) {
  const std::string before = row.before ? text(column.of(*row.before)) : "-";
  const std::string after = row.after ? text(column.of(*row.after)) : "-";
  return before == after ? before : before + " -> " + after;
}

std::string factor(std::int64_t before, std::int64_t after) {
  if (before == after) return "";
  return after == 0 ? "-" : decimal(static_cast<double>(before) / static_cast<double>(after), 1) + "x";
}

// --- the table ---

using Lines = std::vector<std::vector<std::string>>;

// Columns as wide as their widest cell, the first `left` of them flush left.
std::string aligned(const Lines& lines, std::size_t left) {
  std::vector<std::size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const auto& line : lines) {
    std::string row;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string padding(widths[i] - line[i].size(), ' ');
      row += (i > 0 ? "  " : "") + (i < left ? line[i] + padding : padding + line[i]);
    }
    text += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string shortened(const std::string& name) {
  return name.size() <= kLongestName ? name : name.substr(0, kLongestName - 2) + "..";
}

std::string layers_table(const Report& report, NumberText text) {
  Lines lines{{"layer", "type", "parameters", "non-zeros", "bits", "bytes", "multiply-adds"}};
  const auto add = [&](const Row& row, const std::string& name, const std::string& type) {
    std::vector<std::string>& line = lines.emplace_back(std::vector{name, type});
    for (const Column& column : kNumbers) line.push_back(change(row, column, text));
  };
  for (const Row& row : rows_of(report)) add(row, shortened(row.any().name), row.any().type);
  add({&report.before.total, &report.after.total}, "total", "");
  std::vector<std::string>& line = lines.emplace_back(std::vector<std::string>{"smaller by", ""});
  for (const Column& column : kNumbers) {
    line.push_back(factor(column.of(report.before.total), column.of(report.after.total)));
  }
  return aligned(lines, 2);
}

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    widest = std::max(widest, end - at);
    at = end + 1;
  }
  return widest;
}

std::string accuracies_table(const Report& report) {
  const std::string epochs =
      " for " + std::to_string(report.finetune_epochs) + (report.finetune_epochs == 1 ? " epoch" : " epochs");
  const bool tuned = report.finetune_epochs > 0;
  const struct {
    const std::optional<Accuracy>& accuracy;
    std::string name;
  } rows[] = {
      {report.accuracy_before, "before"},
      {report.accuracy_after, "after " + report.pass},
      {report.accuracy_finetuned, tuned ? "fine-tuned" + epochs : "at the end"},
      {report.accuracy_control, tuned ? "control, trained" + epochs : "control"},
      {report.source_before, "source before"},
      {report.source_after, "source after"},
  };
  Lines lines{{"accuracy", "validation", "test"}};
  for (const auto& row : rows) {
    if (row.accuracy)
      lines.push_back({row.name, percent(row.accuracy->validation), percent(row.accuracy->test)});
  }
  return lines.size() > 1 ? "\n" + aligned(lines, 1) : "";
}

// "name  text", broken between words and indented under the text.
std::string note_lines(const std::string& name, const std::string& note, std::size_t indent) {
  std::string text;
  std::string line = name + std::string(indent - name.size(), ' ');
  std::string rest = note;
  while (line.size() + rest.size() > kColumns) {
    const std::size_t room = kColumns - line.size();
    std::size_t end = rest.rfind(' ', room);
    if (end == std::string::npos || end == 0) end = std::min(room, rest.size());
    text += line + rest.substr(0, end) + "\n";
    line.assign(indent, ' ');
    rest = rest.substr(std::min(rest.find_first_not_of(' ', end), rest.size()));
  }
  return text + line + rest + "\n";
}

std::string notes_table(const Report& report) {
  std::size_t indent = 0;
  for (const auto& note : report.notes) indent = std::max(indent, note.first.size() + 2);
  std::string text = report.notes.empty() ? "" : "\n";
  for (const auto& [name, note] : report.notes) {
    if (indent > kColumns / 2) {
      text += note_lines("", name + ": " + note, 0);
    } else {
      text += note_lines(name, note, indent);
    }
  }
  return text;
}

// --- CSV (RFC 4180) ---

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

std::string csv_row(const Row& row) {
  std::string text = quoted(row.any().name) + "," + row.any().type;
  for (const Column& column : kNumbers) {
    text += "," + (row.before ? std::to_string(column.of(*row.before)) : "");
    text += "," + (row.after ? std::to_string(column.of(*row.after)) : "");
  }
  return text + "\n";
}

}  // namespace

std::string to_table(const Report& report) {
  std::string text = layers_table(report, with_commas);
  if (widest_line(text) > kColumns) text = layers_table(report, compact);
  text += accuracies_table(report) + notes_table(report);
  if (report.revived > 0) {
    text += "\nbroken: " + with_commas(report.revived) + " pruned weights are not 0\n";
  }
  return text;
}

std::string to_csv(const Report& report) {
  std::string text = "layer,type";
  for (const Column& column : kNumbers) {
    text += "," + std::string(column.name) + "_before," + std::string(column.name) + "_after";
  }
  text += "\n";
  for (const Row& row : rows_of(report)) text += csv_row(row);
  return text + csv_row({&report.before.total, &report.after.total});
}

}  // namespace espalier
