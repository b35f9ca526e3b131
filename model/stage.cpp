#include "model/stage.h"

#include <algorithm>
#include <utility>

#include "core/ops/counting_backend.h"
#include "core/watch/planted_bug.h"
#include "parallel/comm/shape_comm.h"

namespace drover {

LlamaStage::Groups LlamaStage::find_groups(const StageOptions& options, std::span<const int> group_numbers) {
  const GroupIndex index{options.model.num_hidden_layers};
  const auto place = [&](int group) {
    const auto found = std::find(group_numbers.begin(), group_numbers.end(), group);
    return found == group_numbers.end() ? -1 : static_cast<int>(found - group_numbers.begin());
  };
  return {.embedding = place(index.embedding()),
          .first_block = place(index.block(options.part.begin)),
          .head = place(index.head())};
}

LlamaStage::LlamaStage(Memory& memory, const StageOptions& options, const StageSizes& sizes,
                       std::span<const int> group_numbers, ParameterGroups& groups, Regions& regions)
    : options_(options),
      groups_(groups),
      regions_(regions),
      index_(find_groups(options, group_numbers)),
      dims_(block_dims(options.model, options.compute, regions.tensor.size())),
      rope_(memory, options.model, options.max_positions, dims_.master()),
      block_(dims_, rope_, regions, options.recompute),
      inference_block_(dims_, rope_, regions, Recompute::full),
      head_(dims_, options.model.vocab_size, regions.tensor),
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

void LlamaStage::begin_step(const Exec& exec, std::span<const Microbatch> microbatches,
                            int weight_stretches) {
  microbatches_ = microbatches;
  const bool adds_to_table = options_.part.first() || (tied() && options_.part.last());
  if (adds_to_table) groups_.expect_stretches(index_.embedding, weight_stretches);
  for (std::int64_t l = 0; l < blocks(); ++l) groups_.expect_stretches(block_group(l), weight_stretches);
  if (options_.part.last()) groups_.expect_stretches(index_.head, weight_stretches);
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

// Whose saved tensors backward reads.
const LlamaStage::Flight& LlamaStage::saved_of(const Exec& exec, const Flight& f) const {
  if (exec.planted == nullptr || batch(f).size() == 0) return f;
  for (const Flight& other : flights_)
    if (other.microbatch >= 0 && &other != &f && batch(other).size() == batch(f).size() &&
        injects(exec.planted, Bug::saved_of_another_microbatch))
      return other;
  return f;
}

int LlamaStage::group_after(std::int64_t block) const {
  if (block + 1 < blocks()) return block_group(block + 1);
  return options_.part.last() ? index_.head : -1;
}

void LlamaStage::prefetch(const Exec& exec, int group) {
  if (group >= 0) groups_.gather(exec, group);
}

Tensor LlamaStage::take_shard(Arena& arena, const Microbatch& batch) const {
  return arena.take(dims_.compute, {regions_.tensor.shard_tokens(batch.size()), dims_.hidden});
}

BlockWeights LlamaStage::weights_of(const Exec& exec, std::int64_t block) {
  const int group = block_group(block);
  return block_view(groups_.layout(group), groups_.use(exec, group));
}

BlockWeights LlamaStage::gradients_of(const Exec& exec, std::int64_t block) {
  const int group = block_group(block);
  return block_view(groups_.layout(group), groups_.gradients(exec, group));
}

// Every tensor rank looks up its part of the vocabulary; the sum of their rows is the tokens' (others give 0).
void LlamaStage::embed(const Exec& exec, const Microbatch& batch, const Tensor& out,
                       StretchPart part_of_stretch) {
  Arena::Scope scope(exec.scratch);
  const Tensor table = embedding_view(groups_.layout(index_.embedding), groups_.use(exec, index_.embedding));
  prefetch(exec, group_after(-1));
  const Tensor full = regions_.tensor.take_full(exec.scratch, out);
  ops::embedding_forward(exec, {.tokens = batch.tokens,
                                .table = table,
                                .out = full,
                                .first_token = table.dims[0] * regions_.tensor.rank()});
  regions_.tensor.scatter_sum(exec, full, out);
  const bool head_follows = tied() && options_.part.last();
  groups_.release(exec, index_.embedding, StretchKind::forward,
                  head_follows ? StretchPart::middle : part_of_stretch);
}

// What the first block reads: [S, D] in `kept`.
Tensor LlamaStage::begin_stream(const Exec& exec, const Microbatch& batch, const Tensor& received,
                                Arena& kept, StretchPart part_of_stretch) {
  const Tensor x = take_shard(kept, batch);
  if (options_.part.first()) {
    embed(exec, batch, x, part_of_stretch);
  } else {
    prefetch(exec, group_after(-1));
    ops::copy(exec, {.in = received, .out = x});
  }
  return x;
}

// The stream's two parts become one where it leaves the stage.
void LlamaStage::end_stream(const Exec& exec, const Residual& stream, const Tensor& out) const {
  const auto flat = [](const Tensor& x) { return x.view({x.numel()}); };
  if (stream.delta.empty()) return ops::copy(exec, {.in = stream.x, .out = out});
  const std::array parts{flat(stream.x), flat(stream.delta)};
  ops::combine(exec, {.parts = parts, .out = flat(out)});
}

// Calls verb(norm weight, output table) with the head's weights there.
template <class Verb>
void LlamaStage::with_head(const Exec& exec, StretchPart part_of_stretch, Verb verb) {
  const HeadWeights head = head_view(groups_.layout(index_.head), groups_.use(exec, index_.head));
  const Tensor table =
      tied() ? embedding_view(groups_.layout(index_.embedding), groups_.use(exec, index_.embedding))
             : head.head;
  verb(head.norm, table);
  if (tied()) groups_.release(exec, index_.embedding, StretchKind::forward, part_of_stretch);
  groups_.release(exec, index_.head, StretchKind::forward, part_of_stretch);
}

// The gradient of the output table, to be added to.
Tensor LlamaStage::table_gradient(const Exec& exec) {
  if (tied())
    return embedding_view(groups_.layout(index_.embedding), groups_.gradients(exec, index_.embedding));
  return head_view(groups_.layout(index_.head), groups_.gradients(exec, index_.head)).head;
}

void LlamaStage::forward(const Exec& exec, int microbatch, const HandOver& activations,
                         StretchPart part_of_stretch) {
  Arena::Scope scope(exec.scratch);
  Flight& f = begin_flight(microbatch);
  const Microbatch& b = batch(f);
  const Tensor spare = take_shard(exec.scratch, b), delta = take_shard(exec.scratch, b);
  Residual stream{.x = begin_stream(exec, b, activations.in, *f.saved, part_of_stretch)};
  for (std::int64_t l = 0; l < blocks(); ++l) {
    prefetch(exec, group_after(l));
    const BlockWeights weights = weights_of(exec, l);
    f.blocks[static_cast<std::size_t>(l)] =
        block_.forward(exec, weights, sequence(b), stream, *f.saved, spare, delta);
    groups_.release(exec, block_group(l), StretchKind::forward, part_of_stretch);
  }
  if (!options_.part.last()) return end_stream(exec, stream, activations.out);
  f.head = HeadSaved::take(*f.saved, dims_, stream.x.dims[0]);
  if (stream.delta.empty()) f.head.input = stream.x;
  with_head(exec, part_of_stretch, [&](const Tensor& norm, const Tensor& table) {
    head_.train(exec, norm, table, b, stream, f.head, table_gradient(exec), loss_);
  });
}

void LlamaStage::backward_head(const Exec& exec, Flight& f, const Tensor& dx, StretchKind stretch,
                               StretchPart part_of_stretch) {
  const HeadWeights weights = head_view(groups_.layout(index_.head), groups_.use(exec, index_.head));
  head_.backward_input(exec, weights.norm, f.head, dx);
  groups_.release(exec, index_.head, stretch, part_of_stretch);
}

void LlamaStage::weight_gradient_head(const Exec& exec, Flight& f, StretchPart part_of_stretch) {
  head_.backward_weight(exec, f.head,
                        head_view(groups_.layout(index_.head), groups_.gradients(exec, index_.head)).norm);
  gradients_ready(exec, index_.head, part_of_stretch);
  // Where this is the first stage too, it adds to a tied table's gradient at its end.
  if (tied() && !options_.part.first()) gradients_ready(exec, index_.embedding, part_of_stretch);
}

void LlamaStage::weight_gradient_embedding(const Exec& exec, const Microbatch& batch, const Tensor& dembedded,
                                           StretchPart part_of_stretch) {
  Arena::Scope scope(exec.scratch);
  const Tensor full = regions_.tensor.take_full(exec.scratch, dembedded);
  regions_.tensor.gather(exec, dembedded, full);
  const Tensor dtable =
      embedding_view(groups_.layout(index_.embedding), groups_.gradients(exec, index_.embedding));
  if (tied() && options_.part.last() && injects(exec.planted, Bug::tied_use_overwritten))
    ops::fill(exec, {.out = dtable, .value = 0});
  ops::embedding_backward(exec, {.tokens = batch.tokens,
                                 .dout = full,
                                 .dtable = dtable,
                                 .first_token = dtable.dims[0] * regions_.tensor.rank()});
  gradients_ready(exec, index_.embedding, part_of_stretch);
}

// Where the gradient of block `block`'s input goes: to the stage before, or by turns into `ends`.
Tensor LlamaStage::gradient_room(std::int64_t block, const HandOver& gradients, const Ends& ends) const {
  return block == 0 && !options_.part.first() ? gradients.out : ends[static_cast<std::size_t>(block % 2)];
}

void LlamaStage::backward(const Exec& exec, int microbatch, const HandOver& hand_over,
                          StretchPart part_of_stretch) {
  Arena::Scope scope(exec.scratch);
  Flight& f = flight(microbatch);
  const Microbatch& b = batch(f);
  const Ends ends{take_shard(exec.scratch, b), take_shard(exec.scratch, b)};
  prefetch(exec, group_before(blocks()));
  Tensor dy = hand_over.in;
  if (options_.part.last()) {
    dy = gradient_room(blocks(), hand_over, ends);
    backward_head(exec, f, dy, StretchKind::weight_gradient, part_of_stretch);
    weight_gradient_head(exec, f, part_of_stretch);
  }
  for (std::int64_t l = blocks() - 1; l >= 0; --l) {
    Arena::Scope block_scope(exec.scratch);
    prefetch(exec, group_before(l));
    const BlockWeights weights = weights_of(exec, l);
    const BlockSaved saved =
        block_.restore(exec, weights, sequence(b), saved_of(exec, f).blocks[static_cast<std::size_t>(l)]);
    const Tensor dx = gradient_room(l, hand_over, ends);
    block_.backward(exec, weights, sequence(b), saved,
                    BlockWeightSaved::take(exec.scratch, dims_, regions_.tensor, dy), dx,
                    gradients_of(exec, l));
    groups_.release(exec, block_group(l), StretchKind::weight_gradient, part_of_stretch);
    gradients_ready(exec, block_group(l), part_of_stretch);
    dy = dx;
  }
  if (options_.part.first()) weight_gradient_embedding(exec, b, dy, part_of_stretch);
  end_flight(f);
}

// The gradient that enters this stage, where weight gradients will find it.
Tensor LlamaStage::begin_gradient(const Exec& exec, Flight& f, const HandOver& hand_over,
                                  StretchPart part_of_stretch) {
  if (options_.part.last() && blocks() == 0 && !options_.part.first()) {
    backward_head(exec, f, hand_over.out, StretchKind::input_gradient, part_of_stretch);
    return hand_over.out;
  }
  const Tensor dy = take_shard(*f.weight, batch(f));
  if (options_.part.last())
    backward_head(exec, f, dy, StretchKind::input_gradient, part_of_stretch);
  else
    ops::copy(exec, {.in = hand_over.in, .out = dy});
  return dy;
}

void LlamaStage::backward_input(const Exec& exec, int microbatch, const HandOver& hand_over,
                                StretchPart part_of_stretch) {
  Flight& f = flight(microbatch);
  const Microbatch& b = batch(f);
  f.weight = weight_slots_.acquire();
  prefetch(exec, group_before(blocks()));
  Tensor dy = begin_gradient(exec, f, hand_over, part_of_stretch);
  for (std::int64_t l = blocks() - 1; l >= 0; --l) {
    Arena::Scope block_scope(exec.scratch);
    prefetch(exec, group_before(l));
    const BlockWeights weights = weights_of(exec, l);
    const BlockSaved saved =
        block_.restore(exec, weights, sequence(b), saved_of(exec, f).blocks[static_cast<std::size_t>(l)]);
    BlockWeightSaved& gradients = f.gradients[static_cast<std::size_t>(l)];
    gradients = BlockWeightSaved::take(*f.weight, dims_, regions_.tensor, dy);
    dy = l == 0 && !options_.part.first() ? hand_over.out : take_shard(*f.weight, b);
    block_.backward_input(exec, weights, sequence(b), saved, gradients, dy);
    groups_.release(exec, block_group(l), StretchKind::input_gradient, part_of_stretch);
  }
  f.dembedded = dy;
}

// What weight gradients of a block read. Weights are used only where some of it is computed again.
BlockSaved LlamaStage::restore_for_weights(const Exec& exec, const Flight& f, std::int64_t block,
                                           StretchPart part_of_stretch) {
  const BlockSaved& kept = f.blocks[static_cast<std::size_t>(block)];
  if (!block_.restores()) return kept;
  prefetch(exec, group_before(block));
  const BlockSaved saved = block_.restore(exec, weights_of(exec, block), sequence(batch(f)), kept);
  groups_.release(exec, block_group(block), StretchKind::weight_gradient, part_of_stretch);
  return saved;
}

void LlamaStage::backward_weight(const Exec& exec, int microbatch, StretchPart part_of_stretch) {
  Flight& f = flight(microbatch);
  if (options_.part.last()) weight_gradient_head(exec, f, part_of_stretch);
  for (std::int64_t l = blocks() - 1; l >= 0; --l) {
    Arena::Scope block_scope(exec.scratch);
    const BlockSaved saved = restore_for_weights(exec, f, l, part_of_stretch);
    block_.backward_weight(exec, saved, f.gradients[static_cast<std::size_t>(l)], gradients_of(exec, l));
    gradients_ready(exec, block_group(l), part_of_stretch);
  }
  if (options_.part.first()) weight_gradient_embedding(exec, batch(f), f.dembedded, part_of_stretch);
  if (part_of_stretch == StretchPart::last) groups_.end_stretch(exec, StretchKind::weight_gradient);
  end_flight(f);
}

// Forward through the blocks, keeping nothing; then verb(the stream behind the last).
template <class Verb>
void LlamaStage::infer(const Exec& exec, const Microbatch& batch, const Tensor& received, Verb verb) {
  Arena::Scope scope(exec.scratch);
  Arena* kept = saved_slots_.acquire();
  const Tensor spare = take_shard(exec.scratch, batch), delta = take_shard(exec.scratch, batch);
  Residual stream{.x = begin_stream(exec, batch, received, *kept, StretchPart::last)};
  for (std::int64_t l = 0; l < blocks(); ++l) {
    Arena::Scope block_scope(*kept);
    prefetch(exec, group_after(l));
    const BlockWeights weights = weights_of(exec, l);
    inference_block_.forward(exec, weights, sequence(batch), stream, *kept, spare, delta);
    groups_.release(exec, block_group(l), StretchKind::forward, StretchPart::last);
  }
  verb(stream);
  saved_slots_.release(kept);
}

void LlamaStage::evaluate(const Exec& exec, const Microbatch& batch, const HandOver& activations) {
  infer(exec, batch, activations.in, [&](const Residual& stream) {
    if (!options_.part.last()) return end_stream(exec, stream, activations.out);
    with_head(exec, StretchPart::last, [&](const Tensor& norm, const Tensor& table) {
      head_.evaluate(exec, norm, table, batch, stream, loss_);
    });
  });
}

void LlamaStage::logits(const Exec& exec, const Microbatch& batch, std::int64_t begin, const Tensor& logits) {
  DROVER_CHECK(options_.part.stages == 1 && regions_.tensor.size() == 1, "logits of a part of the model");
  infer(exec, batch, {}, [&](const Residual& stream) {
    with_head(exec, StretchPart::last, [&](const Tensor& norm, const Tensor& table) {
      head_.logits(exec, norm, table, stream, begin, logits);
    });
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
void run_shapes(const Exec& exec, const MeasureStage& measure, ParameterGroups& groups, LlamaStage& stage,
                std::int64_t n) {
  const auto ids = [](std::int64_t count) { return Tensor::of(nullptr, DType::int32, {count}); };
  const Segment whole{.q_begin = 0,
                      .q_end = static_cast<std::int32_t>(n),
                      .kv_begin = 0,
                      .kv_end = static_cast<std::int32_t>(n)};
  Microbatch batch{
      .rows = 1, .tokens = ids(n), .targets = ids(n), .positions = ids(n), .segments = {&whole, 1}};
  if (measure.context_ranks > 1) batch.key_order = batch.gathered_order = ids(n * measure.context_ranks);
  const Tensor edge = Tensor::of(nullptr, measure.options.compute,
                                 {n / measure.tensor_ranks, measure.options.model.hidden_size});
  const HandOver hand_over{.in = edge, .out = edge};
  const bool splits = measure.slots.weight > 0;
  groups.begin_step(exec);
  stage.begin_step(exec, {&batch, 1}, (measure.fused ? 1 : 0) + (splits ? 1 : 0));
  if (measure.fused) {
    stage.forward(exec, 0, hand_over, StretchPart::last);
    stage.backward(exec, 0, hand_over, StretchPart::last);
  }
  if (splits) {
    stage.forward(exec, 0, hand_over, StretchPart::last);
    stage.backward_input(exec, 0, hand_over, StretchPart::last);
    stage.backward_weight(exec, 0, StretchPart::last);
  }
  groups.finish_gradients(exec);
  stage.evaluate(exec, batch, hand_over);
}

}  // namespace

StageSizes measure_stage(const MeasureStage& measure, Backend& real,
                         std::span<const std::int64_t> other_sizes) {
  constexpr std::int64_t kEndless = std::int64_t{1} << 50;
  const StageOptions& options = measure.options;
  MeasuringBackend counting(real);
  Arena scratch = Arena::measuring(DeviceKind::cpu);
  const Exec exec{.backend = counting, .scratch = scratch};
  ShapeComm alone(1), tensor(measure.tensor_ranks), context(measure.context_ranks);
  Regions regions{.tensor = TensorRegion(tensor), .context = ContextRegion(context)};
  const std::vector<int> numbers = groups_of(options.model, {&options.part, 1});
  const ParameterTable table = parameter_table(options.model, measure.tensor_ranks);
  ParameterGroups groups(counting.memory(), alone, alone,
                         {.layouts = group_layouts(options.model, table, {&options.part, 1},
                                                   {.tensor_ranks = measure.tensor_ranks}),
                          .compute = options.compute,
                          .zero = Zero::one});
  const StageSizes endless{.slots = {.saved = 1, .weight = measure.slots.weight > 0 ? 1 : 0},
                           .saved_bytes = kEndless,
                           .weight_bytes = kEndless};
  LlamaStage stage(counting.memory(), options, endless, numbers, groups, regions);
  run_shapes(exec, measure, groups, stage, options.max_tokens);
  for (const std::int64_t n : other_sizes)
    if (n < options.max_tokens) run_shapes(exec, measure, groups, stage, n);
  return {.slots = measure.slots,
          .saved_bytes = stage.saved_peak(),
          .weight_bytes = stage.weight_peak(),
          .scratch_bytes = scratch.peak()};
}

}  // namespace drover
