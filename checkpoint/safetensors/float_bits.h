// Between the floating-point numbers of safetensors files and a checkpoint's masters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/tensor/dtype.h"

namespace drover {

// What weights are written as.
enum class WeightFormat : std::uint8_t { float32, bfloat16, float16 };
std::string_view name_of(WeightFormat format);              // as PyTorch and Transformers have it
std::string_view safetensors_name_of(WeightFormat format);  // "F32", "BF16", "F16"
std::int64_t size_of(WeightFormat format);
WeightFormat weight_format_named(std::string_view name);  // the inverse of name_of; Error{usage}

// IEEE 754 binary16, exactly; NaNs keep their payload.
float float_of_half(std::uint16_t bits);
// Rounded to nearest, ties to even: from 65520 on to infinity, up to 2^-25 to zero. The inverse of float_of_half.
std::uint16_t half_of_float(float value);

// Whether a safetensors dtype is one that `to_float32` reads: F32, BF16, F16.
bool is_widened(std::string_view safetensors_dtype);
// The same numbers as float32, bit for bit where they are float32 already. `in` holds whole elements; `out` is
// replaced, its memory used again.
void to_float32(std::string_view safetensors_dtype, std::span<const std::byte> in,
                std::vector<std::byte>& out);

// Masters (float32 or float64) in a format, rounded to nearest, ties to even, float64 to two bytes by way of float32.
// Returns how many finite numbers are beyond the format and became infinite.
std::int64_t round_masters(DType from, WeightFormat to, std::span<const std::byte> in,
                           std::vector<std::byte>& out);

}  // namespace drover
