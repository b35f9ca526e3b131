// Counts what a rank sends: for `drover verify`, which shows the traffic of a layout. A normal run has no
// meter and none of this in its way.
//
// Convention, for a group of S ranks; it is what a bandwidth-optimal algorithm sends, and independent of how
// an implementation moves the bytes:
//   all_gather      (S - 1) x the bytes of this rank's part
//   reduce_scatter  all parts but this rank's own, (S - 1) x one part where they are equal
//   all_reduce      2 (S - 1) / S x the bytes, rounded down: a reduce_scatter and an all_gather
//   all_to_all      all parts but the one to itself
//   broadcast       (S - 1) x the bytes at the root, nothing elsewhere
//   send            the bytes;  recv, barrier: nothing
#pragma once

#include <array>

#include "parallel/mesh.h"

namespace drover {

// Bytes that one rank sent, by the communicator of Connections, in the order of the names. Sums among copies of kv
// heads count as tensor, those of a tied table as pipeline.
constexpr std::array<std::string_view, 5> kConnectionNames{"tensor", "context", "pipeline", "group",
                                                           "replicate"};
using SentBytes = std::array<std::int64_t, kConnectionNames.size()>;

// The same communicator, counting into `sent`, which outlives it and all that is split off it. One thread.
std::unique_ptr<Communicator> metered(std::unique_ptr<Communicator> communicator, std::int64_t& sent);
Connections metered(Connections connections, SentBytes& sent);

}  // namespace drover
