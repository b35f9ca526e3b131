#include "checkpoint/safetensors/folder.h"

#include <algorithm>
#include <iomanip>
#include <set>

#include "checkpoint/write/new_folder.h"

namespace drover {
namespace {

constexpr const char* kOneFile = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::int64_t kPieceBytes = std::int64_t{4} << 20;  // of whole elements, whatever the dtype

[[noreturn]] void refuse_other_formats(FileSystem& files, const std::filesystem::path& folder) {
  for (const std::string& name : files.list(folder)) {
    if (name.ends_with(".bin") || name.ends_with(".pth") || name.ends_with(".pt") || name.ends_with(".gguf"))
      throw input_error(
          folder.string(), " has ", name, " and no ", kOneFile,
          "; only safetensors are read (pickles can run code): load it in Transformers and call "
          "save_pretrained(folder)");
  }
  throw input_error(folder.string(), " has neither ", kOneFile, " nor ", kIndex,
                    "; name the folder that Transformers' save_pretrained wrote");
}

std::string shard_file(std::size_t number, std::size_t count) {
  std::ostringstream name;
  name << "model-" << std::setfill('0') << std::setw(5) << number << "-of-" << std::setw(5) << count
       << ".safetensors";
  return std::move(name).str();
}

}  // namespace

SafetensorsFolder::SafetensorsFolder(FileSystem& files, std::filesystem::path folder)
    : files_(files), folder_(std::move(folder)) {
  if (files.exists(folder_ / kOneFile)) {
    add_file(kOneFile);
  } else if (files.exists(folder_ / kIndex)) {
    add_shards();
  } else {
    refuse_other_formats(files, folder_);
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const Tensor& a, const Tensor& b) { return a.tensor.name < b.tensor.name; });
}

void SafetensorsFolder::add_file(const std::string& name) {
  const auto file = files_.open(folder_ / name, OpenMode::read_no_follow);
  for (SafetensorsTensor& tensor : read_safetensors_header(*file))
    tensors_.push_back({std::move(tensor), name});
}

void SafetensorsFolder::add_shards() {
  const auto path = folder_ / kIndex;
  const auto file_of =
      parse_safetensors_index(read_text(files_, path, kMaxSafetensorsIndex, OpenMode::read_no_follow), path);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : file_of) shards.insert(shard);
  for (const std::string& shard : shards) add_file(shard);
  for (const auto& [tensor, shard] : tensors_) {
    const auto listed = file_of.find(tensor.name);
    if (listed == file_of.end() || listed->second != shard)
      throw input_error((folder_ / shard).string(), " holds ", describe(tensor), ", which ", kIndex,
                        listed == file_of.end() ? " does not list" : " says is in " + listed->second,
                        "; the shards are not of one model, fetch the folder again");
  }
  if (tensors_.size() == file_of.size()) return;
  for (const auto& [tensor, shard] : file_of) {
    if (std::none_of(tensors_.begin(), tensors_.end(),
                     [&name = tensor](const Tensor& found) { return found.tensor.name == name; }))
      throw input_error(path.string(), ": ", tensor, " is not in ", shard,
                        "; the shards are not of one model, fetch the folder again");
  }
}

const SafetensorsFolder::Tensor* SafetensorsFolder::find(std::string_view name) const {
  const auto found = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                      [](const Tensor& a, std::string_view b) { return a.tensor.name < b; });
  return found != tensors_.end() && found->tensor.name == name ? &*found : nullptr;
}

void SafetensorsFolder::read(const Tensor& tensor, ByteSink use) const {
  const auto file = files_.open(folder_ / tensor.file, OpenMode::read_no_follow);
  std::vector<std::byte> piece;
  for (std::int64_t at = 0; at < tensor.tensor.bytes; at += kPieceBytes) {
    piece.resize(static_cast<std::size_t>(std::min(kPieceBytes, tensor.tensor.bytes - at)));
    file->read(piece, tensor.tensor.offset + at);
    use(piece);
  }
}

std::vector<std::vector<std::size_t>> plan_shards(std::span<const SafetensorsTensor> tensors,
                                                  std::int64_t shard_bytes) {
  std::vector<std::vector<std::size_t>> shards;
  std::int64_t filled = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (shards.empty() || filled + tensors[i].bytes > shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(i);
    filled += tensors[i].bytes;
  }
  return shards;
}

void write_safetensors_folder(FileSystem& files, const std::filesystem::path& folder,
                              std::vector<SafetensorsTensor> tensors, std::int64_t shard_bytes,
                              TensorBytes bytes) {
  lay_out_safetensors(tensors);  // sets the sizes
  const auto shards = plan_shards(tensors, shard_bytes);
  SafetensorsIndex index;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const std::string name = shards.size() == 1 ? kOneFile : shard_file(s + 1, shards.size());
    std::vector<SafetensorsTensor> held;
    for (const std::size_t i : shards[s]) {
      held.push_back(tensors[i]);
      index.file_of[tensors[i].name] = name;
      index.parameters += tensors[i].numel();
      index.bytes += tensors[i].bytes;
    }
    write_safetensors(files, folder / name, std::move(held),
                      [&](std::size_t i, ByteSink sink) { bytes(shards[s][i], sink); });
  }
  if (shards.size() > 1) write_new_text(files, folder / kIndex, safetensors_index(index));
}

}  // namespace drover
