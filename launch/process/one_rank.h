// What functions of several ranks are given by a command that is one process.
#pragma once

#include <memory>

#include "checkpoint/format/contents.h"
#include "core/cpu/cpu_backend.h"
#include "core/ops/exec.h"
#include "parallel/comm/local/local_comm.h"

namespace drover {

struct OneRank {
  PosixFileSystem files;
  HostMemory memory;
  std::unique_ptr<Backend> backend = make_cpu_backend(memory);
  std::unique_ptr<Communicator> world = single_rank_world();
  Arena scratch;
  Exec exec{.backend = *backend, .scratch = scratch};

  ReadTogether reading(const std::filesystem::path& directory = {}) {
    return {.files = files, .exec = exec, .world = *world, .directory = directory};
  }
};

}  // namespace drover
