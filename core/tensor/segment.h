// Attention segments: the only form in which a mask exists in Drover.
//
// A segment is a contiguous range of query rows with the contiguous range of keys it may see, causal and
// aligned at the bottom right: query row q_begin + i sees keys [kv_begin, kv_end - (q_end - q_begin) + i +
// 1). A document mask is a list of segments; keys of other documents are never computed with. Invariants of a
// list (check_segments): every query row is in exactly one segment; kv length >= q length >= 1; kv ranges may
// overlap (the pieces of one document on a context-parallel rank share a prefix).
#pragma once

#include <cstdint>
#include <span>

namespace drover {

struct Segment {
  std::int32_t q_begin = 0, q_end = 0;    // rows of the packed queries
  std::int32_t kv_begin = 0, kv_end = 0;  // rows of the packed keys and values

  std::int32_t q_length() const { return q_end - q_begin; }
  std::int32_t kv_length() const { return kv_end - kv_begin; }
  // (query, key) pairs that attend: sum over i of kv_length - q_length + i + 1.
  std::int64_t pairs() const {
    const std::int64_t q = q_length(), kv = kv_length();
    return q * (kv - q) + q * (q + 1) / 2;
  }
  bool operator==(const Segment&) const = default;
};

// The measure of attention work used by FLOP counts, balancing and MFU.
std::int64_t attended_pairs(std::span<const Segment> segments);

// Throws Error{internal} naming the first segment that breaks an invariant of the list above.
void check_segments(std::span<const Segment> segments, std::int64_t queries, std::int64_t keys);

}  // namespace drover
