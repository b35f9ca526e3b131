// What the ranks of LocalComm share. Private to parallel/comm/local/.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/comm/host/doorbell.h"
#include "parallel/comm/local/local_comm.h"

namespace drover {

// All ranks of a run_local_ranks: their bells, and the one failure that ends them all. Thread-safe.
class LocalWorld {
 public:
  enum class Outcome : std::uint8_t { happened, aborted, late };

  LocalWorld(int ranks, const CommOptions& options)
      : options_(options), bells_(new Doorbell[ranks]), ranks_(ranks) {}

  // The first reason stands; later ones are its consequences.
  void abort(int rank, const std::string& reason) noexcept;
  // Sequentially consistent: see LocalCell::run_items.
  bool aborted() const noexcept { return aborted_.load(); }
  int abort_rank() const;
  std::string abort_text() const;

  const CommOptions& options() const { return options_; }
  Doorbell& bell(int rank) { return bells_[rank]; }

  // Blocks `rank` until happened() is true, the world is aborted or the deadline has passed. Whoever makes
  // happened() true rings.
  template <class Happened>
  Outcome wait(int rank, Happened happened) {
    const auto end = std::chrono::steady_clock::now() + options_.waiting();
    for (;;) {
      const std::uint32_t seen = bell(rank).read();
      if (happened()) return Outcome::happened;
      if (aborted()) return Outcome::aborted;
      const auto left = std::chrono::ceil<std::chrono::microseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0) return Outcome::late;
      bell(rank).wait(seen, std::min<std::chrono::microseconds>(left, std::chrono::seconds(1)));
    }
  }

 private:
  CommOptions options_;
  std::unique_ptr<Doorbell[]> bells_;
  int ranks_;
  std::atomic<bool> aborted_{false};
  mutable std::mutex mutex_;  // guards the two below
  int abort_rank_ = -1;
  std::string abort_reason_;
};

}  // namespace drover
