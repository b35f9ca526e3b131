// Finds a missing wait even where the data happened to be there: every stream, and the host, has a vector clock, and two
// accesses to the same bytes, at least one of which writes, must be ordered by them. It computes nothing and looks at no
// data; a CPU's immediate stream is watched like a GPU's.
//
//   - a verb happens on its stream, after all that the stream was given and all that the host knew when it was called;
//   - an operation (a collective's, say) happens after its stream's past and beside everything else, until it is waited
//     for: wait puts it before what that stream is given next, join before what the host does next;
//   - synchronize puts a stream's past before what the host does next.
//
// So memory that is taken again (an arena's, a slot's) is no error on the stream that used it last, and is one while an
// operation on it is in flight. The host's own accesses, outside verbs, count where somebody tells of them.
//
// Errors: Error{internal} naming both verbs, or operations, and both operands. Thread rules: one rank's, used by the one
// thread that gives its streams work. Streams and operations that it was not told of are not seen; neither are the
// accesses of other ranks to this rank's memory, but for those that the operations here stand for.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/ops/around_backend.h"

namespace drover {

class StreamSanitizer {
 public:
  StreamSanitizer() : lines_(1) {}
  StreamSanitizer(const StreamSanitizer&) = delete;
  StreamSanitizer& operator=(const StreamSanitizer&) = delete;

  void verb(Stream stream, std::string_view name, std::span<const Operand> operands);
  void host(std::string_view name, std::span<const Operand> operands);
  void synchronize(Stream stream);

  // The operation's number, until exactly one of the next three ends it; abandon: nobody comes after it.
  int start(Stream stream, std::string_view name, std::span<const Operand> operands);
  void wait(int operation, Stream stream);
  void join(int operation);
  void abandon(int operation);

  // While one lives, verbs are the work of operations, on buffers that are theirs already: they are not looked at.
  class InsideOperation {
   public:
    explicit InsideOperation(StreamSanitizer& sanitizer) : sanitizer_(sanitizer) { ++sanitizer_.inside_; }
    ~InsideOperation() { --sanitizer_.inside_; }
    InsideOperation(const InsideOperation&) = delete;
    InsideOperation& operator=(const InsideOperation&) = delete;

   private:
    StreamSanitizer& sanitizer_;
  };

 private:
  // By line: how much of it comes before.
  using Clock = std::vector<std::int64_t>;
  struct Touch {
    Tensor tensor;
    bool writes = false;
    std::string_view by, operand;
  };
  using Place = std::tuple<void*, DType, decltype(Tensor::dims), decltype(Tensor::strides), bool>;
  struct Dated {
    Touch touch;
    std::int64_t at = 0;
  };
  // A stream, or the host: things that happen one after another.
  struct Line {
    Stream stream;
    std::int64_t now = 0;
    Clock before;                    // its own entry is `now`
    std::map<Place, Dated> touched;  // the last time each: who comes after that comes after all
  };
  struct Operation {
    bool in_flight = false;
    Clock before;
    std::vector<Touch> touches;
  };

  static constexpr std::size_t kHost = 0;
  std::size_t line_of(Stream stream);
  void merge(std::size_t line, const Clock& before);
  Line& advance(std::size_t line);
  Line& advance_stream(Stream stream);
  std::string_view keep(std::string_view name);
  void act(Line& line, std::string_view name, std::span<const Operand> operands);
  void check(const Touch& touch, const Clock& before) const;
  Operation& take(int number);
  void record(Line& line, const Touch& touch);
  void forget_known();

  std::vector<Line> lines_;  // the host's first
  std::vector<Operation> operations_;
  std::vector<Touch> touches_;  // of the call at hand
  std::set<std::string, std::less<>> names_;
  int inside_ = 0;
};

// Tells a sanitizer of every verb before it runs. Both outlive this.
class SanitizedBackend final : public AroundBackend {
 public:
  SanitizedBackend(Backend& real, StreamSanitizer& sanitizer) : AroundBackend(real), sanitizer_(sanitizer) {}
  void synchronize(Stream stream) override {
    AroundBackend::synchronize(stream);
    sanitizer_.synchronize(stream);
  }

 private:
  void around(const VerbCall& call, FunctionRef<void()> verb) override {
    sanitizer_.verb(call.exec.stream, call.verb, call.operands);
    verb();
  }

  StreamSanitizer& sanitizer_;
};

}  // namespace drover
