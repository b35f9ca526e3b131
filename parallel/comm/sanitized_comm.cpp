#include "parallel/comm/sanitized_comm.h"

#include "parallel/comm/around_comm.h"

namespace drover {

namespace {

class SanitizedOperation final : public AroundOperation {
 public:
  StreamSanitizer* sanitizer = nullptr;
  int number = 0;

  void abandon() noexcept override {
    sanitizer->abandon(number);
    AroundOperation::abandon();
  }

 private:
  void around_wait(const Exec* exec, FunctionRef<void()> wait) override {
    if (exec != nullptr)
      sanitizer->wait(number, exec->stream);
    else
      sanitizer->join(number);
    const StreamSanitizer::InsideOperation inside(*sanitizer);
    wait();
  }
};

class SanitizedComm final : public AroundComm {
 public:
  SanitizedComm(std::unique_ptr<Communicator> inner, StreamSanitizer& sanitizer)
      : AroundComm(std::move(inner)), sanitizer_(sanitizer) {}

 private:
  Pending around(const CommCall& call, FunctionRef<Pending()> start) override {
    const int number = sanitizer_.start(call.exec.stream, cat(call.verb, " on ", name()), call.operands);
    const StreamSanitizer::InsideOperation inside(sanitizer_);
    Pending started = start();
    if (started.done()) sanitizer_.wait(number, call.exec.stream);
    return operations_.around(std::move(started), [&](SanitizedOperation& operation) {
      operation.sanitizer = &sanitizer_;
      operation.number = number;
    });
  }
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) override {
    return sanitized(std::move(part), sanitizer_);
  }

  StreamSanitizer& sanitizer_;
  AroundOperations<SanitizedOperation> operations_;
};

}  // namespace

std::unique_ptr<Communicator> sanitized(std::unique_ptr<Communicator> communicator,
                                        StreamSanitizer& sanitizer) {
  return std::make_unique<SanitizedComm>(std::move(communicator), sanitizer);
}

}  // namespace drover
