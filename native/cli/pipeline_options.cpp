#include "cli/pipeline_options.h"

#include <filesystem>

#include "compress/pipeline.h"
#include "core/json_text.h"
#include "data/load.h"

namespace espalier::cli {

nlohmann::json open_json(const std::string& path, const char* option) {
  if (path.empty()) throw Error(ErrorCode::kArgument, option, "is missing; give a JSON file");
  const std::vector<std::uint8_t> bytes = read_file(path);
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, ErrorCode::kArgument, path);
}

nlohmann::json open_pipeline(const std::string& pipeline) {
  constexpr const char* kOption = "--pipeline";
  const std::string names = names_of(named_pipelines());
  if (pipeline.empty()) {
    throw Error(ErrorCode::kArgument, kOption, "is missing; give a JSON file or one of " + names);
  }
  if (const NamedPipeline* named = find_pipeline(pipeline)) {
    return parse_json(named->json, ErrorCode::kArgument, pipeline);
  }
  if (std::error_code ignored; !std::filesystem::exists(pipeline, ignored)) {
    throw Error(ErrorCode::kArgument, kOption,
                "\"" + pipeline + "\" is neither a file nor a pipeline; the pipelines are " + names);
  }
  return open_json(pipeline, kOption);
}

}  // namespace espalier::cli
