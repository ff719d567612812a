// The symbols of an .espalier file: flags, whole numbers, doubles and texts over the context coder.
//
// Each takes what is to be written, or leaves what was read, so that one walk over a model (espalier_spec.h,
// espalier_numbers.h) writes it or reads it: what is coded, in which order, and with which contexts is said
// once. io/README.md has the same as a table.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/context_coder.h"
#include "io/espalier_file.h"
#include "io/text_coder.h"

namespace espalier::espl {

// The kinds of symbols (Contexts). Numbers of the file format: they do not change.
enum Kind : std::uint32_t {
  kSpecNumber,
  kSpecFlag,
  kSpecField,
  kOpIndex,
  kText,
  kTextLength,
  kDoubleForm,
  kTensorFlag,
  kMask,
  kLevel,
  kUsedLevel,
  kExponent,
  kMantissa,
  kZeroBits,
  kLabelFlag
};

// Error{kModel}, for contents that contradict themselves.
[[noreturn]] void refuse(const std::string& message);

class EspalierCoder {
 public:
  // `parts` (may be null) takes the sizes of what is written.
  explicit EspalierCoder(ContextCoder& coder, std::vector<FilePart>* parts = nullptr)
      : coder_(coder), text_(coder, kText, kTextLength), parts_(parts) {}

  bool reading() const { return coder_.reading(); }
  bool flag(bool value, const Contexts& contexts) { return coder_.bit(value ? 1 : 0, contexts) != 0; }
  int bit(int value, const Contexts& contexts) { return coder_.bit(value, contexts); }
  std::uint32_t symbol(std::uint32_t value, int bits, const Contexts& contexts) {
    return coder_.symbol(value, bits, contexts);
  }
  std::uint32_t raw(std::uint32_t value, int bits) { return coder_.raw(value, bits); }
  // `what` tells numbers apart that mean different things.
  template <class Number>
  void whole(Number& number, std::uint32_t what, double minimum, double maximum) {
    const auto shifted = static_cast<std::uint32_t>(reading() ? 0 : static_cast<double>(number) - minimum);
    const std::uint32_t coded = coder_.number(shifted, Contexts(kSpecNumber).add(what));
    if (!reading()) return;
    if (static_cast<double>(coded) > maximum - minimum) refuse("has a number that is out of its range");
    number = static_cast<Number>(static_cast<double>(coded) + minimum);
  }
  // A double: a short decimal m / 10^k, a float, or 64 bits.
  void real64(double& number, std::uint32_t what);
  void text(std::string& text) { text_.code(text); }

  // What was coded since the last part is that of this name.
  void part(std::string_view name);

 private:
  ContextCoder& coder_;
  TextCoder text_;
  std::vector<FilePart>* parts_;
  std::int64_t position_ = 0;
  double entropy_ = 0;
};

}  // namespace espalier::espl
