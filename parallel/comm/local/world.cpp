#include "parallel/comm/local/world.h"

namespace drover {

void LocalWorld::abort(int rank, const std::string& reason) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (abort_rank_ < 0) {
      abort_rank_ = rank;
      abort_reason_ = reason;
    }
  }
  aborted_ = true;
  for (int other = 0; other < ranks_; ++other) bells_[other].ring();
}

int LocalWorld::abort_rank() const {
  const std::lock_guard lock(mutex_);
  return abort_rank_;
}

std::string LocalWorld::abort_text() const {
  const std::lock_guard lock(mutex_);
  return cat("rank ", abort_rank_, " ended the run: ", abort_reason_);
}

}  // namespace drover
