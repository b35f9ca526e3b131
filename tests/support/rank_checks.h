// Checks on ranks that are threads: Catch's own may be used by one thread only.
#pragma once

#include <mutex>
#include <string>

namespace drover::testing {

// Thread-safe. The test then asserts CHECK(checks.first_failure() == "").
class RankChecks {
 public:
  void that(bool holds, const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (!holds && first_failure_.empty()) first_failure_ = what;
  }
  const std::string& first_failure() const { return first_failure_; }

 private:
  std::mutex mutex_;
  std::string first_failure_;
};

}  // namespace drover::testing
