#include "graph/plan.h"

#include <algorithm>
#include <limits>
#include <map>

#include "graph/lifetime.h"
#include "ops/op.h"

namespace espalier {
namespace {

constexpr std::int64_t round_up(std::int64_t size) { return (size + 15) / 16 * 16; }

// What a buffer holds.
struct Key {
  enum class Kind : std::uint8_t { kValue, kGradient, kTemporary };
  Kind kind = Kind::kValue;
  int value = 0;
  int consumer = 0;  // temporaries: the node that writes them
  auto operator<=>(const Key&) const = default;
};

// A step before memory is assigned: keys instead of buffers. value < 0: none.
struct Draft {
  Plan::Action action;
  int node;
  std::vector<Key> in;
  std::vector<Key> out;  // none or one
  std::vector<Key> grad_out;
  std::vector<Key> grad_in;  // one for each input, value < 0 where not needed
  std::vector<Key> accumulate_to;
};

constexpr Key kNoKey{Key::Kind::kValue, -1, 0};
Key value_key(int value) { return {Key::Kind::kValue, value, 0}; }
Key gradient_key(int value) { return {Key::Kind::kGradient, value, 0}; }

class Planner {
 public:
  Planner(const Graph& graph, int lanes, const PlanOptions& options)
      : graph_(graph), options_(options), node_count_(static_cast<int>(graph.nodes.size())) {
    plan_.lanes = lanes;
    plan_.training = options.training;
    plan_.frozen = options.frozen;
    plan_.frozen.resize(graph.nodes.size(), false);
    plan_.max_blocks = (options.max_batch + lanes - 1) / lanes;
  }

  Plan make() {
    find_segments();
    if (options_.training) find_gradients_needed();
    draft_sweeps();
    assign_memory();
    return std::move(plan_);
  }

 private:
  const Node& node(int index) const { return graph_.nodes[static_cast<std::size_t>(index)]; }
  bool frozen(int index) const { return plan_.frozen[static_cast<std::size_t>(index)]; }
  bool whole_batch(int index) const {
    return options_.training && !frozen(index) && node(index).op->whole_batch();
  }
  std::int64_t value_size(int value) const {
    return round_up(static_cast<std::int64_t>(graph_.value_shape(value).size()) * plan_.lanes);
  }

  void find_segments() {
    segment_.assign(static_cast<std::size_t>(node_count_ + 1), 0);
    for (int n = 0; n < node_count_; ++n) {
      int segment = 0;
      for (const int input : node(n).inputs) segment = std::max(segment, segment_of(input));
      segment_[static_cast<std::size_t>(n + 1)] = segment + (whole_batch(n) ? 1 : 0);
      segments_ = std::max(segments_, segment_of(n + 1) + 1);
    }
  }
  int segment_of(int value) const { return segment_[static_cast<std::size_t>(value)]; }

  void find_gradients_needed() {
    gradient_needed_.assign(static_cast<std::size_t>(node_count_ + 1), false);
    for (int n = 0; n < node_count_; ++n) {
      bool needed = !frozen(n) && node(n).parameter_count() > 0;
      for (const int input : node(n).inputs) needed = needed || needs_gradient(input);
      gradient_needed_[static_cast<std::size_t>(n + 1)] = needed;
    }
  }
  bool needs_gradient(int value) const { return gradient_needed_[static_cast<std::size_t>(value)]; }

  // ---- which step happens in which sweep

  void draft_sweeps() {
    for (int segment = 0; segment < segments_; ++segment) {
      begin_sweep();
      for (int n = 0; n < node_count_; ++n) {
        if (segment_of(n + 1) != segment) continue;
        draft_forward(n);
      }
      for (int n = 0; n < node_count_; ++n) {
        if (!whole_batch(n) || segment_of(node(n).inputs[0]) != segment) continue;
        drafts_.back().push_back(
            {.action = Plan::Action::kPartialStatistics, .node = n, .in = {value_key(node(n).inputs[0])}});
        plan_.sweeps.back().reduce_statistics.push_back(n);
      }
    }
    if (!options_.training) return;
    drafts_.back().push_back({.action = Plan::Action::kLoss,
                              .node = node_count_ - 1,
                              .in = {value_key(node_count_)},
                              .out = {gradient_key(node_count_)}});
    draft_backward(segments_ - 1);
    for (int segment = segments_ - 2; segment >= 0; --segment) {
      begin_sweep();
      const std::size_t sweep = drafts_.size() - 1;
      draft_backward(segment);
      recompute(sweep, segment);
    }
  }

  void begin_sweep() {
    drafts_.emplace_back();
    plan_.sweeps.emplace_back();
  }

  Draft forward_draft(int n) const {
    Draft draft{.action = Plan::Action::kForward, .node = n};
    for (const int input : node(n).inputs) draft.in.push_back(value_key(input));
    draft.out = {value_key(n + 1)};
    return draft;
  }
  void draft_forward(int n) { drafts_.back().push_back(forward_draft(n)); }

  void draft_backward(int segment) {
    // Batch norms of the next segment finish first: their sums are known now.
    for (int n = node_count_ - 1; n >= 0; --n) {
      if (whole_batch(n) && segment_of(n + 1) == segment + 1) draft_gradient(n);
    }
    for (int n = node_count_ - 1; n >= 0; --n) {
      if (segment_of(n + 1) != segment) continue;
      if (whole_batch(n)) {
        drafts_.back().push_back({.action = Plan::Action::kPartialGradients,
                                  .node = n,
                                  .in = {value_key(node(n).inputs[0])},
                                  .grad_out = {gradient_key(n + 1)}});
        plan_.sweeps.back().reduce_gradients.push_back(n);
      } else {
        draft_gradient(n);
        if (node(n).op->round_backward && !frozen(n)) plan_.sweeps.back().round_nodes.push_back(n);
      }
    }
  }

  void draft_gradient(int n) {
    if (!needs_gradient(n + 1)) return;
    const OpType& op = *node(n).op;
    Draft draft{.action = Plan::Action::kBackward, .node = n};
    draft.grad_out = {gradient_key(n + 1)};
    for (const int input : node(n).inputs) {
      draft.in.push_back(op.needs_input ? value_key(input) : kNoKey);
      if (!needs_gradient(input)) {
        draft.grad_in.push_back(kNoKey);
        draft.accumulate_to.push_back(kNoKey);
      } else if (gradient_written_.insert({input, true}).second) {
        draft.grad_in.push_back(gradient_key(input));
        draft.accumulate_to.push_back(kNoKey);
      } else {
        draft.grad_in.push_back({Key::Kind::kTemporary, input, n});
        draft.accumulate_to.push_back(gradient_key(input));
      }
    }
    if (op.needs_output) draft.out = {value_key(n + 1)};
    drafts_.back().push_back(std::move(draft));
  }

  // Prepends the cheap layers whose outputs this backward sweep reads.
  void recompute(std::size_t sweep, int segment) {
    std::vector<bool> again(static_cast<std::size_t>(node_count_), false);
    const auto request = [&](const auto& self, int value) -> void {
      if (value == 0 || segment_of(value) != segment) return;  // crosses segments: kept anyway
      const int n = value - 1;
      if (!node(n).op->recompute || kept_[value]) {
        kept_[value] = true;
        return;
      }
      if (again[static_cast<std::size_t>(n)]) return;
      again[static_cast<std::size_t>(n)] = true;
      for (const int input : node(n).inputs) self(self, input);
    };
    for (const Draft& draft : drafts_[sweep]) {
      for (const Key& key : draft.in) {
        if (key.value >= 0) request(request, key.value);
      }
      if (draft.action == Plan::Action::kBackward && !draft.out.empty()) {
        request(request, draft.out[0].value);
      }
    }
    std::vector<Draft> prefix;
    for (int n = 0; n < node_count_; ++n) {
      if (again[static_cast<std::size_t>(n)] && !crosses(n + 1)) prefix.push_back(forward_draft(n));
    }
    drafts_[sweep].insert(drafts_[sweep].begin(), prefix.begin(), prefix.end());
  }

  // A value that a later segment reads has to be kept for the whole batch, so it is there.
  bool crosses(int value) const {
    for (int n = 0; n < node_count_; ++n) {
      const auto& inputs = node(n).inputs;
      if (std::find(inputs.begin(), inputs.end(), value) != inputs.end() &&
          segment_of(n + 1) > segment_of(value)) {
        return true;
      }
    }
    return false;
  }

  // ---- where it lives

  void assign_memory() {
    std::int64_t end = 0;
    const auto reserve = [&end](std::int64_t size) {
      const std::int64_t offset = end;
      end += round_up(size);
      return offset;
    };
    const auto per_node = [&](auto&& size_of) {
      std::vector<std::int64_t> offsets;
      for (const Node& n : graph_.nodes) {
        const std::int64_t size = size_of(n);
        offsets.push_back(size > 0 ? reserve(size) : -1);
      }
      return offsets;
    };
    plan_.packed = per_node([this](const Node& n) -> std::int64_t {
      return n.op->packed_size ? n.op->packed_size(n, options_.training) : 0;
    });
    plan_.statistics =
        per_node([](const Node& n) { return n.op->statistics_size ? n.op->statistics_size(n) : 0; });
    if (options_.training) {
      plan_.stash = per_node([](const Node& n) { return n.op->stash_size ? n.op->stash_size(n) : 0; });
      plan_.partials = per_node([this](const Node& n) -> std::int64_t {
        const std::int64_t groups = static_cast<std::int64_t>(plan_.max_blocks) * plan_.lanes / 8;
        return n.op->whole_batch() ? groups * 2 * n.in_shape().channels : 0;
      });
      plan_.shard_gradient_size = graph_.sharded_size;
      plan_.shard_gradients = reserve(plan_.shard_gradient_size * kShards);
    }

    find_scopes();
    std::map<Key, Lifetime> batch;
    for (std::size_t s = 0; s < drafts_.size(); ++s) {
      for (const Draft& draft : drafts_[s]) {
        for_each_key(draft, [&](const Key& key) {
          if (scope(key) != Plan::Scope::kBatch) return;
          Lifetime& lifetime = batch[key];
          lifetime.size = value_size(key.value) * plan_.max_blocks;
          lifetime.touch(static_cast<int>(s));
        });
      }
    }
    std::vector<Lifetime*> lifetimes;
    for (auto& [key, lifetime] : batch) lifetimes.push_back(&lifetime);
    const std::int64_t batch_base = reserve(place(lifetimes));
    for (auto& [key, lifetime] : batch) {
      batch_buffers_[key] = {Plan::Scope::kBatch, batch_base + lifetime.offset, value_size(key.value)};
    }

    for (std::size_t s = 0; s < drafts_.size(); ++s) assign_block_memory(s);
    plan_.threads = reserve(round_up(plan_.thread_size) * options_.threads);
    plan_.thread_size = round_up(plan_.thread_size);
    plan_.arena_size = end;
  }

  template <class Visit>
  static void for_each_key(const Draft& draft, Visit&& visit) {
    for (const auto* keys : {&draft.in, &draft.out, &draft.grad_out, &draft.grad_in, &draft.accumulate_to}) {
      for (const Key& key : *keys) {
        if (key.value >= 0) visit(key);
      }
    }
  }

  // A key used by more than one sweep is kept for the batch, unless each sweep computes it anew.
  void find_scopes() {
    std::map<Key, std::vector<std::size_t>> used_in;
    std::map<Key, std::vector<std::size_t>> made_in;
    for (std::size_t s = 0; s < drafts_.size(); ++s) {
      for (const Draft& draft : drafts_[s]) {
        for_each_key(draft, [&](const Key& key) {
          auto& sweeps = used_in[key];
          if (sweeps.empty() || sweeps.back() != s) sweeps.push_back(s);
        });
        if (draft.action == Plan::Action::kForward) made_in[draft.out[0]].push_back(s);
      }
    }
    for (const auto& [key, sweeps] : used_in) {
      const bool anew = made_in[key] == sweeps;
      scopes_[key] = sweeps.size() > 1 && !anew ? Plan::Scope::kBatch : Plan::Scope::kBlock;
    }
    scopes_[value_key(0)] = Plan::Scope::kImages;
  }
  Plan::Scope scope(const Key& key) const { return scopes_.at(key); }

  void assign_block_memory(std::size_t s) {
    const std::vector<Draft>& drafts = drafts_[s];
    // Keys that share memory in place have one lifetime: `slot` names it.
    std::map<Key, int> slot;
    std::vector<Lifetime> lifetimes;
    std::map<Key, int> last_use;
    for (int t = 0; t < static_cast<int>(drafts.size()); ++t) {
      for_each_key(drafts[static_cast<std::size_t>(t)], [&](const Key& key) { last_use[key] = t; });
    }
    const auto is_block = [this](const Key& key) {
      return key.value >= 0 && scope(key) == Plan::Scope::kBlock;
    };
    for (int t = 0; t < static_cast<int>(drafts.size()); ++t) {
      const Draft& draft = drafts[static_cast<std::size_t>(t)];
      // `made` may take over the memory of `source` if nobody reads that later.
      const auto share = [&](const Key& made, const Key& source) {
        if (options_.keep_values || !node(draft.node).op->in_place) return;
        if (!is_block(made) || !is_block(source) || slot.contains(made)) return;
        if (last_use[source] != t || value_size(made.value) != value_size(source.value)) return;
        if (std::count(draft.in.begin(), draft.in.end(), source) > 1) return;
        slot[made] = slot.at(source);
      };
      if (draft.action == Plan::Action::kForward) share(draft.out[0], draft.in[0]);
      if (draft.action == Plan::Action::kBackward && draft.grad_in[0].value >= 0) {
        share(draft.grad_in[0], draft.grad_out[0]);
      }
      for_each_key(draft, [&](const Key& key) {
        if (!is_block(key)) return;
        const auto [at, added] = slot.try_emplace(key, static_cast<int>(lifetimes.size()));
        if (added) lifetimes.push_back({.size = value_size(key.value)});
        Lifetime& lifetime = lifetimes[static_cast<std::size_t>(at->second)];
        lifetime.touch(t);
        if (options_.keep_values) lifetime.touch(static_cast<int>(drafts.size()));
      });
    }
    std::vector<Lifetime*> pointers;
    for (Lifetime& lifetime : lifetimes) pointers.push_back(&lifetime);
    plan_.thread_size = std::max(plan_.thread_size, place(pointers));

    const auto buffer = [&](const Key& key) -> Plan::Buffer {
      if (key.value < 0) return {};
      switch (scope(key)) {
        case Plan::Scope::kImages:
          return {Plan::Scope::kImages, 0,
                  static_cast<std::int64_t>(graph_.input.shape.size()) * plan_.lanes};
        case Plan::Scope::kBatch:
          return batch_buffers_.at(key);
        default:
          return {Plan::Scope::kBlock, lifetimes[static_cast<std::size_t>(slot.at(key))].offset,
                  value_size(key.value)};
      }
    };
    const auto buffers = [&](const std::vector<Key>& keys) {
      std::vector<Plan::Buffer> result;
      for (const Key& key : keys) result.push_back(buffer(key));
      return result;
    };
    plan_.values.resize(static_cast<std::size_t>(node_count_ + 1));
    for (const Draft& draft : drafts) {
      plan_.sweeps[s].steps.push_back(
          {.action = draft.action,
           .node = draft.node,
           .in = buffers(draft.in),
           .out = draft.out.empty() ? Plan::Buffer{} : buffer(draft.out[0]),
           .grad_out = draft.grad_out.empty() ? Plan::Buffer{} : buffer(draft.grad_out[0]),
           .grad_in = buffers(draft.grad_in),
           .accumulate_to = buffers(draft.accumulate_to)});
      if (draft.action == Plan::Action::kForward) {
        plan_.values[static_cast<std::size_t>(draft.node + 1)] = plan_.sweeps[s].steps.back().out;
      }
    }
  }

  const Graph& graph_;
  const PlanOptions& options_;
  int node_count_;
  Plan plan_;
  int segments_ = 1;
  std::vector<int> segment_;  // by value
  std::vector<bool> gradient_needed_;
  std::map<int, bool> gradient_written_;
  std::map<int, bool> kept_;
  std::vector<std::vector<Draft>> drafts_;  // by sweep
  std::map<Key, Plan::Scope> scopes_;
  std::map<Key, Plan::Buffer> batch_buffers_;
};

}  // namespace

Plan make_plan(const Graph& graph, int lanes, const PlanOptions& options) {
  return Planner(graph, lanes, options).make();
}

}  // namespace espalier
