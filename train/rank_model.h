// The model as this rank holds it: its shards of the parameters, its stages, and the scratch memory that both compute in.
#pragma once

#include <memory>
#include <vector>

#include "core/tensor/memory.h"
#include "model/stage.h"
#include "parallel/fsdp/parameter_group.h"
#include "parallel/fsdp/shared_gradients.h"

namespace drover {

// Members are in order of construction; later ones refer to earlier ones.
struct RankModel {
  std::unique_ptr<Regions> regions;
  std::unique_ptr<ParameterGroups> groups;
  std::unique_ptr<SharedGradients> shared_gradients;
  Buffer scratch_buffer;  // as large as the stage that needs most
  Arena scratch;
  std::vector<std::unique_ptr<LlamaStage>> stages;  // by chunk
};

}  // namespace drover
