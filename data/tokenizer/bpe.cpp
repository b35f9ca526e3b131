#include "data/tokenizer/bpe.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "core/base/error.h"
#include "data/tokenizer/spec.h"
#include "data/unicode/unicode.h"

namespace drover {
namespace {

constexpr std::int32_t kNoRank = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kLongPiece = 128;      // from here on the heap is faster than scanning
constexpr std::size_t kKeptNodes = 1 << 17;  // a longer piece's workspace is given back

std::uint64_t hash_bytes(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace

Bpe::Bpe(const TokenizerSpec& spec) : rules_(spec.merges.size()), atoms_(spec.atoms) {
  for (const Merge& merge : spec.merges)
    rules_.at_or_add(pair_key(merge.left, merge.right), {merge.rank, merge.merged});
  index_tokens(spec);
  find_atoms();
  find_whole_tokens(spec);
}

void Bpe::index_tokens(const TokenizerSpec& spec) {
  const std::vector<bool> apart = tokens_apart(spec);
  slots_.resize(std::bit_ceil(2 * spec.tokens.size()));
  offsets_.push_back(0);
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    if (!apart[id]) {
      const std::uint64_t hash = hash_bytes(token);
      std::size_t at = hash & (slots_.size() - 1);
      while (slots_[at].id >= 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = {std::uint32_t(hash >> 32), std::int32_t(id)};
      bytes_ += token;
    }
    offsets_.push_back(std::int64_t(bytes_.size()));
  }
}

void Bpe::find_atoms() {
  const bool of_bytes = atoms_ == Atoms::bytes;
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte)
    byte_ids_[byte] = find(of_bytes ? std::string(1, char(byte)) : byte_token(std::uint8_t(byte)));
  for (std::size_t c = 0; c < ascii_ids_.size(); ++c) ascii_ids_[c] = find(std::string(1, char(c)));
}

void Bpe::find_whole_tokens(const TokenizerSpec& spec) {
  whole_.assign(spec.tokens.size(), spec.ignore_merges);
  if (spec.ignore_merges) return;
  BpeWork work;
  std::vector<std::int32_t> ids;
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    if (offsets_[id] == offsets_[id + 1]) continue;
    ids.clear();
    encode(spec.tokens[id], work, ids);
    whole_[id] = ids.size() == 1 && ids[0] == std::int32_t(id);
  }
}

std::int32_t Bpe::find(std::string_view bytes) const {
  const std::uint64_t hash = hash_bytes(bytes);
  std::size_t at = hash & (slots_.size() - 1);
  for (; slots_[at].id >= 0; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].hash != std::uint32_t(hash >> 32)) continue;
    const std::int64_t begin = offsets_[std::size_t(slots_[at].id)],
                       end = offsets_[std::size_t(slots_[at].id) + 1];
    if (std::string_view(bytes_).substr(std::size_t(begin), std::size_t(end - begin)) == bytes)
      return slots_[at].id;
  }
  return -1;
}

std::int32_t Bpe::rank(std::int32_t left, std::int32_t right) const {
  const Rule* found = rule(left, right);
  return found ? found->rank : kNoRank;
}

void Bpe::encode(std::string_view piece, BpeWork& work, std::vector<std::int32_t>& out) const {
  if (piece.size() == 1 && atoms_ == Atoms::bytes)
    return out.push_back(byte_ids_[static_cast<unsigned char>(piece[0])]);
  if (piece.size() > std::size_t(std::numeric_limits<std::int32_t>::max())) {
    throw input_error("a single piece of text has ", piece.size(),
                      " bytes without a place to split; cut it below 2 GiB");
  }
  const std::int32_t id = find(piece);
  if (id >= 0 && whole_[std::size_t(id)]) return out.push_back(id);
  cut_into_atoms(piece, work.ids);
  work.ids.size() < kLongPiece ? merge_short(work, out) : merge_long(work, out);
}

void Bpe::cut_into_atoms(std::string_view piece, std::vector<std::int32_t>& ids) const {
  ids.clear();
  const auto add_bytes = [&](std::string_view bytes) {
    for (const char byte : bytes) ids.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  };
  if (atoms_ == Atoms::bytes) return add_bytes(piece);
  for (std::size_t at = 0, length = 0; at < piece.size(); at += length) {
    const char32_t character = decode_utf8(piece.substr(at), length);
    const std::string_view bytes = piece.substr(at, length);
    const std::int32_t id = character < ascii_ids_.size() ? ascii_ids_[character] : find(bytes);
    id >= 0 ? ids.push_back(id) : add_bytes(bytes);
  }
}

void Bpe::merge_short(BpeWork& work, std::vector<std::int32_t>& out) const {
  auto& [ids, ranks, nodes, heap] = work;
  ranks.clear();
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) ranks.push_back(rank(ids[i], ids[i + 1]));
  while (!ranks.empty()) {
    const auto best = std::min_element(ranks.begin(), ranks.end());
    if (*best == kNoRank) break;
    const std::size_t at = std::size_t(best - ranks.begin());
    ids[at] = rule(ids[at], ids[at + 1])->merged;
    ids.erase(ids.begin() + std::ptrdiff_t(at) + 1);
    ranks.erase(best);
    if (at < ranks.size()) ranks[at] = rank(ids[at], ids[at + 1]);
    if (at > 0) ranks[at - 1] = rank(ids[at - 1], ids[at]);
  }
  out.insert(out.end(), ids.begin(), ids.end());
}

void Bpe::fill_nodes(BpeWork& work) const {
  const auto count = std::int32_t(work.ids.size());
  work.nodes.resize(work.ids.size());
  work.heap.clear();
  for (std::int32_t at = 0; at < count; ++at)
    work.nodes[std::size_t(at)] = {work.ids[std::size_t(at)], kNoRank, at - 1, at + 1 < count ? at + 1 : -1};
  for (std::int32_t at = 0; at + 1 < count; ++at) {
    BpeWork::Node& node = work.nodes[std::size_t(at)];
    node.rank = rank(node.id, work.nodes[std::size_t(at) + 1].id);
    if (node.rank != kNoRank) work.heap.push_back(std::uint64_t(node.rank) << 32 | std::uint32_t(at));
  }
  std::make_heap(work.heap.begin(), work.heap.end(), std::greater<>());
}

void Bpe::push(std::int32_t at, BpeWork& work) const {
  BpeWork::Node& node = work.nodes[std::size_t(at)];
  node.rank = node.next < 0 ? kNoRank : rank(node.id, work.nodes[std::size_t(node.next)].id);
  if (node.rank == kNoRank) return;
  work.heap.push_back(std::uint64_t(node.rank) << 32 | std::uint32_t(at));
  std::push_heap(work.heap.begin(), work.heap.end(), std::greater<>());
}

void Bpe::merge_node(std::int32_t at, BpeWork& work) const {
  BpeWork::Node& left = work.nodes[std::size_t(at)];
  BpeWork::Node& right = work.nodes[std::size_t(left.next)];
  left.id = rule(left.id, right.id)->merged;
  right.rank = kNoRank;  // its heap entries are out of date from here on
  left.next = right.next;
  if (left.next >= 0) work.nodes[std::size_t(left.next)].previous = at;
  push(at, work);
  if (left.previous >= 0) push(left.previous, work);
}

void Bpe::merge_long(BpeWork& work, std::vector<std::int32_t>& out) const {
  fill_nodes(work);
  while (!work.heap.empty()) {
    std::pop_heap(work.heap.begin(), work.heap.end(), std::greater<>());
    const std::uint64_t top = work.heap.back();
    work.heap.pop_back();
    const auto at = std::int32_t(top & 0x7FFFFFFF);
    if (work.nodes[std::size_t(at)].rank == std::int32_t(top >> 32)) merge_node(at, work);
  }
  for (std::int32_t at = 0; at >= 0; at = work.nodes[std::size_t(at)].next)
    out.push_back(work.nodes[std::size_t(at)].id);
  if (work.nodes.capacity() > kKeptNodes) work = {};
}

}  // namespace drover
