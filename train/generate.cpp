#include "train/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/rng.h"
#include "core/ops/ops.h"
#include "data/batch/batch_buffer.h"

namespace drover {

namespace {

// The context is computed in multiples of this many tokens, so that products of few different shapes are met.
constexpr std::int64_t kContextMultiple = 64;

// exp((logit - largest) / temperature), unnormalised.
std::vector<double> weights_of(std::span<const float> logits, double temperature) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weights(logits.size());
  std::transform(logits.begin(), logits.end(), weights.begin(),
                 [&](float logit) { return std::exp((static_cast<double>(logit) - largest) / temperature); });
  return weights;
}

std::vector<std::int32_t> by_decreasing_weight(std::span<const double> weights) {
  std::vector<std::int32_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return weights[static_cast<std::size_t>(a)] > weights[static_cast<std::size_t>(b)];
  });
  return order;
}

// A text as the only document of a microbatch, filled up with tokens that nothing attends to.
class Context final : public TokenSource {
 public:
  explicit Context(std::int64_t vocab_size) : vocab_size_(vocab_size) {}

  std::vector<std::int32_t> tokens;

  const std::string& name() const override { return name_; }
  std::int64_t document_count() const override { return 1; }
  std::int64_t offset(std::int64_t document) const override {
    return document == 0 ? 0 : static_cast<std::int64_t>(tokens.size());
  }
  void read(std::int64_t begin, std::span<std::int32_t> out) const override {
    std::copy_n(tokens.begin() + begin, out.size(), out.begin());
  }
  std::int64_t vocab_size() const override { return vocab_size_; }
  const std::string& tokenizer_digest() const override { return name_; }
  std::int64_t text_bytes() const override { return 0; }

 private:
  std::int64_t vocab_size_;
  std::string name_ = "prompt";
};

}  // namespace

void validate(const SampleOptions& options) {
  if (options.max_tokens < 1)
    throw usage_error("--tokens is ", options.max_tokens, "; it must be at least 1");
  if (!(options.temperature >= 0))
    throw usage_error("--temperature is ", options.temperature, "; it must be 0 or more");
  if (!(options.top_p > 0 && options.top_p <= 1))
    throw usage_error("--top-p is ", options.top_p, "; it must be above 0 and at most 1");
}

std::int32_t sample(std::span<const float> logits, const SampleOptions& options, double uniform) {
  if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); }))
    throw input_error("the weights give logits that are not finite; take an earlier checkpoint");
  if (options.temperature == 0)
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  const std::vector<double> weights = weights_of(logits, options.temperature);
  const std::vector<std::int32_t> order = by_decreasing_weight(weights);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double kept = 0;
  std::size_t count = 0;
  while (count < order.size() && kept < options.top_p * total)
    kept += weights[static_cast<std::size_t>(order[count++])];
  double left = uniform * kept;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    left -= weights[static_cast<std::size_t>(order[i])];
    if (left < 0) return order[i];
  }
  return order[count - 1];
}

void generate(Training& t, const Platform& platform, std::span<const std::int32_t> prompt,
              const SampleOptions& options, FunctionRef<bool(std::int32_t token)> emit) {
  validate(options);
  DROVER_CHECK(!prompt.empty(), "an empty prompt");
  const Exec exec{.backend = platform.backend, .scratch = t.model.scratch};
  const std::int64_t most = t.plan.config.train.sequence_length, vocabulary = t.plan.config.model.vocab_size;
  BatchBuffer buffer(platform.host, most, most);
  Buffer logits_buffer(platform.backend.memory(), vocabulary * size_of(t.model.groups->master()),
                       MemoryCategory::data);
  const Tensor logits = logits_buffer.tensor(t.model.groups->master(), {1, vocabulary});
  Buffer row_buffer(platform.host, vocabulary * size_of(DType::float32), MemoryCategory::data);
  const Tensor row = row_buffer.tensor(DType::float32, {1, vocabulary});
  const std::uint64_t key = key_of("sampling");
  Context context(vocabulary);
  context.tokens.assign(prompt.begin(), prompt.end());
  for (std::int64_t made = 0; made < options.max_tokens; ++made) {
    const std::int64_t length =
        std::min<std::int64_t>(most, static_cast<std::int64_t>(context.tokens.size()));
    context.tokens.erase(context.tokens.begin(), context.tokens.end() - length);
    const Piece piece{.source_begin = 0, .length = length, .ends_document = true};
    buffer.clear();
    buffer.append_row(context, {&piece, 1},
                      std::min(most, (length + kContextMultiple - 1) / kContextMultiple * kContextMultiple));
    t.model.stages.front()->logits(exec, buffer.finish_microbatch(), length - 1, logits);
    ops::copy(exec, {.in = logits, .out = row});
    platform.backend.synchronize(exec.stream);
    const std::int32_t token = sample({row.as<float>(), static_cast<std::size_t>(vocabulary)}, options,
                                      random_uniform(options.seed, key, static_cast<std::uint64_t>(made)));
    context.tokens.push_back(token);
    if (!emit(token)) return;
  }
}

}  // namespace drover
