// How a rank waits for others: it reads the bell, looks whether what it waits for has happened, and if not
// waits for the bell to ring. Whoever changes something that the rank may wait for rings. Waiting spins a
// little, yields a little and then sleeps, so that more ranks than cores still run. Thread rules: any thread
// of any process that has it mapped; it has no address of its own process in it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace drover {

class Doorbell {
 public:
  std::uint32_t read() const noexcept { return rings_.load(std::memory_order_acquire); }
  void ring() noexcept;
  // Yield: without spinning first, for where what is waited for may need this core.
  enum class Patience : std::uint8_t { spin, yield };
  // Returns when it has rung since `seen` was read, or after the timeout, or now and then without cause.
  void wait(std::uint32_t seen, std::chrono::microseconds timeout,
            Patience patience = Patience::spin) noexcept;
  // The same, at once.
  void sleep(std::uint32_t seen, std::chrono::microseconds timeout) noexcept;

 private:
  std::atomic<std::uint32_t> rings_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

// One pass of a spin loop.
void pause_processor() noexcept;

}  // namespace drover
