#include "core/ops/ops.h"

#include <initializer_list>
#include <string_view>

namespace drover::ops {

namespace {

// One operand by the name the caller knows it by, for messages.
struct Named {
  std::string_view name;
  const Tensor& tensor;
};

// The checks of one verb: each names the verb and the operand that doesn't fit. What holds for every verb follows from
// its list of operands; shapes and dtypes are asked for one by one.
class Check {
 public:
  template <class Arguments>
  Check(const Exec& exec, const Arguments& arguments)
      : device_(exec.backend.memory().device()), verb_(Arguments::kVerb) {
    const auto operands = arguments.operands();
    for (const Operand& operand : operands) placed(operand);
    for (const Operand& operand : operands)
      if (is_written(operand.access)) apart(operand, operands);
  }

  void that(bool condition, std::string_view rule, std::initializer_list<Named> operands) const {
    if (condition) return;
    std::string message = cat(verb_, ": ", rule);
    for (const Named& operand : operands)
      message += cat("; ", operand.name, " is ",
                     operand.tensor.empty() ? std::string("empty") : operand.tensor.describe());
    DROVER_CHECK(false, message);
  }

  void shape(const Named& x, std::initializer_list<std::int64_t> dims) const {
    bool same = x.tensor.rank == static_cast<int>(dims.size());
    int dim = 0;
    for (std::int64_t wanted : dims) same = same && x.tensor.dims[static_cast<std::size_t>(dim++)] == wanted;
    if (!same) that(false, cat("expected ", Tensor::of(nullptr, x.tensor.dtype, dims).describe()), {x});
  }
  void rank(const Named& x, int rank) const {
    if (x.tensor.rank != rank) that(false, cat("expected ", rank, " dims"), {x});
  }
  void dtype(const Named& x, DType wanted) const {
    if (x.tensor.dtype != wanted) that(false, cat("expected ", name_of(wanted)), {x});
  }
  void compute(const Named& x) const { that(is_compute(x.tensor.dtype), "expected a compute dtype", {x}); }
  void master(const Named& x) const {
    that(x.tensor.dtype == DType::float32 || x.tensor.dtype == DType::float64, "expected a master dtype",
         {x});
  }
  void compute_or_master(const Named& x, DType compute) const {
    that(x.tensor.dtype == compute || x.tensor.dtype == master_dtype(compute),
         "expected the compute or master dtype", {x});
  }
  void contiguous(std::initializer_list<Named> operands) const {
    for (const Named& x : operands) that(x.tensor.contiguous(), "must be contiguous", {x});
  }

  static bool is_compute(DType dtype) {
    return dtype == DType::float64 || dtype == DType::float32 || dtype == DType::bfloat16;
  }

 private:
  // There, and on the right device. Null data is legal on any device: shape-only runs.
  void placed(const Operand& operand) const {
    that(operand.optional || !operand.tensors.empty(), "an operand is missing", {{operand.name, {}}});
    for (const Tensor& x : operand.tensors) {
      if (x.empty() && operand.optional) continue;
      const Named named{operand.name, x};
      that(!x.empty(), "an operand is missing", {named});
      that(x.data == nullptr || x.device == device_, "an operand lives on another device", {named});
      that(x.numel() == 0 || x.strides[static_cast<std::size_t>(x.rank - 1)] == 1,
           "the innermost dim must be contiguous", {named});
    }
  }
  // A written operand from all others.
  void apart(const Operand& written, std::span<const Operand> operands) const {
    for (const Operand& other : operands) {
      if (&other == &written) continue;
      const bool may_be = written.may_be == other.name;
      for (const Tensor& out : written.tensors)
        for (const Tensor& x : other.tensors)
          that(!overlap(out, x) || (may_be && same_view(out, x)), "what is written overlaps another operand",
               {{written.name, out}, {other.name, x}});
    }
  }

  DeviceKind device_;
  std::string_view verb_;
};

// Runs `verb` with the scratch the backend wants for it, taken for the duration of the call.
template <class Arguments, class Verb>
void with_scratch(const Exec& exec, Arguments& arguments, Verb verb) {
  const Arena::Scope scope(exec.scratch);
  if (const std::int64_t bytes = exec.backend.scratch_bytes(arguments); bytes > 0)
    arguments.scratch = exec.scratch.take(DType::uint8, {bytes});
  verb();
}

// [N, heads, E] operands of attention.
void check_heads(const Check& check, const Tensor& q, const Tensor& k) {
  check.rank({"q", q}, 3);
  check.rank({"k", k}, 3);
  check.compute({"q", q});
  check.that(k.dims[1] >= 1 && q.dims[1] % k.dims[1] == 0, "query heads must be a multiple of kv heads",
             {{"q", q}, {"k", k}});
}

void same_as(const Check& check, const Named& x, const Tensor& pattern, DType dtype) {
  if (!same_shape(x.tensor, pattern))
    check.that(false, cat("expected the shape of ", pattern.describe()), {x});
  check.dtype(x, dtype);
}

}  // namespace

void fill(const Exec& exec, const Fill& a) {
  const Check check(exec, a);
  exec.backend.fill(exec, a);
}

void copy(const Exec& exec, const Copy& a) {
  const Check check(exec, a);
  check.that(same_shape(a.in, a.out), "shapes differ", {{"in", a.in}, {"out", a.out}});
  const bool numbers = Check::is_compute(a.in.dtype) && Check::is_compute(a.out.dtype);
  check.that(numbers || (a.in.dtype == a.out.dtype && a.write == Write::assign),
             "integers are only copied to the same dtype", {{"in", a.in}, {"out", a.out}});
  exec.backend.copy(exec, a);
}

void scale(const Exec& exec, const Scale& a) {
  const Check check(exec, a);
  check.master({"x", a.x});
  check.contiguous({{"x", a.x}});
  exec.backend.scale(exec, a);
}

void matmul(const Exec& exec, const Matmul& m) {
  const Check check(exec, m);
  check.rank({"out", m.out}, 2);
  check.rank({"a", m.a}, 2);
  const std::int64_t rows = m.out.dims[0], cols = m.out.dims[1],
                     depth = m.a.dims[m.product == Product::tn ? 0 : 1];
  check.compute({"a", m.a});
  check.dtype({"b", m.b}, m.a.dtype);
  if (m.product == Product::tn)
    check.shape({"a", m.a}, {depth, rows});
  else
    check.shape({"a", m.a}, {rows, depth});
  if (m.product == Product::nt)
    check.shape({"b", m.b}, {cols, depth});
  else
    check.shape({"b", m.b}, {depth, cols});
  check.compute_or_master({"out", m.out}, m.a.dtype);
  check.that(m.write == Write::assign || m.out.dtype == master_dtype(m.a.dtype),
             "adding needs a master result", {{"out", m.out}});
  exec.backend.matmul(exec, m);
}

void rmsnorm_forward(const Exec& exec, const RmsNormForward& a) {
  const Check check(exec, a);
  check.rank({"x", a.x}, 2);
  check.compute({"x", a.x});
  same_as(check, {"y", a.y}, a.x, a.x.dtype);
  check.that(a.delta.empty() == a.h.empty(), "delta and h come together", {{"delta", a.delta}, {"h", a.h}});
  if (!a.delta.empty()) same_as(check, {"delta", a.delta}, a.x, a.x.dtype);
  if (!a.h.empty()) same_as(check, {"h", a.h}, a.x, a.x.dtype);
  check.shape({"weight", a.weight}, {a.x.dims[1]});
  check.dtype({"weight", a.weight}, a.x.dtype);
  check.shape({"rstd", a.rstd}, {a.x.dims[0]});
  check.dtype({"rstd", a.rstd}, master_dtype(a.x.dtype));
  exec.backend.rmsnorm_forward(exec, a);
}

void rmsnorm_backward_input(const Exec& exec, const RmsNormBackwardInput& a) {
  const Check check(exec, a);
  check.rank({"h", a.h}, 2);
  check.compute({"h", a.h});
  same_as(check, {"dy", a.dy}, a.h, a.h.dtype);
  same_as(check, {"dh", a.dh}, a.h, a.h.dtype);
  if (!a.dresidual.empty()) same_as(check, {"dresidual", a.dresidual}, a.h, a.h.dtype);
  check.shape({"weight", a.weight}, {a.h.dims[1]});
  check.dtype({"weight", a.weight}, a.h.dtype);
  check.shape({"rstd", a.rstd}, {a.h.dims[0]});
  check.dtype({"rstd", a.rstd}, master_dtype(a.h.dtype));
  exec.backend.rmsnorm_backward_input(exec, a);
}

void rmsnorm_backward_weight(const Exec& exec, RmsNormBackwardWeight a) {
  const Check check(exec, a);
  check.rank({"h", a.h}, 2);
  check.compute({"h", a.h});
  same_as(check, {"dy", a.dy}, a.h, a.h.dtype);
  check.shape({"rstd", a.rstd}, {a.h.dims[0]});
  check.dtype({"rstd", a.rstd}, master_dtype(a.h.dtype));
  check.shape({"dweight", a.dweight}, {a.h.dims[1]});
  check.dtype({"dweight", a.dweight}, master_dtype(a.h.dtype));
  with_scratch(exec, a, [&] { exec.backend.rmsnorm_backward_weight(exec, a); });
}

void rope(const Exec& exec, const Rope& a) {
  const Check check(exec, a);
  check.rank({"x", a.x}, 3);
  check.rank({"cosine", a.cosine}, 2);
  check.master({"cosine", a.cosine});
  check.that(same_shape(a.x, a.out), "shapes differ", {{"x", a.x}, {"out", a.out}});
  const DType master = a.cosine.dtype;
  check.that(Check::is_compute(a.x.dtype) && master_dtype(a.x.dtype) == master,
             "expected the compute or master dtype", {{"x", a.x}, {"cosine", a.cosine}});
  check.that(Check::is_compute(a.out.dtype) && master_dtype(a.out.dtype) == master,
             "expected the compute or master dtype", {{"out", a.out}, {"cosine", a.cosine}});
  check.that(a.x.dims[2] == 2 * a.cosine.dims[1], "the tables must have half as many columns as a head",
             {{"x", a.x}, {"cosine", a.cosine}});
  same_as(check, {"sine", a.sine}, a.cosine, master);
  check.contiguous({{"cosine", a.cosine}, {"sine", a.sine}});
  check.shape({"positions", a.positions}, {a.x.dims[0]});
  check.dtype({"positions", a.positions}, DType::int32);
  exec.backend.rope(exec, a);
}

void attention_forward(const Exec& exec, AttentionForward a) {
  const Check check(exec, a);
  check_heads(check, a.q, a.k);
  check.shape({"k", a.k}, {a.k.dims[0], a.k.dims[1], a.q.dims[2]});
  check.dtype({"k", a.k}, a.q.dtype);
  same_as(check, {"v", a.v}, a.k, a.q.dtype);
  same_as(check, {"out", a.out}, a.q, a.q.dtype);
  check.shape({"lse", a.lse}, {a.q.dims[1], a.q.dims[0]});
  check.dtype({"lse", a.lse}, master_dtype(a.q.dtype));
  check_segments(a.segments, a.q.dims[0], a.k.dims[0]);
  with_scratch(exec, a, [&] { exec.backend.attention_forward(exec, a); });
}

void attention_backward(const Exec& exec, AttentionBackward a) {
  const Check check(exec, a);
  check_heads(check, a.q, a.k);
  const DType compute = a.q.dtype, master = master_dtype(compute);
  check.shape({"k", a.k}, {a.k.dims[0], a.k.dims[1], a.q.dims[2]});
  check.dtype({"k", a.k}, compute);
  same_as(check, {"v", a.v}, a.k, compute);
  same_as(check, {"out", a.out}, a.q, compute);
  same_as(check, {"dout", a.dout}, a.q, compute);
  same_as(check, {"dq", a.dq}, a.q, compute);
  same_as(check, {"dk", a.dk}, a.k, master);
  same_as(check, {"dv", a.dv}, a.k, master);
  check.shape({"lse", a.lse}, {a.q.dims[1], a.q.dims[0]});
  check.dtype({"lse", a.lse}, master);
  check_segments(a.segments, a.q.dims[0], a.k.dims[0]);
  with_scratch(exec, a, [&] { exec.backend.attention_backward(exec, a); });
}

void swiglu_forward(const Exec& exec, const SwigluForward& a) {
  const Check check(exec, a);
  check.rank({"y", a.y}, 2);
  check.compute({"y", a.y});
  check.shape({"gate_up", a.gate_up}, {a.y.dims[0], 2 * a.y.dims[1]});
  check.dtype({"gate_up", a.gate_up}, a.y.dtype);
  exec.backend.swiglu_forward(exec, a);
}

void swiglu_backward(const Exec& exec, const SwigluBackward& a) {
  const Check check(exec, a);
  check.rank({"dy", a.dy}, 2);
  check.compute({"dy", a.dy});
  check.shape({"gate_up", a.gate_up}, {a.dy.dims[0], 2 * a.dy.dims[1]});
  check.dtype({"gate_up", a.gate_up}, a.dy.dtype);
  same_as(check, {"dgate_up", a.dgate_up}, a.gate_up, a.dy.dtype);
  exec.backend.swiglu_backward(exec, a);
}

void embedding_forward(const Exec& exec, const EmbeddingForward& a) {
  const Check check(exec, a);
  check.rank({"table", a.table}, 2);
  check.compute({"table", a.table});
  check.rank({"tokens", a.tokens}, 1);
  check.dtype({"tokens", a.tokens}, DType::int32);
  check.shape({"out", a.out}, {a.tokens.dims[0], a.table.dims[1]});
  check.dtype({"out", a.out}, a.table.dtype);
  exec.backend.embedding_forward(exec, a);
}

void embedding_backward(const Exec& exec, EmbeddingBackward a) {
  const Check check(exec, a);
  check.rank({"dtable", a.dtable}, 2);
  check.rank({"tokens", a.tokens}, 1);
  check.dtype({"tokens", a.tokens}, DType::int32);
  check.shape({"dout", a.dout}, {a.tokens.dims[0], a.dtable.dims[1]});
  check.compute({"dout", a.dout});
  check.dtype({"dtable", a.dtable}, master_dtype(a.dout.dtype));
  with_scratch(exec, a, [&] { exec.backend.embedding_backward(exec, a); });
}

void loss_statistics(const Exec& exec, const LossStatistics& a) {
  const Check check(exec, a);
  check.rank({"logits", a.logits}, 2);
  check.master({"logits", a.logits});
  const std::int64_t rows = a.logits.dims[0];
  check.shape({"targets", a.targets}, {rows});
  check.dtype({"targets", a.targets}, DType::int32);
  for (const Named& x :
       {Named{"maximum", a.maximum}, Named{"sum", a.sum}, Named{"target_logit", a.target_logit}}) {
    check.shape(x, {rows});
    check.dtype(x, a.logits.dtype);
  }
  exec.backend.loss_statistics(exec, a);
}

void loss_combine(const Exec& exec, const LossCombine& a) {
  const Check check(exec, a);
  check.rank({"maximum", a.maximum}, 2);
  check.master({"maximum", a.maximum});
  check.that(a.maximum.dims[0] >= 1, "expected at least one part", {{"maximum", a.maximum}});
  same_as(check, {"sum", a.sum}, a.maximum, a.maximum.dtype);
  same_as(check, {"target_logit", a.target_logit}, a.maximum, a.maximum.dtype);
  check.shape({"targets", a.targets}, {a.maximum.dims[1]});
  check.dtype({"targets", a.targets}, DType::int32);
  check.shape({"lse", a.lse}, {a.maximum.dims[1]});
  check.dtype({"lse", a.lse}, a.maximum.dtype);
  check.shape({"loss", a.loss}, {1});
  check.dtype({"loss", a.loss}, DType::float64);
  exec.backend.loss_combine(exec, a);
}

void loss_gradient(const Exec& exec, const LossGradient& a) {
  const Check check(exec, a);
  check.rank({"logits", a.logits}, 2);
  check.master({"logits", a.logits});
  check.shape({"targets", a.targets}, {a.logits.dims[0]});
  check.dtype({"targets", a.targets}, DType::int32);
  check.shape({"lse", a.lse}, {a.logits.dims[0]});
  check.dtype({"lse", a.lse}, a.logits.dtype);
  check.shape({"dlogits", a.dlogits}, {a.logits.dims[0], a.logits.dims[1]});
  check.that(Check::is_compute(a.dlogits.dtype) && master_dtype(a.dlogits.dtype) == a.logits.dtype,
             "expected the compute dtype of these logits", {{"dlogits", a.dlogits}, {"logits", a.logits}});
  exec.backend.loss_gradient(exec, a);
}

void adamw(const Exec& exec, const AdamW& a) {
  const Check check(exec, a);
  check.rank({"weight", a.weight}, 1);
  check.master({"weight", a.weight});
  for (const Named& x :
       {Named{"moment1", a.moment1}, Named{"moment2", a.moment2}, Named{"gradient", a.gradient}})
    same_as(check, x, a.weight, a.weight.dtype);
  check.shape({"working", a.working}, {a.weight.dims[0]});
  check.compute({"working", a.working});
  check.that(master_dtype(a.working.dtype) == a.weight.dtype, "expected the compute dtype of this master",
             {{"working", a.working}, {"weight", a.weight}});
  DROVER_CHECK(a.step >= 1, "adamw: steps count from 1, got ", a.step);
  exec.backend.adamw(exec, a);
}

void sum_of_squares(const Exec& exec, const SumOfSquares& a) {
  const Check check(exec, a);
  check.rank({"x", a.x}, 1);
  check.master({"x", a.x});
  check.shape({"out", a.out}, {1});
  check.dtype({"out", a.out}, DType::float64);
  exec.backend.sum_of_squares(exec, a);
}

void combine(const Exec& exec, const Combine& a) {
  const Check check(exec, a);
  check.rank({"out", a.out}, 1);
  check.that(Check::is_compute(a.out.dtype) || a.out.dtype == DType::int64,
             "expected float64, float32, bfloat16 or int64", {{"out", a.out}});
  for (const Tensor& part : a.parts) same_as(check, {"parts", part}, a.out, a.out.dtype);
  for (const Tensor& copy : a.copies) same_as(check, {"copies", copy}, a.out, a.out.dtype);
  exec.backend.combine(exec, a);
}

}  // namespace drover::ops
