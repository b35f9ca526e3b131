#include "checkpoint/read/inspect.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>

#include "checkpoint/read/verify.h"
#include "checkpoint/write/directory.h"
#include "core/base/printable.h"

namespace drover {
namespace {

// How the pieces of one logical parameter lie, all slots together.
struct Cut {
  StoredTensor tensor;          // one of its slots
  std::set<std::string> slots;  // with dtype
  std::set<int> files;
  std::int64_t pieces = 0;  // of one slot
};

class Contents {
 public:
  void add(int file, const RankTable& table) {
    for (const StoredPiece& piece : table.pieces) {
      const StoredTensor& tensor = table.tensors[static_cast<std::size_t>(piece.tensor)];
      Cut& cut = cuts[tensor.name];
      if (cut.slots.empty()) cut.tensor = tensor;
      cut.slots.insert(cat(tensor.slot, " ", name_of(tensor.dtype)));
      cut.files.insert(file);
      if (tensor.slot == cut.tensor.slot) ++cut.pieces;
    }
    pieces.push_back(table.pieces.size());
  }

  std::map<std::string, Cut> cuts;  // by name
  std::vector<std::size_t> pieces;  // by file
};

void print_state(const RunState& state, std::ostream& out) {
  out << "  step         " << state.step << "\n  tokens       " << state.tokens << "\n  rows         "
      << state.rows << "\n  attempt      " << state.attempt << "\n  fingerprint  "
      << printable(state.fingerprint, ' ') << '\n';
  if (!state.tokenizer.empty()) out << "  tokenizer    " << printable(state.tokenizer, ' ') << '\n';
  for (std::size_t i = 0; i < state.feeds.size(); ++i) {
    out << "  feed " << std::left << std::setw(8) << i << printable(state.feeds[i].source, ' ')
        << " at token " << state.feeds[i].position << '\n';
  }
}

void print_totals(const Manifest& manifest, const Contents& contents, std::ostream& out) {
  std::int64_t bytes = 0, parameters = 0;
  for (const StoredFile& file : manifest.files) bytes += file.bytes + file.table_bytes;
  for (const auto& [name, cut] : contents.cuts) parameters += cut.tensor.numel();
  out << "  written by   " << manifest.ranks << (manifest.ranks == 1 ? " rank" : " ranks")
      << "\n  size         " << bytes << " bytes\n  parameters   " << parameters << " in "
      << contents.cuts.size() << " tensors\n";
}

void print_files(const Manifest& manifest, const Contents& contents, std::ostream& out) {
  out << "\n         bytes    pieces  file\n" << std::right;
  for (std::size_t i = 0; i < manifest.files.size(); ++i) {
    out << std::setw(14) << manifest.files[i].bytes << std::setw(10) << contents.pieces[i] << "  "
        << manifest.files[i].name << '\n';
  }
}

std::string slots_of(const Cut& cut) {
  std::string text;
  for (const std::string& slot : cut.slots) text += (text.empty() ? "" : ", ") + slot;
  return text;
}

// Nearly always all tensors have the same slots: then they stand once.
void print_tensors(const Contents& contents, std::ostream& out) {
  std::set<std::string> kinds;
  for (const auto& [name, cut] : contents.cuts) kinds.insert(slots_of(cut));
  if (kinds.size() == 1) out << "\nof each tensor: " << *kinds.begin() << '\n';
  out << "\n         shape    pieces     files  tensor\n" << std::right;
  for (const auto& [name, cut] : contents.cuts) {
    out << std::setw(14) << shape_text(cut.tensor) << std::setw(10) << cut.pieces << std::setw(10)
        << cut.files.size() << "  " << name;
    if (kinds.size() > 1) out << ": " << slots_of(cut);
    out << '\n';
  }
}

}  // namespace

std::optional<std::filesystem::path> checkpoint_folder(FileSystem& files,
                                                       const std::filesystem::path& named) {
  if (files.exists(named / kManifestName)) return std::nullopt;
  for (const auto& folder : {named, named / "checkpoints"}) {
    if (!committed_names(files, folder).empty()) return folder;
  }
  throw input_error(named.string(),
                    " holds no checkpoint: name a step_N directory with a manifest.json, the folder of "
                    "those, or a run directory");
}

std::string inspect_checkpoint(FileSystem& files, const std::filesystem::path& directory) {
  const Manifest manifest = read_manifest(files, directory);
  Contents contents;
  for (std::size_t i = 0; i < manifest.files.size(); ++i)
    contents.add(static_cast<int>(i), read_table(files, directory, manifest.files[i]));
  std::ostringstream out;
  out << directory.string() << '\n';
  print_state(manifest.state, out);
  print_totals(manifest, contents, out);
  print_files(manifest, contents, out);
  print_tensors(contents, out);
  return std::move(out).str();
}

Verification verify_checkpoint(FileSystem& files, const std::filesystem::path& directory) {
  Verification result;
  try {
    for (const StoredFile& file : read_manifest(files, directory).files) {
      ++result.files;
      result.bytes += file.bytes;
      const std::vector<Damage> damage = damage_of(files, directory, file);
      result.damage.insert(result.damage.end(), damage.begin(), damage.end());
    }
  } catch (const Error& error) {
    result.damage.push_back({.file = std::string(kManifestName), .what = error.what()});
  }
  return result;
}

}  // namespace drover
