// Inner loops of norms, rotary positions, SwiGLU and embedding (core/cpu/kernels.h). Formulas:
// core/ops/backend.h.
#pragma once

#include "core/cpu/kernels.h"
#include "core/cpu/lanes.h"

namespace drover::cpu {

template <class Isa, class T>
struct RowKernels {
  using M = MasterOf<T>;
  using L = Lanes<Isa, M>;
  using V = typename L::V;

  // The norm of h as stored, so that backward, which reads h, differentiates this very function.
  static void rmsnorm_forward(const RmsNormForward& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t dim = a.x.dims[1];
    const T* weight = row_of<Isa, T>(a.weight, 0);
    for (std::int64_t i = begin; i < end; ++i) {
      const T* x = row_of<Isa, T>(a.x, i);
      const T* h = a.h.empty() ? x : row_of<Isa, T>(a.h, i);
      if (!a.h.empty()) add_rows(x, row_of<Isa, T>(a.delta, i), row_of<Isa, T>(a.h, i), dim);
      // From what was stored, by the same sum with and without delta: recompute then meets the same bits.
      const M squares = sum_of_products(h, h, dim);
      const M rstd =
          M(1) / static_cast<M>(::sqrt(static_cast<double>(squares) / static_cast<double>(dim) + a.epsilon));
      *row_of<Isa, M>(a.rstd, i) = rstd;
      T* y = row_of<Isa, T>(a.y, i);
      for_lanes<L>(dim, [&](std::int64_t d, auto lanes) {
        L::store(y + d, L::load(h + d, lanes) * rstd * L::load(weight + d, lanes), lanes);
      });
    }
  }

  static void rmsnorm_backward_input(const RmsNormBackwardInput& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t dim = a.h.dims[1];
    const T* weight = row_of<Isa, T>(a.weight, 0);
    for (std::int64_t i = begin; i < end; ++i) {
      const T* h = row_of<Isa, T>(a.h, i);
      const T* dy = row_of<Isa, T>(a.dy, i);
      const T* dresidual = a.dresidual.empty() ? nullptr : row_of<Isa, T>(a.dresidual, i);
      T* dh = row_of<Isa, T>(a.dh, i);
      const M rstd = *row_of<Isa, M>(a.rstd, i);
      V sum{};
      for_lanes<L>(dim, [&](std::int64_t d, auto lanes) {
        sum = L::fma(L::load(dy + d, lanes) * L::load(weight + d, lanes), L::load(h + d, lanes), sum);
      });
      const M along = rstd * rstd * (L::sum(sum) / static_cast<M>(dim));
      for_lanes<L>(dim, [&](std::int64_t d, auto lanes) {
        const V g = L::load(dy + d, lanes) * L::load(weight + d, lanes);
        const V residual = dresidual == nullptr ? V{} : L::load(dresidual + d, lanes);
        L::store(dh + d, L::fma(L::all(rstd), L::fma(L::load(h + d, lanes), L::all(-along), g), residual),
                 lanes);
      });
    }
  }

  static void rmsnorm_backward_weight(const RmsNormBackwardWeight& a, std::int64_t begin, std::int64_t end,
                                      void* out) {
    const std::int64_t dim = a.h.dims[1];
    M* partial = static_cast<M*>(out);
    for (std::int64_t d = 0; d < dim; ++d) partial[d] = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const T* h = row_of<Isa, T>(a.h, i);
      const T* dy = row_of<Isa, T>(a.dy, i);
      const V rstd = L::all(*row_of<Isa, M>(a.rstd, i));
      for_lanes<L>(dim, [&](std::int64_t d, auto lanes) {
        const V product = L::load(dy + d, lanes) * L::load(h + d, lanes);
        L::store(partial + d, L::fma(product, rstd, L::load(partial + d, lanes)), lanes);
      });
    }
  }

  static void swiglu_forward(const SwigluForward& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t dim = a.y.dims[1];
    for (std::int64_t i = begin; i < end; ++i) {
      const T* gate = row_of<Isa, T>(a.gate_up, i);
      T* y = row_of<Isa, T>(a.y, i);
      for_lanes<L>(dim, [&](std::int64_t d, auto lanes) {
        const V g = L::load(gate + d, lanes);
        L::store(y + d, g * L::sigmoid(g) * L::load(gate + dim + d, lanes), lanes);
      });
    }
  }

  // silu'(g) = s (1 + g (1 - s)) with s = sigmoid(g).
  static void swiglu_backward(const SwigluBackward& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t dim = a.dy.dims[1];
    for (std::int64_t i = begin; i < end; ++i) {
      const T* gate = row_of<Isa, T>(a.gate_up, i);
      const T* dy_row = row_of<Isa, T>(a.dy, i);
      T* dgate = row_of<Isa, T>(a.dgate_up, i);
      for_lanes<L>(dim, [&](std::int64_t d, auto lanes) {
        const V g = L::load(gate + d, lanes), up = L::load(gate + dim + d, lanes),
                dy = L::load(dy_row + d, lanes);
        const V s = L::sigmoid(g);
        L::store(dgate + d, dy * up * s * L::fma(g, M(1) - s, L::all(1)), lanes);
        L::store(dgate + dim + d, dy * g * s, lanes);
      });
    }
  }

  static void embedding_backward(const EmbeddingBackward& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t count = a.tokens.dims[0], vocabulary = a.dtable.dims[0];
    const std::int32_t* tokens = row_of<Isa, std::int32_t>(a.tokens, 0);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = tokens[i] - a.first_token;
      if (row < 0 || row >= vocabulary) continue;
      const T* dout = row_of<Isa, T>(a.dout, i) + begin;
      M* dtable = row_of<Isa, M>(a.dtable, row) + begin;
      for_lanes<L>(end - begin, [&](std::int64_t d, auto lanes) {
        L::store(dtable + d, L::load(dtable + d, lanes) + L::load(dout + d, lanes), lanes);
      });
    }
  }

 private:
  // Two accumulators: one would wait for each addition.
  static M sum_of_products(const T* x, const T* y, std::int64_t n) {
    V even{}, odd{};
    const std::int64_t pairs = n / (2 * L::kCount) * (2 * L::kCount);
    for (std::int64_t i = 0; i < pairs; i += 2 * L::kCount) {
      even = L::fma(L::load(x + i), L::load(y + i), even);
      odd = L::fma(L::load(x + i + L::kCount), L::load(y + i + L::kCount), odd);
    }
    for_lanes<L>(n - pairs, [&](std::int64_t i, auto lanes) {
      even = L::fma(L::load(x + pairs + i, lanes), L::load(y + pairs + i, lanes), even);
    });
    return L::sum(even + odd);
  }

  // h = x + delta
  static void add_rows(const T* x, const T* delta, T* h, std::int64_t n) {
    for_lanes<L>(n, [&](std::int64_t i, auto lanes) {
      L::store(h + i, L::load(x + i, lanes) + L::load(delta + i, lanes), lanes);
    });
  }
};

template <class Isa, class In, class Out>
struct RopeKernel {
  using M = MasterOf<In>;
  using L = Lanes<Isa, M>;
  using V = typename L::V;

  static void run(const Rope& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t heads = a.x.dims[1], half = a.x.dims[2] / 2;
    const M sign = a.rotation == Rotation::forward ? M(1) : M(-1);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t position = *row_of<Isa, std::int32_t>(a.positions, i);
      const M* cosine = row_of<Isa, M>(a.cosine, position);
      const M* sine = row_of<Isa, M>(a.sine, position);
      for (std::int64_t head = 0; head < heads; ++head)
        rotate(row_of<Isa, In>(a.x, i) + head * a.x.strides[1],
               row_of<Isa, Out>(a.out, i) + head * a.out.strides[1], cosine, sine, sign, half);
    }
  }

 private:
  static void rotate(const In* x, Out* out, const M* cosine, const M* sine, M sign, std::int64_t half) {
    for_lanes<L>(half, [&](std::int64_t e, auto lanes) {
      const V low = L::load(x + e, lanes), high = L::load(x + half + e, lanes);
      const V c = L::load(cosine + e, lanes), s = L::load(sine + e, lanes) * sign;
      L::store(out + e, L::fma(low, c, -(high * s)), lanes);
      L::store(out + half + e, L::fma(high, c, low * s), lanes);
    });
  }
};

}  // namespace drover::cpu
