// fuzz_seeds REPOSITORY FOLDER: writes the inputs that fuzzing begins with, FOLDER/TARGET/NAME, and FOLDER/yaml.dict,
// every key of a configuration.
#include <cstdio>

#include "checkpoint/format/manifest.h"
#include "checkpoint/safetensors/safetensors.h"
#include "core/config/config.h"
#include "data/tokenizer/spec.h"
#include "launch/config/describe_config.h"
#include "model/hugging_face.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/file_bytes.h"
#include "tests/support/recording_filesystem.h"
#include "tests/support/store_builder.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

std::string to_string(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_yaml(const fs::path& repository, const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(repository / "configs"))
    write_bytes(folder / "yaml" / entry.path().filename(), read_bytes(entry.path()));
  Config config;
  config.data.synthetic.emplace();
  config.data.sources.emplace_back();
  config.phases.emplace_back();
  std::string dictionary;
  for (const ResolvedField& field : list_config([&](Fields& fields) { describe(fields, config); })) {
    const std::string key = field.path.substr(field.path.rfind('.') + 1);
    dictionary += '"' + key + ": \"\n";
    for (const auto& words : {field.info.choices, field.info.elsewhere}) {
      std::istringstream stream{std::string(words)};
      for (std::string word; stream >> word;) dictionary += '"' + word + "\"\n";
    }
  }
  write_bytes(folder / "yaml.dict", dictionary);
}

// Of Llama 2's form.
TokenizerSpec of_characters() {
  TokenizerSpec spec{.atoms = Atoms::characters,
                     .marks = {SpaceMarks::Writer::normalizer, SpaceMarks::Before::sections}};
  for (int byte = 0; byte < 256; ++byte) spec.tokens.push_back(byte_token(std::uint8_t(byte)));
  for (const char* token : {"\u2581", "a", "\u00e9", "\u2581a", "a\u00e9"}) spec.tokens.emplace_back(token);
  spec.merges = {{.left = 256, .right = 257, .merged = 259, .rank = 0},
                 {.left = 257, .right = 258, .merged = 260, .rank = 1}};
  append_specials({"<s>", "</s>"}, spec);
  return spec;
}

void write_tokenizers(const fs::path& repository, const fs::path& folder) {
  const fs::path golden = repository / "tests" / "data" / "tokenizer" / "golden";
  for (const char* name : {"llama3.json", "gpt2.json", "letters.json", "ranks.model"})
    write_bytes(folder / "tokenizer" / name, read_bytes(golden / name));
  write_bytes(folder / "tokenizer" / "bytes.json", byte_tokenizer().to_json());
  TokenizerSpec spec = byte_tokenizer().spec();
  spec.normalizer = Normalizer::nfc;
  spec.splits.insert(spec.splits.begin(),
                     {.pattern = R"(\p{N}{2,}|$\S)", .behavior = SplitBehavior::contiguous});
  spec.splits.push_back({.pattern = kGpt2Pattern});
  spec.prefix_space = PrefixSpace::before_last_rule;
  spec.added[0].single_word = spec.added[1].lstrip = true;
  write_bytes(folder / "tokenizer" / "rules.json", Tokenizer(spec, "rules").to_json());
  write_bytes(folder / "tokenizer" / "characters.json", Tokenizer(of_characters(), "characters").to_json());
}

void write_stores(const fs::path& folder) {
  RecordingFileSystem files;
  build_store(files, "full.h5",
              {.ids = {256, 65, 257, 256, 66, 67, 257, 256, 68, 257},
               .offsets = {0, 3, 7, 10},
               .text_bytes = {1, 2, 1}});
  build_store(files, "empty.h5", {.offsets = {0}});
  for (const char* name : {"full.h5", "empty.h5"})
    write_bytes(folder / "store" / name, to_string(files.bytes(name)));
}

void write_manifests(const fs::path& folder) {
  Manifest manifest{.state = {.step = 1, .tokens = 640, .rows = 5, .feeds = {{"synthetic", 640}}}};
  manifest.tensors.push_back({.name = "model.norm.weight", .slot = "weight", .shape = {1, 4}, .dims = 1});
  manifest.tensors.push_back(
      {.name = "model.w", .slot = "moment1", .dtype = DType::float64, .shape = {2, 3}});
  StoredFile file{.rank = 0, .bytes = 96};
  file.pieces.push_back({.tensor = 0, .box = {.offset = {0, 0}, .extent = {1, 4}}, .offset = 0});
  file.pieces.push_back({.tensor = 1, .box = {.offset = {1, 0}, .extent = {1, 3}}, .offset = 16});
  file.extents.push_back(digest_of("extent"));
  manifest.state.config = "train: {steps: 3}\n";
  write_bytes(folder / "manifest" / "one_file",
              manifest_text(manifest) + std::string(1, '\0') + file_text(file, manifest.tensors));
}

void write_models(const fs::path& folder) {
  std::vector<SafetensorsTensor> tensors{{.name = "model.norm.weight", .dtype = "F32", .shape = {4}},
                                         {.name = "lm_head.weight", .dtype = "BF16", .shape = {2, 3}}};
  const std::string header = lay_out_safetensors(tensors);
  write_bytes(folder / "safetensors" / "two_tensors", header + std::string(4 * 4 + 2 * 6, 'x'));
  const std::string file = "model-00001-of-00001.safetensors";
  const SafetensorsIndex index{.file_of = {{"a", file}, {"b", file}}, .parameters = 10, .bytes = 28};
  write_bytes(folder / "safetensors" / "index", safetensors_index(index));
  const ModelConfig model{.hidden_size = 8,
                          .num_hidden_layers = 1,
                          .num_attention_heads = 2,
                          .num_key_value_heads = 1,
                          .intermediate_size = 16,
                          .vocab_size = 32,
                          .rope_scaling = RopeScaling{}};
  write_bytes(folder / "safetensors" / "config", write_hugging_face_config({.model = model}));
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: fuzz_seeds REPOSITORY FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path repository = argv[1], folder = argv[2];
  drover::write_yaml(repository, folder);
  drover::write_tokenizers(repository, folder);
  drover::write_stores(folder);
  drover::write_manifests(folder);
  drover::write_models(folder);
  return 0;
}
