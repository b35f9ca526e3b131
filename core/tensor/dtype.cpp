#include "core/tensor/dtype.h"

#include <array>

namespace drover {

DType dtype_named(std::string_view name) {
  constexpr std::array kAll = {DType::float64, DType::float32, DType::bfloat16,
                               DType::int64,   DType::int32,   DType::uint8};
  for (DType dtype : kAll)
    if (name_of(dtype) == name) return dtype;
  throw usage_error("unknown element type '", name, "'; use bfloat16, float32 or float64");
}

}  // namespace drover
