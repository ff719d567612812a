// What distillation needs besides its loss: a student, and hints.
//
// A hint (FitNets; Romero et al. 2015) is a middle layer of the teacher that a middle layer of the student
// learns to predict before the distillation proper: the student up to its layer, followed by a convolution
// that has as many output channels as the teacher's layer, is trained to imitate the teacher's feature map.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "data/dataset.h"
#include "train/trainer.h"

namespace espalier {

// `student`: the name of a preset, or a spec as JSON text whose input and classes are replaced by those of
// the teacher, normalisation included. Fresh weights. Error{kArgument} at "student"; Error{kSpec}.
std::unique_ptr<Model> make_student(const std::string& student, const Model& teacher, std::uint64_t seed);

// Two networks of the same input and outputs: `student` is to imitate `teacher`.
struct Hint {
  std::unique_ptr<Model> student;
  std::unique_ptr<Model> teacher;
};

// `text` is "student's layer=teacher's layer". Parameters and masks are those of the models; the regressor's
// are fresh. Error{kArgument} at "hint".
Hint make_hint(const std::string& text, const Model& student, const Model& teacher, std::uint64_t seed);

// The configuration of a training of `graph`, a part of the network that `config` is for: freeze and
// layer_rates keep the entries that mean a layer of it.
TrainingConfig config_for_part(const TrainingConfig& config, const Graph& graph);

}  // namespace espalier
