// What must hold for every verb of core/ops/backend.h, from one table of all of them: bits that don't depend on
// the number of threads, and microbatches without tokens.
#include <fstream>
#include <regex>
#include <set>

#include "core/ops/around_backend.h"
#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;

namespace {

constexpr std::int64_t kDim = 96, kFfn = 80, kHeads = 4, kKvHeads = 2, kHeadDim = 16, kVocabulary = 123;

// One call on `tokens` tokens (elements, for verbs without tokens); what it wrote.
struct Op {
  std::string verb;
  std::function<std::vector<Array>(const Exec&, DType compute, std::int64_t tokens)> run;
};

Array tokens_below(std::int64_t count, std::int64_t limit) {
  Array tokens(DType::int32, {count});
  Numbers numbers(4);
  for (std::int64_t i = 0; i < count; ++i) tokens.set(i, static_cast<double>(numbers.below(limit)));
  return tokens;
}

std::vector<Array> only(Array array) {
  std::vector<Array> list;
  list.push_back(std::move(array));
  return list;
}

// The documents of a packed microbatch: one of a third of the tokens, then short ones.
std::vector<Segment> documents(std::int64_t tokens) {
  std::vector<Segment> segments;
  for (std::int32_t begin = 0; begin < tokens;) {
    const auto end =
        static_cast<std::int32_t>(begin == 0 ? (tokens + 2) / 3 : std::min<std::int64_t>(tokens, begin + 70));
    segments.push_back({begin, end, begin, end});
    begin = end;
  }
  return segments;
}

std::vector<Array> fill(const Exec& exec, DType compute, std::int64_t n) {
  Array out(compute, {n, 200}, 3);
  ops::fill(exec, {.out = out, .value = 1.5});
  return only(std::move(out));
}

std::vector<Array> copy(const Exec& exec, DType compute, std::int64_t n) {
  Array out = Array::random(master_dtype(compute), {n, 200}, 1);
  ops::copy(exec, {.in = Array::random(compute, {n, 200}, 2, 3), .out = out, .write = Write::add});
  return only(std::move(out));
}

std::vector<Array> scale(const Exec& exec, DType compute, std::int64_t n) {
  Array x = Array::random(master_dtype(compute), {n, 200}, 1);
  ops::scale(exec, {.x = x, .factor = 1 / 3.0});
  return only(std::move(x));
}

// Outputs of all orientations; dW of few rows and columns sums over many tokens, where a library would be
// tempted to cut the sum into one piece a thread.
std::vector<Array> matmul(const Exec& exec, DType compute, std::int64_t n) {
  const Array x = Array::random(compute, {n, kDim}, 1), weight = Array::random(compute, {kFfn, kDim}, 2);
  std::vector<Array> out;
  out.emplace_back(compute, std::vector{n, kFfn});
  ops::matmul(exec, {.product = Product::nt, .a = x, .b = weight, .out = out[0]});
  out.emplace_back(compute, std::vector{n, kDim});
  ops::matmul(exec, {.product = Product::nn, .a = out[0], .b = weight, .out = out[1]});
  for (const auto& [rows, cols, depth] :
       {std::tuple{kFfn, kDim, n}, {64L, 64L, 12 * n}, {48L, 16L, 12 * n}}) {
    out.push_back(Array::random(master_dtype(compute), {rows, cols}, 3));
    ops::matmul(exec, {.product = Product::tn,
                       .a = Array::random(compute, {depth, rows}, 4),
                       .b = Array::random(compute, {depth, cols}, 5),
                       .out = out.back(),
                       .write = Write::add});
  }
  return out;
}

std::vector<Array> rmsnorm_forward(const Exec& exec, DType compute, std::int64_t n) {
  std::vector<Array> out;
  out.emplace_back(compute, std::vector{n, kDim});
  out.emplace_back(compute, std::vector{n, kDim});
  out.emplace_back(master_dtype(compute), std::vector{n});
  ops::rmsnorm_forward(exec, {.x = Array::random(compute, {n, kDim}, 1),
                              .delta = Array::random(compute, {n, kDim}, 2),
                              .weight = Array::random(compute, {kDim}, 3),
                              .h = out[0],
                              .y = out[1],
                              .rstd = out[2]});
  return out;
}

std::vector<Array> rmsnorm_backward_input(const Exec& exec, DType compute, std::int64_t n) {
  Array dh(compute, {n, kDim});
  ops::rmsnorm_backward_input(exec, {.dy = Array::random(compute, {n, kDim}, 1),
                                     .h = Array::random(compute, {n, kDim}, 2),
                                     .weight = Array::random(compute, {kDim}, 3),
                                     .rstd = Array::random(master_dtype(compute), {n}, 4),
                                     .dh = dh});
  return only(std::move(dh));
}

std::vector<Array> rmsnorm_backward_weight(const Exec& exec, DType compute, std::int64_t n) {
  Array dweight = Array::random(master_dtype(compute), {kDim}, 5);
  ops::rmsnorm_backward_weight(exec, {.dy = Array::random(compute, {n, kDim}, 1),
                                      .h = Array::random(compute, {n, kDim}, 2),
                                      .rstd = Array::random(master_dtype(compute), {n}, 4),
                                      .dweight = dweight});
  return only(std::move(dweight));
}

std::vector<Array> rope(const Exec& exec, DType compute, std::int64_t n) {
  Array x = Array::random(compute, {n, kHeads, kHeadDim}, 1);
  ops::rope(exec, {.x = x,
                   .cosine = Array::random(master_dtype(compute), {50, kHeadDim / 2}, 2),
                   .sine = Array::random(master_dtype(compute), {50, kHeadDim / 2}, 3),
                   .positions = tokens_below(n, 50),
                   .out = x});
  return only(std::move(x));
}

// Forward and backward, so that backward reads what forward left.
std::vector<Array> attention(const Exec& exec, DType compute, std::int64_t n) {
  const Array q = Array::random(compute, {n, kHeads, kHeadDim}, 1),
              k = Array::random(compute, {n, kKvHeads, kHeadDim}, 2),
              v = Array::random(compute, {n, kKvHeads, kHeadDim}, 3);
  const std::vector<Segment> segments = documents(n);
  std::vector<Array> out;
  out.emplace_back(compute, std::vector{n, kHeads, kHeadDim});
  out.emplace_back(master_dtype(compute), std::vector{kHeads, n});
  ops::attention_forward(
      exec, {.q = q, .k = k, .v = v, .segments = segments, .scale = 0.25, .out = out[0], .lse = out[1]});
  out.emplace_back(compute, std::vector{n, kHeads, kHeadDim});
  for (int i = 0; i < 2; ++i) out.emplace_back(master_dtype(compute), std::vector{n, kKvHeads, kHeadDim});
  ops::attention_backward(exec, {.q = q,
                                 .k = k,
                                 .v = v,
                                 .out = out[0],
                                 .lse = out[1],
                                 .dout = Array::random(compute, {n, kHeads, kHeadDim}, 4),
                                 .segments = segments,
                                 .scale = 0.25,
                                 .dq = out[2],
                                 .dk = out[3],
                                 .dv = out[4]});
  return out;
}

std::vector<Array> swiglu_forward(const Exec& exec, DType compute, std::int64_t n) {
  Array y(compute, {n, kFfn});
  ops::swiglu_forward(exec, {.gate_up = Array::random(compute, {n, 2 * kFfn}, 1), .y = y});
  return only(std::move(y));
}

std::vector<Array> swiglu_backward(const Exec& exec, DType compute, std::int64_t n) {
  Array dgate_up(compute, {n, 2 * kFfn});
  ops::swiglu_backward(exec, {.gate_up = Array::random(compute, {n, 2 * kFfn}, 1),
                              .dy = Array::random(compute, {n, kFfn}, 2),
                              .dgate_up = dgate_up});
  return only(std::move(dgate_up));
}

std::vector<Array> embedding_forward(const Exec& exec, DType compute, std::int64_t n) {
  Array out(compute, {n, kDim});
  ops::embedding_forward(exec, {.tokens = tokens_below(n, kVocabulary),
                                .table = Array::random(compute, {kVocabulary, kDim}, 1),
                                .out = out});
  return only(std::move(out));
}

std::vector<Array> embedding_backward(const Exec& exec, DType compute, std::int64_t n) {
  Array dtable = Array::random(master_dtype(compute), {kVocabulary, kDim}, 1);
  ops::embedding_backward(exec, {.tokens = tokens_below(n, kVocabulary),
                                 .dout = Array::random(compute, {n, kDim}, 2),
                                 .dtable = dtable});
  return only(std::move(dtable));
}

std::vector<Array> loss_statistics(const Exec& exec, DType compute, std::int64_t n) {
  const DType master = master_dtype(compute);
  std::vector<Array> out;
  for (int i = 0; i < 3; ++i) out.emplace_back(master, std::vector{n});
  ops::loss_statistics(exec, {.logits = Array::random(master, {n, kVocabulary}, 1),
                              .targets = tokens_below(n, kVocabulary),
                              .maximum = out[0],
                              .sum = out[1],
                              .target_logit = out[2]});
  return out;
}

std::vector<Array> loss_combine(const Exec& exec, DType compute, std::int64_t n) {
  const DType master = master_dtype(compute);
  Array sum = Array::random(master, {3, n}, 2);
  for (std::int64_t i = 0; i < sum.size(); ++i) sum.set(i, 1 + std::abs(sum.get(i)));
  std::vector<Array> out;
  out.emplace_back(master, std::vector{n});
  out.emplace_back(DType::float64, std::vector<std::int64_t>{1});
  ops::loss_combine(exec, {.maximum = Array::random(master, {3, n}, 1),
                           .sum = sum,
                           .target_logit = Array::random(master, {3, n}, 3),
                           .targets = tokens_below(n, kVocabulary),
                           .lse = out[0],
                           .loss = out[1]});
  return out;
}

std::vector<Array> loss_gradient(const Exec& exec, DType compute, std::int64_t n) {
  const DType master = master_dtype(compute);
  Array dlogits(compute, {n, kVocabulary});
  ops::loss_gradient(exec, {.logits = Array::random(master, {n, kVocabulary}, 1),
                            .targets = tokens_below(n, kVocabulary),
                            .lse = Array::random(master, {n}, 2),
                            .dlogits = dlogits});
  return only(std::move(dlogits));
}

std::vector<Array> adamw(const Exec& exec, DType compute, std::int64_t tokens) {
  const DType master = master_dtype(compute);
  const std::int64_t n = 150 * tokens;
  std::vector<Array> out;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) out.push_back(Array::random(master, {n}, seed));
  for (std::int64_t i = 0; i < n; ++i) out[2].set(i, std::abs(out[2].get(i)));
  out.emplace_back(compute, std::vector{n});
  ops::adamw(exec, {.weight = out[0],
                    .moment1 = out[1],
                    .moment2 = out[2],
                    .gradient = Array::random(master, {n}, 4),
                    .working = out[3],
                    .lr = 0.01,
                    .weight_decay = 0.1,
                    .step = 3});
  return out;
}

std::vector<Array> sum_of_squares(const Exec& exec, DType compute, std::int64_t n) {
  Array out(DType::float64, {1});
  ops::sum_of_squares(exec, {.x = Array::random(master_dtype(compute), {150 * n}, 1), .out = out});
  return only(std::move(out));
}

std::vector<Array> combine(const Exec& exec, DType compute, std::int64_t n) {
  const Array a = Array::random(compute, {150 * n}, 1), b = Array::random(compute, {150 * n}, 2);
  const Tensor parts[] = {a, b, a};
  Array out(compute, {150 * n});
  ops::combine(exec, {.parts = parts, .out = out});
  return only(std::move(out));
}

const std::vector<Op> kOps = {{"fill", fill},
                              {"copy", copy},
                              {"scale", scale},
                              {"matmul", matmul},
                              {"rmsnorm_forward", rmsnorm_forward},
                              {"rmsnorm_backward_input", rmsnorm_backward_input},
                              {"rmsnorm_backward_weight", rmsnorm_backward_weight},
                              {"rope", rope},
                              {"attention_forward", attention},
                              {"attention_backward", attention},
                              {"swiglu_forward", swiglu_forward},
                              {"swiglu_backward", swiglu_backward},
                              {"embedding_forward", embedding_forward},
                              {"embedding_backward", embedding_backward},
                              {"loss_statistics", loss_statistics},
                              {"loss_combine", loss_combine},
                              {"loss_gradient", loss_gradient},
                              {"adamw", adamw},
                              {"sum_of_squares", sum_of_squares},
                              {"combine", combine}};

// The contiguous runs of a tensor.
void each_run(const Tensor& x, const std::function<void(std::byte*, std::size_t)>& use) {
  if (x.numel() == 0) return;
  if (x.contiguous()) return use(static_cast<std::byte*>(x.data), static_cast<std::size_t>(x.bytes()));
  int dim = 0;
  while (x.dims[static_cast<std::size_t>(dim)] == 1) ++dim;
  for (std::int64_t i = 0; i < x.dims[static_cast<std::size_t>(dim)]; ++i)
    each_run(x.slice(dim, i, i + 1), use);
}

// Takes every list of operands at its word: what is only written, and scratch, holds NaN when the verb begins, and what
// is only read must be the same when it ends.
class Distrustful final : public AroundBackend {
 public:
  using AroundBackend::AroundBackend;

 private:
  static bool is_read(const Tensor& x, std::span<const Operand> operands) {
    return any(operands, [&](const Operand& operand, const Tensor& other) {
      return (operand.access == Access::read || operand.access == Access::update) && overlap(x, other);
    });
  }
  static bool is_changed(const Tensor& x, std::span<const Operand> operands) {
    return any(operands, [&](const Operand& operand, const Tensor& other) {
      return is_written(operand.access) && overlap(x, other);
    });
  }
  template <class Holds>
  static bool any(std::span<const Operand> operands, Holds holds) {
    for (const Operand& operand : operands)
      for (const Tensor& x : operand.tensors)
        if (holds(operand, x)) return true;
    return false;
  }
  static std::vector<std::byte> only_read(std::span<const Operand> operands) {
    std::vector<std::byte> bytes;
    for (const Operand& operand : operands)
      for (const Tensor& x : operand.tensors)
        if (!is_changed(x, operands))
          each_run(
              x, [&](std::byte* begin, std::size_t size) { bytes.insert(bytes.end(), begin, begin + size); });
    return bytes;
  }

  void around(const VerbCall& call, FunctionRef<void()> verb) override {
    for (const Operand& operand : call.operands)
      for (const Tensor& x : operand.tensors)
        if (!is_read(x, call.operands))
          each_run(x, [](std::byte* begin, std::size_t size) { std::fill_n(begin, size, std::byte{0xff}); });
    const std::vector<std::byte> before = only_read(call.operands);
    verb();
    INFO(call.verb);
    CHECK(only_read(call.operands) == before);
  }
};

// Of an argument struct: the names of its tensors, and those that its list has, each beside the member it names.
struct Names {
  std::string of;
  std::set<std::string> members, listed;
};

std::vector<Names> names_in_lists(const std::string& header) {
  const std::regex begin("^struct (\\w+) \\{"), members("^  (?:Tensor|std::span<const Tensor>) ([^;]*);"),
      member("(\\w+)(?: = \\{\\})?"), entry("(\\w+)\\(\"(\\w+)\", \\2\\b|takes_(\\w+)\\(\\3\\)");
  const auto each = [](const std::string& text, const std::regex& pattern, const auto& use) {
    for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at) use(*at);
  };
  std::vector<Names> found(1);
  std::istringstream lines(header);
  for (std::string line; std::getline(lines, line);) {
    each(line, begin,
         [&](const std::smatch& m) { found.push_back({.of = m[1], .members = {}, .listed = {}}); });
    each(line, members, [&](const std::smatch& m) {
      each(m[1], member, [&](const std::smatch& name) { found.back().members.insert(name[1]); });
    });
    each(line, entry, [&](const std::smatch& m) { found.back().listed.insert(m[2].matched ? m[2] : m[3]); });
  }
  std::erase_if(found, [](const Names& names) { return names.members.empty(); });
  return found;
}

std::string source_of(const std::string& path) {
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  INFO("run from the source folder, or set DROVER_SOURCE_DIR");
  std::ifstream file(std::string(source == nullptr ? "." : source) + path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  REQUIRE(!text.empty());
  return text;
}

bool same_bits(const std::vector<Array>& a, const std::vector<Array>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = a[i].bytes() == b[i].bytes();
  return same;
}

}  // namespace

TEST_CASE("the table of every op is complete") {
  const std::string text = source_of("/core/ops/backend.h");
  const std::regex verb("virtual void (\\w+)\\(const Exec&");
  std::set<std::string> declared, listed;
  for (std::sregex_iterator at(text.begin(), text.end(), verb), end; at != end; ++at)
    declared.insert((*at)[1]);
  for (const Op& op : kOps) listed.insert(op.verb);
  CHECK(declared.size() >= 20);
  CHECK(listed == declared);
}

TEST_CASE("the list of operands of every argument struct names all of its tensors") {
  const std::vector<Names> lists =
      names_in_lists(source_of("/core/ops/backend.h") + source_of("/parallel/comm/communicator.h"));
  CHECK(lists.size() == 28);
  for (const Names& names : lists) {
    INFO(names.of);
    CHECK(names.listed == names.members);
  }
}

TEST_CASE("no op reads what its list assigns, nor scratch, nor changes what its list reads") {
  for_each_case([](Machine& machine, DType compute) {
    Distrustful distrustful(*machine.backend);
    const Exec exec{.backend = distrustful, .scratch = machine.scratch};
    for (const Op& op : kOps) {
      INFO(op.verb);
      CHECK(same_bits(op.run(exec, compute, 33), op.run(machine.exec, compute, 33)));
    }
  });
}

TEST_CASE("every op's bits are the same on 1, 2, 3 and 8 threads") {
  constexpr std::int64_t kTokens = 690;  // matmul's dW then sums over 8280 terms
  for (const CpuPath path : available_paths()) {
    Machine one(path, 1), two(path, 2), three(path, 3), eight(path, 8);
    for (const DType compute : {DType::float64, DType::float32, DType::bfloat16})
      for (const Op& op : kOps) {
        INFO(op.verb << " in " << name_of(compute) << " on " << name_of(path));
        const std::vector<Array> expected = op.run(one.exec, compute, kTokens);
        for (Machine* machine : {&two, &three, &eight})
          CHECK(same_bits(op.run(machine->exec, compute, kTokens), expected));
      }
  }
}

TEST_CASE("every op's bits are the same when it runs again") {
  for_each_case([](Machine& machine, DType compute) {
    for (const Op& op : kOps) {
      INFO(op.verb);
      CHECK(same_bits(op.run(machine.exec, compute, 33), op.run(machine.exec, compute, 33)));
    }
  });
}

TEST_CASE("no op minds a microbatch without tokens, and gradients stay as they were") {
  for_each_case([](Machine& machine, DType compute) {
    for (const Op& op : kOps) {
      INFO(op.verb);
      CHECK_NOTHROW(op.run(machine.exec, compute, 0));
    }
    const DType master = master_dtype(compute);
    CHECK(rmsnorm_backward_weight(machine.exec, compute, 0)[0].values() ==
          Array::random(master, {kDim}, 5).values());
    CHECK(embedding_backward(machine.exec, compute, 0)[0].values() ==
          Array::random(master, {kVocabulary, kDim}, 1).values());
    CHECK(matmul(machine.exec, compute, 0)[2].values() == Array::random(master, {kFfn, kDim}, 3).values());
    CHECK(loss_combine(machine.exec, compute, 0)[1].get(0) == 0);
    CHECK(sum_of_squares(machine.exec, compute, 0)[0].get(0) == 0);
  });
}
