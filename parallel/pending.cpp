#include "parallel/pending.h"

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
  try {
    join();
  } catch (...) {
    // The failure that unwinds, or the next collective on this communicator, reports it.
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
