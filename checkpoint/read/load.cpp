#include "checkpoint/checkpoint.h"
#include "checkpoint/read/planned_read.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// Reads ascend within a file, except where two wanted boxes share a stored one.
constexpr std::size_t kKeptExtents = 4;

void execute(ExtentReader& extents, const PlannedRead& read, const StateEntry& entry) {
  DROVER_CHECK(entry.data.device == DeviceKind::cpu && entry.data.contiguous() &&
                   entry.data.dtype == entry.dtype && entry.data.numel() == entry.box.numel(),
               entry.name, " ", entry.slot, ": ", entry.data.describe(), " for ", describe(entry.box));
  auto* data = static_cast<std::byte*>(entry.data.data);
  for_each_range(read, entry.box, size_of(entry.dtype), [&](const ReadRange& range) {
    extents.read(read.file, range.offset, {data + range.target, static_cast<std::size_t>(range.bytes)});
  });
}

}  // namespace

RunState load_checkpoint(FileSystem& files, const Exec& exec, Communicator& world,
                         const std::filesystem::path& directory, std::span<const StateEntry> entries) {
  const ReadTogether together{.files = files, .exec = exec, .world = world, .directory = directory};
  Contents contents = read_contents(together);
  ExtentReader extents(files, directory, kKeptExtents);
  agree(exec, world, [&] {
    for (const PlannedRead& read : plan_reads(contents, entries, extents).reads())
      execute(extents, read, entries[static_cast<std::size_t>(read.entry)]);
  });
  return std::move(contents.manifest.state);
}

}  // namespace drover
