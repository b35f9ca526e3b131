#pragma once

// What the conformance test of communicators feeds in and expects: values that every rank can work out for
// every other rank, of magnitudes so different that a sum in another order has other bits.

#include <algorithm>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "parallel/comm/communicator.h"

namespace drover::conformance {

// Failures of all ranks. Catch's own assertions are for one thread, and here ranks may be threads.
class Report {
 public:
  void add(std::string failure) {
    const std::lock_guard lock(mutex_);
    failures_.push_back(std::move(failure));
  }
  std::vector<std::string> failures() const {
    const std::lock_guard lock(mutex_);
    return failures_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> failures_;
};

// What a rank computes with.
struct Machine {
  HostMemory memory;
  std::unique_ptr<Backend> backend = make_cpu_backend(memory);
  Arena scratch;
  Exec exec{.backend = *backend, .scratch = scratch};
};

// One rank's view of a test: the communicator, what to compute with, where failures go.
struct Rank {
  Communicator& comm;
  const Exec& exec;
  Report& report;

  void expect(bool fact, const std::string& text) const {
    if (!fact) report.add(cat("rank ", comm.rank(), " of ", comm.size(), ": ", text));
  }
};

inline std::uint64_t scramble(std::uint64_t word) {
  word = (word ^ (word >> 31)) * 0x7fb5d329728ea185u;
  word = (word ^ (word >> 27)) * 0x81dadef4bc2dd44du;
  return word ^ (word >> 33);
}

inline std::uint64_t random_word(int stream, int rank, std::int64_t index) {
  return scramble(scramble(scramble(stream + 1) + rank) + static_cast<std::uint64_t>(index));
}

// Magnitudes from 2^-12 to 2^12, both signs.
template <class T>
T value(int stream, int rank, std::int64_t index) {
  const std::uint64_t word = random_word(stream, rank, index);
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<std::int64_t>(word) >> 12);
  } else {
    const double fraction = 1 + static_cast<double>(word >> 40) * 0x1p-24;
    const double scale =
        static_cast<double>(1 << (word & 15)) * static_cast<double>(1 << (word >> 4 & 7)) * 0x1p-12;
    const double signed_value = (word >> 8 & 1) != 0 ? -fraction * scale : fraction * scale;
    if constexpr (sizeof(T) == 8)
      return signed_value;
    else
      return T(static_cast<float>(signed_value));
  }
}

template <class T>
std::vector<T> values(int stream, int rank, std::int64_t begin, std::int64_t end) {
  std::vector<T> result;
  for (std::int64_t index = begin; index < end; ++index) result.push_back(value<T>(stream, rank, index));
  return result;
}

template <class T>
Tensor tensor_of(std::vector<T>& elements) {
  return Tensor::of(elements.data(), {static_cast<std::int64_t>(elements.size())});
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// What the contract says: elements of up to 64 ranks one after the other, then the runs.
template <class T>
T reduced(int stream, int ranks, std::int64_t index, Reduction reduction) {
  using Wide = std::conditional_t<sizeof(T) == 2, float, T>;
  const auto join = [&](Wide a, Wide b) {
    if (reduction == Reduction::sum) return static_cast<Wide>(a + b);
    return reduction == Reduction::max ? std::max(a, b) : std::min(a, b);
  };
  Wide total{};
  for (int run = 0; run < ranks; run += 64) {
    Wide partial = static_cast<Wide>(value<T>(stream, run, index));
    for (int rank = run + 1; rank < std::min(run + 64, ranks); ++rank) {
      partial = join(partial, static_cast<Wide>(value<T>(stream, rank, index)));
    }
    total = run == 0 ? partial : join(total, partial);
  }
  return static_cast<T>(total);
}

template <class T>
std::vector<T> all_reduced(int stream, int ranks, std::int64_t begin, std::int64_t end, Reduction reduction) {
  std::vector<T> result;
  for (std::int64_t index = begin; index < end; ++index)
    result.push_back(reduced<T>(stream, ranks, index, reduction));
  return result;
}

// A different count for every rank, some 0.
inline std::vector<std::int64_t> uneven_counts(int size, std::int64_t scale) {
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < size; ++rank) counts.push_back(rank % 3 == 1 ? 0 : scale + 7 * rank);
  return counts;
}

inline std::int64_t offset_of(const std::vector<std::int64_t>& counts, int part) {
  std::int64_t offset = 0;
  for (int before = 0; before < part; ++before) offset += counts[before];
  return offset;
}

}  // namespace drover::conformance
