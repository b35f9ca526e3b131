// `drover train --dry-run`: what every rank of a run would hold, compute and send in a step, as a table.
#pragma once

#include <string>
#include <vector>

#include "launch/config/run_config.h"
#include "train/dry_run.h"

namespace drover {

struct DryTrainOptions {
  int ranks = 1;
  int threads = 1;  // of each rank
};

// Up to this many ranks are all looked at; of more, the first rank of every pipeline rank.
constexpr int kMostDryRanks = 64;

// Token stores that are not there (yet) are replaced by synthetic documents, which the text says; all else that a run
// would refuse is refused. Lines ending in a newline.
std::string dry_train(FileSystem& files, const RunConfig& run, const DryTrainOptions& options);

// A row for every rank, or for neighbouring ranks whose numbers are equal; columns that are zero everywhere are left
// out. Pure.
struct DryRank {
  int rank = 0;
  DryRun run;
};
std::string dry_run_table(const std::vector<DryRank>& ranks);

}  // namespace drover
