#pragma once

// Conformance of sub-communicators, and of what happens when ranks disagree.

#include "tests/support/conformance.h"

namespace drover::conformance {

inline void split_orders_by_key_and_leaves_out_negative_colors(const Rank& rank) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  const auto halves = rank.comm.split(me % 2, -me, "half");
  const int members = (size + 1 - me % 2) / 2;
  rank.expect(halves != nullptr && halves->size() == members, "a half has half of the ranks");
  rank.expect(halves->rank() == members - 1 - me / 2, "ranks are ordered by key");
  rank.expect(halves->name() == "half", "the name is kept");
  std::int64_t sum[1] = {me};
  halves->all_reduce(rank.exec, {.x = Tensor::of(sum, {1})}).wait(rank.exec);
  rank.expect(sum[0] == members * (members - 1) + me % 2 * members, "a sum stays in its half");

  const auto some = rank.comm.split(me == 0 ? -1 : 3, 0, "without the first");
  rank.expect((some == nullptr) == (me == 0), "a negative color takes no part");
  if (some != nullptr)
    rank.expect(some->size() == size - 1 && some->rank() == me - 1, "the others are a group");
}

// The same verbs, on groups inside the group, with work in flight on both.
inline void groups_do_not_disturb_each_other(const Rank& rank) {
  const auto half = rank.comm.split(rank.comm.rank() % 2, rank.comm.rank(), "half");
  auto outer = values<float>(40, rank.comm.rank(), 0, 5000), inner = values<float>(41, half->rank(), 0, 3000);
  Pending first = rank.comm.all_reduce(rank.exec, {.x = tensor_of(outer)});
  Pending second = half->all_reduce(rank.exec, {.x = tensor_of(inner)});
  // Waited for in different orders by different ranks.
  Pending& earlier = rank.comm.rank() < 2 ? first : second;
  Pending& later = rank.comm.rank() < 2 ? second : first;
  earlier.wait(rank.exec);
  later.wait(rank.exec);
  rank.expect(same_bits(outer, all_reduced<float>(40, rank.comm.size(), 0, 5000, Reduction::sum)),
              "the outer sum");
  rank.expect(same_bits(inner, all_reduced<float>(41, half->size(), 0, 3000, Reduction::sum)),
              "the inner sum");
}

// The last rank finishes the sum before it does what rank 0 waits for; rank 0 has only started the sum.
inline void ranks_that_wait_for_something_else_do_their_part_of_a_sum(const Rank& rank) {
  const int me = rank.comm.rank(), last = rank.comm.size() - 1;
  if (last == 0) return;
  auto first = values<float>(42, me, 0, 50000), second = values<float>(43, me, 0, 50000);
  float note[1] = {static_cast<float>(me)};
  Pending sum = rank.comm.all_reduce(rank.exec, {.x = tensor_of(first)});
  if (me != 0) sum.wait(rank.exec);
  if (me == last) rank.comm.send(rank.exec, Tensor::of(note, {1}), 0).wait(rank.exec);
  if (me == 0) rank.comm.recv(rank.exec, Tensor::of(note, {1}), last).wait(rank.exec);
  sum.wait(rank.exec);
  rank.expect(note[0] == static_cast<float>(me == 0 ? last : me), "the message");

  Pending another = rank.comm.all_reduce(rank.exec, {.x = tensor_of(second)});
  if (me != 0) another.wait(rank.exec);
  const auto group = rank.comm.split(0, me, "meanwhile");
  another.wait(rank.exec);
  for (const auto& [stream, x] : {std::pair{42, &first}, {43, &second}}) {
    const auto expected = all_reduced<float>(stream, rank.comm.size(), 0, 50000, Reduction::sum);
    rank.expect(same_bits(*x, expected), cat("the sum ", stream));
  }
}

template <class Body>
bool throws_comm_error(Body body) {
  try {
    body();
  } catch (const CommError&) {
    return true;
  }
  return false;
}

// The last rank calls something else than the others; all ranks must be told, and the parent group must live
// on.
template <class Body>
void expect_mismatch(const Rank& rank, const std::string& what, Body body) {
  const auto group = rank.comm.split(0, rank.comm.rank(), "mismatch");
  const bool odd_one = rank.comm.rank() == rank.comm.size() - 1;
  rank.expect(throws_comm_error([&] { body(*group, odd_one).wait(rank.exec); }), what);
  rank.expect(throws_comm_error([&] { group->barrier(rank.exec).wait(rank.exec); }),
              "a barrier after " + what);
}

inline void calls_that_do_not_match_are_errors_on_every_rank(const Rank& rank) {
  if (rank.comm.size() == 1) return;
  const int size = rank.comm.size();
  std::vector<float> x(64 * size), y(64 * size);
  const Exec& exec = rank.exec;
  expect_mismatch(rank, "sizes differ", [&](Communicator& comm, bool odd_one) {
    return comm.all_reduce(exec, {.x = tensor_of(x).slice(0, 0, odd_one ? 63 : 64)});
  });
  expect_mismatch(rank, "reductions differ", [&](Communicator& comm, bool odd_one) {
    return comm.all_reduce(exec, {.x = tensor_of(x), .reduction = odd_one ? Reduction::max : Reduction::sum});
  });
  expect_mismatch(rank, "dtypes differ", [&](Communicator& comm, bool odd_one) {
    const Tensor other = Tensor::of(y.data(), odd_one ? DType::int32 : DType::float32, {64});
    return comm.broadcast(exec, {.x = other});
  });
  expect_mismatch(rank, "roots differ", [&](Communicator& comm, bool odd_one) {
    return comm.broadcast(exec, {.x = tensor_of(x), .root = odd_one ? 1 : 0});
  });
  expect_mismatch(rank, "verbs differ", [&](Communicator& comm, bool odd_one) {
    if (odd_one) return comm.barrier(exec);
    return comm.reduce_scatter(exec, {.in = tensor_of(x), .out = tensor_of(y).slice(0, 0, 64)});
  });
  expect_mismatch(rank, "counts differ", [&](Communicator& comm, bool odd_one) {
    std::vector<std::int64_t> counts(size, 2);
    counts[0] += odd_one ? 1 : 0;
    const std::int64_t mine = counts[comm.rank()], total = 2 * size + (odd_one ? 1 : 0);
    return comm.all_gather_v(
        exec,
        {.in = tensor_of(x).slice(0, 0, mine), .out = tensor_of(y).slice(0, 0, total), .counts = counts});
  });
  expect_mismatch(rank, "what is sent is not what is expected", [&](Communicator& comm, bool odd_one) {
    const std::vector<std::int64_t> send(size, odd_one ? 3 : 2), recv(size, 2);
    return comm.all_to_all_v(exec, {.in = tensor_of(x).slice(0, 0, send[0] * size),
                                    .out = tensor_of(y).slice(0, 0, 2 * size),
                                    .send_counts = send,
                                    .recv_counts = recv});
  });
  expect_mismatch(rank, "only one rank's tensor has memory", [&](Communicator& comm, bool odd_one) {
    return comm.broadcast(
        exec, {.x = odd_one ? Tensor::of(nullptr, DType::float32, {64}) : tensor_of(x).slice(0, 0, 64)});
  });
}

// Rank 0 sends, the last rank receives something else.
inline void a_message_of_another_size_or_dtype_is_an_error(const Rank& rank) {
  if (rank.comm.size() == 1) return;
  for (const DType expected : {DType::float32, DType::int32}) {
    const auto group = rank.comm.split(0, rank.comm.rank(), "messages");
    std::vector<float> x(8);
    const Tensor sent = Tensor::of(x.data(), DType::float32, {expected == DType::float32 ? 7 : 8});
    if (group->rank() == 0) {
      throws_comm_error(
          [&] { group->send(rank.exec, sent, group->size() - 1).wait(rank.exec); });  // may be told, or not
    } else if (group->rank() == group->size() - 1) {
      const Tensor received = Tensor::of(x.data(), expected, {8});
      rank.expect(throws_comm_error([&] { group->recv(rank.exec, received, 0).wait(rank.exec); }),
                  "an unexpected message");
    }
  }
}

}  // namespace drover::conformance
