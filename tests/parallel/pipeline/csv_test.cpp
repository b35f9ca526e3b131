#include "parallel/pipeline/csv.h"

#include <random>

#include "core/base/error.h"
#include "parallel/pipeline/simulate.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

std::string refusal(std::string_view text) {
  try {
    read_schedule_csv(text, "s.csv");
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::input);
    return error.what();
  }
  return "not refused";
}

std::string usage_refusal(const ScheduleOptions& options) {
  try {
    make_schedule(options);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::usage);
    return error.what();
  }
  return "not refused";
}

bool starts(const std::string& text, std::string_view part) { return text.starts_with(part); }

}  // namespace

TEST_CASE("a file by hand: comments, spaces, waiting, carriage returns, no last line feed") {
  const PipelineSchedule schedule =
      read_schedule_csv("# two ranks\n\n 0F0, 0F1,,0B0,0B1\r\n,1F0,1I0,1F1,1W0,1B1,", "s.csv");
  CHECK(schedule.placement == Placement::round_robin(2, 1));
  CHECK(schedule.microbatches == 2);
  CHECK(describe(schedule.timelines[1]) == "0F0 0I0 0F1 0W0 0B1");
  CHECK_NOTHROW(simulate(schedule));
}

TEST_CASE("every schedule reads back from its CSV, placement included") {
  for (Schedule name :
       {Schedule::gpipe, Schedule::one_f_one_b, Schedule::interleaved, Schedule::zb_h1, Schedule::zb_v}) {
    const PipelineSchedule schedule =
        make_schedule({.schedule = name, .ranks = 3, .chunks = default_chunks(name), .microbatches = 7});
    const PipelineSchedule read = read_schedule_csv(schedule_csv(schedule), "s.csv");
    CHECK(read.placement == schedule.placement);
    CHECK(read.microbatches == 7);
    CHECK(read.timelines == schedule.timelines);
  }
}

TEST_CASE("a placement that is neither round robin nor V comes from the lines") {
  const PipelineSchedule schedule = read_schedule_csv("0F0,1F0,1B0,0B0\n2F0,3F0,3B0,2B0\n", "s.csv");
  CHECK(schedule.placement.at(1) == StagePlace{.rank = 0, .chunk = 1});
  CHECK(schedule.placement.at(2) == StagePlace{.rank = 1, .chunk = 0});
  CHECK_NOTHROW(simulate(schedule));
}

TEST_CASE("bad files are refused with the line and the fault") {
  CHECK(starts(refusal(""), "s.csv: has no actions"));
  CHECK(starts(refusal("# only a comment\n"), "s.csv: has no actions"));
  CHECK(starts(refusal("0F0,0B0\n\n,,\n"), "s.csv:3: a rank without actions"));
  for (const char* word :
       {"0G0", "F0", "0F", "0", "-1F0", "0F-1", "0F0x", "+0F0", "0 F0", "99999999999F0", "0f0"})
    CHECK(starts(refusal(cat("# x\n0F0,", word, "\n")), cat("s.csv:2: '", word, "' is no action")));
  CHECK(starts(refusal("0F0,0B0\n0F1,1F0,1B0\n"), "s.csv:2: stage 0 is on line 1 already"));
  CHECK(starts(refusal("0F0,0B0\n2F0,2B0\n"), "s.csv:2: there is a stage 2 and no stage 1"));
  CHECK(starts(refusal("0F0,1F0,1B0,0B0\n2F0,2B0\n"), "s.csv:2: has 1 stages, and the first rank has 2"));
  CHECK(starts(refusal("0F0,0B0,0F7,0B7\n"), "s.csv:1: microbatch 7 in a file of 4 actions"));
  CHECK(starts(refusal("0F0,0B0,0F2,0B2\n"), "s.csv:1: 1 stages and 3 microbatches need at least 6 actions"));
  CHECK(starts(refusal("0F0,0B0,0B0,0F1\n"), "s.csv:1: 0B0 comes twice or too early"));
  CHECK(starts(refusal("0B0,0F0\n"), "s.csv:1: 0B0 comes twice or too early"));
  CHECK(starts(refusal("0F0,0W0,0I0\n"), "s.csv:1: 0W0 comes twice or too early"));
  CHECK(starts(refusal("0F0,0I0\n"), "s.csv: stage 0 never ends microbatch 0"));
  CHECK(starts(refusal("0F0,0B0,0F1,0B1\n1F0,1F1,1B0,1B1\n"),
               "s.csv: parallel.schedule: pipeline rank 0 waits"));
}

TEST_CASE("a stage number beyond all others allocates nothing for those between") {
  CHECK(
      starts(refusal("2147483647F0,2147483647B0\n"), "s.csv:1: there is a stage 2147483647 and no stage 0"));
  CHECK(starts(refusal("0F2147483647,0B0\n"), "s.csv:1: microbatch 2147483647 in a file of 2 actions"));
}

TEST_CASE("a file with damaged bytes is read as a schedule that runs, or refused as input: 3000 draws") {
  const std::string good =
      schedule_csv(make_schedule({.schedule = Schedule::zb_v, .ranks = 2, .chunks = 2, .microbatches = 3}));
  constexpr std::string_view kBytes = "0123456789FBIW,\n#- \0x";
  std::mt19937 random(7);
  int refused = 0;
  for (int draw = 0; draw < 3000; ++draw) {
    std::string text = good;
    for (int i = 0; i < 1 + draw % 3; ++i) text[random() % text.size()] = kBytes[random() % kBytes.size()];
    try {
      simulate(read_schedule_csv(text, "s.csv"));
    } catch (const Error& error) {
      CHECK(error.exit() == Exit::input);
      ++refused;
    }
  }
  CHECK(refused > 2000);
  CHECK(refused < 3000);
}

TEST_CASE("a file must fit the run: ranks, stages a rank, microbatches") {
  const ScheduleOptions options{
      .schedule = Schedule::csv, .ranks = 1, .microbatches = 1, .csv = "0F0,0B0", .csv_path = "s.csv"};
  CHECK(make_schedule(options).timelines[0].size() == 2);
  ScheduleOptions other = options;
  other.ranks = 2;
  CHECK(starts(usage_refusal(other), "parallel.pipeline is 2, and s.csv has 1 ranks"));
  other = options;
  other.chunks = 2;
  CHECK(starts(usage_refusal(other), "parallel.virtual_stages is 2, and s.csv has 1 stages a rank"));
  other = options;
  other.microbatches = 4;
  CHECK(starts(usage_refusal(other), "parallel.schedule_file s.csv is for 1 microbatches, and a step has 4"));
}
