#include "train/copy.h"

#include <algorithm>

#include "ops/weights.h"
#include "train/trainer.h"

namespace espalier {
namespace {

struct Found {
  const Node* node = nullptr;
  const ParameterInfo* info = nullptr;
};

Found find_tensor(const Graph& graph, const std::string& name) {
  for (const Node& node : graph.nodes) {
    for (const ParameterInfo& info : node.parameters) {
      if (info.name == name) return {&node, &info};
    }
  }
  return {};
}

// Calls visit(offset in source, offset in target, count) for each row of the overlap.
template <class Visit>
void each_row(const ParameterInfo& source, const ParameterInfo& target, const std::vector<int>& overlap,
              Visit&& visit) {
  const std::size_t last = overlap.size() - 1;
  std::vector<int> index(overlap.size(), 0);
  while (true) {
    std::int64_t from = 0, to = 0;
    for (std::size_t d = 0; d <= last; ++d) {
      from = from * source.shape[d] + index[d];
      to = to * target.shape[d] + index[d];
    }
    visit(source.offset + from, target.offset + to, overlap[last]);
    std::size_t d = last;
    while (d > 0 && ++index[d - 1] == overlap[d - 1]) index[--d] = 0;
    if (d == 0) return;
  }
}

}  // namespace

std::vector<SharedTensor> shared_tensors(const Graph& graph, const Graph& other) {
  std::vector<SharedTensor> shared;
  for (const Node& node : graph.nodes) {
    for (const ParameterInfo& info : node.parameters) {
      const Found found = find_tensor(other, info.name);
      if (found.info && found.info->shape == info.shape) {
        shared.push_back({&node, &info, found.node, found.info});
      }
    }
  }
  return shared;
}

std::vector<CopiedTensor> copy_parameters(const Model& source, Model& target,
                                          const std::vector<bool>& fresh) {
  const auto& source_mask = source.parameters.mask;
  auto& value = target.parameters.value;
  auto& mask = target.parameters.mask;
  if (!source_mask.empty() && mask.empty()) {
    mask.assign(static_cast<std::size_t>(target.graph.trainable_size), real{1});
  }
  std::vector<CopiedTensor> copied;
  for (const Node& node : target.graph.nodes) {
    bool any = false, rest = false;
    for (const ParameterInfo& info : node.parameters) {
      CopiedTensor& row = copied.emplace_back();
      row.name = info.name;
      row.shape = info.shape;
      const ParameterInfo* from = find_tensor(source.graph, info.name).info;
      if (!from) continue;
      row.source_shape = from->shape;
      if (!fresh.empty() && fresh[node.index]) continue;
      if (from->shape.size() != info.shape.size()) continue;
      for (std::size_t d = 0; d < info.shape.size(); ++d) {
        row.copied.push_back(std::min(info.shape[d], from->shape[d]));
      }
      each_row(*from, info, row.copied, [&](std::int64_t begin, std::int64_t to, int count) {
        std::copy_n(source.parameters.value.begin() + begin, count, value.begin() + to);
        if (source_mask.empty() || !from->trainable || !info.trainable) return;
        for (int i = 0; i < count; ++i) {
          mask[static_cast<std::size_t>(to + i)] *= source_mask[static_cast<std::size_t>(begin + i)];
        }
      });
    }
    for (std::size_t i = copied.size() - node.parameters.size(); i < copied.size(); ++i) {
      any = any || !copied[i].fresh();
      rest = rest || !copied[i].whole();
    }
    // Grids that were made for other weights.
    if (any && rest && node.attributes.quantize.scheme) fit_weights(node, RangeMethod::kMinMax, value.data());
  }
  for (std::size_t i = 0; i < mask.size(); ++i) value[i] *= mask[i];
  return copied;
}

}  // namespace espalier
