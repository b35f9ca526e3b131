// What the configuration makes of this rank's training, as values: nothing is allocated or sent, and the one file that
// is read is a schedule's CSV. What can be refused for the configuration alone is refused here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/files/filesystem.h"
#include "data/batch/loader.h"
#include "model/stage.h"
#include "parallel/mesh/mesh.h"
#include "parallel/pipeline/schedule.h"
#include "train/config.h"

namespace drover {

struct TrainingPlan {
  Config config;
  std::int64_t total_steps = 0;
  Mesh mesh;
  AxisValues at;  // this rank's coordinate
  ParameterTable table;
  Placement placement;           // of the pipeline's stages
  std::vector<StagePart> parts;  // this rank's stages, by chunk
};

// The pipeline's keys, without what microbatches and a CSV add; the whole schedule of a step; and the blocks of each
// stage, where the head costs as many as it has their multiplications and the embedding, which has none, nothing.
ScheduleOptions schedule_options(const ParallelConfig& parallel);
PipelineSchedule schedule_of(const Config& config, FileSystem& files, std::int64_t microbatches);
std::vector<std::int64_t> microbatches_of_phases(const Config& config,
                                                 const Mesh& mesh);  // on each data rank
std::vector<int> blocks_of_stages(const Config& config, int stages);

// The grid that the configuration makes of so many ranks. Error{usage} for one that cannot be run.
Mesh mesh_of(const Config& config, int ranks);

// Steps the configuration asks for, from train.steps or train.tokens and the phases.
std::int64_t total_steps(const Config& config);
// The longest row of any phase, in tokens.
std::int64_t longest_sequence(const Config& config);
// The phases as the sampler wants them; the first is the configuration's own train and data sections.
std::vector<Phase> sampler_phases(const Config& config);

// What the loader of the rank `at` is made with, but for the sources.
LoaderOptions loader_options(const Config& config, const Mesh& mesh, const AxisValues& at);

// Parsed forms of keys whose values are words. Error{usage} lists the legal ones.
Recompute recompute_named(const std::string& name);
Zero zero_numbered(std::int64_t number);

}  // namespace drover
