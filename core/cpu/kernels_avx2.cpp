#include "core/cpu/kernel_table.h"

namespace drover::cpu {

const KernelTable& avx2_kernels() {
  static constexpr KernelTable table = kernel_table<Avx2>();
  return table;
}

}  // namespace drover::cpu
