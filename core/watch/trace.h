// What one rank did when: spans of time, kept in memory made in advance, for `drover train --profile`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace drover {

struct Span {
  // Spans of one track follow or enclose each other, but for those in flight, which overlap as they like.
  enum class Track : std::uint8_t {
    pipeline,  // actions of the schedule
    compute,   // verbs of the backend, and waiting for others
    in_flight  // operations between ranks, from their start to the end of the wait for them
  };
  const char* name = "";     // outlives the trace
  const char* subject = "";  // outlives the trace: the communicator, ...; empty: none
  Track track = Track::compute;
  std::int64_t number = -1;         // the microbatch, or bytes sent; -1: none
  std::int64_t begin = 0, end = 0;  // of CLOCK_MONOTONIC, nanoseconds
};

// One thread writes it.
class Trace {
 public:
  explicit Trace(std::size_t capacity) { spans_.reserve(capacity); }

  static std::int64_t now();
  // Spans added before start and after stop are ignored; those beyond the capacity are counted.
  void start() { recording_ = true; }
  void stop() { recording_ = false; }
  bool recording() const { return recording_; }
  void add(const Span& span);

  const std::vector<Span>& spans() const { return spans_; }
  std::int64_t dropped() const { return dropped_; }

 private:
  std::vector<Span> spans_;
  std::int64_t dropped_ = 0;
  bool recording_ = false;
};

}  // namespace drover
