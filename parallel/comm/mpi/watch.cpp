#include "parallel/comm/mpi/watch.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <thread>

#include "core/base/error.h"

namespace drover {

namespace {

constexpr int kLifeTag = 77, kNewsTag = 78;  // of the world's messages, which nothing else uses
constexpr int kTellsInSilence = 6;
constexpr std::chrono::milliseconds kLongestInterval{1000};
using HostName = std::array<char, 64>;

}  // namespace

struct MpiWatch::Messages {
  MPI_Request from_behind = MPI_REQUEST_NULL, to_before = MPI_REQUEST_NULL;
  int heard = 0, told = 0;  // 1 in the last message, otherwise 0
  MPI_Request news = MPI_REQUEST_NULL;
  int lost_by_news = -1, lost = -1;
};

MpiWatch::MpiWatch(Deadlines::Duration silence)
    : silence_(silence), interval_(std::min(kLongestInterval, silence / kTellsInSilence)) {
  HostName host{};
  gethostname(host.data(), host.size() - 1);
  host_ = host.data();
}

MpiWatch::~MpiWatch() = default;

void MpiWatch::start(Ring ring) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  gather_hosts();
  rank_ = rank;
  if (ring == Ring::left_alone || size_ == 1) return;
  messages_ = std::make_unique<Messages>();
  heard_ = looked_ = Clock::now();
  listen();
  MPI_Irecv(&messages_->lost_by_news, 1, MPI_INT, MPI_ANY_SOURCE, kNewsTag, MPI_COMM_WORLD, &messages_->news);
}

void MpiWatch::gather_hosts() {
  HostName mine{};
  host_.copy(mine.data(), mine.size() - 1);
  std::vector<HostName> all(static_cast<std::size_t>(size_));
  constexpr int kBytes = static_cast<int>(sizeof(HostName));
  MPI_Allgather(mine.data(), kBytes, MPI_BYTE, all.data(), kBytes, MPI_BYTE, MPI_COMM_WORLD);
  for (const HostName& host : all) hosts_.emplace_back(host.data());
}

void MpiWatch::listen() {
  MPI_Irecv(&messages_->heard, 1, MPI_INT, (rank_ + 1) % size_, kLifeTag, MPI_COMM_WORLD,
            &messages_->from_behind);
}

void MpiWatch::hear(Clock::time_point now) {
  for (int arrived = 1; arrived != 0 && !behind_left_;) {
    MPI_Test(&messages_->from_behind, &arrived, MPI_STATUS_IGNORE);
    if (arrived == 0) return;
    heard_ = now;
    behind_left_ = messages_->heard != 0;
    if (!behind_left_) listen();
  }
}

// The one before may be stopped itself and take nothing: then no more is sent to it.
void MpiWatch::tell(Clock::time_point now, bool last) {
  int sent = 0;
  MPI_Test(&messages_->to_before, &sent, MPI_STATUS_IGNORE);
  if (sent == 0 || told_last_ || (!last && now - told_ < interval_)) return;
  told_ = now;
  told_last_ = last;
  messages_->told = last ? 1 : 0;
  MPI_Isend(&messages_->told, 1, MPI_INT, (rank_ + size_ - 1) % size_, kLifeTag, MPI_COMM_WORLD,
            &messages_->to_before);
}

void MpiWatch::look(Clock::time_point now) {
  if (messages_ == nullptr || now - looked_ < interval() / 2) return;
  // This process did not run itself, for example because all of the job was stopped and goes on.
  if (now - looked_ > silence_ / 2) heard_ = now;
  looked_ = now;
  hear_news();
  hear(now);
  tell(now, false);
  if (!behind_left_ && now - heard_ > silence_) find_lost((rank_ + 1) % size_);
}

void MpiWatch::hear_news() {
  int arrived = 0;
  if (lost() < 0) MPI_Test(&messages_->news, &arrived, MPI_STATUS_IGNORE);
  // This process was stopped itself, the others have given it up, and a new attempt may already run: it must not write
  // anything any more.
  if (arrived != 0 && messages_->lost_by_news == rank_) std::_Exit(static_cast<int>(Exit::lost));
  if (arrived != 0) find_lost(messages_->lost_by_news);
}

// The first that is found stands. What is sent here nobody waits for: this process is about to end.
void MpiWatch::find_lost(int rank) {
  if (lost() >= 0) return;
  messages_->lost = rank;
  for (int step = 1; step < size_; step *= 2) {
    pass_on((rank_ + step) % size_);
    pass_on((rank_ + size_ - step) % size_);
  }
  lost_ = rank;
}

void MpiWatch::pass_on(int to) {
  MPI_Request sent = MPI_REQUEST_NULL;
  MPI_Isend(&messages_->lost, 1, MPI_INT, to, kNewsTag, MPI_COMM_WORLD, &sent);
  MPI_Request_free(&sent);
}

void MpiWatch::leave(FunctionRef<bool()> stop) {
  if (messages_ == nullptr) return;
  for (int sent = 0; lost() < 0 && !stop() && !(behind_left_ && told_last_ && sent != 0);) {
    look(Clock::now());
    hear(Clock::now());
    tell(Clock::now(), true);
    if (told_last_) MPI_Test(&messages_->to_before, &sent, MPI_STATUS_IGNORE);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (lost() >= 0) return;
  MPI_Cancel(&messages_->news);
  MPI_Wait(&messages_->news, MPI_STATUS_IGNORE);
}

std::string MpiWatch::here() const {
  const int rank = rank_;
  return rank < 0 ? cat("a rank on host ", host_) : cat("rank ", rank, " on host ", host_);
}

std::string MpiWatch::lost_text() const {
  const int rank = lost();
  return cat("lost rank ", rank, " on host ", hosts_.at(static_cast<std::size_t>(rank)),
             ": nothing was heard of it for ", seconds_text(silence_));
}

}  // namespace drover
