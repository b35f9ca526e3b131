// The tables of schedules in docs/parallelism.md say what simulated schedules do.
#include <algorithm>
#include <sstream>

#include "parallel/pipeline/simulate.h"
#include "tests/support/markdown_tables.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

// Four ranks, sixteen microbatches.
Simulation run(Schedule schedule, int chunks, std::optional<int> stretch = {}, double transfer = 0) {
  return simulate(
      make_schedule(
          {.schedule = schedule, .ranks = 4, .chunks = chunks, .microbatches = 16, .stretch = stretch}),
      {.transfer = transfer});
}

// In percent of a rank's compute, of which all ranks have as much.
double percent(const Simulation& simulation, double idle) { return 100 * idle / simulation.ranks[0].busy; }

// Saved microbatches of the worst rank, 1 being all stages of a rank.
double memory(const Simulation& simulation) {
  double most = 0;
  for (const SimulatedRank& rank : simulation.ranks) {
    double saved = 0;
    for (const SlotCount& slots : rank.slots) saved += slots.saved;
    most = std::max(most, saved / static_cast<double>(rank.slots.size()));
  }
  return most;
}

// The table with such a head.
Table table_of(const std::string& head) {
  const std::string page = page_of_docs("parallelism.md");
  const std::size_t begin = page.find(head);
  if (begin == std::string::npos) throw std::runtime_error("no table " + head);
  return tables_of(page.substr(begin)).at(0);
}

bool shows(const std::string& cell, double value) { return std::abs(std::stod(cell) - value) <= 0.05 + 1e-9; }

}  // namespace

TEST_CASE("the table of schedules to choose from in docs/parallelism.md is right") {
  const Table table = table_of("| `parallel.schedule` | `virtual_stages` | waits, own span |");
  CHECK(table.size() == 6);
  for (const TableRow& row : table) {
    INFO(row.at(0) << ", " << row.at(1) << " stages a rank");
    const Simulation simulation = run(schedule_named(row[0].substr(1, row[0].size() - 2)), std::stoi(row[1]));
    CHECK(shows(row.at(2), percent(simulation, simulation.idle_in_span())));
    CHECK(shows(row.at(3), percent(simulation, simulation.idle_of_step(0))));
    CHECK(shows(row.at(4), memory(simulation)));
  }
}

TEST_CASE("the table of run lengths in docs/parallelism.md is right") {
  const Table table = table_of("| N | waits, step | memory |");
  CHECK(table.size() == 3);
  for (const TableRow& row : table) {
    std::istringstream lengths(row.at(0));  // "8" or "5 or 6"
    std::string word;
    for (int length = 0; lengths >> length; lengths >> word) {
      INFO("N = " << length);
      const Simulation simulation = run(Schedule::interleaved, 2, length, 0.5);
      CHECK(shows(row.at(1), percent(simulation, simulation.idle_of_step(0))));
      CHECK(shows(row.at(2), memory(simulation)));
    }
  }
}
