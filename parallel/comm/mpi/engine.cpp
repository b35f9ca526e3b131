#include "parallel/comm/mpi/engine.h"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <future>

namespace drover {

namespace {

constexpr std::int64_t kLargestMessage = 1 << 30;  // MPI counts are ints
constexpr int kSpinPasses = 100, kYieldPasses = 400;
// Between polls while nothing moves: a share of how long nothing has moved, so that a long wait costs little
// processor time and is prolonged by little.
constexpr std::chrono::microseconds kShortestNap{50}, kLongestNap{1000};
constexpr int kWaitsPerNap = 64;
constexpr std::chrono::milliseconds kRankZeroFirst{300};

std::string text_of(int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return std::string(text, length);
}

void check(int code, const char* what) {
  if (code != MPI_SUCCESS) throw CommError(cat(what, ": ", text_of(code)), -1, -1);
}

}  // namespace

struct MpiContext {
  MPI_Comm collectives = MPI_COMM_NULL, messages = MPI_COMM_NULL;
  int rank = 0, size = 1;
  MpiEngine* engine = nullptr;
  std::unique_ptr<SharedChannel> channel{};
};

struct MpiRequests {
  std::vector<MPI_Request> requests;
  std::vector<MPI_Status> statuses;
  std::vector<std::int64_t> expected;  // bytes of a receive, -1 for a send

  void clear() {
    requests.clear();
    expected.clear();
  }
  MPI_Request* add(std::int64_t bytes) {
    expected.push_back(bytes);
    return &requests.emplace_back(MPI_REQUEST_NULL);
  }
};

struct MpiEngine::Call {
  FunctionRef<void()> work;
  std::exception_ptr failure{};
  std::atomic<bool> done{false};
};

MpiJob::MpiJob() : requests_(std::make_unique<MpiRequests>()) {}
MpiJob::~MpiJob() = default;

int MpiEngine::rank_of(const MpiContext& context) { return context.rank; }
int MpiEngine::size_of(const MpiContext& context) { return context.size; }
SharedChannel* MpiEngine::channel_of(const MpiContext& context) { return context.channel.get(); }

MpiEngine::MpiEngine(int* argc, char*** argv) {
  for (std::vector<MpiJob*>* jobs : {&submitted_, &taken_, &active_}) jobs->reserve(kJobsExpected);
  std::promise<void> promise;
  std::future<void> ready = promise.get_future();
  thread_ = std::thread([this, argc, argv, started = std::move(promise)]() mutable {
    try {
      start_mpi(argc, argv);
    } catch (...) {
      started.set_exception(std::current_exception());
      return;
    }
    started.set_value();
    serve();
    end_mpi();
  });
  try {
    ready.get();
  } catch (...) {
    thread_.join();
    throw;
  }
}

MpiEngine::~MpiEngine() {
  // The others still wait for what this rank will not do, so MPI's orderly end would hang.
  if (std::uncaught_exceptions() > 0) {
    frozen_ = true;
    seat_.leave();
  }
  stop_ = true;
  engine_bell_.ring();
  thread_.join();
}

// A program that has started MPI itself (a bench that compares) keeps it, and then must allow calls from two
// threads.
void MpiEngine::start_mpi(int* argc, char*** argv) {
  int provided = 0, initialized = 0;
  MPI_Initialized(&initialized);
  owns_mpi_ = initialized == 0;
  const int needed = owns_mpi_ ? MPI_THREAD_FUNNELED : MPI_THREAD_MULTIPLE;
  if (owns_mpi_)
    MPI_Init_thread(argc, argv, needed, &provided);
  else
    MPI_Query_thread(&provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &world_rank_);
  if (provided < needed) {
    throw usage_error("this MPI library allows calls from less threads (level ", provided,
                      ") than a progress thread needs (", needed, "); use an Open MPI built with threads");
  }
}

void MpiEngine::end_mpi() noexcept {
  if (abort_ || frozen_) MPI_Abort(MPI_COMM_WORLD, static_cast<int>(abort_exit_.load()));
  if (owns_mpi_) MPI_Finalize();
}

void MpiEngine::serve() {
  for (int idle = 0; !stop_ && !abort_;) {
    const std::uint32_t seen = engine_bell_.read();
    if (frozen_) {
      freeze_seen_ = true;
      engine_bell_.wait(seen, std::chrono::seconds(1));
      continue;
    }
    const bool moved = take_submissions() | advance_all();
    idle = moved ? 0 : idle + 1;
    if (!moved) rest(idle, seen);
  }
}

void MpiEngine::rest(int idle_passes, std::uint32_t seen) {
  if (active_.empty()) {
    engine_bell_.wait(seen, std::chrono::seconds(1));
  } else if (idle_passes < kSpinPasses) {
    pause_processor();
  } else if (idle_passes < kYieldPasses) {
    sched_yield();
  } else {
    const auto now = std::chrono::steady_clock::now();
    if (idle_passes == kYieldPasses) idle_since_ = now;
    const auto share =
        std::chrono::duration_cast<std::chrono::microseconds>((now - idle_since_) / kWaitsPerNap);
    engine_bell_.sleep(seen, std::clamp(share, kShortestNap, kLongestNap));
  }
}

bool MpiEngine::take_submissions() {
  {
    const std::lock_guard lock(mutex_);
    std::swap(taken_, submitted_);
  }
  const bool any = !taken_.empty();
  for (MpiJob* job : taken_) {
    active_.push_back(job);
    post(*job);
  }
  taken_.clear();
  std::erase(active_, nullptr);
  run_calls();
  return any;
}

void MpiEngine::run_calls() {
  for (;;) {
    Call* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (calls_.empty()) return;
      next = calls_.front();
      calls_.erase(calls_.begin());
    }
    try {
      next->work();
    } catch (...) {
      next->failure = std::current_exception();
    }
    next->done = true;
    bell().ring();
  }
}

void MpiEngine::call(FunctionRef<void()> work) {
  Call mine{.work = work};
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back(&mine);
  }
  engine_bell_.ring();
  for (;;) {
    const std::uint32_t seen = bell().read();
    if (mine.done) break;
    bell().wait(seen, std::chrono::seconds(1));
  }
  if (mine.failure) std::rethrow_exception(mine.failure);
}

void MpiEngine::submit(MpiJob& job) {
  job.phase_ = job.has_header ? 0 : 1;
  job.state_ = MpiJob::State::running;
  {
    const std::lock_guard lock(mutex_);
    submitted_.push_back(&job);
  }
  engine_bell_.ring();
}

bool MpiEngine::advance_all() {
  bool moved = false;
  for (MpiJob* job : active_) moved |= advance(*job);
  if (moved) std::erase(active_, nullptr);
  return moved;
}

void MpiEngine::end(MpiJob& job, MpiJob::State state, std::string error) {
  std::replace(active_.begin(), active_.end(), &job, static_cast<MpiJob*>(nullptr));
  job.error_ = std::move(error);
  job.state_ = state;  // from here on its owner may submit it again
  bell().ring();
}

void MpiEngine::post(MpiJob& job) {
  try {
    job.requests_->clear();
    if (job.phase_ == 0)
      post_header(job);
    else
      post_transfers(job, job.phase_ - 1);
  } catch (const CommError& failure) {
    end(job, MpiJob::State::failed, failure.what());
  }
}

void MpiEngine::post_header(MpiJob& job) {
  check(MPI_Iallreduce(job.header.data(), job.header_sum_.data(), static_cast<int>(job.header.size()),
                       MPI_UINT64_T, MPI_SUM, job.context->collectives, job.requests_->add(-1)),
        "MPI_Iallreduce");
}

void MpiEngine::post_transfers(MpiJob& job, int stage) {
  const bool message = job.kind == MpiJob::Kind::message;
  const MPI_Comm comm = message ? job.context->messages : job.context->collectives;
  for (const MpiTransfer& transfer : job.transfers) {
    if (transfer.stage != stage) continue;
    std::int64_t left = transfer.bytes;
    char* data = static_cast<char*>(transfer.data);
    do {  // a message without bytes is a message too
      const int bytes = static_cast<int>(std::min(left, kLargestMessage));
      if (transfer.way == MpiTransfer::Way::receive) {
        check(MPI_Irecv(data, bytes, MPI_BYTE, transfer.peer, message ? MPI_ANY_TAG : job.tag, comm,
                        job.requests_->add(bytes)),
              "MPI_Irecv");
      } else if (message) {
        check(MPI_Issend(data, bytes, MPI_BYTE, transfer.peer, job.tag, comm, job.requests_->add(-1)),
              "MPI_Issend");
      } else {
        check(MPI_Isend(data, bytes, MPI_BYTE, transfer.peer, job.tag, comm, job.requests_->add(-1)),
              "MPI_Isend");
      }
      data += bytes;
      left -= bytes;
    } while (left > 0);
  }
}

namespace {

// Empty when everything received is what was expected.
std::string received_wrongly(const MpiJob& job, const MpiRequests& all) {
  for (std::size_t i = 0; i < all.requests.size(); ++i) {
    if (all.expected[i] < 0) continue;
    int bytes = 0;
    MPI_Get_count(&all.statuses[i], MPI_BYTE, &bytes);
    if (bytes != all.expected[i])
      return cat("got ", bytes, " bytes where ", all.expected[i], " were expected");
    if (job.kind == MpiJob::Kind::message && all.statuses[i].MPI_TAG != job.tag)
      return "got another dtype than expected";
  }
  return {};
}

std::string failure_text(int code, const MpiRequests& all) {
  if (code != MPI_ERR_IN_STATUS) return text_of(code);
  for (const MPI_Status& status : all.statuses) {
    if (status.MPI_ERROR != MPI_SUCCESS && status.MPI_ERROR != MPI_ERR_PENDING)
      return text_of(status.MPI_ERROR);
  }
  return text_of(code);
}

}  // namespace

bool MpiEngine::advance(MpiJob& job) {
  MpiRequests& all = *job.requests_;
  all.statuses.resize(all.requests.size());
  int done = 0;
  const int code =
      MPI_Testall(static_cast<int>(all.requests.size()), all.requests.data(), &done, all.statuses.data());
  if (code != MPI_SUCCESS) {
    end(job, MpiJob::State::failed, failure_text(code, all));
    return true;
  }
  if (done == 0) return false;
  if (job.phase_ == 0 && !headers_agree(job.header, job.header_sum_, job.context->size)) {
    end(job, MpiJob::State::mismatch);
    return true;
  }
  if (std::string wrong = job.phase_ == 0 ? "" : received_wrongly(job, all); !wrong.empty()) {
    end(job, MpiJob::State::failed, std::move(wrong));
    return true;
  }
  ++job.phase_;
  const auto in_later_stage = [&](const MpiTransfer& transfer) { return transfer.stage + 1 >= job.phase_; };
  if (std::any_of(job.transfers.begin(), job.transfers.end(), in_later_stage)) {
    post(job);
  } else {
    end(job, MpiJob::State::done);
  }
  return true;
}

std::unique_ptr<MpiContext, void (*)(MpiContext*)> MpiEngine::world_context(HostPath path) {
  return split_context(MpiContext{.collectives = MPI_COMM_WORLD}, 0, 0, path);
}

namespace {

void set_up(MpiContext& context) {
  for (const MPI_Comm comm : {context.collectives, context.messages}) {
    check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  }
  MPI_Comm_rank(context.collectives, &context.rank);
  MPI_Comm_size(context.collectives, &context.size);
}

}  // namespace

void MpiEngine::connect(MpiContext& context) {
  const auto gather = [&](const void* mine, void* all, std::size_t bytes) {
    const int count = static_cast<int>(bytes);
    check(MPI_Allgather(mine, count, MPI_BYTE, all, count, MPI_BYTE, context.collectives), "MPI_Allgather");
  };
  context.channel = SharedChannel::connect(context.rank, context.size, seat_, memory_, gather);
  if (context.channel != nullptr && context.size > static_cast<int>(std::thread::hardware_concurrency()))
    patience_ = Doorbell::Patience::yield;
}

std::unique_ptr<MpiContext, void (*)(MpiContext*)> MpiEngine::split_context(const MpiContext& parent,
                                                                            int color, int key,
                                                                            HostPath path) {
  std::unique_ptr<MpiContext, void (*)(MpiContext*)> context(
      new MpiContext{.engine = this}, [](MpiContext* dying) { dying->engine->free_context(dying); });
  call([&] {
    const int mpi_color = color < 0 ? MPI_UNDEFINED : color;
    check(MPI_Comm_split(parent.collectives, mpi_color, key, &context->collectives), "MPI_Comm_split");
    if (context->collectives == MPI_COMM_NULL) return;
    check(MPI_Comm_dup(context->collectives, &context->messages), "MPI_Comm_dup");
    set_up(*context);
    if (context->size > 1 && path == HostPath::memory) connect(*context);
  });
  if (context->collectives == MPI_COMM_NULL) context.reset();
  return context;
}

void MpiEngine::free_context(MpiContext* context) noexcept {
  if (!frozen_ && std::uncaught_exceptions() == 0 && context->collectives != MPI_COMM_NULL) {
    call([context] {
      MPI_Comm_free(&context->messages);
      MPI_Comm_free(&context->collectives);
    });
  }
  delete context;
}

void MpiEngine::freeze() noexcept {
  frozen_ = true;
  seat_.leave();
  engine_bell_.ring();
  while (!freeze_seen_) sched_yield();
}

void MpiEngine::abort(const std::string& reason, Exit exit) noexcept {
  // What all ranks find wrong at the same time, rank 0 says for all.
  if (world_rank_ != 0) std::this_thread::sleep_for(kRankZeroFirst);
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", reason.c_str());
  std::fflush(stderr);
  abort_exit_ = exit;
  abort_ = true;
  engine_bell_.ring();
  // The progress thread calls MPI_Abort, which ends this process; unless it hangs inside MPI itself.
  sleep(2);
  _exit(static_cast<int>(exit));
}

std::string mpi_library() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string whole(text.data());
  return whole.substr(0, whole.find_first_of(",\n"));  // what follows is where and when it was built
}

}  // namespace drover
