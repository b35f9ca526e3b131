// A started operation. Whoever starts something gets the thing to wait on; there is no global synchronise.
#pragma once

#include <chrono>
#include <utility>

#include "core/ops/exec.h"

namespace drover {

// What a Pending refers to: a slot that its communicator owns and uses again, so that starting operations
// does not allocate.
class Operation {
 public:
  virtual void wait(const Exec& exec) = 0;
  virtual void join() = 0;
  // Its Pending was dropped while an exception unwinds. The ranks that this operation needs may never come,
  // so it must not wait for them: it makes sure that nothing touches the buffers from here on, which may end
  // the communicator for all ranks.
  virtual void abandon() noexcept = 0;
  // Called once, when its Pending is done with it (waited, joined or dropped).
  virtual void release() noexcept = 0;

 protected:
  ~Operation() = default;
};

// Move-only. The buffers given to the operation belong to it until wait or join returns. One of them must be
// called; a Pending dropped while an exception unwinds abandons its operation, so that no buffer dies under a
// running one. Errors surface as CommError from wait or join. Not thread-safe: the thread that started the
// operation finishes it.
class [[nodiscard]] Pending {
 public:
  Pending() = default;  // already done
  explicit Pending(Operation* operation) : operation_(operation) {}
  Pending(Pending&& other) noexcept : operation_(std::exchange(other.operation_, nullptr)) {}
  Pending& operator=(Pending&& other) noexcept {
    std::swap(operation_, other.operation_);
    return *this;
  }
  ~Pending();

  // Orders the Exec's stream after the operation. On a CPU's immediate stream it therefore blocks; on a GPU
  // it never blocks the host.
  void wait(const Exec& exec);
  // Blocks the host until the operation is complete or has waited too long (CommError).
  void join();
  bool done() const { return operation_ == nullptr; }

 private:
  Operation* operation_ = nullptr;
};

}  // namespace drover
