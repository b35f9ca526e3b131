// One rank's training, composed: the page that says in which order everything is put together, and why, is
// build.cpp.
#pragma once

#include <memory>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/files/filesystem.h"
#include "data/batch/holdout.h"
#include "data/batch/loader.h"
#include "model/stage.h"
#include "parallel/fsdp/shared_gradients.h"
#include "parallel/mesh/metered_comm.h"
#include "train/config.h"
#include "train/evaluated.h"
#include "train/traced.h"

namespace drover {

// What a run stands on: made by launch/ (or by a test) and outlives everything below. Device memory and
// backend belong together.
struct Platform {
  Communicator& world;
  Backend& backend;
  Memory& host;
  FileSystem& files;
  SentBytes* sent = nullptr;      // where traffic is counted; null: it is not
  PlantedBug* planted = nullptr;  // core/watch/planted_bug.h; null: none is planted
  Trace* trace = nullptr;         // where operations between ranks and stages are watched; null: nowhere
};

// What this rank's pipeline does with so many microbatches.
struct StepProgram {
  std::int64_t microbatches = 0;
  PipelineProgram steps;
  std::vector<std::uint8_t> stretch_ends;  // by compute step
  std::vector<int> weight_stretches;       // by chunk
};

// Members are in order of construction; later ones refer to earlier ones.
struct Training {
  Config config;
  std::int64_t total_steps = 0;
  Mesh mesh;
  AxisValues at;  // this rank's coordinate
  ParameterTable table;
  Placement placement;           // of the pipeline's stages
  std::vector<StagePart> parts;  // this rank's stages, by chunk
  Connections connections;
  std::vector<std::unique_ptr<TokenSource>> sources;  // in config order
  std::unique_ptr<TokenSource> holdout_source;        // null when the configuration names none
  std::unique_ptr<Loader> loader;                     // null for inference
  std::unique_ptr<Holdout> holdout;
  std::unique_ptr<ParameterGroups> groups;
  std::unique_ptr<SharedGradients> shared_gradients;
  std::unique_ptr<Regions> regions;
  Buffer scratch_buffer;
  Arena scratch;
  std::vector<std::unique_ptr<LlamaStage>> stages;                // by chunk
  std::vector<std::unique_ptr<TracedStage>> traced_stages;        // around them, in a profile
  std::vector<std::unique_ptr<EvaluatedStage>> evaluated_stages;  // none without hold-out
  std::vector<Stage*> driven, evaluated;                          // what the pipeline drives, by chunk
  std::unique_ptr<PipelineExecutor> pipeline;
  std::vector<StepProgram> programs;  // for every number of microbatches that a step can have
  StepProgram evaluation;             // for a turn of so many of the hold-out's
  Buffer numbers_buffer;              // host memory: the scalars that ranks add up in a step
};

// Composes all of the above for this rank, weights initialised from the seed, positioned before step 0.
// Collective over the world. Illegal layouts and sizes are refused (Error{usage}) before anything large is
// allocated.
std::unique_ptr<Training> build_training(const Config& config, const Platform& platform);
// The same without sources and loader, for evaluation and generation: what is fed comes from the hold-out, the only
// token store that is opened (none where the configuration names none), or a prompt of at most train.sequence_length
// tokens.
std::unique_ptr<Training> build_inference(const Config& config, const Platform& platform);

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

// What the CPU backend of a rank is made with. Error{usage} for a path that this processor has not.
CpuOptions cpu_options(const Config& config, int threads);

// What the loader of the rank `at` is made with, but for the sources.
LoaderOptions loader_options(const Config& config, const Mesh& mesh, const AxisValues& at);

// Error{usage} for sources that cannot be meant, as far as no file is needed.
void check_sources(const DataConfig& data);
// The sources in config order, opened and checked against the model's vocabulary and each other's tokenizer.
// Error{input} says what to do.
std::vector<std::unique_ptr<TokenSource>> open_sources(const Config& config, FileSystem& files);
// Null where the configuration names none. Checked against the tokenizer of token stores among the `sources`.
std::unique_ptr<TokenSource> open_holdout(const Config& config, FileSystem& files,
                                          const std::vector<std::unique_ptr<TokenSource>>& sources = {});
// Reads the tokenizer that the configuration names, if it names one. Error{input} when it is none, or did not make the
// sources: then what is generated later would be no text.
void check_tokenizer(const Config& config, const std::vector<std::unique_ptr<TokenSource>>& sources);

// Parsed forms of keys whose values are words. Error{usage} lists the legal ones.
Recompute recompute_named(const std::string& name);
Zero zero_numbered(std::int64_t number);

}  // namespace drover
