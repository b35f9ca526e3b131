// The table of one instruction set from the templates. Only core/cpu/kernels_*.cpp include this.
#pragma once

#include "core/cpu/element_kernels.h"
#include "core/cpu/product_kernel.h"
#include "core/cpu/row_kernels.h"

namespace drover::cpu {

template <class Isa, class T>
constexpr ComputeKernels compute_kernels() {
  using Row = RowKernels<Isa, T>;
  using Element = ElementKernels<Isa, T>;
  return {.rmsnorm_forward = Row::rmsnorm_forward,
          .rmsnorm_backward_input = Row::rmsnorm_backward_input,
          .rmsnorm_backward_weight = Row::rmsnorm_backward_weight,
          .swiglu_forward = Row::swiglu_forward,
          .swiglu_backward = Row::swiglu_backward,
          .embedding_backward = Row::embedding_backward,
          .loss_gradient = Element::loss_gradient,
          .adamw = Element::adamw,
          .combine = Element::combine};
}

template <class Isa, class M>
constexpr MasterKernels master_kernels() {
  using Element = MasterElementKernels<Isa, M>;
  return {.scale = Element::scale,
          .loss_statistics = Element::loss_statistics,
          .loss_combine = Element::loss_combine,
          .sum_of_squares = Element::sum_of_squares};
}

template <class Isa, class In, class Out>
constexpr void set_pair(KernelTable& table) {
  constexpr int from = table_index(dtype_of<In>), to = table_index(dtype_of<Out>);
  table.copy[from][to] = CopyKernel<Isa, In, Out>::run;
  if constexpr (std::is_same_v<MasterOf<In>, MasterOf<Out>>)
    table.rope[from][to] = RopeKernel<Isa, In, Out>::run;
  if constexpr (std::is_same_v<In, Out> || std::is_same_v<MasterOf<In>, Out>)
    table.product[from][to] = ProductKernel<Isa, In, Out>::run;
}

template <class Isa, class In>
constexpr void set_pairs_from(KernelTable& table) {
  set_pair<Isa, In, double>(table);
  set_pair<Isa, In, float>(table);
  set_pair<Isa, In, bfloat16>(table);
}

template <class Isa>
constexpr KernelTable kernel_table() {
  KernelTable table{.compute = {compute_kernels<Isa, double>(), compute_kernels<Isa, float>(),
                                compute_kernels<Isa, bfloat16>()},
                    .master = {master_kernels<Isa, double>(), master_kernels<Isa, float>()},
                    .copy = {},
                    .rope = {},
                    .product = {}};
  set_pairs_from<Isa, double>(table);
  set_pairs_from<Isa, float>(table);
  set_pairs_from<Isa, bfloat16>(table);
  return table;
}

}  // namespace drover::cpu
