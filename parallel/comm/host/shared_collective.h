// One rank's part of a collective between processes of one host, through a SharedChannel: it posts the call and
// its data, and once all have posted it takes from the others what it needs. An all_reduce that is too large for
// every rank to sum all of it is two rounds: the sum of this rank's piece, and the others' sums. Where all ranks'
// tensors are in their heaps it is one: a rank writes its sums to everybody's tensor.
#pragma once

#include <atomic>

#include "parallel/comm/host/shared_channel.h"

namespace drover {

// started and advanced by one thread at a time; the state may be read by any. The channel and the call outlive
// the operation.
class SharedCollective {
 public:
  // waiting: for its turn to post. posted: for the others. summed: for the others' sums. taken: until the others
  // have read what this rank has not staged. halted: another rank is ending, and with it all; never ends.
  enum class State : std::uint8_t { idle, waiting, posted, summed, taken, halted, done, mismatch };

  // Posts when it is its turn, which needs no other rank.
  void start(SharedChannel& channel, const CollectiveCall& call, std::int64_t sequence);
  // As far as it goes without blocking; sums with `exec`, null for calls without a sum. True when it got on.
  bool advance(const Exec* exec);
  State state() const { return state_.load(); }
  // Ranks of the group whose next move this one waits for.
  std::vector<int> missing() const;
  bool ended() const {
    return state() == State::done || state() == State::mismatch || state() == State::idle;
  }

 private:
  bool real() const { return call_->content() == Content::real; }
  Verb verb() const { return call_->verb(); }
  std::int64_t element() const { return size_of(call_->dtype()); }
  bool two_rounds() const {
    return verb() == Verb::all_reduce && !call_->every_rank_sums_all(channel_->size());
  }
  bool must_stage() const { return verb() == Verb::all_reduce && !two_rounds(); }
  bool stages() const;
  bool writes_sums() const;  // once all have posted
  bool has_data() const;
  bool stages_sums() const;
  bool needs_readers() const;

  bool try_post();
  std::int64_t staged_prefix() const;
  void fill(std::byte* staging) const;
  Range unstaged() const;
  State take(const Exec* exec);
  bool take_data(const Exec* exec);
  bool sum(const Exec& exec);
  bool sum_range(const Exec& exec, Range range, const Tensor& out);
  bool find_part(int rank, std::int64_t offset, Tensor& part) const;
  std::span<const Tensor> others_sums(const Tensor& sums, std::int64_t offset) const;
  bool gather();
  bool exchange();
  bool collect_sums();
  bool copy(int rank, std::int64_t offset, const Tensor& to) const;  // offset: bytes of that rank's data

  SharedChannel* channel_ = nullptr;
  const CollectiveCall* call_ = nullptr;
  std::int64_t sequence_ = 0;
  std::byte* staging_ = nullptr;
  std::atomic<State> state_{State::idle};
};

}  // namespace drover
