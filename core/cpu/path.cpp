#include <array>

#include "core/cpu/cpu_backend.h"

namespace drover {

std::string_view name_of(CpuPath path) {
  constexpr std::array<std::string_view, 4> kNames = {"plain", "avx2", "avx512", "avx512_bf16"};
  return kNames[static_cast<std::size_t>(path)];
}

CpuPath best_cpu_path() {
#ifdef DROVER_X86
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) return CpuPath::avx512_bf16;
  if (avx512) return CpuPath::avx512;
  if (avx2) return CpuPath::avx2;
#endif
  return CpuPath::plain;
}

}  // namespace drover
