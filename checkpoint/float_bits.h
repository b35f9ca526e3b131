// Between the floating-point numbers of safetensors files and a checkpoint's masters.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace drover {

// IEEE 754 binary16, exactly; NaNs keep their payload.
float float_of_half(std::uint16_t bits);

// Whether a safetensors dtype is one that `to_float32` reads: F32, BF16, F16.
bool is_widened(std::string_view safetensors_dtype);
// The same numbers as float32, bit for bit where they are float32 already. `in` holds whole elements; `out` is
// replaced, its memory used again.
void to_float32(std::string_view safetensors_dtype, std::span<const std::byte> in,
                std::vector<std::byte>& out);

// Masters (float32 or float64) as float32 or bfloat16, rounded to nearest, ties to even, float64 to bfloat16 by way
// of float32.
void round_masters(DType from, DType to, std::span<const std::byte> in, std::vector<std::byte>& out);

}  // namespace drover
