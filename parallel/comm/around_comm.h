// A communicator that passes every operation on to another one, through one function that a subclass writes: for
// measuring and checking.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/base/function_ref.h"
#include "parallel/comm/communicator.h"

namespace drover {

// An operation as a rank started it. Lives during the start. What it sends, by convention, in a group of S ranks; it
// is what a bandwidth-optimal algorithm sends, and independent of how an implementation moves the bytes:
//   all_gather      (S - 1) x the bytes of this rank's part
//   reduce_scatter  all parts but this rank's own, (S - 1) x one part where they are equal
//   all_reduce      2 (S - 1) / S x the bytes, rounded down: a reduce_scatter and an all_gather
//   all_to_all      all parts but the one to itself
//   broadcast       (S - 1) x the bytes at the root, nothing elsewhere
//   send            the bytes;  recv, barrier: nothing
struct CommCall {
  const Exec& exec;
  const char* verb;
  std::span<const Operand> operands;
  std::int64_t sent_bytes;
};

// Around an operation in flight, through one function that a subclass writes. Lives in an AroundOperations.
class AroundOperation : public Operation {
 public:
  void wait(const Exec& exec) override {
    around_wait(&exec, [&] { inner_.wait(exec); });
  }
  void join() override {
    around_wait(nullptr, [&] { inner_.join(); });
  }
  void abandon() noexcept override { const Pending dropped = std::move(inner_); }
  void release() noexcept override { free_ = true; }

 protected:
  ~AroundOperation() = default;
  // Calls `wait` exactly once. exec: whose stream waits; null where the host joins.
  virtual void around_wait(const Exec* exec, FunctionRef<void()> wait) = 0;

 private:
  template <class Kind>
  friend class AroundOperations;
  Pending inner_;
  bool free_ = true;
};

// As many as were ever in flight at once, used again and again.
template <class Kind>
class AroundOperations {
 public:
  // A free one around `inner`; prepare(it) before it is waited for. What is done already stays as it is.
  template <class Prepare>
  Pending around(Pending inner, Prepare prepare) {
    if (inner.done()) return inner;
    Kind& operation = take();
    prepare(operation);
    AroundOperation& base = operation;
    base.inner_ = std::move(inner);
    base.free_ = false;
    return Pending(&base);
  }

 private:
  Kind& take() {
    for (const auto& operation : operations_)
      if (static_cast<AroundOperation&>(*operation).free_) return *operation;
    return *operations_.emplace_back(std::make_unique<Kind>());
  }

  std::vector<std::unique_ptr<Kind>> operations_;
};

class AroundComm : public Communicator {
 public:
  explicit AroundComm(std::unique_ptr<Communicator> inner) : inner_(std::move(inner)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  const std::string& name() const override { return inner_->name(); }

  Pending all_reduce(const Exec& exec, const AllReduce& call) override;
  Pending all_gather(const Exec& exec, const AllGather& call) override;
  Pending all_gather_v(const Exec& exec, const AllGatherV& call) override;
  Pending reduce_scatter(const Exec& exec, const ReduceScatter& call) override;
  Pending reduce_scatter_v(const Exec& exec, const ReduceScatterV& call) override;
  Pending all_to_all(const Exec& exec, const AllToAll& call) override;
  Pending all_to_all_v(const Exec& exec, const AllToAllV& call) override;
  Pending broadcast(const Exec& exec, const Broadcast& call) override;
  Pending send(const Exec& exec, const Tensor& x, int peer) override;
  Pending recv(const Exec& exec, const Tensor& x, int peer) override;
  Pending barrier(const Exec& exec) override;

  void begin_group() override { inner_->begin_group(); }
  void end_group() override { inner_->end_group(); }
  std::unique_ptr<Communicator> split(int color, int key, std::string name) override {
    auto part = inner_->split(color, key, std::move(name));
    return part ? wrap(std::move(part)) : nullptr;
  }
  void abort(const std::string& reason, Exit exit) noexcept override { inner_->abort(reason, exit); }

 protected:
  // Calls `start` exactly once.
  virtual Pending around(const CommCall& call, FunctionRef<Pending()> start) = 0;
  // The same around a part of this communicator.
  virtual std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) = 0;

 private:
  std::int64_t others() const { return size() - 1; }

  std::unique_ptr<Communicator> inner_;
};

}  // namespace drover
