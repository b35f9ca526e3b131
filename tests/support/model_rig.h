// A whole model on one rank with nothing around it: for gradient checks and comparisons of bits.
#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "model/stage.h"
#include "parallel/comm/local/local_comm.h"

namespace drover::testing {

// A small Llama that exercises grouped queries and odd sizes.
inline ModelConfig tiny_model() {
  return {.hidden_size = 24,
          .num_hidden_layers = 2,
          .num_attention_heads = 3,
          .num_key_value_heads = 1,
          .intermediate_size = 20,
          .vocab_size = 37,
          .head_dim = 8,
          .rope_theta = 10000};
}

// Rows long enough that vectorised sums have a body and a tail.
inline ModelConfig wide_model() {
  ModelConfig model = tiny_model();
  model.hidden_size = 136;
  model.intermediate_size = 104;
  return model;
}

// Documents of the given lengths, one microbatch; a document of n tokens has n - 1 targets.
class Documents {
 public:
  Documents(const std::vector<std::int32_t>& lengths, std::int64_t vocabulary, unsigned seed = 7) {
    std::mt19937 random(seed);
    std::int32_t begin = 0;
    for (std::int32_t length : lengths) {
      for (std::int32_t i = 0; i < length; ++i) {
        tokens_.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(vocabulary)));
        positions_.push_back(i);
        targets_.push_back(-1);
        if (i > 0) targets_[targets_.size() - 2] = tokens_.back();
      }
      segments_.push_back({begin, begin + length, begin, begin + length});
      begin += length;
    }
  }
  Microbatch microbatch() {
    const auto n = static_cast<std::int64_t>(tokens_.size());
    Microbatch batch{.rows = 1,
                     .tokens = Tensor::of(tokens_.data(), {n}),
                     .targets = Tensor::of(targets_.data(), {n}),
                     .positions = Tensor::of(positions_.data(), {n}),
                     .segments = segments_};
    for (std::int32_t target : targets_) batch.valid_targets += target >= 0;
    return batch;
  }

 private:
  std::vector<std::int32_t> tokens_, targets_, positions_;
  std::vector<Segment> segments_;
};

struct RigOptions {
  ModelConfig model = tiny_model();
  DType compute = DType::float64;
  Recompute recompute = Recompute::none;
  Schedule schedule = Schedule::one_f_one_b;
  Zero zero = Zero::one;
  int threads = 1;
};

class ModelRig {
 public:
  ModelRig(const RigOptions& options, std::vector<Microbatch> batch)
      : options_(options),
        batch_(std::move(batch)),
        schedule_(
            make_schedule({.schedule = options.schedule, .microbatches = static_cast<int>(batch_.size())})),
        backend_(make_cpu_backend(memory_, {.threads = options.threads})),
        alone_(single_rank_world()),
        table_(parameter_table(options.model, 1)),
        groups_(memory_, *alone_, *alone_,
                {.layouts = group_layouts(options.model, table_, {&part_, 1}, {}),
                 .compute = options.compute,
                 .zero = options.zero}),
        sizes_(measure_stage({.options = stage_options(),
                              .slots = count_slots(timeline()),
                              .fused = options.schedule != Schedule::gpipe_split},
                             *backend_)),
        scratch_buffer_(memory_, sizes_.scratch_bytes, MemoryCategory::scratch),
        scratch_(scratch_buffer_),
        regions_{.tensor = TensorRegion(*alone_), .context = ContextRegion(*alone_)},
        stage_(memory_, stage_options(), sizes_, groups_of(options.model, {&part_, 1}), groups_, regions_),
        pipeline_(memory_, *alone_, {}) {
    randomise();
  }

  // One step's forward and backward; the summed token loss.
  double run() {
    groups_.weights_updated(exec());
    groups_.begin_step(exec());
    stage_.begin_step(exec(), batch_, weight_stretches(timeline(), schedule_.stretch, 0));
    Stage* const stage = &stage_;
    pipeline_.run(exec(), program_of(schedule_, 0), stretch_ends(timeline(), schedule_.stretch), {&stage, 1});
    groups_.finish_gradients(exec());
    return *stage_.loss().as<double>();
  }
  double evaluate() {
    groups_.weights_updated(exec());
    stage_.begin_step(exec(), batch_, 0);
    for (const Microbatch& batch : batch_) stage_.evaluate(exec(), batch, {});
    return *stage_.loss().as<double>();
  }

  Exec exec() { return {.backend = *backend_, .scratch = scratch_}; }
  const ParameterTable& table() const { return table_; }
  ParameterGroups& groups() { return groups_; }
  LlamaStage& stage() { return stage_; }
  const std::vector<Microbatch>& batch() const { return batch_; }

  // Calls visit(row of the table, working weights, gradients) for every parameter, as flat tensors.
  template <class Visit>
  void each_parameter(Visit visit) {
    for (int g = 0; g < groups_.count(); ++g)
      for (const GroupPiece& piece : groups_.layout(g).pieces) {
        const std::int64_t end = piece.end();
        visit(table_[static_cast<std::size_t>(piece.parameter)],
              groups_.shard(g).working.slice(0, piece.begin, end),
              groups_.shard(g).gradient.slice(0, piece.begin, end));
      }
  }

 private:
  StageOptions stage_options() const {
    std::int64_t most = 0;
    for (const Microbatch& batch : batch_) most = std::max(most, batch.size());
    return {.model = options_.model,
            .part = part_,
            .compute = options_.compute,
            .recompute = options_.recompute,
            .max_tokens = most,
            .max_positions = most};
  }

  // The same weights for every dtype, up to rounding: norms around 1, matrices large enough that every path
  // matters.
  void randomise() {
    std::mt19937 random(3);
    std::normal_distribution<double> normal;
    each_parameter([&](const ParameterLayout& parameter, const Tensor& weights, const Tensor&) {
      for (std::int64_t i = 0; i < weights.dims[0]; ++i) {
        const double value = parameter.init == Init::ones ? 1 + 0.1 * normal(random) : 0.15 * normal(random);
        if (weights.dtype == DType::float64) weights.as<double>()[i] = value;
        if (weights.dtype == DType::float32) weights.as<float>()[i] = static_cast<float>(value);
        if (weights.dtype == DType::bfloat16) weights.as<bfloat16>()[i] = bfloat16(static_cast<float>(value));
      }
    });
  }

  const Timeline& timeline() const { return schedule_.timelines.front(); }

  RigOptions options_;
  StagePart part_ = whole_model(options_.model);
  std::vector<Microbatch> batch_;
  PipelineSchedule schedule_;
  HostMemory memory_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> alone_;
  ParameterTable table_;
  ParameterGroups groups_;
  StageSizes sizes_;
  Buffer scratch_buffer_;
  Arena scratch_;
  Regions regions_;
  LlamaStage stage_;
  PipelineExecutor pipeline_;
};

}  // namespace drover::testing
