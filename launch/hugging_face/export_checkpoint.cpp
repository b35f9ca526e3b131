#include "launch/hugging_face/export_checkpoint.h"

#include <algorithm>

#include "checkpoint/read/tensor_reader.h"
#include "checkpoint/safetensors/folder.h"
#include "checkpoint/write/new_folder.h"
#include "launch/config/run_config.h"
#include "launch/hugging_face/checkpoint_tokenizer.h"
#include "launch/hugging_face/files.h"
#include "launch/run/report.h"
#include "model/hugging_face.h"
#include "model/layouts.h"
#include "train/training.h"

namespace drover {

namespace {

constexpr std::int64_t kSmallFiles = 1 << 20;  // room for all but weights and tokenizer

RunConfig config_of(const Manifest& manifest, const std::filesystem::path& checkpoint) {
  try {
    RunConfig run = read_run_config_text(manifest.state.config, "its configuration");
    validate(run.config.model);
    return run;
  } catch (const Error& error) {
    throw input_error(checkpoint.string(), ": ", error.what(),
                      "; export it with the version of Drover that wrote it");
  }
}

// The weights of the model, as stored, in the order of the parameter table.
std::vector<StoredTensor> weights_of(const Manifest& manifest, const ModelConfig& model,
                                     const std::filesystem::path& checkpoint) {
  std::vector<StoredTensor> weights;
  for (const ParameterLayout& parameter : parameter_table(model, 1)) {
    if (!parameter.tied_to.empty()) continue;
    StoredTensor wanted{.name = parameter.name,
                        .slot = "weight",
                        .dtype = DType::float32,
                        .shape = parameter.shape,
                        .dims = parameter.dims};
    const auto stored =
        std::find_if(manifest.tensors.begin(), manifest.tensors.end(),
                     [&](const StoredTensor& t) { return t.name == wanted.name && t.slot == wanted.slot; });
    if (stored != manifest.tensors.end() && stored->dtype == DType::float64) wanted.dtype = DType::float64;
    if (stored == manifest.tensors.end() || *stored != wanted)
      throw input_error(checkpoint.string(), " holds ",
                        stored == manifest.tensors.end() ? "no " : describe(*stored) + " instead of ",
                        describe(wanted), ", which its configuration asks for; use another checkpoint");
    weights.push_back(wanted);
  }
  return weights;
}

std::vector<SafetensorsTensor> tensors_to_write(const std::vector<StoredTensor>& weights,
                                                WeightFormat format) {
  std::vector<SafetensorsTensor> tensors;
  for (const StoredTensor& weight : weights) {
    tensors.push_back({.name = weight.name, .dtype = std::string(safetensors_name_of(format))});
    if (weight.dims == 2) tensors.back().shape.push_back(weight.shape[0]);
    tensors.back().shape.push_back(weight.shape[1]);
  }
  return tensors;
}

std::int64_t positions_of(const Config& config, const ExportRequest& request) {
  if (request.max_positions) return *request.max_positions;
  std::int64_t longest = longest_sequence(config);
  if (const auto& scaling = config.model.rope_scaling) {
    constexpr double kMost = 1e15;  // whatever the factor, a number that fits
    const double reached = scaling->factor * static_cast<double>(scaling->original_max_position_embeddings);
    longest = std::max(longest, static_cast<std::int64_t>(std::min(kMost, reached)));
  }
  return longest;
}

void check_options(const ExportRequest& request) {
  if (request.shard_bytes < 1)
    throw usage_error("--max-shard-size is ", request.shard_bytes, "; it must be at least 1 byte, as in 5GB");
  if (request.max_positions && *request.max_positions < 1)
    throw usage_error("--max-positions is ", *request.max_positions, "; it must be at least 1");
}

class Export {
 public:
  Export(OneRank& rank, const ExportRequest& request)
      : rank_(rank),
        request_(request),
        contents_(read_contents(rank.reading(request.checkpoint))),
        run_(config_of(contents_.manifest, request.checkpoint)),
        weights_(weights_of(contents_.manifest, config().model, request.checkpoint)),
        max_positions_(positions_of(config(), request)) {
    load_tokenizer();
  }

  std::string run() {
    NewFolder folder(rank_.files, request_.out);
    const std::string tokenizer = tokenizer_ ? tokenizer_->to_json() : "";
    const std::int64_t bytes = count_parameters(config().model).total * size_of(request_.format);
    folder.require_space(bytes + static_cast<std::int64_t>(tokenizer.size()) + kSmallFiles);
    write_weights(folder.partial());
    write_texts(folder.partial(), tokenizer);
    folder.publish();
    return cat(request_.out.string(), ": step ", contents_.manifest.state.step, " of ",
               request_.checkpoint.string(), ", ", count_parameters(config().model).total, " parameters in ",
               name_of(request_.format), ", ", bytes_text(bytes),
               tokenizer_ ? "" : "; without tokenizer, since the run has none (--tokenizer FILE adds one)");
  }

 private:
  const Config& config() const { return run_.config; }

  void load_tokenizer() {
    const std::string path = request_.tokenizer.empty() ? config().data.tokenizer : request_.tokenizer;
    if (path.empty()) return;
    if (!rank_.files.exists(path))
      throw input_error("the tokenizer ", path, " is not there; name it with --tokenizer FILE");
    tokenizer_ = load_tokenizer_of(contents_.manifest.state, config().model, path);
  }

  void write_weights(const std::filesystem::path& folder) {
    TensorReader reader(rank_.reading(request_.checkpoint), contents_, weights_);
    std::vector<std::byte> rounded;
    write_safetensors_folder(rank_.files, folder, tensors_to_write(weights_, request_.format),
                             request_.shard_bytes, [&](std::size_t i, ByteSink sink) {
                               std::int64_t overflows = 0;
                               reader.read(i, [&](std::span<const std::byte> piece) {
                                 overflows +=
                                     round_masters(weights_[i].dtype, request_.format, piece, rounded);
                                 sink(rounded);
                               });
                               if (overflows > 0) refuse_overflow(weights_[i].name, overflows);
                             });
  }

  [[noreturn]] void refuse_overflow(const std::string& name, std::int64_t weights) const {
    throw usage_error(request_.checkpoint.string(), ": ", weights, weights == 1 ? " weight" : " weights",
                      " of ", name, " would be infinite in ", name_of(request_.format),
                      "; export as float32 or bfloat16");
  }

  void write_texts(const std::filesystem::path& folder, const std::string& tokenizer) {
    const auto write = [&](const char* name, const std::string& text) {
      write_new_text(rank_.files, folder / name, text);
    };
    write("config.json", write_hugging_face_config({.model = config().model,
                                                    .max_position_embeddings = max_positions_,
                                                    .dtype = std::string(name_of(request_.format)),
                                                    .bos = tokenizer_ ? tokenizer_->bos() : std::nullopt,
                                                    .eos = tokenizer_ ? tokenizer_->eos() : std::nullopt}));
    write("generation_config.json", generation_config_json(tokenizer_));
    write("README.md", model_card({.config = config(),
                                   .state = contents_.manifest.state,
                                   .format = request_.format,
                                   .max_positions = max_positions_,
                                   .has_tokenizer = tokenizer_.has_value()}));
    if (!tokenizer_) return;
    write("tokenizer.json", tokenizer);
    write("tokenizer_config.json", tokenizer_config_json(*tokenizer_, max_positions_));
    write("special_tokens_map.json", special_tokens_map_json(*tokenizer_));
  }

  OneRank& rank_;
  const ExportRequest& request_;
  Contents contents_;
  RunConfig run_;
  std::vector<StoredTensor> weights_;
  std::int64_t max_positions_;
  std::optional<Tokenizer> tokenizer_;
};

}  // namespace

std::string export_hugging_face(OneRank& rank, const ExportRequest& request) {
  check_options(request);
  return Export(rank, request).run();
}

}  // namespace drover
