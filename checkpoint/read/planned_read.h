// Plans a rank's reads from all tables of a checkpoint, and gives the reader what it needs to check them.
#pragma once

#include "checkpoint/read/contents.h"
#include "checkpoint/read/extent_reader.h"
#include "checkpoint/read/read_plan.h"

namespace drover {

// Collective. The digests of files that this rank needs nothing from are not kept.
inline void plan_reads(const ReadTogether& together, const Manifest& manifest, ReadPlan& plan,
                       ExtentReader& extents) {
  for_each_table(together, manifest, [&](int file, const RankTable& table) {
    const StoredFile& stored = manifest.files[static_cast<std::size_t>(file)];
    if (plan.add(file, table, (together.directory / stored.name).string()))
      extents.add_file(file, stored, table.extents);
  });
}

}  // namespace drover
