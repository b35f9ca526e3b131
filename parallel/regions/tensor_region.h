// Tensor parallelism with sequence parallelism (Shoeybi et al. 2019, section 3; Korthikanti et al. 2022, section
// 4.2.2): between blocks' products each of the TP ranks holds N / TP tokens whole; inside, it holds all N tokens
// and its part of the weights. This is where a module passes from one to the other and back:
//
//   shard [N / TP, D]  -- gather -->  full [N, D]  ... products with a rank's part of the weights ...
//                                     partial [N, D]  -- scatter_sum -->  shard [N / TP, D]
//
// The products beside these are cut into pieces of tokens, so that one piece travels while the next is computed.
// Piece p of n is tokens [p N / n, (p + 1) N / n), of which rank t's shard holds the t-th part; so a shard is n
// ranges of tokens, gathers and scatters need no copies, and the order of tokens in `full` is that of the microbatch.
//
// Partial results of products are kept, sent and added in master dtype and rounded once, as a rank alone rounds its
// product. Bits depend on N and TP alone: sums are in rank order. A rank alone (TP = 1) obeys the same verbs; `full`
// is then the shard itself.
#pragma once

#include <array>

#include "core/base/function_ref.h"
#include "core/ops/backend.h"
#include "parallel/comm/communicator.h"

namespace drover {

class TensorRegion {
 public:
  // `tensor` (Connections::tensor) outlives this. Used by the rank's one compute thread.
  explicit TensorRegion(Communicator& tensor) : tensor_(tensor) {}

  int rank() const { return tensor_.rank(); }
  int size() const { return tensor_.size(); }
  // Tokens of a rank's shard, of N; N is a multiple of TP.
  std::int64_t shard_tokens(std::int64_t tokens) const;
  // Room for what `shard` is a part of: the shard itself on a rank alone.
  Tensor take_full(Arena& arena, const Tensor& shard) const;

  // full = the shards of all ranks; `meanwhile` is computed while they travel.
  void gather(const Exec&, const Tensor& shard, const Tensor& full, FunctionRef<void()> meanwhile);
  void gather(const Exec& exec, const Tensor& shard, const Tensor& full) {
    gather(exec, shard, full, [] {});
  }
  // full = gather(shard), out [N, n] = full x weight, as `product` (nt or nn) says.
  struct GatherMatmul {
    Product product = Product::nt;
    Tensor shard, weight;
    Tensor full, out;
  };
  void gather_matmul(const Exec&, const GatherMatmul&);

  // Room for a rank's part of a sum [N, D], master dtype: the shard itself on a rank alone.
  Tensor take_partial(Arena& arena, const Tensor& shard) const;
  // shard = this rank's tokens of the sum over ranks of their partial [N, D], whose dtype is the shard's or master.
  void scatter_sum(const Exec&, const Tensor& partial, const Tensor& shard);
  // shard = scatter_sum(in [N, k] x weight); `meanwhile` is computed while the last pieces travel.
  struct MatmulScatter {
    Product product = Product::nt;
    Tensor in, weight;
    Tensor shard;
  };
  void matmul_scatter(const Exec&, const MatmulScatter&, FunctionRef<void()> meanwhile);
  void matmul_scatter(const Exec& exec, const MatmulScatter& m) {
    matmul_scatter(exec, m, [] {});
  }

  // Collected results of each rank: out [TP, n] from in [n].
  void gather_parts(const Exec&, const Tensor& in, const Tensor& out);

 private:
  static constexpr int kMostPieces = 4;
  using Pieces = std::array<Pending, kMostPieces>;

  int pieces(std::int64_t tokens) const;
  void start_gather(const Exec&, const Tensor& shard, const Tensor& full, Pieces& pending);
  Tensor take_sum(Arena& arena, const Tensor& partial, const Tensor& shard) const;
  Pending start_scatter(const Exec&, const Tensor& partial, const Tensor& sum, int piece);
  static void finish_scatter(const Exec&, Pieces& pending, const Tensor& sum, const Tensor& shard);

  Communicator& tensor_;
};

}  // namespace drover
