// Schedules written by hand or by other programs (parallel.schedule: csv, parallel.schedule_file).
//
//   # two ranks, 1F1B, two microbatches
//   0F0,0F1,0B0,0B1
//   1F0,1B0,1F1,1B1
//
// One line per pipeline rank, first rank first; words are separated by commas and run in order. A word is
// STAGE KIND MICROBATCH: a stage of the whole model, numbered in the order that a token passes them; F forward, B
// backward, or I and W, backward of inputs and of weights; a microbatch of the step. Both count from 0. Spaces, empty
// words (a rank that waits), empty lines and lines that begin with # are passed over. These are the words and lines
// of PyTorch's pipelining schedules (_dump_csv), compute only.
//
// So the file also says where stages lie: a stage is on the rank whose line names it, and the stages of a rank are
// its chunks in ascending order. All ranks have the same number of stages. Each stage computes every microbatch once:
// one F before one B, or before one I before one W.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "parallel/pipeline/schedule.h"

namespace drover {

// The most that is read of a file, which is more than any schedule needs.
constexpr std::int64_t kMostScheduleBytes = 64 << 20;

// The text is untrusted. Error{input} with path and line: a word that is none, a stage on two lines, a microbatch
// that is missing, repeated or out of order, ranks with different numbers of stages, a schedule in which every rank
// waits for another. `path` is for messages.
PipelineSchedule read_schedule_csv(std::string_view text, std::string_view path);

// Reads back as the same schedule, apart from stretch.
std::string schedule_csv(const PipelineSchedule& schedule);

}  // namespace drover
