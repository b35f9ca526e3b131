// Execution of a pipeline schedule (parallel/pipeline/schedule.h) on one rank: one loop over the rank's program
// (parallel/pipeline/program.h), in which computing, sending and receiving are steps of equal standing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/memory.h"
#include "parallel/comm/communicator.h"
#include "parallel/pipeline/program.h"

namespace drover {

// What passes the edges of a stage: activations forward, their gradients backward. [S, D] compute dtype, S the tokens
// of a microbatch that a tensor rank holds whole; empty where the model begins or ends.
struct HandOver {
  Tensor in, out;
};

// Consecutive blocks on one pipeline rank (+ embedding on the first, + head and loss on the last): what the
// executor drives. Implemented by model/stage.h, so that parallel/ never learns of models. Microbatches are
// numbers into the step's batch that the implementation was given before. part_of_stretch
// (parallel/pipeline/schedule.h): after which actions gradients are reduced and weights released.
class Stage {
 public:
  virtual ~Stage() = default;
  // S of the microbatch; nothing is sent where it is 0.
  virtual std::int64_t hand_over_tokens(int microbatch) const = 0;
  virtual void forward(const Exec& exec, int microbatch, const HandOver& activations,
                       StretchPart part_of_stretch) = 0;
  virtual void backward_input(const Exec& exec, int microbatch, const HandOver& gradients,
                              StretchPart part_of_stretch) = 0;
  virtual void backward_weight(const Exec& exec, int microbatch, StretchPart part_of_stretch) = 0;
  // Both, block by block, so that what weight gradients need dies at once.
  virtual void backward(const Exec& exec, int microbatch, const HandOver& gradients,
                        StretchPart part_of_stretch) = 0;
};

class PipelineExecutor {
 public:
  struct Options {
    int buffers = 0;          // the most a program names
    std::int64_t tokens = 0;  // S of the largest microbatch
    std::int64_t hidden = 0;  // D
    DType compute = DType::float32;
  };
  // `pipeline` (Connections::pipeline) outlives this. One thread uses it; nothing allocates after construction.
  PipelineExecutor(Memory& memory, Communicator& pipeline, const Options& options);

  // One step, or one turn of evaluation. `stages`: of this rank, by chunk. ends[i]: whether the program's i-th compute
  // ends a stretch (stretch_ends).
  void run(const Exec& exec, const PipelineProgram& program, std::span<const std::uint8_t> ends,
           std::span<Stage* const> stages);

 private:
  Tensor buffer(int number, std::int64_t tokens) const;
  Pending& pending(int buffer) { return pending_[static_cast<std::size_t>(buffer)]; }
  void wait(const Exec& exec, int buffer) {
    if (buffer >= 0) pending(buffer).wait(exec);
  }
  void compute(const Exec& exec, const ProgramStep& step, Stage& stage, StretchPart part_of_stretch);
  void start_message(const Exec& exec, const ProgramStep& step, std::int64_t tokens);

  Communicator& pipeline_;
  Options options_;
  Buffer memory_;
  std::vector<Pending> pending_;  // by buffer
};

}  // namespace drover
