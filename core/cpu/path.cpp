#include "core/cpu/path.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/error.h"

#ifdef DROVER_X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace drover {

namespace {

constexpr std::array<std::string_view, 5> kNames = {"plain", "avx2", "avx512", "avx512_bf16", "amx"};

#ifdef DROVER_X86

struct CpuId {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuId cpu_id(unsigned leaf) {
  CpuId id;
  __get_cpuid_count(leaf, 0, &id.eax, &id.ebx, &id.ecx, &id.edx);  // leaves zeros where there is no such leaf
  return id;
}

std::string vendor() {
  const CpuId id = cpu_id(0);
  std::array<char, 12> text{};
  std::memcpy(text.data(), &id.ebx, 4);
  std::memcpy(text.data() + 4, &id.edx, 4);
  std::memcpy(text.data() + 8, &id.ecx, 4);
  return {text.begin(), text.end()};
}

// Tiles and their bfloat16 products, and a system that gives a process the tiles' registers when it asks. Asking is
// oneDNN's part.
bool has_amx() {
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  if ((~cpu_id(7).edx & (kAmxBf16 | kAmxTile)) != 0) return false;
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int kGetSupportedStates = 0x1021;      // ARCH_GET_XCOMP_SUPP of <asm/prctl.h>, since Linux 5.16
  constexpr std::uint64_t kTileData = 1ull << 18;  // of the states that XSAVE knows
  std::uint64_t supported = 0;
  return syscall(SYS_arch_prctl, kGetSupportedStates, &supported) == 0 && (supported & kTileData) != 0;
#else
  return false;
#endif
}

CpuPath highest_here() {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) return has_amx() ? CpuPath::amx : CpuPath::avx512_bf16;
  if (avx512) return CpuPath::avx512;
  return avx2 ? CpuPath::avx2 : CpuPath::plain;
}

Processor read_processor() {
  const unsigned signature = cpu_id(1).eax;
  const unsigned family = signature >> 8 & 0xf, model = signature >> 4 & 0xf;
  const bool more_models = family == 0x6 || family == 0xf;
  return {.vendor = vendor(),
          .family = static_cast<int>(family == 0xf ? family + (signature >> 20 & 0xff) : family),
          .model = static_cast<int>(more_models ? model + (signature >> 12 & 0xf0) : model),
          .highest = highest_here()};
}

#else

Processor read_processor() { return {}; }

#endif

// Processors whose own bfloat16 instructions are faster than converting to float32 while packing. The first row that
// fits decides. docs/numerics.md has the figures.
struct Row {
  std::string_view vendor;
  int family;
  CpuPath path;
  std::string_view basis;
};
constexpr std::array<Row, 3> kTable = {{
    {"AuthenticAMD", 0x19, CpuPath::avx512_bf16,
     "measured on Zen 4: VDPBF16PS does twice the work of float32's"},
    {"AuthenticAMD", 0x1a, CpuPath::avx512_bf16,
     "measured on Zen 5: VDPBF16PS does twice the work of float32's"},
    {"GenuineIntel", 0x06, CpuPath::amx,
     "measured on Emerald Rapids: products 5 times, a whole step 1.7 times as fast as on avx512"},
}};
constexpr std::string_view kConverts =
    "bfloat16 is converted while packing: VDPBF16PS ran at half of float32's rate on Emerald Rapids, and was "
    "not measured "
    "elsewhere";

}  // namespace

std::string_view name_of(CpuPath path) { return kNames[static_cast<std::size_t>(path)]; }

std::optional<CpuPath> cpu_path_named(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<CpuPath>(found - kNames.begin());
}

Processor this_processor() { return read_processor(); }

std::string describe(const Processor& processor) {
  if (processor.vendor.empty()) return "not an x86";
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto hex = [&](int value) { return cat("0x", kDigits[value >> 4 & 0xf], kDigits[value & 0xf]); };
  return cat(processor.vendor, " family ", hex(processor.family), " model ", hex(processor.model));
}

PathChoice choose_path(const Processor& processor) {
  for (const Row& row : kTable)
    if (row.vendor == processor.vendor && row.family == processor.family && row.path <= processor.highest)
      return {row.path, row.basis};
  if (processor.highest > CpuPath::avx512) return {CpuPath::avx512, kConverts};
  return {processor.highest, "the highest that the processor has"};
}

CpuPath default_cpu_path() { return choose_path(this_processor()).path; }
CpuPath highest_cpu_path() { return this_processor().highest; }

std::vector<CpuPath> runnable_cpu_paths() {
  std::vector<CpuPath> paths;
  for (int path = 0; path <= static_cast<int>(highest_cpu_path()); ++path)
    paths.push_back(static_cast<CpuPath>(path));
  return paths;
}

}  // namespace drover
