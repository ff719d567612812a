// The arithmetic of packed models as it is defined: image by image, number by number, layer by layer, no
// layout and nothing fused. What everything faster must equal, bit for bit where integers are.
#pragma once

#include <cstdint>
#include <vector>

#include "core/aligned.h"
#include "train/trainer.h"

namespace espalier {

class ReferenceModel {
 public:
  explicit ReferenceModel(const Model& model);

  // logits: [classes] of one image, bytes [channels][height][width].
  void infer(const std::uint8_t* image, real* logits) const;

  // The codes of a fake_quantize layer, [channels][height][width].
  std::vector<int> codes(const std::uint8_t* image, std::string_view layer) const;

 private:
  struct Value;
  std::vector<Value> run(const std::uint8_t* image) const;

  Graph graph_;
  aligned_vector<real> parameters_;
};

}  // namespace espalier
