#include "launch/signals.h"

#include <unistd.h>

#include <array>
#include <csignal>

#include "core/error.h"

namespace drover {

namespace {

constexpr std::array kSignals{SIGTERM, SIGINT, SIGUSR1};

// A handler can reach nothing but this.
volatile std::sig_atomic_t first_signal = 0;

extern "C" void on_stop_signal(int number) {
  if (first_signal != 0) _exit(static_cast<int>(Exit::run_again));
  first_signal = number;
}

void install(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  for (const int number : kSignals) sigaction(number, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  first_signal = 0;
  install(on_stop_signal);
}

StopSignals::~StopSignals() { install(SIG_DFL); }

bool StopSignals::requested() const { return first_signal != 0; }

const char* StopSignals::name() const {
  switch (first_signal) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGUSR1:
      return "SIGUSR1";
    default:
      return "no signal";
  }
}

}  // namespace drover
