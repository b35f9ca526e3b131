#include "parallel/pipeline/draw.h"

#include "tests/support/test_support.h"

using namespace drover;

namespace {

struct Drawn {
  explicit Drawn(const ScheduleOptions& options, const SimulationCosts& costs = {})
      : schedule(make_schedule(options)), simulation(simulate(schedule, costs)) {}
  ScheduleDrawing drawing(std::string name = "x") const {
    return {.schedule = schedule, .simulation = simulation, .name = std::move(name)};
  }

  PipelineSchedule schedule;
  Simulation simulation;
};

}  // namespace

TEST_CASE("text: time runs to the right, a label where its action starts, dots where a rank waits") {
  CHECK(draw_text(Drawn({.ranks = 2, .microbatches = 2}).drawing()) ==
        "rank 0    F0 F1 ......B0    ...B1    \n"
        "rank 1    ...F0 B0    F1 B1    ......\n");
}

TEST_CASE("text names the chunk where ranks have several, and grows with dear actions") {
  const Drawn drawn({.schedule = Schedule::zb_v, .ranks = 1, .chunks = 2, .microbatches = 1},
                    {.stages = {{.forward = 2, .input = 1, .weight = 1}}});
  CHECK(draw_text(drawn.drawing()) == "rank 0    0F0     1F0     1I0 1W0 0I0 0W0 \n");
}

TEST_CASE("figures: idle in own span and in the step, slots by chunk, buffers") {
  const std::string figures =
      schedule_figures(Drawn({.schedule = Schedule::zb_h1, .ranks = 2, .microbatches = 4}).drawing());
  CHECK(figures ==
        "          idle in own span    idle in the step    buffers   in flight, by chunk\n"
        "rank 0    1 (8.3 %)           1 (8.3 %)           3         2 (1)\n"
        "rank 1    0 (0.0 %)           1 (8.3 %)           2         2 (2)\n"
        "the step takes 13; of all ranks' time, compute is 92.3 %\n");
}

TEST_CASE("the headline counts what there is") {
  CHECK(headline(Drawn({}).drawing("1f1b")) == "1f1b: 1 rank, 1 microbatch");
  CHECK(headline(Drawn({.schedule = Schedule::zb_v, .ranks = 3, .chunks = 2, .microbatches = 7})
                     .drawing("zb-v")) == "zb-v: 3 ranks, 7 microbatches, 2 stages a rank");
}

TEST_CASE("an SVG has a tooltip for every action and refers to nothing elsewhere") {
  const std::string svg = draw_svg(Drawn({.ranks = 2, .microbatches = 3}).drawing("<a&b>"));
  std::size_t tooltips = 0;
  for (std::size_t at = svg.find("<title>"); at != std::string::npos; at = svg.find("<title>", at + 1))
    ++tooltips;
  CHECK(tooltips == 12);
  CHECK(svg.find("<title>rank 1, stage 1, backward, microbatch 2: 8 to 10</title>") != std::string::npos);
  CHECK(svg.find("&lt;a&amp;b>: 2 ranks") != std::string::npos);
  for (const char* reference : {"href", "url(", "script", "@import", "<image"})
    CHECK(svg.find(reference) == std::string::npos);
}
