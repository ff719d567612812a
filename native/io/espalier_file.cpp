// The container of an .espalier file: header, checksum and payload, and the parts of the payload in their
// order. espalier_spec.cpp and espalier_numbers.cpp have what is in them.
#include "io/espalier_file.h"

#include <algorithm>

#include "core/error.h"
#include "io/espalier_coder.h"
#include "io/espalier_numbers.h"
#include "io/espalier_spec.h"

namespace espalier {
namespace {

constexpr std::uint8_t kMagic[] = {'E', 'S', 'P', 'L'};
constexpr std::uint8_t kVersion = 1;
// A number costs at least 1/710 of a bit (ContextCoder), so what a file can hold is bounded by its size.
constexpr std::int64_t kNumbersPerByte = 16384, kFewNumbers = 1 << 16;

void code_labels(espl::EspalierCoder& coder, std::vector<std::string>& labels, int classes) {
  const bool given = coder.flag(!labels.empty(), Contexts(espl::kLabelFlag).add(0));
  labels.resize(given ? static_cast<std::size_t>(classes) : 0);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::string digits = std::to_string(i);
    if (coder.flag(labels[i] == digits, Contexts(espl::kLabelFlag).add(1))) {
      labels[i] = digits;
    } else {
      coder.text(labels[i]);
    }
  }
}

// All of the payload: graph and numbers of `file.model`, labels and pipeline, from it (`source` is the model)
// or into it, of at most `largest_slab` numbers.
void walk(ContextCoder& bits, EspalierFile& file, const Model* source, std::int64_t largest_slab,
          std::vector<FilePart>* parts) {
  espl::EspalierCoder coder(bits, parts);
  Graph graph;
  espl::code_spec(coder, source ? &source->graph : nullptr, graph);
  coder.part("spec");
  if (coder.reading()) {
    if (graph.slab_size > largest_slab) {
      espl::refuse("asks for " + std::to_string(graph.slab_size) + " numbers, more than it can hold");
    }
    file.model = std::make_unique<Model>(std::move(graph));
  }
  // Writing changes nothing.
  espl::code_numbers(coder, file.model ? *file.model : const_cast<Model&>(*source));
  code_labels(coder, file.labels, file.model ? file.model->graph.classes : source->graph.classes);
  coder.part("labels");
  coder.text(file.pipeline);
  coder.part("pipeline");
}

std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

// Magic, version, checksum (of the payload), length of the payload in groups of 7 bits.
constexpr std::size_t kFixed = sizeof kMagic + 1 + 4;

}  // namespace

bool is_espalier(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= sizeof kMagic && std::equal(std::begin(kMagic), std::end(kMagic), bytes.begin());
}

std::vector<std::uint8_t> save_espalier(const Model& model, std::span<const std::string> labels,
                                        std::string_view pipeline, std::vector<FilePart>* parts) {
  if (!labels.empty() && labels.size() != static_cast<std::size_t>(model.graph.classes)) {
    throw Error(ErrorCode::kArgument, "labels",
                "are " + std::to_string(labels.size()) + ", but the model has " +
                    std::to_string(model.graph.classes) + " classes; give one for each, or none");
  }
  if (pipeline.size() > TextCoder::kLongest) {
    throw Error(ErrorCode::kArgument, "pipeline", "is longer than a megabyte; leave it out");
  }
  ContextCoder coder;
  if (parts) parts->clear();
  EspalierFile file{nullptr, {labels.begin(), labels.end()}, std::string(pipeline)};
  walk(coder, file, &model, 0, parts);
  const std::vector<std::uint8_t> payload = coder.finish();

  std::vector<std::uint8_t> bytes(std::begin(kMagic), std::end(kMagic));
  bytes.push_back(kVersion);
  const std::uint32_t crc = crc32(payload);
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(crc >> 8 * i));
  std::uint64_t length = payload.size();
  for (; length >= 128; length >>= 7) bytes.push_back(static_cast<std::uint8_t>(length | 128));
  bytes.push_back(static_cast<std::uint8_t>(length));
  const std::size_t header = bytes.size();
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  if (parts) {
    std::int64_t counted = 0;
    for (const FilePart& part : *parts) counted += part.bytes;
    // What the coder adds to end the last number, or leaves out.
    const auto ending = static_cast<std::int64_t>(payload.size()) - counted;
    parts->insert(parts->begin(), {"header", static_cast<std::int64_t>(header) + ending, 0});
  }
  return bytes;
}

EspalierFile load_espalier(const NamedBytes& file) {
  const auto bytes = file.bytes;
  const auto fail = [&](const std::string& message) { throw Error(ErrorCode::kModel, file.name, message); };
  if (!is_espalier(bytes)) fail("is not an .espalier file: it does not begin with \"ESPL\"");
  if (bytes.size() <= kFixed) fail("is cut off: it ends in its header");
  if (bytes[4] != kVersion) {
    fail("is of version " + std::to_string(bytes[4]) + " of the format, but this Espalier reads version " +
         std::to_string(kVersion) + "; use a newer one");
  }
  std::uint32_t crc = 0;
  for (int i = 0; i < 4; ++i) crc |= std::uint32_t{bytes[static_cast<std::size_t>(5 + i)]} << 8 * i;
  std::uint64_t length = 0;
  std::size_t next = kFixed;
  for (int shift = 0;; shift += 7) {
    if (next == bytes.size()) fail("is cut off: it ends in its header");
    if (shift > 49) fail("is damaged: its length makes no sense");
    const std::uint8_t byte = bytes[next++];
    length |= std::uint64_t{byte & 127u} << shift;
    if (byte < 128) break;
  }
  const auto payload = bytes.subspan(next);
  if (payload.size() != length) {
    fail("is " + std::string(payload.size() < length ? "cut off" : "too long") + ": it should have " +
         std::to_string(next + length) + " bytes, but has " + std::to_string(bytes.size()));
  }
  if (crc32(payload) != crc) fail("is damaged: its checksum is wrong; get the file again");
  EspalierFile result;
  try {
    ContextCoder coder(payload);
    walk(coder, result, nullptr, kFewNumbers + kNumbersPerByte * static_cast<std::int64_t>(payload.size()),
         nullptr);
  } catch (const Error& error) {
    fail(std::string("contradicts itself: ") + error.what());
  }
  return result;
}

}  // namespace espalier
