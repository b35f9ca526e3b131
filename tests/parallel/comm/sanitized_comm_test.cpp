// Operations of communicators under a stream sanitizer: those that are waited for are silent, each missing wait is named
// with the communicator, and data is what it was.
#include "parallel/comm/sanitized_comm.h"

#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/ops/ops.h"
#include "parallel/comm/local/local_comm.h"
#include "tests/support/rank_checks.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

// One rank's means, watched.
struct Watched {
  explicit Watched(Communicator& real)
      : world(sanitized(real.split(0, real.rank(), "tensor"), sanitizer)), exec{backend, scratch} {}

  Tensor at(std::int64_t first, std::int64_t size) {
    return Tensor::of(memory.data() + first, DType::float64, {size});
  }
  void fill(const Tensor& x, double value) { ops::fill(exec, {.out = x, .value = value}); }
  std::string error_of(FunctionRef<void()> use) {
    try {
      use();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  StreamSanitizer sanitizer;
  std::unique_ptr<Communicator> world;
  HostMemory host;
  std::unique_ptr<Backend> real_backend = make_cpu_backend(host, {.threads = 1});
  SanitizedBackend backend{*real_backend, sanitizer};
  Arena scratch;
  Exec exec;
  std::vector<double> memory = std::vector<double>(64);
};

using Start = std::function<Pending(Watched&)>;
struct Case {
  const char* verb;
  Start start;
  const char* reads;   // the operand that a verb may not write, at [0, 4)
  const char* writes;  // the operand that a verb may not read, at [8, 12)
};

// On two ranks.
const std::vector<Case>& cases() {
  static constexpr std::array<std::int64_t, 2> kCounts{2, 2}, kAll{4, 4};
  static const std::vector<Case> all = {
      {"all_reduce on tensor", [](Watched& w) { return w.world->all_reduce(w.exec, {.x = w.at(8, 4)}); }, "",
       "x"},
      {"all_gather on tensor",
       [](Watched& w) { return w.world->all_gather(w.exec, {.in = w.at(0, 4), .out = w.at(8, 8)}); }, "in",
       "out"},
      {"all_gather on tensor",
       [](Watched& w) {
         return w.world->all_gather_v(w.exec, {.in = w.at(0, 4), .out = w.at(8, 8), .counts = kAll});
       },
       "in", "out"},
      {"reduce_scatter on tensor",
       [](Watched& w) { return w.world->reduce_scatter(w.exec, {.in = w.at(0, 8), .out = w.at(8, 4)}); },
       "in", "out"},
      {"reduce_scatter on tensor",
       [](Watched& w) {
         return w.world->reduce_scatter_v(w.exec, {.in = w.at(0, 8), .out = w.at(8, 4), .counts = kAll});
       },
       "in", "out"},
      {"all_to_all on tensor",
       [](Watched& w) { return w.world->all_to_all(w.exec, {.in = w.at(0, 4), .out = w.at(8, 4)}); }, "in",
       "out"},
      {"all_to_all on tensor",
       [](Watched& w) {
         return w.world->all_to_all_v(
             w.exec, {.in = w.at(0, 4), .out = w.at(8, 4), .send_counts = kCounts, .recv_counts = kCounts});
       },
       "in", "out"},
      {"broadcast on tensor",
       [](Watched& w) {
         return w.world->broadcast(w.exec, {.x = w.world->rank() == 0 ? w.at(0, 4) : w.at(8, 4), .root = 0});
       },
       "x", "x"},
      {"on tensor",
       [](Watched& w) {
         return w.world->rank() == 0 ? w.world->send(w.exec, w.at(0, 4), 1)
                                     : w.world->recv(w.exec, w.at(8, 4), 0);
       },
       "x", "x"},
  };
  return all;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Of operations with a root or a sender the one rank reads and the other writes.
bool takes_part(const Case& of, bool writing, int rank) {
  const bool one_sided = std::string_view(of.reads) == "x";
  return (!one_sided || (rank == 1) == writing) && *(writing ? of.writes : of.reads) != 0;
}

}  // namespace

TEST_CASE("what an operation writes must be waited for before it is read, on every communicator and stream") {
  for (const Case& of : cases()) {
    INFO(of.verb);
    testing::RankChecks checks;
    run_local_ranks(2, [&](Communicator& real) {
      Watched w(real);
      std::vector<double> copy(4);
      const auto use = [&] { ops::copy(w.exec, {.in = w.at(8, 4), .out = Tensor::of(copy.data(), {4})}); };
      Pending pending = of.start(w);
      if (takes_part(of, true, real.rank())) {
        const std::string error = w.error_of(use);
        checks.that(
            has(error, "copy reads in") && has(error, of.verb) && has(error, cat("writes ", of.writes)),
            error);
      }
      pending.wait(w.exec);
      checks.that(w.error_of(use) == "no error", w.error_of(use));
    });
    CHECK(checks.first_failure() == "");
  }
}

TEST_CASE("what an operation reads must not be written before it was waited for") {
  for (const Case& of : cases()) {
    INFO(of.verb);
    testing::RankChecks checks;
    run_local_ranks(2, [&](Communicator& real) {
      Watched w(real);
      const auto use = [&] { w.fill(w.at(2, 2), 1); };
      Pending pending = of.start(w);
      if (takes_part(of, false, real.rank())) {
        const std::string error = w.error_of(use);
        checks.that(
            has(error, "fill writes out") && has(error, of.verb) && has(error, cat("reads ", of.reads)),
            error);
      }
      pending.join();
      checks.that(w.error_of(use) == "no error", w.error_of(use));
    });
    CHECK(checks.first_failure() == "");
  }
}

TEST_CASE("sums over ranks are the operation's own work, and come out as without the sanitizer") {
  testing::RankChecks checks;
  run_local_ranks(3, [&](Communicator& real) {
    Watched w(real);
    w.fill(w.at(0, 64), 1 + real.rank());
    Pending pending = w.world->all_reduce(w.exec, {.x = w.at(0, 64)});
    pending.wait(w.exec);
    checks.that(w.memory == std::vector<double>(64, 6), "the sum");
  });
  CHECK(checks.first_failure() == "");
}

TEST_CASE("a wait on one stream orders no other") {
  testing::RankChecks checks;
  run_local_ranks(2, [&](Communicator& real) {
    Watched w(real);
    const Exec other{.backend = w.backend, .scratch = w.scratch, .stream = {&w}};
    Pending pending = w.world->all_reduce(w.exec, {.x = w.at(0, 4)});
    pending.wait(other);
    const std::string error = w.error_of([&] { w.fill(w.at(0, 4), 0); });
    checks.that(has(error, "fill writes out") && has(error, "all_reduce on tensor writes x"), error);
  });
  CHECK(checks.first_failure() == "");
}

TEST_CASE("the parts of a communicator are watched by their own names") {
  testing::RankChecks checks;
  run_local_ranks(2, [&](Communicator& real) {
    Watched w(real);
    const auto part = w.world->split(0, real.rank(), "shard");
    Pending pending = part->all_reduce(w.exec, {.x = w.at(0, 4)});
    const std::string error = w.error_of([&] { w.fill(w.at(0, 4), 0); });
    checks.that(has(error, "all_reduce on shard writes x"), error);
    pending.wait(w.exec);
  });
  CHECK(checks.first_failure() == "");
}

TEST_CASE("an operation that an exception left behind is abandoned") {
  const auto world = single_rank_world();
  Watched w(*world);
  CHECK_THROWS([&] {
    const Pending pending = w.world->all_reduce(w.exec, {.x = w.at(0, 4)});
    throw usage_error("elsewhere");
  }());
  CHECK(w.error_of([&] { w.fill(w.at(0, 4), 0); }) == "no error");
}

}  // namespace drover
