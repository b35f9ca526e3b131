// The endless token order of one source, addressed by one integer: the feed position.
//
// A source is cut once, at document ends, into regions of about 64M tokens. In each epoch the regions are
// permuted by a keyed permutation of (seed, source name, epoch), and the documents inside each region
// likewise; tokens inside a document stay in order. So every token is fed exactly once per epoch, any
// position is found by binary search, and memory is the index of one region. A store that grows or is
// prepared anew is another source: positions don't carry over.
//
// Thread rules: one thread at a time (it caches indexes). Errors: Error{input} for a source without tokens or
// with offsets that decrease.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/permutation.h"
#include "data/store/source.h"

namespace drover {

// Consecutive feed tokens of one document: a whole document, or the part of it that a range cuts out. A row
// is a list of pieces.
struct Piece {
  std::int64_t source_begin = 0;  // where the tokens stand in the source
  std::int64_t length = 0;        // >= 1
  bool ends_document = false;     // the last of them is its document's last token; if not, the next token is
                                  // source_begin + length

  bool operator==(const Piece&) const = default;
};

struct FeedOptions {
  std::uint64_t seed = 0;
  std::int64_t region_tokens = std::int64_t{1}
                               << 26;  // a region is closed at the first document end at or beyond this
  std::int64_t region_documents = std::int64_t{1}
                                  << 20;  // or at this many documents: bounds the index at 8 MiB
};

class Feed {
 public:
  // The source outlives the feed. Cuts the regions: O(regions x log documents) look-ups.
  Feed(const TokenSource& source, const FeedOptions& options);

  const TokenSource& source() const { return source_; }
  std::int64_t epoch_tokens() const { return epoch_tokens_; }

  // Appends the pieces that make up feed tokens [position, position + count), in feed order. Reads offsets
  // only, no tokens. Allocates only when `pieces` must grow.
  void append_pieces(std::int64_t position, std::int64_t count, std::vector<Piece>& pieces);

 private:
  struct Region {
    std::int64_t first_document = 0, documents = 0, tokens = 0;
  };
  // The order of regions in one epoch.
  struct Epoch {
    std::int64_t number = -1;
    Permutation order;
    std::vector<std::int64_t> starts;  // tokens of the epoch before its i-th region; one more than regions
  };
  // The order of documents in one region of one epoch.
  struct Index {
    std::int64_t epoch = -1, ordinal = -1;  // the ordinal-th region of that epoch
    std::int64_t begin = 0;                 // feed position of its first token
    std::int64_t first_document = 0;
    Permutation order;
    std::vector<std::int64_t>
        starts;  // tokens of the region before its i-th document; one more than documents
  };

  void cut_regions(const FeedOptions& options);
  std::int64_t region_end(std::int64_t first_document, const FeedOptions& options) const;
  const Epoch& epoch(std::int64_t number);
  const Index& index_at(std::int64_t position);
  void build(Index& index, const Epoch& epoch, std::int64_t ordinal) const;

  const TokenSource& source_;
  std::uint64_t key_;
  std::int64_t epoch_tokens_;
  std::vector<Region> regions_;
  // Two of each: rows of one step straddle a border while both sides are asked for in turn.
  std::array<Epoch, 2> epochs_;
  std::array<Index, 2> indexes_;
  int older_epoch_ = 0, older_index_ = 0;
};

}  // namespace drover
