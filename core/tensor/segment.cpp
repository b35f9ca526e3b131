#include "core/tensor/segment.h"

#include "core/base/error.h"

namespace drover {

std::int64_t attended_pairs(std::span<const Segment> segments) {
  std::int64_t pairs = 0;
  for (const Segment& segment : segments) pairs += segment.pairs();
  return pairs;
}

void check_segments(std::span<const Segment> segments, std::int64_t queries, std::int64_t keys) {
  std::int64_t next_query = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& s = segments[i];
    DROVER_CHECK(s.q_begin == next_query, "segment ", i, " starts at query ", s.q_begin, ", expected ",
                 next_query);
    DROVER_CHECK(s.q_length() >= 1, "segment ", i, " has no query");
    DROVER_CHECK(s.kv_begin >= 0 && s.kv_end <= keys, "segment ", i, " sees keys [", s.kv_begin, ", ",
                 s.kv_end, ") of ", keys);
    DROVER_CHECK(s.kv_length() >= s.q_length(), "segment ", i, " has more queries than keys");
    next_query = s.q_end;
  }
  DROVER_CHECK(next_query == queries, "segments end at query ", next_query, " of ", queries);
}

}  // namespace drover
