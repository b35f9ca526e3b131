// A communicator that passes every operation on to another one, through one function that a subclass writes: for
// measuring.
#pragma once

#include "core/function_ref.h"
#include "parallel/communicator.h"

namespace drover {

// An operation as a rank started it. What it sends, by convention, in a group of S ranks; it is what a
// bandwidth-optimal algorithm sends, and independent of how an implementation moves the bytes:
//   all_gather      (S - 1) x the bytes of this rank's part
//   reduce_scatter  all parts but this rank's own, (S - 1) x one part where they are equal
//   all_reduce      2 (S - 1) / S x the bytes, rounded down: a reduce_scatter and an all_gather
//   all_to_all      all parts but the one to itself
//   broadcast       (S - 1) x the bytes at the root, nothing elsewhere
//   send            the bytes;  recv, barrier: nothing
struct CommCall {
  const char* verb = "";
  std::int64_t sent_bytes = 0;
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
