// What a verb is given, as one list: every argument struct (core/ops/backend.h, parallel/comm/communicator.h) has
// operands(), which names each of its tensors and says how it is used. From it follow the checks that all verbs share
// (core/ops/ops.cpp), the bytes counted (core/ops/counting_backend.h), the order demanded
// (core/watch/stream_sanitizer.h), and what tests poison.
//
//   auto operands() const { return std::array{reads("in", in), writes("out", out, write)}; }
//
// Thread rules: values. They refer to the struct's tensors and live no longer than it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/tensor/tensor.h"

namespace drover {

enum class Write : std::uint8_t { assign, add };  // out = x, or out += x

enum class Access : std::uint8_t {
  read,
  assign,   // `=`: overwritten, whatever it held
  update,   // `+=`, or changed in place: read and written
  scratch,  // written and read by the verb alone; what it held before and holds afterwards means nothing
};
constexpr bool is_written(Access access) { return access != Access::read; }

struct Operand {
  std::string_view name;
  Access access = Access::read;
  std::span<const Tensor> tensors;  // one, or all of a span
  bool optional = false;            // may be empty
  bool looked_up = false;           // only the rows that another operand names are read
  std::string_view may_be = {};     // the operand whose tensors this output may be

  constexpr Operand or_empty() const {
    Operand result = *this;
    result.optional = true;
    return result;
  }
  constexpr Operand by_rows() const {
    Operand result = *this;
    result.looked_up = true;
    return result;
  }
  // Exactly one of them, or apart from it.
  constexpr Operand or_is(std::string_view operand) const {
    Operand result = *this;
    result.may_be = operand;
    return result;
  }
};

constexpr std::span<const Tensor> tensors_of(const Tensor& tensor) { return {&tensor, 1}; }
constexpr std::span<const Tensor> tensors_of(std::span<const Tensor> tensors) { return tensors; }

constexpr Operand reads(std::string_view name, const auto& x) {
  return {.name = name, .access = Access::read, .tensors = tensors_of(x)};
}
constexpr Operand assigns(std::string_view name, const auto& x) {
  return {.name = name, .access = Access::assign, .tensors = tensors_of(x)};
}
constexpr Operand updates(std::string_view name, const auto& x) {
  return {.name = name, .access = Access::update, .tensors = tensors_of(x)};
}
constexpr Operand writes(std::string_view name, const Tensor& x, Write write) {
  return write == Write::add ? updates(name, x) : assigns(name, x);
}
constexpr Operand takes_scratch(const Tensor& x) {
  return Operand{.name = "scratch", .access = Access::scratch, .tensors = tensors_of(x)}.or_empty();
}

}  // namespace drover
