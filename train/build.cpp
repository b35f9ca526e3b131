#include <algorithm>

#include "model/initialise.h"
#include "optim/schedule.h"
#include "train/training.h"

namespace drover {

namespace {

// Layouts and devices whose execution is not there yet are refused here, by name, before anything is allocated
// (docs/design.md, "not there yet").
void refuse_unbuilt(const Mesh& mesh, const Config& config) {
  const ParallelConfig& parallel = config.parallel;
  if (config.device == "cuda")
    throw usage_error("device is cuda, which this version cannot run yet; set it to cpu or auto");
  for (Axis axis : {Axis::tensor, Axis::context, Axis::pipeline})
    if (mesh.size(axis) != 1)
      throw usage_error("parallel.", name_of(axis), " is ", mesh.size(axis),
                        ", which this version cannot run yet; set it to 1 and use "
                        "parallel.shard and parallel.replicate");
  if (parallel.virtual_stages != 1 || parallel.run_length || !parallel.schedule_file.empty())
    throw usage_error(
        "parallel.virtual_stages, run_length and schedule_file need a pipeline, which this version cannot "
        "run yet");
}

// For microbatches of that many tokens, and for the hold-out's.
StageOptions stage_options(const Training& t, std::int64_t microbatch_tokens) {
  const Config& config = t.config;
  std::int64_t longest = config.train.sequence_length;
  for (const PhaseConfig& phase : config.phases)
    longest = std::max(longest, phase.sequence_length.value_or(0));
  return {.model = config.model,
          .compute = dtype_named(config.train.dtype),
          .recompute = recompute_named(config.train.recompute),
          .max_tokens = std::max(microbatch_tokens, t.holdout ? t.holdout->max_microbatch_tokens() : 0),
          .max_positions = longest};
}

ContextShare context_share(const Training& t) {
  return {.rank = t.at.context,
          .ranks = t.mesh.size(Axis::context),
          .pieces = context_pieces_named(t.config.parallel.context_pieces)};
}

LoaderOptions loader_options(const Training& t, FaultInjection* faults) {
  LoaderOptions options{.phases = sampler_phases(t.config),
                        .feed = {.seed = static_cast<std::uint64_t>(t.config.run.seed),
                                 .region_tokens = t.config.data.region_tokens},
                        .data_rank = t.mesh.data_rank(t.at),
                        .data_ranks = t.mesh.data_ranks(),
                        .microbatch_sequences = static_cast<int>(t.config.train.microbatch_sequences),
                        .context = context_share(t),
                        .faults = faults};
  for (const auto& source : t.sources) options.sources.push_back(source.get());
  return options;
}

std::unique_ptr<Holdout> make_holdout(const Training& t, Memory& host) {
  if (!t.holdout_source) return nullptr;
  return std::make_unique<Holdout>(
      host, *t.holdout_source,
      HoldoutOptions{.sequence_length = t.config.train.sequence_length,
                     .max_rows = t.config.eval.sequences,
                     .data_rank = t.mesh.data_rank(t.at),
                     .data_ranks = t.mesh.data_ranks(),
                     .microbatch_sequences = static_cast<int>(t.config.train.microbatch_sequences),
                     .context = context_share(t)});
}

AxisValues axis_sizes(const ParallelConfig& p) {
  const auto narrow = [](std::int64_t value) { return static_cast<int>(value); };
  return {.tensor = narrow(p.tensor),
          .context = narrow(p.context),
          .pipeline = narrow(p.pipeline),
          .shard = narrow(p.shard),
          .replicate = narrow(p.replicate)};
}

}  // namespace

Mesh mesh_of(const Config& config, int ranks) {
  Mesh mesh = Mesh::fitting(ranks, axis_sizes(config.parallel));
  refuse_unbuilt(mesh, config);
  return mesh;
}

namespace {

// The mesh and what follows from it: values, then communicators.
std::unique_ptr<Training> start(const Config& config, const Platform& platform) {
  const Mesh mesh = mesh_of(config, platform.world.size());
  const std::int64_t steps = total_steps(config);
  validate(config.optimizer, steps);
  const AxisValues at = mesh.coordinate(platform.world.rank());
  auto t = std::unique_ptr<Training>(
      new Training{.config = config,
                   .total_steps = steps,
                   .mesh = mesh,
                   .at = at,
                   .table = parameter_table(config.model, mesh.size(Axis::tensor))});
  t->connections = connect(t->mesh, platform.world);
  if (platform.sent != nullptr) t->connections = metered(std::move(t->connections), *platform.sent);
  return t;
}

// Parameter groups and stage, for as many microbatches in flight as the schedule has of `microbatches`, and prepared
// for all `sizes` (tokens) that one can have.
void add_stage(Training& t, const Platform& platform, const StageOptions& options, std::int64_t microbatches,
               std::span<const std::int64_t> sizes) {
  const Timeline timeline =
      single_rank_timeline(schedule_named(t.config.parallel.schedule), static_cast<int>(microbatches));
  const StageSizes slots = measure_stage(options, count_slots(timeline), platform.backend, sizes);
  Memory& device = platform.backend.memory();
  t.groups = std::make_unique<ParameterGroups>(
      device, *t.connections.group, *t.connections.replicate,
      ParameterGroupsOptions{.layouts = group_layouts(t.config.model, t.table, t.at.tensor,
                                                      t.mesh.size(Axis::tensor), t.mesh.group_shards()),
                             .compute = options.compute,
                             .zero = zero_numbered(t.config.parallel.zero)});
  t.scratch_buffer = Buffer(device, slots.scratch_bytes, MemoryCategory::scratch);
  t.scratch = Arena(t.scratch_buffer, device.device());
  t.stage = std::make_unique<LlamaStage>(device, options, slots, *t.groups);
  t.numbers_buffer = Buffer(device, 2 * Arena::kAlignment, MemoryCategory::scratch);
  initialise({platform.backend, t.scratch}, t.table, *t.groups,
             static_cast<std::uint64_t>(t.config.run.seed));
}

}  // namespace

// The order, and why:
//  1. the mesh and the table of layouts are values: whatever is illegal is refused while nothing is allocated;
//  2. communicators next, because everything that is sized depends on this rank's place;
//  3. data before the model: the loader starts to read the first step on its thread, and knows the largest
//     microbatch;
//  4. the stage is measured by running it on shape-only tensors, so scratch and saved slots are exactly as
//     large as needed;
//  5. parameter groups and stage are allocated, then masters are drawn (a checkpoint overwrites them: launch/
//     decides).
std::unique_ptr<Training> build_training(const Config& config, const Platform& platform) {
  auto t = start(config, platform);
  t->sources = open_sources(config, platform.files);
  t->holdout_source = open_holdout(config, platform.files);
  t->loader = std::make_unique<Loader>(platform.host, loader_options(*t, platform.faults));
  t->holdout = make_holdout(*t, platform.host);
  add_stage(*t, platform, stage_options(*t, t->loader->max_microbatch_tokens()),
            t->loader->max_microbatches(), t->loader->microbatch_sizes());
  return t;
}

std::unique_ptr<Training> build_inference(const Config& config, const Platform& platform) {
  auto t = start(config, platform);
  t->holdout_source = open_holdout(config, platform.files);
  t->holdout = make_holdout(*t, platform.host);
  add_stage(*t, platform, stage_options(*t, config.train.sequence_length), 1, {});
  return t;
}

}  // namespace drover
