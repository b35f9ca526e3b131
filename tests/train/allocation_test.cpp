// After the first step nothing allocates: not the step, not the communicators, not the loader, on no thread.
//
// malloc and its kin are this executable's own, so that what libraries allocate is seen too; operator new
// calls malloc.
#include <dlfcn.h>
#include <execinfo.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "tests/support/local_training.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace {

// What may allocate, by the name of a function on the stack. oneDNN keeps a call's arguments in a map and
// frees them before it returns; its scratchpads are ours.
constexpr std::array kExceptions = {"dnnl_primitive_execute"};

struct Stack {
  std::array<void*, 24> frames{};
  int depth = 0;
};

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};
std::array<Stack, 64> stacks;
thread_local bool inside = false;

bool is_exception(void* frame) {
  Dl_info info;
  if (dladdr(frame, &info) == 0 || info.dli_sname == nullptr) return false;
  return std::any_of(kExceptions.begin(), kExceptions.end(),
                     [&](const char* name) { return std::strcmp(info.dli_sname, name) == 0; });
}

[[maybe_unused]] void note_allocation() {
  if (!counting.load(std::memory_order_relaxed) || inside) return;
  inside = true;
  Stack stack;
  stack.depth = backtrace(stack.frames.data(), static_cast<int>(stack.frames.size()));
  if (std::none_of(stack.frames.begin(), stack.frames.begin() + stack.depth, is_exception)) {
    const int number = allocations.fetch_add(1);
    if (number < static_cast<int>(stacks.size())) stacks[static_cast<std::size_t>(number)] = stack;
  }
  inside = false;
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr const char* kMissing = "uninstrumented";
#elif !defined(__GLIBC__)
constexpr const char* kMissing = "glibc";
#else
constexpr const char* kMissing = nullptr;
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) {
  note_allocation();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  note_allocation();
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
  note_allocation();
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  note_allocation();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  note_allocation();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
}
#endif

namespace drover::testing {
namespace {

struct Count {
  int allocations = 0;
  std::int64_t buffers = 0;
};

// Ten steps, through several regions of the source and into its next epoch.
Config ten_steps() {
  Config config = tiny_config();
  config.train.steps = 10;
  config.data.region_tokens = 200;
  return config;
}

// Ten steps; what happens on any thread between the end of the first, on all ranks, and the end of the last.
Count count_allocations(const Config& config, int ranks, int threads) {
  std::atomic<std::int64_t> buffers{0};
  run_local_ranks(ranks, [&](Communicator& world) {
    PosixFileSystem files;
    HostMemory memory;
    const auto backend = make_cpu_backend(memory, {.threads = threads});
    const Platform platform{.world = world, .backend = *backend, .host = memory, .files = files};
    const auto training = build_training(config, platform);
    Trainer trainer(*training, platform);
    trainer.step();
    world.barrier(trainer.exec()).wait(trainer.exec());
    const std::int64_t before = memory.ledger().buffers_made();
    if (world.rank() == 0) counting = true;
    while (!trainer.finished()) trainer.step();
    world.barrier(trainer.exec()).wait(trainer.exec());
    if (world.rank() == 0) counting = false;
    world.barrier(trainer.exec()).wait(trainer.exec());
    buffers += memory.ledger().buffers_made() - before;
  });
  return {.allocations = allocations.exchange(0), .buffers = buffers};
}

std::string described(int number) {
  std::string text;
  for (int i = 0; i < std::min<int>(number, 8); ++i) {
    const Stack& stack = stacks[static_cast<std::size_t>(i)];
    char** const symbols = backtrace_symbols(stack.frames.data(), stack.depth);
    text += cat("allocation ", i, "\n");
    for (int frame = 2; frame < stack.depth; ++frame) text += cat("  ", symbols[frame], "\n");
    std::free(symbols);
  }
  return text;
}

}  // namespace

TEST_CASE("after the first step nothing allocates") {
  if (kMissing != nullptr)
    DROVER_SKIP_TEST(kMissing, "sanitizers and other C libraries bring their own malloc");
  std::array<void*, 4> first_call_of_backtrace;  // which loads a library
  backtrace(first_call_of_backtrace.data(), 4);
  for (const std::int64_t zero : {1, 2, 3})
    for (const ParallelConfig& parallel :
         {ParallelConfig{.tensor = 2, .pipeline = 2, .zero = zero, .schedule = "zb-h1"},
          ParallelConfig{.context = 2, .pipeline = 2, .zero = zero, .schedule = "zb-v", .virtual_stages = 2},
          ParallelConfig{.tensor = 2, .context = 2, .shard = 2, .zero = zero}}) {
      Config config = ten_steps();
      config.model = {.hidden_size = 24,
                      .num_hidden_layers = 4,
                      .num_attention_heads = 4,
                      .num_key_value_heads = 2,
                      .intermediate_size = 20,
                      .vocab_size = 38,
                      .head_dim = 8,
                      .rope_theta = 10000};
      config.parallel = parallel;
      const int ranks = static_cast<int>(parallel.tensor * parallel.context * parallel.pipeline) *
                        static_cast<int>(std::max<std::int64_t>(parallel.shard, 1));
      const Count count = count_allocations(config, ranks, 1);
      INFO("tensor " << parallel.tensor << ", context " << parallel.context << ", pipeline "
                     << parallel.pipeline << ", " << ranks << " ranks, ZeRO-" << zero);
      INFO(described(count.allocations));
      CHECK(count.allocations == 0);
      CHECK(count.buffers == 0);
    }
  for (const char* dtype : {"float32", "bfloat16"})
    for (const int ranks : {1, 3})
      for (const std::int64_t zero : {1, 2, 3})
        for (const int threads : {1, 2}) {
          Config config = ten_steps();
          config.train.dtype = dtype;
          config.parallel.zero = zero;
          const Count count = count_allocations(config, ranks, threads);
          INFO(dtype << " on " << ranks << " ranks of " << threads << " threads, ZeRO-" << zero);
          INFO(described(count.allocations));
          CHECK(count.allocations == 0);
          CHECK(count.buffers == 0);
        }
}

}  // namespace drover::testing
