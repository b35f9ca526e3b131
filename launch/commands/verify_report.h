// What `drover verify` says: one line a layout for people, one JSON for programs. Pure functions of values.
#pragma once

#include <string>

#include "train/verify.h"

namespace drover {

// What was compared.
struct VerifySubject {
  std::string config;  // path
  std::string dtype, comm;
  int steps = 0;
  std::optional<Bug> bug;
};

// The one process's losses and weight hash.
std::string verify_reference_line(const VerifySubject& subject, const VerifyRun& reference);
// "passed   tp1  loss 0  gradient ...": one line; a failed layout's reasons follow, one indented line each.
std::string verify_row_text(const VerifyRow& row, int steps);
// With a planted bug, where it was caught; then "N passed, N failed, N refused".
std::string verify_count_text(const VerifyCount& count, std::optional<Bug> bug);

// docs/verify.md has the keys.
std::string verify_json(const VerifySubject& subject, const VerifyRun& reference,
                        std::span<const VerifyRow> rows);

}  // namespace drover
