// What a checkpoint is about: named pieces of tensors, and the small state every rank agrees on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"
#include "parallel/mesh/layout.h"

namespace drover {

// A piece of one logical tensor, living in this rank's memory. Slots of a trained parameter: "weight",
// "moment1", "moment2". Any other names are stored all the same; a reader takes those it asks for.
struct StateEntry {
  std::string name;  // logical parameter, Hugging Face's name
  std::string slot;
  DType dtype = DType::float32;
  std::array<std::int64_t, 2> shape{1, 0};  // of the whole logical tensor
  int dims = 2;                             // 1 for vectors
  Box box;                                  // this piece
  Tensor data;                              // contiguous, box.numel() elements; borrowed
};

// Position of one source's endless feed (data/order/sampler.h): the number of tokens already used.
struct FeedPosition {
  std::string source;
  std::int64_t position = 0;
  bool operator==(const FeedPosition&) const = default;
};

// The same on every rank; lives in the manifest.
struct RunState {
  std::int64_t step = 0;            // completed optimizer updates
  std::int64_t tokens = 0;          // input positions trained on
  std::int64_t rows = 0;            // rows dealt out so far in the current phase (mixture apportionment)
  std::vector<FeedPosition> feeds;  // in config order
  // What it took to come here, over all attempts. Each counts up to the checkpoint that the next one went on from.
  double flops = 0;              // of the model, recompute not counted
  double effective_seconds = 0;  // in training steps
  double wall_seconds = 0;
  std::string tokenizer;    // digest of the one that made the token stores; empty: not known, or no text
  std::string fingerprint;  // numerics: instruction path, library versions
  std::string config;       // resolved YAML, for people
  std::int64_t attempt = 1;
};

}  // namespace drover
