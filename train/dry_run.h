// What a run would take of a rank, found without computing: the real program is built and takes its first step on
// shape-only tensors under the counting backend, talking to nobody. Data is read for real, so the counts are those of
// the step's own documents.
#pragma once

#include <array>

#include "core/files/filesystem.h"
#include "core/ops/counting_backend.h"
#include "core/tensor/memory.h"
#include "parallel/mesh/metered_comm.h"
#include "train/config.h"

namespace drover {

struct DryRunOptions {
  int ranks = 1;
  int rank = 0;
  int threads = 1;  // of each rank: they need scratch
};

struct DryRun {
  AxisValues at;                // the rank's place in the mesh
  std::int64_t parameters = 0;  // that the rank multiplies with: of its stages, and its tensor part of them
  std::array<std::int64_t, kMemoryCategories> bytes{};  // high-water marks, by category
  WorkCount work;                                       // of the rank in the step: recompute is work, too
  SentBytes sent{};                                     // by the rank in the step
  std::int64_t step_tokens = 0;                         // of all ranks
  double step_flops = 0;                                // of the model on all ranks (training_flops)

  std::int64_t total_bytes() const;
};

// Error{usage} and Error{input} as build_training. Memory: of one rank's batches.
DryRun dry_run(const Config& config, FileSystem& files, const DryRunOptions& options);

}  // namespace drover
