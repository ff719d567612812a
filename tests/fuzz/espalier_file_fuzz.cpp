// The .espalier reader: any bytes are a model or an Error. Changed bytes fail at the checksum, so bytes that
// do not begin as a file are read as the payload of one. What is read is written, read again and written
// again: the two files are the same.
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/espalier_file.h"
#include "seeds.h"

using namespace espalier;

namespace {

std::vector<std::uint8_t> with_header(std::span<const std::uint8_t> payload) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : payload) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  std::vector<std::uint8_t> bytes{'E', 'S', 'P', 'L', 1};
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(~crc >> 8 * i));
  std::size_t length = payload.size();
  for (; length >= 128; length >>= 7) bytes.push_back(static_cast<std::uint8_t>(length | 128));
  bytes.push_back(static_cast<std::uint8_t>(length));
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

std::vector<std::vector<std::uint8_t>> seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (const char* scheme :
       {"", "article", "affine", "symmetric", "ternary", "binary", "power-of-two", "codebook"}) {
    nlohmann::json dense{{"type", "dense"}, {"units", "classes"}};
    if (*scheme) {
      const int bits = std::string_view(scheme) == "binary" ? 1 : 2;
      dense["quantize"] = {{"scheme", scheme}, {"bits", bits}};
    }
    nlohmann::json layers{{{"type", "conv"}, {"out_channels", 2}, {"kernel", 3}, {"padding", "same"}},
                          {{"type", "batch_norm"}},
                          {{"type", "relu"}, {"name", "r"}},
                          {{"type", "fake_quantize"}},
                          {{"type", "add"}, {"inputs", {"r", "fake_quantize4"}}},
                          {{"type", "max_pool"}, {"kernel", 2}}};
    layers.push_back(dense);
    const nlohmann::json spec{
        {"input",
         {{"channels", 1}, {"height", 4}, {"width", 4}, {"mean", {0.5}}, {"standard_deviation", {0.25}}}},
        {"classes", 2},
        {"layers", layers}};
    const auto model = Model::create(spec, 1, nullptr);
    if (seeds.size() % 2 == 1) {
      auto& mask = model->parameters.mask;
      for (std::int64_t i = 0; i < model->graph.trainable_size; ++i)
        mask.push_back(i % 3 ? real{1} : real{0});
    }
    const std::vector<std::string> labels{"no", "1"};
    const auto bytes = save_espalier(*model, labels, R"({"passes":[]})");
    seeds.push_back(bytes);
    // The payload alone, too: behind the fixed part and a length of two bytes at most.
    seeds.emplace_back(bytes.begin() + (bytes[9] < 128 ? 10 : 11), bytes.end());
  }
  return seeds;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  write_seeds_if_asked(*argc, *argv, seeds);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint8_t> bytes(data, data + size);
  if (!is_espalier(bytes)) bytes = with_header(bytes);
  try {
    const EspalierFile file = load_espalier({"fuzzed", bytes});
    const auto again = save_espalier(*file.model, file.labels, file.pipeline);
    const EspalierFile second = load_espalier({"again", again});
    if (save_espalier(*second.model, second.labels, second.pipeline) != again) std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kModel || error.where() != "fuzzed") std::abort();
  }
  return 0;
}
