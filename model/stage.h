// Consecutive blocks, with the embedding before the first and the head behind the last stage's. Implements the
// pipeline's Stage and makes parameter groups' communication visible: where gathers start, where compute
// waits, where memory becomes free.
//
// N: packed tokens of a microbatch on a context rank; S = N / TP of them this rank holds whole, between products.
//
// Microbatches are numbers into the batch given to begin_step. Every verb is issued for empty microbatches
// too (their tensors have no rows), so that all ranks issue the same collectives.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "core/tensor/microbatch.h"
#include "model/loss.h"
#include "model/parameters.h"
#include "parallel/fsdp/parameter_group.h"
#include "parallel/pipeline/pipeline.h"

namespace drover {

struct StageOptions {
  ModelConfig model;
  StagePart part;
  DType compute = DType::float32;
  Recompute recompute = Recompute::none;
  std::int64_t max_tokens = 0;     // N of the largest microbatch
  std::int64_t max_positions = 0;  // the longest sequence
};

// Bytes of one in-flight slot, and of the arena every Exec of this stage needs.
struct StageSizes {
  SlotCount slots;
  std::int64_t saved_bytes = 0;   // per slot
  std::int64_t weight_bytes = 0;  // per slot of a split backward
  std::int64_t scratch_bytes = 0;
};

class LlamaStage final : public Stage {
 public:
  // groups: those of groups_of, of this stage and of others on this rank; they and `regions` outlive this.
  LlamaStage(Memory& memory, const StageOptions& options, const StageSizes& sizes,
             std::span<const int> group_numbers, ParameterGroups& groups, Regions& regions);

  // The batch (borrowed) that microbatch numbers refer to from now on, and how many stretches of weight gradients it
  // makes (weight_stretches, 0 without backward); the loss starts from zero. After ParameterGroups::begin_step.
  void begin_step(const Exec& exec, std::span<const Microbatch> microbatches, int weight_stretches);
  std::int64_t hand_over_tokens(int microbatch) const override {
    return regions_.tensor.shard_tokens(microbatches_[static_cast<std::size_t>(microbatch)].size());
  }
  void forward(const Exec& exec, int microbatch, const HandOver& activations,
               StretchPart part_of_stretch) override;
  void backward(const Exec& exec, int microbatch, const HandOver& gradients,
                StretchPart part_of_stretch) override;
  void backward_input(const Exec& exec, int microbatch, const HandOver& gradients,
                      StretchPart part_of_stretch) override;
  void backward_weight(const Exec& exec, int microbatch, StretchPart part_of_stretch) override;

  const StagePart& part() const { return options_.part; }
  // [1] float64: the summed token loss of the microbatches computed since begin_step (or evaluated since); 0 on a
  // stage without head. The same on every tensor rank.
  const Tensor& loss() const { return loss_; }

  // Forward only; adds to loss().
  void evaluate(const Exec& exec, const Microbatch& batch, const HandOver& activations);
  // logits [n, V] master, = : of tokens [begin, begin + n) of the packed microbatch. On a rank that is alone with the
  // model.
  void logits(const Exec& exec, const Microbatch& batch, std::int64_t begin, const Tensor& logits);

  // The most any slot has held: what measuring reads.
  std::int64_t saved_peak() const { return saved_slots_.peak(); }
  std::int64_t weight_peak() const { return weight_slots_.peak(); }
  // The most microbatches that were in flight at once.
  SlotCount most_in_flight() const {
    return {.saved = saved_slots_.most_in_use(), .weight = weight_slots_.most_in_use()};
  }

 private:
  // One microbatch between its forward and its weight gradients.
  struct Flight {
    int microbatch = -1;
    Arena* saved = nullptr;
    Arena* weight = nullptr;
    std::vector<BlockSaved> blocks;
    HeadSaved head;
    std::vector<BlockWeightSaved> gradients;
    Tensor dembedded;  // [S, D] gradient of the first block's input (split backward)
  };

  Flight& begin_flight(int microbatch);
  Flight& flight(int microbatch);
  void end_flight(Flight&);
  const Flight& saved_of(const Exec&, const Flight&) const;
  const Microbatch& batch(const Flight& f) const {
    return microbatches_[static_cast<std::size_t>(f.microbatch)];
  }
  Sequence sequence(const Microbatch& batch) const {
    return {.positions = batch.positions,
            .segments = batch.segments,
            .keys = {.key_order = batch.key_order, .gathered_order = batch.gathered_order}};
  }
  std::int64_t blocks() const { return options_.part.blocks(); }
  bool tied() const { return options_.model.tie_word_embeddings; }
  // Numbers among this rank's groups; -1: not here.
  struct Groups {
    int embedding = -1, first_block = -1, head = -1;
  };
  static Groups find_groups(const StageOptions& options, std::span<const int> group_numbers);
  // The group that forward uses after block `block` of this stage (-1: before the first), -1 if none.
  int group_after(std::int64_t block) const;
  // The group that backward uses after block `block`: the one before it, -1 if none.
  int group_before(std::int64_t block) const { return block > 0 ? block_group(block - 1) : -1; }
  int block_group(std::int64_t block) const { return index_.first_block + static_cast<int>(block); }
  void prefetch(const Exec&, int group);
  Tensor take_shard(Arena& arena, const Microbatch& batch) const;

  Tensor begin_stream(const Exec&, const Microbatch&, const Tensor& received, Arena& kept,
                      StretchPart part_of_stretch);
  void embed(const Exec&, const Microbatch&, const Tensor& out, StretchPart part_of_stretch);
  Tensor table_gradient(const Exec&);
  void end_stream(const Exec&, const Residual& stream, const Tensor& out) const;
  using Ends = std::array<Tensor, 2>;  // [S, D] each
  Tensor gradient_room(std::int64_t block, const HandOver& gradients, const Ends& ends) const;
  Tensor begin_gradient(const Exec&, Flight&, const HandOver& gradients, StretchPart part_of_stretch);
  void backward_head(const Exec&, Flight&, const Tensor& dx, StretchKind stretch,
                     StretchPart part_of_stretch);
  void weight_gradient_head(const Exec&, Flight&, StretchPart part_of_stretch);
  void weight_gradient_embedding(const Exec&, const Microbatch&, const Tensor& dembedded,
                                 StretchPart part_of_stretch);
  void gradients_ready(const Exec& exec, int group, StretchPart part_of_stretch) {
    if (part_of_stretch == StretchPart::last) groups_.gradients_ready(exec, group);
  }
  BlockWeights weights_of(const Exec&, std::int64_t block);
  BlockWeights gradients_of(const Exec&, std::int64_t block);
  BlockSaved restore_for_weights(const Exec&, const Flight&, std::int64_t block, StretchPart part_of_stretch);
  template <class Verb>
  void with_head(const Exec&, StretchPart part_of_stretch, Verb verb);
  // Forward through the blocks, keeping nothing; then verb(the stream behind the last).
  template <class Verb>
  void infer(const Exec&, const Microbatch&, const Tensor& received, Verb verb);

  StageOptions options_;
  ParameterGroups& groups_;
  Regions& regions_;
  Groups index_;
  BlockDims dims_;
  RopeTable rope_;
  Block block_;
  Block inference_block_;  // keeps nothing but its input
  Head head_;
  SlotPool saved_slots_, weight_slots_;
  std::vector<Flight> flights_;
  std::span<const Microbatch> microbatches_;
  Buffer loss_buffer_;
  Tensor loss_;
};

// Runs one largest microbatch of the real program on shape-only tensors under the counting backend, with
// scratch sizes of `real`; and one of each of the other sizes (tokens), so that `real` is prepared for the
// products of all of them and no step allocates because it is the first to have such a microbatch.
struct MeasureStage {
  StageOptions options;
  SlotCount slots;
  bool fused = true;  // whether some backward is not split; some is where slots.weight > 0
  int tensor_ranks = 1, context_ranks = 1;
};
StageSizes measure_stage(const MeasureStage& measure, Backend& real,
                         std::span<const std::int64_t> other_sizes = {});

}  // namespace drover
