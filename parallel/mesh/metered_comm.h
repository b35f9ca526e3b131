// Counts what a rank sends: for `drover verify`, which shows the traffic of a layout. A normal run has no
// meter and none of this in its way.
// The convention is that of parallel/comm/around_comm.h.
#pragma once

#include <array>

#include "parallel/mesh/mesh.h"

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
