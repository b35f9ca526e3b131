#include "tests/support/model_rig.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

// All gradients one after another, as bytes.
std::vector<unsigned char> gradient_bytes(ModelRig& rig) {
  std::vector<unsigned char> bytes;
  rig.each_parameter([&](const ParameterLayout&, const Tensor&, const Tensor& gradients) {
    const auto* first = static_cast<const unsigned char*>(gradients.data);
    bytes.insert(bytes.end(), first, first + gradients.bytes());
  });
  return bytes;
}

std::vector<unsigned char> gradients_of(const RigOptions& options, std::vector<Microbatch> batch) {
  ModelRig rig(options, std::move(batch));
  rig.run();
  return gradient_bytes(rig);
}

struct Case {
  const char* name;
  ModelConfig model;
};

std::vector<Case> cases() {
  std::vector<Case> all{{"grouped queries", tiny_model()},
                        {"tied", tiny_model()},
                        {"multi-head", tiny_model()},
                        {"scaled rope", tiny_model()}};
  all[1].model.tie_word_embeddings = true;
  all[2].model.num_key_value_heads = 3;
  all[3].model.rope_scaling = RopeScaling{
      .factor = 4, .low_freq_factor = 1, .high_freq_factor = 4, .original_max_position_embeddings = 8};
  return all;
}

}  // namespace

TEST_CASE("every parameter's gradient is the slope of the loss") {
  for (const Case& c : cases()) {
    INFO(c.name);
    Documents documents({1, 9, 2, 14}, c.model.vocab_size), more({5, 3}, c.model.vocab_size, 11);
    ModelRig rig({.model = c.model}, {documents.microbatch(), more.microbatch()});
    rig.run();
    rig.each_parameter([&](const ParameterLayout& parameter, const Tensor& weights, const Tensor& gradients) {
      INFO(parameter.name);
      const double step = 1e-5;
      const std::int64_t stride = std::max<std::int64_t>(1, weights.dims[0] / 5);
      for (std::int64_t i = 0; i < weights.dims[0]; i += stride) {
        double& w = weights.as<double>()[i];
        const double kept = w;
        w = kept + step;
        const double above = rig.evaluate();
        w = kept - step;
        const double below = rig.evaluate();
        w = kept;
        CHECK(gradients.as<double>()[i] == Approx((above - below) / (2 * step)).epsilon(1e-6).margin(1e-7));
      }
    });
  }
}

TEST_CASE("the loss of a step is that of evaluation") {
  Documents documents({4, 30}, tiny_model().vocab_size);
  ModelRig rig({}, {documents.microbatch()});
  CHECK(rig.run() == rig.evaluate());
}

TEST_CASE("recompute policies give the same bits") {
  for (DType compute : {DType::float64, DType::float32, DType::bfloat16}) {
    INFO(name_of(compute));
    Documents documents({12, 1, 20}, tiny_model().vocab_size);
    const auto kept = gradients_of({.model = wide_model(), .compute = compute}, {documents.microbatch()});
    CHECK((gradients_of({.model = wide_model(), .compute = compute, .recompute = Recompute::selective},
                        {documents.microbatch()}) == kept));
    CHECK((gradients_of({.model = wide_model(), .compute = compute, .recompute = Recompute::full},
                        {documents.microbatch()}) == kept));
  }
}

TEST_CASE("schedules and split backward of four microbatches give equal gradients") {
  for (Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
    std::vector<Documents> documents;
    for (unsigned seed = 0; seed < 4; ++seed)
      documents.push_back(Documents({7, 3, static_cast<int>(seed) + 1}, tiny_model().vocab_size, seed));
    std::vector<Microbatch> batch;
    for (Documents& d : documents) batch.push_back(d.microbatch());
    const auto alternating = gradients_of({.model = wide_model(), .recompute = recompute}, batch);
    CHECK((gradients_of({.model = wide_model(), .recompute = recompute, .schedule = Schedule::gpipe},
                        batch) == alternating));
    CHECK((gradients_of({.model = wide_model(), .recompute = recompute, .schedule = Schedule::gpipe_split},
                        batch) == alternating));
  }
}

TEST_CASE("bits do not depend on the number of threads") {
  for (DType compute : {DType::float64, DType::float32, DType::bfloat16}) {
    INFO(name_of(compute));
    Documents documents({100, 1, 60, 95}, tiny_model().vocab_size);
    const auto alone = gradients_of({.model = wide_model(), .compute = compute}, {documents.microbatch()});
    for (int threads : {2, 3, 8})
      CHECK((gradients_of({.model = wide_model(), .compute = compute, .threads = threads},
                          {documents.microbatch()}) == alone));
  }
}

TEST_CASE("an empty microbatch changes nothing") {
  Documents documents({6, 11}, tiny_model().vocab_size), none({}, tiny_model().vocab_size);
  const auto without = gradients_of({}, {documents.microbatch()});
  CHECK((gradients_of({}, {documents.microbatch(), none.microbatch()}) == without));
}

TEST_CASE("logits are what the loss is made of") {
  Documents documents({5, 8}, tiny_model().vocab_size);
  ModelRig rig({}, {documents.microbatch()});
  const Microbatch& batch = rig.batch()[0];
  std::vector<double> logits(static_cast<std::size_t>(batch.size() * tiny_model().vocab_size));
  rig.stage().logits(rig.exec(), batch, 0,
                     Tensor::of(logits.data(), {batch.size(), tiny_model().vocab_size}));
  double loss = 0;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    const std::int32_t target = batch.targets.as<std::int32_t>()[i];
    if (target < 0) continue;
    const double* row = logits.data() + i * tiny_model().vocab_size;
    double sum = 0;
    for (std::int64_t v = 0; v < tiny_model().vocab_size; ++v) sum += std::exp(row[v]);
    loss += std::log(sum) - row[target];
  }
  CHECK(rig.evaluate() == Approx(loss).epsilon(1e-12));
}

TEST_CASE("the loss reads positions") {
  // A constant offset of all positions of a document leaves attention unchanged; another spacing does not.
  Documents documents({16}, tiny_model().vocab_size);
  ModelRig rig({}, {documents.microbatch()});
  const double before = rig.evaluate();
  rig.batch()[0].positions.as<std::int32_t>()[3] = 9;
  CHECK(rig.evaluate() != before);
}

}  // namespace drover::testing
