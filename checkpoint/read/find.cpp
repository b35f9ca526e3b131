#include "checkpoint/checkpoint.h"
#include "checkpoint/format/names.h"
#include "checkpoint/read/verify.h"
#include "checkpoint/write/attempts.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// The folder as rank 0 sees it: ranks of other hosts may see a rename later.
std::vector<std::string> agreed_paths(FileSystem& files, const Exec& exec, Communicator& world,
                                      const std::filesystem::path& folder,
                                      std::optional<std::int64_t> up_to_step) {
  std::string lines;
  agree(exec, world, [&] {
    if (world.rank() != 0) return;
    for (const AcceptedCheckpoint& checkpoint : accepted_checkpoints(files, folder))
      if (!up_to_step || checkpoint.step <= *up_to_step) lines += checkpoint.path + '\n';
  });
  broadcast_text(exec, world, lines, 0);
  std::vector<std::string> paths;
  std::istringstream in(lines);
  for (std::string path; std::getline(in, path);) paths.push_back(path);
  return paths;
}

void check_candidate(const ReadTogether& together) {
  agree(together.exec, together.world, [&] {
    if (together.world.rank() == 0 && together.files.kind(together.directory) != FileKind::directory)
      throw input_error("it is not a directory; symbolic links are not followed here");
  });
  const Contents contents = read_contents(together);
  const std::int64_t step = contents.manifest.state.step;  // the same on all ranks
  if (!together.directory.filename().string().starts_with(step_name(step)))
    throw input_error("its manifest is of step ", step, "; it was renamed");
  verify_together(together, contents);
}

}  // namespace

std::optional<std::filesystem::path> find_checkpoint(FileSystem& files, const Exec& exec, Communicator& world,
                                                     const std::filesystem::path& folder,
                                                     const std::function<void(const std::string&)>& warn,
                                                     std::optional<std::int64_t> up_to_step) {
  const std::vector<std::string> paths = agreed_paths(files, exec, world, folder, up_to_step);
  for (const std::string& path : paths) {
    try {
      check_candidate({.files = files, .exec = exec, .world = world, .directory = folder / path});
      return folder / path;
    } catch (const CommError&) {
      throw;
    } catch (const Error& error) {
      if (error.exit() != Exit::input) throw;  // not the checkpoint's fault
      warn(cat("checkpoint ", (folder / path).string(), " is not used: ", error.what()));
    }
  }
  if (paths.empty()) return std::nullopt;
  throw input_error("none of the ", paths.size(), " checkpoints in ", folder.string(),
                    " verifies; restore one, or start a new run in another directory");
}

}  // namespace drover
