// A Transformers model: a file as model.safetensors, every tensor read; and what begins with a brace as the index of
// shards and as config.json.
#include "checkpoint/safetensors/folder.h"
#include "model/hugging_face.h"
#include "tests/fuzz/answer.h"
#include "tests/support/recording_filesystem.h"

namespace drover {
namespace {

constexpr const char* kFolder = "model";
constexpr const char* kFile = "model/model.safetensors";
constexpr const char* kIndex = "model/model.safetensors.index.json";
constexpr const char* kConfig = "model/config.json";

void read_all(FileSystem& files) {
  const SafetensorsFolder folder(files, kFolder);
  for (const SafetensorsFolder::Tensor& found : folder.tensors()) {
    std::int64_t bytes = 0;
    folder.read(found,
                [&](std::span<const std::byte> piece) { bytes += static_cast<std::int64_t>(piece.size()); });
    if (bytes != found.tensor.bytes) report_defect("a tensor is read in part", describe(found.tensor));
  }
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace drover;
  const std::string_view input = text_of(data, size);
  if (input.starts_with('{')) {
    answers(Exit::input, kIndex, [&] { parse_safetensors_index(input, kIndex); });
    answers(Exit::input, kConfig, [&] { read_hugging_face_config(input, kConfig); });
  }
  RecordingFileSystem files;
  files.make_directory(kFolder);
  files.open(kFile, OpenMode::create)->write(bytes_of(input), 0);
  answers(Exit::input, kFolder, [&] { read_all(files); });
  return 0;
}
