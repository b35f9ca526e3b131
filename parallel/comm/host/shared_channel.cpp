#include "parallel/comm/host/shared_channel.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <random>

namespace drover {

namespace {

constexpr std::int64_t kPage = 4096;

std::uint64_t random_word() {
  std::random_device source;
  return (static_cast<std::uint64_t>(source()) << 32) | source();
}

}  // namespace

SharedSeat::SharedSeat() : memory_(SharedMemory::make(kBytes)), probe_(random_word()) {
  static_assert(sizeof(State) <= kBytes);
  if (memory_.none()) {
    own_ = std::make_unique<State>();
    state_ = own_.get();
  } else {
    state_ = new (memory_.data()) State;
  }
  allow_reading_this_process();
}

std::byte* SharedSeat::map_heap(const SharedMemory::Handle& heap) {
  if (heap == heap_.memory().handle()) return heap_.memory().data();
  const auto known = std::find_if(mapped_.begin(), mapped_.end(),
                                  [&](const MappedHeap& mapped) { return mapped.handle == heap; });
  if (known != mapped_.end()) return known->memory.data();
  mapped_.push_back({.handle = heap, .memory = SharedMemory::open(heap, SharedHeap::range_bytes())});
  return mapped_.back().memory.data();
}

// What a rank tells the others of itself when a channel is made.
struct SharedChannel::Introduction {
  std::uint64_t probe = 0, probe_address = 0;
  std::int32_t process = 0;
  SharedMemory::Handle seat, heap, memory;
  bool willing = false;
};

// How far a rank gets with what the others told it. The least of all ranks' holds for all.
enum class SharedChannel::Reach : char { nothing, memory, heaps };

SharedChannel::SharedChannel(int rank, int size, SharedSeat& seat, HostMemory& memory)
    : rank_(rank),
      size_(size),
      seat_(seat),
      peers_(size),
      scratch_(memory, size * kReadAtOnce, MemoryCategory::communication),
      parts_(size),
      copies_(size - 1),
      reduction_(size) {}

std::int64_t SharedChannel::posts_bytes(int size) {
  const std::int64_t bytes = size * kWindow * static_cast<std::int64_t>(sizeof(Post));
  return (bytes + kPage - 1) / kPage * kPage;
}

std::int64_t SharedChannel::bytes_for(int size) { return posts_bytes(size) + size * kStaging; }

SharedChannel::Post& SharedChannel::post_of(int rank, std::int64_t sequence) const {
  return reinterpret_cast<Post*>(memory_.data())[rank * kWindow + sequence % kWindow];
}

std::byte* SharedChannel::staging_of(int rank) const {
  return memory_.data() + posts_bytes(size_) + rank * kStaging;
}

std::unique_ptr<SharedChannel> SharedChannel::connect(int rank, int size, SharedSeat& seat,
                                                      HostMemory& memory, Gather gather) {
  std::unique_ptr<SharedChannel> channel(new SharedChannel(rank, size, seat, memory));
  Introduction mine{.probe = seat.probe(),
                    .probe_address = reinterpret_cast<std::uint64_t>(seat.probe_address()),
                    .process = this_process(),
                    .seat = seat.memory().handle(),
                    .heap = seat.heap().memory().handle(),
                    .willing = !seat.memory().none()};
  if (rank == 0) {
    channel->memory_ = SharedMemory::make(bytes_for(size));
    mine.memory = channel->memory_.handle();
    mine.willing &= !channel->memory_.none();
    for (int post = 0; mine.willing && post < size * kWindow; ++post) new (&channel->post_of(0, post)) Post;
  }
  std::vector<Introduction> all(size);
  gather(&mine, all.data(), sizeof(Introduction));
  const Reach reached = channel->reach(all);
  std::vector<Reach> all_reached(size);
  gather(&reached, all_reached.data(), sizeof(Reach));
  channel->memory_.close_descriptor();
  const Reach least = *std::min_element(all_reached.begin(), all_reached.end());
  channel->heaps_ = least == Reach::heaps;
  return least == Reach::nothing ? nullptr : std::move(channel);
}

SharedChannel::Reach SharedChannel::reach(const std::vector<Introduction>& all) {
  if (!reach_seats(all)) return Reach::nothing;
  if (rank_ != 0) memory_ = SharedMemory::open(all[0].memory, bytes_for(size_));
  if (memory_.none()) return Reach::nothing;
  bool all_heaps = true;
  for (int rank = 0; rank < size_; ++rank) {
    peers_[rank].heap = seat_.map_heap(all[rank].heap);
    all_heaps &= peers_[rank].heap != nullptr;
  }
  return all_heaps ? Reach::heaps : Reach::memory;
}

bool SharedChannel::reach_seats(const std::vector<Introduction>& all) {
  for (int rank = 0; rank < size_; ++rank) {
    const Introduction& other = all[rank];
    std::uint64_t probe = 0;
    if (!other.willing || !read_process(other.process, other.probe_address, &probe, sizeof(probe)) ||
        probe != other.probe)
      return false;
    Peer& peer = peers_[rank];
    peer.process = other.process;
    peer.seat_memory = SharedMemory::open(other.seat, SharedSeat::kBytes);
    if (peer.seat_memory.none()) return false;
    peer.seat = reinterpret_cast<SharedSeat::State*>(peer.seat_memory.data());
  }
  return true;
}

bool SharedChannel::has(int rank, Number Post::*number, std::int64_t sequence) const {
  const Number& reached = post_of(rank, sequence).*number;
  return reached.load(std::memory_order_acquire) > static_cast<std::uint64_t>(sequence);
}

bool SharedChannel::all_have(Number Post::*number, std::int64_t sequence) const {
  for (int rank = 0; rank < size_; ++rank)
    if (!has(rank, number, sequence)) return false;
  return true;
}

std::vector<int> SharedChannel::not_yet(Step step, std::int64_t sequence) const {
  Number Post::*const number = step == Step::posted    ? &Post::posted
                               : step == Step::reduced ? &Post::reduced
                                                       : &Post::finished;
  std::vector<int> ranks;
  for (int rank = 0; rank < size_; ++rank)
    if (rank != rank_ && !has(rank, number, sequence)) ranks.push_back(rank);
  return ranks;
}

void SharedChannel::tell(Number Post::*number, std::int64_t sequence) {
  (post_of(rank_, sequence).*number)
      .store(static_cast<std::uint64_t>(sequence) + 1, std::memory_order_release);
  for (int rank = 0; rank < size_; ++rank) {
    if (rank != rank_) peers_[rank].seat->bell.ring();
  }
}

bool SharedChannel::all_posted(std::int64_t sequence) const { return all_have(&Post::posted, sequence); }
bool SharedChannel::all_reduced(std::int64_t sequence) const { return all_have(&Post::reduced, sequence); }
bool SharedChannel::all_finished(std::int64_t sequence) const { return all_have(&Post::finished, sequence); }
void SharedChannel::set_reduced(std::int64_t sequence) { tell(&Post::reduced, sequence); }
void SharedChannel::set_finished(std::int64_t sequence) { tell(&Post::finished, sequence); }

// The lowest gap between what is still staged, so that the same few pages are used again and again. Half a page
// away from the source's place in its page: glibc's copies crawl on Zen where the two places nearly coincide.
std::byte* SharedChannel::stage(std::int64_t sequence, std::int64_t bytes, const void* source) {
  for (Staged& other : staged_) {
    if (other.sequence >= 0 && all_finished(other.sequence)) other = {};
  }
  const std::int64_t length = Arena::aligned(bytes) + kPage;
  Staged candidate{.sequence = sequence, .begin = 0, .end = length};
  const auto overlaps = [&](const Staged& other) {
    return other.sequence >= 0 && other.begin < candidate.end && candidate.begin < other.end;
  };
  const auto next_overlap = [&] { return std::find_if(staged_.begin(), staged_.end(), overlaps); };
  for (auto other = next_overlap(); other != staged_.end(); other = next_overlap()) {
    candidate.begin = other->end;
    candidate.end = candidate.begin + length;
  }
  if (candidate.end > kStaging) return nullptr;
  const auto place = reinterpret_cast<std::intptr_t>(source) + kPage / 2;
  candidate.data = candidate.begin + (place - candidate.begin) % kPage;
  staged_[sequence % kWindow] = candidate;
  return staging_of(rank_) + candidate.data;
}

void SharedChannel::post(std::int64_t sequence, const CallHeader& header, const Place& place) {
  Post& mine = post_of(rank_, sequence);
  const Staged& staged = staged_[sequence % kWindow];
  mine.header = header;
  mine.data = reinterpret_cast<std::uint64_t>(place.data);
  mine.offsets = reinterpret_cast<std::uint64_t>(place.offsets);
  mine.staged = staged.sequence == sequence ? staged.data : -1;
  mine.heap = heaps_ ? seat_.heap().offset_of(place.data) : -1;
  tell(&Post::posted, sequence);
}

bool SharedChannel::calls_agree(std::int64_t sequence) const {
  CallHeader sum{};
  for (int rank = 0; rank < size_; ++rank) {
    const CallHeader& header = post_of(rank, sequence).header;
    for (std::size_t word = 0; word < sum.size(); ++word) sum[word] += header[word];
  }
  return headers_agree(post_of(rank_, sequence).header, sum, size_);
}

const std::byte* SharedChannel::staged(int rank, std::int64_t sequence, std::int64_t offset) const {
  const std::int64_t begin = post_of(rank, sequence).staged;
  return begin < 0 ? nullptr : staging_of(rank) + begin + offset;
}

std::byte* SharedChannel::in_heap(int rank, std::int64_t sequence, std::int64_t offset) const {
  const std::int64_t begin = post_of(rank, sequence).heap;
  return begin < 0 ? nullptr : peers_[rank].heap + begin + offset;
}

bool SharedChannel::all_in_heaps(std::int64_t sequence) const {
  for (int rank = 0; rank < size_; ++rank) {
    const Post& post = post_of(rank, sequence);
    if (post.heap < 0 || post.staged >= 0) return false;
  }
  return true;
}

bool SharedChannel::is_leaving(int rank) const { return peers_[rank].seat->leaving.load() != 0; }

bool SharedChannel::unstaged_stay(std::int64_t sequence) const {
  for (int rank = 0; rank < size_; ++rank)
    if (post_of(rank, sequence).staged < 0 && is_leaving(rank)) return false;
  return true;
}

bool SharedChannel::read(int rank, std::uint64_t address, std::int64_t bytes, void* to) const {
  return read_process(peers_[rank].process, address, to, bytes) && !is_leaving(rank);
}

bool SharedChannel::copy(int rank, std::int64_t sequence, std::int64_t offset, std::int64_t bytes,
                         void* to) const {
  const std::byte* const near = staged(rank, sequence, offset);
  if (near == nullptr) return copy_unstaged(rank, sequence, offset, bytes, to);
  if (bytes > 0) std::memcpy(to, near, static_cast<std::size_t>(bytes));
  return true;
}

bool SharedChannel::copy_unstaged(int rank, std::int64_t sequence, std::int64_t offset, std::int64_t bytes,
                                  void* to) const {
  if (bytes == 0) return true;
  const std::byte* const near = in_heap(rank, sequence, offset);
  if (near == nullptr)
    return read(rank, post_of(rank, sequence).data + static_cast<std::uint64_t>(offset), bytes, to);
  std::memcpy(to, near, static_cast<std::size_t>(bytes));
  return !is_leaving(rank);
}

bool SharedChannel::copy_offset(int rank, std::int64_t sequence, int index, std::int64_t& offset) const {
  const std::uint64_t address = post_of(rank, sequence).offsets + index * sizeof(offset);
  return read(rank, address, sizeof(offset), &offset);
}

}  // namespace drover
