#include "bench/measure_file.h"

#include <algorithm>
#include <utility>

#include "bench/timing.h"
#include "core/json_fields.h"
#include "io/model_file.h"

namespace espalier {
namespace {

constexpr const char* kFormat = "espalier";
constexpr int kBatch = 64;
constexpr int kWarmUp = 3;
constexpr int kLeastBatches = 15;
constexpr int kMostBatches = 301;
constexpr double kSeconds = 0.2;

// Of a layer. Several runs at a time: a browser's clock is coarse. Not too many: those that work in place
// work on what they left.
constexpr int kRepetitions = 16;
constexpr std::size_t kLeastDurations = 5;
constexpr double kLayerSeconds = 0.02;
// The runs of the whole network in between included: of a large one they take most of the time.
constexpr double kLayerPatience = 0.05;

const Split& timed_split(const Dataset& dataset) {
  return dataset.test.count() > 0         ? dataset.test
         : dataset.validation.count() > 0 ? dataset.validation
                                          : dataset.train;
}

}  // namespace

InferenceClock::InferenceClock(const Dataset& dataset, Infer infer)
    : infer_(std::move(infer)),
      split_(timed_split(dataset)),
      batch_(std::min(kBatch, timed_split(dataset).count())) {}

bool InferenceClock::advance() {
  if (batch_ == 0) return false;
  const double begin = now_in_seconds();
  infer_(split_.images.data(), batch_);
  const double seconds = now_in_seconds() - begin;
  if (done_++ >= kWarmUp) durations_.push_back(seconds);
  seconds_ += seconds;
  if (done_ < kWarmUp + kLeastBatches) return true;
  return seconds_ < kSeconds && done_ < kWarmUp + kMostBatches;
}

double InferenceClock::microseconds() const {
  if (durations_.empty()) return 0;
  std::vector<double> sorted = durations_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return 1e6 * *middle / batch_;
}

InferenceClock::Infer blocks_of(PackedModel& model) {
  return [&model](const std::uint8_t* images, int count) {
    const int lanes = model.lanes();
    const std::ptrdiff_t image_size = model.graph().input.shape.size();
    for (int first = 0; first < count; first += lanes) {
      model.infer_block(images + first * image_size, std::min(lanes, count - first), 0);
    }
  };
}

LayerClock::LayerClock(PackedModel& model, const Dataset& dataset) : model_(model) {
  const Split& split = timed_split(dataset);
  const auto image_size = static_cast<std::size_t>(model.graph().input.shape.size());
  images_.resize(image_size * static_cast<std::size_t>(model.lanes()));
  const std::size_t some = std::min(images_.size(), split.images.size());
  std::copy_n(split.images.begin(), some, images_.begin());
}

bool LayerClock::advance() {
  const int now = static_cast<int>(layers_.size());
  if (now == model_.instruction_count()) return false;
  const double arrived = now_in_seconds();
  model_.infer_block(images_.data(), model_.lanes(), 0);  // what the instruction reads
  const double begin = now_in_seconds();
  for (int i = 0; i < kRepetitions; ++i) model_.run_instruction(now, images_.data(), model_.lanes());
  const double end = now_in_seconds();
  durations_.push_back(end - begin);
  seconds_ += end - begin;
  spent_ += end - arrived;
  if (durations_.size() < kLeastDurations) return true;
  if (seconds_ < kLayerSeconds && spent_ < kLayerPatience) return true;
  layers_.push_back({std::string(model_.instruction_name(now)),
                     1e6 * quantile(durations_, 0.5) / kRepetitions / model_.lanes()});
  durations_.clear();
  seconds_ = spent_ = 0;
  return true;
}

double microseconds_per_image(const Dataset& dataset, InferenceClock::Infer infer) {
  InferenceClock clock(dataset, std::move(infer));
  while (clock.advance()) {
  }
  return clock.microseconds();
}

nlohmann::json to_json(const LayerExecution& layer) {
  return Fields()("layer", layer.layer)("type", layer.type)("format", layer.format)("bytes", layer.bytes)(
             "macs", layer.macs)("density", layer.density)("why", layer.why)
      .take();
}

Work FileMeter::measure(const Model& model, std::string pipeline, nlohmann::json& line) {
  const FileFormat& format = find_file_format(kFormat);
  const std::vector<std::uint8_t> bytes =
      format.save(model, {.labels = dataset_.class_names, .pipeline = pipeline});
  const ModelFile file = load_model_file({"the compressed file", bytes});
  PackedModel packed(*file.model, kernels_, pool_);
  InferenceClock clock(dataset_, blocks_of(packed));
  while (clock.advance()) co_yield Progress{.stage = "time"};
  line.update(Fields()("file_bytes", bytes.size())("microseconds_per_image", clock.microseconds()).take());
}

}  // namespace espalier
