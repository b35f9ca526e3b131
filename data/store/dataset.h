// A dataset of a token store, mapped: an extent's digest is checked before the first value of it is handed out. So
// whoever trains on a store finds its damage, at the price of one pass over the extents that it touches.
//
// Thread rules: everything is const and may be called from any threads at once. Memory: a byte for each extent.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "core/base/digest.h"
#include "core/base/function_ref.h"
#include "core/files/filesystem.h"
#include "core/files/hdf5.h"
#include "data/store/format.h"

namespace drover {

inline constexpr const char* kRestoreStore = "; restore it from a copy, or prepare it again";

class StoreDataset {
 public:
  // `view` is the whole file, `path` one of the datasets that have digests, `count` and `table_digest` what the config
  // says of it. Both outlive this. Error{input}: a size that does not fit, or a table of digests that is not the
  // config's.
  StoreDataset(const Hdf5File& file, std::span<const std::byte> view, std::string_view path, StoredType type,
               std::int64_t count, const Digest& table_digest);

  // `size` bytes from `first` on, which must lie in the dataset. Error{input}: an extent of them is damaged.
  const std::byte* at(std::int64_t first, std::int64_t size) const {
    const std::int64_t end = store_extents(first + size);
    for (std::int64_t extent = first / kStoreExtentBytes; extent < end; ++extent)
      if (!checked_[static_cast<std::size_t>(extent)].load(std::memory_order_acquire)) check_mapped(extent);
    return bytes_.data() + first;
  }

  // Reads every extent from the file anew, checks it and hands it out. Error{input}: the first that is damaged.
  void read_all(FunctionRef<void(std::int64_t first, std::span<const std::byte> bytes)> visit) const;

 private:
  std::span<const std::byte> mapped(const Hdf5Dataset& dataset, std::span<const std::byte> view) const;
  std::int64_t size_of_extent(std::int64_t extent) const;
  void check_mapped(std::int64_t extent) const;
  void check(std::int64_t extent, std::span<const std::byte> bytes) const;

  const Hdf5File& file_;
  const Hdf5Dataset& dataset_;
  std::span<const std::byte> bytes_, digests_;  // mapped
  std::unique_ptr<std::atomic<bool>[]> checked_;
};

}  // namespace drover
