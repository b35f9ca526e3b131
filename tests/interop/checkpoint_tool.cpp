// Writes a small checkpoint for tests/interop/weight_hash_test.py: FOLDER RANKS CUT STEP DTYPE, where CUT is
// flat, rows, columns, first or dealt.
#include <iostream>

#include "tests/checkpoint/checkpoint_rig.h"

int main(int argc, char** argv) {
  using namespace drover;
  using namespace drover::testing;
  if (argc != 6) return static_cast<int>(Exit::usage);
  constexpr std::array<std::string_view, 5> kNames{"flat", "rows", "columns", "first", "dealt"};
  const auto cut =
      static_cast<std::size_t>(std::find(kNames.begin(), kNames.end(), argv[3]) - kNames.begin());
  if (cut == kNames.size()) return static_cast<int>(Exit::usage);
  PosixFileSystem files;
  std::cout << save(files, {.folder = argv[1],
                            .ranks = std::stoi(argv[2]),
                            .cut = kCuts[cut],
                            .step = std::stoll(argv[4]),
                            .keep = 0,
                            .dtype = dtype_named(argv[5])})
                   .string()
            << '\n';
}
