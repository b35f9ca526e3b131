#include "core/cpu/kernel_table.h"

namespace drover::cpu {

const KernelTable& plain_kernels() {
  static constexpr KernelTable table = kernel_table<Plain>();
  return table;
}

}  // namespace drover::cpu
