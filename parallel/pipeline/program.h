// The pass that weaves messages into a rank's timeline.
//
// A hand-over between stages goes through a buffer: the producer's output, the consumer's input; all buffers have one
// size. Between two ranks it is a message: the producer's buffer is sent, a buffer of the consumer's rank is received
// into. Between two chunks of one rank it is a move: one buffer, no message.
//
// Messages have no tags (parallel/comm/communicator.h): the k-th receive posted for an ordered pair of ranks is the k-th
// send of that pair. So sends follow their computes, and receives are posted in the order of the sender's timeline,
// each before the action in front of the one that reads it, or earlier where a later message of the pair is due.
// Activations and gradients of one ordered pair share that order.
//
// Buffers are allocated in the one order of parallel/pipeline/order.h, which every rank computes alike: a sent buffer
// is free again once the peer's compute that reads the message has its turn in that order. Therefore whatever the
// executor waits for (a message on a buffer it is about to use) lies earlier in the order, and no schedule that has
// an order can deadlock, under rendezvous and for any costs.
//
// The executor, for each step: wait for what is pending on the buffers it names; then compute, or start the message
// and note it as pending on its buffer. At the end it waits for all. Where a microbatch is empty, both ends leave its
// messages out; compute steps stay (they issue the gathers and reductions).
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/pipeline/schedule.h"

namespace drover {

enum class StepKind : std::uint8_t { compute, receive, send };
enum class Direction : std::uint8_t { activation, gradient };

struct ProgramStep {
  StepKind kind = StepKind::compute;

  Action action;  // compute
  int input = -1,
      output = -1;  // compute: buffers; -1: none. The model's first forward has no input, its last no
                    // output; backward mirrors that; backward_weight has neither.

  int buffer = -1;  // receive, send
  int peer = -1;    // rank in the pipeline
  int microbatch = 0;
  Direction direction = Direction::activation;

  bool operator==(const ProgramStep&) const = default;
};

struct PipelineProgram {
  std::vector<ProgramStep> steps;
  int buffers = 0;  // how many the steps name
};

// "recv 1 <- rank 0 (activation 3)", "0F3 1 -> 2", "send 2 -> rank 2 (activation 3)"
std::string describe(const ProgramStep& step);

// The program of every rank of the pipeline. Error{usage} where the schedule has no order.
std::vector<PipelineProgram> programs_of(const PipelineSchedule& schedule);
// Of one rank. Costs what all cost: milliseconds at 16 ranks with 8 chunks and 16 microbatches.
PipelineProgram program_of(const PipelineSchedule& schedule, int rank);

}  // namespace drover
