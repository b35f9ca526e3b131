#include "parallel/pipeline/pipeline.h"

#include "core/base/error.h"

namespace drover {

PipelineExecutor::PipelineExecutor(Memory& memory, Communicator& pipeline, const Options& options)
    : pipeline_(pipeline),
      options_(options),
      memory_(memory, options.buffers * options.tokens * options.hidden * size_of(options.compute),
              MemoryCategory::communication),
      pending_(static_cast<std::size_t>(options.buffers)) {}

Tensor PipelineExecutor::buffer(int number, std::int64_t tokens) const {
  if (number < 0) return {};
  const std::int64_t bytes = options_.tokens * options_.hidden * size_of(options_.compute);
  DROVER_CHECK(number < options_.buffers && tokens <= options_.tokens, "buffer ", number, " of ",
               options_.buffers, ", ", tokens, " of ", options_.tokens, " tokens");
  return memory_.tensor(options_.compute, {tokens, options_.hidden}, number * bytes);
}

void PipelineExecutor::compute(const Exec& exec, const ProgramStep& step, Stage& stage,
                               StretchPart part_of_stretch) {
  const int microbatch = step.action.microbatch;
  const std::int64_t tokens = stage.hand_over_tokens(microbatch);
  const HandOver hand_over{.in = buffer(step.input, tokens), .out = buffer(step.output, tokens)};
  switch (step.action.kind) {
    case ActionKind::forward:
      return stage.forward(exec, microbatch, hand_over, part_of_stretch);
    case ActionKind::backward:
      return stage.backward(exec, microbatch, hand_over, part_of_stretch);
    case ActionKind::backward_input:
      return stage.backward_input(exec, microbatch, hand_over, part_of_stretch);
    case ActionKind::backward_weight:
      return stage.backward_weight(exec, microbatch, part_of_stretch);
  }
}

void PipelineExecutor::start_message(const Exec& exec, const ProgramStep& step, std::int64_t tokens) {
  if (tokens == 0) return;
  const Tensor rows = buffer(step.buffer, tokens);
  pending(step.buffer) = step.kind == StepKind::send ? pipeline_.send(exec, rows, step.peer)
                                                     : pipeline_.recv(exec, rows, step.peer);
}

void PipelineExecutor::run(const Exec& exec, const PipelineProgram& program,
                           std::span<const std::uint8_t> ends, std::span<Stage* const> stages) {
  DROVER_CHECK(program.buffers <= options_.buffers, "a program of ", program.buffers, " buffers, room for ",
               options_.buffers);
  std::size_t computed = 0;
  for (const ProgramStep& step : program.steps) {
    if (step.kind == StepKind::compute) {
      wait(exec, step.input);
      wait(exec, step.output);
      compute(exec, step, *stages[static_cast<std::size_t>(step.action.chunk)],
              ends[computed++] != 0 ? StretchPart::last : StretchPart::middle);
    } else {
      wait(exec, step.buffer);
      start_message(exec, step, stages.front()->hand_over_tokens(step.microbatch));
    }
  }
  for (Pending& message : pending_) message.wait(exec);
}

}  // namespace drover
