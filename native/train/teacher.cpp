#include "train/teacher.h"

#include "core/error.h"
#include "train/trainer.h"

namespace espalier {
namespace {

double channel(const std::vector<double>& numbers, std::size_t index, double missing) {
  return numbers.empty() ? missing : numbers[index];
}

bool same_normalisation(const InputInfo& a, const InputInfo& b) {
  for (std::size_t c = 0; c < static_cast<std::size_t>(a.shape.channels); ++c) {
    if (channel(a.mean, c, 0) != channel(b.mean, c, 0)) return false;
    if (channel(a.standard_deviation, c, 1) != channel(b.standard_deviation, c, 1)) return false;
  }
  return true;
}

}  // namespace

void check_teacher(const Graph& teacher, const Graph& student) {
  const auto fail = [](const std::string& message) { throw Error(ErrorCode::kArgument, "teacher", message); };
  if (teacher.input.shape != student.input.shape) {
    fail("takes images of " + to_string(teacher.input.shape) + ", but the student takes " +
         to_string(student.input.shape) + "; both must see the same images");
  }
  if (!same_normalisation(teacher.input, student.input)) {
    fail(
        "normalises its images with another mean or standard deviation than the student; give both the same "
        "\"mean\" and \"standard_deviation\" in the \"input\" of their specs");
  }
  if (teacher.classes != student.classes) {
    fail("has " + std::to_string(teacher.classes) + " outputs, but the student has " +
         std::to_string(student.classes) + "; distillation compares them one by one");
  }
}

namespace {

const Graph& checked(const Graph& teacher, const Graph& student) {
  check_teacher(teacher, student);
  return teacher;
}

}  // namespace

Teacher::Teacher(const TrainingTerms& terms, const Graph& student, LossFunction loss, int max_batch,
                 const Kernels& kernels, ThreadPool& pool)
    : executor_(checked(terms.teacher->graph, student), kernels, pool, {.max_batch = max_batch}),
      outputs_(static_cast<std::size_t>(max_batch) * static_cast<std::size_t>(student.classes)),
      teaching_{.outputs = outputs_.data(),
                .loss = loss,
                .temperature = terms.temperature,
                .share = terms.distillation} {
  executor_.prepare(terms.teacher->parameters);
}

void Teacher::teach(Batch& batch) {
  executor_.infer(batch, outputs_.data());
  batch.teaching = &teaching_;
}

}  // namespace espalier
