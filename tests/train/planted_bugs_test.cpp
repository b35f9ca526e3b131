// Every planted bug is caught, with a parameter's name, on every layout that its line runs on; without it the
// same layouts pass.
#include <set>

#include "parallel/comm/around_comm.h"
#include "tests/support/local_training.h"
#include "tests/support/test_support.h"
#include "train/verify.h"

namespace drover::testing {
namespace {

// Four blocks, so that two chunks fit on two pipeline ranks; kv heads fewer than four tensor ranks; tied, gradients
// clipped, several microbatches a rank.
Config subject() {
  Config config = tiny_config();
  config.model.num_hidden_layers = 4;
  config.model.num_attention_heads = 4;
  config.model.num_key_value_heads = 2;
  config.model.vocab_size = 40;
  config.model.tie_word_embeddings = true;
  config.train.microbatch_sequences = 1;
  config.train.batch_tokens = config.train.sequence_length * 8;
  config.optimizer.clip_norm = 0.05;
  return config;
}

struct Case {
  Bug bug;
  const char* layouts;  // a list per bug that holds every axis it belongs to, alone and with others
};
constexpr std::array kCases{
    Case{Bug::gradient_not_summed_over_group, "shard2:zero1,cp2:zero2,tp2.shard2:zero3,cp2.pp2:zb-v"},
    Case{Bug::gradient_not_summed_over_replicas, "rep2,shard2.rep2,pp2.rep2:zb-h1,tp2.rep2"},
    Case{Bug::input_gradient_not_summed_over_tensor, "tp2,tp4,tp2.cp2,tp2.pp2:interleaved"},
    Case{Bug::kv_copies_not_summed, "tp4,tp4.shard2,tp4.pp2"},
    Case{Bug::norm_gradient_not_summed, "tp2,tp2.cp2,tp2.pp2:zb-v"},
    Case{Bug::tied_gradient_not_summed, "pp2,pp4:gpipe,tp2.pp2:zb-h1,pp2.shard2:interleaved:zero3"},
    Case{Bug::tied_use_overwritten, "tp1,tp2,shard2:zero1,cp2.rep2"},
    Case{Bug::loss_normalised_per_rank, "shard2,cp2,rep2,tp2.shard2,pp2.rep2"},
    Case{Bug::norm_counts_replicas, "rep2,shard2.rep2:zero3,tp2.rep2,pp2.rep2"},
    Case{Bug::stale_gathered_weight,
         "shard2:zero1,cp2:zero2,pp2.shard2:zero2,shard2:zero3,pp2.shard2:zero3:n2,"
         "pp2.shard2:interleaved:zero3,pp2.cp2:zb-v:zero3:n1,pp2.shard2:gpipe:zero3:n4"},
    Case{Bug::bfloat16_accumulation, "tp1,shard2:zero1,cp2:zero3,pp2,tp2"},
    Case{Bug::last_microbatch_dropped, "tp1,shard2:zero1,rep2,cp2,tp2,pp2:zb-v"},
    Case{Bug::saved_of_another_microbatch, "tp1:gpipe,pp2,pp2:zb-h1,tp2.pp2:interleaved,pp2.shard2:zb-v"},
    Case{Bug::segment_edge_off_by_one, "tp1,shard2:zero1,rep2,cp2,tp2,pp2"},
    Case{Bug::positions_from_piece, "cp2,cp4,tp2.cp2,cp2.pp2"},
    Case{Bug::pieces_swapped_in_backward, "cp2,cp4,tp2.cp2,cp2.pp2:zb-v"},
};

PosixFileSystem files;
std::optional<VerifyRun> run_local(int ranks, const VerifyWork& work) {
  return record_local_run(ranks, files, work);
}

}  // namespace

TEST_CASE("without a bug the layouts that bugs are planted in pass") {
  const Verifier verifier(subject(), run_local, {});
  CHECK(verifier.trivialities().empty());
  std::set<std::string> layouts;
  for (const Case& c : kCases)
    for (const VerifyLayout& layout : parse_layouts(c.layouts)) layouts.insert(describe(layout));
  for (const std::string& layout : layouts) {
    INFO(layout);
    CHECK(verifier.verify(parse_layout(layout)).outcome == VerifyOutcome::passed);
  }
}

TEST_CASE("every planted bug is caught and a parameter named on every layout that has its axis") {
  for (const Case& c : kCases) {
    const Verifier verifier(subject(), run_local, {.bug = c.bug});
    for (const VerifyLayout& layout : parse_layouts(c.layouts)) {
      INFO(name_of(c.bug) << " on " << describe(layout));
      CHECK(verifier.verify(layout).catches_bug());
    }
  }
}

TEST_CASE("every known bug has a name, a meaning and layouts that it is caught on") {
  std::set<Bug> tested;
  for (const Case& c : kCases) tested.insert(c.bug);
  for (const BugInfo& info : known_bugs()) {
    INFO(info.name);
    CHECK(tested.count(info.bug) == 1);
    CHECK(bug_named(info.name) == info.bug);
    CHECK(name_of(info.bug) == info.name);
    CHECK(!info.meaning.empty());
  }
}

TEST_CASE("a bug whose line did not run is not exercised, which is no pass") {
  const Verifier verifier(subject(), run_local, {.bug = Bug::positions_from_piece});
  const VerifyRow row = verifier.verify(parse_layout("shard2"));
  CHECK(row.outcome == VerifyOutcome::not_exercised);
  CHECK(row.breaches.empty());
  const std::array rows{row};
  CHECK(exit_of(count(rows), false, true) == Exit::internal);
}

TEST_CASE("a run that throws is a failed row with the message, and what is no layout here a refused one") {
  const VerifyRunner throws = [](int ranks, const VerifyWork& work) -> std::optional<VerifyRun> {
    if (ranks == 2) throw CommError("rank 1 did not arrive", 7);
    return run_local(ranks, work);
  };
  const Verifier verifier(subject(), throws, {});
  const VerifyRow failed = verifier.verify(parse_layout("shard2"));
  CHECK(failed.outcome == VerifyOutcome::failed);
  REQUIRE(failed.breaches.size() == 1);
  CHECK(failed.breaches[0].text == "rank 1 did not arrive");
  CHECK(!failed.catches_bug());
  const VerifyRow refused = verifier.verify(parse_layout("tp3"));  // of 4 heads
  CHECK(refused.outcome == VerifyOutcome::refused);
  CHECK(refused.refusal.find("tensor") != std::string::npos);
  const Verifier ends(subject(), throws, {.survives_throw = false});
  CHECK_THROWS_AS(ends.verify(parse_layout("shard2")), CommError);
}

TEST_CASE("a run that throws anything at all is a failed row") {
  const VerifyRunner throws = [](int ranks, const VerifyWork& work) -> std::optional<VerifyRun> {
    if (ranks == 2) throw std::bad_alloc();
    if (ranks == 4) throw std::out_of_range("no such parameter");
    return run_local(ranks, work);
  };
  const Verifier verifier(subject(), throws, {});
  CHECK(verifier.verify(parse_layout("shard2")).outcome == VerifyOutcome::failed);
  const VerifyRow failed = verifier.verify(parse_layout("tp4"));
  CHECK(failed.outcome == VerifyOutcome::failed);
  CHECK(failed.breaches.at(0).text == "no such parameter");
}

namespace {

// A rank whose memory is used up in the step, at its first reduction.
class UsedUp final : public AroundComm {
 public:
  using AroundComm::AroundComm;

 protected:
  Pending around(const CommCall& call, FunctionRef<Pending()> start) override {
    if (std::string_view(call.verb) == "all_reduce") throw usage_error("out of memory");
    return start();
  }
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) override {
    return std::make_unique<UsedUp>(std::move(part));
  }
};

}  // namespace

TEST_CASE("what is an error of usage after the training was built is a failed row and no refusal") {
  HostMemory memory;
  const auto backend = make_cpu_backend(memory, {.threads = 1});
  Arena scratch;
  const Exec control{.backend = *backend, .scratch = scratch};
  const auto meeting = single_rank_world();
  UsedUp world(single_rank_world());
  bool used_up = false;  // not in the run that others are compared with
  const VerifyRunner runner = [&](int ranks, const VerifyWork& work) {
    if (!std::exchange(used_up, true)) return run_local(ranks, work);
    return record_run_of_processes({.world = world,
                                    .meeting = *meeting,
                                    .control = control,
                                    .files = files,
                                    .make_memory = [] { return std::make_unique<HostMemory>(); }},
                                   ranks, work);
  };
  const VerifyRow row = Verifier(subject(), runner, {}).verify(parse_layout("tp1"));
  CHECK(row.outcome == VerifyOutcome::failed);
  CHECK(row.breaches.at(0).text == "out of memory");
  CHECK(exit_of(count({&row, 1}), false, false) == Exit::internal);
}

namespace {

void check_passes(const char* dtype, std::string_view layouts) {
  Config config = subject();
  config.train.dtype = dtype;
  const Verifier verifier(config, run_local, {});
  for (const VerifyLayout& layout : parse_layouts(layouts)) {
    const VerifyRow row = verifier.verify(layout);
    INFO(describe(layout) << ": " << (row.breaches.empty() ? "" : row.breaches[0].text));
    CHECK(row.outcome == VerifyOutcome::passed);
  }
}

}  // namespace

TEST_CASE("float32 layouts pass by their tolerances") {
  check_passes("float32", "tp1,shard3:zero1,tp2.cp2.pp2:zb-v,shard2.rep2:zero3");
}

TEST_CASE("bfloat16 layouts pass by their tolerances") {
  check_passes("bfloat16", "tp1,tp2,cp2,shard3:zero1,tp2.cp2.pp2:zb-v,shard2.rep2:zero3");
}

TEST_CASE("two ranks record the traffic, balance and memory of a layout, and the hash of a checkpoint") {
  Config config = with_layout(subject(), parse_layout("shard2:zero1"));
  const VerifyRun run = record_local_run(2, files, {.config = config, .steps = 2});
  const std::int64_t bytes =
      2 * 2 * 8 * (count_parameters(config.model).total / 2);  // 2 ranks, 2 steps, one half of the weights
  const std::int64_t group = run.cost.sent[3];
  // Gathered once and reduced once a step, shards padded to whole lines.
  CHECK(group >= 2 * bytes);
  CHECK(group < 2 * bytes * 11 / 10);
  CHECK(run.cost.balance >= 1);
  CHECK(run.cost.balance < 2);
  CHECK(run.cost.peak_bytes > 3 * bytes / 4);
  CHECK(run.weight_hash.size() == 32);
  CHECK(run.record.unequal_copies.empty());
}

}  // namespace drover::testing
