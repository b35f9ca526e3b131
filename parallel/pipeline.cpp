#include "parallel/pipeline.h"

#include "core/error.h"

namespace drover {

PipelineExecutor::PipelineExecutor(Memory& memory, Communicator& pipeline, const Options& options,
                                   std::vector<Stage*> stages)
    : pipeline_(pipeline),
      options_(options),
      stages_(std::move(stages)),
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

void PipelineExecutor::compute(const Exec& exec, const ProgramStep& step, RunPart part_of_run) {
  const auto& [kind, chunk, microbatch] = step.action;
  Stage& stage = *stages_[static_cast<std::size_t>(chunk)];
  const std::int64_t tokens = stage.hand_over_tokens(microbatch);
  const HandOver hand_over{.in = buffer(step.input, tokens), .out = buffer(step.output, tokens)};
  switch (kind) {
    case ActionKind::forward:
      return stage.forward(exec, microbatch, hand_over, part_of_run);
    case ActionKind::backward:
      return stage.backward(exec, microbatch, hand_over, part_of_run);
    case ActionKind::backward_input:
      return stage.backward_input(exec, microbatch, hand_over, part_of_run);
    case ActionKind::backward_weight:
      return stage.backward_weight(exec, microbatch, part_of_run);
  }
}

void PipelineExecutor::start_message(const Exec& exec, const ProgramStep& step) {
  const std::int64_t tokens = stages_.front()->hand_over_tokens(step.microbatch);
  if (tokens == 0) return;
  const Tensor rows = buffer(step.buffer, tokens);
  pending(step.buffer) = step.kind == StepKind::send ? pipeline_.send(exec, rows, step.peer)
                                                     : pipeline_.recv(exec, rows, step.peer);
}

void PipelineExecutor::run(const Exec& exec, const PipelineProgram& program,
                           std::span<const std::uint8_t> ends) {
  DROVER_CHECK(program.buffers <= options_.buffers, "a program of ", program.buffers, " buffers, room for ",
               options_.buffers);
  std::size_t computed = 0;
  for (const ProgramStep& step : program.steps) {
    if (step.kind == StepKind::compute) {
      wait(exec, step.input);
      wait(exec, step.output);
      compute(exec, step, ends[computed++] != 0 ? RunPart::last : RunPart::middle);
    } else {
      wait(exec, step.buffer);
      start_message(exec, step);
    }
  }
  for (Pending& message : pending_) message.wait(exec);
}

void PipelineExecutor::evaluate(const Exec& exec, const Placement& placement, std::int64_t tokens,
                                FunctionRef<void(int chunk, const HandOver& activations)> verb) {
  const int rank = pipeline_.rank(), last = placement.stages() - 1;
  for (int stage = 0; stage <= last; ++stage) {
    if (placement.at(stage).rank != rank) continue;
    const Tensor in = stage == 0 ? Tensor{} : buffer(stage % 2, tokens),
                 out = stage == last ? Tensor{} : buffer((stage + 1) % 2, tokens);
    const bool receives = stage > 0 && placement.at(stage - 1).rank != rank;
    const bool sends = stage < last && placement.at(stage + 1).rank != rank;
    if (receives && tokens > 0) pipeline_.recv(exec, in, placement.at(stage - 1).rank).wait(exec);
    verb(placement.at(stage).chunk, {.in = in, .out = out});
    if (sends && tokens > 0) pipeline_.send(exec, out, placement.at(stage + 1).rank).wait(exec);
  }
}

}  // namespace drover
