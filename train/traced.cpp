#include "train/traced.h"

#include "parallel/comm/around_comm.h"

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

class TracedOperation final : public AroundOperation {
 public:
  Trace* trace = nullptr;
  Span span;

 private:
  void around_wait(const Exec*, FunctionRef<void()> wait) override {
    {
      const Scope waiting(*trace, {.name = "wait", .subject = span.subject});
      wait();
    }
    span.end = Trace::now();
    trace->add(span);
  }
};

class TracedComm final : public AroundComm {
 public:
  TracedComm(std::unique_ptr<Communicator> inner, Trace& trace)
      : AroundComm(std::move(inner)), trace_(trace) {}

 private:
  Pending around(const CommCall& call, FunctionRef<Pending()> start) override {
    const Span span{.name = call.verb,
                    .subject = name().c_str(),
                    .track = Span::Track::in_flight,
                    .number = call.sent_bytes,
                    .begin = Trace::now()};
    const auto watched = [&] {
      const Scope starting(trace_, {.name = "start", .subject = span.subject});
      return start();
    };
    return operations_.around(watched(), [&](TracedOperation& operation) {
      operation.trace = &trace_;
      operation.span = span;
    });
  }

  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) override {
    return std::make_unique<TracedComm>(std::move(part), trace_);
  }

  Trace& trace_;
  AroundOperations<TracedOperation> operations_;
};

Span action(const char* name, int microbatch) {
  return {.name = name, .track = Span::Track::pipeline, .number = microbatch};
}

}  // namespace

void TracedBackend::around(const VerbCall& call, FunctionRef<void()> verb) {
  const Scope scope(trace_, {.name = name_of(call.work).data()});
  verb();
}

Connections traced(Connections connections, Trace& trace) {
  each(connections, [&](std::unique_ptr<Communicator>& communicator) {
    communicator = std::make_unique<TracedComm>(std::move(communicator), trace);
  });
  return connections;
}

void TracedStage::forward(const Exec& exec, int microbatch, const HandOver& activations,
                          StretchPart part_of_stretch) {
  const Scope scope(trace_, action("forward", microbatch));
  real_.forward(exec, microbatch, activations, part_of_stretch);
}

void TracedStage::backward_input(const Exec& exec, int microbatch, const HandOver& gradients,
                                 StretchPart part_of_stretch) {
  const Scope scope(trace_, action("backward input", microbatch));
  real_.backward_input(exec, microbatch, gradients, part_of_stretch);
}

void TracedStage::backward_weight(const Exec& exec, int microbatch, StretchPart part_of_stretch) {
  const Scope scope(trace_, action("backward weight", microbatch));
  real_.backward_weight(exec, microbatch, part_of_stretch);
}

void TracedStage::backward(const Exec& exec, int microbatch, const HandOver& gradients,
                           StretchPart part_of_stretch) {
  const Scope scope(trace_, action("backward", microbatch));
  real_.backward(exec, microbatch, gradients, part_of_stretch);
}

}  // namespace drover
