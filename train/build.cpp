#include <algorithm>
#include <set>

#include "model/initialise.h"
#include "optim/schedule.h"
#include "train/training.h"

namespace drover {

namespace {

// Refused here, before anything is allocated.
void refuse_unbuilt(const Config& config) {
  if (config.device == "cuda")
    throw usage_error("device is cuda, which this version cannot run yet; set it to cpu or auto");
}

// Every tensor and context rank holds an equal part of a row.
void require_whole_parts(const Mesh& mesh, const Config& config) {
  const std::int64_t parts = std::int64_t{mesh.size(Axis::tensor)} * mesh.size(Axis::context);
  for (const Phase& phase : sampler_phases(config))
    if (phase.sequence_length % parts != 0)
      throw usage_error("sequence_length is ", phase.sequence_length,
                        ", which parallel.tensor x parallel.context = ", mesh.size(Axis::tensor), " x ",
                        mesh.size(Axis::context),
                        " does not divide; nearest: ", nearest_multiples(phase.sequence_length, parts));
}

// For microbatches of that many tokens, and for the hold-out's.
StageOptions stage_options(const Training& t, const StagePart& part, std::int64_t microbatch_tokens) {
  const Config& config = t.plan.config;
  return {
      .model = config.model,
      .part = part,
      .compute = dtype_named(config.train.dtype),
      .recompute = recompute_named(config.train.recompute),
      .max_tokens = std::max(microbatch_tokens, t.data.holdout ? t.data.holdout->max_microbatch_tokens() : 0),
      .max_positions = longest_sequence(config)};
}

LoaderOptions loader_options(const Training& t, PlantedBug* planted) {
  LoaderOptions options = loader_options(t.plan.config, t.plan.mesh, t.plan.at);
  options.planted = planted;
  for (const auto& source : t.data.sources) options.sources.push_back(source.get());
  return options;
}

std::unique_ptr<Holdout> make_holdout(const Training& t, Memory& host) {
  if (!t.data.holdout_source) return nullptr;
  return std::make_unique<Holdout>(
      host, *t.data.holdout_source,
      HoldoutOptions{.sequence_length = t.plan.config.train.sequence_length,
                     .max_rows = t.plan.config.eval.sequences,
                     .data_rank = t.plan.mesh.data_rank(t.plan.at),
                     .data_ranks = t.plan.mesh.data_ranks(),
                     .microbatch_sequences = static_cast<int>(t.plan.config.train.microbatch_sequences),
                     .context = loader_options(t.plan.config, t.plan.mesh, t.plan.at).context});
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
  refuse_unbuilt(config);
  const Mesh mesh = Mesh::fitting(ranks, axis_sizes(config.parallel));
  require_whole_parts(mesh, config);
  return mesh;
}

namespace {

// One for every number of microbatches that a step of some phase has.
std::vector<PipelineSchedule> schedules_of(const Config& config, FileSystem& files, const Mesh& mesh) {
  const std::vector<std::int64_t> counts = microbatches_of_phases(config, mesh);
  std::vector<PipelineSchedule> schedules;
  for (const std::int64_t count : std::set(counts.begin(), counts.end()))
    schedules.push_back(schedule_of(config, files, count));
  return schedules;
}

// The stages of this rank, by chunk.
std::vector<StagePart> stage_parts(const Config& config, const Placement& placement, int rank) {
  const std::vector<int> blocks = blocks_of_stages(config, placement.stages());
  std::vector<StagePart> parts(static_cast<std::size_t>(placement.chunks()));
  std::int64_t begin = 0;
  for (int stage = 0; stage < placement.stages(); ++stage) {
    const std::int64_t end = begin + blocks[static_cast<std::size_t>(stage)];
    const auto [at, chunk] = placement.at(stage);
    if (at == rank)
      parts[static_cast<std::size_t>(chunk)] = {
          .stage = stage, .stages = placement.stages(), .begin = begin, .end = end};
    begin = end;
  }
  return parts;
}

// Which ranks share parameters: kv heads fewer than tensor ranks, a tied table at both ends of the pipeline.
SharedBetween shared_between(const Config& config, const Mesh& mesh, const Placement& placement) {
  SharedBetween shared{.tensor_copies = static_cast<int>(std::max<std::int64_t>(
                           1, mesh.size(Axis::tensor) / config.model.num_key_value_heads))};
  if (config.model.tie_word_embeddings)
    shared.tied_pipeline = {placement.at(0).rank, placement.at(placement.stages() - 1).rank};
  return shared;
}

// The mesh and what follows from it: values, then communicators.
std::unique_ptr<Training> start(const Config& config, const Platform& platform, const Placement& placement) {
  const Mesh mesh = mesh_of(config, platform.world.size());
  const std::int64_t steps = total_steps(config);
  validate(config.optimizer, steps);
  const AxisValues at = mesh.coordinate(platform.world.rank());
  auto t = std::unique_ptr<Training>(
      new Training{.plan = {.config = config,
                            .total_steps = steps,
                            .mesh = mesh,
                            .at = at,
                            .table = parameter_table(config.model, mesh.size(Axis::tensor)),
                            .placement = placement,
                            .parts = stage_parts(config, placement, at.pipeline)}});
  const SharedBetween shared = shared_between(config, mesh, placement);
  t->connections = platform.backend.memory().shapes_only()
                       ? shape_connections(mesh, platform.world.rank(), shared)
                       : connect(mesh, platform.world, shared);
  if (platform.sent != nullptr) t->connections = metered(std::move(t->connections), *platform.sent);
  if (platform.trace != nullptr) t->connections = traced(std::move(t->connections), *platform.trace);
  t->model.regions = std::make_unique<Regions>(Regions{.tensor = TensorRegion(*t->connections.tensor),
                                                       .context = ContextRegion(*t->connections.context)});
  return t;
}

// What a pipeline rank must have room for.
struct PipelineNeeds {
  std::vector<SlotCount> slots;  // by chunk
  bool fused = false;            // some backward is not split
  std::int64_t groups_per_stretch = 1;
  std::int64_t gathered_at_once = 0;  // blocks
  int buffers = 0;
};

WeightUse weight_use(const TrainingPlan& plan) {
  WeightUse use{.by_backward_weight = recompute_named(plan.config.train.recompute) != Recompute::none};
  for (const StagePart& part : plan.parts) use.blocks.push_back(part.blocks());
  return use;
}

// Where a stretch is longer than one microbatch, all blocks of a stage hold gradients during it.
void add_needs(const PipelineSchedule& schedule, const TrainingPlan& plan, PipelineNeeds& needs) {
  const Timeline& timeline = schedule.timelines[static_cast<std::size_t>(plan.at.pipeline)];
  for (std::size_t chunk = 0; chunk < plan.parts.size(); ++chunk) {
    const SlotCount count = count_slots(timeline, static_cast<int>(chunk));
    SlotCount& most = needs.slots[chunk];
    most = {.saved = std::max(most.saved, count.saved), .weight = std::max(most.weight, count.weight)};
    if (longest_stretch(timeline, schedule.stretch) > 1)
      needs.groups_per_stretch = std::max(needs.groups_per_stretch, plan.parts[chunk].blocks());
  }
  needs.gathered_at_once =
      std::max(needs.gathered_at_once, most_gathered(timeline, schedule.stretch, weight_use(plan)));
  for (const Action& action : timeline) needs.fused |= action.kind == ActionKind::backward;
}

// For any of the schedules; more microbatches do not always need more.
PipelineNeeds needs_of(std::span<const PipelineSchedule> schedules, const Training& t) {
  PipelineNeeds needs{.slots = std::vector<SlotCount>(t.plan.parts.size()),
                      .buffers = t.drive.evaluation.steps.buffers};
  for (const PipelineSchedule& schedule : schedules) add_needs(schedule, t.plan, needs);
  for (const StepProgram& program : t.drive.programs)
    needs.buffers = std::max(needs.buffers, program.steps.buffers);
  return needs;
}

StepProgram step_program(const PipelineSchedule& schedule, int rank) {
  const Timeline& timeline = schedule.timelines[static_cast<std::size_t>(rank)];
  StepProgram program{.microbatches = schedule.microbatches,
                      .steps = program_of(schedule, rank),
                      .stretch_ends = stretch_ends(timeline, schedule.stretch)};
  for (int chunk = 0; chunk < schedule.placement.chunks(); ++chunk)
    program.weight_stretches.push_back(weight_stretches(timeline, schedule.stretch, chunk));
  return program;
}

void add_programs(Training& t, std::span<const PipelineSchedule> schedules) {
  for (const PipelineSchedule& schedule : schedules)
    t.drive.programs.push_back(step_program(schedule, t.plan.at.pipeline));
  // The hold-out's microbatches pass by turns of as many as a step has.
  if (t.data.holdout) t.drive.evaluation = step_program(forward_of(schedules.front()), t.plan.at.pipeline);
}

void add_groups(Training& t, const Platform& platform, const PipelineNeeds& needs) {
  Memory& device = platform.backend.memory();
  t.model.groups = std::make_unique<ParameterGroups>(
      device, *t.connections.group, *t.connections.replicate,
      ParameterGroupsOptions{.layouts = group_layouts(t.plan.config.model, t.plan.table, t.plan.parts,
                                                      {.tensor_rank = t.plan.at.tensor,
                                                       .tensor_ranks = t.plan.mesh.size(Axis::tensor),
                                                       .shards = t.plan.mesh.group_shards()}),
                             .compute = dtype_named(t.plan.config.train.dtype),
                             .zero = zero_numbered(t.plan.config.parallel.zero),
                             .groups_per_stretch = needs.groups_per_stretch,
                             .gathered_at_once = needs.gathered_at_once});
  const bool shares = t.plan.config.model.tie_word_embeddings && t.connections.tied->size() > 1;
  t.model.shared_gradients = std::make_unique<SharedGradients>(device, t.plan.table, *t.model.groups,
                                                               t.connections, shares ? 0 : -1);
}

// What is fed: the largest microbatch, and the other sizes that the backend is prepared for, in tokens.
struct Fed {
  std::int64_t tokens = 0;
  std::vector<std::int64_t> sizes;
};

// The stages, and the scratch that the largest of them needs.
void add_stages(Training& t, const Platform& platform, const PipelineNeeds& needs, const Fed& fed) {
  Memory& device = platform.backend.memory();
  const std::vector<int> groups = groups_of(t.plan.config.model, t.plan.parts);
  std::int64_t scratch = 0;
  for (std::size_t chunk = 0; chunk < t.plan.parts.size(); ++chunk) {
    const StageOptions options = stage_options(t, t.plan.parts[chunk], fed.tokens);
    const StageSizes sizes = measure_stage({.options = options,
                                            .slots = needs.slots[chunk],
                                            .fused = needs.fused,
                                            .tensor_ranks = t.plan.mesh.size(Axis::tensor),
                                            .context_ranks = t.plan.mesh.size(Axis::context)},
                                           platform.backend, fed.sizes);
    scratch = std::max(scratch, sizes.scratch_bytes);
    t.model.stages.push_back(
        std::make_unique<LlamaStage>(device, options, sizes, groups, *t.model.groups, *t.model.regions));
  }
  t.model.scratch_buffer = Buffer(device, scratch, MemoryCategory::scratch);
  t.model.scratch = Arena(t.model.scratch_buffer, device.device());
}

// What the pipeline drives.
void add_driven(Training& t, Trace* trace) {
  for (const auto& stage : t.model.stages) {
    t.drive.driven.push_back(
        trace == nullptr
            ? static_cast<Stage*>(stage.get())
            : t.drive.traced_stages.emplace_back(std::make_unique<TracedStage>(*stage, *trace)).get());
    if (t.data.holdout)
      t.drive.evaluated.push_back(t.drive.evaluated_stages
                                      .emplace_back(std::make_unique<EvaluatedStage>(*stage, *t.data.holdout,
                                                                                     t.model.regions->tensor))
                                      .get());
  }
}

void add_pipeline(Training& t, const Platform& platform, const PipelineNeeds& needs, const Fed& fed) {
  const StageOptions options = stage_options(t, t.plan.parts.front(), fed.tokens);
  t.drive.pipeline = std::make_unique<PipelineExecutor>(
      platform.backend.memory(), *t.connections.pipeline,
      PipelineExecutor::Options{.buffers = needs.buffers,
                                .tokens = t.model.regions->tensor.shard_tokens(options.max_tokens),
                                .hidden = t.plan.config.model.hidden_size,
                                .compute = options.compute});
}

// The model of this rank and what moves between ranks, with weights drawn from the seed.
void add_model(Training& t, const Platform& platform, std::span<const PipelineSchedule> schedules,
               const Fed& fed) {
  add_programs(t, schedules);
  const PipelineNeeds needs = needs_of(schedules, t);
  add_groups(t, platform, needs);
  add_stages(t, platform, needs, fed);
  add_driven(t, platform.trace);
  add_pipeline(t, platform, needs, fed);
  initialise({platform.backend, t.model.scratch}, t.plan.table, *t.model.groups,
             static_cast<std::uint64_t>(t.plan.config.run.seed));
}

}  // namespace

// The order, and why:
//  1. the mesh, the schedule and the table of layouts are values: whatever is illegal is refused while nothing is
//     allocated;
//  2. communicators next, because everything that is sized depends on this rank's place;
//  3. data before the model: the loader starts to read the first step on its thread, and knows the largest
//     microbatch;
//  4. the stages are measured by running them on shape-only tensors, so scratch and saved slots are exactly as
//     large as needed;
//  5. parameter groups and stages are allocated, then masters are drawn (a checkpoint overwrites them: launch/
//     decides).
CpuOptions cpu_options(const Config& config, int threads) {
  CpuOptions options{.threads = threads};
  if (config.cpu_path == "auto") return options;
  const auto path = cpu_path_named(config.cpu_path);
  DROVER_CHECK(path, "the configuration's description lets no other name pass: ", config.cpu_path);
  options.path = *path;
  return options;
}

std::unique_ptr<Training> build_training(const Config& config, const Platform& platform) {
  const std::vector<PipelineSchedule> schedules =
      schedules_of(config, platform.files, mesh_of(config, platform.world.size()));
  auto t = start(config, platform, schedules.front().placement);
  t->data.sources = open_sources(config, platform.files);
  t->data.holdout_source = open_holdout(config, platform.files, t->data.sources);
  t->data.loader = std::make_unique<Loader>(platform.host, loader_options(*t, platform.planted));
  t->data.holdout = make_holdout(*t, platform.host);
  add_model(*t, platform, schedules,
            {.tokens = t->data.loader->max_microbatch_tokens(), .sizes = t->data.loader->microbatch_sizes()});
  return t;
}

std::unique_ptr<Training> build_inference(const Config& config, const Platform& platform) {
  Config alone = config;  // every rank has the whole model; rows are dealt to all
  alone.parallel = {.zero = config.parallel.zero};
  const PipelineSchedule schedule = schedule_of(alone, platform.files, 1);
  auto t = start(alone, platform, schedule.placement);
  t->data.holdout_source = open_holdout(alone, platform.files);
  t->data.holdout = make_holdout(*t, platform.host);
  add_model(*t, platform, {&schedule, 1}, {.tokens = alone.train.sequence_length, .sizes = {}});
  return t;
}

}  // namespace drover
