#include "launch/run/console.h"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <unistd.h>

#include <cstdio>

#include "core/base/error.h"

namespace drover {

namespace {

constexpr const char* kClearLine = "\r\033[K";

std::shared_ptr<spdlog::logger> file_logger(const std::string& path) {
  if (path.empty()) return nullptr;
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    auto logger = std::make_shared<spdlog::logger>("run", std::move(sink));
    logger->flush_on(spdlog::level::info);
    return logger;
  } catch (const spdlog::spdlog_ex& failure) {
    throw input_error("cannot write the log ", path, ": ", failure.what());
  }
}

// mpirun gives its ranks a terminal of its own to write to, so a rank asks what its launcher writes to. (A
// rank on another host finds that host's daemon, which writes to none.)
bool seen_on_a_terminal() {
  if (isatty(STDOUT_FILENO) == 0) return false;
  const int launcher =
      ::open(cat("/proc/", getppid(), "/fd/1").c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (launcher < 0) return false;
  const bool terminal = isatty(launcher) == 1;
  ::close(launcher);
  return terminal;
}

}  // namespace

struct Console::State {
  std::shared_ptr<spdlog::logger> file;
  bool to_people = true;
  bool terminal = false;
  bool live_line = false;

  void write(const std::string& line) {
    if (!to_people) return;
    if (live_line) std::fputs(kClearLine, stdout);
    live_line = false;
    std::fprintf(stdout, "%s\n", line.c_str());
    std::fflush(stdout);
  }
};

Console::Console(const ConsoleOptions& options)
    : state_(new State{.file = file_logger(options.log_file),
                       .to_people = options.to_people,
                       .terminal = options.to_people && seen_on_a_terminal()}) {}

Console::~Console() {
  if (state_->live_line) std::fputs("\n", stdout);
}

void Console::print(const std::string& line) {
  if (state_->file) state_->file->info(line);
  state_->write(line);
}

void Console::warn(const std::string& line) {
  if (state_->file) state_->file->warn(line);
  state_->write("warning: " + line);
}

void Console::note_failure(const std::string& line) {
  if (state_->file) state_->file->error(line);
}

void Console::live(const std::string& line) {
  if (!state_->terminal) return;
  std::fprintf(stdout, "%s%s", kClearLine, line.c_str());
  std::fflush(stdout);
  state_->live_line = true;
}

}  // namespace drover
