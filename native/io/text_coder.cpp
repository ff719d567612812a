#include "io/text_coder.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"

namespace espalier {
namespace {

constexpr std::string_view kFamiliar =
#include "familiar.inc"
    ;

}  // namespace

void TextCoder::code(std::string& text) {
  const std::uint32_t length =
      coder_.number(static_cast<std::uint32_t>(text.size()), Contexts(lengths_).add(0));
  if (length > kLongest) throw Error(ErrorCode::kModel, "", "has a text that is too long");
  if (length == 0) {
    text.clear();
    return;
  }
  if (seen_.empty()) {
    behind_.resize(std::size_t{1} << kTableBits);
    coder_.rehearse(true);
    for (const char c : kFamiliar) letter(static_cast<std::uint8_t>(c));
    coder_.rehearse(false);
  }
  history_ = 0;
  std::string result;
  for (std::uint32_t i = 0; i < length; ++i) {
    result += static_cast<char>(letter(coder_.reading() ? 0 : static_cast<std::uint8_t>(text[i])));
  }
  text = result;
}

// The highest bit first; `node` is what is known of the byte, behind a 1.
std::uint8_t TextCoder::letter(std::uint8_t byte) {
  const std::uint32_t expected = match_length_ > 0 ? 256u | seen_[match_] : 0;
  std::uint32_t node = 1;
  for (int i = 7; i >= 0; --i) {
    const bool as_expected = expected >> (i + 1) == node;
    Contexts contexts(letters_);
    contexts.add(node)
        .add(node, history_ & 0xFF)
        .add(node, history_ & 0xFFFF)
        .add(node, history_ & 0xFFFFFF)
        .add(node, history_)
        .add(as_expected ? 1 + (expected >> i & 1) : 0, static_cast<std::uint32_t>(match_length_));
    node = node * 2 + static_cast<std::uint32_t>(coder_.bit(byte >> i & 1, contexts));
  }
  byte = static_cast<std::uint8_t>(node);
  history_ = history_ << 8 | byte;
  match_length_ = node == expected ? std::min(match_length_ + 1, kLongestMatch) : 0;
  ++match_;
  seen_.push_back(byte);
  find_match();
  return byte;
}

void TextCoder::find_match() {
  if (seen_.size() < kShortestMatch) return;
  std::uint32_t hash = 0;
  for (std::size_t i = seen_.size() - kShortestMatch; i < seen_.size(); ++i) {
    hash = (hash + seen_[i] + 1) * 0x2F0B4C47;
  }
  std::uint32_t& behind = behind_[hash >> (32 - kTableBits)];
  if (match_length_ == 0) {
    match_ = behind;
    while (match_length_ < std::min<std::size_t>(match_, kLongestMatch) &&
           seen_[match_ - 1 - match_length_] == seen_[seen_.size() - 1 - match_length_]) {
      ++match_length_;
    }
    if (match_length_ < kShortestMatch) match_length_ = 0;
  }
  behind = static_cast<std::uint32_t>(seen_.size());
}

}  // namespace espalier
