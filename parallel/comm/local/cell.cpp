#include "parallel/comm/local/cell.h"

#include <sched.h>

#include <algorithm>

namespace drover {

namespace {

// Small enough for the pieces of 8 ranks to stay in a core's second-level cache between the sum and the
// copies.
constexpr std::int64_t kItemBytes = 64 << 10;

class Running {
 public:
  explicit Running(std::atomic<int>& count) : count_(count) { count_.fetch_add(1); }
  ~Running() { count_.fetch_sub(1); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  std::atomic<int>& count_;
};

}  // namespace

LocalCell::LocalCell(LocalWorld& world, const std::vector<int>& members)
    : world_(world), members_(members), collectives_(new LocalCollective[members.size()]) {
  first_item_.reserve(members.size() + 1);
  for (int rank = 0; rank < size(); ++rank) of(rank).call.reserve(size());
}

void LocalCell::begin(std::int64_t sequence) {
  sequence_ = sequence;
  state_ = State::collecting;
  arrived_ = released_ = 0;
  next_item_ = finished_items_ = 0;
  items_ = 0;
  for (int rank = 0; rank < size(); ++rank) of(rank).started = false;
}

bool LocalCell::arrive(int rank) {
  of(rank).started = true;
  return arrived_.fetch_add(1) + 1 == size();
}

bool LocalCell::calls_match() {
  std::uint64_t balance = 0;
  Content content = Content::either;
  for (int rank = 0; rank < size(); ++rank) {
    const CollectiveCall& call = of(rank).call;
    const bool mixed =
        content != Content::either && call.content() != Content::either && call.content() != content;
    if (mixed || call.signature() != of(0).call.signature()) {
      mismatch_ = cat("rank 0 called ", of(0).call.describe(), ", rank ", rank, " called ", call.describe(),
                      mixed ? " and only one of the two has memory" : "");
      return false;
    }
    content = std::max(content, call.content());
    balance += call.exchange_balance(rank);
  }
  if (balance != 0)
    mismatch_ = "the counts that ranks send are not those that the others expect in all_to_all_v";
  return balance == 0;
}

void LocalCell::fail() { finish(State::mismatch); }

void LocalCell::finish(State state) {
  state_ = state;
  for (const int member : members_) world_.bell(member).ring();
}

void LocalCell::open() {
  plan_items();
  finish(items_ == 0 ? State::done : State::open);
}

std::int64_t LocalCell::part_length(int part) const {
  const CollectiveCall& call = collectives_[0].call;
  switch (call.verb()) {
    case Verb::all_reduce:
    case Verb::broadcast:
      return part == 0 && size() > 1 ? call.in().numel() : 0;
    case Verb::all_gather:
      return call.out_count(part);
    case Verb::reduce_scatter:
      return call.in_count(part);
    case Verb::all_to_all:
      return collectives_[part].call.in().numel();
    case Verb::barrier:
    case Verb::split:
      return 0;
  }
  return 0;
}

void LocalCell::plan_items() {
  Content content = Content::either;
  for (int rank = 0; rank < size(); ++rank) content = std::max(content, of(rank).call.content());
  const std::int64_t elements = kItemBytes / size_of(of(0).call.dtype());
  first_item_.assign(1, 0);
  for (int part = 0; part < size(); ++part) {
    const std::int64_t length = content == Content::real ? part_length(part) : 0;
    const std::int64_t items = (length + elements - 1) / elements;
    // What a rank sends to all others is one item: its pieces have a size for each.
    first_item_.push_back(first_item_.back() +
                          (verb() == Verb::all_to_all ? std::min<std::int64_t>(items, 1) : items));
  }
  items_ = first_item_.back();
}

LocalCell::Item LocalCell::item_of(std::int64_t index) const {
  const auto next = std::upper_bound(first_item_.begin(), first_item_.end(), index);
  const int part = static_cast<int>(next - first_item_.begin()) - 1;
  const std::int64_t elements = kItemBytes / size_of(collectives_[0].call.dtype());
  const std::int64_t begin = (index - first_item_[part]) * elements;
  return {{begin, std::min(begin + elements, part_length(part))}, part};
}

// A rank that fails leaves with its buffers once running_ is 0 after it saw the abort. Whoever comes later
// counts itself first and then sees the abort too, because both are sequentially consistent.
void LocalCell::run_items(const Exec& exec, LocalWorker& worker) {
  const Running running(running_);
  while (!world_.aborted()) {
    const std::int64_t index = next_item_.fetch_add(1);
    if (index >= items_) return;
    run_item(exec, worker, item_of(index));
    if (finished_items_.fetch_add(1) + 1 == items_) finish(State::done);
  }
}

void LocalCell::quiesce() const noexcept {
  while (running_.load() > 0) sched_yield();
}

std::vector<int> LocalCell::missing() const {
  std::vector<int> ranks;
  for (int rank = 0; rank < size(); ++rank) {
    if (!collectives_[rank].started) ranks.push_back(members_[rank]);
  }
  return ranks;
}

void LocalCell::run_item(const Exec& exec, LocalWorker& worker, const Item& item) {
  switch (verb()) {
    case Verb::all_reduce:
      return reduce(exec, worker, item);
    case Verb::reduce_scatter:
      return reduce_and_scatter(exec, worker, item);
    case Verb::all_gather:
      return gather(item);
    case Verb::all_to_all:
      return exchange(item.part);
    case Verb::broadcast: {
      const int root = of(0).call.root();
      const Tensor from = flat_piece(of(root).call.in(), item.begin, item.end);
      for (int rank = 0; rank < size(); ++rank)
        move_elements(from, flat_piece(of(rank).call.out(), item.begin, item.end));
      return;
    }
    case Verb::barrier:
    case Verb::split:
      return;
  }
}

void LocalCell::reduce(const Exec& exec, LocalWorker& worker, const Item& item) {
  for (int rank = 0; rank < size(); ++rank)
    worker.parts[rank] = flat_piece(of(rank).call.in(), item.begin, item.end);
  const Tensor& result = worker.parts[0];
  worker.reduction.run(exec, of(0).call.reduction(), worker.parts, result);
  for (int rank = 1; rank < size(); ++rank) move_elements(result, worker.parts[rank]);
}

void LocalCell::reduce_and_scatter(const Exec& exec, LocalWorker& worker, const Item& item) {
  const CollectiveCall& owner = of(item.part).call;
  const std::int64_t offset = owner.in_offsets()[item.part];
  for (int rank = 0; rank < size(); ++rank) {
    worker.parts[rank] = flat_piece(of(rank).call.in(), offset + item.begin, offset + item.end);
  }
  worker.reduction.run(exec, owner.reduction(), worker.parts, flat_piece(owner.out(), item.begin, item.end));
}

void LocalCell::gather(const Item& item) {
  const CollectiveCall& source = of(item.part).call;
  const std::int64_t offset = source.out_offsets()[item.part];
  const Tensor from = flat_piece(source.in(), item.begin, item.end);
  for (int rank = 0; rank < size(); ++rank) {
    move_elements(from, flat_piece(of(rank).call.out(), offset + item.begin, offset + item.end));
  }
}

void LocalCell::exchange(int source) {
  const CollectiveCall& from = of(source).call;
  for (int rank = 0; rank < size(); ++rank) {
    const CollectiveCall& to = of(rank).call;
    move_elements(flat_piece(from.in(), from.in_offsets()[rank], from.in_offsets()[rank + 1]),
                  flat_piece(to.out(), to.out_offsets()[source], to.out_offsets()[source + 1]));
  }
}

}  // namespace drover
