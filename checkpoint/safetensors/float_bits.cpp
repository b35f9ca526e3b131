#include "checkpoint/safetensors/float_bits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace drover {
namespace {

// Element by element; bytes of files have no alignment.
template <class In, class Out, class Convert>
void convert(std::span<const std::byte> in, std::vector<std::byte>& out, Convert convert_one) {
  const std::size_t count = in.size() / sizeof(In);
  out.resize(count * sizeof(Out));
  for (std::size_t i = 0; i < count; ++i) {
    In from{};
    std::memcpy(&from, in.data() + i * sizeof(In), sizeof(In));
    const Out to = convert_one(from);
    std::memcpy(out.data() + i * sizeof(Out), &to, sizeof(Out));
  }
}

// Rounds by way of float32, and counts what overflows.
template <class Master, class Rounded, class Round, class Widen>
std::int64_t round_each(std::span<const std::byte> in, std::vector<std::byte>& out, Round round,
                        Widen widen) {
  std::int64_t overflows = 0;
  convert<Master, Rounded>(in, out, [&](Master master) {
    const Rounded rounded = round(static_cast<float>(master));
    overflows += std::isfinite(master) && std::isinf(widen(rounded));
    return rounded;
  });
  return overflows;
}

template <class Master>
std::int64_t round_to(WeightFormat format, std::span<const std::byte> in, std::vector<std::byte>& out) {
  const auto as_it_is = [](float x) { return x; };
  if (format == WeightFormat::float16)
    return round_each<Master, std::uint16_t>(in, out, half_of_float, float_of_half);
  if (format == WeightFormat::bfloat16)
    return round_each<Master, bfloat16>(
        in, out, [](float x) { return bfloat16(x); }, [](bfloat16 x) { return static_cast<float>(x); });
  return round_each<Master, float>(in, out, as_it_is, as_it_is);
}

struct FormatNames {
  WeightFormat format;
  std::string_view name, safetensors;
  std::int64_t size;
};
constexpr std::array kFormats{FormatNames{WeightFormat::float32, "float32", "F32", 4},
                              FormatNames{WeightFormat::bfloat16, "bfloat16", "BF16", 2},
                              FormatNames{WeightFormat::float16, "float16", "F16", 2}};

const FormatNames& names_of(WeightFormat format) { return kFormats.at(static_cast<std::size_t>(format)); }

}  // namespace

std::string_view name_of(WeightFormat format) { return names_of(format).name; }
std::string_view safetensors_name_of(WeightFormat format) { return names_of(format).safetensors; }
std::int64_t size_of(WeightFormat format) { return names_of(format).size; }

WeightFormat weight_format_named(std::string_view name) {
  for (const FormatNames& known : kFormats)
    if (known.name == name) return known.format;
  throw usage_error("weights are not written as ", name, "; float32, bfloat16 and float16 are there");
}

float float_of_half(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, fraction = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
  return sign != 0 ? -magnitude : magnitude;
}

std::uint16_t half_of_float(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = word >> 16 & 0x8000u, magnitude = word & 0x7fffffffu;
  const auto with_sign = [&](std::uint32_t bits) { return static_cast<std::uint16_t>(sign | bits); };
  if (magnitude > 0x7f800000u) return with_sign(0x7c00u | std::max(magnitude >> 13 & 0x3ffu, 1u));
  if (magnitude >= 0x477ff000u) return with_sign(0x7c00u);
  if (magnitude < 0x38800000u)  // below 2^-14 steps are of 2^-24
    return with_sign(static_cast<std::uint32_t>(std::nearbyint(std::ldexp(std::abs(value), 24))));
  const std::uint32_t rebased = magnitude - (112u << 23);  // of the exponents' biases
  return with_sign((rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13);
}

bool is_widened(std::string_view dtype) { return dtype == "F32" || dtype == "BF16" || dtype == "F16"; }

void to_float32(std::string_view dtype, std::span<const std::byte> in, std::vector<std::byte>& out) {
  DROVER_CHECK(is_widened(dtype), dtype);
  if (dtype == "F32") {
    out.assign(in.begin(), in.end());
  } else if (dtype == "BF16") {
    convert<std::uint16_t, std::uint32_t>(in, out,
                                          [](std::uint16_t bits) { return std::uint32_t{bits} << 16; });
  } else {
    convert<std::uint16_t, std::uint32_t>(
        in, out, [](std::uint16_t bits) { return std::bit_cast<std::uint32_t>(float_of_half(bits)); });
  }
}

std::int64_t round_masters(DType from, WeightFormat to, std::span<const std::byte> in,
                           std::vector<std::byte>& out) {
  DROVER_CHECK(from == DType::float64 || from == DType::float32, name_of(from));
  return from == DType::float64 ? round_to<double>(to, in, out) : round_to<float>(to, in, out);
}

}  // namespace drover
