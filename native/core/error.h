// One exception type for everything a user can get wrong. Kernels never throw; they assert.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace espalier {

enum class ErrorCode {
  kArgument,    // a call, option or configuration value is wrong
  kSpec,        // a model spec is invalid: `where` names the layer and the field
  kData,        // a dataset file is damaged or does not fit: `where` names the file
  kModel,       // a model file is damaged or belongs to another model
  kIo,          // the system refused to read or write
  kDiverged,    // the loss is no longer a number
  kUnsupported  // valid, but this build cannot do it
};

constexpr std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kArgument:
      return "argument";
    case ErrorCode::kSpec:
      return "spec";
    case ErrorCode::kData:
      return "data";
    case ErrorCode::kModel:
      return "model";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kDiverged:
      return "diverged";
    case ErrorCode::kUnsupported:
      return "unsupported";
  }
  return "unknown";
}

// `where` is the file, layer.field or option at fault; `message` is one sentence that says what is
// wrong and what to do. `what()` is "where: message".
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string where, std::string message)
      : code_(code),
        where_(std::move(where)),
        message_(std::move(message)),
        what_(where_.empty() ? message_ : where_ + ": " + message_) {}

  ErrorCode code() const noexcept { return code_; }
  const std::string& where() const noexcept { return where_; }
  const std::string& message() const noexcept { return message_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  ErrorCode code_;
  std::string where_;
  std::string message_;
  std::string what_;
};

}  // namespace espalier
