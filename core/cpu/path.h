// Which of a processor's instructions the CPU backend computes with. A path decides bits (docs/numerics.md), so it is
// chosen by what the processor is and never by a timing: the same machine always computes the same numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// In increasing order; each needs all before it.
enum class CpuPath : std::uint8_t { plain, avx2, avx512, avx512_bf16, amx };
std::string_view name_of(CpuPath path);
std::optional<CpuPath> cpu_path_named(std::string_view name);

// What a processor says of itself.
struct Processor {
  std::string vendor;  // "GenuineIntel", "AuthenticAMD"; empty where it is no x86
  int family = 0, model = 0;
  CpuPath highest =
      CpuPath::plain;  // it has the instructions of this path, and its system lets programs use them
};
Processor this_processor();
std::string describe(const Processor& processor);  // "GenuineIntel 6/0xcf"

struct PathChoice {
  CpuPath path = CpuPath::plain;
  std::string_view basis;  // why: "measured: ...", one line
};
// The path that is fastest for bfloat16 on this kind of processor, from a table of what was measured. Float32 is as
// fast on every path from avx512 on.
PathChoice choose_path(const Processor& processor);

CpuPath default_cpu_path();  // choose_path of this processor
CpuPath highest_cpu_path();  // of this processor
// All that this processor can run, in increasing order.
std::vector<CpuPath> runnable_cpu_paths();

}  // namespace drover
