// One rank's call of a collective, as every communicator sees it: checked, with the offsets of the ranks'
// parts, and a signature by which ranks find out that their calls do not match. And the order in which
// reductions add.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/range.h"
#include "parallel/comm/communicator.h"

namespace drover {

enum class Verb : std::uint8_t {
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  broadcast,
  barrier,
  split,
};
std::string_view name_of(Verb verb);

// Whether a call's tensors have bytes to move. `either`: all of this rank's tensors have zero elements.
enum class Content : std::uint8_t { either, real, shapes };

// What ranks compare. Its sum over the ranks (modulo 2^64) says whether all of them called the same: signature,
// exchange balance, ranks with memory, ranks with shapes only.
using CallHeader = std::array<std::uint64_t, 4>;
// Sums of equal signatures are `size` times the signature; of others, but for a chance of 2^-64, on no rank.
bool headers_agree(const CallHeader& mine, const CallHeader& sum, int size);

// Slots keep these and use them again: after reserve the setters allocate nothing. A setter throws
// Error{internal} for tensors that do not fit each other, which is the caller's mistake and found before any
// other rank is involved.
class CollectiveCall {
 public:
  void reserve(int size);  // ranks
  void set(const AllReduce& call);
  void set(const AllGather& call, int size);
  void set(const AllGatherV& call, int rank, int size);
  void set(const ReduceScatter& call, int size);
  void set(const ReduceScatterV& call, int rank, int size);
  void set(const AllToAll& call, int size);
  void set(const AllToAllV& call, int size);
  void set(const Broadcast& call, int size);
  void set(Verb verb);  // barrier, split

  Verb verb() const { return verb_; }
  DType dtype() const { return in_.dtype; }
  Reduction reduction() const { return reduction_; }
  int root() const { return root_; }
  Content content() const { return content_; }
  // all_reduce and broadcast: the same tensor twice.
  const Tensor& in() const { return in_; }
  const Tensor& out() const { return out_; }
  // Part r is elements [offsets[r], offsets[r + 1]). Parts of `in`: reduce_scatter, all_to_all. Of `out`:
  // all_gather, all_to_all.
  std::span<const std::int64_t> in_offsets() const { return in_offsets_; }
  std::span<const std::int64_t> out_offsets() const { return out_offsets_; }
  std::int64_t in_count(int part) const { return in_offsets_[part + 1] - in_offsets_[part]; }
  std::int64_t out_count(int part) const { return out_offsets_[part + 1] - out_offsets_[part]; }

  // Equal on all ranks exactly when verb, dtype, reduction, root and the sizes that every rank must agree on
  // are equal.
  std::uint64_t signature() const;
  // Over all ranks these add to 0 (modulo 2^64) when what each rank sends to another is what that one
  // expects.
  std::uint64_t exchange_balance(int rank) const;
  CallHeader header(int rank) const;
  // Between processes an all_reduce is one round where every rank sums everything, while that costs less than a
  // second round: that of the sums of pieces, one piece a rank.
  bool every_rank_sums_all(int size) const;
  // Whether it is small, and the group large enough, to travel by messages along the tree of
  // parallel/comm/rank_tree.h: an all_reduce or an all_gather of more than one section of ranks. Otherwise every rank
  // has messages with every other.
  bool goes_along_tree(int size) const;
  // The elements of `in` that a rank sums in an all_reduce or a reduce_scatter.
  Range summed_by(int rank, int size) const;
  // "all_reduce float32[1024] sum"
  std::string describe() const;

 private:
  void start(Verb verb, const Tensor& in, const Tensor& out);
  Verb verb_ = Verb::barrier;
  Reduction reduction_ = Reduction::sum;
  Content content_ = Content::either;
  int root_ = 0;
  Tensor in_, out_;
  std::vector<std::int64_t> in_offsets_, out_offsets_;
};

// Elements [begin, end) of a contiguous tensor, in memory order, whatever its dims. Null data stays null.
Tensor flat_piece(const Tensor& tensor, std::int64_t begin, std::int64_t end);
// Same dtype and size; where both are the same memory nothing happens. Host memory.
void move_elements(const Tensor& from, const Tensor& to);

// out = parts[0] op parts[1] op ... in the order that the Communicator contract fixes for that many ranks.
// One per communicator (it keeps the partial results of large groups); one thread at a time.
class OrderedReduction {
 public:
  static constexpr int kSection = 64;  // ranks that are added one after the other

  explicit OrderedReduction(int ranks);
  // Equal 1-D tensors; out may be any of the parts. copies: what gets the same as out.
  void run(const Exec& exec, Reduction reduction, std::span<const Tensor> parts, const Tensor& out,
           std::span<const Tensor> copies = {});

  // The same in two steps, for groups of more than one section: one section's result, of partial_dtype, and the
  // results of all sections, which may be overwritten.
  static DType partial_dtype(DType dtype, Reduction reduction);
  static void combine_section(const Exec& exec, Reduction reduction, std::span<const Tensor> members,
                              const Tensor& partial);
  static void combine_sections(const Exec& exec, Reduction reduction, std::span<const Tensor> partials,
                               const Tensor& out);

 private:
  static constexpr std::int64_t kPiece = 4096;  // elements whose partial results are kept at a time
  void run_piece(const Exec& exec, Reduction reduction, std::span<const Tensor> parts, const Tensor& out);
  int sections_;
  std::vector<double> partials_;  // sections x kPiece elements of up to 8 bytes
  std::vector<Tensor> pieces_, section_results_;
};

}  // namespace drover
