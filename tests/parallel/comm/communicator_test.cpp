// LocalComm: the conformance body on threads, and what only threads can show.
#include <atomic>

#include "parallel/comm/local/local_comm.h"
#include "tests/support/conformance_groups.h"
#include "tests/support/count_new.h"
#include "tests/support/test_support.h"

using namespace drover;
using namespace drover::conformance;

namespace {

// Runs the body on ranks that can compute, and reports what any of them found wrong.
void on_ranks(int ranks, const std::function<void(const Rank&)>& body, const CommOptions& options = {}) {
  Report report;
  run_local_ranks(
      ranks,
      [&](Communicator& world) {
        Machine machine;
        body({.comm = world, .exec = machine.exec, .report = report});
      },
      options);
  CHECK(report.failures() == std::vector<std::string>{});
}

CommOptions short_deadline() { return {.deadline = std::chrono::milliseconds(50)}; }

std::string comm_error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const CommError& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& piece) {
  return text.find(piece) != std::string::npos;
}

}  // namespace

TEST_CASE("every verb gives every rank what the contract says, on 1 to 8 threads") {
  const int ranks = GENERATE(1, 2, 3, 4, 8);
  on_ranks(ranks, [](const Rank& rank) { every_verb_and_dtype(rank, {}); });
}

TEST_CASE("above 64 ranks reductions add within sections of 64 and then over the sections") {
  on_ranks(70, [](const Rank& rank) {
    const Sizes sizes{.lengths = {1, 300, 9001}};
    reductions_add_in_rank_order<float>(rank, sizes);
    reductions_add_in_rank_order<bfloat16>(rank, sizes);
    reductions_add_in_rank_order<double>(rank, {.lengths = {333}});
    reductions_add_in_rank_order<std::int64_t>(rank, {.lengths = {333}});
    gathers_are_in_rank_order<float>(rank, {.lengths = {17}});
    uneven_exchanges_reach_their_rank<float>(rank);
    messages_match_in_issue_order<std::uint8_t>(rank);
  });
}

TEST_CASE("operations in flight may be waited for in any order") {
  const int ranks = GENERATE(1, 2, 5);
  on_ranks(ranks, [](const Rank& rank) {
    many_operations_are_in_flight(rank, 40, 100);
    many_operations_are_in_flight(rank, 5, 50000);
    a_barrier_separates(rank);
  });
}

TEST_CASE("shape-only tensors go through every verb") {
  const int ranks = GENERATE(1, 3);
  on_ranks(ranks, shape_only_tensors_pass);
}

TEST_CASE("a split makes groups that work beside each other") {
  const int ranks = GENERATE(2, 3, 8);
  on_ranks(ranks, [](const Rank& rank) {
    split_orders_by_key_and_leaves_out_negative_colors(rank);
    groups_do_not_disturb_each_other(rank);
  });
}

TEST_CASE("a rank that waits for something else does its part of a sum") {
  const int ranks = GENERATE(2, 5);
  on_ranks(ranks, ranks_that_wait_for_something_else_do_their_part_of_a_sum);
}

TEST_CASE("a mismatch is an error on every rank and not the end of the others' groups") {
  const int ranks = GENERATE(2, 4);
  on_ranks(ranks, [](const Rank& rank) {
    calls_that_do_not_match_are_errors_on_every_rank(rank);
    a_message_of_another_size_or_dtype_is_an_error(rank);
    a_barrier_separates(rank);
  });
}

TEST_CASE("a collective that a rank never starts ends with its name at the deadline") {
  const std::string text = comm_error_of([] {
    on_ranks(
        4,
        [](const Rank& rank) {
          if (rank.comm.rank() == 2) return;
          rank.comm.barrier(rank.exec).join();
        },
        short_deadline());
  });
  CHECK(contains(text, "missing is rank 2"));
  CHECK(contains(text, "operation 0, barrier, of 'world'"));
}

TEST_CASE(
    "an error of a rank that does not come says its rank in the world, and that the run is to start again") {
  std::vector<int> peers;
  Exit exit = Exit::done;
  try {
    on_ranks(
        4,
        [](const Rank& rank) {
          const auto odd = rank.comm.split(rank.comm.rank() % 2, 0, "halves");
          if (rank.comm.rank() == 1) odd->barrier(rank.exec).join();
        },
        short_deadline());
  } catch (const CommError& error) {
    peers = error.peers();
    exit = error.exit();
  }
  CHECK(peers == std::vector{3});
  CHECK(exit == Exit::lost);
}

TEST_CASE("a send completes only with its receive") {
  const std::string text = comm_error_of([] {
    on_ranks(
        2,
        [](const Rank& rank) {
          float x[1] = {1};
          if (rank.comm.rank() == 0) rank.comm.send(rank.exec, Tensor::of(x, {1}), 1).join();
        },
        short_deadline());
  });
  CHECK(contains(text, "send of float32[1] to rank 1"));
  CHECK(contains(text, "missing is rank 1"));
}

TEST_CASE("the first exception ends all ranks and comes out, whatever the others wait for") {
  std::atomic<int> ended{0};
  const auto body = [&](const Rank& rank) {
    struct Ended {
      std::atomic<int>& count;
      ~Ended() { ++count; }
    } const leaving{ended};
    std::vector<float> x(100000), y(8);
    Pending unfinished = rank.comm.all_reduce(rank.exec, {.x = tensor_of(x)});
    if (rank.comm.rank() == 1) throw usage_error("rank 1 fails by itself");
    unfinished.wait(rank.exec);
    if (rank.comm.rank() == 0) rank.comm.recv(rank.exec, tensor_of(y), 2).wait(rank.exec);
    rank.comm.barrier(rank.exec).wait(rank.exec);
  };
  CHECK_THROWS_WITH(on_ranks(3, body), "rank 1 fails by itself");
  CHECK(ended == 3);
}

TEST_CASE("abort wakes ranks in collectives and in messages, with its reason") {
  const std::string text = comm_error_of([] {
    on_ranks(3, [](const Rank& rank) {
      float x[1] = {1};
      if (rank.comm.rank() == 0) rank.comm.abort("the disk is full");
      if (rank.comm.rank() == 1) rank.comm.recv(rank.exec, Tensor::of(x, {1}), 0).wait(rank.exec);
      if (rank.comm.rank() == 2) rank.comm.barrier(rank.exec).wait(rank.exec);
    });
  });
  CHECK(contains(text, "rank 0 ended the run: the disk is full"));
}

TEST_CASE("a started operation dropped by an exception leaves no rank in its buffers") {
  for (int round = 0; round < 30; ++round) {
    const auto body = [&](const Rank& rank) {
      std::vector<float> x(200000 + 1000 * round);
      Pending pending = rank.comm.all_reduce(rank.exec, {.x = tensor_of(x)});
      if (rank.comm.rank() == round % 4) throw usage_error("drops it");
      pending.wait(rank.exec);
    };
    CHECK_THROWS(on_ranks(4, body));
  }
}

TEST_CASE("starting and waiting allocate nothing after the first step") {
  on_ranks(4, steps_after_the_first_allocate_nothing);
}

TEST_CASE("a world of one rank obeys the same verbs") {
  const auto world = single_rank_world();
  Report report;
  Machine machine;
  every_verb_and_dtype({.comm = *world, .exec = machine.exec, .report = report}, {.lengths = {0, 100}});
  CHECK(report.failures().empty());
  CHECK(world->name() == "world");
}
