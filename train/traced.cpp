#include "train/traced.h"

#include <algorithm>
#include <vector>

#include "parallel/around_comm.h"

namespace drover {

namespace {

// A span from construction to destruction.
class Scope {
 public:
  Scope(Trace& trace, const Span& span) : trace_(trace), span_(span) { span_.begin = Trace::now(); }
  ~Scope() {
    span_.end = Trace::now();
    trace_.add(span_);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Trace& trace_;
  Span span_;
};

// Around an operation in flight: owned by its communicator and used again.
class TracedOperation final : public Operation {
 public:
  explicit TracedOperation(Trace& trace) : trace_(trace) {}

  bool free() const { return free_; }
  void begin(Pending inner, const Span& span) {
    inner_ = std::move(inner);
    span_ = span;
    free_ = false;
  }

  void wait(const Exec& exec) override {
    finish([&] { inner_.wait(exec); });
  }
  void join() override {
    finish([&] { inner_.join(); });
  }
  void abandon() noexcept override { const Pending dropped = std::move(inner_); }
  void release() noexcept override { free_ = true; }

 private:
  template <class Wait>
  void finish(Wait wait) {
    {
      const Scope waiting(trace_, {.name = "wait", .subject = span_.subject});
      wait();
    }
    span_.end = Trace::now();
    trace_.add(span_);
  }

  Trace& trace_;
  Pending inner_;
  Span span_;
  bool free_ = true;
};

class TracedComm final : public AroundComm {
 public:
  TracedComm(std::unique_ptr<Communicator> inner, Trace& trace)
      : AroundComm(std::move(inner)), trace_(trace) {}

 private:
  Pending around(const CommCall& call, FunctionRef<Pending()> start) override {
    Span span{.name = call.verb,
              .subject = name().c_str(),
              .track = Span::Track::in_flight,
              .number = call.sent_bytes,
              .begin = Trace::now()};
    Pending started = [&] {
      const Scope starting(trace_, {.name = "start", .subject = name().c_str()});
      return start();
    }();
    if (started.done()) return {};
    TracedOperation& operation = free_operation();
    operation.begin(std::move(started), span);
    return Pending(&operation);
  }

  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) override {
    return std::make_unique<TracedComm>(std::move(part), trace_);
  }

  TracedOperation& free_operation() {
    const auto found =
        std::find_if(operations_.begin(), operations_.end(), [](const auto& o) { return o->free(); });
    return found != operations_.end() ? **found
                                      : *operations_.emplace_back(std::make_unique<TracedOperation>(trace_));
  }

  Trace& trace_;
  std::vector<std::unique_ptr<TracedOperation>> operations_;
};

Span action(const char* name, int microbatch) {
  return {.name = name, .track = Span::Track::pipeline, .number = microbatch};
}

}  // namespace

void TracedBackend::around(Work work, FunctionRef<void()> verb) {
  const Scope scope(trace_, {.name = name_of(work).data()});
  verb();
}

Connections traced(Connections connections, Trace& trace) {
  each(connections, [&](std::unique_ptr<Communicator>& communicator) {
    communicator = std::make_unique<TracedComm>(std::move(communicator), trace);
  });
  return connections;
}

void TracedStage::forward(const Exec& exec, int microbatch, const HandOver& activations) {
  const Scope scope(trace_, action("forward", microbatch));
  real_.forward(exec, microbatch, activations);
}

void TracedStage::backward_input(const Exec& exec, int microbatch, const HandOver& gradients) {
  const Scope scope(trace_, action("backward input", microbatch));
  real_.backward_input(exec, microbatch, gradients);
}

void TracedStage::backward_weight(const Exec& exec, int microbatch, RunPart part_of_run) {
  const Scope scope(trace_, action("backward weight", microbatch));
  real_.backward_weight(exec, microbatch, part_of_run);
}

void TracedStage::backward(const Exec& exec, int microbatch, const HandOver& gradients, RunPart part_of_run) {
  const Scope scope(trace_, action("backward", microbatch));
  real_.backward(exec, microbatch, gradients, part_of_run);
}

}  // namespace drover
