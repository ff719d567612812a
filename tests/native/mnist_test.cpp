// Real MNIST, where it is there (test_data.h).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/digits.h"
#include "data/load.h"
#include "test_data.h"
#include "train/trainer.h"

namespace espalier {
namespace {

class RealMnist : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = real_data_folder();
    if (folder.empty()) GTEST_SKIP() << "no real MNIST: set ESPALIER_DATA";
    mnist_ = load_dataset(folder + "/mnist", 1);
  }

  double accuracy_after(const Dataset& dataset, const TrainingConfig& config) {
    const Kernels& kernels = select_kernels("auto");
    ThreadPool pool(2);
    const auto model = Model::create(preset_spec("small", 1, 28, 28, 10), config.seed, &dataset);
    Trainer trainer(*model, dataset, config, kernels, pool);
    while (!trainer.done()) trainer.step();
    return evaluate(*model, mnist_, mnist_.test, kernels, pool).accuracy;
  }

  Dataset mnist_;
};

TEST_F(RealMnist, small_reaches_97_percent_in_one_epoch) {
  EXPECT_GE(accuracy_after(mnist_, {.epochs = 1}), 0.97);
}

TEST_F(RealMnist, a_network_that_saw_only_built_in_digits_reads_90_percent) {
  const Dataset digits = synthetic_digits(24000, 100, 1);
  EXPECT_GE(accuracy_after(digits, {.epochs = 4, .augment = "standard"}), 0.90);
}

}  // namespace
}  // namespace espalier
