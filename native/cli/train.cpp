// espalier train: from data to a model file, with a line for each epoch.
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/training_options.h"
#include "core/error.h"
#include "train/trainer.h"

namespace espalier::cli {
namespace {

struct TrainOptions {
  DataOptions data;
  std::string model;
  std::string resume;
  std::string out;
  int save_early = 0;
  bool json = false;
  EngineOptions engine;
  TrainingOptions training;
};

constexpr const char* kInterruptedFile = "espalier-interrupted.safetensors";

class Training {
 public:
  explicit Training(const TrainOptions& options)
      : options_(options),
        kernels_(options.engine.select()),
        pool_(options.engine.threads),
        progress_(options.json) {}

  int run() {
    prepare();
    print_header();
    const Interrupt interrupt;
    stopwatch_.restart();
    try {
      while (!trainer_->done()) {
        if (!run_epoch()) return stop();
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDiverged || options_.out.empty()) throw;
      save(options_.out, save_model(*model_));
      throw Error(error.code(), error.where(), error.message() + ", and " + options_.out + " has them");
    }
    report();
    return kDone;
  }

 private:
  void prepare() {
    check_can_save(options_.out);
    if (options_.save_early > 0 && options_.out.empty()) {
      throw Error(ErrorCode::kArgument, "--save-early", "needs --out, whose name the early file has");
    }
    if (options_.resume.empty()) {
      if (options_.model.empty()) {
        throw Error(ErrorCode::kArgument, "--model", "is missing; give a preset's name or a SPEC.json");
      }
      config_ = options_.training.config();
      dataset_ = options_.data.open(config_.seed);
      const nlohmann::json spec = open_spec(options_.model, &dataset_);
      model_ = Model::create(spec, config_.seed, &dataset_);
    } else {
      ModelFile checkpoint = open_model(options_.resume);
      if (!checkpoint.training) {
        throw Error(ErrorCode::kModel, options_.resume,
                    "holds a model but no training, so there is nothing to resume");
      }
      model_ = std::move(checkpoint.model);
      state_ = std::move(checkpoint.training);
      config_ = state_->config;
      options_.training.check_agree(config_, options_.resume);
      dataset_ = options_.data.open(config_.seed);
      check_same_model();
    }
    try {
      trainer_ = std::make_unique<Trainer>(*model_, dataset_, config_, kernels_, pool_);
    } catch (const Error& error) {
      options_.training.rethrow(error);
    }
    if (state_) resume(*trainer_, *state_, options_.resume);
    first_step_ = trainer_->step_count();
  }

  // --model may be given with --resume, if it is the same one.
  void check_same_model() const {
    if (options_.model.empty()) return;
    const nlohmann::json wanted = to_spec(compile(open_spec(options_.model, &dataset_)));
    if (wanted.at("layers") == to_spec(model_->graph).at("layers")) return;
    throw Error(ErrorCode::kArgument, "--model",
                "is \"" + options_.model + "\", but the training in " + options_.resume +
                    " was begun with \"" + model_->graph.name +
                    "\", which has other layers; leave the option out");
  }

  void print_header() const {
    if (options_.json) return;
    const int images = trainer_->training_images();
    const std::string used = images < dataset_.train.count() ? with_commas(images) + " of " : "";
    std::cout << "data    " << options_.data.data << ": " << used << with_commas(dataset_.train.count())
              << " training, " << with_commas(dataset_.validation.count()) << " validation, "
              << with_commas(dataset_.test.count()) << " test images of "
              << to_string(model_->graph.input.shape) << ", " << dataset_.classes() << " classes\n"
              << "model   " << model_->graph.name << ": " << with_commas(model_->graph.parameter_count())
              << " parameters, " << with_commas(model_->graph.macs()) << " multiply-adds an image\n"
              << "train   " << config_.epochs << " epochs of " << with_commas(trainer_->steps_per_epoch())
              << " steps, batch " << config_.batch_size << ", " << config_.optimizer << ", learning rate "
              << short_number(config_.learning_rate) << ", " << config_.schedule << ", seed " << config_.seed
              << "\n"
              << "engine  " << kernels_.name << " kernels, " << pool_.threads()
              << (pool_.threads() == 1 ? " thread\n" : " threads\n");
    if (state_) {
      std::cout << "resumed " << options_.resume << " after step " << with_commas(first_step_) << " of "
                << with_commas(trainer_->total_steps()) << '\n';
    }
    std::cout << std::flush;
  }

  // The steps up to the end of this epoch, the checkpoint and the validation. False: interrupted.
  bool run_epoch() {
    const std::int64_t end = (trainer_->epoch() + 1) * trainer_->steps_per_epoch();
    loss_sum_ = 0;
    correct_ = images_ = 0;
    const Stopwatch stopwatch;
    const std::int64_t images_before = images_seen_;
    while (trainer_->step_count() < end) {
      if (Interrupt::requested()) return false;
      const StepResult step = trainer_->step();
      loss_sum_ += step.loss * step.images;
      correct_ += step.correct;
      images_ += step.images;
      images_seen_ += step.images;
      if (trainer_->step_count() == options_.save_early) save(early_file(), save_model(*model_));
      show_progress();
    }
    const double seconds = stopwatch.seconds();
    training_seconds_ += seconds;
    if (!options_.out.empty()) save(options_.out, save_model(*model_, trainer_.get()));
    if (config_.validate && dataset_.validation.count() > 0) {
      validation_ = evaluate_split(dataset_.validation, "validation");
      if (!validation_) return false;
    }
    print_epoch(static_cast<double>(images_seen_ - images_before) / seconds);
    return true;
  }

  std::optional<EvaluationResult> evaluate_split(const Split& split, const char* name) {
    Evaluator evaluator(*model_, dataset_, split, kernels_, pool_);
    while (evaluator.advance()) {
      if (Interrupt::requested()) return std::nullopt;
      if (progress_.due()) progress_.show(name, "image", evaluator.done(), evaluator.total(), "");
    }
    return evaluator.result();
  }

  // "small.early.safetensors" beside "small.safetensors".
  std::string early_file() const {
    std::filesystem::path file = options_.out;
    return file.replace_extension(".early.safetensors").string();
  }

  double epoch_loss() const { return images_ > 0 ? loss_sum_ / static_cast<double>(images_) : 0; }
  double epoch_accuracy() const {
    return images_ > 0 ? static_cast<double>(correct_) / static_cast<double>(images_) : 0;
  }

  std::string epoch_name(int epoch) const {
    return "epoch " + std::to_string(epoch) + "/" + std::to_string(config_.epochs);
  }

  void show_progress() {
    if (!progress_.due()) return;
    const std::int64_t steps = trainer_->step_count();
    const std::int64_t steps_in_epoch = trainer_->steps_per_epoch();
    const double seconds = stopwatch_.seconds();
    const auto speed = static_cast<std::int64_t>(static_cast<double>(images_seen_) / seconds);
    const double left = time_left(seconds, first_step_, steps, trainer_->total_steps());
    progress_.show(epoch_name(static_cast<int>((steps - 1) / steps_in_epoch) + 1), "step",
                   (steps - 1) % steps_in_epoch + 1, steps_in_epoch,
                   learning_numbers(epoch_loss(), epoch_accuracy()) + "  " + with_commas(speed) +
                       " images/s  ETA " + duration(left));
  }

  void print_epoch(double images_per_second) {
    progress_.clear();
    if (options_.json) return;
    std::cout << epoch_name(trainer_->epoch()) << "  " << learning_numbers(epoch_loss(), epoch_accuracy());
    if (validation_) std::cout << "  validation " << percent(validation_->accuracy);
    std::cout << "  " << with_commas(static_cast<std::int64_t>(images_per_second)) << " images/s"
              << std::endl;
  }

  // Ctrl-C: what was done is kept, and the sentence says how to go on.
  int stop() {
    progress_.clear();
    const std::string file = options_.out.empty() ? kInterruptedFile : options_.out;
    save(file, save_model(*model_, trainer_.get()));
    std::cout.flush();
    std::cerr << "espalier: interrupted after step " << with_commas(trainer_->step_count()) << " of "
              << with_commas(trainer_->total_steps()) << "; to go on: espalier train "
              << options_.data.words() << " --resume " << quoted(file);
    if (!options_.out.empty()) std::cerr << " --out " << quoted(options_.out);
    std::cerr << '\n';
    return kFailed;
  }

  void report() {
    // Written after every epoch; a resumed training that was already finished has had none.
    if (!options_.out.empty() && first_step_ == trainer_->total_steps()) {
      save(options_.out, save_model(*model_, trainer_.get()));
    }
    std::optional<EvaluationResult> test;
    if (dataset_.test.count() > 0) test = evaluate(*model_, dataset_, dataset_.test, kernels_, pool_);
    if (!validation_ && config_.validate && dataset_.validation.count() > 0) {
      validation_ = evaluate(*model_, dataset_, dataset_.validation, kernels_, pool_);
    }
    progress_.clear();
    const double seconds = stopwatch_.seconds();
    const std::string sha256 = sha256_hex(weight_bytes(*model_));
    if (options_.json) {
      print_json(test, seconds, sha256);
    } else {
      if (test)
        std::cout << "test    accuracy " << percent2(test->accuracy) << ", loss " << fixed(test->loss, 4)
                  << '\n';
      std::cout << "weights sha256 " << sha256 << '\n'
                << (options_.out.empty() ? "not saved: give --out FILE to keep the model\n"
                                         : "saved   " + options_.out + "\n");
    }
  }

  static std::string percent2(double share) { return fixed(100 * share, 2) + " %"; }

  void print_json(const std::optional<EvaluationResult>& test, double seconds,
                  const std::string& sha256) const {
    using nlohmann::json;
    const auto accuracy = [](const auto& result) { return result ? json(result->accuracy) : json(nullptr); };
    const json object{{"model", model_->graph.name},
                      {"data", options_.data.data},
                      {"parameters", model_->graph.parameter_count()},
                      {"macs", model_->graph.macs()},
                      {"kernels", kernels_.name},
                      {"threads", pool_.threads()},
                      {"seed", config_.seed},
                      {"config", to_json(config_)},
                      {"training_images", trainer_->training_images()},
                      {"epochs", trainer_->epoch()},
                      {"steps", trainer_->step_count()},
                      {"resumed_at_step", state_ ? json(first_step_) : json(nullptr)},
                      {"loss", images_ > 0 ? json(epoch_loss()) : json(nullptr)},
                      {"training_accuracy", images_ > 0 ? json(epoch_accuracy()) : json(nullptr)},
                      {"validation_accuracy", accuracy(validation_)},
                      {"test_accuracy", accuracy(test)},
                      {"test_loss", test ? json(test->loss) : json(nullptr)},
                      {"seconds", seconds},
                      {"images_per_second",
                       training_seconds_ > 0 ? static_cast<double>(images_seen_) / training_seconds_ : 0.0},
                      {"weights_sha256", sha256},
                      {"out", options_.out.empty() ? json(nullptr) : json(options_.out)}};
    std::cout << dump(object, 2) << '\n';
  }

  const TrainOptions& options_;
  const Kernels& kernels_;
  ThreadPool pool_;
  ProgressLine progress_;
  TrainingConfig config_;
  Dataset dataset_;
  std::unique_ptr<Model> model_;
  std::optional<TrainingState> state_;  // what was resumed
  std::unique_ptr<Trainer> trainer_;
  std::optional<EvaluationResult> validation_;  // the last one

  Stopwatch stopwatch_;
  std::int64_t first_step_ = 0;
  std::int64_t images_seen_ = 0;
  double training_seconds_ = 0;
  double loss_sum_ = 0;       // of this epoch
  std::int64_t correct_ = 0;  // of this epoch
  std::int64_t images_ = 0;   // of this epoch
};

}  // namespace

Command add_train(CLI::App& espalier) {
  CLI::App* app = espalier.add_subcommand("train", "Train a model on a dataset");
  const auto options = std::make_shared<TrainOptions>();
  options->data.add_to(*app);
  app->add_option("--model", options->model,
                  "A preset's name, fitted to the data, or a SPEC.json that fits it")
      ->type_name("NAME|SPEC.json");
  options->training.add_to(*app);
  app->add_option("--resume", options->resume, "Go on with the training in this file, with its own options")
      ->type_name("FILE");
  app->add_option("--out", options->out, "Write the model here after every epoch")->type_name("FILE");
  app->add_option("--save-early", options->save_early,
                  "Write the model after N steps beside FILE, for prune --rewind")
      ->check(from_to(1, 1 << 30))
      ->type_name("N");
  options->engine.add_to(*app);
  app->add_flag("--json", options->json, "Print one JSON object instead of lines");
  app->footer(
      "Examples:\n"
      "  espalier train --data synthetic:2000 --model small --out small.safetensors\n"
      "  espalier train --data mnist --model lenet5 --epochs 10 --optimizer adam --augment "
      "shift:2,rotation:10\n"
      "  espalier train --data mnist --resume small.safetensors --out small.safetensors\n\n"
      "The same seed gives the same weights for any number of threads. Accuracy after an epoch is that of "
      "the\n"
      "validation images; the test images are read once, at the end.\n"
      "Ctrl-C finishes the step, writes what is needed to resume (to --out, else to\n" +
      std::string(kInterruptedFile) + ") and exits with 1.");
  return {app, [options] { return Training(*options).run(); }};
}

}  // namespace espalier::cli
