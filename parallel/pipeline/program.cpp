#include "parallel/pipeline/program.h"

#include <algorithm>
#include <deque>
#include <map>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "parallel/pipeline/order.h"

namespace drover {

namespace {

std::string_view name_of(Direction direction) {
  return direction == Direction::activation ? "activation" : "gradient";
}

std::string buffer_name(int buffer) { return buffer < 0 ? "-" : cat(buffer); }

// An output that another stage reads.
struct HandOver {
  int from = -1, to = -1;  // ranks; equal: a move
  int reader = 0;          // index of the reading action in the timeline of `to`
  int microbatch = 0;
  Direction direction = Direction::activation;
  int sent = -1, received = -1;  // buffers on `from` and on `to`
  bool moves() const { return from == to; }
};

// The free buffers of one rank, the longest free first.
struct Pool {
  std::deque<int> free;
  int count = 0;

  int take() {
    if (free.empty()) return count++;
    const int buffer = free.front();
    free.pop_front();
    return buffer;
  }
};

// A receive of a rank: posted before the action with that index.
struct Posting {
  int before = 0;
  int hand_over = 0;
};

class Weaver {
 public:
  // Writes the steps of rank `wanted`, or of all ranks (-1).
  Weaver(const PipelineSchedule& schedule, int wanted)
      : schedule_(schedule),
        wanted_(wanted),
        hand_overs_(2 * static_cast<std::size_t>(schedule.placement.stages() * schedule.microbatches)),
        pools_(schedule.timelines.size()),
        postings_(schedule.timelines.size()),
        posted_(schedule.timelines.size(), 0),
        programs_(schedule.timelines.size()) {}

  std::vector<PipelineProgram> weave() {
    const std::vector<OrderedAction> order = execution_order(schedule_);
    for (int rank = 0; rank < ranks(); ++rank) find_readers(rank);
    for (int rank = 0; rank < ranks(); ++rank) queue_postings(rank);
    for (std::vector<Posting>& postings : postings_)
      std::stable_sort(postings.begin(), postings.end(),
                       [](const Posting& a, const Posting& b) { return a.before < b.before; });
    for (const OrderedAction& at : order) add_action(at.rank, at.index);
    for (std::size_t rank = 0; rank < programs_.size(); ++rank) programs_[rank].buffers = pools_[rank].count;
    return std::move(programs_);
  }

 private:
  int ranks() const { return static_cast<int>(schedule_.timelines.size()); }
  const Timeline& timeline(int rank) const { return schedule_.timelines[static_cast<std::size_t>(rank)]; }
  Pool& pool(int rank) { return pools_[static_cast<std::size_t>(rank)]; }
  HandOver& hand_over(int id) { return hand_overs_[static_cast<std::size_t>(id)]; }

  // Hand-overs are numbered by the stage that writes. -1: there is none.
  int written_by(Direction direction, int stage, int microbatch) const {
    if (stage < 0 || stage >= schedule_.placement.stages()) return -1;
    return (2 * stage + (direction == Direction::gradient ? 1 : 0)) * schedule_.microbatches + microbatch;
  }
  int input_of(int rank, const Action& action) const {
    const int stage = schedule_.placement.stage(rank, action.chunk);
    if (action.kind == ActionKind::forward)
      return written_by(Direction::activation, stage - 1, action.microbatch);
    if (action.kind == ActionKind::backward_weight) return -1;
    return written_by(Direction::gradient, stage + 1, action.microbatch);
  }
  int output_of(int rank, const Action& action) const {
    const int stage = schedule_.placement.stage(rank, action.chunk), last = schedule_.placement.stages() - 1;
    if (action.kind == ActionKind::forward)
      return stage == last ? -1 : written_by(Direction::activation, stage, action.microbatch);
    if (action.kind == ActionKind::backward_weight || stage == 0) return -1;
    return written_by(Direction::gradient, stage, action.microbatch);
  }

  void find_readers(int rank) {
    for (int index = 0; index < static_cast<int>(timeline(rank).size()); ++index) {
      const Action& action = timeline(rank)[static_cast<std::size_t>(index)];
      const int input = input_of(rank, action);
      if (input < 0) continue;
      hand_over(input).to = rank;
      hand_over(input).reader = index;
      hand_over(input).microbatch = action.microbatch;
      hand_over(input).direction =
          action.kind == ActionKind::forward ? Direction::activation : Direction::gradient;
    }
  }

  // From the sender's side: the messages to each peer in the order of sending. Each is due one action ahead of its
  // reader, and no later than those that follow it.
  void queue_postings(int rank) {
    std::map<int, std::vector<int>> sent_to;
    for (const Action& action : timeline(rank)) {
      const int output = output_of(rank, action);
      if (output < 0) continue;
      hand_over(output).from = rank;
      if (!hand_over(output).moves()) sent_to[hand_over(output).to].push_back(output);
    }
    for (const auto& [peer, messages] : sent_to) {
      std::vector<Posting> postings;
      int due = static_cast<int>(timeline(peer).size());
      for (auto id = messages.rbegin(); id != messages.rend(); ++id) {
        due = std::min(due, std::max(0, hand_over(*id).reader - 1));
        postings.push_back({.before = due, .hand_over = *id});
      }
      std::vector<Posting>& all = postings_[static_cast<std::size_t>(peer)];
      all.insert(all.end(), postings.rbegin(), postings.rend());
    }
  }

  void add_action(int rank, int index) {
    post_receives(rank, index);
    const Action& action = timeline(rank)[static_cast<std::size_t>(index)];
    const int input = input_of(rank, action), output = output_of(rank, action);
    if (output >= 0) hand_over(output).sent = pool(rank).take();
    if (output >= 0 && hand_over(output).moves()) hand_over(output).received = hand_over(output).sent;
    add(rank, {.kind = StepKind::compute,
               .action = action,
               .input = input < 0 ? -1 : hand_over(input).received,
               .output = output < 0 ? -1 : hand_over(output).sent,
               .microbatch = action.microbatch});
    if (input >= 0) release(hand_over(input));
    if (output >= 0 && !hand_over(output).moves()) add_message(rank, hand_over(output), StepKind::send);
  }

  void post_receives(int rank, int index) {
    const std::vector<Posting>& postings = postings_[static_cast<std::size_t>(rank)];
    std::size_t& posted = posted_[static_cast<std::size_t>(rank)];
    for (; posted < postings.size() && postings[posted].before == index; ++posted) {
      HandOver& message = hand_over(postings[posted].hand_over);
      message.received = pool(rank).take();
      add_message(rank, message, StepKind::receive);
    }
  }

  // What was handed over has been read: both its buffers are free, the sender's too, whose message has arrived.
  void release(const HandOver& read) {
    pool(read.to).free.push_back(read.received);
    if (!read.moves()) pool(read.from).free.push_back(read.sent);
  }

  void add_message(int rank, const HandOver& message, StepKind kind) {
    add(rank, {.kind = kind,
               .buffer = kind == StepKind::send ? message.sent : message.received,
               .peer = kind == StepKind::send ? message.to : message.from,
               .microbatch = message.microbatch,
               .direction = message.direction});
  }

  void add(int rank, const ProgramStep& step) {
    if (wanted_ < 0 || wanted_ == rank) programs_[static_cast<std::size_t>(rank)].steps.push_back(step);
  }

  const PipelineSchedule& schedule_;
  int wanted_;
  std::vector<HandOver> hand_overs_;
  std::vector<Pool> pools_;
  std::vector<std::vector<Posting>> postings_;  // of each rank, in order
  std::vector<std::size_t> posted_;
  std::vector<PipelineProgram> programs_;
};

}  // namespace

std::string describe(const ProgramStep& step) {
  if (step.kind == StepKind::compute)
    return cat(describe(step.action), " ", buffer_name(step.input), " -> ", buffer_name(step.output));
  const bool sends = step.kind == StepKind::send;
  return cat(sends ? "send " : "recv ", step.buffer, sends ? " -> rank " : " <- rank ", step.peer, " (",
             name_of(step.direction), " ", step.microbatch, ")");
}

std::vector<PipelineProgram> programs_of(const PipelineSchedule& schedule) {
  return Weaver(schedule, -1).weave();
}

PipelineProgram program_of(const PipelineSchedule& schedule, int rank) {
  return std::move(Weaver(schedule, rank).weave()[static_cast<std::size_t>(rank)]);
}

}  // namespace drover
