#include "checkpoint/checkpoint.h"
#include "checkpoint/read/verify.h"
#include "checkpoint/write/directory.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// The folder as rank 0 sees it: ranks of other hosts may see a rename later.
std::vector<std::string> agreed_names(FileSystem& files, const Exec& exec, Communicator& world,
                                      const std::filesystem::path& folder,
                                      std::optional<std::int64_t> up_to_step) {
  std::string lines;
  agree(exec, world, [&] {
    if (world.rank() != 0) return;
    for (const CommittedName& checkpoint : committed_names(files, folder))
      if (!up_to_step || checkpoint.step <= *up_to_step) lines += checkpoint.name + '\n';
  });
  broadcast_text(exec, world, lines, 0);
  std::vector<std::string> names;
  std::istringstream in(lines);
  for (std::string name; std::getline(in, name);) names.push_back(name);
  return names;
}

void check_candidate(const ReadTogether& together) {
  agree(together.exec, together.world, [&] {
    if (together.world.rank() == 0 && together.files.kind(together.directory) != FileKind::directory)
      throw input_error("it is not a directory; symbolic links are not followed here");
  });
  const Manifest manifest = read_manifest(together);
  agree(together.exec, together.world, [&] {
    if (!together.directory.filename().string().starts_with(step_name(manifest.state.step)))
      throw input_error("its manifest is of step ", manifest.state.step, "; it was renamed");
  });
  verify_together(together, manifest);
}

}  // namespace

std::optional<std::filesystem::path> find_checkpoint(FileSystem& files, const Exec& exec, Communicator& world,
                                                     const std::filesystem::path& folder,
                                                     const std::function<void(const std::string&)>& warn,
                                                     std::optional<std::int64_t> up_to_step) {
  const std::vector<std::string> names = agreed_names(files, exec, world, folder, up_to_step);
  for (const std::string& name : names) {
    try {
      check_candidate({.files = files, .exec = exec, .world = world, .directory = folder / name});
      return folder / name;
    } catch (const CommError&) {
      throw;
    } catch (const Error& error) {
      if (error.exit() != Exit::input) throw;  // not the checkpoint's fault
      warn(cat("checkpoint ", (folder / name).string(), " is not used: ", error.what()));
    }
  }
  if (names.empty()) return std::nullopt;
  throw input_error("none of the ", names.size(), " checkpoints in ", folder.string(),
                    " verifies; restore one, or start a new run in another directory");
}

}  // namespace drover
