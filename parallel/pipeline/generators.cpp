// The orders that have names. Each generator writes one rank's timeline without looking at the others; that these
// timelines fit together is what simulate() proves (tests/parallel/pipeline/schedule_test.cpp).
#include <algorithm>

#include "core/base/error.h"
#include "parallel/pipeline/csv.h"
#include "parallel/pipeline/schedule.h"

namespace drover {

namespace {

// Writes one rank's timeline; microbatches of a chunk go in order, and those beyond the step's are left out.
class Writer {
 public:
  Writer(int chunks, int microbatches)
      : microbatches_(microbatches), next_(static_cast<std::size_t>(chunks), Next{}) {}

  void forward(int chunk) { add(ActionKind::forward, chunk, next(chunk).forward++); }
  void backward(int chunk) { add(ActionKind::backward, chunk, next(chunk).input++); }
  void backward_input(int chunk) { add(ActionKind::backward_input, chunk, next(chunk).input++); }
  void backward_weight(int chunk) { add(ActionKind::backward_weight, chunk, next(chunk).weight++); }
  void backward_split(int chunk) {
    backward_input(chunk);
    backward_weight(chunk);
  }
  void all_weights(int chunk) {
    while (next(chunk).weight < next(chunk).input) backward_weight(chunk);
  }

  int forwards(int chunk) { return next(chunk).forward; }
  Timeline take() { return std::move(timeline_); }

 private:
  struct Next {
    int forward = 0, input = 0, weight = 0;
  };
  Next& next(int chunk) { return next_[static_cast<std::size_t>(chunk)]; }
  void add(ActionKind kind, int chunk, int microbatch) {
    if (microbatch < microbatches_)
      timeline_.push_back({.kind = kind, .chunk = chunk, .microbatch = microbatch});
  }

  int microbatches_;
  std::vector<Next> next_;
  Timeline timeline_;
};

Timeline gpipe(const ScheduleOptions& o, bool split) {
  Writer writer(o.chunks, o.microbatches);
  for (int chunk = 0; chunk < o.chunks; ++chunk)
    for (int m = 0; m < o.microbatches; ++m) writer.forward(chunk);
  for (int chunk = o.chunks - 1; chunk >= 0; --chunk)
    for (int m = 0; m < o.microbatches; ++m) split ? writer.backward_input(chunk) : writer.backward(chunk);
  for (int chunk = o.chunks - 1; split && chunk >= 0; --chunk) writer.all_weights(chunk);
  return writer.take();
}

// The chunk of each action of a rank, in the order of its forwards (or, `reversed`, of its backwards): microbatches
// are cut into equal groups of about N, and a group passes all chunks before the next starts. A group of fewer than
// `ranks` microbatches would come back around the pipeline later than the next chunk needs it, and with few enough of
// them the 1F1B phase would wait for itself; so a rest below `ranks` makes no group of its own. That takes any number
// of microbatches.
class Groups {
 public:
  Groups(const ScheduleOptions& o, int stretch) : chunks_(o.chunks), microbatches_(o.microbatches) {
    const int whole = microbatches_ / stretch, rest = microbatches_ % stretch;
    count_ = std::max(1, whole + (rest >= o.ranks ? 1 : 0));
  }
  int largest() const { return (microbatches_ + count_ - 1) / count_; }

  std::vector<int> order(bool reversed) const {
    std::vector<int> chunk_of_action;
    for (int group = 0; group < count_; ++group)
      for (int i = 0; i < chunks_; ++i)
        chunk_of_action.insert(chunk_of_action.end(), size(group), reversed ? chunks_ - 1 - i : i);
    return chunk_of_action;
  }

 private:
  std::size_t size(int group) const {
    return static_cast<std::size_t>(microbatches_ / count_ + (group < microbatches_ % count_ ? 1 : 0));
  }
  int chunks_, microbatches_, count_ = 1;
};

// `ahead` forwards, then forward and backward by turns, then the backwards that are left.
Timeline one_f_one_b(const ScheduleOptions& o, const Groups& groups, int ahead) {
  Writer writer(o.chunks, o.microbatches);
  const std::vector<int> forwards = groups.order(false), backwards = groups.order(true);
  const std::size_t total = forwards.size(), warm = std::min(total, static_cast<std::size_t>(ahead));
  for (std::size_t i = 0; i < warm; ++i) writer.forward(forwards[i]);
  for (std::size_t i = 0; i < total; ++i) {
    if (warm + i < total) writer.forward(forwards[warm + i]);
    writer.backward(backwards[i]);
  }
  return writer.take();
}

// With one chunk a rank is ahead of the last by its distance; with more, twice that, since a backward's way back
// takes as long, and by the forwards of the other chunks of a group (Narayanan et al. 2021, figure 4).
Timeline one_f_one_b(const ScheduleOptions& o, int stretch, int rank) {
  const Groups groups(o, stretch);
  const int distance = o.ranks - 1 - rank;
  return one_f_one_b(o, groups, o.chunks == 1 ? distance : 2 * distance + (o.chunks - 1) * groups.largest());
}

// Qi et al. 2023, section 2.2: 1F1B of forwards and input gradients; rank r's weight gradients lag r behind, so that
// every rank has at most `ranks` microbatches in flight and input gradients reach rank 0 earlier.
Timeline zb_h1(const ScheduleOptions& o, int rank) {
  Writer writer(1, o.microbatches);
  for (int i = 0; i < o.ranks - 1 - rank; ++i) writer.forward(0);
  for (int i = 0; i < o.microbatches; ++i) {
    writer.forward(0);
    writer.backward_input(0);
    if (i >= rank) writer.backward_weight(0);
  }
  writer.all_weights(0);
  return writer.take();
}

void zb_v_warm_up(Writer& writer, int ranks, int rank) {
  for (int i = 0; i < 2 * (ranks - rank) - 1; ++i) writer.forward(0);
  for (int i = 0; i < rank; ++i) {
    writer.forward(1);
    writer.forward(0);
  }
  for (int i = 0; i < ranks - rank; ++i) {
    writer.forward(1);
    writer.backward_split(1);
  }
}

void zb_v_steady(Writer& writer, int microbatches) {
  while (writer.forwards(1) < microbatches) {
    if (writer.forwards(0) < microbatches) writer.forward(0);
    writer.backward_split(0);
    writer.forward(1);
    writer.backward_split(1);
  }
}

void zb_v_cool_down(Writer& writer, int ranks, int rank) {
  for (int i = 0; i < rank; ++i) {
    writer.backward_input(0);
    writer.backward_input(1);
  }
  for (int i = 0; i < ranks - rank; ++i) {
    writer.backward_input(0);
    writer.backward_weight(0);
  }
  writer.all_weights(1);
  writer.all_weights(0);
}

// Qi et al. 2023, section 6 (ZB-V), in the closed form for F = I = W. It needs 2 ranks - 1 microbatches to fill the V;
// fewer are the same order with the others left out.
Timeline zb_v(const ScheduleOptions& o, int rank) {
  Writer writer(2, o.microbatches);
  zb_v_warm_up(writer, o.ranks, rank);
  zb_v_steady(writer, std::max(o.microbatches, 2 * o.ranks - 1));
  zb_v_cool_down(writer, o.ranks, rank);
  return writer.take();
}

Timeline timeline_of(const ScheduleOptions& o, int stretch, int rank) {
  switch (o.schedule) {
    case Schedule::gpipe:
    case Schedule::gpipe_split:
      return gpipe(o, o.schedule == Schedule::gpipe_split);
    case Schedule::one_f_one_b:
    case Schedule::interleaved:
      return one_f_one_b(o, stretch, rank);
    case Schedule::zb_h1:
      return zb_h1(o, rank);
    case Schedule::zb_v:
      return zb_v(o, rank);
    case Schedule::csv:
      break;
  }
  DROVER_CHECK(o.schedule != Schedule::csv, "a CSV has its own timelines");
  return {};
}

// Numbers of stages and, of all ranks together, of actions and hand-overs stay within an int.
constexpr int kMost = 1 << 20;
constexpr std::int64_t kMostStageMicrobatches = 1 << 29;

void check_size(std::string_view key, int value) {
  if (value < 1 || value > kMost) throw usage_error(key, " is ", value, "; it must be from 1 to ", kMost);
}

void check_sizes(const ScheduleOptions& o) {
  check_size("parallel.pipeline", o.ranks);
  check_size("parallel.virtual_stages", o.chunks);
  check_size("parallel.stretch", o.stretch.value_or(1));
  check_size("the number of microbatches of a step", o.microbatches);
  if (o.ranks > kMost / o.chunks)
    throw usage_error("parallel.pipeline x parallel.virtual_stages is ", o.ranks, " x ", o.chunks,
                      "; use no more stages than the model has blocks");
  if (std::int64_t{o.ranks} * o.chunks > kMostStageMicrobatches / o.microbatches)
    throw usage_error("a step has ", o.microbatches, " microbatches on ", std::int64_t{o.ranks} * o.chunks,
                      " stages (parallel.pipeline x parallel.virtual_stages), together more than ",
                      kMostStageMicrobatches,
                      "; use fewer stages, more train.microbatch_sequences or fewer train.batch_tokens");
}

void check_chunks(const ScheduleOptions& o) {
  const bool one = o.schedule == Schedule::one_f_one_b || o.schedule == Schedule::zb_h1;
  if (one && o.chunks != 1)
    throw usage_error("parallel.virtual_stages is ", o.chunks, ", and parallel.schedule ",
                      name_of(o.schedule),
                      " has one stage a rank; use 1, or the schedule interleaved or gpipe");
  if (o.schedule == Schedule::zb_v && o.chunks != 2)
    throw usage_error("parallel.virtual_stages is ", o.chunks,
                      ", and parallel.schedule zb-v has two stages a rank; use 2, or the schedule zb-h1");
}

void check_stretch(const ScheduleOptions& o) {
  if (o.schedule == Schedule::interleaved && o.stretch.value_or(o.ranks) < o.ranks)
    throw usage_error("parallel.stretch is ", *o.stretch,
                      ", and the schedule interleaved needs at least parallel.pipeline, ", o.ranks,
                      ": the next stage would wait for microbatches that are still underway");
}

PipelineSchedule from_csv(const ScheduleOptions& o) {
  if (o.csv_path.empty())
    throw usage_error(
        "parallel.schedule is csv, which needs parallel.schedule_file, or use another schedule");
  PipelineSchedule schedule = read_schedule_csv(o.csv, o.csv_path);
  const Placement& placement = schedule.placement;
  if (placement.ranks() != o.ranks)
    throw usage_error("parallel.pipeline is ", o.ranks, ", and ", o.csv_path, " has ", placement.ranks(),
                      " ranks (lines); make them equal");
  if (o.chunks != 1 && placement.chunks() != o.chunks)
    throw usage_error("parallel.virtual_stages is ", o.chunks, ", and ", o.csv_path, " has ",
                      placement.chunks(), " stages a rank; leave it out or make them equal");
  if (schedule.microbatches != o.microbatches)
    throw usage_error("parallel.schedule_file ", o.csv_path, " is for ", schedule.microbatches,
                      " microbatches, and a step has ", o.microbatches,
                      " on each data-parallel rank; change train.batch_tokens or the file");
  schedule.stretch = o.stretch.value_or(o.ranks);
  return schedule;
}

}  // namespace

void check_schedule(const ScheduleOptions& options) {
  check_sizes(options);
  check_chunks(options);
  check_stretch(options);
  if (options.schedule == Schedule::csv && options.csv_path.empty())
    throw usage_error(
        "parallel.schedule is csv, which needs parallel.schedule_file, or use another schedule");
}

PipelineSchedule make_schedule(const ScheduleOptions& options) {
  check_schedule(options);
  if (options.schedule == Schedule::csv) return from_csv(options);
  PipelineSchedule schedule{.placement = options.schedule == Schedule::zb_v
                                             ? Placement::v_shaped(options.ranks)
                                             : Placement::round_robin(options.ranks, options.chunks),
                            .microbatches = options.microbatches,
                            .stretch = options.stretch.value_or(options.ranks)};
  for (int rank = 0; rank < options.ranks; ++rank)
    schedule.timelines.push_back(timeline_of(options, schedule.stretch, rank));
  return schedule;
}

}  // namespace drover
