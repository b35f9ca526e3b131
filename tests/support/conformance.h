#pragma once

// The one body of tests that every Communicator must pass, run by tests/parallel/comm/communicator_test.cpp on
// threads and by tests/parallel/comm/communicator_mpi_test.cpp on processes. Every function is called by all ranks
// of `rank.comm`.

#include "tests/support/conformance_data.h"

namespace drover::conformance {

// Sizes of the reductions and copies, in elements per rank.
struct Sizes {
  std::vector<std::int64_t> lengths = {0, 1, 7, 64, 1001, 40001};
};

template <class T>
void reductions_add_in_rank_order(const Rank& rank, const Sizes& sizes) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  for (const std::int64_t n : sizes.lengths) {
    for (const Reduction reduction : {Reduction::sum, Reduction::max, Reduction::min}) {
      const std::string what =
          cat(name_of(dtype_of<T>), " of ", n, " reduction ", static_cast<int>(reduction));
      auto x = values<T>(1, me, 0, n);
      rank.comm.all_reduce(rank.exec, {.x = tensor_of(x), .reduction = reduction}).wait(rank.exec);
      rank.expect(same_bits(x, all_reduced<T>(1, size, 0, n, reduction)), "all_reduce " + what);

      const std::int64_t part = (n + size - 1) / size;
      auto in = values<T>(2, me, 0, size * part);
      std::vector<T> out(part);
      const auto expected = all_reduced<T>(2, size, me * part, (me + 1) * part, reduction);
      rank.comm
          .reduce_scatter(rank.exec, {.in = tensor_of(in), .out = tensor_of(out), .reduction = reduction})
          .join();
      rank.expect(same_bits(out, expected), "reduce_scatter " + what);
      const Tensor own = tensor_of(in).slice(0, me * part, (me + 1) * part);
      rank.comm.reduce_scatter(rank.exec, {.in = tensor_of(in), .out = own, .reduction = reduction}).join();
      rank.expect(same_bits(std::vector<T>(own.as<T>(), own.as<T>() + part), expected),
                  "reduce_scatter in place " + what);
    }
  }
}

template <class T>
void uneven_reductions_add_in_rank_order(const Rank& rank) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  for (const std::int64_t scale : {1, 20000}) {
    const auto counts = uneven_counts(size, scale);
    auto in = values<T>(3, me, 0, offset_of(counts, size));
    std::vector<T> out(counts[me]);
    rank.comm.reduce_scatter_v(rank.exec, {.in = tensor_of(in), .out = tensor_of(out), .counts = counts})
        .wait(rank.exec);
    const std::int64_t offset = offset_of(counts, me);
    const auto expected = all_reduced<T>(3, size, offset, offset + counts[me], Reduction::sum);
    rank.expect(same_bits(out, expected), cat("reduce_scatter_v ", name_of(dtype_of<T>), " scale ", scale));
  }
}

template <class T>
void gathers_are_in_rank_order(const Rank& rank, const Sizes& sizes) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  for (const std::int64_t n : sizes.lengths) {
    std::vector<T> expected;
    for (int from = 0; from < size; ++from) {
      const auto part = values<T>(4, from, 0, n);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    auto in = values<T>(4, me, 0, n);
    std::vector<T> out(size * n);
    rank.comm.all_gather(rank.exec, {.in = tensor_of(in), .out = tensor_of(out)}).wait(rank.exec);
    rank.expect(same_bits(out, expected), cat("all_gather ", name_of(dtype_of<T>), " of ", n));

    std::vector<T> whole(size * n);
    std::copy(in.begin(), in.end(), whole.begin() + me * n);
    const Tensor own = tensor_of(whole).slice(0, me * n, (me + 1) * n);
    rank.comm.all_gather(rank.exec, {.in = own, .out = tensor_of(whole)}).wait(rank.exec);
    rank.expect(same_bits(whole, expected), cat("all_gather in place ", name_of(dtype_of<T>), " of ", n));
  }
}

template <class T>
void uneven_gathers_are_in_rank_order(const Rank& rank) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  for (const std::int64_t scale : {1, 30000}) {
    const auto counts = uneven_counts(size, scale);
    std::vector<T> expected;
    for (int from = 0; from < size; ++from) {
      const auto part = values<T>(5, from, 0, counts[from]);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    auto in = values<T>(5, me, 0, counts[me]);
    std::vector<T> out(expected.size());
    rank.comm.all_gather_v(rank.exec, {.in = tensor_of(in), .out = tensor_of(out), .counts = counts})
        .wait(rank.exec);
    rank.expect(same_bits(out, expected), cat("all_gather_v ", name_of(dtype_of<T>), " scale ", scale));
  }
}

template <class T>
void exchanges_reach_their_rank(const Rank& rank, const Sizes& sizes) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  for (const std::int64_t total : sizes.lengths) {
    const std::int64_t n = (total + size - 1) / size;
    auto in = values<T>(6, me, 0, size * n);
    std::vector<T> out(size * n), expected;
    for (int from = 0; from < size; ++from) {
      const auto part = values<T>(6, from, me * n, (me + 1) * n);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    rank.comm.all_to_all(rank.exec, {.in = tensor_of(in), .out = tensor_of(out)}).wait(rank.exec);
    rank.expect(same_bits(out, expected), cat("all_to_all ", name_of(dtype_of<T>), " of ", n));
  }
}

// Rank s sends (s + 2 d) % 5 * 11 elements to rank d.
template <class T>
void uneven_exchanges_reach_their_rank(const Rank& rank) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  const auto count = [](int from, int to) { return static_cast<std::int64_t>((from + 2 * to) % 5 * 11); };
  std::vector<std::int64_t> send_counts, recv_counts;
  std::vector<T> in, expected;
  for (int peer = 0; peer < size; ++peer) {
    send_counts.push_back(count(me, peer));
    recv_counts.push_back(count(peer, me));
    const auto sent = values<T>(7 + peer, me, 0, count(me, peer));
    const auto received = values<T>(7 + me, peer, 0, count(peer, me));
    in.insert(in.end(), sent.begin(), sent.end());
    expected.insert(expected.end(), received.begin(), received.end());
  }
  std::vector<T> out(expected.size());
  const AllToAllV call{
      .in = tensor_of(in), .out = tensor_of(out), .send_counts = send_counts, .recv_counts = recv_counts};
  rank.comm.all_to_all_v(rank.exec, call).wait(rank.exec);
  rank.expect(same_bits(out, expected), cat("all_to_all_v ", name_of(dtype_of<T>)));
}

template <class T>
void broadcasts_reach_all(const Rank& rank, const Sizes& sizes) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  for (const std::int64_t n : sizes.lengths) {
    for (const int root : {0, size / 2, size - 1}) {
      auto x = values<T>(8, me, 0, n);
      rank.comm.broadcast(rank.exec, {.x = tensor_of(x), .root = root}).wait(rank.exec);
      rank.expect(same_bits(x, values<T>(8, root, 0, n)),
                  cat("broadcast ", name_of(dtype_of<T>), " of ", n, " from ", root));
    }
  }
}

// Every rank sends three messages of different sizes to the next one and receives three from the one before,
// in one group.
template <class T>
void messages_match_in_issue_order(const Rank& rank) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  const int next = (me + 1) % size, before = (me + size - 1) % size;
  const std::vector<std::int64_t> lengths = {5, 0, 70001};
  std::vector<std::vector<T>> out, in;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    out.push_back(values<T>(9 + static_cast<int>(i), me, 0, lengths[i]));
    in.emplace_back(lengths[i]);
  }
  std::vector<Pending> pending;
  {
    const GroupScope group(rank.comm);
    for (auto& message : out) pending.push_back(rank.comm.send(rank.exec, tensor_of(message), next));
    for (auto& message : in) pending.push_back(rank.comm.recv(rank.exec, tensor_of(message), before));
  }
  while (!pending.empty()) {  // last first: the order of waiting is free
    pending.back().wait(rank.exec);
    pending.pop_back();
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    rank.expect(same_bits(in[i], values<T>(9 + static_cast<int>(i), before, 0, lengths[i])),
                cat("message ", i, " of ", name_of(dtype_of<T>)));
  }
}

template <class T>
void verbs_of_dtype(const Rank& rank, const Sizes& sizes) {
  gathers_are_in_rank_order<T>(rank, sizes);
  uneven_gathers_are_in_rank_order<T>(rank);
  exchanges_reach_their_rank<T>(rank, sizes);
  uneven_exchanges_reach_their_rank<T>(rank);
  broadcasts_reach_all<T>(rank, sizes);
  messages_match_in_issue_order<T>(rank);
  if constexpr (dtype_of<T> != DType::int32 && dtype_of<T> != DType::uint8) {
    reductions_add_in_rank_order<T>(rank, sizes);
    uneven_reductions_add_in_rank_order<T>(rank);
  }
}

inline void every_verb_and_dtype(const Rank& rank, const Sizes& sizes) {
  verbs_of_dtype<double>(rank, sizes);
  verbs_of_dtype<float>(rank, sizes);
  verbs_of_dtype<bfloat16>(rank, sizes);
  verbs_of_dtype<std::int64_t>(rank, sizes);
  verbs_of_dtype<std::int32_t>(rank, sizes);
  verbs_of_dtype<std::uint8_t>(rank, sizes);
}

// Even ranks wait for them in the order of the starts, odd ranks in the opposite order.
inline void many_operations_are_in_flight(const Rank& rank, int count, std::int64_t n) {
  std::vector<std::vector<float>> sums, gathered;
  std::vector<Pending> pending;
  for (int i = 0; i < count; ++i) {
    sums.push_back(values<float>(20 + i, rank.comm.rank(), 0, n + i));
    gathered.emplace_back(rank.comm.size() * n);
  }
  std::vector<float> own = values<float>(19, rank.comm.rank(), 0, n);
  for (int i = 0; i < count; ++i) {
    pending.push_back(rank.comm.all_reduce(rank.exec, {.x = tensor_of(sums[i])}));
    pending.push_back(rank.comm.all_gather(rank.exec, {.in = tensor_of(own), .out = tensor_of(gathered[i])}));
  }
  if (rank.comm.rank() % 2 == 1) std::reverse(pending.begin(), pending.end());
  for (Pending& operation : pending) operation.wait(rank.exec);
  for (int i = 0; i < count; ++i) {
    const auto expected = all_reduced<float>(20 + i, rank.comm.size(), 0, n + i, Reduction::sum);
    rank.expect(same_bits(sums[i], expected), cat("all_reduce ", i, " in flight"));
    const int last = rank.comm.size() - 1;
    const std::vector<float> part(gathered[i].end() - n, gathered[i].end());
    rank.expect(same_bits(part, values<float>(19, last, 0, n)), cat("all_gather ", i, " in flight"));
  }
}

inline void a_barrier_separates(const Rank& rank) {
  for (int i = 0; i < 20; ++i) rank.comm.barrier(rank.exec).wait(rank.exec);
}

// Shape-only runs go through every verb and read nothing.
inline void shape_only_tensors_pass(const Rank& rank) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  const Tensor part = Tensor::of(nullptr, DType::float32, {1000}),
               whole = Tensor::of(nullptr, DType::float32, {1000 * size});
  const std::vector<std::int64_t> counts(size, 1000);
  Communicator& comm = rank.comm;
  comm.all_reduce(rank.exec, {.x = part}).wait(rank.exec);
  comm.all_gather(rank.exec, {.in = part, .out = whole}).wait(rank.exec);
  comm.all_gather_v(rank.exec, {.in = part, .out = whole, .counts = counts}).wait(rank.exec);
  comm.reduce_scatter(rank.exec, {.in = whole, .out = part}).wait(rank.exec);
  comm.reduce_scatter_v(rank.exec, {.in = whole, .out = part, .counts = counts}).wait(rank.exec);
  comm.all_to_all(rank.exec, {.in = whole, .out = whole}).wait(rank.exec);
  comm.all_to_all_v(rank.exec, {.in = whole, .out = whole, .send_counts = counts, .recv_counts = counts})
      .wait(rank.exec);
  comm.broadcast(rank.exec, {.x = part}).wait(rank.exec);
  Pending send, recv;
  {
    const GroupScope group(comm);
    send = comm.send(rank.exec, part, (me + 1) % size);
    recv = comm.recv(rank.exec, part, (me + size - 1) % size);
  }
  send.wait(rank.exec);
  recv.wait(rank.exec);
}

// A step's worth of operations on memory that the caller keeps.
class EveryVerb {
 public:
  explicit EveryVerb(const Rank& rank)
      : rank_(rank),
        part_(3000),
        whole_(3000 * rank.comm.size()),
        other_(3000 * rank.comm.size()),
        counts_(rank.comm.size(), 3000) {}

  void run() {
    const Exec& exec = rank_.exec;
    Communicator& comm = rank_.comm;
    const Tensor part = tensor_of(part_), whole = tensor_of(whole_), other = tensor_of(other_);
    Pending sum = comm.all_reduce(exec, {.x = whole});
    Pending gathered = comm.all_gather_v(exec, {.in = part, .out = other, .counts = counts_});
    sum.wait(exec);
    gathered.wait(exec);
    comm.reduce_scatter(exec, {.in = whole, .out = part}).wait(exec);
    comm.broadcast(exec, {.x = part, .root = comm.size() - 1}).wait(exec);
    comm.all_to_all(exec, {.in = whole, .out = other}).wait(exec);
    exchange_messages(part, whole.slice(0, 0, 3000));
    comm.barrier(exec).wait(exec);
  }

 private:
  void exchange_messages(const Tensor& sent, const Tensor& received) {
    const int size = rank_.comm.size(), me = rank_.comm.rank();
    Pending send, recv;
    {
      const GroupScope group(rank_.comm);
      send = rank_.comm.send(rank_.exec, sent, (me + 1) % size);
      recv = rank_.comm.recv(rank_.exec, received, (me + size - 1) % size);
    }
    send.wait(rank_.exec);
    recv.wait(rank_.exec);
  }

  const Rank& rank_;
  std::vector<float> part_, whole_, other_;
  std::vector<std::int64_t> counts_;
};

}  // namespace drover::conformance
