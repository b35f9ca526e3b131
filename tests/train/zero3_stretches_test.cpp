// ZeRO-3 under every schedule: how often weights are gathered in a step, and how many lie there at once, are what
// docs/parallelism.md says of stretches; and the bits are ZeRO-2's. The count here looks at stretches as ranges of a
// rank's timeline, the program at one action after another.
#include <fstream>
#include <set>

#include "core/ops/counting_backend.h"
#include "parallel/comm/shape_comm.h"
#include "parallel/pipeline/csv.h"
#include "tests/support/local_training.h"
#include "tests/support/random_schedule.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

constexpr int kShards = 2;
constexpr std::size_t kGroupAxis = 3;  // of kConnectionNames

// From the first action that uses a chunk's weights in a stretch to the stretch's last, or several of them that overlap.
struct Stretch {
  std::size_t first = 0, last = 0;
  bool contains(std::size_t action) const { return first <= action && action <= last; }
};

// Who uses a group's weights.
struct Users {
  std::set<int> chunks;
  std::set<ActionKind> kinds;
};

// The stretches of one kind in which one of `users` is, each from its first user on.
std::vector<Stretch> stretches_of(const Timeline& timeline, int stretch, StretchKind kind,
                                  const Users& users) {
  std::vector<Stretch> found;
  int chunk = -1, length = 0;
  bool used = false;
  for (std::size_t i = 0; i < timeline.size(); ++i) {
    const Action& action = timeline[i];
    if (action.stretch_kind() != kind) continue;
    if (action.chunk != chunk || length == stretch) {
      length = 0;
      used = false;
    }
    chunk = action.chunk;
    ++length;
    if (users.chunks.count(chunk) == 0) continue;
    if (used) found.back().last = i;
    if (!used && users.kinds.count(action.kind) == 1) {
      found.push_back({i, i});
      used = true;
    }
  }
  return found;
}

// While a group's weights are there.
std::vector<Stretch> stretches(const Timeline& timeline, int stretch, const Users& users) {
  std::vector<Stretch> found, whole;
  for (const StretchKind kind :
       {StretchKind::forward, StretchKind::input_gradient, StretchKind::weight_gradient})
    for (const Stretch& each : stretches_of(timeline, stretch, kind, users)) found.push_back(each);
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const Stretch& each : found) {
    if (whole.empty() || each.first > whole.back().last)
      whole.push_back(each);
    else
      whole.back().last = std::max(whole.back().last, each.last);
  }
  return whole;
}

std::int64_t weight_gradient_stretches(const Timeline& timeline, int stretch, const std::set<int>& chunks) {
  const Users users{chunks, {ActionKind::backward, ActionKind::backward_weight}};
  return std::ssize(stretches_of(timeline, stretch, StretchKind::weight_gradient, users));
}

// One rank's training on shapes, and what its groups are used by.
class Rank {
 public:
  Rank(const Config& config, int number)
      : config_(config),
        cpu_(make_cpu_backend(host_, {.threads = 1})),
        shapes_(*cpu_),
        watched_(shapes_, trace_),
        world_(static_cast<int>(config.parallel.pipeline) * kShards, number),
        platform_{.world = world_,
                  .backend = watched_,
                  .host = host_,
                  .files = files_,
                  .sent = &sent_,
                  .trace = &trace_},
        training_(build_training(config, platform_)) {
    trace_.start();
    Trainer(*training_, platform_).step();
    const PipelineSchedule schedule =
        schedule_of(config, files_, microbatches_of_phases(config, training_->plan.mesh).front());
    timeline_ = schedule.timelines[static_cast<std::size_t>(training_->plan.at.pipeline)];
    stretch_ = schedule.stretch;
  }

  std::int64_t sent() const { return sent_[kGroupAxis]; }
  std::int64_t sent_by_definition() const {
    std::int64_t bytes = 0;
    for (int group = 0; group < groups().count(); ++group)
      bytes +=
          (kShards - 1) * groups().layout(group).shard_size *
          (gathers(group) * size_of(groups().compute()) + reductions(group) * size_of(groups().master()));
    return bytes;
  }
  std::int64_t weight_bytes() { return shapes_.memory().ledger().peak(MemoryCategory::weights); }
  std::int64_t weight_bytes_by_definition() const {
    std::int64_t elements = 0, block = 0;
    for (int group = 0; group < groups().count(); ++group) {
      const GroupLayout& layout = groups().layout(group);
      elements += layout.shard_size + (layout.in_turn ? 0 : layout.size);
      if (layout.in_turn) block = layout.size;
    }
    const std::int64_t tables = std::ssize(training_->plan.parts) * config_.train.sequence_length *
                                config_.model.head_size() * size_of(groups().master());  // of rotations
    return (elements + most_blocks() * block) * size_of(groups().compute()) + tables;
  }
  // At the time of the action that most blocks are there at.
  std::int64_t most_blocks() const {
    std::vector<std::int64_t> there(timeline_.size(), 0);
    for (std::size_t chunk = 0; chunk < training_->plan.parts.size(); ++chunk) {
      const StagePart& part = training_->plan.parts[chunk];
      if (part.blocks() == 0) continue;
      int group = first_block();
      while (chunks_of(group) != std::set{static_cast<int>(chunk)}) ++group;
      for (const Stretch& stretch : stretches(timeline_, stretch_, users(group)))
        for (std::size_t i = stretch.first; i <= stretch.last; ++i)
          there[i] +=
              stretch.first == stretch.last ? std::min<std::int64_t>(2, part.blocks()) : part.blocks();
    }
    return *std::max_element(there.begin(), there.end());
  }

  // How many gathers were on their way while a block's attention was computed.
  std::int64_t gathers_under_attention() const {
    const std::vector<Span>& spans = trace_.spans();
    const auto is_attention = [](const Span& span) {
      return span.name == name_of(Work::attention_forward) || span.name == name_of(Work::attention_backward);
    };
    return std::count_if(spans.begin(), spans.end(), [&](const Span& gather) {
      if (gather.name != std::string_view("all_gather") || gather.number == 0) return false;
      return std::any_of(spans.begin(), spans.end(), [&](const Span& span) {
        return is_attention(span) && gather.begin <= span.begin && span.end <= gather.end;
      });
    });
  }

 private:
  std::int64_t gathers(int group) const { return std::ssize(stretches(timeline_, stretch_, users(group))); }
  int first_block() const {
    int group = 0;
    while (!groups().layout(group).in_turn) ++group;
    return group;
  }
  const ParameterGroups& groups() const { return *training_->model.groups; }
  std::set<int> chunks_where(FunctionRef<bool(const StagePart&)> holds) const {
    std::set<int> chunks;
    for (std::size_t chunk = 0; chunk < training_->plan.parts.size(); ++chunk)
      if (holds(training_->plan.parts[chunk])) chunks.insert(static_cast<int>(chunk));
    return chunks;
  }
  std::set<int> chunks_of(int group) const {
    const GroupIndex index{config_.model.num_hidden_layers};
    const int number = groups_of(config_.model, training_->plan.parts)[static_cast<std::size_t>(group)];
    const bool tied = config_.model.tie_word_embeddings;
    return chunks_where([&](const StagePart& part) {
      if (number == index.embedding()) return part.first() || (tied && part.last());
      if (number == index.head()) return part.last();
      return part.begin < number && number <= part.end;
    });
  }
  Users users(int group) const {
    Users users{chunks_of(group), {ActionKind::forward}};
    if (groups().layout(group).name == "embedding") return users;
    users.kinds.insert({ActionKind::backward, ActionKind::backward_input});
    if (groups().layout(group).in_turn && config_.train.recompute != "none")
      users.kinds.insert(ActionKind::backward_weight);
    return users;
  }
  std::int64_t reductions(int group) const {
    return weight_gradient_stretches(timeline_, stretch_, chunks_of(group));
  }

  Config config_;
  PosixFileSystem files_;
  HostMemory host_;
  std::unique_ptr<Backend> cpu_;
  CountingBackend shapes_;
  Trace trace_{1 << 15};
  TracedBackend watched_;
  ShapeComm world_;
  SentBytes sent_{};
  Platform platform_;
  std::unique_ptr<Training> training_;
  Timeline timeline_;
  int stretch_ = 1;
};

// Three blocks to a stage, nine microbatches a rank.
Config sharded(const char* schedule, int pipeline, int stretch) {
  Config config = parallel_config();
  const int chunks = default_chunks(schedule_named(schedule));
  config.model.num_hidden_layers = 3 * pipeline * chunks;
  config.train.microbatch_sequences = 1;
  config.train.batch_tokens = config.train.sequence_length * kShards * 9;
  config.train.steps = 1;
  config.parallel = {.pipeline = pipeline,
                     .shard = kShards,
                     .zero = 3,
                     .schedule = schedule,
                     .virtual_stages = chunks,
                     .stretch = stretch};
  return config;
}

void check_by_definition(const Config& config) {
  for (int number = 0; number < config.parallel.pipeline; ++number) {
    Rank rank(config, number);
    INFO(config.parallel.schedule << " on " << config.parallel.pipeline
                                  << ", N = " << config.parallel.stretch.value_or(0) << ", recompute "
                                  << config.train.recompute << ", rank " << number);
    CHECK(rank.sent() == rank.sent_by_definition());
    CHECK(rank.weight_bytes() == rank.weight_bytes_by_definition());
  }
}

constexpr std::array kSchedules{"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v"};

bool takes(const char* schedule, int pipeline, int stretch) {
  return schedule != std::string("interleaved") || stretch >= pipeline;
}

}  // namespace

TEST_CASE("ZeRO-3 sends and holds in a step what stretches say, under every schedule and stretch") {
  for (const char* schedule : kSchedules)
    for (const int pipeline : {1, 2, 4})
      for (const int stretch : {1, 2, 4})
        for (const char* recompute : {"none", "full"}) {
          if (!takes(schedule, pipeline, stretch)) continue;
          Config config = sharded(schedule, pipeline, stretch);
          config.train.recompute = recompute;
          config.model.tie_word_embeddings = stretch == 2;
          check_by_definition(config);
        }
}

TEST_CASE("ZeRO-3 sends and holds what stretches say where fused and split backwards mix in any order") {
  std::mt19937_64 random(11);
  const TemporaryFolder folder;
  for (int i = 0; i < 24; ++i) {
    Config config = sharded("gpipe", 2, 1 + i % 4);
    config.parallel.virtual_stages = 1 + i % 2;
    config.model.num_hidden_layers = 12;
    config.model.tie_word_embeddings = i % 3 == 0;
    config.train.recompute = i % 5 < 3 ? "none" : "selective";
    config.parallel.schedule = "csv";
    config.parallel.schedule_file = (folder.path() / cat(i, ".csv")).string();
    std::ofstream(config.parallel.schedule_file) << schedule_csv(random_schedule(random, 2, 1 + i % 2, 9));
    INFO("schedule " << i);
    check_by_definition(config);
  }
}

namespace {

// How often a rank gathers a block of each of its stages, without recompute.
std::vector<std::int64_t> gathers(const ScheduleOptions& options, int rank) {
  const PipelineSchedule schedule = make_schedule(options);
  std::vector<std::int64_t> gathers;
  for (int chunk = 0; chunk < options.chunks; ++chunk)
    gathers.push_back(std::ssize(
        stretches(schedule.timelines[static_cast<std::size_t>(rank)], schedule.stretch,
                  {{chunk}, {ActionKind::forward, ActionKind::backward, ActionKind::backward_input}})));
  return gathers;
}

}  // namespace

TEST_CASE("a block is gathered once for N microbatches forward and once for N backward, or once for both") {
  const auto once = [](Schedule schedule, int stretch, int rank) {
    return gathers({.schedule = schedule, .ranks = 2, .microbatches = 8, .stretch = stretch}, rank)[0];
  };
  for (const int rank : {0, 1}) {
    CHECK(once(Schedule::gpipe, 1, rank) == 16);
    CHECK(once(Schedule::gpipe, 2, rank) == 8);
    CHECK(once(Schedule::gpipe, 4, rank) == 4);
    CHECK(once(Schedule::one_f_one_b, 1, rank) == 16);
  }
  CHECK(once(Schedule::one_f_one_b, 2, 1) == 4);  // F0 B0 F1 B1 | F2 B2 F3 B3 | ...
  CHECK(once(Schedule::one_f_one_b, 4, 1) == 2);
  CHECK(once(Schedule::one_f_one_b, 2, 0) == 5);  // F0 F1 | B0 F2 B1 F3 | ... | B6 B7
  CHECK(once(Schedule::one_f_one_b, 4, 0) == 1);  // stretches overlap from F0 to B7
}

TEST_CASE("the table of gathers in docs/parallelism.md is right") {
  struct Row {
    Schedule schedule;
    int chunks, stretch;
    std::int64_t least, most;
  };
  for (const Row& row : {Row{Schedule::gpipe, 1, 1, 32, 32}, Row{Schedule::one_f_one_b, 1, 1, 32, 32},
                         Row{Schedule::zb_h1, 1, 1, 32, 32}, Row{Schedule::zb_v, 2, 1, 32, 32},
                         Row{Schedule::gpipe, 1, 4, 8, 8}, Row{Schedule::gpipe, 1, 16, 2, 2},
                         Row{Schedule::one_f_one_b, 1, 2, 8, 10}, Row{Schedule::zb_h1, 1, 2, 8, 10},
                         Row{Schedule::one_f_one_b, 1, 4, 1, 5}, Row{Schedule::zb_h1, 1, 4, 1, 5},
                         Row{Schedule::interleaved, 4, 4, 4, 8}, Row{Schedule::interleaved, 4, 8, 2, 4},
                         Row{Schedule::zb_v, 2, 4, 19, 32}}) {
    std::set<std::int64_t> counts;
    for (int rank = 0; rank < 4; ++rank)
      for (const std::int64_t count : gathers({.schedule = row.schedule,
                                      .ranks = 4,
                                      .chunks = row.chunks,
                                      .microbatches = 16,
                                      .stretch = row.stretch},
                                              rank))
        counts.insert(count);
    INFO(name_of(row.schedule) << ", N = " << row.stretch);
    CHECK(*counts.begin() == row.least);
    CHECK(*counts.rbegin() == row.most);
  }
}

TEST_CASE(
    "without a pipeline ZeRO-3 holds two blocks; in stretches of two those of a stage; over two stages, of "
    "both") {
  const auto blocks = [](const char* schedule, int pipeline, int stretch) {
    return Rank(sharded(schedule, pipeline, stretch), 0).most_blocks();
  };
  CHECK(blocks("1f1b", 1, 1) == 2);
  CHECK(blocks("1f1b", 2, 1) == 2);
  CHECK(blocks("1f1b", 2, 2) == 3);
  CHECK(blocks("gpipe", 4, 4) == 3);
  CHECK(blocks("interleaved", 2, 2) == 6);
}

TEST_CASE("all blocks of a stretch but its first are gathered while the one before is computed") {
  CHECK(Rank(sharded("1f1b", 2, 1), 0).gathers_under_attention() == 2 * 18);  // blocks, of nine F and nine B
  CHECK(Rank(sharded("gpipe", 2, 4), 0).gathers_under_attention() == 2 * 6);  // of stretches of 4, 4 and 1
}

namespace {

bool same_bits(const RunResult& a, const RunResult& b) {
  return a.weights == b.weights && a.moment1 == b.moment1 && a.moment2 == b.moment2 &&
         a.gradients == b.gradients && a.steps.back().loss == b.steps.back().loss;
}

}  // namespace

TEST_CASE("ZeRO-3 has the bits of ZeRO-2, whatever the schedule and the stretch") {
  for (const char* schedule : kSchedules)
    for (const int stretch : {1, 2, 4}) {
      if (!takes(schedule, 2, stretch)) continue;
      Config config = sharded(schedule, 2, stretch);
      config.train.dtype = "bfloat16";
      config.train.steps = 3;
      config.train.recompute = stretch == 2 ? "full" : "none";
      config.model.tie_word_embeddings = stretch == 4;
      const RunResult run = train_locally(config, 2 * kShards);
      config.parallel.zero = 2;
      INFO(schedule << ", N = " << stretch);
      CHECK((same_bits(run, train_locally(config, 2 * kShards))));
    }
}

}  // namespace drover::testing
