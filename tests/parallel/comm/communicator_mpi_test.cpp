// MpiComm: the conformance body on processes, through memory and by messages.
#include "tests/support/conformance_groups.h"
#include "tests/support/count_new.h"
#include "tests/support/mpi_world.h"
#include "tests/support/test_support.h"

using namespace drover;
using namespace drover::conformance;

namespace {

void on_processes(const std::function<void(const Rank&)>& body) {
  for (const HostPath path : {HostPath::memory, HostPath::messages}) {
    const auto world = mpi_process().world({}, path);
    Machine machine;
    Report report;
    body({.comm = *world, .exec = machine.exec, .report = report});
    INFO((path == HostPath::memory ? "through memory" : "by messages"));
    CHECK(report.failures() == std::vector<std::string>{});
  }
}

// Of n elements in one buffer of the process's memory.
template <class T>
void sums_in_the_processes_memory(const Rank& rank, std::int64_t n) {
  const int size = rank.comm.size(), me = rank.comm.rank();
  const std::unique_ptr<Memory> memory = mpi_process().make_memory();
  const Buffer buffer(*memory, std::max<std::int64_t>(1 << 20, 2 * n * sizeof(T)), MemoryCategory::gradients);
  const Tensor whole = buffer.tensor(dtype_of<T>, {n}),
               sum = whole.slice(0, me * (n / size), (me + 1) * (n / size));
  const auto expect = [&](const Tensor& got, std::int64_t begin, int stream, const char* verb) {
    const auto wanted = all_reduced<T>(stream, size, begin, begin + got.numel(), Reduction::sum);
    rank.expect(same_bits(std::vector<T>(got.as<T>(), got.as<T>() + got.numel()), wanted),
                cat(verb, " of ", n));
  };
  std::ranges::copy(values<T>(11, me, 0, n), whole.as<T>());
  rank.comm.all_reduce(rank.exec, {.x = whole}).wait(rank.exec);
  expect(whole, 0, 11, "all_reduce");
  std::ranges::copy(values<T>(12, me, 0, n), whole.as<T>());
  rank.comm.reduce_scatter(rank.exec, {.in = whole.slice(0, 0, n / size * size), .out = sum}).wait(rank.exec);
  expect(sum, me * (n / size), 12, "reduce_scatter in place");
  rank.comm.all_gather(rank.exec, {.in = sum, .out = whole.slice(0, 0, n / size * size)}).wait(rank.exec);
  expect(whole.slice(0, 0, n / size * size), 0, 12, "all_gather in place");
}

}  // namespace

TEST_CASE("every verb gives every process what the contract says") {
  on_processes([](const Rank& rank) { every_verb_and_dtype(rank, {}); });
}

TEST_CASE("what is too large to be staged is read where it lies, with the same results") {
  on_processes([](const Rank& rank) { verbs_of_dtype<float>(rank, {.lengths = {300001}}); });
}

TEST_CASE(
    "tensors in the memory that processes share are summed and gathered in place, with the same results") {
  on_processes([](const Rank& rank) {
    for (const std::int64_t n : {1001, 40001, 600001}) {
      sums_in_the_processes_memory<float>(rank, n);
      sums_in_the_processes_memory<double>(rank, n);
      sums_in_the_processes_memory<bfloat16>(rank, n);
    }
  });
}

TEST_CASE("processes may wait for operations in flight in any order") {
  on_processes([](const Rank& rank) {
    many_operations_are_in_flight(rank, 40, 100);
    many_operations_are_in_flight(rank, 5, 50000);
    a_barrier_separates(rank);
  });
}

TEST_CASE("shape-only tensors go through every verb between processes") {
  on_processes(shape_only_tensors_pass);
}

TEST_CASE("a split of processes makes groups that work beside each other") {
  on_processes([](const Rank& rank) {
    if (rank.comm.size() == 1) return;
    split_orders_by_key_and_leaves_out_negative_colors(rank);
    groups_do_not_disturb_each_other(rank);
  });
}

TEST_CASE("a process that waits for something else does its part of a sum") {
  on_processes(ranks_that_wait_for_something_else_do_their_part_of_a_sum);
}

TEST_CASE("a mismatch is an error on every process and not the end of the others' groups") {
  on_processes([](const Rank& rank) {
    calls_that_do_not_match_are_errors_on_every_rank(rank);
    a_message_of_another_size_or_dtype_is_an_error(rank);
    a_barrier_separates(rank);
  });
}

TEST_CASE("starting and waiting on a process's thread allocate nothing after the first step") {
  on_processes(steps_after_the_first_allocate_nothing);
}
