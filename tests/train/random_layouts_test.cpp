// Models, layouts, placements, schedules, documents and batches drawn at random: each trains what one rank trains.
// DROVER_DRAWS (default 40) says how many; `scripts/verify_all` takes 500.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "data/order/assignment.h"
#include "parallel/pipeline/csv.h"
#include "tests/support/local_training.h"
#include "tests/support/random_schedule.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

using Random = std::mt19937_64;

template <class T>
T one_of(Random& random, std::initializer_list<T> values) {
  return values.begin()[random() % values.size()];
}

int draws_wanted() {
  const char* text = std::getenv("DROVER_DRAWS");
  return text == nullptr ? 40 : std::atoi(text);
}

struct Drawn {
  Config config;
  int ranks = 1, axes = 0;  // axes above 1
  std::string schedule_text;
};

// At most 16 ranks.
AxisValues draw_axes(Random& random) {
  AxisValues sizes{.tensor = 1, .context = 1, .pipeline = 1, .shard = 1, .replicate = 1};
  int ranks = 1;
  for (int i = 0; i < 6; ++i) {
    int& size = sizes[static_cast<Axis>(random() % kAxes)];
    const int factor = one_of(random, {2, 2, 3});
    if (ranks * factor > 16 || (&size == &sizes.tensor && factor == 3)) continue;
    size *= factor;
    ranks *= factor;
  }
  return sizes;
}

// Sizes that the tensor ranks divide; kv heads below, at and above their number.
ModelConfig draw_model(Random& random, int tensor) {
  const int kv_heads = one_of(random, {1, 2, 4}), least = std::max(kv_heads, tensor);
  return {.hidden_size = 2 * draw(random, 3, 12),
          .num_hidden_layers = draw(random, 2, 7),
          .num_attention_heads = least * draw(random, 1, 2),
          .num_key_value_heads = kv_heads,
          .intermediate_size = tensor * draw(random, 2, 9),
          .vocab_size = 16 * draw(random, 2, 5),
          .head_dim = 2 * draw(random, 1, 4),
          .rope_theta = 10000,
          .tie_word_embeddings = random() % 2 == 0};
}

// A drawn number of blocks for each stage, none only where the embedding or the head is.
std::string draw_stage_layers(Random& random, int layers, int stages) {
  std::vector<int> blocks(static_cast<std::size_t>(stages), 1);
  if (stages > 1 && random() % 3 == 0) blocks[random() % 2 == 0 ? 0 : blocks.size() - 1] = 0;
  int left = layers;
  for (const int stage : blocks) left -= stage;
  if (left < 0) return "balanced";
  for (; left > 0; --left) ++blocks[random() % blocks.size()];
  std::string text;
  for (const int stage : blocks) text += cat(text.empty() ? "" : ",", stage);
  return text;
}

void draw_schedule(Random& random, Drawn& drawn, int microbatches, const std::filesystem::path& folder) {
  ParallelConfig& p = drawn.config.parallel;
  const int pipeline = static_cast<int>(p.pipeline),
            layers = static_cast<int>(drawn.config.model.num_hidden_layers);
  p.schedule = one_of<const char*>(random, {"1f1b", "gpipe", "interleaved", "zb-h1", "zb-v", "csv"});
  p.virtual_stages = p.schedule == "zb-v"                            ? 2
                     : p.schedule == "1f1b" || p.schedule == "zb-h1" ? 1
                                                                     : draw(random, 1, 2);
  if (p.schedule == "interleaved") p.virtual_stages = 2;
  if (pipeline * p.virtual_stages > layers)
    drawn.config.model.num_hidden_layers = pipeline * p.virtual_stages;
  const int shortest = p.schedule == "interleaved" ? pipeline : 1;
  if (random() % 2 == 0) p.stretch = draw(random, shortest, pipeline + 3);
  if (random() % 2 == 0)
    p.stage_layers = draw_stage_layers(random, static_cast<int>(drawn.config.model.num_hidden_layers),
                                       pipeline * static_cast<int>(p.virtual_stages));
  if (p.schedule != "csv") return;
  p.schedule_file = (folder / "schedule.csv").string();
  drawn.schedule_text =
      schedule_csv(random_schedule(random, pipeline, static_cast<int>(p.virtual_stages), microbatches));
  std::ofstream(p.schedule_file) << drawn.schedule_text;
}

Drawn draw_run(Random& random, const std::filesystem::path& folder) {
  const AxisValues axes = draw_axes(random);
  Drawn drawn{.config = tiny_config(), .ranks = Mesh(axes).ranks()};
  for (int axis = 0; axis < kAxes; ++axis) drawn.axes += axes[static_cast<Axis>(axis)] > 1;
  Config& config = drawn.config;
  config.model = draw_model(random, axes.tensor);
  const std::int64_t length = axes.tensor * axes.context * draw(random, 2, 9), rows = draw(random, 1, 11);
  config.data.synthetic = SyntheticOptions{.seed = random() % 1000,
                                           .documents = 64,
                                           .vocab_size = config.model.vocab_size,
                                           .median_length = static_cast<double>(draw(random, 2, 40)),
                                           .max_length = draw(random, 41, 200)};
  config.train = {.dtype = "float64",
                  .sequence_length = length,
                  .batch_tokens = length * rows,
                  .microbatch_sequences = draw(random, 1, 3),
                  .steps = 2,
                  .recompute = one_of<const char*>(random, {"none", "selective", "full"})};
  config.parallel = {.tensor = axes.tensor,
                     .context = axes.context,
                     .pipeline = axes.pipeline,
                     .replicate = axes.replicate,
                     .shard = axes.shard,
                     .zero = draw(random, 1, 3),
                     .context_pieces = one_of<const char*>(random, {"auto", "head_tail", "balanced"})};
  const auto microbatches =
      microbatches_of(rows, axes.shard * axes.replicate, static_cast<int>(config.train.microbatch_sequences));
  draw_schedule(random, drawn, static_cast<int>(microbatches), folder);
  return drawn;
}

std::string described(const Drawn& drawn) {
  const Config& c = drawn.config;
  const ParallelConfig& p = c.parallel;
  return cat("tp", p.tensor, " cp", p.context, " pp", p.pipeline, " shard", p.shard, " rep", p.replicate,
             " zero", p.zero, " ", p.schedule, " v", p.virtual_stages, " n", p.stretch.value_or(0),
             " layers ", p.stage_layers, " of ", c.model.num_hidden_layers, ", heads ",
             c.model.num_attention_heads, "/", c.model.num_key_value_heads,
             c.model.tie_word_embeddings ? ", tied" : "", ", ",
             c.train.batch_tokens / c.train.sequence_length, " rows of ", c.train.sequence_length, ", ",
             c.train.microbatch_sequences, " a microbatch, ", p.context_pieces, ", recompute ",
             c.train.recompute, "\n", drawn.schedule_text);
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

// Where every token of a step sees itself alone, gradients of queries and keys are 0 but for rounding: such a
// parameter must be 0 but for rounding on both sides, and has no relative distance.
void drop_zeros(Parameters& run, Parameters& reference) {
  double scale = 0;
  for (const auto& [name, values] : reference) scale = std::max(scale, largest(values));
  std::erase_if(reference, [&](const auto& parameter) {
    const auto& [name, values] = parameter;
    if (largest(values) >= 1e-13 * scale) return false;
    CHECK(largest(run.at(name)) <= 1e-13 * scale);
    run.erase(name);
    return true;
  });
}

void check_same(RunResult run, RunResult reference) {
  drop_zeros(run.gradients, reference.gradients);
  for (std::size_t i = 0; i < run.steps.size(); ++i) {
    CHECK(run.steps[i].loss == Approx(reference.steps[i].loss).epsilon(1e-9));
    CHECK(run.steps[i].grad_norm == Approx(reference.steps[i].grad_norm).epsilon(1e-9));
    CHECK(run.steps[i].targets == reference.steps[i].targets);
  }
  CHECK(distance(run.gradients, reference.gradients).value < 1e-9);
  CHECK(distance(run.weights, reference.weights).value < 1e-9);
}

}  // namespace

TEST_CASE("whatever is drawn, a layout trains what one rank trains") {
  constexpr std::uint64_t kSeed = 20260711;
  const TemporaryFolder folder;
  Random random(kSeed);
  std::map<int, int> by_axes, by_ranks;
  std::map<std::string, int> by_schedule;
  const int draws = draws_wanted();
  for (int i = 0; i < draws; ++i) {
    const Drawn drawn = draw_run(random, folder.path());
    INFO("seed " << kSeed << ", draw " << i << ": " << described(drawn));
    Config alone = drawn.config;
    alone.parallel = {};
    check_same(train_locally(drawn.config, drawn.ranks), train_locally(alone, 1));
    ++by_axes[drawn.axes];
    ++by_ranks[drawn.ranks];
    ++by_schedule[drawn.config.parallel.pipeline > 1 ? drawn.config.parallel.schedule : "no pipeline"];
  }
  std::printf("seed %llu, %d draws\n", static_cast<unsigned long long>(kSeed), draws);
  for (const auto& [axes, count] : by_axes) std::printf("  %d axes above 1: %d\n", axes, count);
  for (const auto& [ranks, count] : by_ranks) std::printf("  %d ranks: %d\n", ranks, count);
  for (const auto& [schedule, count] : by_schedule) std::printf("  %s: %d\n", schedule.c_str(), count);
  CHECK(2 * (by_axes[0] + by_axes[1]) <= draws);
}

}  // namespace drover::testing
