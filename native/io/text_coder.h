// Texts (names, labels, pipelines) in bits for the context coder: each bit is predicted from the letters
// before it and, where these have stood somewhere before, from what followed there. Both sides begin by
// reading kFamiliar (familiar.txt), so that what most files say costs next to nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/context_coder.h"

namespace espalier {

class TextCoder {
 public:
  // Kinds of symbols of the coder: of letters and of the texts' lengths.
  TextCoder(ContextCoder& coder, std::uint32_t letters, std::uint32_t lengths)
      : coder_(coder), letters_(letters), lengths_(lengths) {}

  static constexpr std::uint32_t kLongest = 1 << 20;  // bytes of a text

  // Writes the text, or reads it. Error{kModel} for one that is longer than kLongest.
  void code(std::string& text);

 private:
  std::uint8_t letter(std::uint8_t byte);
  void find_match();

  // A match is found by the last so many bytes, and grows to so many.
  static constexpr std::size_t kShortestMatch = 5, kLongestMatch = 20;
  static constexpr int kTableBits = 16;

  ContextCoder& coder_;
  std::uint32_t letters_, lengths_;
  std::uint32_t history_ = 0;          // the last four bytes of this text
  std::vector<std::uint8_t> seen_;     // all texts so far
  std::vector<std::uint32_t> behind_;  // where the last bytes with this hash ended
  std::size_t match_ = 0;              // where the next byte is expected, if match_length_ > 0
  std::size_t match_length_ = 0;
};

}  // namespace espalier
