#include "core/cpu/onednn.h"

#include <cstdlib>
#include <dnnl.hpp>
#include <optional>
#include <unordered_map>
#include <vector>

// Of the OpenMP library that oneDNN is linked to; its header comes with some compilers only.
extern "C" void omp_set_num_threads(int threads);

namespace drover::cpu {

namespace {

constexpr std::size_t kScratchAlignment = 64;

struct AlignedFree {
  void operator()(void* data) const { std::free(data); }
};
using Scratch = std::unique_ptr<void, AlignedFree>;

Scratch make_scratch(std::size_t bytes) {
  const std::size_t size = (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  return Scratch(std::aligned_alloc(kScratchAlignment, size));
}

struct ShapeHash {
  std::size_t operator()(const ProductShape& s) const {
    std::uint64_t hash = static_cast<std::uint64_t>(s.product) | static_cast<std::uint64_t>(s.write) << 8 |
                         static_cast<std::uint64_t>(s.in) << 16 | static_cast<std::uint64_t>(s.out) << 24;
    for (const std::int64_t value : {s.rows, s.cols, s.depth, s.a_stride, s.b_stride, s.out_stride}) {
      hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x9e3779b97f4a7c15ull;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

dnnl::memory::data_type type_of(DType dtype) {
  return dtype == DType::bfloat16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

// [rows, cols], or its transpose as stored.
dnnl::memory::desc matrix(DType dtype, std::int64_t rows, std::int64_t cols, std::int64_t stride,
                          bool transposed) {
  const dnnl::memory::dims strides =
      transposed ? dnnl::memory::dims{1, stride} : dnnl::memory::dims{stride, 1};
  return {{rows, cols}, type_of(dtype), strides};
}

dnnl::matmul::primitive_desc describe(const ProductShape& s, const dnnl::engine& engine) {
  const auto a = matrix(s.in, s.rows, s.depth, s.a_stride, s.product == Product::tn);
  const auto b = matrix(s.in, s.depth, s.cols, s.b_stride, s.product == Product::nt);
  const auto out = matrix(s.out, s.rows, s.cols, s.out_stride, false);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
  if (s.write == Write::add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, out, attributes};
#else
  return {dnnl::matmul::desc(a, b, out), attributes, engine};
#endif
}

// The highest instructions for a path, or none where every choice gives the same bits: a float32 product has the same
// kernel at all of them (tests/core/ops/matmul_test.cpp).
std::optional<dnnl::cpu_isa> instructions_of(CpuPath path) {
  if (path == CpuPath::amx) return dnnl::cpu_isa::avx512_core_amx;
  if (path == CpuPath::avx512_bf16) return dnnl::cpu_isa::avx512_core_bf16;
  return std::nullopt;
}

// Holds the library to the path's instructions, or finds that it is held to others.
void bind_library(CpuPath path) {
  const auto wanted = instructions_of(path);
  if (!wanted) return;
  dnnl::set_max_cpu_isa(*wanted);  // without effect, and without a word, once a product was made
  if (dnnl::get_effective_cpu_isa() != *wanted)
    throw usage_error(
        "oneDNN does not compute with the instructions of the path ", name_of(path),
        " in this process: it may compute with those of another path already, or the system withholds "
        "them. Set cpu_path: avx512, which needs none of them");
}

void check(dnnl_status_t status, const char* what) {
  DROVER_CHECK(status == dnnl_success, "oneDNN: ", what, " failed with status ", static_cast<int>(status));
}

}  // namespace

class LibraryProduct {
 public:
  // What a worker points at its operands before each run.
  struct Operands {
    dnnl::memory a, b, out, scratch;
  };

  LibraryProduct(const ProductShape& shape, const dnnl::engine& engine, std::size_t workers)
      : LibraryProduct(describe(shape, engine), engine, workers) {}

  std::size_t scratch_bytes() const { return scratch_bytes_; }
  const dnnl::matmul& primitive() const { return primitive_; }
  Operands& operands(int worker) { return operands_[static_cast<std::size_t>(worker)]; }

 private:
  LibraryProduct(const dnnl::matmul::primitive_desc& description, const dnnl::engine& engine,
                 std::size_t workers)
      : primitive_(description), scratch_bytes_(description.scratchpad_desc().get_size()) {
    const auto unset = [&](const dnnl::memory::desc& desc) { return dnnl::memory(desc, engine, nullptr); };
    for (std::size_t worker = 0; worker < workers; ++worker)
      operands_.push_back({unset(description.src_desc()), unset(description.weights_desc()),
                           unset(description.dst_desc()), unset(description.scratchpad_desc())});
  }

  dnnl::matmul primitive_;
  std::size_t scratch_bytes_;
  std::vector<Operands> operands_;
};

struct Library::State {
  CpuPath path;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  std::vector<dnnl::stream> streams;
  std::vector<Scratch> scratch;
  std::size_t scratch_bytes = 0;
  std::unordered_map<ProductShape, std::unique_ptr<LibraryProduct>, ShapeHash> products;

  void reserve_scratch(std::size_t bytes) {
    if (bytes <= scratch_bytes) return;
    for (Scratch& each : scratch) each = make_scratch(bytes);
    scratch_bytes = bytes;
  }
};

Library::Library(int workers, CpuPath path) : state_(std::make_unique<State>(path)) {
  for (int worker = 0; worker < workers; ++worker) state_->streams.emplace_back(state_->engine);
  state_->scratch.resize(static_cast<std::size_t>(workers));
}

Library::~Library() = default;

LibraryProduct& Library::product(const ProductShape& shape) {
  auto& products = state_->products;
  if (const auto found = products.find(shape); found != products.end()) return *found->second;
  if (products.empty()) bind_library(state_->path);
  omp_set_num_threads(1);
  try {
    auto made = std::make_unique<LibraryProduct>(shape, state_->engine, state_->streams.size());
    state_->reserve_scratch(made->scratch_bytes());
    return *products.emplace(shape, std::move(made)).first->second;
  } catch (const dnnl::error& error) {
    throw Error(Exit::internal,
                cat("oneDNN refuses the ", name_of(shape.in), " product [", shape.rows, ", ", shape.depth,
                    "] x [", shape.depth, ", ", shape.cols, "]: ", error.what()));
  }
}

void Library::trim() {
  constexpr std::size_t kMany = 4096;
  if (state_->products.size() > kMany) state_->products.clear();
}

void Library::run(LibraryProduct& product, int worker, const void* a, const void* b, void* out) {
  omp_set_num_threads(1);  // of the calling thread, which may be any
  const auto index = static_cast<std::size_t>(worker);
  LibraryProduct::Operands& operands = product.operands(worker);
  check(dnnl_memory_set_data_handle(operands.a.get(), const_cast<void*>(a)), "set operand");
  check(dnnl_memory_set_data_handle(operands.b.get(), const_cast<void*>(b)), "set operand");
  check(dnnl_memory_set_data_handle(operands.out.get(), out), "set operand");
  check(dnnl_memory_set_data_handle(operands.scratch.get(), state_->scratch[index].get()), "set scratchpad");
  // The C call: the C++ one builds a map.
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, operands.a.get()},
                                       {DNNL_ARG_WEIGHTS, operands.b.get()},
                                       {DNNL_ARG_DST, operands.out.get()},
                                       {DNNL_ARG_SCRATCHPAD, operands.scratch.get()}};
  check(dnnl_primitive_execute(product.primitive().get(), state_->streams[index].get(), 4, arguments),
        "execute");
}

std::string Library::version() {
  const dnnl_version_t* v = dnnl_version();
  return cat("onednn ", v->major, ".", v->minor, ".", v->patch);
}

}  // namespace drover::cpu
