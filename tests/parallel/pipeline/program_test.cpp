// Messages woven into timelines: in order, early, in buffers that are free. That programs fit together is what
// simulate() proves; schedule_test.cpp runs it over all schedules.
#include "parallel/pipeline/program.h"

#include <map>
#include <utility>

#include "core/base/error.h"
#include "parallel/mesh/mesh.h"
#include "parallel/pipeline/csv.h"
#include "parallel/pipeline/simulate.h"
#include "tests/support/random_schedule.h"
#include "tests/support/test_support.h"

using namespace drover;
using namespace drover::testing;

namespace {

std::string text(const PipelineProgram& program) {
  std::string lines;
  for (const ProgramStep& step : program.steps) lines += describe(step) + "\n";
  return lines;
}

std::string fault(const PipelineSchedule& schedule, const std::vector<PipelineProgram>& programs) {
  try {
    simulate(schedule, programs, {});
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

const PipelineSchedule& two_ranks() {
  static const PipelineSchedule schedule = make_schedule({.ranks = 2, .microbatches = 2});
  return schedule;
}

// Computes between each receive and the compute that reads it, the least of a program; readers that come first or
// second in their timeline are left out.
int least_lead(const PipelineProgram& program) {
  int computes = 0, least = 1 << 20;
  std::map<int, int> posted;  // buffer -> computes before its receive
  for (const ProgramStep& step : program.steps) {
    if (step.kind == StepKind::receive) posted[step.buffer] = computes;
    if (step.kind != StepKind::compute) continue;
    if (computes > 0 && posted.contains(step.input)) least = std::min(least, computes - posted[step.input]);
    posted.erase(step.input);
    ++computes;
  }
  return least;
}

}  // namespace

TEST_CASE("the program of a first and a last rank") {
  CHECK(text(program_of(two_ranks(), 0)) ==
        "0F0 - -> 0\n"
        "send 0 -> rank 1 (activation 0)\n"
        "recv 1 <- rank 1 (gradient 0)\n"
        "0F1 - -> 2\n"
        "send 2 -> rank 1 (activation 1)\n"
        "recv 0 <- rank 1 (gradient 1)\n"
        "0B0 1 -> -\n"
        "0B1 0 -> -\n");
  CHECK(text(program_of(two_ranks(), 1)) ==
        "recv 0 <- rank 0 (activation 0)\n"
        "0F0 0 -> -\n"
        "recv 0 <- rank 0 (activation 1)\n"
        "0B0 - -> 1\n"
        "send 1 -> rank 0 (gradient 0)\n"
        "0F1 0 -> -\n"
        "0B1 - -> 1\n"
        "send 1 -> rank 0 (gradient 1)\n");
}

TEST_CASE("between chunks of one rank a buffer changes hands and nothing is sent") {
  const PipelineProgram alone =
      program_of(make_schedule({.schedule = Schedule::interleaved, .chunks = 3, .microbatches = 1}), 0);
  CHECK(text(alone) == "0F0 - -> 0\n1F0 0 -> 1\n2F0 1 -> -\n2B0 - -> 0\n1B0 0 -> 1\n0B0 1 -> -\n");
  const PipelineProgram turn =
      program_of(make_schedule({.schedule = Schedule::zb_v, .ranks = 3, .chunks = 2, .microbatches = 6}), 2);
  for (const ProgramStep& step : turn.steps)
    if (step.kind != StepKind::compute) CHECK(step.peer == 1);
}

TEST_CASE("a rank's program alone is the one among all") {
  const PipelineSchedule schedule =
      make_schedule({.schedule = Schedule::interleaved, .ranks = 4, .chunks = 3, .microbatches = 9});
  const std::vector<PipelineProgram> all = programs_of(schedule);
  for (int rank = 0; rank < 4; ++rank) {
    const PipelineProgram one = program_of(schedule, rank);
    CHECK(one.steps == all[static_cast<std::size_t>(rank)].steps);
    CHECK(one.buffers == all[static_cast<std::size_t>(rank)].buffers);
  }
}

TEST_CASE("receives are posted at least one compute ahead") {
  for (const ScheduleOptions& options :
       {ScheduleOptions{.ranks = 4, .microbatches = 9},
        ScheduleOptions{.schedule = Schedule::interleaved, .ranks = 4, .chunks = 3, .microbatches = 9},
        ScheduleOptions{.schedule = Schedule::zb_v, .ranks = 4, .chunks = 2, .microbatches = 9}})
    for (const PipelineProgram& program : programs_of(make_schedule(options)))
      CHECK(least_lead(program) >= 1);
}

TEST_CASE("messages travel under computes: paid on the way there and back, not per microbatch") {
  for (double transfer : {0.25, 0.5}) {
    const auto step = [&](ScheduleOptions options, int microbatches) {
      options.ranks = 4;
      options.microbatches = microbatches;
      return simulate(make_schedule(options), {.stages = {{}}, .transfer = transfer}).step;
    };
    CHECK(step({.schedule = Schedule::gpipe}, 16) == (16 + 3) * 3 + 2 * 3 * transfer);
    const ScheduleOptions zb_v{.schedule = Schedule::zb_v, .chunks = 2};
    CHECK(step(zb_v, 64) - step(zb_v, 32) == 32 * 6);
    // N = PP has no slack: a group is due again when it has just come around.
    const ScheduleOptions interleaved{.schedule = Schedule::interleaved, .chunks = 2, .stretch = 6};
    CHECK(step(interleaved, 64) - step(interleaved, 32) == 32 * 6);
  }
}

TEST_CASE("buffers do not grow with microbatches, except those of a breadth-first hand-over") {
  const auto buffers = [](Schedule schedule, int chunks, int microbatches) {
    return program_of(make_schedule(
                          {.schedule = schedule, .ranks = 4, .chunks = chunks, .microbatches = microbatches}),
                      1)
        .buffers;
  };
  CHECK(buffers(Schedule::one_f_one_b, 1, 256) == 4);
  CHECK(buffers(Schedule::gpipe, 1, 256) == buffers(Schedule::gpipe, 1, 16));
  CHECK(buffers(Schedule::interleaved, 4, 256) == buffers(Schedule::interleaved, 4, 16));
  CHECK(buffers(Schedule::zb_v, 2, 256) == buffers(Schedule::zb_v, 2, 16));
}

TEST_CASE("a schedule in which ranks wait for each other is refused with rank and action") {
  PipelineSchedule schedule = two_ranks();
  std::swap(schedule.timelines[0][1], schedule.timelines[0][2]);  // 0F0 0B0 0F1 0B1: late, and legal
  CHECK_NOTHROW(programs_of(schedule));
  std::swap(schedule.timelines[1][1], schedule.timelines[1][2]);  // 0F0 0F1 0B0 0B1: rank 0 waits for 0B0
  CHECK_THROWS_WITH(programs_of(schedule),
                    "parallel.schedule: pipeline rank 0 waits forever before action 1 (0B0, chunk kind "
                    "microbatch): what it needs comes later, or waits for it in turn");
}

TEST_CASE("the simulation sees a missing receive, swapped receives, a wrong buffer and a repeated action") {
  const std::vector<PipelineProgram> good = programs_of(two_ranks());
  CHECK(fault(two_ranks(), good) == "none");
  auto programs = good;
  std::erase_if(programs[1].steps, [](const ProgramStep& s) { return s.kind == StepKind::receive; });
  CHECK(contains(fault(two_ranks(), programs), "pipeline rank 1, action 0F0: reads another stage's"));
  programs = good;
  std::swap(programs[0].steps[2].microbatch, programs[0].steps[5].microbatch);
  CHECK(contains(fault(two_ranks(), programs), "message 0 from pipeline rank 1 to 0 is of microbatch 0"));
  programs = good;
  programs[0].steps[7].input = 1;
  CHECK(contains(fault(two_ranks(), programs), "pipeline rank 0, action 0B1: reads another stage's"));
  programs = good;
  programs[0].steps.push_back(programs[0].steps.back());
  CHECK(contains(fault(two_ranks(), programs), "pipeline rank 0, action 0B1: comes twice or out of order"));
  programs = good;
  std::erase_if(programs[0].steps, [](const ProgramStep& s) { return s.kind == StepKind::send; });
  CHECK(contains(fault(two_ranks(), programs), "deadlock: pipeline rank"));
  programs = good;
  programs[1].steps.pop_back();
  programs[1].steps.pop_back();
  CHECK(contains(fault(two_ranks(), programs),
                 "deadlock: pipeline rank 0 waits forever at step 7: 0B1 0 -> -"));
}

TEST_CASE("any placement with timelines in any legal order runs: 300 draws") {
  constexpr std::uint64_t seed = 20240731;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::map<std::size_t, int> ranks_drawn;
  for (int i = 0; i < 300; ++i) {
    const int ranks = draw(random, 1, 6), chunks = draw(random, 1, 3);
    const PipelineSchedule schedule = random_schedule(random, ranks, chunks, draw(random, 1, 7));
    ++ranks_drawn[schedule.timelines.size()];
    INFO("draw " << i << ": " << schedule_csv(schedule));
    CHECK_NOTHROW(simulate(schedule, {.stages = {{}}, .transfer = 0.3}));
  }
  CHECK(ranks_drawn.size() == 6);
}

TEST_CASE("Llama 3 405B: a rank's program is the same size at 16,384 and at 131,072 ranks") {
  for (const AxisValues& sizes :
       {AxisValues{.tensor = 8, .context = 1, .pipeline = 16, .shard = 128, .replicate = 1},
        AxisValues{.tensor = 8, .context = 16, .pipeline = 16, .shard = 64, .replicate = 1}}) {
    const Mesh mesh(sizes);
    const PipelineProgram program =
        program_of(make_schedule({.schedule = Schedule::interleaved,
                                  .ranks = mesh.size(Axis::pipeline),
                                  .chunks = 8,
                                  .microbatches = 16}),
                   mesh.coordinate(mesh.rank({.tensor = 3, .pipeline = 5})).pipeline);
    CHECK(program.steps.size() == 768);  // 256 computes, each with one receive and one send
    CHECK(program.buffers < 8);
  }
}
