// `drover train --profile FILE`: when every rank did what during one step, as a file that Perfetto
// (https://ui.perfetto.dev) and Chrome draw.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "core/files/filesystem.h"
#include "core/watch/trace.h"
#include "launch/process/process.h"
#include "train/traced.h"

namespace drover {

// Which share of a step the rank spent in what.
struct ProfileShares {
  double computing = 0;
  double among_ranks = 0;  // starting operations between ranks, and waiting for them
};
ProfileShares shares_of(std::span<const Span> spans, std::int64_t nanoseconds);

// One rank's spans as events of Chrome's trace format, each followed by a comma; times are microseconds since `begin`.
std::string trace_events(std::span<const Span> spans, int rank, const std::string& rank_name,
                         std::int64_t begin);

// Watches the second step of an attempt, the first whose weights and buffers are warm.
class Profile {
 public:
  static constexpr std::int64_t kStep = 2;  // of the attempt, from 1

  Profile(std::string path, Backend& backend)
      : path_(std::move(path)), trace_(kMostSpans), backend_(backend, trace_) {}

  Trace& trace() { return trace_; }
  Backend& backend() { return backend_; }

  // Whether the watched step is over.
  bool taken() const { return step_ >= kStep; }

  // Around every step. Collective in the watched one; afterwards rank 0 has written the file, and what it has to say
  // of it is returned there, otherwise nothing.
  void before_step(Process& process);
  std::string after_step(Process& process, FileSystem& files, const std::string& rank_name);

 private:
  static constexpr std::size_t kMostSpans = 1 << 18;
  void write(Process& process, FileSystem& files, std::string events);

  std::string path_;
  Trace trace_;
  TracedBackend backend_;
  std::int64_t step_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace drover
