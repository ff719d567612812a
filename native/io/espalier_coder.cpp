#include "io/espalier_coder.h"

#include <bit>
#include <cmath>

#include "core/error.h"

namespace espalier::espl {

void refuse(const std::string& message) { throw Error(ErrorCode::kModel, "", message); }

void EspalierCoder::real64(double& number, std::uint32_t what) {
  std::uint32_t form = 2, power = 0, digits = 0;
  if (!reading()) {
    double unit = 1;
    for (power = 0; power < 16; ++power, unit *= 10) {
      const double m = std::floor(number * unit + 0.5);
      if (m >= 0 && m < 1e6 && m / unit == number && !std::signbit(number)) {
        digits = static_cast<std::uint32_t>(m);
        form = 0;
        break;
      }
    }
    if (form != 0 && static_cast<double>(static_cast<float>(number)) == number) form = 1;
  }
  form = coder_.symbol(form, 2, Contexts(kDoubleForm).add(what));
  if (form == 0) {
    power = coder_.symbol(power, 4, Contexts(kDoubleForm).add(what, 1));
    digits = coder_.number(digits, Contexts(kDoubleForm).add(what, 2));
    double unit = 1;
    for (std::uint32_t i = 0; i < power; ++i) unit *= 10;
    if (reading()) number = digits / unit;
  } else if (form == 1) {
    const auto bits = coder_.raw(std::bit_cast<std::uint32_t>(static_cast<float>(number)), 32);
    if (reading()) number = std::bit_cast<float>(bits);
  } else {
    const auto bits = std::bit_cast<std::uint64_t>(number);
    const std::uint64_t high = coder_.raw(static_cast<std::uint32_t>(bits >> 32), 32);
    const std::uint64_t low = coder_.raw(static_cast<std::uint32_t>(bits), 32);
    if (reading()) number = std::bit_cast<double>(high << 32 | low);
  }
  if (!std::isfinite(number)) refuse("has a number that is not finite");
}

void EspalierCoder::part(std::string_view name) {
  if (coder_.reading() || !parts_) return;
  parts_->push_back({std::string(name), coder_.position() - position_, coder_.entropy_bytes() - entropy_});
  position_ = coder_.position();
  entropy_ = coder_.entropy_bytes();
}

}  // namespace espalier::espl
