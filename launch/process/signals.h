// Requests to stop: SIGTERM, SIGINT and SIGUSR1. The first is remembered and polled by the training loop,
// which makes it every rank's; another, more than two seconds later, ends the process at once, with 128 + its number.
#pragma once

namespace drover {

// Handlers are the process's, so there is one such object, made by the verb that trains, on the process's first thread:
// this one takes the signals, on a stack of their own. Threads of the pool take none (core/base/thread_pool.cpp).
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool requested() const;
  // "SIGUSR1"; of the first.
  const char* name() const;
};

}  // namespace drover
