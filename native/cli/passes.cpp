// espalier quantize, prune, factorize, transfer: a pass over a model file. The options are made of the
// pass's fields, so that a new field is an option without a line here.
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string_view>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/config_options.h"
#include "cli/progress.h"
#include "cli/stages.h"
#include "cli/terminal.h"
#include "cli/training_options.h"
#include "compress/pass.h"
#include "compress/report.h"
#include "core/error.h"
#include "core/json_fields.h"
#include "data/load.h"

namespace espalier::cli {
namespace {

using nlohmann::json;

// Transfer makes a new model of the given one; the other passes change it.
bool takes_a_source(const PassType& pass) { return &pass == &kTransferPass; }

struct PassOptions {
  explicit PassOptions(const PassType& type) : pass(type) {}

  const PassType& pass;
  std::string model;
  DataOptions data;
  DataOptions source_data;
  std::string rewind;
  std::string out;
  std::string csv;
  bool json = false;
  EngineOptions engine;
  ConfigOptions fields;
  TrainingOptions training;
};

// The options in full: the pass's defaults and what was given.
json all_options(const PassType& pass, const json& given) {
  json options = json::object();
  for (const json& field : pass.defaults()) {
    options[field.at("name").get<std::string>()] = field.at("default");
  }
  options.update(given);
  return options;
}

bool trains(const json& options) {
  for (const char* epochs : {"qat", "finetune", "epochs"}) {
    if (options.value(epochs, 0) > 0) return true;
  }
  return false;
}

std::string text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return dump(value);
  std::string text;
  for (const json& item : value) text += (text.empty() ? "" : ",") + item.get<std::string>();
  return text;
}

// "sparsity 0.9, slim, no control"
std::string words_of(const json& options) {
  std::string text;
  for (const auto& [name, value] : options.items()) {
    text += text.empty() ? "" : ", ";
    if (value.is_boolean()) {
      text += (value.get<bool>() ? "" : "no ") + name;
    } else {
      text += name + " " + text_of(value);
    }
  }
  return text.empty() ? "by default" : text;
}

class Compression {
 public:
  explicit Compression(const PassOptions& options)
      : options_(options),
        kernels_(options.engine.select()),
        pool_(options.engine.threads),
        stages_(options.json) {}

  int run() {
    prepare();
    const std::unique_ptr<PassContext> context = make_context();
    std::optional<Work> work(start(*context));
    const Interrupt interrupt;
    print_header();
    while (advance(*work)) {
      if (!Interrupt::requested()) {
        stages_.show(work->progress());
        continue;
      }
      const std::string stage(work->progress().stage);
      work.reset();
      return stop(stage);
    }
    stages_.clear();
    finish(*context);
    return kDone;
  }

 private:
  void prepare() {
    format_ = &format_of_out(options_.out);
    check_can_save(options_.out);
    check_can_save(options_.csv);
    given_ = options_.fields.given();
    if (!options_.rewind.empty()) given_["rewind"] = true;
    config_ = options_.training.config();
    if (options_.data.data.empty()) options_.data.open(config_.seed);  // says so
    if (options_.source_data.data.empty() && !options_.source_data.classes.empty()) {
      options_.source_data.open(config_.seed);
    }
    ModelFile file = open_model(options_.model);
    model_ = std::move(file.model);
    if (file.training && !options_.training.has("seed")) config_.seed = file.training->config.seed;
    dataset_ = options_.data.open(config_.seed);
    if (!options_.source_data.data.empty()) source_dataset_ = options_.source_data.open(config_.seed);
    if (!options_.rewind.empty()) early_ = open_model(options_.rewind).model;
    if (!takes_a_source(options_.pass)) check_fits(model_->graph, dataset_);
    read_student();
  }

  // A spec comes by the name of its file.
  void read_student() {
    if (!given_.contains("student")) return;
    const std::string student = given_["student"].get<std::string>();
    std::error_code ignored;
    if (find_preset(student) || !std::filesystem::is_regular_file(student, ignored)) return;
    const std::vector<std::uint8_t> bytes = read_file(student);
    given_["student"] = std::string(bytes.begin(), bytes.end());
  }

  std::unique_ptr<PassContext> make_context() {
    const bool source = takes_a_source(options_.pass);
    parameters_ = model_->graph.parameter_count();
    macs_ = model_->graph.macs();
    name_ = model_->graph.name;
    return std::make_unique<PassContext>(
        PassContext{.model = source ? nullptr : std::move(model_),
                    .dataset = dataset_,
                    .kernels = kernels_,
                    .pool = pool_,
                    .training = config_,
                    .source = source ? model_.get() : nullptr,
                    .source_dataset = source_dataset_ ? &*source_dataset_ : nullptr,
                    .early = early_.get(),
                    .report = {}});
  }

  // Errors name options, not fields.
  template <class Call>
  auto named(Call&& call) {
    try {
      return call();
    } catch (const Error& error) {
      if (error.where() == "rewind") throw Error(error.code(), "--rewind", error.message());
      if (error.where() == "source") throw Error(error.code(), options_.model, error.message());
      try {
        options_.fields.rethrow(error);
      } catch (const Error& field_error) {
        options_.training.rethrow(field_error);
      }
    }
  }
  Work start(PassContext& context) {
    return named([&] { return options_.pass.start(context, given_); });
  }
  bool advance(Work& work) {
    return named([&] { return work.advance(); });
  }

  void print_header() const {
    if (options_.json) return;
    const std::string name(options_.pass.name);
    const json options = all_options(options_.pass, given_);
    const int all = dataset_.train.count();
    const std::string used =
        config_.limit > 0 && config_.limit < all ? with_commas(config_.limit) + " of " : "";
    std::cout << "data      " << options_.data.data << ": " << used << with_commas(all) << " training, "
              << with_commas(dataset_.validation.count()) << " validation, "
              << with_commas(dataset_.test.count()) << " test images, " << dataset_.classes() << " classes\n"
              << "model     " << options_.model << ": " << name_ << ", " << with_commas(parameters_)
              << " parameters, " << with_commas(macs_) << " multiply-adds an image\n"
              << name << std::string(10 - name.size(), ' ') << words_of(options_.fields.given())
              << (options_.rewind.empty() ? "" : ", rewind to " + options_.rewind) << '\n';
    if (trains(options)) {
      std::cout << "training  batch " << config_.batch_size << ", " << config_.optimizer << ", learning rate "
                << short_number(config_.learning_rate) << ", " << config_.schedule << ", augment "
                << config_.augment << ", seed " << config_.seed << '\n';
    }
    std::cout << "engine    " << kernels_.name << " kernels, " << pool_.threads()
              << (pool_.threads() == 1 ? " thread" : " threads") << std::endl;
  }

  int stop(const std::string& stage) {
    stages_.clear();
    std::cout.flush();
    std::cerr << "espalier: interrupted" << (stage.empty() ? "" : " in the stage " + stage)
              << "; nothing was changed\n";
    return kFailed;
  }

  void finish(const PassContext& context) {
    const Model& model = *context.model;
    const std::vector<std::uint8_t> bytes = format_->save(model, {.labels = dataset_.class_names});
    save(options_.out, bytes);
    if (!options_.csv.empty()) {
      const std::string csv = to_csv(context.report);
      save(options_.csv, {reinterpret_cast<const std::uint8_t*>(csv.data()), csv.size()});
    }
    const double seconds = stopwatch_.seconds();
    const std::string sha256 = sha256_hex(weight_bytes(model));
    if (options_.json) {
      json object = to_json(context.report);
      object.update(Fields()("data", options_.data.data)("source", options_.model)("file", options_.out)(
                        "file_bytes", bytes.size())("weights_sha256", sha256)(
                        "options", all_options(options_.pass, given_))("config", to_json(config_))(
                        "kernels", kernels_.name)("threads", pool_.threads())("seconds", seconds)
                        .take());
      std::cout << dump(object, 2) << '\n';
      return;
    }
    std::cout << '\n'
              << to_table(context.report) << "\nweights sha256 " << sha256 << '\n'
              << "saved   " << options_.out << ", " << byte_size(static_cast<std::int64_t>(bytes.size()))
              << ", after " << duration(seconds) << '\n';
    if (!options_.csv.empty()) std::cout << "saved   " << options_.csv << '\n';
  }

  const PassOptions& options_;
  const Kernels& kernels_;
  ThreadPool pool_;
  Stages stages_;
  Stopwatch stopwatch_;
  const FileFormat* format_ = nullptr;
  json given_;
  TrainingConfig config_;
  Dataset dataset_;
  std::optional<Dataset> source_dataset_;
  std::unique_ptr<Model> model_;  // until the context takes it; transfer's source
  std::unique_ptr<Model> early_;
  std::string name_;
  std::int64_t parameters_ = 0;
  std::int64_t macs_ = 0;
};

const char* examples_of(const PassType& pass) {
  if (&pass == &kQuantizePass) {
    return "Examples:\n"
           "  espalier quantize lenet5.safetensors --data mnist --out int8.safetensors\n"
           "  espalier quantize lenet5.safetensors --data mnist --weights 4,conv1=8 --qat 4 --out "
           "w4.safetensors\n"
           "  espalier quantize resnet.safetensors --data mnist --bytes 60000 --out mixed.safetensors --csv "
           "mixed.csv";
  }
  if (&pass == &kPrunePass) {
    return "Examples:\n"
           "  espalier prune lenet5.safetensors --data mnist --criterion magnitude --sparsity 0.9 --finetune "
           "5 "
           "--out sparse.safetensors\n"
           "  espalier prune resnet.safetensors --data mnist --criterion taylor --sparsity 0.5 --granularity "
           "channel --slim --finetune 8 --out slim.safetensors\n"
           "  espalier prune lenet5.safetensors --data mnist --sparsity 0.95 --rewind "
           "lenet5.early.safetensors "
           "--finetune 10 --out ticket.safetensors";
  }
  if (&pass == &kFactorizePass) {
    return "Examples:\n"
           "  espalier factorize lenet5.safetensors --data mnist --rank 16 --out rank16.safetensors\n"
           "  espalier factorize lenet5.safetensors --data mnist --energy 0.9 --finetune 3 --out "
           "factors.safetensors\n"
           "  espalier factorize lenet-300-100.safetensors --data mnist --rank 20 --layers fc1 --json --out "
           "fc1.safetensors";
  }
  if (&pass == &kFineTunePass) {
    return "Examples:\n"
           "  espalier finetune sparse.safetensors --data mnist --out tuned.safetensors\n"
           "  espalier finetune sparse.safetensors --data mnist --epochs 3 --lr 0.005 --out "
           "tuned.safetensors\n"
           "  espalier finetune sparse.safetensors --data mnist --distillation 0.9 --out taught.safetensors";
  }
  if (&pass == &kFoldPass) {
    return "Examples:\n"
           "  espalier fold resnet.safetensors --data mnist --out folded.safetensors\n"
           "  espalier fold mobile.safetensors --data mnist --json --out folded.safetensors\n"
           "  espalier fold resnet.safetensors --data synthetic --csv layers.csv --out folded.safetensors";
  }
  if (&pass == &kSlimPass) {
    return "Examples:\n"
           "  espalier slim pruned.safetensors --data mnist --out slim.safetensors\n"
           "  espalier slim pruned.safetensors --data mnist --json --out slim.safetensors\n"
           "  espalier slim sparse.safetensors --data mnist --csv layers.csv --out slim.safetensors";
  }
  if (&pass == &kRoundPass) {
    return "Examples:\n"
           "  espalier round int8.safetensors --data mnist --out round.safetensors\n"
           "  espalier round int8.safetensors --data mnist --biases 6 --grids 10 --out round.safetensors\n"
           "  espalier round lenet5.safetensors --data mnist --weights 12 --out round.espalier";
  }
  return "Examples:\n"
         "  espalier transfer low.safetensors --data mnist --classes 5-9 --mode parameters --freeze 'conv*' "
         "--out high.safetensors\n"
         "  espalier transfer low.safetensors --data mnist --classes 5-9 --per-class 10 --mode parameters "
         "\\\n"
         "      --source-data mnist --source-classes 0-4 --lambda 1 --rehearsal 0.02 --out both.safetensors\n"
         "  espalier transfer resnet.safetensors --data mnist --mode distill --student small --temperature 4 "
         "--out student.safetensors";
}

Command add_pass(CLI::App& espalier, const PassType& pass) {
  CLI::App* app = espalier.add_subcommand(std::string(pass.name), std::string(pass.summary));
  const auto options = std::make_shared<PassOptions>(pass);
  const bool source = takes_a_source(pass);
  app->add_option(
         source ? "SOURCE" : "MODEL", options->model,
         source ? "The model file to take from; distill: the teacher" : "The model file to start from")
      ->required();
  options->data.add_to(*app);
  if (source) options->source_data.add_source_to(*app);
  for (const json& field : pass.defaults()) {
    OptionRow row = row_of(field);
    if (row.field == "rewind") {
      app->add_option("--rewind", options->rewind, row.summary + ", in this file")->type_name("FILE");
    } else {
      if (row.field == "student") row.summary += "'s file";
      options->fields.add(*app, std::move(row), "");
    }
  }
  app->add_option("--out", options->out,
                  "Write the new model here; the ending is the format, and .safetensors can be trained on")
      ->type_name("FILE");
  app->add_option("--csv", options->csv, "Write the layers of the report here")->type_name("FILE");
  app->add_flag("--json", options->json, "Print one JSON object instead of a table");
  options->engine.add_to(*app);
  options->training.add_to(*app, TrainingUse::kFineTuning);
  app->footer(
      std::string(examples_of(pass)) +
      "\n\nChoices are made on training and validation images; the test images are read for the figures "
      "only.\nCtrl-C stops it and leaves everything as it was.");
  return {app, [options] { return Compression(*options).run(); }};
}

}  // namespace

std::vector<Command> add_passes(CLI::App& espalier) {
  std::vector<Command> commands;
  for (const PassType* pass : pass_types()) commands.push_back(add_pass(espalier, *pass));
  return commands;
}

}  // namespace espalier::cli
