#include "parallel/comm/agreement.h"

#include <optional>

namespace drover {
namespace {

Tensor of_text(std::string& text) {
  return Tensor::of(static_cast<void*>(text.data()), DType::uint8, {static_cast<std::int64_t>(text.size())});
}

std::optional<Error> failure_of(FunctionRef<void()> body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& error) {
    return Error(Exit::internal, error.what());
  }
  return std::nullopt;
}

void send_text(const Exec& exec, Communicator& world, std::string& text, int peer) {
  auto bytes = static_cast<std::int64_t>(text.size());
  world.send(exec, Tensor::of(&bytes, {1}), peer).wait(exec);
  if (bytes > 0) world.send(exec, of_text(text), peer).wait(exec);
}

std::string receive_text(const Exec& exec, Communicator& world, int peer) {
  std::int64_t bytes = 0;
  world.recv(exec, Tensor::of(&bytes, {1}), peer).wait(exec);
  std::string text(static_cast<std::size_t>(bytes), '\0');
  if (bytes > 0) world.recv(exec, of_text(text), peer).wait(exec);
  return text;
}

}  // namespace

void agree(const Exec& exec, Communicator& world, FunctionRef<void()> body) {
  const std::optional<Error> failure = failure_of(body);
  std::int64_t failed = failure ? world.rank() : world.size();
  world.all_reduce(exec, {.x = Tensor::of(&failed, {1}), .reduction = Reduction::min}).wait(exec);
  if (failed == world.size()) return;
  const int root = static_cast<int>(failed);
  auto exit = static_cast<std::int64_t>(failure ? failure->exit() : Exit::internal);
  world.broadcast(exec, {.x = Tensor::of(&exit, {1}), .root = root}).wait(exec);
  std::string text = failure ? failure->what() : "";
  broadcast_text(exec, world, text, root);
  throw Error(static_cast<Exit>(exit), world.size() > 1 ? cat("rank ", root, ": ", text) : text);
}

void broadcast_text(const Exec& exec, Communicator& world, std::string& text, int root) {
  auto bytes = static_cast<std::int64_t>(text.size());
  world.broadcast(exec, {.x = Tensor::of(&bytes, {1}), .root = root}).wait(exec);
  text.resize(static_cast<std::size_t>(bytes));
  if (bytes > 0) world.broadcast(exec, {.x = of_text(text), .root = root}).wait(exec);
}

void join_on_first(const Exec& exec, Communicator& world, std::string& text,
                   FunctionRef<void(std::string& lower, const std::string& higher)> join) {
  const int rank = world.rank();
  for (int stride = 1; stride < world.size(); stride *= 2) {
    if (rank % (2 * stride) != 0) {
      send_text(exec, world, text, rank - stride);
      text.clear();
      return;
    }
    if (rank + stride < world.size()) join(text, receive_text(exec, world, rank + stride));
  }
}

void bring_texts_to_first(const Exec& exec, Communicator& world, std::string& text,
                          FunctionRef<void(const std::string&)> use) {
  if (world.rank() != 0) return send_text(exec, world, text, 0);
  use(text);
  for (int rank = 1; rank < world.size(); ++rank) use(receive_text(exec, world, rank));
}

}  // namespace drover
