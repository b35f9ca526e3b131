#include "launch/process/signals.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <ctime>

namespace drover {

namespace {

constexpr std::array kSignals{SIGTERM, SIGINT, SIGUSR1};

// A handler can reach nothing but these.
volatile std::sig_atomic_t first_signal = 0;
volatile std::sig_atomic_t first_second = 0;  // of the monotonic clock

// One wish to stop often comes twice: timeout(1) signals the process and its group, batch systems every step of a job.
constexpr std::time_t kSameWishSeconds = 2;

// Generated code of oneDNN keeps data further below the stack pointer than a signal's frame leaves alone: a handler on
// the stack that it interrupts changes what is computed, and where it is written.
alignas(16) std::array<char, 64 << 10> handler_stack;

void use_handler_stack() {
  stack_t stack = {};
  stack.ss_sp = handler_stack.data();
  stack.ss_size = handler_stack.size();
  sigaltstack(&stack, nullptr);
}

extern "C" void on_stop_signal(int number) {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (first_signal == 0) {
    // In this order: another thread's handler may look between the two.
    first_second = static_cast<std::sig_atomic_t>(now.tv_sec);
    first_signal = number;
  } else if (now.tv_sec - first_second > kSameWishSeconds) {
    _exit(128 + number);
  }
}

void install(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (const int number : kSignals) sigaddset(&action.sa_mask, number);
  for (const int number : kSignals) sigaction(number, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  first_signal = 0;
  use_handler_stack();
  install(on_stop_signal);
}

// A late signal must not turn a finished run into a killed one while MPI ends.
StopSignals::~StopSignals() { install(SIG_IGN); }

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
