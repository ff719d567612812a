#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/error.h"
#include "core/heap_sort.h"
#include "core/json_text.h"

namespace espalier {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little);

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 8 << 20;  // a thousand layers need a tenth of it
constexpr std::size_t kMaxDimensions = 8;

class Reader {
 public:
  explicit Reader(const NamedBytes& file) : name_(file.name), bytes_(file.bytes) {}

  TensorFile read() {
    const std::span<const std::uint8_t> header = split_header();
    const json object = parse_json({reinterpret_cast<const char*>(header.data()), header.size()},
                                   ErrorCode::kModel, name_ + " (header)");
    if (!object.is_object()) fail("has a header that is not a JSON object; is it a safetensors file?");
    TensorFile file;
    std::vector<Entry> entries;
    for (const auto& [name, value] : object.items()) {
      if (name == "__metadata__") {
        read_metadata(value, file);
      } else {
        entries.push_back(read_entry(name, value));
      }
    }
    check_offsets(entries);
    for (Entry& entry : entries) {
      Tensor tensor{std::move(entry.name), std::move(entry.shape),
                    std::vector<float>(entry.size() / sizeof(float))};
      if (!tensor.values.empty()) std::memcpy(tensor.values.data(), data_.data() + entry.begin, entry.size());
      file.tensors.push_back(std::move(tensor));
    }
    return file;
  }

 private:
  struct Entry {
    std::string name;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t size() const { return end - begin; }
  };

  [[noreturn]] void fail(const std::string& message) const { throw Error(ErrorCode::kModel, name_, message); }
  [[noreturn]] void fail(const std::string& tensor, const std::string& message) const {
    fail("tensor \"" + tensor + "\" " + message + "; the file is damaged");
  }

  std::span<const std::uint8_t> split_header() {
    if (bytes_.size() < kLengthBytes + 2) {
      fail("is only " + std::to_string(bytes_.size()) +
           " bytes long; it is not a safetensors file or was cut off");
    }
    std::uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), kLengthBytes);
    if (length < 2 || length > kMaxHeader || bytes_[kLengthBytes] != '{') {
      fail("is not a safetensors file: it does not begin with a header's length and \"{\"");
    }
    const std::uint64_t rest = bytes_.size() - kLengthBytes;
    if (length > rest) {
      fail("is cut off: its header has " + std::to_string(length) + " bytes, the file only " +
           std::to_string(rest) + " more");
    }
    data_ = bytes_.subspan(kLengthBytes + length);
    return bytes_.subspan(kLengthBytes, length);
  }

  void read_metadata(const json& value, TensorFile& file) const {
    if (!value.is_object())
      fail("has a \"__metadata__\" that is not an object of texts; the file is damaged");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail("has metadata \"" + key + "\" that is not a text; the file is damaged");
      file.metadata[key] = text.get<std::string>();
    }
  }

  Entry read_entry(const std::string& name, const json& value) const {
    if (!value.is_object()) fail(name, "is not described by an object");
    const auto field = [&](const char* key) -> const json& {
      const auto found = value.find(key);
      if (found == value.end()) fail(name, std::string("has no \"") + key + "\"");
      return *found;
    };
    const json& type = field("dtype");
    if (type != "F32") {
      fail("tensor \"" + name + "\" has the number type " + type.dump() + ", but only \"F32\" can be read");
    }
    Entry entry{.name = name};
    const json& shape = field("shape");
    if (!shape.is_array() || shape.size() > kMaxDimensions) {
      fail(name,
           "has a \"shape\" that is not a list of at most " + std::to_string(kMaxDimensions) + " numbers");
    }
    std::uint64_t count = 1;
    for (const json& extent : shape) {
      if (!extent.is_number_unsigned()) fail(name, "has a \"shape\" with a number that is not whole");
      const auto extent_value = extent.get<std::uint64_t>();
      // No tensor can have more numbers than the file has bytes.
      if (extent_value > 0 && count > data_.size() / extent_value) {
        fail(name, "has shape " + shape.dump() + ", which is more than the file's " +
                       std::to_string(data_.size()) + " bytes of data: it was cut off");
      }
      count *= extent_value;
      entry.shape.push_back(static_cast<std::int64_t>(extent_value));
    }
    const json& offsets = field("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fail(name, "has \"data_offsets\" that are not two whole numbers");
    }
    entry.begin = offsets[0].get<std::uint64_t>();
    entry.end = offsets[1].get<std::uint64_t>();
    if (entry.end > data_.size()) {
      fail(name, "ends at byte " + std::to_string(entry.end) + ", but the file has only " +
                     std::to_string(data_.size()) + " bytes of data: it was cut off");
    }
    if (entry.begin > entry.end || entry.size() != count * sizeof(float)) {
      fail(name, "has shape " + shape_text(entry.shape) + ", but its \"data_offsets\" " + offsets.dump() +
                     " do not span " + std::to_string(count * sizeof(float)) + " bytes");
    }
    return entry;
  }

  // Every byte of the data belongs to exactly one tensor.
  void check_offsets(std::vector<Entry>& entries) const {
    heap_sort(entries, [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    std::uint64_t at = 0;
    for (const Entry& entry : entries) {
      if (entry.begin < at) fail(entry.name, "overlaps another one");
      if (entry.begin > at) fail(entry.name, "leaves a hole of bytes before it that belong to no tensor");
      at = entry.end;
    }
    if (at != data_.size()) {
      fail("has " + std::to_string(data_.size() - at) + " bytes behind its last tensor; the file is damaged");
    }
  }

  std::string name_;
  std::span<const std::uint8_t> bytes_;
  std::span<const std::uint8_t> data_;
};

}  // namespace

const Tensor* TensorFile::find(std::string_view name) const {
  const auto at =
      std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
  return at == tensors.end() ? nullptr : &*at;
}

std::vector<std::uint8_t> write_safetensors(const TensorFile& file) {
  // Entry by entry in the order of the bytes; a JSON object would sort them by name.
  std::string text = "{";
  if (!file.metadata.empty()) text += "\"__metadata__\":" + json(file.metadata).dump();
  std::size_t size = 0;
  for (const Tensor& tensor : file.tensors) {
    const std::size_t begin = size;
    size += tensor.values.size() * sizeof(float);
    text += (text.size() > 1 ? "," : "") + json(tensor.name).dump() +
            ":{\"dtype\":\"F32\",\"shape\":" + json(tensor.shape).dump() + ",\"data_offsets\":[" +
            std::to_string(begin) + "," + std::to_string(size) + "]}";
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');

  std::vector<std::uint8_t> bytes(kLengthBytes + text.size() + size);
  const std::uint64_t length = text.size();
  std::memcpy(bytes.data(), &length, kLengthBytes);
  std::memcpy(bytes.data() + kLengthBytes, text.data(), text.size());
  std::uint8_t* at = bytes.data() + kLengthBytes + text.size();
  for (const Tensor& tensor : file.tensors) {
    if (tensor.values.empty()) continue;
    std::memcpy(at, tensor.values.data(), tensor.values.size() * sizeof(float));
    at += tensor.values.size() * sizeof(float);
  }
  return bytes;
}

TensorFile read_safetensors(const NamedBytes& file) { return Reader(file).read(); }

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text;
  for (const std::int64_t extent : shape) text += (text.empty() ? "" : ", ") + std::to_string(extent);
  return "[" + text + "]";
}

}  // namespace espalier
