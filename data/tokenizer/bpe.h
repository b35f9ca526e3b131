// The merge half of BPE: the bytes or characters of one piece to token ids.
//
// Among the adjacent pairs that have a rule, the one of lowest rank merges, the leftmost among equal ranks;
// again until none is left. Short pieces scan for it; long ones keep pairs in a heap over a linked list, so
// that a piece of n bytes costs O(n log n). Thread rules: Bpe is immutable; a BpeWork belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/bpe_table.h"
#include "data/tokenizer/tokenizer.h"

namespace drover {

// Workspace of Bpe::merge; keeps its memory between calls, up to a few MiB.
struct BpeWork {
  struct Node {
    std::int32_t id;    // token that begins here; meaningless once merged into its left neighbour
    std::int32_t rank;  // of the pair (this, next); kNoRank if there is none
    std::int32_t previous, next;
  };
  std::vector<std::int32_t> ids, ranks;
  std::vector<Node> nodes;
  std::vector<std::uint64_t> heap;  // rank << 32 | position, smallest on top; entries may be out of date
};

class Bpe {
 public:
  // `spec` must be valid (data/tokenizer/tokenizer.h). Added tokens take no part but those that stand in the
  // vocabulary too.
  explicit Bpe(const TokenizerSpec& spec);

  // Appends the ids of one piece. `piece` is not empty and shorter than 2 GiB (input error).
  void encode(std::string_view piece, BpeWork& work, std::vector<std::int32_t>& out) const;

  // The ordinary token with exactly these bytes, or -1.
  std::int32_t find(std::string_view bytes) const;

 private:
  struct Rule {
    std::int32_t rank, merged;
  };
  struct Slot {
    std::uint32_t hash = 0;
    std::int32_t id = -1;
  };

  const Rule* rule(std::int32_t left, std::int32_t right) const { return rules_.find(pair_key(left, right)); }
  std::int32_t rank(std::int32_t left, std::int32_t right) const;
  void cut_into_atoms(std::string_view piece, std::vector<std::int32_t>& ids) const;
  // Both merge work.ids.
  void merge_short(BpeWork& work, std::vector<std::int32_t>& out) const;
  void merge_long(BpeWork& work, std::vector<std::int32_t>& out) const;
  void fill_nodes(BpeWork& work) const;
  void merge_node(std::int32_t at, BpeWork& work) const;
  void push(std::int32_t at, BpeWork& work) const;
  void index_tokens(const TokenizerSpec& spec);
  void find_atoms();
  void find_whole_tokens(const TokenizerSpec& spec);

  PairTable<Rule> rules_;
  Atoms atoms_;
  std::array<std::int32_t, 256> byte_ids_{};
  std::array<std::int32_t, 128> ascii_ids_{};  // of characters, -1: no token
  std::vector<Slot> slots_;                    // open addressing on the bytes of ordinary tokens
  std::string bytes_;                          // of all ordinary tokens, end to end
  std::vector<std::int64_t> offsets_;          // of id in bytes_; V + 1 of them
  std::vector<bool>
      whole_;  // merging the token's bytes gives the token, so that one look-up may stand for it
};

}  // namespace drover
