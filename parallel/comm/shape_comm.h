// A communicator of any size that moves nothing: for programs that run on shape-only tensors, which is how
// memory is measured before a rank talks to any other.
#pragma once

#include "parallel/comm/communicator.h"

namespace drover {

class ShapeComm final : public Communicator {
 public:
  explicit ShapeComm(int size, int rank = 0) : size_(size), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& name() const override { return name_; }

  Pending all_reduce(const Exec&, const AllReduce&) override { return started(); }
  Pending all_gather(const Exec&, const AllGather&) override { return started(); }
  Pending all_gather_v(const Exec&, const AllGatherV&) override { return started(); }
  Pending reduce_scatter(const Exec&, const ReduceScatter&) override { return started(); }
  Pending reduce_scatter_v(const Exec&, const ReduceScatterV&) override { return started(); }
  Pending all_to_all(const Exec&, const AllToAll&) override { return started(); }
  Pending all_to_all_v(const Exec&, const AllToAllV&) override { return started(); }
  Pending broadcast(const Exec&, const Broadcast&) override { return started(); }
  Pending send(const Exec&, const Tensor&, int) override { return started(); }
  Pending recv(const Exec&, const Tensor&, int) override { return started(); }
  Pending barrier(const Exec&) override { return started(); }
  void begin_group() override {}
  void end_group() override {}
  std::unique_ptr<Communicator> split(int, int, std::string) override {
    return std::make_unique<ShapeComm>(1);
  }
  void abort(const std::string&, Exit) noexcept override {}

 private:
  // In flight until it is waited for, like any other; so often at once as there are who wait.
  class Nothing final : public Operation {
   public:
    void wait(const Exec&) override {}
    void join() override {}
    void abandon() noexcept override {}
    void release() noexcept override {}
  };
  Pending started() { return Pending(&nothing_); }

  Nothing nothing_;
  int size_, rank_;
  std::string name_ = "shapes";
};

}  // namespace drover
