// `drover verify` without its command line: one process first, then each layout from the same configuration,
// judged by the tolerances of docs/numerics.md (docs/verify.md says what a user sees).
#pragma once

#include <functional>

#include "core/watch/planted_bug.h"
#include "train/verify_layout.h"
#include "train/verify_run.h"

namespace drover {

enum class VerifyOutcome : std::uint8_t {
  passed,
  failed,         // a tolerance broke, ranks' copies differ, or the run threw
  refused,        // Error{usage}: this configuration and layout do not go together
  not_exercised,  // the planted bug's line did not run
};
std::string_view name_of(VerifyOutcome outcome);

struct VerifyRow {
  VerifyLayout layout;
  VerifyOutcome outcome = VerifyOutcome::refused;
  std::vector<Breach> breaches;  // of a failed run; what was thrown, where it was
  std::string refusal;
  std::optional<Differences> differences;  // none: the run did not end
  VerifyCost cost;
  std::string weight_hash;
  double seconds = 0;

  // A planted bug must not only fail the run: a parameter must be named.
  bool catches_bug() const;
};

// Runs a configuration on so many ranks: threads, or processes, of which one gets what comes back.
using VerifyRunner = std::function<std::optional<VerifyRun>(int ranks, const VerifyWork& work)>;

struct VerifyOptions {
  int steps = 3;
  std::optional<Bug> bug;  // planted in every run but the one process's
  // Whether the ranks can go on after one threw something other than Error{usage}; then it is a failed row.
  bool survives_throw = true;
};

class Verifier {
 public:
  // Runs one process; a bfloat16 configuration also in float64.
  Verifier(const Config& config, VerifyRunner runner, const VerifyOptions& options);

  // Of one process; none where another rank has it.
  const std::optional<VerifyRun>& reference() const { return reference_; }
  // train/verify_compare.h; empty where another rank has the reference.
  std::vector<std::string> trivialities() const;
  // On ranks without the reference the row says nothing.
  VerifyRow verify(const VerifyLayout& layout) const;

 private:
  void judge(VerifyRow& row, VerifyRun run) const;

  Config config_;
  VerifyRunner runner_;
  VerifyOptions options_;
  Tolerance tolerance_;
  std::optional<VerifyRun> reference_, exact_;
};

struct VerifyCount {
  int passed = 0, failed = 0, refused = 0;  // failed: with those whose bug was not exercised
  int caught = 0;                           // failed rows that catch the planted bug
};
VerifyCount count(std::span<const VerifyRow> rows);

// done: something passed and nothing failed; with a planted bug, every layout that was not refused caught it.
// usage: the subject is trivial, or every layout was refused. internal: anything else.
Exit exit_of(const VerifyCount& count, bool trivial, bool planted);

}  // namespace drover
