// Transfer: a model of a source task helps with a target task. Three modes:
//
//   parameters   the source's weights, a new head for new classes; layers may be frozen or learn slower
//   structure    the source's spec, fresh weights
//   distill      a student learns from the source, its teacher (Hinton, Vinyals and Dean 2015), perhaps after
//                a hint (FitNets; Romero et al. 2015)
//
// The first two can keep the source in mind, the source article's θ* = argmin L(θ; D_T) + λ·R(θ; D_S):
// `lambda` rehearses the source's images with the source's own head, `l2sp` pulls towards the source's
// weights (Li, Grandvalet and Davoine 2018). Masks and grids of a model that is given, or of the source,
// stay.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "compress/distill.h"
#include "compress/finetune.h"
#include "compress/pass.h"
#include "core/error.h"
#include "core/number_text.h"
#include "data/subset.h"
#include "ops/op.h"
#include "train/copy.h"
#include "train/layers.h"
#include "train/teacher.h"

namespace espalier {
namespace {

using nlohmann::json;

struct TransferOptions {
  std::string mode = "parameters";
  int epochs = 5;
  std::vector<std::string> freeze;
  std::vector<std::string> layer_rates;
  bool new_head = false;
  double lambda = 0;
  double rehearsal = 1;
  double l2sp = 0;
  std::string student;
  double temperature = 4;
  double alpha = 0.9;
  std::string hint;
  int hint_epochs = 2;
  bool control = false;
};

constexpr ConfigField kFields[] = {
    {"mode", "What is taken from the source", member<&TransferOptions::mode>, 0, 0,
     "parameters, structure, distill"},
    {"epochs", "Times that the target's training images are seen; 0: copy only",
     member<&TransferOptions::epochs>, 0, 1e6},
    {"freeze", "Layers that keep their parameters: names, or beginnings of names with a *",
     member<&TransferOptions::freeze>},
    {"layer_rates", "Factors on the learning rate of some layers: \"conv1=0.1\"",
     member<&TransferOptions::layer_rates>},
    {"new_head", "Fresh weights for the last layer even if the number of classes is the same",
     member<&TransferOptions::new_head>},
    {"lambda", "Weight of the source's loss on rehearsed source images; 0: off",
     member<&TransferOptions::lambda>, 0, 1e6},
    {"rehearsal", "Share of the source's training images that are rehearsed",
     member<&TransferOptions::rehearsal>, 1e-6, 1},
    {"l2sp", "Strength of the pull towards the source's weights; 0: off", member<&TransferOptions::l2sp>, 0,
     1e6},
    {"student", "Distillation: a preset's name or a spec", member<&TransferOptions::student>},
    {"temperature", "Distillation: softens the teacher's outputs", member<&TransferOptions::temperature>,
     0.01, 1000},
    {"alpha", "Distillation: share of the teacher's term in the loss", member<&TransferOptions::alpha>, 0, 1},
    {"hint", "Distillation: layers compared beforehand, \"student's layer=teacher's layer\"",
     member<&TransferOptions::hint>},
    {"hint_epochs", "Distillation: epochs of the hint", member<&TransferOptions::hint_epochs>, 1, 1e6},
    {"control", "Also train from scratch, equally long", member<&TransferOptions::control>},
};

[[noreturn]] void fail(const char* field, const std::string& message) {
  throw Error(ErrorCode::kArgument, field, message);
}

// The layer that gives the classes: the last one with weights.
const Node& head_of(const Graph& graph) {
  const Node* node = &graph.nodes.back();
  while (node->op != &kDense && node->op != &kConv) {
    if (node->inputs.size() != 1 || node->inputs[0] == 0) {
      throw Error(ErrorCode::kSpec, node->name,
                  "is no head that new classes can replace; end the model with a dense layer");
    }
    node = &graph.nodes[static_cast<std::size_t>(node->inputs[0] - 1)];
  }
  return *node;
}

// Only node `index`, or, inverted, all but it.
std::vector<bool> nodes_of(const Graph& graph, std::uint32_t index, bool inverted) {
  std::vector<bool> nodes(graph.nodes.size(), inverted);
  nodes[index] = !inverted;
  return nodes;
}

bool has_codebook(const Node& node) {
  const QuantizationScheme* scheme = node.attributes.quantize.scheme;
  return scheme && scheme->codebook;
}

// The spec of `graph` for another number of classes. The head's codebook, found for other weights, goes.
json spec_for_classes(const Graph& graph, int classes) {
  const Node& head = head_of(graph);
  json spec = to_spec(graph);
  json& layer = spec["layers"][head.index];
  layer[head.op == &kDense ? "units" : "out_channels"] = classes;
  if (has_codebook(head)) layer.erase("quantize");
  spec["classes"] = classes;
  return spec;
}

// A model of `model`'s structure, which `spec` describes, with fresh weights. The grids of feature maps
// belong to the structure and stay; codebooks go.
std::unique_ptr<Model> fresh_like(const Model& model, const json& spec, bool keep_masks, std::uint64_t seed) {
  json plain = spec;
  for (const Node& node : model.graph.nodes) {
    if (has_codebook(node)) plain["layers"][node.index].erase("quantize");
  }
  std::unique_ptr<Model> fresh = Model::create(plain, seed, nullptr);
  std::vector<bool> weights;
  for (const Node& node : fresh->graph.nodes) weights.push_back(node.op != &kFakeQuantize);
  copy_parameters(model, *fresh, weights);
  fresh->parameters.mask.clear();
  if (!keep_masks || model.parameters.mask.empty()) return fresh;
  fresh->parameters.mask.assign(static_cast<std::size_t>(fresh->graph.trainable_size), real{1});
  for (const SharedTensor& shared : shared_tensors(fresh->graph, model.graph)) {
    if (!shared.info->trainable || !shared.other->trainable) continue;
    for (std::int64_t i = 0; i < shared.info->size; ++i) {
      const real kept = model.parameters.mask[static_cast<std::size_t>(shared.other->offset + i)];
      const auto at = static_cast<std::size_t>(shared.info->offset + i);
      fresh->parameters.mask[at] = kept;
      fresh->parameters.value[at] *= kept;
    }
  }
  return fresh;
}

// So that the head shares no name with that of another task.
void rename_head(Model& model) {
  Node& head = model.graph.nodes[head_of(model.graph).index];
  head.name = "source_" + head.name;
  for (ParameterInfo& info : head.parameters) info.name = "source_" + info.name;
}

// The source's own task on the target's trunk: the target with the source's head, under a name of its own
// where the target has a head of its own. Null when the source's head does not fit the target's trunk.
std::unique_ptr<Model> make_source_task(const Model& source, const Model& target, bool new_head,
                                        std::uint64_t seed) {
  if (!new_head) return copy_of(target);
  std::unique_ptr<Model> task =
      Model::create(spec_for_classes(target.graph, source.graph.classes), seed, nullptr);
  const std::uint32_t index = head_of(task->graph).index;
  copy_parameters(target, *task, nodes_of(task->graph, index, false));
  const auto rows = copy_parameters(source, *task, nodes_of(task->graph, index, true));
  const Node& head = task->graph.nodes[index];
  for (const CopiedTensor& row : rows) {
    const auto is = [&](const ParameterInfo* info) { return info && info->name == row.name; };
    if ((is(&head.parameters[0]) || (head.attributes.bias && is(&head.parameters[1]))) && !row.whole()) {
      return nullptr;
    }
  }
  rename_head(*task);
  return task;
}

std::string extents(const std::vector<int>& shape) {
  std::string text;
  for (const int extent : shape) text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text;
}

void note_copies(const std::vector<CopiedTensor>& rows, Report& report) {
  std::string whole, partly, fresh;
  const auto add = [](std::string& list, const std::string& text) {
    list += (list.empty() ? "" : ", ") + text;
  };
  for (const CopiedTensor& row : rows) {
    if (row.whole()) {
      add(whole, row.name);
    } else if (row.fresh()) {
      add(fresh, row.name);
    } else {
      add(partly, row.name + " (" + extents(row.copied) + " of " + extents(row.shape) + ", source " +
                      extents(row.source_shape) + ")");
    }
  }
  if (!whole.empty()) report.notes.emplace_back("copied", whole);
  if (!partly.empty()) report.notes.emplace_back("partly copied", partly);
  if (!fresh.empty()) report.notes.emplace_back("fresh", fresh);
}

// Everything that was decided before the work.
struct Decisions {
  TransferOptions options;
  TrainingConfig config;
  std::unique_ptr<Model> target;
  std::unique_ptr<Model> source_task;  // null: not measured and not rehearsed
  std::unique_ptr<Model> anchor;       // null: there is no l2sp
  std::vector<CopiedTensor> copies;
  bool new_head = false;
  bool given = false;  // the target is a model that the caller gave
  Hint hint;           // null models: none
};

bool other_classes(const PassContext& context) {
  if (context.source->graph.classes != context.dataset.classes()) return true;
  return context.source_dataset && context.source_dataset->class_names != context.dataset.class_names;
}

void check_input(const Model& source, const Dataset& dataset) {
  const Shape shape{dataset.channels, dataset.height, dataset.width};
  if (source.graph.input.shape == shape) return;
  throw Error(ErrorCode::kModel, "source",
              "\"" + source.graph.name + "\" takes images of " + to_string(source.graph.input.shape) +
                  ", but " + dataset.name + " has " + to_string(shape) +
                  "; choose a source that was trained on images of that shape");
}

void plan_distillation(PassContext& context, Decisions& plan) {
  const TransferOptions& options = plan.options;
  const Model& teacher = *context.source;
  if (options.lambda > 0)
    fail("lambda", "rehearses the source, which mode distill does not change; set it to 0");
  plan.target =
      plan.given ? copy_of(*context.model) : make_student(options.student, teacher, plan.config.seed);
  if (plan.given && !options.student.empty()) {
    fail("student", "is named although a model is given to be the student; leave one of them out");
  }
  check_fits(teacher.graph, context.dataset);
  check_teacher(teacher.graph, plan.target->graph);
  if (!options.hint.empty()) {
    plan.hint = make_hint(options.hint, *plan.target, teacher, plan.config.seed);
    layer_rates(plan.hint.student->graph, config_for_part(plan.config, plan.hint.student->graph));
  }
}

void plan_transfer(PassContext& context, Decisions& plan) {
  const TransferOptions& options = plan.options;
  const Model& source = *context.source;
  const std::uint64_t seed = plan.config.seed;
  const bool structure = options.mode == "structure";
  if (!options.student.empty()) fail("student", "belongs to mode distill; leave it out");
  if (!options.hint.empty()) fail("hint", "belongs to mode distill; leave it out");
  if (structure && plan.given) {
    fail("mode", "structure makes a model of its own from the source's spec; give it none");
  }
  const bool new_head = plan.new_head = options.new_head || other_classes(context);
  if (plan.given) {
    plan.target = copy_of(*context.model);
  } else {
    const int classes = context.dataset.classes();
    const json spec = new_head ? spec_for_classes(source.graph, classes) : to_spec(source.graph);
    plan.target = structure ? fresh_like(source, spec, false, seed) : Model::create(spec, seed, nullptr);
  }
  Model& target = *plan.target;
  if (!structure) {
    const std::vector<bool> fresh =
        new_head ? nodes_of(target.graph, head_of(target.graph).index, false) : std::vector<bool>();
    plan.copies = copy_parameters(source, target, fresh);
    if (std::all_of(plan.copies.begin(), plan.copies.end(), [](const auto& row) { return row.fresh(); })) {
      throw Error(ErrorCode::kModel, "source",
                  "\"" + source.graph.name + "\" and \"" + target.graph.name +
                      "\" have no tensor of the same name to copy; choose a source with the target's layers");
    }
  }
  if (options.lambda > 0 && !context.source_dataset) {
    fail("lambda", "rehearses the source's images; give the source's data or set it to 0");
  }
  if (!context.source_dataset || (structure && options.lambda == 0)) return;
  check_fits(source.graph, *context.source_dataset);
  plan.source_task = make_source_task(source, target, new_head, seed);
  if (!plan.source_task && options.lambda > 0) {
    throw Error(
        ErrorCode::kModel, "source",
        "has a head that does not fit the target's layers, so it cannot be rehearsed; set lambda to 0");
  }
}

Work forget(PassContext& context, const Decisions& plan) {
  Report& report = context.report;
  if (plan.options.lambda == 0) copy_parameters(*plan.target, *plan.source_task);
  co_await evaluate_on(*context.source_dataset, *plan.source_task, context, report.source_after, "source");
  if (!report.source_after) co_return;
  report.notes.emplace_back("forgetting", percent(report.source_before->test - report.source_after->test, 2) +
                                              " of the source's test images, " +
                                              percent(report.source_before->test, 2) + " before");
}

Work control(PassContext& context, const Decisions& plan, std::unique_ptr<Model> scratch) {
  TrainingConfig config = plan.config;
  config.epochs += plan.hint.student ? plan.options.hint_epochs : 0;
  if (plan.options.mode != "distill") {
    config.freeze.clear();
    config.layer_rates.clear();
  }
  if (plan.options.epochs > 0) co_await fine_tune(*scratch, context, config, {}, "control");
  co_await evaluate_model(*scratch, context, context.report.accuracy_control);
}

Work run(PassContext& context, Decisions plan) {
  const TransferOptions& options = plan.options;
  const Model& source = *context.source;
  Model& target = *plan.target;
  const bool distill = options.mode == "distill";
  Report& report = context.report;
  report.pass = "transfer";
  report.model = target.graph.name;
  report.seed = plan.config.seed;
  report.before = measure(source);
  report.finetune_epochs = options.epochs;
  report.notes.emplace_back("mode", options.mode);
  note_copies(plan.copies, report);

  if (plan.given) {
    co_await evaluate_model(*context.model, context, report.accuracy_before);
  }
  if (distill) {
    std::optional<Accuracy> teacher;
    co_await evaluate_model(source, context, teacher);
    if (teacher) {
      report.notes.emplace_back("teacher", percent(teacher->validation, 2) + " of the validation images, " +
                                               percent(teacher->test, 2) + " of the test images");
    }
  } else {
    co_await evaluate_model(target, context, report.accuracy_after);
  }
  if (plan.source_task) {
    co_await evaluate_on(*context.source_dataset, source, context, report.source_before, "source");
  }

  std::unique_ptr<Model> scratch;
  if (options.control) {
    scratch = distill ? copy_of(target) : fresh_like(target, to_spec(target.graph), true, plan.config.seed);
  }
  if (plan.hint.student) {
    TrainingConfig config = config_for_part(plan.config, plan.hint.student->graph);
    config.epochs = options.hint_epochs;
    TrainingTerms terms;
    terms.teacher = plan.hint.teacher.get();
    terms.imitate = true;
    co_await fine_tune(*plan.hint.student, context, config, {}, "hint", terms);
    copy_parameters(*plan.hint.student, target);
  }
  Dataset rehearsed;
  TrainingTerms terms;
  if (distill) terms.teacher = &source;
  terms.temperature = options.temperature;
  terms.distillation = options.alpha;
  terms.anchor = plan.anchor.get();
  terms.l2sp = options.l2sp;
  if (options.lambda > 0) {
    const Dataset& all = *context.source_dataset;
    terms.source_task = plan.source_task.get();
    terms.source_data = &all;
    terms.lambda = options.lambda;
    if (options.rehearsal < 1) {
      rehearsed.name = all.name;
      rehearsed.channels = all.channels;
      rehearsed.height = all.height;
      rehearsed.width = all.width;
      rehearsed.class_names = all.class_names;
      rehearsed.train = all.train;
      limit_share(rehearsed, options.rehearsal, plan.config.seed);
      terms.source_data = &rehearsed;
    }
    report.notes.emplace_back("rehearsed", std::to_string(terms.source_data->train.count()) + " images");
  }
  if (options.epochs > 0) {
    co_await fine_tune(target, context, plan.config, {}, distill ? "distill" : "fine-tune", terms);
  }
  co_await evaluate_model(target, context, report.accuracy_finetuned);
  if (plan.source_task) co_await forget(context, plan);
  if (options.control) co_await control(context, plan, std::move(scratch));
  report.after = measure(target);
  report.revived = revived_weights(target);
  context.model = std::move(plan.target);
}

Work start(PassContext& context, const json& options) {
  Decisions plan;
  read_config(kFields, options, &plan.options);
  if (!context.source) fail("source", "is missing: transfer needs a trained model to take from");
  plan.config = context.training;
  plan.config.epochs = std::max(plan.options.epochs, 1);
  if (!plan.options.freeze.empty()) plan.config.freeze = plan.options.freeze;
  if (!plan.options.layer_rates.empty()) plan.config.layer_rates = plan.options.layer_rates;
  plan.given = context.model != nullptr;
  check_input(*context.source, context.dataset);
  if (plan.options.mode == "distill") {
    plan_distillation(context, plan);
  } else {
    plan_transfer(context, plan);
  }
  check_fits(plan.target->graph, context.dataset);
  if (plan.options.l2sp > 0) {
    plan.anchor = copy_of(*context.source);
    if (plan.new_head) rename_head(*plan.anchor);
    if (shared_tensors(plan.target->graph, plan.anchor->graph).empty()) {
      fail("l2sp",
           "pulls towards the source's weights, but no tensor has the same name and shape; set it to 0");
    }
  }
  if (plan.options.epochs > 0) layer_rates(plan.target->graph, plan.config);
  return run(context, std::move(plan));
}

json defaults() {
  const TransferOptions options;
  return describe_config(kFields, &options);
}

json complete(const json& given) {
  TransferOptions options;
  read_config(kFields, given, &options);
  return write_config(kFields, &options);
}

}  // namespace

constinit const PassType kTransferPass{
    .name = "transfer",
    .summary = "Takes weights, a structure or a teacher's knowledge from another model.",
    .fields = kFields,
    .start = start,
    .defaults = defaults,
    .complete = complete};

}  // namespace espalier
