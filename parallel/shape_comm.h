// A communicator of any size that moves nothing: for programs that run on shape-only tensors, which is how
// memory is measured before a rank talks to any other.
#pragma once

#include "parallel/communicator.h"

namespace drover {

class ShapeComm final : public Communicator {
 public:
  explicit ShapeComm(int size, int rank = 0) : size_(size), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& name() const override { return name_; }

  Pending all_reduce(const Exec&, const AllReduce&) override { return {}; }
  Pending all_gather(const Exec&, const AllGather&) override { return {}; }
  Pending all_gather_v(const Exec&, const AllGatherV&) override { return {}; }
  Pending reduce_scatter(const Exec&, const ReduceScatter&) override { return {}; }
  Pending reduce_scatter_v(const Exec&, const ReduceScatterV&) override { return {}; }
  Pending all_to_all(const Exec&, const AllToAll&) override { return {}; }
  Pending all_to_all_v(const Exec&, const AllToAllV&) override { return {}; }
  Pending broadcast(const Exec&, const Broadcast&) override { return {}; }
  Pending send(const Exec&, const Tensor&, int) override { return {}; }
  Pending recv(const Exec&, const Tensor&, int) override { return {}; }
  Pending barrier(const Exec&) override { return {}; }
  void begin_group() override {}
  void end_group() override {}
  std::unique_ptr<Communicator> split(int, int, std::string) override {
    return std::make_unique<ShapeComm>(1);
  }
  void abort(const std::string&, Exit) noexcept override {}

 private:
  int size_, rank_;
  std::string name_ = "shapes";
};

}  // namespace drover
