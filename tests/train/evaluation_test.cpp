// Evaluation during training: the hold-out passes the pipeline in the order of the schedule's forwards.
#include "data/store/writer.h"
#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

// Ragged documents of 13 rows of 16 tokens: on one data rank 7 microbatches of two rows, the last of one, where a step
// has five.
void write_holdout(const std::filesystem::path& path) {
  PosixFileSystem files;
  StoreWriter writer(files, {.path = path, .vocab_size = 37, .tokenizer_digest = std::string(32, 'a')});
  std::mt19937 random(9);
  for (std::int64_t left = 13 * 16 - 3; left > 0;) {
    std::vector<std::int32_t> document(
        static_cast<std::size_t>(std::min<std::int64_t>(left, 1 + random() % 30)));
    for (std::int32_t& token : document) token = static_cast<std::int32_t>(random() % 37);
    writer.add(document, std::ssize(document));
    left -= std::ssize(document);
  }
  writer.finish();
  writer.publish();
}

class Evaluated {
 public:
  Evaluated() { write_holdout(folder_.path() / "holdout.h5"); }

  // What all ranks have as the hold-out's loss.
  double loss(const ParallelConfig& parallel) {
    const Config config = config_of(parallel);
    std::vector<double> losses(
        static_cast<std::size_t>(parallel.pipeline * parallel.tensor * parallel.shard));
    run_local_ranks(static_cast<int>(losses.size()), [&](Communicator& world) {
      const auto never = [] { return false; };
      losses[static_cast<std::size_t>(world.rank())] = evaluate(config, world, never).value();
    });
    for (const double loss : losses) CHECK(loss == losses.front());
    return losses.front();
  }

  Config config_of(const ParallelConfig& parallel) {
    Config config = parallel_config();
    config.data.holdout = (folder_.path() / "holdout.h5").string();
    config.parallel = parallel;
    return config;
  }

  static std::optional<double> evaluate(const Config& config, Communicator& world, FunctionRef<bool()> stop) {
    PosixFileSystem files;
    HostMemory memory;
    const auto backend = make_cpu_backend(memory, {.threads = 1});
    const Platform platform{.world = world, .backend = *backend, .host = memory, .files = files};
    const auto training = build_training(config, platform);
    return Trainer(*training, platform).evaluate(stop);
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("evaluation has one rank's bits under every schedule of a pipeline") {
  Evaluated evaluated;
  const double alone = evaluated.loss({.shard = 1});
  for (const char* schedule : {"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v"})
    for (const int zero : {2, 3}) {
      INFO(schedule << ", ZeRO-" << zero);
      CHECK(evaluated.loss({.pipeline = 2,
                            .shard = 1,
                            .zero = zero,
                            .schedule = schedule,
                            .virtual_stages = default_chunks(schedule_named(schedule))}) == alone);
    }
}

TEST_CASE("evaluation on a mesh agrees with one rank, and counts every target once") {
  Evaluated evaluated;
  const double alone = evaluated.loss({.shard = 1});
  CHECK(evaluated.loss({.tensor = 2, .pipeline = 2, .shard = 1}) == Approx(alone).epsilon(1e-12));
  CHECK(evaluated.loss({.pipeline = 2, .shard = 2}) == Approx(alone).epsilon(1e-12));
}

TEST_CASE("evaluation ends on all ranks when one of them is asked to stop") {
  Evaluated evaluated;
  const Config config = evaluated.config_of({.pipeline = 2, .shard = 1});
  std::array<std::optional<double>, 2> losses{1, 1};
  run_local_ranks(2, [&](Communicator& world) {
    const auto stop = [&] { return world.rank() == 1; };
    losses[static_cast<std::size_t>(world.rank())] = Evaluated::evaluate(config, world, stop);
  });
  CHECK((losses == std::array<std::optional<double>, 2>{}));
}

}  // namespace drover::testing
