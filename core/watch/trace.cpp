#include "core/watch/trace.h"

#include <chrono>

namespace drover {

std::int64_t Trace::now() {
  const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_start).count();
}

void Trace::add(const Span& span) {
  if (!recording_) return;
  if (spans_.size() < spans_.capacity())
    spans_.push_back(span);
  else
    ++dropped_;
}

}  // namespace drover
