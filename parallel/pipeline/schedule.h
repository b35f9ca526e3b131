// Pipeline schedules are data: which stage of the model lies where (Placement) and one timeline of compute actions
// per pipeline rank. Generators know nothing of messages, gathers or memory; passes add those
// (parallel/pipeline/program.h), and parallel/pipeline/simulate.h proves a schedule complete and free of deadlocks.
// Everything here is a value or a pure function; a schedule depends on the pipeline's size, never on the number of
// ranks of the run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

enum class ActionKind : std::uint8_t {
  forward,          // F
  backward,         // B: input and weight gradients together
  backward_input,   // I
  backward_weight,  // W
};
char letter(ActionKind kind);

// Actions make stretches by kind: a stretch is a maximal sequence of actions of one kind and chunk, at most N,
// between which no action of that kind of another chunk comes (actions of other kinds may). A fused backward is a
// weight gradient.
enum class StretchKind : std::uint8_t { forward, input_gradient, weight_gradient };
constexpr std::size_t kStretchKinds = 3;
enum class StretchPart : std::uint8_t { middle, last };

struct Action {
  ActionKind kind = ActionKind::forward;
  int chunk = 0;  // of this rank
  int microbatch = 0;
  bool operator==(const Action&) const = default;

  bool makes_input_gradient() const {
    return kind == ActionKind::backward || kind == ActionKind::backward_input;
  }
  bool makes_weight_gradient() const {
    return kind == ActionKind::backward || kind == ActionKind::backward_weight;
  }
  StretchKind stretch_kind() const {
    if (makes_weight_gradient()) return StretchKind::weight_gradient;
    return kind == ActionKind::forward ? StretchKind::forward : StretchKind::input_gradient;
  }
};
using Timeline = std::vector<Action>;

// "0F3": chunk, kind, microbatch.
std::string describe(const Action& action);
// "0F0 0B0 0F1 0B1"
std::string describe(const Timeline& timeline);

struct StagePlace {
  int rank = 0, chunk = 0;
  bool operator==(const StagePlace&) const = default;
};

// Where each of the model's stages lies: ranks x chunks stages, numbered in the order that a token passes them;
// every (rank, chunk) holds exactly one.
class Placement {
 public:
  // Stage s on rank s % ranks, as chunk s / ranks.
  static Placement round_robin(int ranks, int chunks);
  // Two chunks: stages 0 .. ranks - 1 down the ranks, the others back up, so that the first rank holds both ends of
  // the model and the turn within the last rank is a move (Qi et al. 2024, "Pipeline Parallelism with Controllable
  // Memory").
  static Placement v_shaped(int ranks);
  // places[stage]; an invariant that every (rank, chunk) is there once.
  explicit Placement(std::vector<StagePlace> places);

  int ranks() const { return ranks_; }
  int chunks() const { return chunks_; }
  int stages() const { return static_cast<int>(places_.size()); }
  StagePlace at(int stage) const { return places_[static_cast<std::size_t>(stage)]; }
  int stage(int rank, int chunk) const { return stages_[static_cast<std::size_t>(rank * chunks_ + chunk)]; }
  bool operator==(const Placement&) const = default;

 private:
  std::vector<StagePlace> places_;
  std::vector<int> stages_;  // inverse, rank-major
  int ranks_ = 1, chunks_ = 1;
};

enum class Schedule : std::uint8_t {
  one_f_one_b,  // Narayanan et al. 2019, PipeDream-flush; on one rank F and B alternate
  gpipe,        // Huang et al. 2019: all forwards, then all backwards; several chunks: one after the other
  gpipe_split,  // gpipe with input gradients first and weight gradients last; for tests, it has no name in YAML
  interleaved,  // Narayanan et al. 2021, with the N of Llama 3 (section 3.3.2)
  zb_h1,        // Qi et al. 2023, "Zero Bubble Pipeline Parallelism": 1F1B's memory, a third of its bubble
  zb_v,         // the same, ZB-V: two chunks, placed in a V; no bubble where F, I and W cost the same
  csv,          // from the user's file, parallel/pipeline/csv.h
};
// "1f1b", "gpipe", "interleaved", "zb-h1", "zb-v", "csv"; Error{usage} names parallel.schedule.
Schedule schedule_named(std::string_view name);
std::string_view name_of(Schedule schedule);
// Chunks of a rank where nobody says otherwise: 2 for interleaved and zb-v, else 1.
int default_chunks(Schedule schedule);

struct ScheduleOptions {
  Schedule schedule = Schedule::one_f_one_b;
  int ranks = 1;   // parallel.pipeline
  int chunks = 1;  // parallel.virtual_stages
  int microbatches = 1;
  // parallel.stretch, Llama 3's N: how many consecutive microbatches of one chunk make a stretch, from depth-first
  // (N = ranks, the default) to breadth-first (N = microbatches). It bounds for how many microbatches the gradients
  // (ZeRO-2 and 3) and weights (ZeRO-3) of a chunk stay whole; `interleaved` also orders its actions by it.
  std::optional<int> stretch;
  std::string csv;       // text of parallel.schedule_file, where schedule is csv
  std::string csv_path;  // for messages
};

struct PipelineSchedule {
  Placement placement = Placement::round_robin(1, 1);
  int microbatches = 0;
  int stretch = 1;
  std::vector<Timeline> timelines;  // one per pipeline rank
};

// Any number of microbatches, from 1 on. Error{usage} names the key that does not fit (parallel.schedule,
// parallel.virtual_stages, parallel.stretch, parallel.pipeline) and the nearest legal values; Error{input} the
// line of a CSV.
PipelineSchedule make_schedule(const ScheduleOptions& options);
// What it refuses, as far as that needs neither the number of microbatches nor the CSV.
void check_schedule(const ScheduleOptions& options);

// The same order without the backward actions: for evaluation.
PipelineSchedule forward_of(const PipelineSchedule& schedule);

// The most microbatches of a chunk in flight at once: `saved`, from forward to the weight gradient (which reads
// activations); `weight`, from input gradient to weight gradient, 0 when they are never apart.
struct SlotCount {
  int saved = 0;
  int weight = 0;
  bool operator==(const SlotCount&) const = default;
};
SlotCount count_slots(const Timeline& timeline, int chunk = 0);

// ends[i] is 1 where action i is the last of its stretch. There a chunk's gradients are reduced, where the stretch is
// of weight gradients (ZeRO-2 and 3), and its weights released, where no stretch of another kind still uses them
// (ZeRO-3).
std::vector<std::uint8_t> stretch_ends(const Timeline& timeline, int stretch);
// How many stretches of weight gradients a chunk has: so often its gradients are ready in a step.
int weight_stretches(const Timeline& timeline, int stretch, int chunk);
// Microbatches in the longest stretch of weight gradients; 0 when there is no backward.
int longest_stretch(const Timeline& timeline, int stretch);

// Which actions use how many weights.
struct WeightUse {
  std::vector<std::int64_t> blocks;  // of each chunk
  bool by_backward_weight = false;   // where it computes activations again
};
// The most blocks whose weights a rank has at once under ZeRO-3: all of every chunk that has a stretch going on; of a
// chunk whose stretch is the action alone, the block in use and the next one.
std::int64_t most_gathered(const Timeline& timeline, int stretch, const WeightUse& use);

}  // namespace drover
