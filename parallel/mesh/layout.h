// Where each parameter lives. One table (built by model/layouts.h) says for every parameter how it is cut,
// where it is copied, over which axes its gradient is summed and what it is tied to. Initialisation,
// tensor-parallel slices, flat shards, reductions, the gradient norm, checkpoint ownership, resharding and
// tests all read this table and nothing else. Everything here is a value or a pure function.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/function_ref.h"
#include "parallel/mesh/mesh.h"

namespace drover {

// Offset and extent of a piece of a logical parameter, in elements per dim, outermost first. Parameters have
// 1 or 2 dims; a vector is a box with one row.
struct Box {
  std::array<std::int64_t, 2> offset{0, 0};
  std::array<std::int64_t, 2> extent{0, 0};

  std::int64_t numel() const { return extent[0] * extent[1]; }
  bool empty() const { return numel() == 0; }
  bool operator==(const Box&) const = default;
};
Box intersect(const Box& a, const Box& b);  // empty boxes are all-zero extents
std::string describe(const Box& box);       // "[0:64, 0:256]"

// How tensor parallelism treats a parameter. TP = parts x copies: rank t holds part t / copies; each part is
// held by `copies` ranks (kv heads fewer than TP), whose gradients are summed among them.
struct TensorCut {
  int dim = -1;  // the dim that is cut; -1: every TP rank holds the whole parameter
  int parts = 1;
  int copies = 1;

  bool operator==(const TensorCut&) const = default;
};

// Over which ranks of the tensor axis the gradient is summed.
enum class TensorSum : std::uint8_t {
  none,    // each rank's gradient is complete for its part
  copies,  // among the copies of a part
  all,     // among all TP ranks (norms under sequence parallelism: each rank saw a part of the tokens)
};

enum class Init : std::uint8_t { normal, ones };

// One logical parameter, under Hugging Face's name.
struct ParameterLayout {
  std::string name;                         // "model.layers.3.self_attn.q_proj.weight"
  std::array<std::int64_t, 2> shape{1, 0};  // logical, of the whole model; vectors are {1, n}
  int dims = 2;                             // 1 for vectors
  int group = 0;                            // index of the parameter group (gathered together)
  bool fused_with_next = false;  // storage: the next row of the table continues this matrix (q k v; gate up)
  TensorCut cut;
  TensorSum tensor_sum =
      TensorSum::none;  // besides context, shard and replicate, over which every gradient is summed
  Init init = Init::normal;
  double init_stddev = 0;
  bool decay = true;    // weight decay applies (matrices only)
  std::string tied_to;  // name of the parameter whose storage this is; empty: its own

  std::int64_t numel() const { return shape[0] * shape[1]; }
};

// The piece of a parameter that a tensor-parallel rank computes with.
Box local_box(const ParameterLayout& parameter, int tensor_rank, int tensor_ranks);

// Several tensor ranks may hold the same piece; this says which one of them counts it in the gradient norm and writes
// it into checkpoints.
bool counts_piece(const ParameterLayout& parameter, int tensor_rank);

// Consecutive flat elements of a group that belongs to one parameter's local piece.
struct GroupPiece {
  int parameter = 0;       // index into the table
  std::int64_t begin = 0;  // first flat element in the group
  Box box;                 // the local box, row-major at [begin, end())
  std::int64_t end() const { return begin + box.numel(); }
};

// The flat storage of one group on one tensor-parallel rank: the local pieces in table order, so that q, k, v
// (and gate, up) are adjacent and form one fused matrix; units that are not fused start aligned; padded so
// that it cuts into equal aligned shards.
struct GroupLayout {
  std::string name;  // "layers.3", "embedding", "head"
  std::vector<GroupPiece> pieces;
  std::int64_t size = 0;  // elements, padding included; shards * shard_size
  std::int64_t shard_size = 0;
  bool in_turn = false;  // used one after another with others of its size, as blocks are
  bool counted = true;   // false: a tied copy that another pipeline rank counts and writes
};
constexpr std::int64_t kFlatAlignment = 32;  // elements: 64 bytes of bfloat16

// The rows of `table` whose group is `group`, without tied ones, for one tensor-parallel rank.
GroupLayout flat_layout(std::string name, std::span<const ParameterLayout> table, int group, int tensor_rank,
                        int tensor_ranks, int shards);

// A part of a parameter inside a flat range: which box it is, and where it starts in the range.
struct FlatBox {
  int parameter = 0;
  Box box;                  // in coordinates of the whole logical parameter
  std::int64_t offset = 0;  // elements from the start of the range
};
// Calls visit(begin, end) for the maximal flat ranges of a group that this tensor rank counts.
void each_counted_range(const GroupLayout& group, std::span<const ParameterLayout> table, int tensor_rank,
                        FunctionRef<void(std::int64_t begin, std::int64_t end)> visit);

// The boxes that cover the flat range [begin, end) of a group, padding left out: at most three per parameter
// (a partial first row, whole rows, a partial last row), in flat order.
std::vector<FlatBox> boxes_of_range(const GroupLayout& group, std::int64_t begin, std::int64_t end);

}  // namespace drover
