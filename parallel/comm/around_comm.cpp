#include "parallel/comm/around_comm.h"

#include <numeric>

namespace drover {

Pending AroundComm::all_reduce(const Exec& exec, const AllReduce& call) {
  return around({exec, "all_reduce", call.operands(), 2 * others() * call.x.bytes() / size()},
                [&] { return inner_->all_reduce(exec, call); });
}

Pending AroundComm::all_gather(const Exec& exec, const AllGather& call) {
  return around({exec, "all_gather", call.operands(), others() * call.in.bytes()},
                [&] { return inner_->all_gather(exec, call); });
}

Pending AroundComm::all_gather_v(const Exec& exec, const AllGatherV& call) {
  return around({exec, "all_gather", call.operands(), others() * call.in.bytes()},
                [&] { return inner_->all_gather_v(exec, call); });
}

Pending AroundComm::reduce_scatter(const Exec& exec, const ReduceScatter& call) {
  return around({exec, "reduce_scatter", call.operands(), others() * call.out.bytes()},
                [&] { return inner_->reduce_scatter(exec, call); });
}

Pending AroundComm::reduce_scatter_v(const Exec& exec, const ReduceScatterV& call) {
  return around({exec, "reduce_scatter", call.operands(), call.in.bytes() - call.out.bytes()},
                [&] { return inner_->reduce_scatter_v(exec, call); });
}

Pending AroundComm::all_to_all(const Exec& exec, const AllToAll& call) {
  return around({exec, "all_to_all", call.operands(), others() * (call.in.bytes() / size())},
                [&] { return inner_->all_to_all(exec, call); });
}

Pending AroundComm::all_to_all_v(const Exec& exec, const AllToAllV& call) {
  const std::int64_t elements = std::reduce(call.send_counts.begin(), call.send_counts.end()) -
                                call.send_counts[static_cast<std::size_t>(rank())];
  return around({exec, "all_to_all", call.operands(), elements * size_of(call.in.dtype)},
                [&] { return inner_->all_to_all_v(exec, call); });
}

Pending AroundComm::broadcast(const Exec& exec, const Broadcast& call) {
  return around(
      {exec, "broadcast", call.operands(rank()), rank() == call.root ? others() * call.x.bytes() : 0},
      [&] { return inner_->broadcast(exec, call); });
}

Pending AroundComm::send(const Exec& exec, const Tensor& x, int peer) {
  return around({exec, "send", std::array{reads("x", x)}, x.bytes()},
                [&] { return inner_->send(exec, x, peer); });
}

Pending AroundComm::recv(const Exec& exec, const Tensor& x, int peer) {
  return around({exec, "recv", std::array{assigns("x", x)}, 0}, [&] { return inner_->recv(exec, x, peer); });
}

Pending AroundComm::barrier(const Exec& exec) {
  return around({exec, "barrier", {}, 0}, [&] { return inner_->barrier(exec); });
}

}  // namespace drover
