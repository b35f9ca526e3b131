// Inner loops of copies, the loss, the optimizer and reductions (core/cpu/kernels.h). Formulas:
// core/ops/backend.h.
#pragma once

#include "core/cpu/kernels.h"
#include "core/cpu/lanes.h"

namespace drover::cpu {

template <class Isa, class In, class Out>
struct CopyKernel {
  using L =
      Lanes<Isa,
            std::conditional_t<std::is_same_v<In, double> || std::is_same_v<Out, double>, double, float>>;

  static void run(const Copy& a, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const In* in = row_of<Isa, In>(a.in, i);
      Out* out = row_of<Isa, Out>(a.out, i);
      if (a.write == Write::add)
        for_lanes<L>(a.in.dims[1], [&](std::int64_t d, auto lanes) {
          L::store(out + d, L::load(out + d, lanes) + L::load(in + d, lanes), lanes);
        });
      else
        for_lanes<L>(a.in.dims[1],
                     [&](std::int64_t d, auto lanes) { L::store(out + d, L::load(in + d, lanes), lanes); });
    }
  }
};

template <class Isa, class T>
struct ElementKernels {
  using M = MasterOf<T>;
  using L = Lanes<Isa, M>;
  using V = typename L::V;

  static void loss_gradient(const LossGradient& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t vocabulary = a.logits.dims[1];
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int32_t target = *row_of<Isa, std::int32_t>(a.targets, i);
      const M* logits = row_of<Isa, M>(a.logits, i);
      T* out = row_of<Isa, T>(a.dlogits, i);
      if (target < 0) {
        for_lanes<L>(vocabulary, [&](std::int64_t v, auto lanes) { L::store(out + v, V{}, lanes); });
        continue;
      }
      const M lse = *row_of<Isa, M>(a.lse, i);
      const std::int64_t hit = target - a.first_token;
      const M at_target = hit >= 0 && hit < vocabulary ? logits[hit] : M(0);  // out may be logits itself
      for_lanes<L>(vocabulary, [&](std::int64_t v, auto lanes) {
        L::store(out + v, L::exp(L::load(logits + v, lanes) - lse), lanes);
      });
      if (hit >= 0 && hit < vocabulary)
        L::store(out + hit, L::exp(L::all(at_target - lse)) - M(1), FirstLanes{1});
    }
  }

  static void adamw(const AdamW& a, std::int64_t begin, std::int64_t end) {
    const double t = static_cast<double>(a.step);
    const M keep = static_cast<M>(1 - a.lr * a.weight_decay), scale = static_cast<M>(a.gradient_scale);
    const M b1 = static_cast<M>(a.beta1), b2 = static_cast<M>(a.beta2), epsilon = static_cast<M>(a.epsilon);
    const M c1 = static_cast<M>(1 - a.beta1), c2 = static_cast<M>(1 - a.beta2);
    const M rate = static_cast<M>(a.lr / (1 - ::pow(a.beta1, t)));
    const M root = static_cast<M>(1 / ::sqrt(1 - ::pow(a.beta2, t)));
    M* weight = row_of<Isa, M>(a.weight, begin);
    M* moment1 = row_of<Isa, M>(a.moment1, begin);
    M* moment2 = row_of<Isa, M>(a.moment2, begin);
    const M* gradient = row_of<Isa, M>(a.gradient, begin);
    T* working = row_of<Isa, T>(a.working, begin);
    for_lanes<L>(end - begin, [&](std::int64_t i, auto lanes) {
      const V g = L::load(gradient + i, lanes) * scale;
      const V m = L::fma(L::load(moment1 + i, lanes), L::all(b1), g * c1);
      const V v = L::fma(L::load(moment2 + i, lanes), L::all(b2), g * g * c2);
      const V change = m * rate / L::fma(L::sqrt(v), L::all(root), L::all(epsilon));
      const V w = L::fma(L::load(weight + i, lanes), L::all(keep), -change);
      L::store(moment1 + i, m, lanes);
      L::store(moment2 + i, v, lanes);
      L::store(weight + i, w, lanes);
      L::store(working + i, w, lanes);
    });
  }

  static void combine(const Combine& a, std::int64_t begin, std::int64_t end) {
    if (a.reduction == Reduction::sum) fold(a, begin, end, [](V x, V y) { return x + y; });
    // A NaN in any part stays.
    if (a.reduction == Reduction::max) fold(a, begin, end, [](V x, V y) { return x >= y || x != x ? x : y; });
    if (a.reduction == Reduction::min) fold(a, begin, end, [](V x, V y) { return x <= y || x != x ? x : y; });
  }

 private:
  template <class Join>
  static void fold(const Combine& a, std::int64_t begin, std::int64_t end, Join join) {
    T* out = row_of<Isa, T>(a.out, begin);
    const Tensor* parts = a.parts.data();
    const std::int64_t count = std::ssize(a.parts);
    for_lanes<L>(end - begin, [&](std::int64_t i, auto lanes) {
      V sum = L::load(row_of<Isa, T>(parts[0], begin) + i, lanes);
      for (std::int64_t part = 1; part < count; ++part)
        sum = join(sum, L::load(row_of<Isa, T>(parts[part], begin) + i, lanes));
      L::store(out + i, sum, lanes);
      for (const Tensor& copy : a.copies) L::store(row_of<Isa, T>(copy, begin) + i, sum, lanes);
    });
  }
};

template <class Isa, class M>
struct MasterElementKernels {
  using L = Lanes<Isa, M>;
  using V = typename L::V;
  using Wide = Lanes<Isa, double>;

  static void scale(const Scale& a, std::int64_t begin, std::int64_t end) {
    M* x = static_cast<M*>(a.x.data) + begin;
    const M factor = static_cast<M>(a.factor);
    for_lanes<L>(end - begin,
                 [&](std::int64_t i, auto lanes) { L::store(x + i, L::load(x + i, lanes) * factor, lanes); });
  }

  static void loss_statistics(const LossStatistics& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t vocabulary = a.logits.dims[1];
    for (std::int64_t i = begin; i < end; ++i) {
      const M* logits = row_of<Isa, M>(a.logits, i);
      const std::int64_t hit = *row_of<Isa, std::int32_t>(a.targets, i) - a.first_token;
      const M maximum = largest(logits, vocabulary);
      *row_of<Isa, M>(a.maximum, i) = maximum;
      *row_of<Isa, M>(a.sum, i) = static_cast<M>(sum_of_exp(logits, vocabulary, maximum));
      *row_of<Isa, M>(a.target_logit, i) = hit >= 0 && hit < vocabulary ? logits[hit] : M(0);
    }
  }

  static double loss_combine(const LossCombine& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t parts = a.maximum.dims[0];
    double loss = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      M maximum = row_of<Isa, M>(a.maximum, 0)[i];
      for (std::int64_t part = 1; part < parts; ++part) {
        const M other = row_of<Isa, M>(a.maximum, part)[i];
        if (other > maximum) maximum = other;
      }
      double sum = 0, target_logit = 0;
      for (std::int64_t part = 0; part < parts; ++part) {
        const double shift =
            static_cast<double>(row_of<Isa, M>(a.maximum, part)[i]) - static_cast<double>(maximum);
        sum += static_cast<double>(row_of<Isa, M>(a.sum, part)[i]) * ::exp(shift);
        target_logit += static_cast<double>(row_of<Isa, M>(a.target_logit, part)[i]);
      }
      const double lse = static_cast<double>(maximum) + ::log(sum);
      *row_of<Isa, M>(a.lse, i) = static_cast<M>(lse);
      if (*row_of<Isa, std::int32_t>(a.targets, i) >= 0) loss += lse - target_logit;
    }
    return loss;
  }

  static double sum_of_squares(const SumOfSquares& a, std::int64_t begin, std::int64_t end) {
    const M* x = row_of<Isa, M>(a.x, begin);
    typename Wide::V sums[4] = {};
    const std::int64_t n = end - begin, block = 4 * Wide::kCount, whole = n / block * block;
    for (std::int64_t i = 0; i < whole; i += block)
      for (int part = 0; part < 4; ++part) {
        const auto value = Wide::load(x + i + part * Wide::kCount);
        sums[part] = Wide::fma(value, value, sums[part]);
      }
    for_lanes<Wide>(n - whole, [&](std::int64_t i, auto lanes) {
      const auto value = Wide::load(x + whole + i, lanes);
      sums[0] = Wide::fma(value, value, sums[0]);
    });
    return Wide::sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }

 private:
  static M largest(const M* x, std::int64_t n) {
    const M lowest = -static_cast<M>(__builtin_inf());
    V result = L::all(x[0]);
    for_lanes<L>(n, [&](std::int64_t i, auto lanes) {
      const V value = L::load(x + i, lanes, lowest);
      result = value >= result ? value : result;
    });
    return L::largest(result);
  }

  // Lanes add up a block of terms, blocks add up in float64: no term meets a sum of more than kBlock / lanes
  // others.
  static double sum_of_exp(const M* x, std::int64_t n, M maximum) {
    constexpr std::int64_t kBlock = 4096;
    double total = 0;
    for (std::int64_t begin = 0; begin < n; begin += kBlock) {
      const std::int64_t count = n - begin < kBlock ? n - begin : kBlock;
      V sum{};
      for_lanes<L>(count, [&](std::int64_t i, auto lanes) {
        sum += L::exp(L::load(x + begin + i, lanes, -static_cast<M>(__builtin_inf())) - maximum);
      });
      total += static_cast<double>(L::sum(sum));
    }
    return total;
  }
};

}  // namespace drover::cpu
