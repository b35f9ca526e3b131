#include "checkpoint/read/inspect.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>

#include "checkpoint/format/contents.h"
#include "checkpoint/format/names.h"
#include "checkpoint/read/verify.h"
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

struct Listing {
  std::map<std::string, Cut> cuts;  // by name
  std::string files;                // one line for each
  std::int64_t bytes = 0;           // of all files
};

Listing list_files(const Contents& contents) {
  Listing listing{.bytes = std::ssize(contents.table)};
  std::ostringstream lines;
  contents.for_each_file([&](int number, const StoredFile& file) {
    listing.bytes += file.bytes;
    lines << std::setw(14) << file.bytes << std::setw(10) << file.pieces.size() << "  "
          << shard_name(file.rank) << '\n';
    for (const StoredPiece& piece : file.pieces) {
      const StoredTensor& tensor = contents.manifest.tensors[static_cast<std::size_t>(piece.tensor)];
      Cut& cut = listing.cuts[tensor.name];
      if (cut.slots.empty()) cut.tensor = tensor;
      cut.slots.insert(cat(tensor.slot, " ", name_of(tensor.dtype)));
      cut.files.insert(number);
      if (tensor.slot == cut.tensor.slot) ++cut.pieces;
    }
  });
  listing.files = std::move(lines).str();
  return listing;
}

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

void print_totals(const Manifest& manifest, const Listing& listing, std::ostream& out) {
  std::int64_t parameters = 0;
  for (const auto& [name, cut] : listing.cuts) parameters += cut.tensor.numel();
  out << "  written by   " << manifest.ranks << (manifest.ranks == 1 ? " rank" : " ranks")
      << "\n  size         " << listing.bytes << " bytes\n  parameters   " << parameters << " in "
      << listing.cuts.size() << " tensors\n";
}

std::string slots_of(const Cut& cut) {
  std::string text;
  for (const std::string& slot : cut.slots) text += (text.empty() ? "" : ", ") + slot;
  return text;
}

// Nearly always all tensors have the same slots: then they stand once.
void print_tensors(const Listing& listing, std::ostream& out) {
  std::set<std::string> kinds;
  for (const auto& [name, cut] : listing.cuts) kinds.insert(slots_of(cut));
  if (kinds.size() == 1) out << "\nof each tensor: " << *kinds.begin() << '\n';
  out << "\n         shape    pieces     files  tensor\n" << std::right;
  for (const auto& [name, cut] : listing.cuts) {
    out << std::setw(14) << shape_text(cut.tensor) << std::setw(10) << cut.pieces << std::setw(10)
        << cut.files.size() << "  " << name;
    if (kinds.size() > 1) out << ": " << slots_of(cut);
    out << '\n';
  }
}

}  // namespace

std::string inspect_checkpoint(FileSystem& files, const std::filesystem::path& directory) {
  const Contents contents = read_contents(files, directory);
  const Listing listing = list_files(contents);
  std::ostringstream out;
  out << directory.string() << '\n';
  print_state(contents.manifest.state, out);
  print_totals(contents.manifest, listing, out);
  out << "\n         bytes    pieces  file\n" << listing.files;
  print_tensors(listing, out);
  return std::move(out).str();
}

namespace {

void verify_files(FileSystem& files, const std::filesystem::path& directory, Verification& result) {
  try {
    read_contents(files, directory).for_each_file([&](int, const StoredFile& file) {
      ++result.files;
      result.bytes += file.bytes;
      const std::vector<Damage> damage = damage_of(files, directory, file);
      result.damage.insert(result.damage.end(), damage.begin(), damage.end());
    });
  } catch (const Error& error) {
    result.damage.push_back({.file = std::string(kTableName), .what = error.what()});
  }
}

}  // namespace

Verification verify_checkpoint(FileSystem& files, const std::filesystem::path& directory) {
  Verification result;
  try {
    read_manifest(files, directory);
  } catch (const Error& error) {
    result.damage.push_back({.file = std::string(kManifestName), .what = error.what()});
    return result;
  }
  verify_files(files, directory, result);
  return result;
}

}  // namespace drover
