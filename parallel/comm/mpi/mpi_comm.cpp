#include "parallel/comm/mpi/mpi_comm.h"

#include <algorithm>

#include "parallel/comm/mpi/operation.h"

namespace drover {

using Context = std::unique_ptr<MpiContext, void (*)(MpiContext*)>;

class MpiComm final : public Communicator {
 public:
  MpiComm(MpiShared& shared, Context context, std::string name, const CommOptions& options, HostPath path)
      : shared_(shared),
        context_(std::move(context)),
        channel_(MpiEngine::channel_of(*context_)),
        rank_(MpiEngine::rank_of(*context_)),
        size_(MpiEngine::size_of(*context_)),
        name_(std::move(name)),
        options_(options),
        path_(path) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& name() const override { return name_; }

  Pending all_reduce(const Exec& exec, const AllReduce& call) override { return start(exec, call); }
  Pending all_gather(const Exec& exec, const AllGather& call) override { return start(exec, call, size_); }
  Pending all_gather_v(const Exec& exec, const AllGatherV& call) override {
    return start(exec, call, rank_, size_);
  }
  Pending reduce_scatter(const Exec& exec, const ReduceScatter& call) override {
    return start(exec, call, size_);
  }
  Pending reduce_scatter_v(const Exec& exec, const ReduceScatterV& call) override {
    return start(exec, call, rank_, size_);
  }
  Pending all_to_all(const Exec& exec, const AllToAll& call) override { return start(exec, call, size_); }
  Pending all_to_all_v(const Exec& exec, const AllToAllV& call) override { return start(exec, call, size_); }
  Pending broadcast(const Exec& exec, const Broadcast& call) override { return start(exec, call, size_); }
  Pending barrier(const Exec& exec) override { return start(exec, Verb::barrier); }
  Pending send(const Exec& exec, const Tensor& x, int peer) override {
    return message(exec, x, peer, MpiTransfer::Way::send);
  }
  Pending recv(const Exec& exec, const Tensor& x, int peer) override {
    return message(exec, x, peer, MpiTransfer::Way::receive);
  }
  void begin_group() override { ++open_groups_; }
  void end_group() override;
  std::unique_ptr<Communicator> split(int color, int key, std::string name) override;
  void abort(const std::string& reason, Exit exit) noexcept override { shared_.engine.abort(reason, exit); }

  void complete(MpiCollective& operation, const Exec* waiting);
  void complete(MpiMessage& message, const Exec& waiting);
  void abandon(const std::string& what) noexcept;

 private:
  template <class... Call>
  Pending start(const Exec& exec, const Call&... call);
  template <class... Call>
  MpiCollective& launch(const Exec* exec, const Call&... call);
  Pending message(const Exec& exec, const Tensor& x, int peer, MpiTransfer::Way way);
  void check_usable() const;
  // Blocks until the operation is at rest. When a rank is lost or does not come, nothing moves any more and CommError
  // says in what this rank waited, and for whom.
  template <class Slot>
  void await(const Exec* waiting, const Slot& operation);
  template <class Slot>
  [[noreturn]] void give_up(const Slot& operation);
  std::vector<int> in_world(std::vector<int> ranks) const;

  MpiShared& shared_;
  Context context_;
  SharedChannel* channel_;  // null: by messages
  int rank_, size_;
  std::string name_;
  CommOptions options_;
  HostPath path_;
  std::int64_t collectives_ = 0, messages_ = 0;  // started so far
  bool broken_ = false;
  int open_groups_ = 0;
  std::vector<std::unique_ptr<MpiCollective>> collective_slots_;
  std::vector<std::unique_ptr<MpiMessage>> message_slots_;
  std::vector<MpiMessage*> collected_;
};

namespace {

template <class Slot>
Slot* free_slot(const std::vector<std::unique_ptr<Slot>>& slots) {
  const auto found = std::find_if(slots.begin(), slots.end(), [](const auto& slot) { return !slot->in_use; });
  return found == slots.end() ? nullptr : found->get();
}

}  // namespace

void MpiCollective::wait(const Exec& waiting) { comm_.complete(*this, &waiting); }
void MpiCollective::join() { comm_.complete(*this, &exec.value()); }
void MpiCollective::abandon() noexcept {
  if (!at_rest()) comm_.abandon(describe());
}
void MpiMessage::wait(const Exec& waiting) { comm_.complete(*this, waiting); }
void MpiMessage::join() { comm_.complete(*this, exec.value()); }
void MpiMessage::abandon() noexcept {
  if (!at_rest()) comm_.abandon(describe());
}

void MpiComm::check_usable() const {
  if (broken_) throw CommError(cat("'", name_, "' is unusable after an earlier mismatch"), collectives_);
  if (shared_.engine.frozen())
    throw CommError(cat("'", name_, "' is unusable after an earlier failure of this process"), collectives_);
}

// Submitted is last: from there on any thread of this process that waits may read the operation.
template <class... Call>
MpiCollective& MpiComm::launch(const Exec* exec, const Call&... call) {
  check_usable();
  MpiCollective* operation = free_slot(collective_slots_);
  if (operation == nullptr) {
    collective_slots_.push_back(std::make_unique<MpiCollective>(*this, size_));
    operation = collective_slots_.back().get();
  }
  operation->call.set(call...);
  operation->exec.reset();
  if (exec != nullptr) operation->exec.emplace(*exec);
  operation->in_use = true;
  operation->sequence = collectives_++;
  if (channel_ == nullptr) {
    operation->job.context = context_.get();
    operation->plan(shared_.engine, rank_, size_);
  }
  if (size_ > 1) shared_.submit(*operation, channel_);
  return *operation;
}

template <class... Call>
Pending MpiComm::start(const Exec& exec, const Call&... call) {
  return Pending(&launch(&exec, call...));
}

void MpiComm::abandon(const std::string& what) noexcept {
  shared_.freeze(
      cat(shared_.engine.watch().here(), ": an exception ended it inside ", what, ", of '", name_, "'"));
}

template <class Slot>
void MpiComm::await(const Exec* waiting, const Slot& operation) {
  const MpiWatch& watch = shared_.engine.watch();
  shared_.engine.await(options_.waiting(), [&] {
    shared_.advance(waiting);
    if (operation.at_rest() || watch.lost() >= 0) return true;
    check_usable();
    return false;
  });
  if (!operation.at_rest()) give_up(operation);
}

std::vector<int> MpiComm::in_world(std::vector<int> ranks) const {
  for (int& rank : ranks) rank = MpiEngine::world_rank_of(*context_, rank);
  return ranks;
}

template <class Slot>
void MpiComm::give_up(const Slot& operation) {
  const MpiWatch& watch = shared_.engine.watch();
  const std::string what = cat(options_.phase_text(), operation.describe(), ", of '", name_, "'");
  if (const int lost = watch.lost(); lost >= 0) {
    const std::string text = cat(watch.lost_text(), "; ", watch.here(), " missed it in ", what);
    shared_.freeze(text);
    throw CommError(Exit::lost, text, operation.sequence, {lost});
  }
  const std::string waited =
      cat(watch.here(), " waited ", seconds_text(options_.waiting()), " in ", what, "; ");
  shared_.freeze(waited + "MPI does not answer");
  std::vector<int> missing = in_world(operation.missing());
  const std::string whom = missing.empty() ? "every process lives, but one of its ranks does not come"
                                           : missing_text(missing, watch.hosts());
  throw CommError(Exit::lost, waited + whom, operation.sequence, std::move(missing));
}

void MpiComm::complete(MpiCollective& operation, const Exec* waiting) {
  await(waiting, operation);
  if (operation.outcome() == MpiJob::State::mismatch) {
    broken_ = true;
    throw CommError(cat(operation.describe(), ", of '", name_,
                        "': another rank called something else, or with other sizes"),
                    operation.sequence);
  }
  if (operation.outcome() == MpiJob::State::failed) {
    const std::string text = cat(operation.describe(), ", of '", name_, "': ", operation.job.error());
    shared_.freeze(text);
    throw CommError(operation.job.exit(), text, operation.sequence);
  }
  if (waiting != nullptr) operation.finish(*waiting);
}

Pending MpiComm::message(const Exec& exec, const Tensor& x, int peer, MpiTransfer::Way way) {
  check_usable();
  DROVER_CHECK(0 <= peer && peer < size_, "message between ranks ", rank_, " and ", peer, " of ", size_);
  DROVER_CHECK(x.contiguous() && x.device == DeviceKind::cpu, "message of ", x.describe());
  MpiMessage* slot = free_slot(message_slots_);
  if (slot == nullptr) {
    message_slots_.push_back(std::make_unique<MpiMessage>(*this));
    collected_.reserve(message_slots_.size());
    slot = message_slots_.back().get();
  }
  slot->exec.emplace(exec);
  slot->plan(x, peer, way);
  slot->in_use = true;
  slot->sequence = messages_++;
  slot->job.context = context_.get();
  slot->collected = open_groups_ > 0;
  if (slot->collected)
    collected_.push_back(slot);
  else
    shared_.engine.submit(slot->job);
  return Pending(slot);
}

void MpiComm::end_group() {
  DROVER_CHECK(open_groups_ > 0, "end_group without begin_group");
  if (--open_groups_ > 0) return;
  for (MpiMessage* message : collected_) {
    message->collected = false;
    if (message->in_use) shared_.engine.submit(message->job);
  }
  collected_.clear();
}

void MpiComm::complete(MpiMessage& message, const Exec& waiting) {
  DROVER_CHECK(!message.collected, "a message is waited for inside the group that collects it");
  await(&waiting, message);
  if (message.job.state() == MpiJob::State::failed)
    throw CommError(message.job.exit(), cat(message.describe(), ", of '", name_, "': ", message.job.error()),
                    message.sequence);
}

std::unique_ptr<Communicator> MpiComm::split(int color, int key, std::string name) {
  // Every rank is on its way here before MPI's own blocking split, which would keep the progress thread from
  // what they still do.
  MpiCollective& arrival = launch(nullptr, Verb::split);
  complete(arrival, nullptr);
  arrival.release();
  Context context = shared_.engine.split_context(*context_, color, key, path_);
  if (context == nullptr) return nullptr;
  return std::make_unique<MpiComm>(shared_, std::move(context), std::move(name), options_, path_);
}

struct MpiProcess::State {
  MpiShared shared;
};

MpiProcess::MpiProcess(int* argc, char*** argv, const Deadlines& deadlines)
    : state_(new State{.shared = MpiShared(argc, argv, deadlines)}) {}
MpiProcess::~MpiProcess() = default;

std::unique_ptr<Communicator> MpiProcess::world(const CommOptions& options, HostPath path) {
  return std::make_unique<MpiComm>(state_->shared, state_->shared.engine.world_context(path), "world",
                                   options, path);
}

void MpiProcess::abort(const std::string& reason, Exit exit) noexcept {
  state_->shared.engine.abort(reason, exit);
}

// The address sanitizer watches only what comes from the C library.
std::unique_ptr<Memory> MpiProcess::make_memory() {
#ifdef __SANITIZE_ADDRESS__
  return std::make_unique<HostMemory>();
#else
  return std::make_unique<SharedHeapMemory>(state_->shared.engine.heap());
#endif
}

}  // namespace drover
