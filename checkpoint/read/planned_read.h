// Plans a rank's reads from a checkpoint's table, and gives the reader what it needs to check them.
#pragma once

#include "checkpoint/format/contents.h"
#include "checkpoint/format/names.h"
#include "checkpoint/read/extent_reader.h"
#include "checkpoint/read/read_plan.h"

namespace drover {

// The digests of files that this rank needs nothing from are not kept.
inline ReadPlan plan_reads(const Contents& contents, std::span<const StateEntry> wanted,
                           ExtentReader& extents) {
  ReadPlan plan(wanted, contents.manifest.tensors, contents.directory.string());
  contents.for_each_file([&](int number, const StoredFile& file) {
    if (plan.add(number, file))
      extents.add_file(number, {.name = shard_name(file.rank), .bytes = file.bytes, .digests = file.extents});
  });
  plan.check_complete(contents.directory.string());
  return plan;
}

}  // namespace drover
