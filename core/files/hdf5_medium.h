// What Drover's HDF5 file driver reads and writes: an image in memory while a file is planned, a file while
// it is inspected. Used by core/files/hdf5.cpp only.
#pragma once

#include <algorithm>
#include <exception>
#include <map>
#include <span>
#include <vector>

#include "core/files/filesystem.h"

namespace drover {

// What a driver reads and writes. An exception cannot pass through the library's C frames: it waits in
// `failure`.
struct Medium {
  virtual ~Medium() = default;
  virtual void read(std::span<std::byte> out, std::int64_t offset) = 0;
  virtual void write(std::span<const std::byte> bytes, std::int64_t offset) = 0;
  virtual std::int64_t size() const = 0;
  std::exception_ptr failure;
};

// A file that exists only as the pieces that were written; zeros between them.
struct SparseImage final : Medium {
  std::map<std::int64_t, std::vector<std::byte>> pieces;  // disjoint

  static std::int64_t end_of(const std::pair<const std::int64_t, std::vector<std::byte>>& piece) {
    return piece.first + static_cast<std::int64_t>(piece.second.size());
  }
  std::int64_t size() const override { return pieces.empty() ? 0 : end_of(*pieces.rbegin()); }

  // The first piece that ends after `offset`.
  auto first_after(std::int64_t offset) {
    auto piece = pieces.upper_bound(offset);
    if (piece != pieces.begin() && end_of(*std::prev(piece)) > offset) --piece;
    return piece;
  }

  void read(std::span<std::byte> out, std::int64_t offset) override {
    const std::int64_t end = offset + static_cast<std::int64_t>(out.size());
    std::fill(out.begin(), out.end(), std::byte{});
    for (auto piece = first_after(offset); piece != pieces.end() && piece->first < end; ++piece) {
      const std::int64_t from = std::max(offset, piece->first), to = std::min(end, end_of(*piece));
      std::copy_n(piece->second.begin() + (from - piece->first), to - from, out.begin() + (from - offset));
    }
  }

  void write(std::span<const std::byte> bytes, std::int64_t offset) override {
    std::int64_t begin = offset, end = offset + static_cast<std::int64_t>(bytes.size());
    const auto first = first_after(offset);
    auto last = first;
    for (; last != pieces.end() && last->first < end; ++last) {
      begin = std::min(begin, last->first);
      end = std::max(end, end_of(*last));
    }
    std::vector<std::byte> merged(static_cast<std::size_t>(end - begin));
    for (auto piece = first; piece != last; ++piece) {
      std::copy(piece->second.begin(), piece->second.end(), merged.begin() + (piece->first - begin));
    }
    std::copy(bytes.begin(), bytes.end(), merged.begin() + (offset - begin));
    pieces.erase(first, last);
    pieces.emplace(begin, std::move(merged));
  }
};

struct ReadOnlyFile final : Medium {
  explicit ReadOnlyFile(const File& f) : file(f) {}
  const File& file;
  std::int64_t size() const override { return file.size(); }
  void read(std::span<std::byte> out, std::int64_t offset) override { file.read(out, offset); }
  void write(std::span<const std::byte>, std::int64_t) override {
    DROVER_CHECK(false, "a file opened to be read is written");
  }
};

}  // namespace drover
