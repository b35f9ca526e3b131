// A communicator whose operations a stream sanitizer knows of (core/watch/stream_sanitizer.h): from its start an
// operation owns the buffers that its list of operands names, until it is waited for. The verbs that a communicator
// itself runs, its sums, are part of the operation.
#pragma once

#include <memory>

#include "core/watch/stream_sanitizer.h"
#include "parallel/comm/communicator.h"

namespace drover {

// `communicator`, and every part that is split off it. The sanitizer outlives them and what they have in flight.
std::unique_ptr<Communicator> sanitized(std::unique_ptr<Communicator> communicator,
                                        StreamSanitizer& sanitizer);

}  // namespace drover
