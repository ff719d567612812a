// What a training can minimize besides the loss on its data:
//
//   loss(θ; D_T)  +  lambda · loss(θ; D_S)  +  l2sp / 2 · |θ - θ_S|²
//
// where the last two are the source article's source term R, and, with a teacher, the first loss is
//
//   (1 - distillation) · loss  +  distillation · T² · KL(softmax(teacher / T) ‖ softmax(student / T))
//
// Sources: rehearsal with the source's own head; L2-SP (Li, Grandvalet and Davoine 2018); Hinton, Vinyals and
// Dean 2015; FitNets (Romero et al. 2015) for `imitate`.
#pragma once

#include "data/dataset.h"

namespace espalier {

struct Model;

// Pointers must outlive the trainer; null and 0: the term is absent.
struct TrainingTerms {
  // Distillation. The teacher takes the same images, normalised in the same way, and has as many outputs.
  const Model* teacher = nullptr;
  double temperature = 4;
  double distillation = 0.9;  // share of the teacher's term
  bool imitate = false;  // instead: the mean squared difference to the teacher's outputs, and nothing else

  // L2-SP: trainable tensors of `anchor` with the same name and shape pull those of the model towards them.
  const Model* anchor = nullptr;
  double l2sp = 0;

  // Rehearsal: each step also trains `source_task` on a batch of `source_data`. Its tensors with the same
  // name and shape are the model's own (running statistics too); the others are its head.
  Model* source_task = nullptr;
  const Dataset* source_data = nullptr;
  double lambda = 0;
};

}  // namespace espalier
