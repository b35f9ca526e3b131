#include "parallel/comm/pending.h"

#include <exception>

namespace drover {

namespace {

// Releases the slot whether or not waiting threw.
class Release {
 public:
  explicit Release(Operation* operation) : operation_(operation) {}
  ~Release() { operation_->release(); }
  Release(const Release&) = delete;
  Release& operator=(const Release&) = delete;

 private:
  Operation* operation_;
};

}  // namespace

Pending::~Pending() {
  if (operation_ == nullptr) return;
  if (std::uncaught_exceptions() > 0) {
    Release release(operation_);
    operation_->abandon();
    return;
  }
  try {
    join();
  } catch (...) {
    // The next operation on this communicator reports it.
  }
}

void Pending::wait(const Exec& exec) {
  if (operation_ == nullptr) return;
  Operation* operation = std::exchange(operation_, nullptr);
  Release release(operation);
  operation->wait(exec);
}

void Pending::join() {
  if (operation_ == nullptr) return;
  Operation* operation = std::exchange(operation_, nullptr);
  Release release(operation);
  operation->join();
}

}  // namespace drover
