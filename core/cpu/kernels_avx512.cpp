#include "core/cpu/kernel_table.h"

namespace drover::cpu {

const KernelTable& avx512_kernels() {
  static constexpr KernelTable table = kernel_table<Avx512>();
  return table;
}

}  // namespace drover::cpu
