#include "parallel/comm/local/group.h"

#include <sched.h>

#include <algorithm>

namespace drover {

std::string LocalMessage::describe() const {
  return sends ? cat("send of ", tensor.describe(), " to rank ", destination)
               : cat("receive of ", tensor.describe(), " from rank ", source);
}

LocalMessage* LocalMailbox::take_other_end(const LocalMessage& message) {
  for (LocalMessage** link = &first_; *link != nullptr; link = &(*link)->next) {
    LocalMessage* candidate = *link;
    if (candidate->source != message.source || candidate->sends == message.sends) continue;
    *link = candidate->next;
    return candidate;
  }
  return nullptr;
}

void LocalMailbox::post(LocalMessage& message) {
  LocalMessage* other = nullptr;
  {
    const std::lock_guard lock(mutex_);
    other = take_other_end(message);
    if (other == nullptr) {
      message.next = nullptr;
      message.state = LocalMessage::State::posted;
      LocalMessage** link = &first_;
      while (*link != nullptr) link = &(*link)->next;
      *link = &message;
      return;
    }
    other->state = LocalMessage::State::moving;
  }
  const Tensor& from = message.sends ? message.tensor : other->tensor;
  const Tensor& to = message.sends ? other->tensor : message.tensor;
  LocalMessage::State result = LocalMessage::State::done;
  const bool shapes = from.data == nullptr && to.data == nullptr;
  if (from.dtype != to.dtype || from.numel() != to.numel() ||
      (!shapes && from.numel() > 0 && (from.data == nullptr || to.data == nullptr))) {
    message.mismatch = other->mismatch = cat(message.describe(), " by rank ", other->peer(), " met ",
                                             other->describe(), " by rank ", message.peer());
    result = LocalMessage::State::mismatch;
  } else if (!shapes) {
    move_elements(from, to);
  }
  message.state = result;
  other->state = result;  // from here on its owner may use it for another message
}

void LocalMailbox::withdraw(LocalMessage& message) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (message.state == LocalMessage::State::posted) {
      LocalMessage** link = &first_;
      while (*link != &message) link = &(*link)->next;
      *link = message.next;
      message.state = LocalMessage::State::collected;
    }
  }
  while (message.state == LocalMessage::State::moving) sched_yield();
}

LocalGroup::LocalGroup(std::shared_ptr<LocalWorld> world, std::vector<int> members)
    : world_(std::move(world)), members_(std::move(members)), mailboxes_(new LocalMailbox[members_.size()]) {}

// Ranks that start and wait in the same order have at most 2 n cells alive when each has at most n: those
// that the slowest rank has not released, and those that the fastest has started but cannot complete before
// the slowest starts them. So which rank is ahead, which is the scheduler's choice, never makes another cell.
void LocalGroup::make_cells(int in_flight) {
  for (std::size_t wanted = 2 * in_flight; cells_.size() < wanted;) {
    cells_.push_back(std::make_unique<LocalCell>(*world_, members_));
    free_.reserve(cells_.size());
    live_.reserve(cells_.size());
    free_.push_back(cells_.back().get());
  }
}

LocalCell& LocalGroup::cell(std::int64_t sequence, int in_flight) {
  const std::lock_guard lock(mutex_);
  make_cells(in_flight);
  for (LocalCell* cell : live_) {
    if (cell->sequence() == sequence) return *cell;
  }
  if (free_.empty()) make_cells(static_cast<int>(cells_.size() / 2) + 1);
  LocalCell* cell = free_.back();
  free_.pop_back();
  cell->begin(sequence);
  live_.push_back(cell);
  return *cell;
}

void LocalGroup::release(LocalCell& cell) {
  if (!cell.release()) return;
  const std::lock_guard lock(mutex_);
  live_.erase(std::find(live_.begin(), live_.end(), &cell));
  free_.push_back(&cell);
}

void LocalGroup::regroup(LocalCell& cell) const {
  std::vector<int> order(size());
  for (int rank = 0; rank < size(); ++rank) order[rank] = rank;
  const auto place = [&](int rank) { return std::tuple(cell.of(rank).color, cell.of(rank).key, rank); };
  std::sort(order.begin(), order.end(), [&](int a, int b) { return place(a) < place(b); });
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    const int color = cell.of(order[begin]).color;
    std::vector<int> members;
    for (end = begin; end < order.size() && cell.of(order[end]).color == color; ++end) {
      members.push_back(members_[order[end]]);
    }
    if (color < 0) continue;
    const auto group = std::make_shared<LocalGroup>(world_, std::move(members));
    for (std::size_t place_in_group = begin; place_in_group < end; ++place_in_group) {
      cell.of(order[place_in_group]).new_group = group;
      cell.of(order[place_in_group]).new_rank = static_cast<int>(place_in_group - begin);
    }
  }
}

}  // namespace drover
