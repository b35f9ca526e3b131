#include "parallel/comm/mpi/engine.h"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "parallel/comm/host/voice.h"

namespace drover {

namespace {

constexpr std::int64_t kLargestMessage = 1 << 30;  // MPI counts are ints
constexpr int kSpinPasses = 100, kYieldPasses = 400;
// Between polls while nothing moves: a share of how long nothing has moved, so that a long wait costs little
// processor time and is prolonged by little.
constexpr std::chrono::microseconds kShortestNap{50}, kLongestNap{1000};
constexpr int kWaitsPerNap = 64;
constexpr std::chrono::milliseconds kRankZeroFirst{300};
constexpr int kPassesPerLook = 4096;  // of a progress thread that never rests
// Longer than a progress thread that does not hang takes for what it is asked.
constexpr std::chrono::seconds kAnswers{2};

std::string text_of(int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return std::string(text, length);
}

void check(int code, const char* what) {
  if (code != MPI_SUCCESS) throw CommError(cat(what, ": ", text_of(code)), -1);
}

}  // namespace

struct MpiContext {
  MPI_Comm collectives = MPI_COMM_NULL, messages = MPI_COMM_NULL;
  int rank = 0, size = 1;
  std::vector<int> world_ranks{};
  MpiEngine* engine = nullptr;
  std::unique_ptr<SharedChannel> channel{};
};

struct MpiRequests {
  std::vector<MPI_Request> requests;
  std::vector<MPI_Status> statuses;
  struct Expected {
    std::int64_t bytes;  // of a receive, -1 for a send
    int peer;            // of the group; -1: all of it
  };
  std::vector<Expected> expected;

  void clear() {
    requests.clear();
    expected.clear();
  }
  MPI_Request* add(std::int64_t bytes, int peer) {
    expected.push_back({bytes, peer});
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
int MpiEngine::world_rank_of(const MpiContext& context, int rank) { return context.world_ranks[rank]; }

MpiEngine::MpiEngine(int* argc, char*** argv, const Deadlines& deadlines)
    : deadlines_(deadlines), watch_(deadlines.silence()) {
  for (std::vector<MpiJob*>* jobs : {&submitted_, &taken_, &active_}) jobs->reserve(kJobsExpected);
  thread_ = std::thread([this, argc, argv] { live(argc, argv); });
  if (!await(deadlines_.joining(), [&] { return stage_ != Stage::starting; }))
    abort(cat("drover: ", watch_.here(), " waited ", seconds_text(deadlines_.joining()),
              " for MPI to start: another rank was "
              "not started, is stopped or cannot be reached; MPI does not say which"),
          Exit::lost);
  if (start_failure_ == nullptr) return;
  thread_.join();
  std::rethrow_exception(start_failure_);
}

MpiEngine::~MpiEngine() {
  // The others still wait for what this rank will not do, so MPI's orderly end would hang.
  if (std::uncaught_exceptions() > 0) {
    frozen_ = true;
    seat_.leave();
  }
  stop_ = true;
  engine_bell_.ring();
  if (!await(deadlines_.waiting(RunPhase::end), [&] { return stage_ >= Stage::finalizing; }) ||
      !await(deadlines_.joining(), [&] { return stage_ == Stage::ended; }))
    abort(cat("drover: ", watch_.here(), " waited too long for the other ranks at the end of the job"),
          Exit::lost);
  thread_.join();
}

void MpiEngine::live(int* argc, char*** argv) {
  try {
    start_mpi(argc, argv);
    move_to(Stage::serving);
    serve();
    end_mpi();
  } catch (...) {
    start_failure_ = std::current_exception();
  }
  move_to(Stage::ended);
}

void MpiEngine::move_to(Stage stage) {
  stage_ = stage;
  bell().ring();
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
  watch_.start(owns_mpi_ ? MpiWatch::Ring::watched : MpiWatch::Ring::left_alone);
}

void MpiEngine::end_mpi() noexcept {
  if (!abort_ && !frozen_) watch_.leave([&] { return abort_.load(); });
  if (!abort_ && !frozen_ && watch_.lost() >= 0) {
    say_for_host(
        cat("drover: ", watch_.lost_text(), "; ", watch_.here(), " missed it at the end of the job"));
    abort_exit_ = Exit::lost;
    abort_ = true;
  }
  if (abort_ || frozen_) MPI_Abort(MPI_COMM_WORLD, static_cast<int>(abort_exit_.load()));
  move_to(Stage::finalizing);
  if (owns_mpi_) MPI_Finalize();
}

void MpiEngine::serve() {
  for (int idle = 0, passes = 0; !stop_ && !abort_; ++passes) {
    const std::uint32_t seen = engine_bell_.read();
    if (frozen_) {
      if (!freeze_seen_) note_unfinished();
      freeze_seen_ = true;
      engine_bell_.wait(seen, std::chrono::seconds(1));
      continue;
    }
    if (passes % kPassesPerLook == 0) look();
    const bool moved = take_submissions() | advance_all();
    idle = moved ? 0 : idle + 1;
    if (!moved) rest(idle, seen);
  }
}

void MpiEngine::look() {
  const bool known = watch_.lost() >= 0;
  watch_.look(std::chrono::steady_clock::now());
  if (!known && watch_.lost() >= 0) bell().ring();
}

void MpiEngine::note_unfinished() {
  for (MpiJob* job : active_) {
    const MpiRequests& all = *job->requests_;
    for (std::size_t i = 0; i < all.requests.size(); ++i) {
      int done = 0;
      MPI_Request_get_status(all.requests[i], &done, MPI_STATUS_IGNORE);
      if (done == 0 && all.expected[i].peer >= 0) job->unfinished_.insert(all.expected[i].peer);
    }
  }
}

void MpiEngine::rest(int idle_passes, std::uint32_t seen) {
  if (active_.empty()) {
    engine_bell_.wait(seen, watch_.interval());
    look();
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
    look();
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

void MpiEngine::call(const char* what, FunctionRef<void()> work) {
  Call mine{.work = work};
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back(&mine);
  }
  engine_bell_.ring();
  // The progress thread hangs in it: nothing can be unwound.
  if (!await(deadlines_.joining(), [&] { return mine.done.load(); }))
    abort(cat("drover: ", watch_.here(), " waited ", seconds_text(deadlines_.joining()), " for MPI to ", what,
              ": another rank of it is stopped or cannot be reached"),
          Exit::lost);
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

void MpiEngine::end(MpiJob& job, MpiJob::State state, std::string error, Exit exit) {
  std::replace(active_.begin(), active_.end(), &job, static_cast<MpiJob*>(nullptr));
  job.error_ = std::move(error);
  job.exit_ = exit;
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
    end(job, MpiJob::State::failed, failure.what(), Exit::lost);
  }
}

void MpiEngine::post_header(MpiJob& job) {
  check(MPI_Iallreduce(job.header.data(), job.header_sum_.data(), static_cast<int>(job.header.size()),
                       MPI_UINT64_T, MPI_SUM, job.context->collectives, job.requests_->add(-1, -1)),
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
                        job.requests_->add(bytes, transfer.peer)),
              "MPI_Irecv");
      } else if (message) {
        check(MPI_Issend(data, bytes, MPI_BYTE, transfer.peer, job.tag, comm,
                         job.requests_->add(-1, transfer.peer)),
              "MPI_Issend");
      } else {
        check(MPI_Isend(data, bytes, MPI_BYTE, transfer.peer, job.tag, comm,
                        job.requests_->add(-1, transfer.peer)),
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
    if (all.expected[i].bytes < 0) continue;
    int bytes = 0;
    MPI_Get_count(&all.statuses[i], MPI_BYTE, &bytes);
    if (bytes != all.expected[i].bytes)
      return cat("got ", bytes, " bytes where ", all.expected[i].bytes, " were expected");
    if (job.kind == MpiJob::Kind::message && all.statuses[i].MPI_TAG != job.tag)
      return "got another dtype than expected";
  }
  return {};
}

// The first request's that failed.
int failure_of(int code, const MpiRequests& all) {
  if (code != MPI_ERR_IN_STATUS) return code;
  for (const MPI_Status& status : all.statuses) {
    if (status.MPI_ERROR != MPI_SUCCESS && status.MPI_ERROR != MPI_ERR_PENDING) return status.MPI_ERROR;
  }
  return code;
}

// What a link to a process does that is gone; a message of another size than its receive is a mismatch of calls.
Exit exit_of(int failure) {
  int error_class = MPI_ERR_OTHER;
  MPI_Error_class(failure, &error_class);
  return error_class == MPI_ERR_TRUNCATE ? Exit::internal : Exit::lost;
}

}  // namespace

bool MpiEngine::advance(MpiJob& job) {
  MpiRequests& all = *job.requests_;
  all.statuses.resize(all.requests.size());
  int done = 0;
  const int code =
      MPI_Testall(static_cast<int>(all.requests.size()), all.requests.data(), &done, all.statuses.data());
  if (code != MPI_SUCCESS) {
    const int failure = failure_of(code, all);
    end(job, MpiJob::State::failed, text_of(failure), exit_of(failure));
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
  MpiContext parent{.collectives = MPI_COMM_WORLD, .size = static_cast<int>(watch_.hosts().size())};
  meet(parent);
  return split_context(parent, 0, 0, path);
}

// All ranks are on their way to MPI's own blocking calls, in which the progress thread tells nobody that it lives.
void MpiEngine::meet(const MpiContext& parent) {
  MpiJob meeting;
  meeting.context = const_cast<MpiContext*>(&parent);
  meeting.has_header = true;
  submit(meeting);
  const bool met =
      await(deadlines_.waiting(RunPhase::build), [&] { return meeting.ended() || watch_.lost() >= 0; });
  if (met && meeting.ended()) return;
  const std::string reason = cat(met ? watch_.lost_text() + "; missed by " : "others did not come to ",
                                 watch_.here(), " when ranks first met");
  freeze(reason);
  throw CommError(Exit::lost, reason, -1, met ? std::vector{watch_.lost()} : std::vector<int>{});
}

namespace {

void set_up(MpiContext& context) {
  for (const MPI_Comm comm : {context.collectives, context.messages})
    check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  MPI_Comm_rank(context.collectives, &context.rank);
  MPI_Comm_size(context.collectives, &context.size);
  std::vector<int> ranks(context.size);
  std::iota(ranks.begin(), ranks.end(), 0);
  context.world_ranks.resize(context.size);
  MPI_Group group = MPI_GROUP_NULL, world = MPI_GROUP_NULL;
  MPI_Comm_group(context.collectives, &group);
  MPI_Comm_group(MPI_COMM_WORLD, &world);
  MPI_Group_translate_ranks(group, context.size, ranks.data(), world, context.world_ranks.data());
  MPI_Group_free(&group);
  MPI_Group_free(&world);
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
  call("split a communicator", [&] {
    if (watch_.lost() >= 0) throw CommError(Exit::lost, watch_.lost_text(), -1, {watch_.lost()});
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
    call("free a communicator", [context] {
      MPI_Comm_free(&context->messages);
      MPI_Comm_free(&context->collectives);
    });
  }
  delete context;
}

void MpiEngine::freeze(const std::string& reason) noexcept {
  frozen_ = true;
  seat_.leave();
  engine_bell_.ring();
  const auto end = std::chrono::steady_clock::now() + kAnswers;
  while (!freeze_seen_) {
    if (std::chrono::steady_clock::now() > end) abort(reason, Exit::lost);
    sched_yield();
  }
}

void MpiEngine::abort(const std::string& reason, Exit exit) noexcept {
  // What all ranks find wrong at the same time, rank 0 says for all.
  if (world_rank_ != 0) std::this_thread::sleep_for(kRankZeroFirst);
  say_for_host(reason);
  // Meanwhile the other ranks hear of a loss, write it to their logs, and leave it to this one to say it.
  if (watch_.lost() >= 0) std::this_thread::sleep_for(2 * kRankZeroFirst);
  abort_exit_ = exit;
  abort_ = true;
  engine_bell_.ring();
  // The progress thread calls MPI_Abort, which ends this process; unless it hangs inside MPI itself.
  std::this_thread::sleep_for(kAnswers);
  _exit(static_cast<int>(exit));
}

}  // namespace drover
