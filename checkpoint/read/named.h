// What people name when they mean a checkpoint:
//
//   RUN                         a run directory, or a folder of checkpoints: the newest that verifies
//   RUN:step_500, RUN:500       the newest accepted of that step
//   .../attempt_2/step_N        a checkpoint's own folder; where a later attempt has closed that attempt, it is found too
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/format/contents.h"
#include "core/base/function_ref.h"
#include "core/files/filesystem.h"

namespace drover {

// Calls `use` with the folder of the checkpoint that is meant. If that fails because of the checkpoint and by then the
// name means another folder (an attempt was closed meanwhile, a checkpoint purged), it is called once more with that.
// What newer checkpoints are passed over for is told through `warn`, on every rank. Error{input} if nothing is meant.
// Collective: all ranks call with the same name.
void use_checkpoint(const ReadTogether& from, const std::string& named,
                    const std::function<void(const std::string&)>& warn,
                    FunctionRef<void(const std::filesystem::path&)> use);
// The same without a call.
std::filesystem::path find_named(const ReadTogether& from, const std::string& named,
                                 const std::function<void(const std::string&)>& warn);

// All checkpoints that are meant, the newest first: of a run or a folder every accepted one. One process.
std::vector<std::filesystem::path> all_named(FileSystem& files, const std::string& named);

}  // namespace drover
