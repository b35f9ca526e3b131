// Any number of ranks under any policy trains what one rank trains.
#include "tests/support/local_training.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

Config with(Config config, std::int64_t zero, std::int64_t replicate = 1) {
  config.parallel.zero = zero;
  config.parallel.replicate = replicate;
  return config;
}

bool same_bits(const RunResult& a, const RunResult& b) {
  return a.weights == b.weights && a.moment1 == b.moment1 && a.moment2 == b.moment2 &&
         a.gradients == b.gradients &&
         std::equal(a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end(),
                    [](const StepReport& x, const StepReport& y) {
                      return x.loss == y.loss && x.grad_norm == y.grad_norm;
                    });
}

}  // namespace

TEST_CASE("ranks, policies and replication agree with one rank to 1e-9") {
  const RunResult reference = train_locally(tiny_config(), 1);
  for (std::int64_t zero : {1, 2, 3})
    for (int ranks : {1, 2, 3, 4, 8}) {
      INFO("ZeRO-" << zero << " on " << ranks << " ranks");
      check_equal(train_locally(with(tiny_config(), zero), ranks), reference);
    }
  for (std::int64_t zero : {1, 2, 3})
    for (const auto& [ranks, replicate] : {std::pair{4, 2}, {4, 4}, {6, 2}, {6, 3}, {8, 2}}) {
      INFO("ZeRO-" << zero << ", " << replicate << " replicas on " << ranks << " ranks");
      check_equal(train_locally(with(tiny_config(), zero, replicate), ranks), reference);
    }
}

TEST_CASE("rows that do not fill the ranks' microbatches train as on one rank") {
  Config config = tiny_config();
  config.train.batch_tokens = 16 * 7;
  config.train.microbatch_sequences = 3;
  const RunResult reference = train_locally(config, 1);
  for (std::int64_t zero : {1, 2, 3})
    for (const auto& [ranks, replicate] : {std::pair{2, 1}, {3, 1}, {5, 1}, {6, 2}}) {
      INFO("ZeRO-" << zero << ", " << replicate << " replicas on " << ranks << " ranks");
      check_equal(train_locally(with(config, zero, replicate), ranks), reference);
    }
}

TEST_CASE("a tied embedding's gradient is summed from both of its uses on every layout") {
  Config config = tiny_config();
  config.model.tie_word_embeddings = true;
  const RunResult reference = train_locally(config, 1);
  for (std::int64_t zero : {1, 2, 3}) check_equal(train_locally(with(config, zero), 3), reference);
}

TEST_CASE("more ranks than rows train") {
  Config config = tiny_config();
  config.train.batch_tokens = 16 * 3;
  const RunResult reference = train_locally(config, 1);
  for (std::int64_t zero : {1, 2, 3}) {
    check_equal(train_locally(with(config, zero), 8), reference);
    check_equal(train_locally(with(config, zero, 2), 8), reference);
  }
}

TEST_CASE("the loss falls and every parameter moves") {
  Config config = tiny_config();
  config.train.steps = 30;
  const RunResult run = train_locally(config, 2);
  CHECK(run.steps.back().loss < 0.8 * run.steps.front().loss);
  Config still = config;
  still.train.steps = 0;
  const RunResult before = train_locally(still, 1);
  for (const auto& [name, weights] : run.weights) {
    INFO(name);
    CHECK((weights != before.weights.at(name)));
  }
}

TEST_CASE("the same layout gives the same bits, whatever the threads and the recompute policy") {
  for (const char* dtype : {"float64", "float32", "bfloat16"}) {
    INFO(dtype);
    Config config = tiny_config();
    config.train.dtype = dtype;
    const RunResult reference = train_locally(config, 2);
    CHECK((same_bits(train_locally(config, 2), reference)));
    CHECK((same_bits(train_locally(config, 2, 3), reference)));
    for (const char* recompute : {"selective", "full"}) {
      config.train.recompute = recompute;
      INFO(recompute);
      CHECK((same_bits(train_locally(config, 2), reference)));
    }
  }
}

TEST_CASE("float32 on several ranks is within 1e-5 of one rank") {
  Config config = tiny_config();
  config.train.dtype = "float32";
  config.train.steps = 1;
  const RunResult reference = train_locally(config, 1), run = train_locally(config, 4);
  CHECK(run.steps[0].loss == Approx(reference.steps[0].loss).epsilon(1e-5));
  CHECK(distance(run.gradients, reference.gradients).value < 1e-5);
}

}  // namespace drover::testing
