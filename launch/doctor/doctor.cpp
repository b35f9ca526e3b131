#include "launch/doctor/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "launch/doctor/checks.h"
#include "launch/run/report.h"

namespace drover {

namespace {

constexpr std::size_t kMostRanges = 8;

std::string range_text(const std::pair<int, int>& range) {
  return range.first == range.second ? cat(range.first) : cat(range.first, '-', range.second);
}

std::string seconds_text(double seconds) {
  return std::abs(seconds) < 0.1 ? fmt::format("{:.1f} ms", 1000 * seconds)
                                 : fmt::format("{:.1f} s", seconds);
}

std::string measured_text(const Measured& measured) {
  const auto text = [&](double value) {
    return measured.unit == Measured::Unit::bytes ? bytes_text(static_cast<std::int64_t>(value))
                                                  : seconds_text(value);
  };
  const std::string least = text(measured.least), most = text(measured.most);
  return least == most ? least : cat(least, " to ", most);
}

std::string sentence(const Finding& finding) {
  std::string text = finding.text;
  const auto place = text.find("{}");
  if (finding.measured && place != std::string::npos)
    text.replace(place, 2, measured_text(*finding.measured));
  return text;
}

// What ranks must have in common to share a finding.
std::string key_of(const Finding& finding) { return cat(finding.text, '\n', finding.remedy); }

void widen(std::optional<Measured>& all, const std::optional<Measured>& one) {
  if (!all || !one) return;
  all->least = std::min(all->least, one->least);
  all->most = std::max(all->most, one->most);
}

// The findings of one check, in the order in which ranks had them first.
class Merged {
 public:
  void add(Finding finding, int rank) {
    const auto [place, is_new] = places_.emplace(key_of(finding), findings_.size());
    Finding& all = is_new ? findings_.emplace_back(std::move(finding)) : findings_[place->second];
    if (!is_new) widen(all.measured, finding.measured);
    all.ranks.add(rank);
  }
  std::vector<Finding> take() { return std::move(findings_); }

 private:
  std::vector<Finding> findings_;
  std::unordered_map<std::string, std::size_t> places_;
};

std::vector<Finding> ask_all_ranks(DoctorView& view, DoctorCheck check) {
  Merged merged;
  for (std::size_t r = 0; r < view.job.ranks.size(); ++r) {
    view.number = static_cast<int>(r);
    view.rank = &view.job.ranks[r];
    for (Finding& finding : check(view)) merged.add(std::move(finding), view.number);
  }
  return merged.take();
}

const char* word_for(Health health) {
  constexpr std::array<const char*, 3> kWords{"ok", "warn", "fail"};
  return kWords[static_cast<std::size_t>(health)];
}

std::string lines_of(const Finding& finding, bool alone) {
  const std::string who = alone ? "" : finding.ranks.text() + ": ";
  std::string lines =
      fmt::format("{:<5} {:<14} {}{}\n", word_for(finding.health), finding.topic, who, sentence(finding));
  if (!finding.remedy.empty()) lines += fmt::format("{:20} -> {}\n", "", finding.remedy);
  return lines;
}

std::string count_text(const std::vector<Finding>& findings) {
  const auto count = [&](Health health) {
    return std::count_if(findings.begin(), findings.end(),
                         [&](const Finding& finding) { return finding.health == health; });
  };
  return cat(count(Health::fail), " failed, ", count(Health::warn), " warnings, ", count(Health::ok),
             " ok\n");
}

}  // namespace

void RankRanges::add(int rank) {
  if (ranges_.empty() || ranges_.back().second + 1 < rank)
    ranges_.emplace_back(rank, rank);
  else
    ranges_.back().second = rank;
}

std::string RankRanges::text() const {
  const bool one = ranges_.size() == 1 && ranges_[0].first == ranges_[0].second;
  std::string text = one ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(ranges_.size(), kMostRanges); ++i)
    text += (i == 0 ? "" : ", ") + range_text(ranges_[i]);
  std::int64_t unnamed = 0;
  for (std::size_t i = kMostRanges; i < ranges_.size(); ++i)
    unnamed += ranges_[i].second - ranges_[i].first + 1;
  return unnamed == 0 ? text : cat(text, " and ", unnamed, " more");
}

std::vector<Finding> diagnose(const JobFacts& job) {
  DROVER_CHECK(!job.ranks.empty(), "a job has ranks");
  DoctorView view(job);
  std::vector<Finding> findings;
  for (const DoctorCheck check : doctor_checks())
    for (Finding& finding : ask_all_ranks(view, check)) findings.push_back(std::move(finding));
  return findings;
}

Health worst(const std::vector<Finding>& findings) {
  Health health = Health::ok;
  for (const Finding& finding : findings) health = std::max(health, finding.health);
  return health;
}

std::string doctor_report(const JobFacts& job, const std::vector<Finding>& findings) {
  std::string report;
  for (const Finding& finding : findings) report += lines_of(finding, job.ranks.size() == 1);
  return report + count_text(findings);
}

}  // namespace drover
