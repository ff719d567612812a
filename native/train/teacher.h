// The teacher's side of distillation (train/terms.h): its outputs for each batch of the student.
#pragma once

#include <vector>

#include "graph/executor.h"
#include "train/terms.h"

namespace espalier {

// Error{kArgument} at "teacher" when it cannot see the student's images, or has another number of outputs.
void check_teacher(const Graph& teacher, const Graph& student);

class Teacher {
 public:
  // Throws what check_teacher throws.
  Teacher(const TrainingTerms& terms, const Graph& student, LossFunction loss, int max_batch,
          const Kernels& kernels, ThreadPool& pool);

  // Runs the teacher on the batch, which then says what the teacher thinks of it.
  void teach(Batch& batch);

 private:
  Executor executor_;
  std::vector<real> outputs_;
  Teaching teaching_;
};

}  // namespace espalier
