#include "data/store/dataset.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace drover {
namespace {

std::string path_of(const Hdf5File& file) { return file.file().path().string(); }

}  // namespace

StoreDataset::StoreDataset(const Hdf5File& file, std::span<const std::byte> view, std::string_view path,
                           StoredType type, std::int64_t count, const Digest& table_digest)
    : file_(file), dataset_(file.dataset(path, type, 1)) {
  if (dataset_.numel() != count) {
    throw input_error(path_of(file_), ": /", path, " has ", dataset_.numel(), " values, /config says ", count,
                      kRestoreStore);
  }
  const Hdf5Dataset& table = file.dataset(cat(kStoreDigests, path), StoredType::uint8, 2);
  bytes_ = mapped(dataset_, view);
  digests_ = mapped(table, view);
  const std::int64_t extents = store_extents(dataset_.bytes());
  if (table.bytes() != extents * kStoreDigestBytes || digest_of(digests_) != table_digest) {
    throw input_error(path_of(file_), ": /", table.path, " does not match its digest: the file is damaged",
                      kRestoreStore);
  }
  checked_ = std::make_unique<std::atomic<bool>[]>(static_cast<std::size_t>(extents));
}

std::span<const std::byte> StoreDataset::mapped(const Hdf5Dataset& dataset,
                                                std::span<const std::byte> view) const {
  // The file may have been cut after HDF5 looked at it.
  const auto size = static_cast<std::int64_t>(view.size());
  if (dataset.offset > size || dataset.bytes() > size - dataset.offset)
    throw input_error(path_of(file_), ": ends before /", dataset.path, " does", kRestoreStore);
  return view.subspan(static_cast<std::size_t>(dataset.offset), static_cast<std::size_t>(dataset.bytes()));
}

std::int64_t StoreDataset::size_of_extent(std::int64_t extent) const {
  return std::min(kStoreExtentBytes, dataset_.bytes() - extent * kStoreExtentBytes);
}

// Two threads may both get here for one extent, which does no harm.
void StoreDataset::check_mapped(std::int64_t extent) const {
  check(extent, bytes_.subspan(static_cast<std::size_t>(extent * kStoreExtentBytes),
                               static_cast<std::size_t>(size_of_extent(extent))));
  checked_[static_cast<std::size_t>(extent)].store(true, std::memory_order_release);
}

void StoreDataset::check(std::int64_t extent, std::span<const std::byte> bytes) const {
  const std::string_view table(reinterpret_cast<const char*>(digests_.data()), digests_.size());
  if (digest_of(bytes) == digest_at(table, extent)) return;
  const std::int64_t first = extent * kStoreExtentBytes;
  throw input_error(path_of(file_), ": bytes ", first, " to ", first + size_of_extent(extent), " of /",
                    dataset_.path, " (", dataset_.offset + first, " in the file) do not match their digest",
                    kRestoreStore);
}

void StoreDataset::read_all(
    FunctionRef<void(std::int64_t first, std::span<const std::byte> bytes)> visit) const {
  std::vector<std::byte> bytes;
  for (std::int64_t extent = 0; extent < store_extents(dataset_.bytes()); ++extent) {
    const std::int64_t first = extent * kStoreExtentBytes;
    bytes.resize(static_cast<std::size_t>(size_of_extent(extent)));
    file_.file().read(bytes, dataset_.offset + first);
    check(extent, bytes);
    visit(first, bytes);
  }
}

}  // namespace drover
