#include "parallel/comm/collective.h"

#include <algorithm>
#include <cstring>

namespace drover {

namespace {

constexpr std::int64_t kWholeBytes = 64 << 10;  // that a rank receives
constexpr std::int64_t kTreeBytes = 4 << 20;    // the same, along the tree, from its section or its parent

// Steele, Lea, Flood 2014 (SplitMix): a bijection of 64 bits that mixes well enough to compare by.
std::uint64_t mix(std::uint64_t word) {
  word += 0x9e3779b97f4a7c15u;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
  return word ^ (word >> 31);
}

std::uint64_t mix(std::uint64_t seed, std::uint64_t word) { return mix(seed ^ mix(word)); }

void even_offsets(std::vector<std::int64_t>& offsets, int size, std::int64_t total) {
  offsets.resize(size + 1);
  for (int part = 0; part <= size; ++part) offsets[part] = total / size * part;
}

void uneven_offsets(std::vector<std::int64_t>& offsets, std::span<const std::int64_t> counts) {
  offsets.assign(1, 0);
  for (const std::int64_t count : counts) {
    DROVER_CHECK(count >= 0, "a rank's count is ", count);
    offsets.push_back(offsets.back() + count);
  }
}

Content content_of(const Tensor& tensor) {
  if (tensor.numel() == 0) return Content::either;
  return tensor.data == nullptr ? Content::shapes : Content::real;
}

Content content_of(const Tensor& in, const Tensor& out) {
  const Content first = content_of(in), second = content_of(out);
  DROVER_CHECK(first == second || first == Content::either || second == Content::either, "one of ",
               in.describe(), " and ", out.describe(), " has no memory");
  return std::max(first, second);
}

void check_reducible(DType dtype) {
  DROVER_CHECK(dtype != DType::int32 && dtype != DType::uint8, name_of(dtype),
               " can travel but not be reduced");
}

void check_parts(int size, std::size_t counts) {
  DROVER_CHECK(static_cast<int>(counts) == size, counts, " counts for ", size, " ranks");
}

std::string_view name_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return "sum";
    case Reduction::max:
      return "max";
    case Reduction::min:
      return "min";
  }
  return "?";
}

}  // namespace

std::string_view name_of(Verb verb) {
  switch (verb) {
    case Verb::all_reduce:
      return "all_reduce";
    case Verb::all_gather:
      return "all_gather";
    case Verb::reduce_scatter:
      return "reduce_scatter";
    case Verb::all_to_all:
      return "all_to_all";
    case Verb::broadcast:
      return "broadcast";
    case Verb::barrier:
      return "barrier";
    case Verb::split:
      return "split";
  }
  return "?";
}

void CollectiveCall::reserve(int size) {
  in_offsets_.reserve(size + 1);
  out_offsets_.reserve(size + 1);
}

void CollectiveCall::start(Verb verb, const Tensor& in, const Tensor& out) {
  for (const Tensor* tensor : {&in, &out}) {
    DROVER_CHECK(tensor->contiguous(), name_of(verb), " of ", tensor->describe());
    DROVER_CHECK(tensor->device == DeviceKind::cpu, name_of(verb), " of memory on a GPU");
  }
  DROVER_CHECK(in.dtype == out.dtype, name_of(verb), " from ", in.describe(), " to ", out.describe());
  verb_ = verb;
  in_ = in;
  out_ = out;
  content_ = content_of(in, out);
  reduction_ = Reduction::sum;
  root_ = 0;
  in_offsets_.clear();
  out_offsets_.clear();
}

void CollectiveCall::set(const AllReduce& call) {
  check_reducible(call.x.dtype);
  start(Verb::all_reduce, call.x, call.x);
  reduction_ = call.reduction;
}

void CollectiveCall::set(const AllGather& call, int size) {
  start(Verb::all_gather, call.in, call.out);
  DROVER_CHECK(call.out.numel() == size * call.in.numel(), "all_gather of ", size, " times ",
               call.in.describe(), " into ", call.out.describe());
  even_offsets(out_offsets_, size, call.out.numel());
}

void CollectiveCall::set(const AllGatherV& call, int rank, int size) {
  check_parts(size, call.counts.size());
  start(Verb::all_gather, call.in, call.out);
  uneven_offsets(out_offsets_, call.counts);
  DROVER_CHECK(call.in.numel() == call.counts[rank] && call.out.numel() == out_offsets_.back(),
               "all_gather_v of ", call.in.describe(), " into ", call.out.describe(), " with count ",
               call.counts[rank], " of ", out_offsets_.back());
}

void CollectiveCall::set(const ReduceScatter& call, int size) {
  check_reducible(call.in.dtype);
  start(Verb::reduce_scatter, call.in, call.out);
  DROVER_CHECK(call.in.numel() == size * call.out.numel(), "reduce_scatter of ", call.in.describe(), " into ",
               size, " times ", call.out.describe());
  reduction_ = call.reduction;
  even_offsets(in_offsets_, size, call.in.numel());
}

void CollectiveCall::set(const ReduceScatterV& call, int rank, int size) {
  check_parts(size, call.counts.size());
  check_reducible(call.in.dtype);
  start(Verb::reduce_scatter, call.in, call.out);
  reduction_ = call.reduction;
  uneven_offsets(in_offsets_, call.counts);
  DROVER_CHECK(call.out.numel() == call.counts[rank] && call.in.numel() == in_offsets_.back(),
               "reduce_scatter_v of ", call.in.describe(), " into ", call.out.describe(), " with count ",
               call.counts[rank], " of ", in_offsets_.back());
}

void CollectiveCall::set(const AllToAll& call, int size) {
  start(Verb::all_to_all, call.in, call.out);
  DROVER_CHECK(call.in.numel() == call.out.numel() && call.in.numel() % size == 0, "all_to_all of ",
               call.in.describe(), " to ", call.out.describe(), " between ", size, " ranks");
  even_offsets(in_offsets_, size, call.in.numel());
  even_offsets(out_offsets_, size, call.out.numel());
}

void CollectiveCall::set(const AllToAllV& call, int size) {
  check_parts(size, call.send_counts.size());
  check_parts(size, call.recv_counts.size());
  start(Verb::all_to_all, call.in, call.out);
  uneven_offsets(in_offsets_, call.send_counts);
  uneven_offsets(out_offsets_, call.recv_counts);
  DROVER_CHECK(call.in.numel() == in_offsets_.back() && call.out.numel() == out_offsets_.back(),
               "all_to_all_v of ", in_offsets_.back(), " elements of ", call.in.describe(), " to ",
               out_offsets_.back(), " of ", call.out.describe());
}

void CollectiveCall::set(const Broadcast& call, int size) {
  DROVER_CHECK(0 <= call.root && call.root < size, "broadcast from rank ", call.root, " of ", size);
  start(Verb::broadcast, call.x, call.x);
  root_ = call.root;
}

void CollectiveCall::set(Verb verb) { start(verb, {}, {}); }

std::uint64_t CollectiveCall::signature() const {
  std::uint64_t hash = mix(static_cast<std::uint64_t>(verb_), static_cast<std::uint64_t>(in_.dtype));
  hash = mix(hash, static_cast<std::uint64_t>(reduction_));
  hash = mix(hash, static_cast<std::uint64_t>(root_));
  if (verb_ == Verb::all_to_all) return hash;  // sizes belong to pairs of ranks: exchange_balance
  if (verb_ == Verb::all_reduce || verb_ == Verb::broadcast)
    hash = mix(hash, static_cast<std::uint64_t>(in_.numel()));
  for (const std::int64_t offset : in_offsets_) hash = mix(hash, static_cast<std::uint64_t>(offset));
  for (const std::int64_t offset : out_offsets_) hash = mix(hash, static_cast<std::uint64_t>(offset));
  return hash;
}

std::uint64_t CollectiveCall::exchange_balance(int rank) const {
  if (verb_ != Verb::all_to_all) return 0;
  const auto pair = [](int from, int to, std::int64_t count) {
    return mix(mix(static_cast<std::uint64_t>(from), static_cast<std::uint64_t>(to)),
               static_cast<std::uint64_t>(count));
  };
  std::uint64_t balance = 0;
  const int size = static_cast<int>(in_offsets_.size()) - 1;
  for (int peer = 0; peer < size; ++peer) {
    balance += pair(rank, peer, in_count(peer)) - pair(peer, rank, out_count(peer));
  }
  return balance;
}

CallHeader CollectiveCall::header(int rank) const {
  return {signature(), exchange_balance(rank), content_ == Content::real, content_ == Content::shapes};
}

bool headers_agree(const CallHeader& mine, const CallHeader& sum, int size) {
  return sum[0] == mine[0] * static_cast<std::uint64_t>(size) && sum[1] == 0 && (sum[2] == 0 || sum[3] == 0);
}

bool CollectiveCall::every_rank_sums_all(int size) const {
  return verb_ == Verb::all_reduce && size * in_.bytes() <= kWholeBytes;
}

bool CollectiveCall::goes_along_tree(int size) const {
  if (size <= OrderedReduction::kSection) return false;
  if (verb_ == Verb::all_reduce) return OrderedReduction::kSection * in_.bytes() <= kTreeBytes;
  return verb_ == Verb::all_gather && out_.bytes() <= kTreeBytes;
}

Range CollectiveCall::summed_by(int rank, int size) const {
  if (verb_ == Verb::reduce_scatter) return {in_offsets_[rank], in_offsets_[rank + 1]};
  const std::int64_t n = in_.numel();
  if (every_rank_sums_all(size)) return {0, n};
  constexpr std::int64_t kAlign = 32;  // elements; pieces begin at cache lines whatever the dtype
  const std::int64_t step = (n / size + kAlign) / kAlign * kAlign;
  return {std::min(rank * step, n), std::min((rank + 1) * step, n)};
}

std::string CollectiveCall::describe() const {
  switch (verb_) {
    case Verb::all_reduce:
      return cat("all_reduce ", in_.describe(), " ", name_of(reduction_));
    case Verb::reduce_scatter:
      return cat("reduce_scatter ", in_.describe(), " to ", out_.describe(), " ", name_of(reduction_));
    case Verb::broadcast:
      return cat("broadcast ", in_.describe(), " from rank ", root_);
    case Verb::all_gather:
    case Verb::all_to_all:
      return cat(name_of(verb_), " ", in_.describe(), " to ", out_.describe());
    case Verb::barrier:
    case Verb::split:
      return std::string(name_of(verb_));
  }
  return "?";
}

Tensor flat_piece(const Tensor& tensor, std::int64_t begin, std::int64_t end) {
  void* data = tensor.data;
  if (data != nullptr) data = static_cast<std::byte*>(data) + begin * size_of(tensor.dtype);
  return Tensor::of(data, tensor.dtype, {end - begin}, tensor.device);
}

void move_elements(const Tensor& from, const Tensor& to) {
  const std::int64_t bytes = from.bytes();
  if (bytes > 0 && from.data != to.data) std::memcpy(to.data, from.data, static_cast<std::size_t>(bytes));
}

OrderedReduction::OrderedReduction(int ranks) : sections_((ranks + kSection - 1) / kSection) {
  if (sections_ == 1) return;
  partials_.resize(sections_ * kPiece);
  pieces_.resize(ranks);
  section_results_.resize(sections_);
}

void OrderedReduction::run(const Exec& exec, Reduction reduction, std::span<const Tensor> parts,
                           const Tensor& out, std::span<const Tensor> copies) {
  if (sections_ == 1) {
    exec.backend.combine(exec, {.reduction = reduction, .parts = parts, .out = out, .copies = copies});
    return;
  }
  for (std::int64_t begin = 0; begin < out.numel(); begin += kPiece) {
    const std::int64_t end = std::min(begin + kPiece, out.numel());
    for (std::size_t part = 0; part < parts.size(); ++part)
      pieces_[part] = flat_piece(parts[part], begin, end);
    run_piece(exec, reduction, pieces_, flat_piece(out, begin, end));
    for (const Tensor& copy : copies)
      move_elements(flat_piece(out, begin, end), flat_piece(copy, begin, end));
  }
}

void OrderedReduction::run_piece(const Exec& exec, Reduction reduction, std::span<const Tensor> parts,
                                 const Tensor& out) {
  for (int section = 0; section < sections_; ++section) {
    const auto members =
        parts.subspan(section * kSection, std::min<std::size_t>(kSection, parts.size() - section * kSection));
    section_results_[section] =
        Tensor::of(&partials_[section * kPiece], partial_dtype(out.dtype, reduction), {out.numel()});
    combine_section(exec, reduction, members, section_results_[section]);
  }
  combine_sections(exec, reduction, section_results_, out);
}

// bfloat16 is rounded once, at the very end, so the sections' sums stay float32.
DType OrderedReduction::partial_dtype(DType dtype, Reduction reduction) {
  return dtype == DType::bfloat16 && reduction == Reduction::sum ? DType::float32 : dtype;
}

void OrderedReduction::combine_section(const Exec& exec, Reduction reduction, std::span<const Tensor> members,
                                       const Tensor& partial) {
  if (members[0].dtype == partial.dtype)
    return exec.backend.combine(exec, {.reduction = reduction, .parts = members, .out = partial});
  for (const Tensor& part : members)
    exec.backend.copy(
        exec, {.in = part, .out = partial, .write = &part == &members[0] ? Write::assign : Write::add});
}

void OrderedReduction::combine_sections(const Exec& exec, Reduction reduction,
                                        std::span<const Tensor> partials, const Tensor& out) {
  const bool widened = partials[0].dtype != out.dtype;
  const Tensor& total = widened ? partials[0] : out;
  exec.backend.combine(exec, {.reduction = reduction, .parts = partials, .out = total});
  if (widened) exec.backend.copy(exec, {.in = total, .out = out});
}

}  // namespace drover
