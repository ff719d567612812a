#include "cli/measure_file.h"

#include <algorithm>
#include <vector>

#include "cli/progress.h"
#include "core/json_fields.h"

namespace espalier::cli {
namespace {

constexpr const char* kFormat = "espalier";
constexpr int kBatch = 64;
constexpr int kWarmUp = 3;
constexpr int kLeastBatches = 15;
constexpr int kMostBatches = 301;
constexpr double kSeconds = 0.2;

}  // namespace

double microseconds_per_image(const Dataset& dataset, int classes, const Infer& infer) {
  const Split& split = dataset.test.count() > 0         ? dataset.test
                       : dataset.validation.count() > 0 ? dataset.validation
                                                        : dataset.train;
  const int batch = std::min(kBatch, split.count());
  if (batch == 0) return 0;
  std::vector<real> logits(static_cast<std::size_t>(batch * classes));
  std::vector<double> seconds;
  const Stopwatch all;
  for (int i = 0; i < kWarmUp + kMostBatches; ++i) {
    const Stopwatch stopwatch;
    infer(split.images.data(), batch, logits.data());
    if (i >= kWarmUp) seconds.push_back(stopwatch.seconds());
    if (i >= kWarmUp + kLeastBatches && all.seconds() > kSeconds) break;
  }
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return 1e6 * *middle / batch;
}

double microseconds_per_image(PackedModel& model, const Dataset& dataset) {
  return microseconds_per_image(
      dataset, model.graph().classes,
      [&](const std::uint8_t* images, int count, real* logits) { model.infer(images, count, logits); });
}

nlohmann::json FileMeter::measure(const Model& model, std::string_view pipeline) {
  const FileFormat& format = find_file_format(kFormat);
  const std::vector<std::uint8_t> bytes =
      format.save(model, {.labels = dataset_.class_names, .pipeline = pipeline});
  const ModelFile file = load_model_file({"the compressed file", bytes});
  PackedModel packed(*file.model, kernels_, pool_);
  return Fields()("file_bytes", bytes.size())("microseconds_per_image",
                                              microseconds_per_image(packed, dataset_))
      .take();
}

}  // namespace espalier::cli
