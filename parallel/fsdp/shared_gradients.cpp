#include "parallel/fsdp/shared_gradients.h"

#include "core/ops/ops.h"
#include "core/watch/planted_bug.h"

namespace drover {

namespace {

// The parts of this rank's shards that belong to parameters summed over `which`.
std::vector<Tensor> pieces_of(std::span<const ParameterLayout> table, const ParameterGroups& groups,
                              TensorSum which) {
  std::vector<Tensor> pieces;
  for (int g = 0; g < groups.count(); ++g) {
    const GroupShard& shard = groups.shard(g);
    for (const GroupPiece& piece : groups.layout(g).pieces) {
      if (table[static_cast<std::size_t>(piece.parameter)].tensor_sum != which) continue;
      const Tensor held = shard.part(shard.gradient, piece.begin, piece.end());
      if (held.numel() > 0) pieces.push_back(held);
    }
  }
  return pieces;
}

bool leaves_out(const Exec& exec, const Communicator& ranks, Bug fault) {
  return ranks.size() > 1 && injects(exec.planted, fault);
}

}  // namespace

SharedGradients::SharedGradients(Memory& memory, std::span<const ParameterLayout> table,
                                 const ParameterGroups& groups, const Connections& connections,
                                 int tied_group)
    : norms_(pack(memory, table, groups, *connections.tensor, TensorSum::all)),
      copies_(pack(memory, table, groups, *connections.copies, TensorSum::copies)),
      tied_(*connections.tied),
      tied_gradient_(tied_group < 0 ? Tensor{} : groups.shard(tied_group).gradient) {}

SharedGradients::Packed SharedGradients::pack(Memory& memory, std::span<const ParameterLayout> table,
                                              const ParameterGroups& groups, Communicator& ranks,
                                              TensorSum which) const {
  Packed packed{.ranks = &ranks, .pieces = pieces_of(table, groups, which)};
  std::int64_t size = 0;
  for (const Tensor& piece : packed.pieces) size += piece.dims[0];
  packed.buffer = Buffer(memory, size * size_of(groups.master()), MemoryCategory::gradients);
  packed.flat = packed.buffer.tensor(groups.master(), {size});
  return packed;
}

void SharedGradients::sum(const Exec& exec, const Packed& packed) {
  std::int64_t at = 0;
  const auto each = [&](auto verb) {
    at = 0;
    for (const Tensor& piece : packed.pieces) {
      verb(piece, packed.flat.slice(0, at, at + piece.dims[0]));
      at += piece.dims[0];
    }
  };
  each([&](const Tensor& piece, const Tensor& part) { ops::copy(exec, {.in = piece, .out = part}); });
  packed.ranks->all_reduce(exec, {.x = packed.flat}).wait(exec);
  each([&](const Tensor& piece, const Tensor& part) { ops::copy(exec, {.in = part, .out = piece}); });
}

void SharedGradients::sum(const Exec& exec) {
  if (!leaves_out(exec, *norms_.ranks, Bug::norm_gradient_not_summed)) sum(exec, norms_);
  if (!leaves_out(exec, *copies_.ranks, Bug::kv_copies_not_summed)) sum(exec, copies_);
  if (!tied_gradient_.empty() && !leaves_out(exec, tied_, Bug::tied_gradient_not_summed))
    tied_.all_reduce(exec, {.x = tied_gradient_}).wait(exec);
}

}  // namespace drover
