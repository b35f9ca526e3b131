// Every named schedule: complete, free of deadlocks, as idle as its paper says.
#include "parallel/pipeline/schedule.h"

#include <algorithm>

#include "core/base/error.h"
#include "parallel/pipeline/simulate.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

constexpr Schedule kNamed[] = {Schedule::gpipe,       Schedule::gpipe_split, Schedule::one_f_one_b,
                               Schedule::interleaved, Schedule::zb_h1,       Schedule::zb_v};

std::vector<int> legal_chunks(Schedule schedule) {
  if (schedule == Schedule::one_f_one_b || schedule == Schedule::zb_h1) return {1};
  if (schedule == Schedule::zb_v) return {2};
  return {1, 2, 3, 5, 8};
}

Simulation run(const ScheduleOptions& options, const SimulationCosts& costs = {}) {
  INFO(name_of(options.schedule) << " ranks " << options.ranks << " chunks " << options.chunks
                                 << " microbatches " << options.microbatches << " N "
                                 << options.stretch.value_or(0));
  Simulation simulation;
  REQUIRE_NOTHROW(simulation = simulate(make_schedule(options), costs));
  return simulation;
}

// The rank's actions in one line.
std::string timeline(const ScheduleOptions& options, int rank) {
  return describe(make_schedule(options).timelines[static_cast<std::size_t>(rank)]);
}

std::string refusal(const ScheduleOptions& options) {
  try {
    make_schedule(options);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::usage);
    return error.what();
  }
  return "not refused";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every schedule computes all microbatches on all stages, in order, for 1 to 8 ranks") {
  for (Schedule schedule : kNamed)
    for (int ranks = 1; ranks <= 8; ++ranks)
      for (int chunks : legal_chunks(schedule))
        for (int microbatches : {1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 33})
          run({.schedule = schedule, .ranks = ranks, .chunks = chunks, .microbatches = microbatches});
}

TEST_CASE("every schedule computes all microbatches on all stages, in order, for 16 and 64 ranks") {
  for (Schedule schedule : kNamed)
    for (int ranks : {16, 64}) {
      const int chunks = legal_chunks(schedule).back();
      for (int microbatches : {1, 37, ranks + 1})
        run({.schedule = schedule, .ranks = ranks, .chunks = chunks, .microbatches = microbatches});
    }
}

TEST_CASE("every schedule takes 256 microbatches on 64 ranks: complete, in order") {
  for (Schedule schedule : {Schedule::gpipe, Schedule::gpipe_split, Schedule::one_f_one_b})
    run({.schedule = schedule, .ranks = 64, .microbatches = 256});
  run({.schedule = Schedule::interleaved, .ranks = 64, .chunks = 8, .microbatches = 256});
  run({.schedule = Schedule::interleaved, .ranks = 64, .chunks = 8, .microbatches = 255, .stretch = 100});
  run({.schedule = Schedule::zb_v, .ranks = 64, .chunks = 2, .microbatches = 255});
  run({.schedule = Schedule::zb_h1, .ranks = 64, .microbatches = 256});
}

TEST_CASE("interleaved takes any number of microbatches and any run length from the number of ranks on") {
  for (int ranks : {1, 2, 3, 4, 8})
    for (int chunks : {1, 2, 5})
      for (int microbatches = 1; microbatches <= 20; ++microbatches)
        for (int stretch : {ranks, ranks + 1, ranks + 3, 2 * ranks, 2 * ranks + 1, 50})
          run({.schedule = Schedule::interleaved,
               .ranks = ranks,
               .chunks = chunks,
               .microbatches = microbatches,
               .stretch = stretch});
}

TEST_CASE("on one rank 1F1B is forward and backward by turns") {
  CHECK(timeline({.microbatches = 3}, 0) == "0F0 0B0 0F1 0B1 0F2 0B2");
}

TEST_CASE("interleaved runs N microbatches of a chunk at a time") {
  const ScheduleOptions options{
      .schedule = Schedule::interleaved, .ranks = 2, .chunks = 2, .microbatches = 6, .stretch = 3};
  CHECK(timeline(options, 1) ==
        "0F0 0F1 0F2 1F0 1B0 1F1 1B1 1F2 1B2 0F3 0B0 0F4 0B1 0F5 0B2 1F3 1B3 1F4 1B4 1F5 1B5 0B3 0B4 0B5");
  CHECK(longest_stretch(make_schedule(options).timelines[1], 3) == 3);
}

TEST_CASE(
    "interleaved spreads a rest below the number of ranks over the other groups, and keeps a larger one") {
  const auto forwards = [](int microbatches) {
    const PipelineSchedule schedule = forward_of(make_schedule({.schedule = Schedule::interleaved,
                                                                .ranks = 2,
                                                                .chunks = 2,
                                                                .microbatches = microbatches,
                                                                .stretch = 3}));
    return describe(schedule.timelines[0]);
  };
  CHECK(forwards(4) == "0F0 0F1 0F2 0F3 1F0 1F1 1F2 1F3");
  CHECK(forwards(5) == "0F0 0F1 0F2 1F0 1F1 1F2 0F3 0F4 1F3 1F4");
  CHECK(forwards(7) == "0F0 0F1 0F2 0F3 1F0 1F1 1F2 1F3 0F4 0F5 0F6 1F4 1F5 1F6");
}

TEST_CASE("interleaved wastes (PP - 1) / (V M) of compute where PP divides M") {
  for (int ranks : {2, 4, 8, 16})
    for (int chunks : {1, 2, 4, 8})
      for (int rounds : {1, 2, 4}) {
        const int microbatches = rounds * ranks;
        const SimulationCosts costs{.stages = {{.forward = 2, .input = 3, .weight = 1}}};
        const Simulation simulation = run({.schedule = Schedule::interleaved,
                                           .ranks = ranks,
                                           .chunks = chunks,
                                           .microbatches = microbatches},
                                          costs);
        for (int rank = 0; rank < ranks; ++rank) {
          const double compute = 6.0 * chunks * microbatches;
          CHECK(simulation.ranks[static_cast<std::size_t>(rank)].busy == compute);
          CHECK(simulation.idle_of_step(rank) / compute ==
                Approx((ranks - 1.0) / (chunks * microbatches)).epsilon(1e-12));
        }
      }
}

TEST_CASE("1F1B and GPipe wait (PP - 1)(F + B) in a step") {
  for (Schedule schedule : {Schedule::one_f_one_b, Schedule::gpipe})
    for (int ranks : {2, 3, 8})
      CHECK(run({.schedule = schedule, .ranks = ranks, .microbatches = 2 * ranks}).idle_of_step(0) ==
            3.0 * (ranks - 1));
}

TEST_CASE("ZB-H1 waits (PP - 1)(F + I - W) inside ranks' own spans, and as long in the step") {
  for (const StageCosts& costs : {StageCosts{}, StageCosts{.forward = 4, .input = 5, .weight = 3}})
    for (int ranks : {2, 3, 4, 8, 16, 64})
      for (int microbatches : {2 * ranks, 2 * ranks + 1, 4 * ranks}) {
        const Simulation simulation = run(
            {.schedule = Schedule::zb_h1, .ranks = ranks, .microbatches = microbatches}, {.stages = {costs}});
        const double idle = (ranks - 1) * (costs.forward + costs.input - costs.weight);
        CHECK(simulation.idle_in_span() == idle);
        CHECK(simulation.idle_of_step(0) == idle);
      }
}

TEST_CASE("ZB-V never waits inside ranks' own spans where F = I = W, and PP - 1 in the step") {
  for (int ranks : {2, 3, 4, 8, 16, 64})
    for (int microbatches : {2 * ranks, 2 * ranks + 1, 4 * ranks}) {
      const Simulation simulation =
          run({.schedule = Schedule::zb_v, .ranks = ranks, .chunks = 2, .microbatches = microbatches});
      CHECK(simulation.idle_in_span() == 0);
      CHECK(simulation.idle_of_step(0) == ranks - 1);
    }
}

TEST_CASE("1F1B holds as many microbatches as ranks are left, ZB-H1 as many as there are ranks") {
  const Simulation f1b = run({.ranks = 4, .microbatches = 9});
  const Simulation h1 = run({.schedule = Schedule::zb_h1, .ranks = 4, .microbatches = 9});
  for (int rank = 0; rank < 4; ++rank) {
    CHECK(f1b.ranks[static_cast<std::size_t>(rank)].slots == std::vector<SlotCount>{{.saved = 4 - rank}});
    CHECK(h1.ranks[static_cast<std::size_t>(rank)].slots ==
          std::vector<SlotCount>{{.saved = 4, .weight = rank + 1}});
  }
}

TEST_CASE("slots of a chunk count from forward and from input gradient to weight gradient") {
  const Timeline timeline =
      make_schedule({.schedule = Schedule::gpipe_split, .chunks = 2, .microbatches = 3}).timelines[0];
  CHECK(count_slots(timeline, 0) == SlotCount{.saved = 3, .weight = 3});
  CHECK(count_slots(timeline, 1) == SlotCount{.saved = 3, .weight = 3});
  CHECK(count_slots(make_schedule({.microbatches = 3}).timelines[0]) == SlotCount{.saved = 1, .weight = 0});
}

TEST_CASE(
    "a run ends after N actions of its kind and chunk, at another chunk's of the kind, and at the end") {
  const Timeline timeline = {{.kind = ActionKind::forward},
                             {.kind = ActionKind::backward},
                             {.kind = ActionKind::forward, .chunk = 1},
                             {.kind = ActionKind::backward, .microbatch = 1},
                             {.kind = ActionKind::backward, .microbatch = 2},
                             {.kind = ActionKind::backward_input, .chunk = 1},
                             {.kind = ActionKind::backward_weight, .chunk = 1},
                             {.kind = ActionKind::backward, .microbatch = 3}};
  CHECK(stretch_ends(timeline, 2) == std::vector<std::uint8_t>{1, 0, 1, 1, 1, 1, 1, 1});
  CHECK(stretch_ends(timeline, 9) == std::vector<std::uint8_t>{1, 0, 1, 0, 1, 1, 1, 1});
  CHECK(longest_stretch(timeline, 2) == 2);
  CHECK(longest_stretch(timeline, 9) == 3);
}

TEST_CASE("weights of a chunk are there while any of its runs goes on, else those of two blocks") {
  const Timeline timeline = {{.kind = ActionKind::forward},
                             {.kind = ActionKind::forward, .microbatch = 1},
                             {.kind = ActionKind::forward, .chunk = 1},
                             {.kind = ActionKind::backward, .chunk = 1},
                             {.kind = ActionKind::backward},
                             {.kind = ActionKind::forward, .chunk = 1, .microbatch = 1},
                             {.kind = ActionKind::backward, .microbatch = 1},
                             {.kind = ActionKind::backward, .chunk = 1, .microbatch = 1}};
  CHECK(most_gathered(timeline, 1, {.blocks = {5, 3}}) == 2);
  CHECK(most_gathered(timeline, 1, {.blocks = {5, 1}}) == 2);
  CHECK(most_gathered(timeline, 1, {.blocks = {1, 0}}) == 1);
  CHECK(most_gathered(timeline, 2, {.blocks = {5, 3}}) == 8);  // at 1F1
  CHECK(most_gathered({{.kind = ActionKind::forward}, {.kind = ActionKind::forward, .microbatch = 1}}, 2,
                      {.blocks = {5}}) == 5);
}

TEST_CASE("weight gradients use weights only where they compute activations again") {
  const Timeline timeline = {{.kind = ActionKind::backward_weight},
                             {.kind = ActionKind::backward_weight, .microbatch = 1}};
  CHECK(most_gathered(timeline, 2, {.blocks = {5}}) == 0);
  CHECK(most_gathered(timeline, 2, {.blocks = {5}, .by_backward_weight = true}) == 5);
  CHECK(most_gathered(timeline, 1, {.blocks = {5}, .by_backward_weight = true}) == 2);
}

TEST_CASE("placements invert: round robin and V") {
  for (const Placement& placement : {Placement::round_robin(3, 4), Placement::v_shaped(5)})
    for (int stage = 0; stage < placement.stages(); ++stage)
      CHECK(placement.stage(placement.at(stage).rank, placement.at(stage).chunk) == stage);
  CHECK(Placement::v_shaped(4).at(4) == StagePlace{.rank = 3, .chunk = 1});
  CHECK_THROWS_AS(Placement({{.rank = 0, .chunk = 0}, {.rank = 0, .chunk = 0}}), Error);
}

TEST_CASE("evaluation keeps the order of forwards and nothing else, and is complete") {
  const PipelineSchedule forward =
      forward_of(make_schedule({.schedule = Schedule::zb_h1, .ranks = 2, .microbatches = 3}));
  CHECK(describe(forward.timelines[0]) == "0F0 0F1 0F2");
  CHECK(programs_of(forward)[1].steps.size() == 6);
  for (Schedule schedule : kNamed)
    for (int ranks : {1, 2, 3, 4, 8})
      for (int microbatches : {1, 5, 16})
        CHECK_NOTHROW(simulate(forward_of(make_schedule({.schedule = schedule,
                                                         .ranks = ranks,
                                                         .chunks = default_chunks(schedule),
                                                         .microbatches = microbatches}))));
}

TEST_CASE("what a schedule cannot do is refused with the key and legal values") {
  CHECK(contains(refusal({.ranks = 2, .chunks = 2}), "parallel.virtual_stages is 2"));
  CHECK(contains(refusal({.schedule = Schedule::zb_h1, .chunks = 3}), "parallel.virtual_stages is 3"));
  CHECK(contains(refusal({.schedule = Schedule::zb_v, .ranks = 2}), "parallel.virtual_stages is 1"));
  CHECK(contains(refusal({.schedule = Schedule::interleaved, .ranks = 4, .chunks = 2, .stretch = 3}),
                 "parallel.stretch is 3, and the schedule interleaved needs at least parallel.pipeline, 4"));
  CHECK(contains(refusal({.ranks = 0}), "parallel.pipeline is 0"));
  CHECK(contains(refusal({.microbatches = 0}), "microbatches of a step is 0"));
  CHECK(contains(refusal({.ranks = 1 << 20, .chunks = 1 << 20}), "parallel.virtual_stages"));
  CHECK(contains(refusal({.ranks = 1 << 10, .microbatches = 1 << 20}), "microbatches on 1024 stages"));
  CHECK(contains(refusal({.schedule = Schedule::csv}), "parallel.schedule_file"));
  CHECK_THROWS_AS(schedule_named("2f2b"), Error);
  for (Schedule schedule : kNamed)
    if (schedule != Schedule::gpipe_split) CHECK(schedule_named(name_of(schedule)) == schedule);
}
