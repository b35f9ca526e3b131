#include "parallel/mesh/metered_comm.h"

#include "parallel/comm/around_comm.h"

namespace drover {

namespace {

class MeteredComm final : public AroundComm {
 public:
  MeteredComm(std::unique_ptr<Communicator> inner, std::int64_t& sent)
      : AroundComm(std::move(inner)), sent_(sent) {}

 private:
  Pending around(const CommCall& call, FunctionRef<Pending()> start) override {
    sent_ += call.sent_bytes;
    return start();
  }
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) override {
    return metered(std::move(part), sent_);
  }

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
