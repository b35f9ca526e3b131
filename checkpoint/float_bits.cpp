#include "checkpoint/float_bits.h"

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

}  // namespace

float float_of_half(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, fraction = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
  return sign != 0 ? -magnitude : magnitude;
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

void round_masters(DType from, DType to, std::span<const std::byte> in, std::vector<std::byte>& out) {
  const bool is_double = from == DType::float64, keeps = to == DType::float32;
  DROVER_CHECK((is_double || from == DType::float32) && (keeps || to == DType::bfloat16), name_of(from),
               " to ", name_of(to));
  const auto to_bfloat16 = [](auto x) { return bfloat16(static_cast<float>(x)); };
  if (is_double && keeps) {
    convert<double, float>(in, out, [](double x) { return static_cast<float>(x); });
  } else if (is_double) {
    convert<double, bfloat16>(in, out, to_bfloat16);
  } else if (keeps) {
    out.assign(in.begin(), in.end());
  } else {
    convert<float, bfloat16>(in, out, to_bfloat16);
  }
}

}  // namespace drover
