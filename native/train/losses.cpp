// Losses: one block of outputs in, its gradient and one loss per image out.
//
//   softmax cross-entropy: loss = log(sum of e^x_c) - sum of t_c·x_c, gradient = softmax(x) - t
//   mean squared error:    loss = sum of (x_c - t_c)^2 / classes,  gradient = 2 (x - t) / classes
//
// t is the target distribution: the label, or lambda of it and the rest of another (mixup), with
// the share `label_smoothing` spread evenly over all classes (Szegedy et al. 2016).
//
// With a teacher's outputs y, p = softmax(y / T), q = softmax(x / T):
//
//   distillation: loss = (1 - share)·one of the above + share·T²·KL(p ‖ q), so that its gradient
//                 share·T·(q - p) keeps its size when T grows (Hinton, Vinyals and Dean 2015)
//   imitation:    loss = sum of (x_c - y_c)^2 / classes (FitNets; Romero et al. 2015)
#include <algorithm>
#include <array>
#include <cstddef>

#include "core/error.h"
#include "core/math.h"
#include "train/tables.h"
#include "train/trainer.h"

namespace espalier {
namespace {

constexpr int kMaxLanes = 16;

double target_of(const LossContext& c, int lane, int label) {
  const Target& target = c.targets[lane];
  double share = 0;
  if (label == target.label) share += target.lambda;
  if (label == target.other_label) share += 1 - static_cast<double>(target.lambda);
  return share * (1 - c.label_smoothing) + c.label_smoothing / c.classes;
}

// The largest output of a lane; the first one of equals.
int argmax(const real* logits, int classes, int lanes, int lane) {
  int best = 0;
  for (int label = 1; label < classes; ++label) {
    if (logits[label * lanes + lane] > logits[best * lanes + lane]) best = label;
  }
  return best;
}

void clear_padding(const LossContext& c) {
  const int lanes = c.kernels.lanes;
  for (int label = 0; label < c.classes; ++label) {
    for (int lane = c.valid; lane < lanes; ++lane) c.grad_logits[label * lanes + lane] = 0;
  }
}

void softmax_cross_entropy(const LossContext& c) {
  const int lanes = c.kernels.lanes;
  alignas(64) std::array<real, kMaxLanes> sums;
  alignas(64) std::array<real, kMaxLanes> largest;
  real* terms = c.grad_logits;
  c.kernels.softmax_terms(c.classes, c.logits, terms, sums.data(), largest.data());
  for (int lane = 0; lane < c.valid; ++lane) {
    const auto l = static_cast<std::size_t>(lane);
    double loss = math::log(sums[l]) + largest[l];
    for (int label = 0; label < c.classes; ++label) {
      const int at = label * lanes + lane;
      const double target = target_of(c, lane, label);
      loss -= target * c.logits[at];
      c.grad_logits[at] = (terms[at] / sums[l] - static_cast<real>(target)) * c.scale;
    }
    c.losses[lane] = loss;
    c.predictions[lane] = argmax(c.logits, c.classes, lanes, lane);
  }
  clear_padding(c);
}

void mean_squared_error(const LossContext& c) {
  const int lanes = c.kernels.lanes;
  for (int lane = 0; lane < c.valid; ++lane) {
    double loss = 0;
    for (int label = 0; label < c.classes; ++label) {
      const int at = label * lanes + lane;
      const double error = c.logits[at] - target_of(c, lane, label);
      loss += error * error / c.classes;
      c.grad_logits[at] = static_cast<real>(2 * error / c.classes) * c.scale;
    }
    c.losses[lane] = loss;
    c.predictions[lane] = argmax(c.logits, c.classes, lanes, lane);
  }
  clear_padding(c);
}

// log of the sum of e^(outputs / temperature), of one image.
double log_sum(const real* outputs, int classes, int stride, double temperature) {
  double largest = outputs[0];
  for (int c = 1; c < classes; ++c) largest = std::max<double>(largest, outputs[c * stride]);
  double sum = 0;
  for (int c = 0; c < classes; ++c) sum += math::exp((outputs[c * stride] - largest) / temperature);
  return math::log(sum) + largest / temperature;
}

constexpr LossType kLosses[] = {
    {"softmax_cross_entropy", "Softmax and cross-entropy, for classification.", softmax_cross_entropy},
    {"mse", "Mean squared error of the outputs against one-hot targets.", mean_squared_error},
};

}  // namespace

std::span<const LossType> loss_types() { return kLosses; }

void distillation_loss(const LossContext& c) {
  const int lanes = c.kernels.lanes;
  const double temperature = c.teaching->temperature, share = c.teaching->share;
  c.teaching->loss(c);
  const auto rest = static_cast<real>(1 - share);
  for (int lane = 0; lane < c.valid; ++lane) {
    const real* student = c.logits + lane;
    const real* teacher = c.teacher + std::ptrdiff_t{lane} * c.classes;
    const double student_sum = log_sum(student, c.classes, lanes, temperature);
    const double teacher_sum = log_sum(teacher, c.classes, 1, temperature);
    double divergence = 0;
    for (int label = 0; label < c.classes; ++label) {
      const int at = label * lanes;
      const double log_q = student[at] / temperature - student_sum;
      const double log_p = teacher[label] / temperature - teacher_sum;
      const double p = math::exp(log_p);
      divergence += p * (log_p - log_q);
      real& gradient = c.grad_logits[at + lane];
      gradient = rest * gradient + static_cast<real>(share * temperature * (math::exp(log_q) - p)) * c.scale;
    }
    c.losses[lane] = (1 - share) * c.losses[lane] + share * temperature * temperature * divergence;
  }
}

void imitation_loss(const LossContext& c) {
  const int lanes = c.kernels.lanes;
  for (int lane = 0; lane < c.valid; ++lane) {
    const real* teacher = c.teacher + std::ptrdiff_t{lane} * c.classes;
    double loss = 0;
    for (int label = 0; label < c.classes; ++label) {
      const int at = label * lanes + lane;
      const double error = static_cast<double>(c.logits[at]) - teacher[label];
      loss += error * error / c.classes;
      c.grad_logits[at] = static_cast<real>(2 * error / c.classes) * c.scale;
    }
    c.losses[lane] = loss;
    c.predictions[lane] = argmax(c.logits, c.classes, lanes, lane);
  }
  clear_padding(c);
}

void softmax(const real* logits, int classes, real* probabilities) {
  const double largest = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int c = 0; c < classes; ++c) sum += math::exp(logits[c] - largest);
  for (int c = 0; c < classes; ++c) {
    probabilities[c] = static_cast<real>(math::exp(logits[c] - largest) / sum);
  }
}

}  // namespace espalier
