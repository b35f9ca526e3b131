#include <cmath>
#include <cstring>

#include "checkpoint/format/names.h"
#include "checkpoint/read/inspect.h"
#include "checkpoint/safetensors/folder.h"
#include "launch/config/run_config.h"
#include "launch/hugging_face/export_checkpoint.h"
#include "launch/hugging_face/import_checkpoint.h"
#include "model/hugging_face.h"
#include "model/layouts.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/file_bytes.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

ModelConfig small_model(bool tied) {
  return {.hidden_size = 24,
          .num_hidden_layers = 2,
          .num_attention_heads = 3,
          .num_key_value_heads = 1,
          .intermediate_size = 20,
          .vocab_size = 300,
          .rope_scaling = RopeScaling{4, 1, 4, 16},
          .tie_word_embeddings = tied};
}

// A model folder as Transformers writes it, its tensors filled with numbers of their own.
class ModelFolder {
 public:
  explicit ModelFolder(const std::string& dtype, bool tied = true)
      : dtype_(dtype), model_(small_model(tied)) {
    std::filesystem::create_directory(path());
    for (const ParameterLayout& parameter : parameter_table(model_, 1)) {
      if (!parameter.tied_to.empty()) continue;
      tensors.push_back(
          {.name = parameter.name, .dtype = dtype, .shape = {parameter.shape[0], parameter.shape[1]}});
      if (parameter.dims == 1) tensors.back().shape.erase(tensors.back().shape.begin());
    }
    write_text("config.json", write_hugging_face_config({.model = model_, .max_position_embeddings = 99}));
  }

  std::filesystem::path path() const { return folder_.path() / "hf"; }
  std::filesystem::path run() const { return folder_.path() / "runs" / "imported"; }
  std::filesystem::path exported() const { return folder_.path() / "exported"; }

  void write_text(const char* name, const std::string& text) { write_bytes(path() / name, text); }
  void write_weights(std::int64_t shard_bytes = 2000) {
    lay_out_safetensors(tensors);
    write_safetensors_folder(files, path(), tensors, shard_bytes, [&](std::size_t i, ByteSink sink) {
      sink(bytes_of_tensor(i, static_cast<std::size_t>(tensors[i].bytes)));
    });
  }
  // With this mask below 1 in float32 and finite in every dtype: no exponent is all ones.
  int mask = 0x3b;
  std::vector<std::byte> bytes_of_tensor(std::size_t number, std::size_t bytes) const {
    std::vector<std::byte> values(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
      values[i] = static_cast<std::byte>((i * 7 + number * 13 + i / 11) & mask);
    return values;
  }

  std::string import() {
    OneRank rank;
    return import_hugging_face(rank, {.from = path(), .out = run()});
  }
  std::string export_run(WeightFormat format = WeightFormat::float32) {
    OneRank rank;
    return export_hugging_face(rank, {.checkpoint = run() / "checkpoints" / "attempt_0" / step_name(0),
                                      .out = exported(),
                                      .format = format});
  }
  template <class Body>
  std::string refusal(Body body) {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
  std::string refused_import() {
    return refusal([&] { import(); });
  }

  PosixFileSystem files;
  std::vector<SafetensorsTensor> tensors;

 private:
  TemporaryFolder folder_;
  std::string dtype_;
  ModelConfig model_;
};

std::vector<std::byte> all_bytes(const SafetensorsFolder& folder, const SafetensorsFolder::Tensor& tensor) {
  std::vector<std::byte> bytes;
  folder.read(tensor, [&](std::span<const std::byte> piece) {
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  });
  return bytes;
}

}  // namespace

TEST_CASE("a model that was imported is exported with the bits and the shape that came in") {
  for (const WeightFormat format : {WeightFormat::float32, WeightFormat::bfloat16, WeightFormat::float16}) {
    for (const bool tied : {true, false}) {
      ModelFolder model(std::string(safetensors_name_of(format)), tied);
      model.write_weights();
      model.import();
      model.export_run(format);
      const SafetensorsFolder in(model.files, model.path()), out(model.files, model.exported());
      REQUIRE(in.tensors().size() == out.tensors().size());
      for (std::size_t i = 0; i < in.tensors().size(); ++i) {
        CHECK(describe(in.tensors()[i].tensor) == describe(out.tensors()[i].tensor));
        CHECK(all_bytes(in, in.tensors()[i]) == all_bytes(out, out.tensors()[i]));
      }
      const std::string config = read_text(model.files, model.exported() / "config.json", 1 << 20);
      CHECK(config == write_hugging_face_config({.model = small_model(tied),
                                                 .max_position_embeddings = 99,
                                                 .dtype = std::string(name_of(format))}));
    }
  }
}

TEST_CASE("binary16 weights are imported as the same numbers in float32") {
  ModelFolder model("F16");
  model.write_weights();
  model.import();
  model.export_run();
  const SafetensorsFolder in(model.files, model.path()), out(model.files, model.exported());
  const auto half = all_bytes(in, in.tensors()[0]), single = all_bytes(out, out.tensors()[0]);
  REQUIRE(single.size() == 2 * half.size());
  std::uint16_t bits = 0;
  std::memcpy(&bits, &half[10], 2);
  float value = 0;
  std::memcpy(&value, &single[20], 4);
  CHECK(value == std::ldexp(1024 + (bits & 0x3ff), (bits >> 10 & 31) - 25));
}

TEST_CASE("what was imported is a checkpoint of step 0 that verifies, with moments of zero") {
  ModelFolder model("F32");
  model.write_weights();
  model.import();
  const auto directory = model.run() / "checkpoints" / "attempt_0" / step_name(0);
  CHECK(verify_checkpoint(model.files, directory).damage.empty());
  const std::string shown = inspect_checkpoint(model.files, directory);
  CHECK(shown.find("moment1 float32, moment2 float32, weight float32") != std::string::npos);
  CHECK(shown.find("step         0") != std::string::npos);
}

TEST_CASE("model.yaml is a base: with data, train and optimizer it is a run's configuration") {
  ModelFolder model("F32");
  model.write_text("tokenizer.json", byte_tokenizer().to_json());
  model.write_weights();
  const std::string told = model.import();
  CHECK(told.find("without tokenizer") == std::string::npos);
  const auto yaml = model.path() / "more.yaml";
  model.write_text("more.yaml", cat("base: ", (model.run() / "model.yaml").string(),
                                    "\ndata: {synthetic: {vocab_size: 300}}\n"
                                    "train: {sequence_length: 16, batch_tokens: 64, steps: 2}\n"));
  const RunConfig run = read_run_config(model.files, {.path = yaml.string(), .overrides = {}});
  CHECK(run.config.model.rope_scaling->factor == 4);
  CHECK(run.config.run.dir == model.run().string());
  CHECK(run.config.data.tokenizer == (model.run() / "tokenizer.json").string());
}

TEST_CASE("a model whose configuration differs in what no shape shows is refused") {
  ModelFolder model("F32");
  model.write_weights();
  model.import();
  const std::string text = read_text(model.files, model.run() / "model.yaml", 1 << 20) +
                           "train: {sequence_length: 16, batch_tokens: 64, steps: 2}\n";
  RunConfig run = read_run_config_text(text, "more.yaml");
  CHECK_NOTHROW(refuse_changed_model(run, write_run_config(run.config), "step_0"));
  Config other = run.config;
  other.model.rope_theta = 4321;
  CHECK(model.refusal([&] { refuse_changed_model(run, write_run_config(other), "step_0"); })
            .find("model.rope_theta was 4321") != std::string::npos);
}

TEST_CASE("folders that are there already are not touched, nor those that another process may be writing") {
  ModelFolder model("F32");
  model.write_weights();
  std::filesystem::create_directories(model.run());
  CHECK(model.refused_import().find("is there already") != std::string::npos);
  std::filesystem::rename(model.run(), model.run().string() + ".partial");
  CHECK(model.refused_import().find("another process is writing it") != std::string::npos);
}

TEST_CASE("an export of a damaged checkpoint names the damage and leaves nothing behind") {
  ModelFolder model("F32");
  model.write_weights();
  model.import();
  const auto shard = model.run() / "checkpoints" / "attempt_0" / step_name(0) / "rank_00000.h5";
  const auto file = model.files.open(shard, OpenMode::update);
  std::byte byte{};
  file->read({&byte, 1}, file->size() / 2);
  byte ^= std::byte{1};
  file->write({&byte, 1}, file->size() / 2);
  CHECK(model.refusal([&] { model.export_run(); }).find("rank_00000.h5: bytes 0 to") != std::string::npos);
  CHECK_FALSE(model.files.exists(model.exported()));
  CHECK_FALSE(model.files.exists(model.exported().string() + ".partial"));
}

TEST_CASE("weights that would be infinite in binary16 are refused with their number, and nothing is left") {
  ModelFolder model("F32");
  model.mask = 0x4f;  // to 2^31
  model.write_weights();
  model.import();
  const std::string refusal = model.refusal([&] { model.export_run(WeightFormat::float16); });
  CHECK(refusal.find(" weights of model.embed_tokens.weight would be infinite in float16; export as") !=
        std::string::npos);
  CHECK_FALSE(model.files.exists(model.exported().string() + ".partial"));
  model.export_run(WeightFormat::bfloat16);
  CHECK(model.files.exists(model.exported()));
}

TEST_CASE("weights that do not fit config.json are refused by name") {
  const auto refused = [](auto change) {
    ModelFolder model("F32");
    change(model.tensors);
    model.write_weights();
    return model.refused_import();
  };
  using Tensors = std::vector<SafetensorsTensor>;
  CHECK(refused([](Tensors& t) { t.pop_back(); }).find("has no tensor model.norm.weight") !=
        std::string::npos);
  CHECK(refused([](Tensors& t) {
          t[0].shape = {24, 300};
        }).find("model.embed_tokens.weight has another shape") != std::string::npos);
  CHECK(refused([](Tensors& t) { t[3].dtype = "I8"; }).find("only F32, BF16 and F16") != std::string::npos);
  CHECK(refused([](Tensors& t) {
          t.push_back({.name = "model.layers.0.self_attn.q_proj.bias", .dtype = "F32", .shape = {24}});
        }).find("q_proj.bias is not a weight of the Llama") != std::string::npos);
  CHECK(refused([](Tensors& t) {
          t.push_back({.name = "lm_head.weight", .dtype = "F32", .shape = {300, 24}});
        }).find("lm_head.weight and model.embed_tokens.weight differ") != std::string::npos);
  CHECK(refused([](Tensors& t) {
          t.push_back({.name = "model.layers.0.self_attn.rotary_emb.inv_freq", .dtype = "F32", .shape = {4}});
        }) == "nothing was thrown");
}

TEST_CASE("sizes of nothing are refused by the option's name") {
  ModelFolder model("F32");
  OneRank rank;
  CHECK(model.refusal([&] { export_hugging_face(rank, {.checkpoint = "x", .out = "y", .shard_bytes = 0}); })
            .starts_with("--max-shard-size is 0; it must be at least 1 byte"));
  CHECK(model.refusal([&] { export_hugging_face(rank, {.checkpoint = "x", .out = "y", .max_positions = 0}); })
            .starts_with("--max-positions is 0; it must be at least 1"));
}

TEST_CASE("a tokenizer that cannot be taken is told, and the weights are imported") {
  ModelFolder model("F32");
  model.write_text("tokenizer.json", "{}");
  model.write_weights();
  CHECK(model.import().find("without tokenizer: ") != std::string::npos);
  CHECK_FALSE(model.files.exists(model.run() / "tokenizer.json"));
}

}  // namespace drover
