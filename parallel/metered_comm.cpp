#include "parallel/metered_comm.h"

#include <numeric>

namespace drover {

namespace {

class MeteredComm final : public Communicator {
 public:
  MeteredComm(std::unique_ptr<Communicator> inner, std::int64_t& sent)
      : inner_(std::move(inner)), sent_(sent) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  const std::string& name() const override { return inner_->name(); }

  Pending all_reduce(const Exec& exec, const AllReduce& call) override {
    sent_ += 2 * others() * call.x.bytes() / size();
    return inner_->all_reduce(exec, call);
  }
  Pending all_gather(const Exec& exec, const AllGather& call) override {
    sent_ += others() * call.in.bytes();
    return inner_->all_gather(exec, call);
  }
  Pending all_gather_v(const Exec& exec, const AllGatherV& call) override {
    sent_ += others() * call.in.bytes();
    return inner_->all_gather_v(exec, call);
  }
  Pending reduce_scatter(const Exec& exec, const ReduceScatter& call) override {
    sent_ += others() * call.out.bytes();
    return inner_->reduce_scatter(exec, call);
  }
  Pending reduce_scatter_v(const Exec& exec, const ReduceScatterV& call) override {
    sent_ += call.in.bytes() - call.out.bytes();
    return inner_->reduce_scatter_v(exec, call);
  }
  Pending all_to_all(const Exec& exec, const AllToAll& call) override {
    sent_ += others() * (call.in.bytes() / size());
    return inner_->all_to_all(exec, call);
  }
  Pending all_to_all_v(const Exec& exec, const AllToAllV& call) override {
    const std::int64_t elements =
        std::reduce(call.send_counts.begin(), call.send_counts.end()) - part(call.send_counts, rank());
    sent_ += elements * size_of(call.in.dtype);
    return inner_->all_to_all_v(exec, call);
  }
  Pending broadcast(const Exec& exec, const Broadcast& call) override {
    if (rank() == call.root) sent_ += others() * call.x.bytes();
    return inner_->broadcast(exec, call);
  }
  Pending send(const Exec& exec, const Tensor& x, int peer) override {
    sent_ += x.bytes();
    return inner_->send(exec, x, peer);
  }
  Pending recv(const Exec& exec, const Tensor& x, int peer) override { return inner_->recv(exec, x, peer); }
  Pending barrier(const Exec& exec) override { return inner_->barrier(exec); }

  void begin_group() override { inner_->begin_group(); }
  void end_group() override { inner_->end_group(); }
  std::unique_ptr<Communicator> split(int color, int key, std::string name) override {
    auto part = inner_->split(color, key, std::move(name));
    return part ? metered(std::move(part), sent_) : nullptr;
  }
  void abort(const std::string& reason, Exit exit) noexcept override { inner_->abort(reason, exit); }

 private:
  std::int64_t others() const { return size() - 1; }
  static std::int64_t part(std::span<const std::int64_t> counts, int rank) {
    return counts[static_cast<std::size_t>(rank)];
  }

  std::unique_ptr<Communicator> inner_;
  std::int64_t& sent_;
};

}  // namespace

std::unique_ptr<Communicator> metered(std::unique_ptr<Communicator> communicator, std::int64_t& sent) {
  return std::make_unique<MeteredComm>(std::move(communicator), sent);
}

Connections metered(Connections connections, SentBytes& sent) {
  enum : std::size_t { kTensor, kContext, kPipeline, kGroup, kReplicate };
  const auto meter = [&](std::unique_ptr<Communicator>& communicator, std::size_t name) {
    communicator = metered(std::move(communicator), sent[name]);
  };
  meter(connections.tensor, kTensor);
  meter(connections.context, kContext);
  meter(connections.pipeline, kPipeline);
  meter(connections.group, kGroup);
  meter(connections.replicate, kReplicate);
  meter(connections.copies, kTensor);
  meter(connections.tied, kPipeline);
  return connections;
}

}  // namespace drover
