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

}  // namespace

TEST_CASE("every verb gives every process what the contract says") {
  on_processes([](const Rank& rank) { every_verb_and_dtype(rank, {}); });
}

TEST_CASE("what is too large to be staged is read where it lies, with the same results") {
  on_processes([](const Rank& rank) { verbs_of_dtype<float>(rank, {.lengths = {300001}}); });
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
