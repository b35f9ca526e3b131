#include "parallel/pipeline/simulate.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "core/base/error.h"

namespace drover {

namespace {

// What a buffer holds: the output of that stage.
struct Content {
  Direction direction = Direction::activation;
  int stage = -1, microbatch = -1;
  bool operator==(const Content&) const = default;
};

struct Post {
  int buffer = 0, microbatch = 0;
  Direction direction = Direction::activation;
  double time = 0;
};

// The messages of an ordered pair of ranks: the k-th send and the k-th receive are one.
struct Channel {
  int from = 0, to = 0;
  std::vector<Post> sends, receives;
  std::size_t matched() const { return std::min(sends.size(), receives.size()); }
};

struct PendingMessage {
  const Channel* channel = nullptr;  // null: nothing is pending
  std::size_t number = 0;
};

struct BufferState {
  Content content;
  PendingMessage pending;
};

struct RankState {
  std::size_t next = 0;  // step
  double clock = 0;
  std::vector<BufferState> buffers;
};

class Machine {
 public:
  Machine(const PipelineSchedule& schedule, const std::vector<PipelineProgram>& programs,
          const SimulationCosts& costs)
      : schedule_(schedule),
        programs_(programs),
        costs_(costs),
        states_(programs.size()),
        progress_(static_cast<std::size_t>(schedule.placement.stages() * schedule.microbatches), 0) {
    result_.ranks.resize(programs.size());
    for (std::size_t rank = 0; rank < programs.size(); ++rank)
      states_[rank].buffers.resize(static_cast<std::size_t>(programs[rank].buffers));
  }

  Simulation run() {
    for (int rank = ranks() - 1; rank >= 0; --rank) ready_.push_back(rank);
    while (!ready_.empty()) {
      const int rank = ready_.back();
      ready_.pop_back();
      while (advance(rank)) continue;
    }
    for (int rank = 0; rank < ranks(); ++rank) check_finished(rank);
    check_complete();
    for (int rank = 0; rank < ranks(); ++rank) report(rank);
    return std::move(result_);
  }

 private:
  int ranks() const { return static_cast<int>(programs_.size()); }
  RankState& state(int rank) { return states_[static_cast<std::size_t>(rank)]; }
  const std::vector<ProgramStep>& steps(int rank) const {
    return programs_[static_cast<std::size_t>(rank)].steps;
  }
  BufferState& buffer(int rank, int number) { return state(rank).buffers[static_cast<std::size_t>(number)]; }
  int stage_of(int rank, const Action& action) const { return schedule_.placement.stage(rank, action.chunk); }

  bool advance(int rank) {
    RankState& at = state(rank);
    if (at.next == steps(rank).size()) return false;
    const ProgramStep& step = steps(rank)[at.next];
    for (int used : {step.input, step.output, step.buffer})
      if (used >= 0 && !wait(at, used)) return false;
    ++at.next;
    if (step.kind == StepKind::compute)
      compute(rank, step);
    else
      post(rank, step);
    return true;
  }

  // False while the message that is pending on the buffer has not met its other end.
  static bool wait(RankState& at, int number) {
    PendingMessage& pending = at.buffers[static_cast<std::size_t>(number)].pending;
    if (pending.channel == nullptr) return true;
    if (pending.number >= pending.channel->matched()) return false;
    at.clock = std::max(at.clock, pending.channel->receives[pending.number].time);
    pending = {};
    return true;
  }

  void compute(int rank, const ProgramStep& step) {
    const Action& action = step.action;
    const int stage = stage_of(rank, action);
    check_input(rank, step);
    pass(rank, action);
    RankState& at = state(rank);
    const double start = at.clock;
    at.clock += cost(action.kind, stage);
    SimulatedRank& result = result_.ranks[static_cast<std::size_t>(rank)];
    result.actions.push_back({.action = action, .start = start, .end = at.clock});
    result.busy += at.clock - start;
    if (step.output >= 0)
      buffer(rank, step.output).content = {
          .direction = direction_of(action), .stage = stage, .microbatch = action.microbatch};
  }

  static Direction direction_of(const Action& action) {
    return action.kind == ActionKind::forward ? Direction::activation : Direction::gradient;
  }

  double cost(ActionKind kind, int stage) const {
    const StageCosts& costs =
        costs_.stages.size() == 1 ? costs_.stages[0] : costs_.stages[static_cast<std::size_t>(stage)];
    const std::array<double, 4> of_kind = {costs.forward, costs.input + costs.weight, costs.input,
                                           costs.weight};
    return of_kind[static_cast<std::size_t>(kind)];
  }

  // The buffer that the action reads holds what it is to read; those at the model's ends have none.
  void check_input(int rank, const ProgramStep& step) {
    const Action& action = step.action;
    if (action.kind == ActionKind::backward_weight) return;
    const int from = stage_of(rank, action) + (action.kind == ActionKind::forward ? -1 : 1);
    if (from < 0 || from == schedule_.placement.stages()) {
      require(step.input < 0, rank, action, "reads a message where the model ends");
      return;
    }
    require(step.input >= 0, rank, action, "reads nothing");
    const Content needed{.direction = direction_of(action), .stage = from, .microbatch = action.microbatch};
    require(buffer(rank, step.input).content == needed, rank, action,
            "reads another stage's or microbatch's data");
  }

  // A microbatch of a stage has had nothing, F, F I, or everything.
  void pass(int rank, const Action& action) {
    constexpr std::array<int, 4> kBefore = {0, 1, 1, 2}, kAfter = {1, 3, 2, 3};
    int& progress = progress_[static_cast<std::size_t>(stage_of(rank, action) * schedule_.microbatches +
                                                       action.microbatch)];
    const auto kind = static_cast<std::size_t>(action.kind);
    require(progress == kBefore[kind], rank, action, "comes twice or out of order");
    progress = kAfter[kind];
  }

  static void require(bool holds, int rank, const Action& action, const char* fault) {
    if (!holds)
      throw Error(Exit::internal,
                  cat("schedule: pipeline rank ", rank, ", action ", describe(action), ": ", fault));
  }

  void post(int rank, const ProgramStep& step) {
    const bool sends = step.kind == StepKind::send;
    const std::pair<int, int> pair = sends ? std::pair(rank, step.peer) : std::pair(step.peer, rank);
    Channel& channel = channels_[pair];
    channel.from = pair.first;
    channel.to = pair.second;
    std::vector<Post>& posts = sends ? channel.sends : channel.receives;
    buffer(rank, step.buffer).pending = {.channel = &channel, .number = posts.size()};
    posts.push_back({.buffer = step.buffer,
                     .microbatch = step.microbatch,
                     .direction = step.direction,
                     .time = state(rank).clock});
    if (posts.size() <= channel.matched()) match(channel, posts.size() - 1);
  }

  // Both ends are there: the data moves, and whoever waits for it goes on.
  void match(Channel& channel, std::size_t number) {
    const Post& send = channel.sends[number];
    Post& receive = channel.receives[number];
    if (send.microbatch != receive.microbatch || send.direction != receive.direction)
      throw Error(Exit::internal, cat("schedule: message ", number, " from pipeline rank ", channel.from,
                                      " to ", channel.to, " is of microbatch ", send.microbatch,
                                      ", and the receive is for ", receive.microbatch));
    receive.time = std::max(send.time, receive.time) + costs_.transfer;
    buffer(channel.to, receive.buffer).content = buffer(channel.from, send.buffer).content;
    ready_.push_back(channel.from);
    ready_.push_back(channel.to);
  }

  void check_finished(int rank) {
    const std::size_t next = state(rank).next;
    if (next < steps(rank).size())
      throw Error(Exit::internal, cat("schedule: deadlock: pipeline rank ", rank, " waits forever at step ",
                                      next, ": ", describe(steps(rank)[next])));
    for (std::size_t number = 0; number < state(rank).buffers.size(); ++number)
      if (!wait(state(rank), static_cast<int>(number)))
        throw Error(Exit::internal, cat("schedule: a message of pipeline rank ", rank, " in buffer ", number,
                                        " never has another end"));
  }

  void check_complete() const {
    const int wanted = has_backward() ? 3 : 1;
    const auto missing =
        std::find_if(progress_.begin(), progress_.end(), [&](int progress) { return progress != wanted; });
    if (missing == progress_.end()) return;
    const auto at = static_cast<int>(missing - progress_.begin());
    throw Error(Exit::internal, cat("schedule: stage ", at / schedule_.microbatches,
                                    " never ends microbatch ", at % schedule_.microbatches));
  }

  bool has_backward() const {
    const auto is_backward = [](const Action& action) { return action.kind != ActionKind::forward; };
    return std::any_of(schedule_.timelines.begin(), schedule_.timelines.end(), [&](const Timeline& timeline) {
      return std::any_of(timeline.begin(), timeline.end(), is_backward);
    });
  }

  void report(int rank) {
    SimulatedRank& result = result_.ranks[static_cast<std::size_t>(rank)];
    const Timeline& timeline = schedule_.timelines[static_cast<std::size_t>(rank)];
    for (int chunk = 0; chunk < schedule_.placement.chunks(); ++chunk)
      result.slots.push_back(count_slots(timeline, chunk));
    result.buffers = programs_[static_cast<std::size_t>(rank)].buffers;
    result_.step = std::max(result_.step, result.actions.back().end);
  }

  const PipelineSchedule& schedule_;
  const std::vector<PipelineProgram>& programs_;
  const SimulationCosts& costs_;
  std::vector<RankState> states_;
  std::vector<int> progress_;  // of each (stage, microbatch)
  std::map<std::pair<int, int>, Channel> channels_;
  std::vector<int> ready_;
  Simulation result_;
};

}  // namespace

double SimulatedRank::idle_in_span() const { return actions.back().end - actions.front().start - busy; }

double Simulation::idle_in_span() const {
  double most = 0;
  for (const SimulatedRank& rank : ranks) most = std::max(most, rank.idle_in_span());
  return most;
}

Simulation simulate(const PipelineSchedule& schedule, const std::vector<PipelineProgram>& programs,
                    const SimulationCosts& costs) {
  const auto stages = static_cast<std::size_t>(schedule.placement.stages());
  DROVER_CHECK(costs.stages.size() == 1 || costs.stages.size() == stages, "costs of ", costs.stages.size(),
               " stages");
  return Machine(schedule, programs, costs).run();
}

Simulation simulate(const PipelineSchedule& schedule, const SimulationCosts& costs) {
  return simulate(schedule, programs_of(schedule), costs);
}

}  // namespace drover
