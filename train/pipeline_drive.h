// What drives a rank's stages: the programs of a step and of an evaluation, the executor that runs them, and the stages
// as it sees them.
#pragma once

#include <memory>
#include <vector>

#include "parallel/pipeline/pipeline.h"
#include "train/evaluated.h"
#include "train/traced.h"

namespace drover {

// What this rank's pipeline does with so many microbatches.
struct StepProgram {
  std::int64_t microbatches = 0;
  PipelineProgram steps;
  std::vector<std::uint8_t> stretch_ends;  // by compute step
  std::vector<int> weight_stretches;       // by chunk
};

// Refers to a RankModel, which outlives this. Members are in order of construction; later ones refer to earlier ones.
struct PipelineDrive {
  std::vector<std::unique_ptr<TracedStage>> traced_stages;        // around the model's stages, in a profile
  std::vector<std::unique_ptr<EvaluatedStage>> evaluated_stages;  // none without hold-out
  std::vector<Stage*> driven, evaluated;                          // what the executor is given, by chunk
  std::unique_ptr<PipelineExecutor> pipeline;
  std::vector<StepProgram> programs;  // for every number of microbatches that a step can have
  StepProgram evaluation;             // for a turn of so many of the hold-out's
};

}  // namespace drover
