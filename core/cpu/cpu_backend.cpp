#include "core/cpu/cpu_backend.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/range.h"
#include "core/cpu/attention.h"
#include "core/cpu/kernels.h"
#include "core/cpu/products.h"

namespace drover {

namespace {

using cpu::table_index;

const cpu::KernelTable& kernels_of([[maybe_unused]] CpuPath path) {
#ifdef DROVER_X86
  if (path >= CpuPath::avx512) return cpu::avx512_kernels();
  if (path == CpuPath::avx2) return cpu::avx2_kernels();
#endif
  return cpu::plain_kernels();
}

// Elements of one tile of a verb bound by memory: some microseconds of work, a piece that stays in the L2
// cache.
constexpr std::int64_t kTileElements = 32 * 1024;
// Partial sums of one reduction at the most.
constexpr std::int64_t kMaxPartials = 256;

// [0, count) in pieces of `step`.
struct Cut {
  std::int64_t count, step;
  std::int64_t tiles() const { return (count + step - 1) / step; }
  Range tile(std::int64_t index) const { return {index * step, std::min(count, (index + 1) * step)}; }
};

Cut cut_rows(std::int64_t rows, std::int64_t width) {
  return {rows, std::max<std::int64_t>(1, kTileElements / std::max<std::int64_t>(width, 1))};
}

Cut cut_elements(std::int64_t count) { return {count, kTileElements}; }

// At most kMaxPartials pieces.
Cut cut_partials(std::int64_t count, std::int64_t least) {
  return {count, std::max(least, (count + kMaxPartials - 1) / kMaxPartials)};
}

// Rows per partial sum of a norm's weight gradient.
Cut cut_norm_partials(std::int64_t rows) {
  constexpr std::int64_t kPartials = 32, kLeast = 32;
  return {rows, std::max(kLeast, (rows + kPartials - 1) / kPartials)};
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(Memory& memory, const CpuOptions& options)
      : memory_(memory),
        path_(options.path),
        kernels_(kernels_of(options.path)),
        pool_(options.threads),
        products_(memory, pool_, options.path, kernels_) {}

  Memory& memory() override { return memory_; }
  std::string describe() const override { return cat("cpu ", name_of(path_), ", ", cpu::Library::version()); }
  void synchronize(Stream) override {}
  void prepare(const Matmul& m) override { products_.prepare(m); }

  void fill(const Exec&, const Fill&) override;
  void copy(const Exec&, const Copy&) override;
  void scale(const Exec&, const Scale&) override;
  void matmul(const Exec&, const Matmul&) override;
  void rmsnorm_forward(const Exec&, const RmsNormForward&) override;
  void rmsnorm_backward_input(const Exec&, const RmsNormBackwardInput&) override;
  void rmsnorm_backward_weight(const Exec&, const RmsNormBackwardWeight&) override;
  void rope(const Exec&, const Rope&) override;
  void attention_forward(const Exec&, const AttentionForward&) override;
  void attention_backward(const Exec&, const AttentionBackward&) override;
  void swiglu_forward(const Exec&, const SwigluForward&) override;
  void swiglu_backward(const Exec&, const SwigluBackward&) override;
  void embedding_forward(const Exec&, const EmbeddingForward&) override;
  void embedding_backward(const Exec&, const EmbeddingBackward&) override;
  void loss_statistics(const Exec&, const LossStatistics&) override;
  void loss_combine(const Exec&, const LossCombine&) override;
  void loss_gradient(const Exec&, const LossGradient&) override;
  void adamw(const Exec&, const AdamW&) override;
  void sum_of_squares(const Exec&, const SumOfSquares&) override;
  void combine(const Exec&, const Combine&) override;

  std::int64_t scratch_bytes(const RmsNormBackwardWeight& a) const override {
    return cut_norm_partials(a.h.dims[0]).tiles() * a.dweight.bytes();
  }
  std::int64_t scratch_bytes(const AttentionForward& a) const override {
    return cpu::attention_scratch_bytes(path_, a, pool_.threads());
  }
  std::int64_t scratch_bytes(const AttentionBackward& a) const override {
    return cpu::attention_scratch_bytes(path_, a, pool_.threads());
  }
  std::int64_t scratch_bytes(const EmbeddingBackward&) const override { return 0; }

 private:
  const cpu::ComputeKernels& compute(const Tensor& x) const { return kernels_.compute[table_index(x.dtype)]; }
  const cpu::MasterKernels& master(const Tensor& x) const { return kernels_.master[table_index(x.dtype)]; }

  // body(pieces of the tensors, as matrices) for all tiles of tensors of one shape: ranges of elements where
  // all are contiguous, of rows otherwise.
  template <std::size_t N, class Body>
  void by_pieces(std::array<Tensor, N> tensors, Body body) {
    bool flat = true;
    for (const Tensor& tensor : tensors) flat = flat && tensor.contiguous();
    for (Tensor& tensor : tensors) tensor = flat ? tensor.view({tensor.numel()}) : tensor.as_matrix();
    const Cut cut =
        flat ? cut_elements(tensors[0].dims[0]) : cut_rows(tensors[0].dims[0], tensors[0].dims[1]);
    pool_.run(cut.tiles(), [&](std::int64_t tile, int) {
      const Range range = cut.tile(tile);
      std::array<Tensor, N> pieces = tensors;
      for (Tensor& piece : pieces) piece = piece.slice(0, range.begin, range.end).as_matrix();
      body(pieces);
    });
  }

  // Runs a kernel over all tiles of a cut. `written` with null data or without elements: nothing to do.
  template <class Arguments>
  void run(const Arguments& arguments, cpu::Kernel<Arguments> kernel, const Cut& cut, const Tensor& written) {
    if (written.data == nullptr || written.numel() == 0) return;
    pool_.run(cut.tiles(), [&](std::int64_t tile, int) {
      const Range range = cut.tile(tile);
      kernel(arguments, range.begin, range.end);
    });
  }

  // The sum of a kernel's results over tiles, in tile order. At most kMaxPartials tiles.
  template <class Arguments>
  double sum(const Arguments& arguments, cpu::SumKernel<Arguments> kernel, const Cut& cut) {
    std::array<double, kMaxPartials> partials{};
    pool_.run(cut.tiles(), [&](std::int64_t tile, int) {
      const Range range = cut.tile(tile);
      partials[static_cast<std::size_t>(tile)] = kernel(arguments, range.begin, range.end);
    });
    double total = 0;
    for (std::int64_t tile = 0; tile < cut.tiles(); ++tile) total += partials[static_cast<std::size_t>(tile)];
    return total;
  }

  Memory& memory_;
  CpuPath path_;
  const cpu::KernelTable& kernels_;
  ThreadPool pool_;
  cpu::Products products_;
};

bool nothing_in(const Tensor& written) { return written.data == nullptr || written.numel() == 0; }

template <class T>
void fill_rows(const Tensor& out, double value) {
  T element{};
  if constexpr (std::is_same_v<T, bfloat16>)
    element = bfloat16(static_cast<float>(value));
  else
    element = static_cast<T>(value);
  for (std::int64_t row = 0; row < out.dims[0]; ++row)
    std::fill_n(out.as<T>() + row * out.strides[0], out.dims[1], element);
}

void fill_rows_as(const Tensor& out, double value) {
  switch (out.dtype) {
    case DType::float64:
      return fill_rows<double>(out, value);
    case DType::float32:
      return fill_rows<float>(out, value);
    case DType::bfloat16:
      return fill_rows<bfloat16>(out, value);
    case DType::int64:
      return fill_rows<std::int64_t>(out, value);
    case DType::int32:
      return fill_rows<std::int32_t>(out, value);
    case DType::uint8:
      return fill_rows<std::uint8_t>(out, value);
  }
}

std::byte* row_bytes(const Tensor& x, std::int64_t row) {
  return static_cast<std::byte*>(x.data) + row * x.strides[0] * size_of(x.dtype);
}

// Rows of one dtype, bit by bit.
void copy_rows(const Tensor& in, const Tensor& out) {
  const auto bytes = static_cast<std::size_t>(in.dims[1] * size_of(in.dtype));
  for (std::int64_t row = 0; row < in.dims[0]; ++row)
    std::memcpy(row_bytes(out, row), row_bytes(in, row), bytes);
}

void embed_rows(const EmbeddingForward& a, const Range& rows) {
  const auto bytes = static_cast<std::size_t>(a.out.dims[1] * size_of(a.out.dtype));
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const std::int64_t row = a.tokens.as<std::int32_t>()[i] - a.first_token;
    if (row >= 0 && row < a.table.dims[0])
      std::memcpy(row_bytes(a.out, i), row_bytes(a.table, row), bytes);
    else
      std::memset(row_bytes(a.out, i), 0, bytes);
  }
}

std::int64_t join(Reduction reduction, std::int64_t x, std::int64_t y) {
  switch (reduction) {
    case Reduction::sum:
      return x + y;
    case Reduction::max:
      return std::max(x, y);
    case Reduction::min:
      return std::min(x, y);
  }
  return x;
}

void combine_int64(const Combine& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    std::int64_t value = a.parts[0].as<std::int64_t>()[i];
    for (const Tensor& part : a.parts.subspan(1))
      value = join(a.reduction, value, part.as<std::int64_t>()[i]);
    a.out.as<std::int64_t>()[i] = value;
    for (const Tensor& copy : a.copies) copy.as<std::int64_t>()[i] = value;
  }
}

void CpuBackend::fill(const Exec&, const Fill& a) {
  if (nothing_in(a.out)) return;
  by_pieces<1>({a.out}, [&](const auto& pieces) { fill_rows_as(pieces[0], a.value); });
}

void CpuBackend::copy(const Exec&, const Copy& a) {
  if (nothing_in(a.out)) return;
  by_pieces<2>({a.in, a.out}, [&](const auto& pieces) {
    const auto& [in, out] = pieces;
    if (in.dtype == out.dtype && a.write == Write::assign) return copy_rows(in, out);
    const auto kernel = kernels_.copy[table_index(in.dtype)][table_index(out.dtype)];
    kernel({.in = in, .out = out, .write = a.write}, 0, in.dims[0]);
  });
}

void CpuBackend::scale(const Exec&, const Scale& a) {
  run(a, master(a.x).scale, cut_elements(a.x.numel()), a.x);
}

void CpuBackend::matmul(const Exec&, const Matmul& m) {
  if (!nothing_in(m.out)) products_.run(m);
}

void CpuBackend::rmsnorm_forward(const Exec&, const RmsNormForward& a) {
  run(a, compute(a.x).rmsnorm_forward, cut_rows(a.x.dims[0], a.x.dims[1]), a.y);
}

void CpuBackend::rmsnorm_backward_input(const Exec&, const RmsNormBackwardInput& a) {
  run(a, compute(a.h).rmsnorm_backward_input, cut_rows(a.h.dims[0], a.h.dims[1]), a.dh);
}

void CpuBackend::rmsnorm_backward_weight(const Exec&, const RmsNormBackwardWeight& a) {
  if (nothing_in(a.dweight)) return;
  constexpr std::int64_t kColumns = 256;
  const Cut rows = cut_norm_partials(a.h.dims[0]), columns{a.h.dims[1], kColumns};
  const Tensor partials = Tensor::of(a.scratch.data, a.dweight.dtype, {rows.tiles(), a.h.dims[1]});
  pool_.run(rows.tiles(), [&](std::int64_t tile, int) {
    const Range range = rows.tile(tile);
    compute(a.h).rmsnorm_backward_weight(a, range.begin, range.end, row_bytes(partials, tile));
  });
  const auto add = kernels_.copy[table_index(a.dweight.dtype)][table_index(a.dweight.dtype)];
  pool_.run(columns.tiles(), [&](std::int64_t tile, int) {
    const Range range = columns.tile(tile);
    const Tensor out = a.dweight.slice(0, range.begin, range.end).as_matrix();
    for (std::int64_t row = 0; row < rows.tiles(); ++row)
      add({.in = partials.slice(0, row, row + 1).slice(1, range.begin, range.end),
           .out = out,
           .write = Write::add},
          0, 1);
  });
}

void CpuBackend::rope(const Exec&, const Rope& a) {
  const auto kernel = kernels_.rope[table_index(a.x.dtype)][table_index(a.out.dtype)];
  run(a, kernel, cut_rows(a.x.dims[0], a.x.dims[1] * a.x.dims[2]), a.out);
}

void CpuBackend::attention_forward(const Exec&, const AttentionForward& a) {
  if (!nothing_in(a.out)) cpu::attention_forward(pool_, path_, a);
}

void CpuBackend::attention_backward(const Exec&, const AttentionBackward& a) {
  if (!nothing_in(a.dq) || !nothing_in(a.dk)) cpu::attention_backward(pool_, path_, a);
}

void CpuBackend::swiglu_forward(const Exec&, const SwigluForward& a) {
  run(a, compute(a.y).swiglu_forward, cut_rows(a.y.dims[0], 2 * a.y.dims[1]), a.y);
}

void CpuBackend::swiglu_backward(const Exec&, const SwigluBackward& a) {
  run(a, compute(a.dy).swiglu_backward, cut_rows(a.dy.dims[0], 2 * a.dy.dims[1]), a.dgate_up);
}

void CpuBackend::embedding_forward(const Exec&, const EmbeddingForward& a) {
  if (nothing_in(a.out)) return;
  const Cut cut = cut_rows(a.out.dims[0], a.out.dims[1]);
  pool_.run(cut.tiles(), [&](std::int64_t tile, int) { embed_rows(a, cut.tile(tile)); });
}

// Columns are cut, not tokens: every tile sees all tokens in order, and no two add to one place.
void CpuBackend::embedding_backward(const Exec&, const EmbeddingBackward& a) {
  constexpr std::int64_t kNarrow = 32, kWide = 64;
  const std::int64_t dim = a.dtable.dims[1];
  run(a, compute(a.dout).embedding_backward, {dim, dim < 16 * kWide ? kNarrow : kWide}, a.dtable);
}

void CpuBackend::loss_statistics(const Exec&, const LossStatistics& a) {
  run(a, master(a.logits).loss_statistics, cut_rows(a.logits.dims[0], a.logits.dims[1]), a.sum);
}

void CpuBackend::loss_combine(const Exec&, const LossCombine& a) {
  constexpr std::int64_t kLeastRows = 256;
  if (nothing_in(a.lse)) return;
  *a.loss.as<double>() += sum(a, master(a.lse).loss_combine, cut_partials(a.lse.dims[0], kLeastRows));
}

void CpuBackend::loss_gradient(const Exec&, const LossGradient& a) {
  run(a, compute(a.dlogits).loss_gradient, cut_rows(a.logits.dims[0], a.logits.dims[1]), a.dlogits);
}

void CpuBackend::adamw(const Exec&, const AdamW& a) {
  run(a, compute(a.working).adamw, cut_elements(a.weight.dims[0]), a.weight);
}

void CpuBackend::sum_of_squares(const Exec&, const SumOfSquares& a) {
  if (nothing_in(a.x)) return;
  *a.out.as<double>() += sum(a, master(a.x).sum_of_squares, cut_partials(a.x.dims[0], kTileElements));
}

void CpuBackend::combine(const Exec&, const Combine& a) {
  const cpu::Kernel<Combine> kernel = a.out.dtype == DType::int64 ? combine_int64 : compute(a.out).combine;
  run(a, kernel, cut_elements(a.out.dims[0]), a.out);
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(Memory& memory, const CpuOptions& options) {
  DROVER_CHECK(memory.device() == DeviceKind::cpu && !memory.shapes_only(),
               "a CPU backend wants host memory");
  if (options.path > highest_cpu_path())
    throw usage_error("cpu_path is ", name_of(options.path), ", which this processor (",
                      describe(this_processor()), ") cannot run; its highest is ",
                      name_of(highest_cpu_path()));
  return std::make_unique<CpuBackend>(memory, options);
}

}  // namespace drover
