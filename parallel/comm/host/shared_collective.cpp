#include "parallel/comm/host/shared_collective.h"

#include <algorithm>
#include <cstring>

namespace drover {

namespace {

// Above, copying twice costs more than waiting for the readers.
constexpr std::int64_t kMostStaged = 1 << 20;

// The same for what the others may read in place.
constexpr std::int64_t kMostStagedOfHeap = 32 << 10;

// Of an all_reduce. Above, staging a sum costs more than the system call that reads it where it is.
constexpr std::int64_t kMostSumsStaged = 128 << 10;

void copy_bytes(std::byte* to, const std::byte* from, std::int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

}  // namespace

void SharedCollective::start(SharedChannel& channel, const CollectiveCall& call, std::int64_t sequence) {
  channel_ = &channel;
  call_ = &call;
  sequence_ = sequence;
  staging_ = nullptr;
  state_ = try_post() ? State::posted : State::waiting;
}

bool SharedCollective::advance(const Exec* exec) {
  const State before = state_;
  State now = before;
  if (now == State::waiting && try_post()) now = State::posted;
  if (now == State::posted && channel_->all_posted(sequence_)) now = take(exec);
  if (now == State::summed && channel_->all_reduced(sequence_)) {
    now = collect_sums() ? State::taken : State::halted;
    if (now == State::taken) channel_->set_finished(sequence_);
  }
  if (now == State::taken && (!needs_readers() || channel_->all_finished(sequence_))) now = State::done;
  state_ = now;
  return now != before;
}

std::vector<int> SharedCollective::missing() const {
  using Step = SharedChannel::Step;
  switch (state()) {
    case State::waiting:
      return channel_->not_yet(Step::finished, sequence_ - SharedChannel::kWindow);
    case State::posted:
      return channel_->not_yet(Step::posted, sequence_);
    case State::summed:
      return channel_->not_yet(Step::reduced, sequence_);
    case State::taken:
      return channel_->not_yet(Step::finished, sequence_);
    case State::idle:
    case State::halted:
    case State::done:
    case State::mismatch:
      return {};
  }
  return {};
}

bool SharedCollective::has_data() const {
  return real() && call_->in().numel() > 0 &&
         (verb() != Verb::broadcast || call_->root() == channel_->rank());
}

// A rule of the size alone, so that readers know.
bool SharedCollective::stages_sums() const { return call_->in().bytes() <= kMostSumsStaged; }

bool SharedCollective::stages() const {
  const bool in_heap = channel_->has_in_heap(call_->in().data);
  return must_stage() || call_->in().bytes() <= (in_heap ? kMostStagedOfHeap : kMostStaged);
}

bool SharedCollective::writes_sums() const {
  return real() && two_rounds() && channel_->all_in_heaps(sequence_);
}

bool SharedCollective::needs_readers() const {
  return has_data() && (staging_ == nullptr || (two_rounds() && !stages_sums()));
}

// In front of what is staged, because an exchange's readers need it: the offsets of the parts.
std::int64_t SharedCollective::staged_prefix() const {
  if (verb() != Verb::all_to_all) return 0;
  return Arena::aligned((channel_->size() + 1) * static_cast<std::int64_t>(sizeof(std::int64_t)));
}

bool SharedCollective::try_post() {
  if (!channel_->is_free(sequence_)) return false;
  const Tensor& in = call_->in();
  if (has_data() && stages()) {
    staging_ = channel_->stage(sequence_, staged_prefix() + in.bytes(), in.data);
    if (staging_ != nullptr) fill(staging_);
    if (staging_ == nullptr && must_stage()) return false;  // it sums in place while others read
  }
  channel_->post(sequence_, call_->header(channel_->rank()),
                 {.data = in.data, .offsets = call_->in_offsets().data()});
  return true;
}

// What only this rank would read.
Range SharedCollective::unstaged() const {
  const int rank = channel_->rank();
  if (verb() == Verb::reduce_scatter || two_rounds()) return call_->summed_by(rank, channel_->size());
  if (verb() == Verb::all_to_all) return {call_->in_offsets()[rank], call_->in_offsets()[rank + 1]};
  return {0, 0};
}

void SharedCollective::fill(std::byte* staging) const {
  const auto offsets = std::as_bytes(call_->in_offsets());
  if (staged_prefix() > 0) copy_bytes(staging, offsets.data(), static_cast<std::int64_t>(offsets.size()));
  const Range left_out = unstaged();
  const auto* const data = static_cast<const std::byte*>(call_->in().data);
  std::byte* const to = staging + staged_prefix();
  const std::int64_t begin = left_out.begin * element(), end = left_out.end * element();
  copy_bytes(to, data, begin);
  copy_bytes(to + end, data + end, call_->in().bytes() - end);
}

SharedCollective::State SharedCollective::take(const Exec* exec) {
  const bool agree = channel_->calls_agree(sequence_);
  if (agree && !take_data(exec)) return State::halted;
  if (agree && two_rounds() && !writes_sums()) {
    channel_->set_reduced(sequence_);
    return State::summed;
  }
  channel_->set_finished(sequence_);
  return agree ? State::taken : State::mismatch;
}

bool SharedCollective::take_data(const Exec* exec) {
  if (!real()) return true;
  switch (verb()) {
    case Verb::all_reduce:
    case Verb::reduce_scatter:
      return sum(*exec);
    case Verb::all_gather:
      return gather();
    case Verb::all_to_all:
      return exchange();
    case Verb::broadcast:
      return call_->root() == channel_->rank() || copy(call_->root(), 0, call_->out());
    case Verb::barrier:
    case Verb::split:
      return true;
  }
  return true;
}

bool SharedCollective::copy(int rank, std::int64_t offset, const Tensor& to) const {
  return channel_->copy(rank, sequence_, offset, to.bytes(), to.data);
}

bool SharedCollective::sum(const Exec& exec) {
  const Range mine = call_->summed_by(channel_->rank(), channel_->size());
  const bool scatters = verb() == Verb::reduce_scatter;
  const Tensor result = scatters ? call_->out() : flat_piece(call_->in(), mine.begin, mine.end);
  // Pieces only where others' parts pass through scratch.
  const std::int64_t step =
      channel_->all_in_heaps(sequence_) ? mine.length() : SharedChannel::kReadAtOnce / element();
  for (std::int64_t begin = 0; begin < mine.length(); begin += step) {
    const std::int64_t end = std::min(begin + step, mine.length());
    if (!sum_range(exec, {mine.begin + begin, mine.begin + end}, flat_piece(result, begin, end)))
      return false;
  }
  return channel_->unstaged_stay(sequence_);
}

bool SharedCollective::sum_range(const Exec& exec, Range range, const Tensor& out) {
  const std::int64_t offset = range.begin * element();
  std::vector<Tensor>& parts = channel_->parts();
  for (int rank = 0; rank < channel_->size(); ++rank) {
    Tensor& part = parts[rank] = flat_piece(call_->in(), range.begin, range.end);
    if (rank == channel_->rank()) continue;
    if (!find_part(rank, offset, part)) return false;
  }
  const std::span<const Tensor> others = writes_sums() ? others_sums(out, offset) : std::span<const Tensor>();
  channel_->reduction().run(exec, call_->reduction(), parts, out, others);
  if (staging_ != nullptr && two_rounds() && stages_sums())
    copy_bytes(staging_ + offset, static_cast<const std::byte*>(out.data), out.bytes());
  return true;
}

// Where the sum can read a part of that rank's data.
bool SharedCollective::find_part(int rank, std::int64_t offset, Tensor& part) const {
  // Nobody writes to what is staged; tensors have no const.
  part.data = const_cast<std::byte*>(channel_->staged(rank, sequence_, offset));
  if (part.data == nullptr) part.data = channel_->in_heap(rank, sequence_, offset);
  if (part.data != nullptr) return true;
  part.data = channel_->scratch(rank);
  return copy(rank, offset, part);
}

// The other ranks' elements that get these sums too. Nobody else reads or writes them before all have finished.
std::span<const Tensor> SharedCollective::others_sums(const Tensor& sums, std::int64_t offset) const {
  std::vector<Tensor>& copies = channel_->copies();
  for (int step = 1; step < channel_->size(); ++step) {
    const int rank = (channel_->rank() + step) % channel_->size();
    Tensor& copy = copies[static_cast<std::size_t>(step - 1)] = sums;
    copy.data = channel_->in_heap(rank, sequence_, offset);
  }
  return copies;
}

bool SharedCollective::collect_sums() {
  if (!real()) return true;
  for (int step = 1; step < channel_->size(); ++step) {
    const int rank = (channel_->rank() + step) % channel_->size();
    const Range range = call_->summed_by(rank, channel_->size());
    const Tensor to = flat_piece(call_->in(), range.begin, range.end);
    const std::int64_t offset = range.begin * element();
    const bool copied = stages_sums() ? copy(rank, offset, to)
                                      : channel_->copy_unstaged(rank, sequence_, offset, to.bytes(), to.data);
    if (!copied) return false;
  }
  return true;
}

bool SharedCollective::gather() {
  for (int step = 0; step < channel_->size(); ++step) {
    const int rank = (channel_->rank() + step) % channel_->size();
    const Tensor part = flat_piece(call_->out(), call_->out_offsets()[rank], call_->out_offsets()[rank + 1]);
    if (step == 0)
      move_elements(call_->in(), part);
    else if (!copy(rank, 0, part))
      return false;
  }
  return true;
}

bool SharedCollective::exchange() {
  const int mine = channel_->rank();
  for (int step = 0; step < channel_->size(); ++step) {
    const int rank = (mine + step) % channel_->size();
    const Tensor to = flat_piece(call_->out(), call_->out_offsets()[rank], call_->out_offsets()[rank + 1]);
    if (step == 0) {
      move_elements(flat_piece(call_->in(), call_->in_offsets()[mine], call_->in_offsets()[mine + 1]), to);
      continue;
    }
    if (to.numel() == 0) continue;
    std::int64_t offset = 0;
    const std::byte* const staged = channel_->staged(rank, sequence_, 0);
    if (staged != nullptr)
      std::memcpy(&offset, staged + mine * sizeof(offset), sizeof(offset));
    else if (!channel_->copy_offset(rank, sequence_, mine, offset))
      return false;
    if (!copy(rank, (staged != nullptr ? staged_prefix() : 0) + offset * element(), to)) return false;
  }
  return true;
}

}  // namespace drover
