#include "parallel/comm/local/local_comm.h"

#include <algorithm>
#include <exception>
#include <thread>

#include "parallel/comm/local/group.h"

namespace drover {

using Outcome = LocalWorld::Outcome;

class LocalComm final : public Communicator {
 public:
  LocalComm(std::shared_ptr<LocalGroup> group, int rank, std::string name)
      : group_(std::move(group)),
        rank_(rank),
        name_(std::move(name)),
        worker_{.parts = std::vector<Tensor>(group_->size()), .reduction = OrderedReduction(group_->size())} {
  }

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  const std::string& name() const override { return name_; }

  Pending all_reduce(const Exec& exec, const AllReduce& call) override { return start(exec, call); }
  Pending all_gather(const Exec& exec, const AllGather& call) override { return start(exec, call, size()); }
  Pending all_gather_v(const Exec& exec, const AllGatherV& call) override {
    return start(exec, call, rank_, size());
  }
  Pending reduce_scatter(const Exec& exec, const ReduceScatter& call) override {
    return start(exec, call, size());
  }
  Pending reduce_scatter_v(const Exec& exec, const ReduceScatterV& call) override {
    return start(exec, call, rank_, size());
  }
  Pending all_to_all(const Exec& exec, const AllToAll& call) override { return start(exec, call, size()); }
  Pending all_to_all_v(const Exec& exec, const AllToAllV& call) override { return start(exec, call, size()); }
  Pending broadcast(const Exec& exec, const Broadcast& call) override { return start(exec, call, size()); }
  Pending barrier(const Exec& exec) override { return start(exec, Verb::barrier); }
  Pending send(const Exec&, const Tensor& x, int peer) override {
    return message(x, rank_, peer, Direction::send);
  }
  Pending recv(const Exec&, const Tensor& x, int peer) override {
    return message(x, peer, rank_, Direction::receive);
  }
  void begin_group() override { ++open_groups_; }
  void end_group() override;
  std::unique_ptr<Communicator> split(int color, int key, std::string name) override;
  void abort(const std::string& reason, Exit) noexcept override { world().abort(world_rank(), reason); }

  void complete(LocalCell& cell, const Exec* exec);
  void abandon(LocalCell& cell) noexcept;
  void release(LocalCell& cell) noexcept;
  void complete(LocalMessage& message);
  void abandon(LocalMessage& message) noexcept;

 private:
  template <class... Call>
  Pending start(const Exec& exec, const Call&... call);
  template <class... Call>
  LocalCollective& enter(const Call&... call);
  void arrive(LocalCollective& mine, const Exec* exec);
  void check_usable() const;
  enum class Direction : std::uint8_t { send, receive };
  Pending message(const Tensor& x, int source, int destination, Direction direction);
  LocalMessage& free_message();
  void post(LocalMessage& message);
  [[noreturn]] void give_up(LocalCell& cell, Outcome outcome);
  [[noreturn]] void give_up(LocalMessage& message, Outcome outcome);
  std::string late_text(LocalCell& cell, std::span<const int> missing) const;
  std::string waited_text() const;

  LocalWorld& world() const { return group_->world(); }
  int world_rank() const { return group_->world_rank(rank_); }

  std::shared_ptr<LocalGroup> group_;
  int rank_;
  std::string name_;
  LocalWorker worker_;
  std::int64_t collectives_ = 0, messages_ = 0;  // started so far
  int in_flight_ = 0;                            // collectives started and not released
  int open_groups_ = 0;
  std::vector<std::unique_ptr<LocalMessage>> message_slots_;
  std::vector<LocalMessage*> collected_;
};

void LocalCollective::wait(const Exec& waiting) { comm->complete(*cell, &waiting); }
void LocalCollective::join() { comm->complete(*cell, &exec.value()); }
void LocalCollective::abandon() noexcept { comm->abandon(*cell); }
void LocalCollective::release() noexcept { comm->release(*cell); }
void LocalMessage::wait(const Exec&) { comm->complete(*this); }
void LocalMessage::join() { comm->complete(*this); }
void LocalMessage::abandon() noexcept { comm->abandon(*this); }

void LocalComm::check_usable() const {
  if (world().aborted()) throw CommError(world().abort_text(), collectives_);
  if (group_->broken())
    throw CommError(cat("'", name_, "' is unusable after an earlier mismatch"), collectives_);
}

template <class... Call>
LocalCollective& LocalComm::enter(const Call&... call) {
  check_usable();
  LocalCell& cell = group_->cell(collectives_, in_flight_ + 1);
  LocalCollective& mine = cell.of(rank_);
  mine.call.set(call...);
  mine.comm = this;
  mine.cell = &cell;
  ++collectives_;
  ++in_flight_;
  return mine;
}

void LocalComm::release(LocalCell& cell) noexcept {
  --in_flight_;
  group_->release(cell);
}

template <class... Call>
Pending LocalComm::start(const Exec& exec, const Call&... call) {
  LocalCollective& mine = enter(call...);
  mine.exec.emplace(exec);
  Pending pending(&mine);
  arrive(mine, &exec);
  return pending;
}

void LocalComm::arrive(LocalCollective& mine, const Exec* exec) {
  LocalCell& cell = *mine.cell;
  if (!cell.arrive(rank_)) return;
  if (!cell.calls_match()) {
    group_->set_broken();
    cell.fail();
    return;
  }
  if (mine.call.verb() == Verb::split) group_->regroup(cell);
  cell.open();
  if (cell.small() && exec != nullptr) cell.run_items(*exec, worker_);
}

void LocalComm::complete(LocalCell& cell, const Exec* exec) {
  using State = LocalCell::State;
  Outcome outcome = world().wait(world_rank(), [&] { return cell.state() != State::collecting; });
  if (outcome != Outcome::happened) give_up(cell, outcome);
  if (cell.state() == State::mismatch) {
    throw CommError(cat("operation ", cell.sequence(), " of '", name_, "': ", cell.mismatch()),
                    cell.sequence());
  }
  if (exec != nullptr) cell.run_items(*exec, worker_);
  outcome = world().wait(world_rank(), [&] { return cell.state() == State::done; });
  if (outcome != Outcome::happened) give_up(cell, outcome);
}

std::string LocalComm::late_text(LocalCell& cell, std::span<const int> missing) const {
  return cat(
      waited_text(), "operation ", cell.sequence(), ", ", cell.of(rank_).call.describe(), ", of '", name_,
      "'; ",
      missing.empty() ? "all ranks started it, but one does not finish its share" : missing_text(missing));
}

std::string LocalComm::waited_text() const {
  return cat("rank ", world_rank(), " waited ", seconds_text(world().options().waiting()), " in ",
             world().options().phase_text());
}

void LocalComm::give_up(LocalCell& cell, Outcome outcome) {
  const bool late = outcome == Outcome::late;
  std::vector<int> missing = cell.missing();
  const std::string text = late ? late_text(cell, missing) : world().abort_text();
  if (late) abort(text, Exit::lost);
  cell.quiesce();
  if (!late) throw CommError(text, cell.sequence());
  throw CommError(Exit::lost, text, cell.sequence(), std::move(missing));
}

void LocalComm::abandon(LocalCell& cell) noexcept {
  if (cell.state() == LocalCell::State::done || cell.state() == LocalCell::State::mismatch) return;
  abort(cat("an exception ended rank ", rank_, " inside operation ", cell.sequence(), " of '", name_, "'"),
        Exit::internal);
  cell.quiesce();
}

LocalMessage& LocalComm::free_message() {
  for (const auto& slot : message_slots_) {
    if (slot->state == LocalMessage::State::free) return *slot;
  }
  message_slots_.push_back(std::make_unique<LocalMessage>());
  collected_.reserve(message_slots_.size());
  return *message_slots_.back();
}

Pending LocalComm::message(const Tensor& x, int source, int destination, Direction direction) {
  check_usable();
  DROVER_CHECK(0 <= std::min(source, destination) && std::max(source, destination) < size(),
               "message from rank ", source, " to rank ", destination, " of ", size());
  DROVER_CHECK(x.contiguous() && x.device == DeviceKind::cpu, "message of ", x.describe());
  LocalMessage& slot = free_message();
  slot.comm = this;
  slot.tensor = x;
  slot.source = source;
  slot.destination = destination;
  slot.sends = direction == Direction::send;
  slot.sequence = messages_++;
  slot.state = LocalMessage::State::collected;
  if (open_groups_ > 0) {
    collected_.push_back(&slot);
  } else {
    post(slot);
  }
  return Pending(&slot);
}

void LocalComm::post(LocalMessage& message) {
  const int peer = message.peer();
  group_->mailbox(message.destination).post(message);
  world().bell(group_->world_rank(peer)).ring();
}

void LocalComm::end_group() {
  DROVER_CHECK(open_groups_ > 0, "end_group without begin_group");
  if (--open_groups_ > 0) return;
  for (LocalMessage* message : collected_) post(*message);
  collected_.clear();
}

void LocalComm::complete(LocalMessage& message) {
  using State = LocalMessage::State;
  DROVER_CHECK(message.state != State::collected,
               "a message is waited for inside the group that collects it");
  const Outcome outcome = world().wait(
      world_rank(), [&] { return message.state == State::done || message.state == State::mismatch; });
  if (outcome != Outcome::happened) give_up(message, outcome);
  if (message.state == State::mismatch) throw CommError(message.mismatch, message.sequence);
}

void LocalComm::give_up(LocalMessage& message, Outcome outcome) {
  const bool late = outcome == Outcome::late;
  std::vector<int> missing;
  if (late) missing.push_back(group_->world_rank(message.peer()));
  const std::string text = late ? cat(waited_text(), "message ", message.sequence, ", ", message.describe(),
                                      ", of '", name_, "'; ", missing_text(missing))
                                : world().abort_text();
  if (late) abort(text, Exit::lost);
  group_->mailbox(message.destination).withdraw(message);
  throw CommError(late ? Exit::lost : Exit::internal, text, message.sequence, std::move(missing));
}

void LocalComm::abandon(LocalMessage& message) noexcept {
  using State = LocalMessage::State;
  if (message.state == State::done || message.state == State::mismatch) return;
  abort(cat("an exception ended rank ", rank_, " inside the ", message.describe(), " on '", name_, "'"),
        Exit::internal);
  std::erase(collected_, &message);
  group_->mailbox(message.destination).withdraw(message);
}

std::unique_ptr<Communicator> LocalComm::split(int color, int key, std::string name) {
  LocalCollective& mine = enter(Verb::split);
  mine.color = color;
  mine.key = key;
  arrive(mine, nullptr);
  complete(*mine.cell, nullptr);
  const std::shared_ptr<LocalGroup> group = std::exchange(mine.new_group, nullptr);
  const int new_rank = mine.new_rank;
  release(*mine.cell);
  if (group == nullptr) return nullptr;
  return std::make_unique<LocalComm>(group, new_rank, std::move(name));
}

std::string CommOptions::phase_text() const {
  return phases == nullptr ? std::string() : cat("phase ", name_of(phases->phase()), ", ");
}

namespace {

std::unique_ptr<Communicator> member(const std::shared_ptr<LocalGroup>& group, int rank) {
  return std::make_unique<LocalComm>(group, rank, "world");
}

std::shared_ptr<LocalGroup> world_group(int ranks, const CommOptions& options) {
  std::vector<int> members(ranks);
  for (int rank = 0; rank < ranks; ++rank) members[rank] = rank;
  return std::make_shared<LocalGroup>(std::make_shared<LocalWorld>(ranks, options), std::move(members));
}

// The text that the other ranks are told.
std::string current_exception_text() {
  try {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

}  // namespace

void run_local_ranks(int ranks, const std::function<void(Communicator& world)>& body,
                     const CommOptions& options) {
  DROVER_CHECK(ranks >= 1, ranks, " ranks");
  const std::shared_ptr<LocalGroup> group = world_group(ranks, options);
  std::vector<std::exception_ptr> failures(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const std::unique_ptr<Communicator> world = member(group, rank);
      try {
        body(*world);
      } catch (...) {
        failures[rank] = std::current_exception();
        world->abort(current_exception_text());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // The rank that aborted first failed for a cause of its own; the others' failures only say so.
  const int origin = group->world().abort_rank();
  if (origin >= 0 && failures[origin]) std::rethrow_exception(failures[origin]);
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

std::unique_ptr<Communicator> single_rank_world() { return member(world_group(1, {}), 0); }

}  // namespace drover
