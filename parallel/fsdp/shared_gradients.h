// Gradients to which several tensor ranks, or both ends of a pipeline, have contributed: norms' weights, of which each
// tensor rank saw its tokens' part; kv heads that are copied because there are fewer than tensor ranks; a tied table
// that is the embedding of the first stage and the head of the last. The table of layouts says which
// (parallel/mesh/layout.h: TensorSum); parameter groups have summed over context, shard and replicate before.
#pragma once

#include <span>
#include <vector>

#include "core/tensor/memory.h"
#include "parallel/fsdp/parameter_group.h"
#include "parallel/mesh/layout.h"

namespace drover {

class SharedGradients {
 public:
  // `groups` and `connections` outlive this; `tied_group`: the group of a tied table on this rank, -1 if none.
  SharedGradients(Memory& memory, std::span<const ParameterLayout> table, const ParameterGroups& groups,
                  const Connections& connections, int tied_group);

  // After finish_gradients, on the reduced shards.
  void sum(const Exec& exec);

 private:
  // Pieces of shards that are summed over one communicator, as one message.
  struct Packed {
    Communicator* ranks = nullptr;
    std::vector<Tensor> pieces;  // [n] master: parts of shards' gradients
    Buffer buffer;
    Tensor flat;
  };
  Packed pack(Memory& memory, std::span<const ParameterLayout> table, const ParameterGroups& groups,
              Communicator& ranks, TensorSum which) const;
  static void sum(const Exec& exec, const Packed& packed);

  Packed norms_, copies_;
  Communicator& tied_;
  Tensor tied_gradient_;  // empty: no tied group here
};

}  // namespace drover
