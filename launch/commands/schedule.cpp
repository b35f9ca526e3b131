// `drover schedule`: the order in which pipeline ranks compute, as text, figures, SVG and CSV.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "launch/commands/commands.h"
#include "launch/config/run_config.h"
#include "parallel/pipeline/csv.h"
#include "parallel/pipeline/draw.h"
#include "train/training.h"

namespace drover {

namespace {

constexpr const char* kHelp =
    R"(Time runs to the right. 1F3 is the forward (F) of microbatch 3 on the rank's chunk 1; B is backward, or, where
it is split, I that of inputs and W that of weights; dots are waiting. Ranks with one stage leave the chunk out.

  drover schedule --schedule 1f1b --pipeline 4 --microbatches 8
  drover schedule --schedule zb-v --pipeline 4 --microbatches 8 --svg zb-v.svg
    no rank waits inside its own span where F, I and W cost the same; now with other costs:
  drover schedule --schedule zb-v --pipeline 4 --microbatches 8 --costs 2,2,1
  drover schedule --schedule interleaved --pipeline 4 --virtual-stages 2 --microbatches 16 --transfer 0.5
    messages of half a forward; --run-length 6 hides them, since a microbatch is no longer due again at once
  drover schedule configs/llama3-405b.yaml --ranks 16384 --svg 405b.svg

Schedules (parallel.schedule): gpipe; 1f1b; interleaved (several stages a rank, --run-length microbatches of one at
a time); zb-h1 (1f1b's memory, a third of its waiting); zb-v (two stages a rank in a V); csv (--schedule-file). A CSV
has one line per rank, words STAGE KIND MICROBATCH separated by commas, stages counted along the model:
  0F0,0F1,0B0,0B1
  1F0,1B0,1F1,1B1
--csv writes one from any schedule, to start from.)";

struct Arguments {
  ConfigSource config;  // without a path: the options say it all
  int ranks = 1;
  std::string schedule = "1f1b", file, svg, csv;
  int pipeline = 1, microbatches = 0;  // 0: not given
  std::optional<int> virtual_stages, stretch;
  std::vector<double> costs = {1, 1, 1};
  double transfer = 0;
};

// Of one data-parallel rank. Phases with other batches have other numbers; the first is drawn.
int microbatches_of_first_phase(const Config& config, const Mesh& mesh) {
  const std::vector<std::int64_t> counts = microbatches_of_phases(config, mesh);
  const std::int64_t most = *std::max_element(counts.begin(), counts.end());
  if (most > counts[0])
    std::printf("the first phase, of %d microbatches; later ones have up to %d (--microbatches)\n\n",
                static_cast<int>(counts[0]), static_cast<int>(most));
  return static_cast<int>(counts[0]);
}

void take_from_config(FileSystem& files, Arguments& arguments) {
  const Config config = read_run_config(files, arguments.config).config;
  const ParallelConfig& parallel = config.parallel;
  arguments.schedule = parallel.schedule;
  arguments.file = parallel.schedule_file;
  arguments.pipeline = static_cast<int>(parallel.pipeline);
  arguments.virtual_stages = static_cast<int>(parallel.virtual_stages);
  if (parallel.stretch) arguments.stretch = static_cast<int>(*parallel.stretch);
  if (arguments.microbatches == 0)
    arguments.microbatches = microbatches_of_first_phase(config, mesh_of(config, arguments.ranks));
}

// A CSV says for itself how many ranks and microbatches it is for.
PipelineSchedule schedule_of(FileSystem& files, const Arguments& arguments) {
  const Schedule schedule = schedule_named(arguments.schedule);
  if ((schedule == Schedule::csv) == arguments.file.empty())
    throw usage_error(
        "--schedule csv and --schedule-file go together (parallel.schedule, parallel.schedule_file)");
  if (schedule == Schedule::csv)
    return read_schedule_csv(read_text(files, arguments.file, kMostScheduleBytes), arguments.file);
  return make_schedule({.schedule = schedule,
                        .ranks = arguments.pipeline,
                        .chunks = arguments.virtual_stages.value_or(default_chunks(schedule)),
                        .microbatches = arguments.microbatches,
                        .stretch = arguments.stretch});
}

// Lines stay within what can be looked at.
void check_drawable(const Arguments& arguments) {
  const auto [least, most] = std::minmax_element(arguments.costs.begin(), arguments.costs.end());
  if (!(*least > 0) || !(std::max(*most, arguments.transfer) <= 100 * *least) || !(arguments.transfer >= 0))
    throw usage_error("--costs ", arguments.costs[0], ",", arguments.costs[1], ",", arguments.costs[2],
                      " and --transfer ", arguments.transfer,
                      ": costs are above 0, and nothing costs more than 100 times the cheapest action");
  const double actions =
      2.0 * arguments.pipeline * arguments.virtual_stages.value_or(1) * arguments.microbatches;
  if (actions > 1e6)
    throw usage_error(
        "drover schedule: ", actions,
        " actions are too many to draw; use a smaller --pipeline, --virtual-stages or --microbatches");
}

void write(FileSystem& files, const std::string& path, const std::string& text) {
  if (path.empty()) return;
  write_text_atomically(files, path, text);
  std::printf("wrote %s\n", path.c_str());
}

Exit run(Arguments arguments) {
  PosixFileSystem files;
  if (!arguments.config.path.empty()) take_from_config(files, arguments);
  arguments.microbatches = std::max(arguments.microbatches, 1);
  check_drawable(arguments);
  const PipelineSchedule schedule = schedule_of(files, arguments);
  const Simulation simulation = simulate(
      schedule,
      {.stages = {{.forward = arguments.costs[0], .input = arguments.costs[1], .weight = arguments.costs[2]}},
       .transfer = arguments.transfer});
  const ScheduleDrawing drawing{.schedule = schedule, .simulation = simulation, .name = arguments.schedule};
  std::printf("%s\n\n%s\n%s", headline(drawing).c_str(), draw_text(drawing).c_str(),
              schedule_figures(drawing).c_str());
  write(files, arguments.svg, draw_svg(drawing));
  write(files, arguments.csv, schedule_csv(schedule));
  return Exit::done;
}

void add_config_options(CLI::App& verb, Arguments& arguments) {
  CLI::Option* const config =
      verb.add_option("CONFIG", arguments.config.path, "YAML file of a run, for its keys");
  verb.add_option("--ranks", arguments.ranks, "of the whole run, with CONFIG")
      ->capture_default_str()
      ->needs(config);
  verb.add_option("--set", arguments.config.overrides, "other values, with CONFIG: section.key=value ...")
      ->needs(config);
  verb.add_option("--microbatches", arguments.microbatches, "of a step, on each data-parallel rank")
      ->check(CLI::PositiveNumber)
      ->default_str("1, or from CONFIG");
}

// What the keys of CONFIG say.
void add_key_options(CLI::App& verb, Arguments& arguments) {
  CLI::Option* const config = verb.get_option("CONFIG");
  verb.add_option("--schedule", arguments.schedule, "gpipe, 1f1b, interleaved, zb-h1, zb-v or csv")
      ->capture_default_str()
      ->excludes(config);
  verb.add_option("--pipeline", arguments.pipeline, "pipeline ranks")
      ->capture_default_str()
      ->excludes(config);
  verb.add_option("--virtual-stages", arguments.virtual_stages, "stages of each rank")
      ->default_str("what the schedule needs")
      ->excludes(config);
  verb.add_option("--stretch", arguments.stretch, "consecutive microbatches of one stage, Llama 3's N")
      ->default_str("--pipeline")
      ->excludes(config);
  verb.add_option("--schedule-file", arguments.file, "the CSV, with --schedule csv")->excludes(config);
}

}  // namespace

void add_schedule_command(CLI::App& app, Verb& chosen) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const verb = app.add_subcommand("schedule", "show the order in which pipeline ranks compute");
  verb->footer(kHelp);
  add_config_options(*verb, *arguments);
  add_key_options(*verb, *arguments);
  verb->add_option("--costs", arguments->costs,
                   "of a microbatch: forward, backward of inputs, and of weights")
      ->delimiter(',')
      ->expected(3)
      ->type_name("F,I,W")
      ->default_str("1,1,1");
  verb->add_option("--transfer", arguments->transfer, "time of a message, in the unit of --costs")
      ->capture_default_str();
  verb->add_option("--svg", arguments->svg, "write a picture to this file");
  verb->add_option("--csv", arguments->csv, "write the schedule as CSV to this file");
  verb->callback([arguments, &chosen] { chosen = [arguments] { return run(*arguments); }; });
}

}  // namespace drover
