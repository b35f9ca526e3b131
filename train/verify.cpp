#include "train/verify.h"

#include <algorithm>

namespace drover {

std::string_view name_of(VerifyOutcome outcome) {
  constexpr std::array<std::string_view, 4> kNames{"passed", "FAILED", "refused", "not exercised"};
  return kNames[static_cast<std::size_t>(outcome)];
}

bool VerifyRow::catches_bug() const {
  return outcome == VerifyOutcome::failed &&
         std::any_of(breaches.begin(), breaches.end(), [](const Breach& b) { return !b.parameter.empty(); });
}

Verifier::Verifier(const Config& config, VerifyRunner runner, const VerifyOptions& options)
    : config_(config),
      runner_(std::move(runner)),
      options_(options),
      tolerance_(tolerance_of(dtype_named(config.train.dtype))) {
  VerifyWork one{.config = with_layout(config_, {}), .steps = options_.steps};
  reference_ = runner_(1, one);
  if (!tolerance_.excess) return;
  one.config.train.dtype = "float64";
  exact_ = runner_(1, one);
}

std::vector<std::string> Verifier::trivialities() const {
  return reference_ ? drover::trivialities(reference_->record, config_) : std::vector<std::string>{};
}

void Verifier::judge(VerifyRow& row, VerifyRun run) const {
  row.differences =
      compare(run.record, reference_->record, tolerance_.measure, exact_ ? &exact_->record : nullptr);
  row.breaches = breaches(run.record, *row.differences, tolerance_);
  row.cost = run.cost;
  row.weight_hash = std::move(run.weight_hash);
  row.outcome = options_.bug && run.planted_lines == 0 ? VerifyOutcome::not_exercised
                : row.breaches.empty()                 ? VerifyOutcome::passed
                                                       : VerifyOutcome::failed;
}

VerifyRow Verifier::verify(const VerifyLayout& layout) const {
  VerifyRow row{.layout = layout};
  std::optional<PlantedBug> planted;
  if (options_.bug) planted.emplace(*options_.bug);
  const auto start = std::chrono::steady_clock::now();
  try {
    const Config config = with_layout(config_, layout);
    const int ranks = mesh_of(config, layout.ranks()).ranks();  // refused before a rank is started
    auto run =
        runner_(ranks, {.config = config, .steps = options_.steps, .planted = planted ? &*planted : nullptr});
    if (run) judge(row, std::move(*run));
  } catch (const std::exception& thrown) {
    const auto* const error = dynamic_cast<const Error*>(&thrown);
    if (error != nullptr && error->exit() == Exit::usage) {
      row.refusal = thrown.what();
    } else if (options_.survives_throw) {
      row.outcome = VerifyOutcome::failed;
      row.breaches = {{.text = thrown.what(), .parameter = ""}};
    } else {
      throw;
    }
  }
  row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return row;
}

VerifyCount count(std::span<const VerifyRow> rows) {
  VerifyCount count;
  for (const VerifyRow& row : rows) {
    if (row.outcome == VerifyOutcome::passed)
      ++count.passed;
    else if (row.outcome == VerifyOutcome::refused)
      ++count.refused;
    else
      ++count.failed;
    count.caught += row.catches_bug();
  }
  return count;
}

Exit exit_of(const VerifyCount& count, bool trivial, bool planted) {
  if (trivial || count.passed + count.failed == 0) return Exit::usage;
  const bool good = planted ? count.passed == 0 && count.caught == count.failed : count.failed == 0;
  return good ? Exit::done : Exit::internal;
}

}  // namespace drover
