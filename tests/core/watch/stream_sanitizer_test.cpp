// Made-up programs of verbs and operations on one or two streams: what is ordered is silent, and whatever is not is
// named.
#include "core/watch/stream_sanitizer.h"

#include "tests/core/ops/op_fixture.h"

using namespace drover;
using namespace drover::test;
using Catch::Contains;

namespace {

// Tensors of 8 elements, and verbs that touch them.
struct Program {
  std::vector<float> memory = std::vector<float>(64);
  StreamSanitizer sanitizer;
  Stream compute, copies{&memory};

  Tensor at(std::int64_t first) { return Tensor::of(memory.data() + first, {8}); }
  void read(Stream stream, const Tensor& x) { sanitizer.verb(stream, "norm", std::array{reads("x", x)}); }
  void write(Stream stream, const Tensor& x) {
    sanitizer.verb(stream, "fill", std::array{assigns("out", x)});
  }
  int gather(Stream stream, const Tensor& in, const Tensor& out) {
    return sanitizer.start(stream, "all_gather on tensor", std::array{reads("in", in), assigns("out", out)});
  }
  void host_reads(const Tensor& x) { sanitizer.host("report", std::array{reads("sum", x)}); }
  void host_writes(const Tensor& x) { sanitizer.host("loader", std::array{assigns("tokens", x)}); }
};

}  // namespace

TEST_CASE("verbs of one stream are ordered, whatever they touch") {
  Program p;
  for (int i = 0; i < 3; ++i) {
    CHECK_NOTHROW(p.write(p.compute, p.at(0)));
    CHECK_NOTHROW(p.read(p.compute, p.at(4)));
  }
}

TEST_CASE("a verb that reads what an operation writes must wait for it") {
  Program p;
  const int gathering = p.gather(p.compute, p.at(0), p.at(8));
  CHECK_THROWS_WITH(p.read(p.compute, p.at(12)),
                    Contains("norm reads x, float32[8]") &&
                        Contains("all_gather on tensor writes out, float32[8], is in flight"));
  p.sanitizer.wait(gathering, p.compute);
  CHECK_NOTHROW(p.read(p.compute, p.at(12)));
}

TEST_CASE("a verb that writes what an operation reads must wait for it, one that reads it need not") {
  Program p;
  const int gathering = p.gather(p.compute, p.at(0), p.at(8));
  CHECK_NOTHROW(p.read(p.compute, p.at(0)));
  CHECK_THROWS_WITH(p.write(p.compute, p.at(4)),
                    Contains("fill writes out") && Contains("all_gather on tensor reads in"));
  p.sanitizer.wait(gathering, p.compute);
  CHECK_NOTHROW(p.write(p.compute, p.at(4)));
}

TEST_CASE("scratch is written") {
  Program p;
  const int gathering = p.gather(p.compute, p.at(0), p.at(8));
  const Tensor scratch = p.at(0);
  CHECK_THROWS_WITH(p.sanitizer.verb(p.compute, "attention", std::array{takes_scratch(scratch)}),
                    Contains("attention writes scratch"));
  p.sanitizer.join(gathering);
}

TEST_CASE("an operation owns its buffers beside other operations, too") {
  Program p;
  const int first = p.gather(p.compute, p.at(0), p.at(8));
  const int same_source = p.gather(p.compute, p.at(0), p.at(16));
  CHECK_THROWS_WITH(p.gather(p.compute, p.at(8), p.at(24)),
                    Contains("all_gather on tensor reads in") && Contains("writes out"));
  p.sanitizer.wait(first, p.compute);
  p.sanitizer.wait(same_source, p.compute);
  CHECK_NOTHROW(p.sanitizer.wait(p.gather(p.compute, p.at(8), p.at(24)), p.compute));
}

TEST_CASE("operations end in any order, and each frees its own buffers alone") {
  Program p;
  const int first = p.gather(p.compute, p.at(0), p.at(8));
  const int second = p.gather(p.compute, p.at(16), p.at(24));
  p.sanitizer.wait(second, p.compute);
  CHECK_NOTHROW(p.read(p.compute, p.at(24)));
  CHECK_THROWS(p.read(p.compute, p.at(8)));
  p.sanitizer.wait(first, p.compute);
  CHECK_NOTHROW(p.read(p.compute, p.at(8)));
  CHECK_THROWS(p.sanitizer.wait(first, p.compute));
}

TEST_CASE("memory that is taken again is no error on its stream, and one under an operation in flight") {
  Program p;
  p.write(p.compute, p.at(0));
  p.read(p.compute, p.at(0));
  const int gathering = p.gather(p.compute, p.at(0), p.at(8));
  p.sanitizer.wait(gathering, p.compute);
  CHECK_NOTHROW(p.write(p.compute, Tensor::of(p.memory.data() + 4, {3, 2})));  // the arena's next piece
  const int sending = p.gather(p.compute, p.at(0), p.at(8));
  CHECK_THROWS(p.write(p.compute, Tensor::of(p.memory.data() + 4, {3, 2})));
  p.sanitizer.wait(sending, p.compute);
}

TEST_CASE("an abandoned operation owns nothing any more") {
  Program p;
  p.sanitizer.abandon(p.gather(p.compute, p.at(0), p.at(8)));
  CHECK_NOTHROW(p.write(p.compute, p.at(8)));
}

TEST_CASE("column pieces of one matrix are apart") {
  Program p;
  const Tensor matrix = Tensor::of(p.memory.data(), {8, 8});
  const Tensor left = matrix.slice(1, 0, 3), right = matrix.slice(1, 3, 8), middle = matrix.slice(1, 2, 4);
  const int gathering = p.gather(p.compute, left, Tensor{});
  CHECK_NOTHROW(p.write(p.compute, right));
  CHECK_THROWS(p.write(p.compute, middle));
  p.sanitizer.wait(gathering, p.compute);
}

TEST_CASE("two streams are ordered only through the host or an operation") {
  Program p;
  p.write(p.compute, p.at(0));
  CHECK_NOTHROW(p.write(p.copies, p.at(8)));
  CHECK_THROWS_WITH(p.read(p.copies, p.at(0)),
                    Contains("norm reads x") && Contains("fill writes out, float32[8] on a stream"));
  p.sanitizer.synchronize(p.compute);
  CHECK_NOTHROW(p.read(p.copies, p.at(0)));
  CHECK_THROWS(p.write(p.compute, p.at(0)));  // not after that read
  p.sanitizer.synchronize(p.copies);
  CHECK_NOTHROW(p.write(p.compute, p.at(0)));
}

TEST_CASE("an operation waited for on another stream orders that stream alone") {
  Program p;
  p.write(p.compute, p.at(0));
  const int gathering = p.gather(p.compute, p.at(0), p.at(8));
  p.sanitizer.wait(gathering, p.copies);
  CHECK_NOTHROW(p.read(p.copies, p.at(8)));
  CHECK_NOTHROW(p.read(p.copies, p.at(0)));  // what the operation came after
  CHECK_THROWS_WITH(p.read(p.compute, p.at(8)), Contains("all_gather on tensor writes out"));
}

TEST_CASE("what the host joined is before all that it starts afterwards") {
  Program p;
  p.sanitizer.join(p.gather(p.compute, p.at(0), p.at(8)));
  CHECK_NOTHROW(p.read(p.compute, p.at(8)));
  CHECK_NOTHROW(p.read(p.copies, p.at(8)));
  CHECK_NOTHROW(p.host_reads(p.at(8)));
}

TEST_CASE("the host reads what a stream wrote after it has synchronised") {
  Program p;
  p.write(p.compute, p.at(0));
  CHECK_THROWS_WITH(p.host_reads(p.at(0)), Contains("report reads sum") && Contains("fill writes out"));
  p.sanitizer.synchronize(p.compute);
  CHECK_NOTHROW(p.host_reads(p.at(0)));
}

TEST_CASE("the host writes what a stream reads after it has synchronised, and the stream sees it") {
  Program p;
  p.host_writes(p.at(0));
  CHECK_NOTHROW(p.read(p.compute, p.at(0)));
  CHECK_THROWS_WITH(p.host_writes(p.at(0)), Contains("loader writes tokens") && Contains("norm reads x"));
  p.sanitizer.synchronize(p.compute);
  CHECK_NOTHROW(p.host_writes(p.at(0)));
}

TEST_CASE("an operation on its way to a stream is none of the host's") {
  Program p;
  p.sanitizer.wait(p.gather(p.compute, p.at(0), p.at(8)), p.compute);
  CHECK_THROWS_WITH(p.host_reads(p.at(8)), Contains("all_gather on tensor writes out"));
  p.sanitizer.synchronize(p.compute);
  CHECK_NOTHROW(p.host_reads(p.at(8)));
}

TEST_CASE("verbs inside an operation are its own work on its own buffers") {
  Program p;
  const int gathering = p.gather(p.compute, p.at(0), p.at(8));
  {
    const StreamSanitizer::InsideOperation inside(p.sanitizer);
    CHECK_NOTHROW(p.write(p.compute, p.at(8)));
  }
  CHECK_THROWS(p.write(p.compute, p.at(8)));
  p.sanitizer.wait(gathering, p.compute);
}

TEST_CASE("a backend under the sanitizer computes the same and tells of every verb and of synchronising") {
  Machine machine;
  StreamSanitizer sanitizer;
  SanitizedBackend backend(*machine.backend, sanitizer);
  const Exec exec{.backend = backend, .scratch = machine.scratch};
  Array x = Array::of(DType::float32, {3}, {1, 2, 3});
  ops::scale(exec, {.x = x, .factor = 2});
  CHECK(x.values() == std::vector<double>{2, 4, 6});
  const auto host_reads = [&] { sanitizer.host("report", std::array{reads("x", x.tensor)}); };
  CHECK_THROWS_WITH(host_reads(), Contains("scale writes x"));
  backend.synchronize(exec.stream);
  CHECK_NOTHROW(host_reads());
}
