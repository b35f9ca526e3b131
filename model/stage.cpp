#include "model/stage.h"

#include <algorithm>
#include <utility>

#include "core/counting_backend.h"
#include "parallel/local_comm.h"

namespace drover {

LlamaStage::LlamaStage(Memory& memory, const StageOptions& options, const StageSizes& sizes,
                       ParameterGroups& groups)
    : options_(options),
      groups_(groups),
      index_{options.model.num_hidden_layers},
      dims_(block_dims(options.model, options.compute)),
      rope_(memory, options.model, options.max_positions, dims_.master()),
      block_(dims_, rope_, options.recompute),
      inference_block_(dims_, rope_, Recompute::full),
      head_(dims_, options.model.vocab_size),
      saved_slots_(memory, sizes.slots.saved, sizes.saved_bytes, MemoryCategory::saved),
      flights_(static_cast<std::size_t>(sizes.slots.saved)),
      loss_buffer_(memory, size_of(DType::float64), MemoryCategory::scratch),
      loss_(loss_buffer_.tensor(DType::float64, {1})) {
  if (sizes.slots.weight > 0)
    weight_slots_ = SlotPool(memory, sizes.slots.weight, sizes.weight_bytes, MemoryCategory::saved);
  for (Flight& f : flights_) {
    f.blocks.resize(static_cast<std::size_t>(blocks()));
    f.gradients.resize(static_cast<std::size_t>(blocks()));
  }
}

void LlamaStage::begin_step(const Exec& exec, std::span<const Microbatch> microbatches) {
  microbatches_ = microbatches;
  ops::fill(exec, {.out = loss_, .value = 0});
}

LlamaStage::Flight& LlamaStage::begin_flight(int microbatch) {
  Flight& f = flight(-1);
  f.microbatch = microbatch;
  f.saved = saved_slots_.acquire();
  return f;
}

LlamaStage::Flight& LlamaStage::flight(int microbatch) {
  const auto found = std::find_if(flights_.begin(), flights_.end(),
                                  [&](const Flight& f) { return f.microbatch == microbatch; });
  DROVER_CHECK(found != flights_.end(), "microbatch ", microbatch, microbatch < 0 ? " (free slot)" : "",
               " is not in flight");
  return *found;
}

void LlamaStage::end_flight(Flight& f) {
  saved_slots_.release(f.saved);
  if (f.weight != nullptr) weight_slots_.release(f.weight);
  f.weight = nullptr;
  f.microbatch = -1;
}

Tensor LlamaStage::embed(const Exec& exec, const Microbatch& batch, const Tensor& out) {
  const Tensor table =
      embedding_view(groups_.layout(index_.embedding()), groups_.use(exec, index_.embedding()));
  groups_.gather(exec, index_.block(0));
  ops::embedding_forward(exec, {.tokens = batch.tokens, .table = table, .out = out});
  groups_.release(index_.embedding());
  return out;
}

// Calls verb(norm weight, output table, group whose gradient is the table's) with the head's weights there.
template <class Verb>
void LlamaStage::with_head(const Exec& exec, Verb verb) {
  const bool tied = options_.model.tie_word_embeddings;
  const HeadWeights head = head_view(groups_.layout(index_.head()), groups_.use(exec, index_.head()));
  const Tensor table =
      tied ? embedding_view(groups_.layout(index_.embedding()), groups_.use(exec, index_.embedding()))
           : head.head;
  verb(head.norm, table);
  if (tied) groups_.release(index_.embedding());
  groups_.release(index_.head());
}

void LlamaStage::forward(const Exec& exec, int microbatch) {
  Arena::Scope scope(exec.scratch);
  Flight& f = begin_flight(microbatch);
  const Microbatch& b = batch(f);
  const Tensor spare = exec.scratch.take(dims_.compute, {b.size(), dims_.hidden});
  const Tensor delta = exec.scratch.take(dims_.compute, {b.size(), dims_.hidden});
  Residual stream{.x = embed(exec, b, f.saved->take(dims_.compute, {b.size(), dims_.hidden}))};
  for (std::int64_t l = 0; l < blocks(); ++l) {
    const int group = index_.block(l);
    groups_.gather(exec, group + 1);
    const BlockWeights weights = block_view(groups_.layout(group), groups_.use(exec, group));
    f.blocks[static_cast<std::size_t>(l)] =
        block_.forward(exec, weights, sequence(b), stream, *f.saved, spare, delta);
    groups_.release(group);
  }
  f.head = HeadSaved::take(*f.saved, dims_, b.size());
  with_head(exec, [&](const Tensor& norm, const Tensor& table) {
    const bool tied = options_.model.tie_word_embeddings;
    const int group = tied ? index_.embedding() : index_.head();
    const Tensor flat = groups_.gradients(exec, group);
    const Tensor dtable =
        tied ? embedding_view(groups_.layout(group), flat) : head_view(groups_.layout(group), flat).head;
    head_.train(exec, norm, table, b, stream, f.head, dtable, loss_);
  });
}

void LlamaStage::backward_head(const Exec& exec, Flight& f, const Tensor& dx) {
  groups_.gather(exec, index_.block(blocks() - 1));
  const HeadWeights weights = head_view(groups_.layout(index_.head()), groups_.use(exec, index_.head()));
  head_.backward_input(exec, weights.norm, f.head, dx);
  groups_.release(index_.head());
}

void LlamaStage::weight_gradient_head(const Exec& exec, Flight& f) {
  head_.backward_weight(
      exec, f.head, head_view(groups_.layout(index_.head()), groups_.gradients(exec, index_.head())).norm);
  groups_.gradients_ready(exec, index_.head());
}

void LlamaStage::weight_gradient_embedding(const Exec& exec, Flight& f, const Tensor& dembedded) {
  const Tensor dtable =
      embedding_view(groups_.layout(index_.embedding()), groups_.gradients(exec, index_.embedding()));
  ops::embedding_backward(exec, {.tokens = batch(f).tokens, .dout = dembedded, .dtable = dtable});
  groups_.gradients_ready(exec, index_.embedding());
}

void LlamaStage::backward(const Exec& exec, int microbatch) {
  Arena::Scope scope(exec.scratch);
  Flight& f = flight(microbatch);
  const Microbatch& b = batch(f);
  Tensor dy = exec.scratch.take(dims_.compute, {b.size(), dims_.hidden});
  Tensor dx = exec.scratch.take(dims_.compute, {b.size(), dims_.hidden});
  backward_head(exec, f, dy);
  weight_gradient_head(exec, f);
  for (std::int64_t l = blocks() - 1; l >= 0; --l) {
    Arena::Scope block_scope(exec.scratch);
    const int group = index_.block(l);
    if (l > 0) groups_.gather(exec, group - 1);
    const BlockWeights weights = block_view(groups_.layout(group), groups_.use(exec, group));
    const BlockSaved saved =
        block_.restore(exec, weights, sequence(b), f.blocks[static_cast<std::size_t>(l)]);
    const BlockWeightSaved gradients = BlockWeightSaved::take(exec.scratch, dims_, dy);
    block_.backward_input(exec, weights, sequence(b), saved, gradients, dx);
    groups_.release(group);
    block_.backward_weight(exec, saved, gradients,
                           block_view(groups_.layout(group), groups_.gradients(exec, group)));
    groups_.gradients_ready(exec, group);
    std::swap(dx, dy);
  }
  weight_gradient_embedding(exec, f, dy);
  end_flight(f);
}

void LlamaStage::backward_input(const Exec& exec, int microbatch) {
  Flight& f = flight(microbatch);
  const Microbatch& b = batch(f);
  f.weight = weight_slots_.acquire();
  Tensor dy = f.weight->take(dims_.compute, {b.size(), dims_.hidden});
  backward_head(exec, f, dy);
  for (std::int64_t l = blocks() - 1; l >= 0; --l) {
    Arena::Scope block_scope(exec.scratch);
    const int group = index_.block(l);
    if (l > 0) groups_.gather(exec, group - 1);
    const BlockWeights weights = block_view(groups_.layout(group), groups_.use(exec, group));
    const BlockSaved saved =
        block_.restore(exec, weights, sequence(b), f.blocks[static_cast<std::size_t>(l)]);
    BlockWeightSaved& gradients = f.gradients[static_cast<std::size_t>(l)];
    gradients = BlockWeightSaved::take(*f.weight, dims_, dy);
    dy = f.weight->take(dims_.compute, {b.size(), dims_.hidden});
    block_.backward_input(exec, weights, sequence(b), saved, gradients, dy);
    groups_.release(group);
  }
  f.dembedded = dy;
}

void LlamaStage::backward_weight(const Exec& exec, int microbatch) {
  Flight& f = flight(microbatch);
  weight_gradient_head(exec, f);
  for (std::int64_t l = blocks() - 1; l >= 0; --l) {
    Arena::Scope block_scope(exec.scratch);
    const int group = index_.block(l);
    const std::size_t i = static_cast<std::size_t>(l);
    const BlockWeights weights = block_view(groups_.layout(group), groups_.use(exec, group));
    const BlockSaved saved = block_.restore(exec, weights, sequence(batch(f)), f.blocks[i]);
    groups_.release(group);
    block_.backward_weight(exec, saved, f.gradients[i],
                           block_view(groups_.layout(group), groups_.gradients(exec, group)));
    groups_.gradients_ready(exec, group);
  }
  weight_gradient_embedding(exec, f, f.dembedded);
  end_flight(f);
}

// Forward through the blocks, keeping nothing; then verb(norm weight, output table, the stream before the
// final norm).
template <class Verb>
void LlamaStage::infer(const Exec& exec, const Microbatch& batch, Verb verb) {
  Arena::Scope scope(exec.scratch);
  Arena* kept = saved_slots_.acquire();
  const Tensor spare = exec.scratch.take(dims_.compute, {batch.size(), dims_.hidden});
  const Tensor delta = exec.scratch.take(dims_.compute, {batch.size(), dims_.hidden});
  Residual stream{.x = embed(exec, batch, kept->take(dims_.compute, {batch.size(), dims_.hidden}))};
  for (std::int64_t l = 0; l < blocks(); ++l) {
    Arena::Scope block_scope(*kept);
    const int group = index_.block(l);
    groups_.gather(exec, group + 1);
    const BlockWeights weights = block_view(groups_.layout(group), groups_.use(exec, group));
    inference_block_.forward(exec, weights, sequence(batch), stream, *kept, spare, delta);
    groups_.release(group);
  }
  with_head(exec, [&](const Tensor& norm, const Tensor& table) { verb(norm, table, stream); });
  saved_slots_.release(kept);
}

void LlamaStage::evaluate(const Exec& exec, const Microbatch& batch) {
  infer(exec, batch, [&](const Tensor& norm, const Tensor& table, const Residual& stream) {
    head_.evaluate(exec, norm, table, batch, stream, loss_);
  });
}

void LlamaStage::logits(const Exec& exec, const Microbatch& batch, std::int64_t begin, const Tensor& logits) {
  infer(exec, batch, [&](const Tensor& norm, const Tensor& table, const Residual& stream) {
    head_.logits(exec, norm, table, stream, begin, logits);
  });
}

namespace {

// Counts, and prepares the real backend for every product.
class MeasuringBackend final : public CountingBackend {
 public:
  using CountingBackend::CountingBackend;
  void matmul(const Exec& exec, const Matmul& m) override {
    CountingBackend::matmul(exec, m);
    prepare(m);
  }
};

// One row of n tokens that attends to itself: scratch depends on shapes alone, not on segments.
void run_shapes(const Exec& exec, const Timeline& timeline, ParameterGroups& groups, LlamaStage& stage,
                std::int64_t n) {
  const Tensor ids = Tensor::of(nullptr, DType::int32, {n});
  const Segment whole{.q_begin = 0,
                      .q_end = static_cast<std::int32_t>(n),
                      .kv_begin = 0,
                      .kv_end = static_cast<std::int32_t>(n)};
  const Microbatch batch{.rows = 1, .tokens = ids, .targets = ids, .positions = ids, .segments = {&whole, 1}};
  groups.begin_step(exec);
  stage.begin_step(exec, {&batch, 1});
  run_timeline(exec, timeline, stage);
  stage.evaluate(exec, batch);
}

}  // namespace

StageSizes measure_stage(const StageOptions& options, SlotCount slots, Backend& real,
                         std::span<const std::int64_t> other_sizes) {
  constexpr std::int64_t kEndless = std::int64_t{1} << 50;
  MeasuringBackend counting(real);
  Arena scratch = Arena::measuring(DeviceKind::cpu);
  const Exec exec{.backend = counting, .scratch = scratch};
  const auto alone = single_rank_world();
  ParameterGroups groups(counting.memory(), *alone, *alone,
                         {.layouts = group_layouts(options.model, parameter_table(options.model, 1), 0, 1, 1),
                          .compute = options.compute});
  const StageSizes endless{.slots = {.saved = 1, .weight = slots.weight > 0 ? 1 : 0},
                           .saved_bytes = kEndless,
                           .weight_bytes = kEndless};
  LlamaStage stage(counting.memory(), options, endless, groups);
  const Timeline timeline =
      single_rank_timeline(slots.weight > 0 ? Schedule::gpipe_split : Schedule::one_f_one_b, 1);
  run_shapes(exec, timeline, groups, stage, options.max_tokens);
  for (const std::int64_t n : other_sizes)
    if (n < options.max_tokens) run_shapes(exec, timeline, groups, stage, n);
  return {.slots = slots,
          .saved_bytes = stage.saved_peak(),
          .weight_bytes = stage.weight_peak(),
          .scratch_bytes = scratch.peak()};
}

}  // namespace drover
