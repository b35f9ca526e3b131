// Pictures of a simulated schedule: text with time running to the right, a table of figures, SVG.
#pragma once

#include <string>

#include "parallel/pipeline/schedule.h"
#include "parallel/pipeline/simulate.h"

namespace drover {

// What is drawn; both outlive the call.
struct ScheduleDrawing {
  const PipelineSchedule& schedule;
  const Simulation& simulation;
  std::string name;  // "zb-v"
};

// "zb-v: 4 ranks, 8 microbatches, 2 stages a rank"
std::string headline(const ScheduleDrawing& drawing);

// A line per rank: every action where it starts, as F3, or 1F3 with its chunk where ranks have several; dots where the
// rank waits. Columns are as wide as the cheapest action needs.
std::string draw_text(const ScheduleDrawing& drawing);

// A line per rank: idle time inside its own span and in the whole step with the optimizer's barrier, in units of time
// and in percent of its compute; the most microbatches in flight (saved, and between input and weight gradient) of
// each chunk; message buffers. A last line for the pipeline.
std::string schedule_figures(const ScheduleDrawing& drawing);

// A picture on its own: no scripts, fonts or files from elsewhere. A tooltip says what each action is.
std::string draw_svg(const ScheduleDrawing& drawing);

}  // namespace drover
