// One collective of a LocalComm group, from the first rank's start to the last rank's release. Private to
// parallel/comm/local/.
//
// The work is cut into items by the sizes alone. Once all ranks have started, any rank that waits takes items
// until none is left, so a rank that computes before it waits holds nobody up, and which rank did an item
// never shows in the result.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "parallel/comm/collective.h"
#include "parallel/comm/local/world.h"

namespace drover {

class LocalComm;
class LocalGroup;

// A rank's part in a cell: what its Pending refers to.
class LocalCollective final : public Operation {
 public:
  void wait(const Exec& exec) override;
  void join() override;
  void abandon() noexcept override;
  void release() noexcept override;

  CollectiveCall call;
  std::optional<Exec> exec;  // what the operation was started with
  LocalComm* comm = nullptr;
  class LocalCell* cell = nullptr;
  std::atomic<bool> started{false};
  int color = 0, key = 0;                 // split: asked for ...
  std::shared_ptr<LocalGroup> new_group;  // ... and given
  int new_rank = -1;
};

// What a rank brings to run items with.
struct LocalWorker {
  std::vector<Tensor> parts;  // one per rank
  OrderedReduction reduction;
};

class LocalCell {
 public:
  enum class State : std::uint8_t { collecting, open, done, mismatch };

  LocalCell(LocalWorld& world, const std::vector<int>& members);

  int size() const { return static_cast<int>(members_.size()); }
  LocalCollective& of(int rank) { return collectives_[rank]; }
  State state() const { return state_.load(); }
  const std::string& mismatch() const { return mismatch_; }
  std::int64_t sequence() const { return sequence_; }

  void begin(std::int64_t sequence);
  // True for the rank that came last: it calls open() or fail(), which wake the others.
  bool arrive(int rank);
  bool calls_match();
  void open();
  void fail();
  // The work is at most what the last rank does at once when it starts, instead of waking others for it.
  bool small() const { return items_ <= 1; }
  void run_items(const Exec& exec, LocalWorker& worker);
  // After an abort: returns when no rank runs items, after which none will.
  void quiesce() const noexcept;
  // True for the last rank.
  bool release() { return released_.fetch_add(1) + 1 == size(); }
  std::vector<int> missing() const;  // ranks of the world that have not started it

 private:
  struct Item : Range {  // elements of the part
    int part;
  };
  std::int64_t part_length(int part) const;
  void plan_items();
  Item item_of(std::int64_t index) const;
  void run_item(const Exec& exec, LocalWorker& worker, const Item& item);
  void reduce(const Exec& exec, LocalWorker& worker, const Item& item);
  void reduce_and_scatter(const Exec& exec, LocalWorker& worker, const Item& item);
  void gather(const Item& item);
  void exchange(int source);
  void finish(State state);
  Verb verb() const { return collectives_[0].call.verb(); }

  LocalWorld& world_;
  const std::vector<int>& members_;  // world ranks
  std::unique_ptr<LocalCollective[]> collectives_;
  std::int64_t sequence_ = 0;
  std::atomic<State> state_{State::collecting};
  std::atomic<int> arrived_{0}, released_{0}, running_{0};
  std::atomic<std::int64_t> next_item_{0}, finished_items_{0};
  std::int64_t items_ = 0;
  std::vector<std::int64_t> first_item_;  // by part, and the end
  std::string mismatch_;
};

}  // namespace drover
