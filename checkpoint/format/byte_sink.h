// Bytes that are handed over piece by piece, so that nobody holds a whole tensor.
#pragma once

#include <cstddef>
#include <span>

#include "core/base/function_ref.h"

namespace drover {

// Takes the next bytes; they are the giver's after the call.
using ByteSink = FunctionRef<void(std::span<const std::byte>)>;
// Hands all bytes of the tensor of that number to the sink, in order, cut anywhere.
using TensorBytes = FunctionRef<void(std::size_t, ByteSink)>;

}  // namespace drover
