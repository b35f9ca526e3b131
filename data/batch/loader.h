// One rank's batches, a step ahead: a thread reads the next step while this one is trained.
//
// Every rank works out the rows of the whole step and their attended pairs (from document offsets, without
// reading tokens), deals them out (data/order/assignment.h) and reads its own, or what its context rank
// holds of them (data/batch/context_pieces.h). So the global batch does not depend on the number of ranks, and
// ranks need no messages to agree.
//
// Memory: two step buffers, made in the constructor for the largest phase, category data; nothing is
// allocated after the first steps. Thread rules: next, state and seek from one thread; the loader's own
// thread is joined in the destructor. Errors: what the thread throws comes out of the next() it was meant
// for, and of every next() after it until seek().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/tensor/memory.h"
#include "core/watch/planted_bug.h"
#include "data/batch/batch.h"
#include "data/batch/context_pieces.h"
#include "data/order/feed.h"
#include "data/order/sampler.h"

namespace drover {

struct LoaderOptions {
  std::vector<const TokenSource*> sources;  // in config order; they outlive the loader
  std::vector<Phase> phases;
  FeedOptions feed;  // the seed of the run, and how sources are cut into regions
  int data_rank = 0;
  int data_ranks = 1;  // replicate x shard
  int microbatch_sequences = 1;
  ContextShare context;           // every row of this data rank is shared by context.ranks ranks
  PlantedBug* planted = nullptr;  // core/watch/planted_bug.h; outlives the loader
};

class Loader {
 public:
  // Starts reading the step of `state`. `memory` is host memory and outlives the loader.
  Loader(Memory& memory, const LoaderOptions& options, const SamplerState& state);
  // From the beginning of training.
  Loader(Memory& memory, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  const Sampler& sampler() const;
  // This rank's share of the next step. Valid until next() or seek() is called again.
  const StepBatch& next();
  // The state after the last step that next() returned: what a checkpoint keeps.
  const SamplerState& state() const;
  // Makes `state` the step that next() returns.
  void seek(const SamplerState& state);

  // The largest number of microbatches, and of packed tokens in one microbatch, over all phases: what
  // activation memory is sized for.
  std::int64_t max_microbatches() const;
  std::int64_t max_microbatch_tokens() const;
  // The numbers of packed tokens, 0 excepted, that microbatches of any rank and phase can have, each once:
  // what backends are prepared for.
  std::vector<std::int64_t> microbatch_sizes() const;

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace drover
