#include "parallel/comm/mpi/operation.h"

#include <algorithm>

namespace drover {

namespace {

using Way = MpiTransfer::Way;

constexpr int kTags = 8192;

}  // namespace

MpiJob::State MpiCollective::outcome() const {
  return shared.state() == SharedCollective::State::mismatch ? MpiJob::State::mismatch : job.state();
}

std::string MpiCollective::describe() const { return cat("operation ", sequence, ", ", call.describe()); }

std::vector<int> MpiCollective::missing() const {
  return job.ended() ? shared.missing() : std::vector(job.unfinished().begin(), job.unfinished().end());
}

void MpiCollective::plan(MpiEngine& engine, int rank, int size) {
  rank_ = rank;
  size_ = size;
  reduces_ = gathers_ = false;
  last_round_ = true;
  job.transfers.clear();
  job.tag = static_cast<int>(sequence % kTags);
  job.has_header = size > 1;
  job.header = call.header(rank);
  if (call.content() == Content::real) {
    switch (call.verb()) {
      case Verb::all_reduce:
      case Verb::reduce_scatter:
        plan_reduction(engine);
        break;
      case Verb::all_gather:
        plan_gather();
        break;
      case Verb::all_to_all:
        plan_exchange();
        break;
      case Verb::broadcast:
        plan_broadcast();
        break;
      case Verb::barrier:
      case Verb::split:
        break;
    }
  }
}

void MpiCollective::transfer(Way way, int stage, int peer, const Tensor& tensor) {
  if (peer == rank_ || tensor.numel() == 0) return;
  job.transfers.push_back({way, static_cast<std::uint8_t>(stage), peer, tensor.data, tensor.bytes()});
}

Tensor MpiCollective::piece_of(int rank) const {
  const Range range = call.summed_by(rank, size_);
  return flat_piece(call.in(), range.begin, range.end);
}

void MpiCollective::plan_reduction(MpiEngine& engine) {
  if (call.goes_along_tree(size_)) return plan_climb(engine);
  const bool reduces_all = call.verb() == Verb::all_reduce;
  reduces_ = !reduces_all || size_ > 1;
  gathers_ = reduces_all && !call.every_rank_sums_all(size_) && size_ > 1;
  const Range mine = call.summed_by(rank_, size_);
  const std::int64_t length = mine.length() * size_of(call.dtype());
  if (staging_.bytes() < length * size_)
    staging_ = Buffer(engine.memory(), length * size_, MemoryCategory::communication);
  for (int step = 1; step < size_; ++step) {
    const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
    parts_[from] = mine.length() == 0 ? flat_piece(call.in(), 0, 0)
                                      : staging_.tensor(call.dtype(), {mine.length()}, from * length);
    transfer(Way::receive, 0, from, parts_[from]);
    transfer(Way::send, 0, to, piece_of(to));
  }
  parts_[rank_] = piece_of(rank_);
  last_round_ = !gathers_;
}

// The first of a section has room for its section's tensors and their sum, rank 0 also for the sums of the other
// sections.
void MpiCollective::plan_climb(MpiEngine& engine) {
  const RankTree tree(rank_, size_);
  const int members = tree.section_size(), sections = rank_ == 0                ? tree.sections()
                                                      : tree.first_of_section() ? 1
                                                                                : 0;
  const std::int64_t n = call.in().numel();
  const DType wide = OrderedReduction::partial_dtype(call.dtype(), call.reduction());
  const std::int64_t part = Arena::aligned(call.in().bytes()), partial = Arena::aligned(n * size_of(wide));
  if (staging_.bytes() < members * part + sections * partial)
    staging_ = Buffer(engine.memory(), members * part + sections * partial, MemoryCategory::communication);
  parts_[0] = flat_piece(call.in(), 0, n);
  for (int i = 1; i < members; ++i) parts_[i] = staging_.tensor(call.dtype(), {n}, i * part);
  partials_.resize(sections);
  for (int i = 0; i < sections; ++i) partials_[i] = staging_.tensor(wide, {n}, members * part + i * partial);
  next_stage_ = 0;
  last_round_ = add_hops();
}

// What can travel before this rank has something to sum; whether that is all.
bool MpiCollective::add_hops() {
  const RankTree tree(rank_, size_);
  int last = RankTree::kToChildren;
  if (tree.first_of_section() && next_stage_ == RankTree::kToFirstOfSection)
    last = RankTree::kToFirstOfSection;
  if (rank_ == 0 && next_stage_ == RankTree::kToRankZero) last = RankTree::kToRankZero;
  tree.each_hop([&](const RankTree::Hop& hop) {
    if (hop.stage < next_stage_ || hop.stage > last) return;
    Tensor what = call.in();
    if (hop.stage == RankTree::kToFirstOfSection && !hop.sends) what = parts_[hop.peer - rank_];
    if (hop.stage == RankTree::kToRankZero) what = partials_[hop.peer / RankTree::kSection];
    transfer(hop.sends ? Way::send : Way::receive, hop.stage, hop.peer, what);
  });
  next_stage_ = last + 1;
  return last == RankTree::kToChildren;
}

// Sums what has come.
bool MpiCollective::climb(const Exec& waiting) {
  if (next_stage_ == RankTree::kToRankZero) {
    const auto members = std::span(parts_).first(RankTree(rank_, size_).section_size());
    OrderedReduction::combine_section(waiting, call.reduction(), members, partials_[0]);
  } else {
    OrderedReduction::combine_sections(waiting, call.reduction(), partials_, parts_[0]);
  }
  return add_hops();
}

Tensor MpiCollective::result() const {
  if (call.verb() == Verb::reduce_scatter) return flat_piece(call.out(), 0, call.out().numel());
  return parts_[rank_];
}

void MpiCollective::sum(const Exec& waiting) {
  if (result().numel() > 0) reduction_.run(waiting, call.reduction(), parts_, result());
}

// Sums this rank's piece.
bool MpiCollective::gather_pieces(const Exec& waiting) {
  sum(waiting);
  for (int step = 1; step < size_; ++step) {
    const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
    transfer(Way::receive, 1, from, piece_of(from));
    transfer(Way::send, 1, to, result());
  }
  return true;
}

bool MpiCollective::start_next_round(MpiEngine& engine, const Exec& waiting) {
  bool last = true;
  if (job.state() == MpiJob::State::done) {
    job.transfers.clear();
    job.has_header = false;
    last = gathers_ ? gather_pieces(waiting) : climb(waiting);
    engine.submit(job);
  }
  last_round_ = last;  // after submitting: until then the job has ended
  return !last;
}

void MpiCollective::finish(const Exec& waiting) {
  if (reduces_ && !gathers_) sum(waiting);
}

void MpiCollective::plan_gather() {
  const auto part = [&](int rank) {
    return flat_piece(call.out(), call.out_offsets()[rank], call.out_offsets()[rank + 1]);
  };
  move_elements(call.in(), part(rank_));
  if (call.goes_along_tree(size_)) {
    RankTree(rank_, size_).each_hop([&](const RankTree::Hop& hop) {
      transfer(hop.sends ? Way::send : Way::receive, hop.stage, hop.peer,
               flat_piece(call.out(), call.out_offsets()[hop.begin], call.out_offsets()[hop.end]));
    });
    return;
  }
  for (int step = 1; step < size_; ++step) {
    const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
    transfer(Way::receive, 0, from, part(from));
    transfer(Way::send, 0, to, call.in());
  }
}

void MpiCollective::plan_exchange() {
  const auto sent = [&](int rank) {
    return flat_piece(call.in(), call.in_offsets()[rank], call.in_offsets()[rank + 1]);
  };
  const auto received = [&](int rank) {
    return flat_piece(call.out(), call.out_offsets()[rank], call.out_offsets()[rank + 1]);
  };
  for (int step = 1; step < size_; ++step) {
    const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
    transfer(Way::receive, 0, from, received(from));
    transfer(Way::send, 0, to, sent(to));
  }
  move_elements(sent(rank_), received(rank_));
}

void MpiCollective::plan_broadcast() {
  const int place = (rank_ + size_ - call.root()) % size_;
  const auto rank_at = [&](int other) { return (other + call.root()) % size_; };
  if (place > 0) transfer(Way::receive, 0, rank_at(binomial_parent(place)), call.in());
  each_binomial_child(place, size_, [&](int child) { transfer(Way::send, 1, rank_at(child), call.in()); });
}

void MpiMessage::plan(const Tensor& tensor, int peer, Way way) {
  tensor_ = tensor;
  peer_ = peer;
  way_ = way;
  const bool shapes = tensor.data == nullptr && tensor.numel() > 0;
  job.kind = MpiJob::Kind::message;
  job.tag = 2 * static_cast<int>(tensor.dtype) + (shapes ? 1 : 0);
  job.transfers.assign(1, {way, 0, peer, tensor.data, shapes ? 0 : tensor.bytes()});
}

std::string MpiMessage::describe() const {
  return cat("message ", sequence, ", ", way_ == Way::send ? "send of " : "receive of ", tensor_.describe(),
             way_ == Way::send ? " to rank " : " from rank ", peer_);
}

MpiShared::MpiShared(int* argc, char*** argv, const Deadlines& deadlines) : engine(argc, argv, deadlines) {
  awaiting_.reserve(MpiEngine::kJobsExpected);
  moving_.reserve(MpiEngine::kJobsExpected);
}

void MpiShared::submit(MpiCollective& operation, SharedChannel* channel) {
  if (channel != nullptr) {
    const std::lock_guard lock(shared_mutex_);
    operation.shared.start(*channel, operation.call, operation.sequence);
    moving_.push_back(&operation);
    return;
  }
  engine.submit(operation.job);
  if (operation.has_next_round()) await_round(operation);
}

void MpiShared::await_round(MpiCollective& operation) {
  const std::lock_guard lock(mutex_);
  awaiting_.push_back(&operation);
}

void MpiShared::advance(const Exec* waiting) {
  start_next_rounds(waiting);
  // Another thread of this process may wait for what got on here.
  if (advance_shared(waiting)) engine.bell().ring();
}

bool MpiShared::advance_shared(const Exec* waiting) {
  const std::lock_guard lock(shared_mutex_);
  if (engine.frozen()) return false;
  bool moved = false;
  for (MpiCollective*& operation : moving_) {
    const Exec* const own = operation->exec.has_value() ? &*operation->exec : nullptr;
    moved |= operation->shared.advance(waiting != nullptr ? waiting : own);
    if (operation->shared.ended()) operation = nullptr;
  }
  std::erase(moving_, nullptr);
  return moved;
}

void MpiShared::freeze(const std::string& reason) noexcept {
  engine.freeze(reason);
  const std::lock_guard lock(shared_mutex_);  // whoever was in a buffer has left it
}

MpiCollective* MpiShared::take_ready() {
  const std::lock_guard lock(mutex_);
  const auto ready =
      std::find_if(awaiting_.begin(), awaiting_.end(), [](MpiCollective* op) { return op->job.ended(); });
  if (ready == awaiting_.end()) return nullptr;
  MpiCollective* const operation = *ready;
  awaiting_.erase(ready);
  return operation;
}

void MpiShared::start_next_rounds(const Exec* waiting) {
  while (MpiCollective* const operation = take_ready())
    if (operation->start_next_round(engine, waiting != nullptr ? *waiting : operation->exec.value()))
      await_round(*operation);
}

}  // namespace drover
