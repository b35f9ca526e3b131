// A run of blocks with the embedding before and the head behind: what one pipeline rank computes. Implements
// the pipeline's Stage and makes parameter groups' communication visible: where gathers start, where compute
// waits, where memory becomes free.
//
// Microbatches are numbers into the batch given to begin_step. Every verb is issued for empty microbatches
// too (their tensors have no rows), so that all ranks issue the same collectives.
#pragma once

#include <span>
#include <vector>

#include "core/microbatch.h"
#include "model/loss.h"
#include "model/parameters.h"
#include "parallel/parameter_group.h"
#include "parallel/pipeline.h"

namespace drover {

struct StageOptions {
  ModelConfig model;
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
  // groups: in GroupIndex order; outlives this.
  LlamaStage(Memory& memory, const StageOptions& options, const StageSizes& sizes, ParameterGroups& groups);

  // The batch (borrowed) that microbatch numbers refer to from now on; the loss starts from zero.
  void begin_step(const Exec& exec, std::span<const Microbatch> microbatches);
  void forward(const Exec& exec, int microbatch) override;
  void backward(const Exec& exec, int microbatch) override;
  void backward_input(const Exec& exec, int microbatch) override;
  void backward_weight(const Exec& exec, int microbatch) override;

  // [1] float64: the summed token loss of the microbatches computed since begin_step (or evaluated since).
  const Tensor& loss() const { return loss_; }

  // Forward only; adds to loss().
  void evaluate(const Exec& exec, const Microbatch& batch);
  // logits [n, V] master, = : of tokens [begin, begin + n) of the packed microbatch.
  void logits(const Exec& exec, const Microbatch& batch, std::int64_t begin, const Tensor& logits);

  // The most any slot has held: what measuring reads.
  std::int64_t saved_peak() const { return saved_slots_.peak(); }
  std::int64_t weight_peak() const { return weight_slots_.peak(); }

 private:
  // One microbatch between its forward and its weight gradients.
  struct Flight {
    int microbatch = -1;
    Arena* saved = nullptr;
    Arena* weight = nullptr;
    std::vector<BlockSaved> blocks;
    HeadSaved head;
    std::vector<BlockWeightSaved> gradients;
    Tensor dembedded;  // [N, D] gradient of the first block's input (split backward)
  };

  Flight& begin_flight(int microbatch);
  Flight& flight(int microbatch);
  void end_flight(Flight&);
  const Microbatch& batch(const Flight& f) const {
    return microbatches_[static_cast<std::size_t>(f.microbatch)];
  }
  Sequence sequence(const Microbatch& batch) const {
    return {.positions = batch.positions, .segments = batch.segments};
  }
  std::int64_t blocks() const { return options_.model.num_hidden_layers; }

  Tensor embed(const Exec&, const Microbatch&, const Tensor& out);
  void backward_head(const Exec&, Flight&, const Tensor& dx);
  void weight_gradient_head(const Exec&, Flight&);
  void weight_gradient_embedding(const Exec&, Flight&, const Tensor& dembedded);
  template <class Verb>
  void with_head(const Exec&, Verb verb);
  template <class Verb>
  void infer(const Exec&, const Microbatch&, Verb verb);

  StageOptions options_;
  ParameterGroups& groups_;
  GroupIndex index_;
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
StageSizes measure_stage(const StageOptions& options, SlotCount slots, Backend& real,
                         std::span<const std::int64_t> other_sizes = {});

}  // namespace drover
