// espalier inspect: layers, shapes, parameters, multiply-adds and memory of a model.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <optional>

#include "cli/command.h"
#include "cli/common.h"
#include "compress/report.h"
#include "core/error.h"
#include "data/load.h"
#include "graph/plan.h"
#include "ops/op.h"
#include "runtime/tail.h"

namespace espalier::cli {
namespace {

struct InspectOptions {
  std::string model;
  int batch = PlanOptions::kDefaultBatch;
  bool json = false;
  EngineOptions engine;
};

struct Subject {
  Graph graph;
  std::optional<TrainingState> training;
  std::string weights_sha256;     // empty: it has no weights yet
  std::optional<ModelSize> size;  // of a model with weights
  bool compressed = false;
  std::vector<real> value;  // its parameters

  // Of a file: what it says besides the model, and what its parts take where its format knows that.
  std::string_view format;
  std::int64_t file_bytes = 0;
  std::vector<std::string> labels;
  std::string pipeline;
  std::vector<FilePart> parts;
};

// Whether anything is pruned or quantized.
bool is_compressed(const Graph& graph, const Model& model) {
  const auto quantized = [](const Node& node) {
    return node.attributes.quantize.scheme || node.op == &kFakeQuantize;
  };
  return !model.parameters.mask.empty() || std::any_of(graph.nodes.begin(), graph.nodes.end(), quantized);
}

// A preset's name, a SPEC.json, or a model file: what a format recognises, or no text.
Subject open(const std::string& name) {
  std::error_code ignored;
  if (!find_preset(name) && std::filesystem::exists(name, ignored)) {
    const std::vector<std::uint8_t> bytes = read_file(name);
    const std::size_t start = std::min<std::size_t>(bytes.size(), 8);
    if (start == 0 || std::memchr(bytes.data(), 0, start) || recognised_format(bytes)) {
      ModelFile file = load_model_file({name, bytes});
      const Model& model = *file.model;
      Subject subject{.graph = {},
                      .training = std::move(file.training),
                      .weights_sha256 = sha256_hex(weight_bytes(model))};
      subject.size = measure(model);
      subject.compressed = is_compressed(model.graph, model);
      subject.value.assign(model.parameters.value.begin(), model.parameters.value.end());
      subject.format = file.format;
      subject.file_bytes = static_cast<std::int64_t>(bytes.size());
      // Written again it is the same file, so these are its own parts.
      (void)find_file_format(file.format)
          .save(model, {.labels = file.labels, .pipeline = file.pipeline, .parts = &subject.parts});
      subject.labels = std::move(file.labels);
      subject.pipeline = std::move(file.pipeline);
      subject.graph = std::move(file.model->graph);
      return subject;
    }
  }
  return {
      .graph = compile(open_spec(name, nullptr, "MODEL")), .training = std::nullopt, .weights_sha256 = ""};
}

// Null: the layer has no parameters, or the model no weights.
const LayerSize* size_of(const Subject& subject, const Node& node) {
  if (!subject.size) return nullptr;
  for (const LayerSize& layer : subject.size->layers) {
    if (layer.name == node.name) return &layer;
  }
  return nullptr;
}

double sparsity_of(const LayerSize& size) {
  return 1 - static_cast<double>(size.nonzeros) / static_cast<double>(size.parameters);
}

// "90.0 % zeros, 4 bits symmetric per channel", "8 bits, steps of 0.0123, zero at 12"
std::string compression_of(const Subject& subject, const Node& node) {
  if (node.op == &kFakeQuantize) {
    std::string text = std::to_string(node.attributes.bits) + " bits";
    if (!subject.value.empty()) {
      const CodeGrid grid = grid_of(node, subject.value.data());
      text +=
          ", steps of " + short_number(double{grid.scale}) + ", zero at " + std::to_string(grid.zero_point);
    }
    return text;
  }
  const LayerSize* size = size_of(subject, node);
  if (!size) return "";
  std::string text;
  if (size->nonzeros < size->parameters) text = percent(sparsity_of(*size)) + " zeros";
  const WeightQuantization& q = node.attributes.quantize;
  if (q.scheme) {
    constexpr const char* kGroups[] = {"tensor", "channel", "group"};
    text += (text.empty() ? "" : ", ") + std::to_string(q.bits) + (q.bits == 1 ? " bit " : " bits ") +
            std::string(q.scheme->name);
    if (!q.scheme->codebook) text += std::string(" per ") + kGroups[static_cast<int>(q.granularity)];
  }
  return text;
}

nlohmann::json compression_json(const LayerSize& size, const Node& node) {
  const QuantizationScheme* scheme = node.attributes.quantize.scheme;
  return {{"nonzeros", size.nonzeros},
          {"sparsity", sparsity_of(size)},
          {"bits", size.bits},
          {"bytes", size.bytes},
          {"scheme", scheme ? nlohmann::json(scheme->name) : nlohmann::json(nullptr)}};
}

std::int64_t macs_of(const Node& node) { return node.op->macs ? node.op->macs(node) : 0; }

// What the engine asks for at once: the plan's memory, the weights and, in training, their gradients.
std::int64_t memory(const Graph& graph, int lanes, const InspectOptions& options, bool training) {
  const Plan plan = make_plan(
      graph, lanes, {.training = training, .max_batch = options.batch, .threads = options.engine.threads});
  const std::int64_t slabs = graph.slab_size + (training ? graph.trainable_size : 0);
  return (plan.arena_size + slabs) * static_cast<std::int64_t>(sizeof(real));
}

// Any text is kept, so it need not be JSON.
nlohmann::json pipeline_of(const Subject& subject) {
  if (subject.pipeline.empty()) return nullptr;
  const nlohmann::json pipeline = nlohmann::json::parse(subject.pipeline, nullptr, false);
  return pipeline.is_object() ? pipeline : nlohmann::json(subject.pipeline);
}

nlohmann::json as_json(const Subject& subject, const Kernels& kernels, const InspectOptions& options) {
  using nlohmann::json;
  const Graph& graph = subject.graph;
  json layers = json::array();
  for (const Node& node : graph.nodes) {
    json parameters = json::array();
    for (const ParameterInfo& info : node.parameters) {
      parameters.push_back({{"name", info.name}, {"shape", info.shape}, {"trainable", info.trainable}});
    }
    layers.push_back({{"name", node.name},
                      {"type", node.op->name},
                      {"output", {node.out_shape.channels, node.out_shape.height, node.out_shape.width}},
                      {"parameters", node.parameter_count()},
                      {"macs", macs_of(node)},
                      {"tensors", parameters}});
    if (const LayerSize* size = size_of(subject, node)) layers.back().update(compression_json(*size, node));
    if (node.op == &kFakeQuantize) {
      layers.back()["bits"] = node.attributes.bits;
      if (!subject.value.empty()) {
        const CodeGrid grid = grid_of(node, subject.value.data());
        layers.back().update({{"scale", grid.scale}, {"zero_point", grid.zero_point}});
      }
    }
  }
  json compression = nullptr;
  if (subject.size) {
    const LayerSize& total = subject.size->total;
    compression = {{"nonzeros", total.nonzeros}, {"bits", total.bits}, {"bytes", total.bytes}};
  }
  json training = nullptr;
  if (subject.training) {
    training = {{"config", to_json(subject.training->config)},
                {"step", subject.training->step},
                {"total_steps", subject.training->total_steps}};
  }
  json file = nullptr;
  if (!subject.format.empty()) {
    file = {{"format", subject.format},
            {"bytes", subject.file_bytes},
            {"parts", parts_json(subject.parts)},
            {"labels", subject.labels},
            {"pipeline", pipeline_of(subject)}};
  }
  return {{"model", graph.name},
          {"file", file},
          {"input", {graph.input.shape.channels, graph.input.shape.height, graph.input.shape.width}},
          {"classes", graph.classes},
          {"parameters", graph.parameter_count()},
          {"macs", graph.macs()},
          {"layers", layers},
          {"compression", compression},
          {"memory",
           {{"batch", options.batch},
            {"threads", options.engine.threads},
            {"kernels", kernels.name},
            {"training_bytes", memory(graph, kernels.lanes, options, true)},
            {"inference_bytes", memory(graph, kernels.lanes, options, false)}}},
          {"training", training},
          {"weights_sha256", subject.weights_sha256.empty() ? json(nullptr) : json(subject.weights_sha256)},
          {"spec", to_spec(graph)}};
}

void print_row(std::size_t width, const std::string& name, std::string_view type, const std::string& output,
               const std::string& parameters, const std::string& macs, const std::string& compression = "") {
  std::cout << std::left << std::setw(static_cast<int>(width) + 2) << name << std::setw(17) << type
            << std::setw(12) << output << std::right << std::setw(12) << parameters << std::setw(14) << macs
            << (compression.empty() ? "" : "  ") << compression << '\n';
}

void print_table(const Subject& subject, const Kernels& kernels, const InspectOptions& options) {
  const Graph& graph = subject.graph;
  std::cout << graph.name << ": " << to_string(graph.input.shape) << " images, " << graph.classes
            << " classes\n\n";
  std::size_t width = 5;
  for (const Node& node : graph.nodes) width = std::max(width, node.name.size());
  print_row(width, "layer", "type", "output", "parameters", "multiply-adds",
            subject.compressed ? "compression" : "");
  for (const Node& node : graph.nodes) {
    const auto number = [](std::int64_t n) { return n == 0 ? std::string("-") : with_commas(n); };
    print_row(width, node.name, node.op->name, to_string(node.out_shape), number(node.parameter_count()),
              number(macs_of(node)), subject.compressed ? compression_of(subject, node) : "");
  }
  print_row(width, "total", "", "", with_commas(graph.parameter_count()), with_commas(graph.macs()));
  if (subject.compressed) {
    const LayerSize& total = subject.size->total;
    std::cout << "\nweights  " << with_commas(total.nonzeros) << " of " << with_commas(total.parameters)
              << " parameters are not 0; " << byte_size(total.bytes) << " at their bits, "
              << byte_size(4 * total.parameters) << " as floats\n";
  }
  std::cout << "\nmemory   " << byte_size(memory(graph, kernels.lanes, options, true)) << " to train, "
            << byte_size(memory(graph, kernels.lanes, options, false)) << " to run (batch " << options.batch
            << ", " << kernels.name << " kernels, threads " << options.engine.threads << ")\n";
  if (subject.training) {
    const TrainingState& state = *subject.training;
    std::cout << "training " << (state.finished() ? "finished: " : "stopped after ")
              << with_commas(state.step) << " of " << with_commas(state.total_steps) << " steps, "
              << state.config.optimizer << ", seed " << state.config.seed << '\n';
  }
  if (!subject.weights_sha256.empty()) std::cout << "weights  sha256 " << subject.weights_sha256 << '\n';
}

// "tiny-lenet5: prune, finetune, quantize"
std::string words_of(const nlohmann::json& pipeline) {
  if (!pipeline.is_object()) return dump(pipeline);
  std::string passes;
  const auto list = pipeline.find("passes");
  if (list != pipeline.end() && list->is_array()) {
    for (const nlohmann::json& pass : *list) {
      if (!pass.is_object()) continue;
      passes += (passes.empty() ? "" : ", ") + dump(pass.value("pass", nlohmann::json()));
    }
  }
  std::erase(passes, '"');
  const auto name = pipeline.find("name");
  const bool named = name != pipeline.end() && name->is_string() && !name->get<std::string>().empty();
  return (named ? name->get<std::string>() + ": " : "") + passes;
}

void print_file(const Subject& subject) {
  if (subject.format.empty()) return;
  std::cout << "\nfile     " << subject.format << ", " << with_commas(subject.file_bytes) << " bytes\n";
  if (!subject.labels.empty()) {
    std::string labels;
    for (const std::string& label : subject.labels) labels += (labels.empty() ? "" : ", ") + label;
    std::cout << "labels   " << labels << '\n';
  }
  if (!subject.pipeline.empty()) std::cout << "made by  " << words_of(pipeline_of(subject)) << '\n';
  if (subject.parts.empty()) return;
  std::size_t width = 4;
  for (const FilePart& part : subject.parts) width = std::max(width, part.name.size());
  std::cout << '\n'
            << std::left << std::setw(static_cast<int>(width)) << "part" << std::right << std::setw(12)
            << "bytes\n";
  for (const FilePart& part : subject.parts) {
    std::cout << std::left << std::setw(static_cast<int>(width)) << part.name << std::right << std::setw(11)
              << with_commas(part.bytes) << '\n';
  }
}

int run(const InspectOptions& options) {
  const Subject subject = open(options.model);
  const Kernels& kernels = options.engine.select();
  if (options.json) {
    std::cout << dump(as_json(subject, kernels, options), 2) << '\n';
  } else {
    print_table(subject, kernels, options);
    print_file(subject);
  }
  return kDone;
}

}  // namespace

Command add_inspect(CLI::App& espalier) {
  CLI::App* app = espalier.add_subcommand("inspect", "Show a model's layers, sizes and cost");
  const auto options = std::make_shared<InspectOptions>();
  app->add_option("MODEL", options->model, "A model file, a preset's name or a SPEC.json")->required();
  app->add_option("--batch", options->batch, "Batch that the memory is counted for")
      ->check(from_to(1, 4096))
      ->capture_default_str()
      ->type_name("N");
  options->engine.add_to(*app);
  app->add_flag("--json", options->json, "Print one JSON object instead of a table");
  app->footer(
      "Examples:\n"
      "  espalier inspect lenet5\n"
      "  espalier inspect small.safetensors --json\n"
      "  espalier inspect tiny.espalier     # its layers, labels, the pipeline that made it, bytes of each "
      "part");
  return {app, [options] { return run(*options); }};
}

}  // namespace espalier::cli
