#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "core/base/error.h"
#include "parallel/pipeline/draw.h"

namespace drover {

namespace {

std::string label(const ScheduleDrawing& drawing, const Action& action) {
  const std::string chunk = drawing.schedule.placement.chunks() > 1 ? cat(action.chunk) : "";
  return cat(chunk, letter(action.kind), action.microbatch);
}

// Columns per unit of time: the label of each action fits into it, with a space behind.
double columns_per_time(const ScheduleDrawing& drawing) {
  double columns = 0;
  for (const SimulatedRank& rank : drawing.simulation.ranks)
    for (const TimedAction& timed : rank.actions)
      columns = std::max(
          columns, static_cast<double>(label(drawing, timed.action).size() + 1) / (timed.end - timed.start));
  return columns;
}

std::string rank_line(const ScheduleDrawing& drawing, const SimulatedRank& rank, double columns) {
  const auto column = [columns](double time) {
    return static_cast<std::size_t>(std::lround(time * columns));
  };
  std::string line(column(drawing.simulation.step), '.');
  for (const TimedAction& timed : rank.actions) {
    const std::size_t begin = column(timed.start), width = column(timed.end) - begin;
    std::string cell = label(drawing, timed.action);
    cell.resize(width, ' ');
    line.replace(begin, width, cell);
  }
  return line;
}

std::string slots_text(const std::vector<SlotCount>& slots) {
  std::string text;
  for (const SlotCount& slot : slots) {
    text += cat(text.empty() ? "" : " + ", slot.saved);
    if (slot.weight > 0) text += cat(" (", slot.weight, ")");
  }
  return text;
}

std::string idle_text(double idle, double busy) {
  std::ostringstream out;
  out << idle << " (" << std::fixed << std::setprecision(1) << 100 * idle / busy << " %)";
  return out.str();
}

std::string row(const std::string& rank, const std::string& span, const std::string& step,
                const std::string& buffers, const std::string& slots) {
  std::ostringstream out;
  out << std::left << std::setw(10) << rank << std::setw(20) << span << std::setw(20) << step << std::setw(10)
      << buffers << slots << '\n';
  return out.str();
}

}  // namespace

std::string headline(const ScheduleDrawing& drawing) {
  const Placement& placement = drawing.schedule.placement;
  const auto count = [](int n, const char* what) { return cat(n, " ", what, n == 1 ? "" : "s"); };
  std::string text = cat(drawing.name, ": ", count(placement.ranks(), "rank"), ", ",
                         count(drawing.schedule.microbatches, "microbatch"));
  if (drawing.schedule.microbatches > 1) text.insert(text.size() - 1, "e");
  return text + (placement.chunks() > 1 ? cat(", ", placement.chunks(), " stages a rank") : "");
}

std::string draw_text(const ScheduleDrawing& drawing) {
  const double columns = columns_per_time(drawing);
  std::string text;
  for (std::size_t rank = 0; rank < drawing.simulation.ranks.size(); ++rank) {
    std::string name = cat("rank ", rank);
    name.resize(10, ' ');
    text += name + rank_line(drawing, drawing.simulation.ranks[rank], columns) + "\n";
  }
  return text;
}

std::string schedule_figures(const ScheduleDrawing& drawing) {
  const Simulation& simulation = drawing.simulation;
  std::string text = row("", "idle in own span", "idle in the step", "buffers", "in flight, by chunk");
  double busy = 0, idle = 0;
  for (std::size_t rank = 0; rank < simulation.ranks.size(); ++rank) {
    const SimulatedRank& of = simulation.ranks[rank];
    const double of_step = simulation.idle_of_step(static_cast<int>(rank));
    busy += of.busy;
    idle += of_step;
    text += row(cat("rank ", rank), idle_text(of.idle_in_span(), of.busy), idle_text(of_step, of.busy),
                cat(of.buffers), slots_text(of.slots));
  }
  std::ostringstream total;
  total << "the step takes " << simulation.step << "; of all ranks' time, compute is " << std::fixed
        << std::setprecision(1) << 100 * busy / (busy + idle) << " %\n";
  return text + total.str();
}

}  // namespace drover
