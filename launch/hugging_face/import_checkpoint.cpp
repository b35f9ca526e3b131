#include "launch/hugging_face/import_checkpoint.h"

#include <algorithm>
#include <array>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors/float_bits.h"
#include "checkpoint/safetensors/folder.h"
#include "checkpoint/write/attempts.h"
#include "checkpoint/write/new_folder.h"
#include "core/base/digest.h"
#include "data/tokenizer/tokenizer.h"
#include "launch/config/run_config.h"
#include "model/hugging_face.h"
#include "model/layouts.h"

namespace drover {

namespace {

constexpr std::int64_t kMaxConfigBytes = 1 << 20;
constexpr std::int64_t kMaxTokenizerBytes = std::int64_t{256} << 20;
constexpr std::array kSlots{"weight", "moment1", "moment2"};

// Those that are stored; a tied head is the embedding.
ParameterTable stored_parameters(const ModelConfig& model) {
  ParameterTable table = parameter_table(model, 1);
  std::erase_if(table, [](const ParameterLayout& parameter) { return !parameter.tied_to.empty(); });
  return table;
}

std::vector<std::int64_t> shape_of(const ParameterLayout& parameter) {
  return parameter.dims == 1 ? std::vector{parameter.shape[1]}
                             : std::vector{parameter.shape[0], parameter.shape[1]};
}

// Frequencies that old versions stored, and everybody computes.
bool is_ignored(std::string_view name) { return name.ends_with(".rotary_emb.inv_freq"); }

class Import {
 public:
  Import(OneRank& rank, const ImportRequest& request)
      : rank_(rank),
        request_(request),
        hugging_face_(read_config()),
        table_(stored_parameters(model())),
        source_(rank.files, request.from) {
    for (const ParameterLayout& parameter : table_) weights_.push_back(weight_of(parameter));
    refuse_other_tensors();
    read_tokenizer();
  }

  std::string run() {
    NewFolder folder(rank_.files, request_.out);
    const std::int64_t parameters = count_parameters(model()).total;
    folder.require_space(parameters * size_of(DType::float32) + static_cast<std::int64_t>(tokenizer_.size()) +
                         kMaxConfigBytes);
    if (!tokenizer_.empty()) write_new_text(rank_.files, folder.partial() / "tokenizer.json", tokenizer_);
    write_new_text(rank_.files, folder.partial() / "model.yaml", model_yaml());
    write_checkpoint(folder.partial() / "checkpoints");
    folder.publish();
    return cat(
        request_.out.string(), ": ", parameters, " parameters of ", request_.from.string(),
        " as step 0 of a run", tokenizer_note_,
        "\nTo train on, write a file that begins with\n\n  base: ", (request_.out / "model.yaml").string(),
        "\n\nand adds data.sources, train and optimizer; `base` is relative to that file's folder.");
  }

 private:
  const ModelConfig& model() const { return hugging_face_.model; }

  HuggingFaceConfig read_config() const {
    const auto path = request_.from / "config.json";
    if (!rank_.files.exists(path))
      throw input_error(path.string(),
                        " is not there; name the folder that Transformers' save_pretrained wrote");
    return read_hugging_face_config(read_text(rank_.files, path, kMaxConfigBytes, OpenMode::read_no_follow),
                                    path);
  }

  const SafetensorsFolder::Tensor* weight_of(const ParameterLayout& parameter) const {
    const auto* found = source_.find(parameter.name);
    if (found == nullptr)
      throw input_error(request_.from.string(), " has no tensor ", parameter.name,
                        ", which its config.json asks for; fetch the folder again");
    if (found->tensor.shape != shape_of(parameter))
      throw input_error(request_.from.string(), ": ", describe(found->tensor),
                        " has another shape than config.json "
                        "asks for: ",
                        parameter.shape[0], " x ", parameter.shape[1], "; fetch the folder again");
    if (!is_widened(found->tensor.dtype))
      throw input_error(request_.from.string(), ": ", describe(found->tensor),
                        ": only F32, BF16 and F16 are read; save the model in one of them (model.float())");
    return found;
  }

  void refuse_other_tensors() const {
    for (const SafetensorsFolder::Tensor& found : source_.tensors()) {
      const std::string& name = found.tensor.name;
      if (is_ignored(name) || std::find(weights_.begin(), weights_.end(), &found) != weights_.end()) continue;
      if (model().tie_word_embeddings && name == "lm_head.weight") {
        refuse_untied_head(found);
        continue;
      }
      throw input_error(
          request_.from.string(), ": ", describe(found.tensor),
          " is not a weight of the Llama that config.json describes (biases, adapters and quantised "
          "weights are not read); save the plain model in Transformers");
    }
  }

  // Some writers store the tied head too.
  void refuse_untied_head(const SafetensorsFolder::Tensor& head) const {
    if (digest(head) != digest(*weights_.front()))
      throw input_error(request_.from.string(),
                        ": lm_head.weight and model.embed_tokens.weight differ, though config.json has "
                        "tie_word_embeddings; set it to false there, if the head is meant to be its own");
  }
  Digest digest(const SafetensorsFolder::Tensor& tensor) const {
    DigestStream digest;
    source_.read(tensor, [&](std::span<const std::byte> piece) { digest.add(piece); });
    return digest.value();
  }

  // Weights without their tokenizer are of use too: what is wrong with it is only told.
  void read_tokenizer() {
    const auto path = request_.from / "tokenizer.json";
    tokenizer_note_ = "; without tokenizer: ";
    if (!rank_.files.exists(path)) {
      tokenizer_note_ += "the folder has no tokenizer.json";
      return;
    }
    try {
      std::string text = read_text(rank_.files, path, kMaxTokenizerBytes, OpenMode::read_no_follow);
      const Tokenizer tokenizer = Tokenizer::from_json(text, path.string());
      if (tokenizer.vocab_size() > model().vocab_size)
        throw input_error(path.string(), " has ", tokenizer.vocab_size(), " tokens, the model ",
                          model().vocab_size);
      tokenizer_ = std::move(text);
      tokenizer_digest_ = tokenizer.digest();
      tokenizer_note_.clear();
    } catch (const Error& error) {
      tokenizer_note_ += error.what();
    }
  }

  Config config() const {
    Config config;
    config.run.dir = request_.out.string();
    config.run.name =
        (request_.out.has_filename() ? request_.out : request_.out.parent_path()).filename().string();
    config.model = model();
    if (!tokenizer_.empty()) config.data.tokenizer = (request_.out / "tokenizer.json").string();
    // What an export of this step says of positions, and the least that makes a whole configuration.
    config.train.sequence_length = config.train.batch_tokens = hugging_face_.max_position_embeddings;
    config.train.steps = 1;
    return config;
  }

  // The settings that the weights decide.
  std::string model_yaml() const {
    RunConfig run = read_run_config_text(write_run_config(config()), "the imported model");
    std::erase_if(run.fields, [&](const ResolvedField& field) {
      const bool names_tokenizer = field.path == "data.tokenizer" && !tokenizer_.empty();
      return !field.path.starts_with("model.") && field.path != "run.name" && field.path != "run.dir" &&
             !names_tokenizer;
    });
    return cat("# Of ", request_.from.filename().string(), ", imported; `base` of the file that trains on.\n",
               write_config(run.fields));
  }

  void write_checkpoint(const std::filesystem::path& folder) {
    std::vector<StateEntry> entries;
    for (const ParameterLayout& parameter : table_)
      for (const char* slot : kSlots)
        entries.push_back(
            {.name = parameter.name,
             .slot = slot,
             .shape = parameter.shape,
             .dims = parameter.dims,
             .box = {.offset = {0, 0}, .extent = parameter.shape},
             .data = Tensor::of(nullptr, DType::float32, {parameter.shape[0] * parameter.shape[1]})});
    const std::int64_t attempt = claim_attempt(rank_.files, folder);
    open_attempt(rank_.files, folder, attempt);
    save_checkpoint(rank_.files, rank_.exec, *rank_.world,
                    {.folder = folder,
                     .entries = entries,
                     .state = {.tokenizer = tokenizer_digest_,
                               .fingerprint = rank_.backend->describe(),
                               .config = write_run_config(config()),
                               .attempt = attempt},
                     .streamed = [&](std::size_t entry, ByteSink sink) {
                       if (entry % kSlots.size() == 0) stream_weight(*weights_[entry / kSlots.size()], sink);
                     }});
  }

  void stream_weight(const SafetensorsFolder::Tensor& weight, ByteSink sink) {
    source_.read(weight, [&](std::span<const std::byte> piece) {
      to_float32(weight.tensor.dtype, piece, widened_);
      sink(widened_);
    });
  }

  OneRank& rank_;
  const ImportRequest& request_;
  HuggingFaceConfig hugging_face_;
  ParameterTable table_;
  SafetensorsFolder source_;
  std::vector<const SafetensorsFolder::Tensor*> weights_;  // of table_
  std::string tokenizer_, tokenizer_note_;                 // text of tokenizer.json; empty: none
  std::string tokenizer_digest_;
  std::vector<std::byte> widened_;
};

}  // namespace

std::string import_hugging_face(OneRank& rank, const ImportRequest& request) {
  return Import(rank, request).run();
}

}  // namespace drover
