#include "core/cpu/attention.h"

#include <algorithm>
#include <cstring>

#include "core/cpu/attention_kernels.h"

namespace drover::cpu {
namespace {

// A stretch of one segment's lanes, for any kv head.
struct ForwardUnit {
  std::int32_t segment;
  std::int32_t lane_begin;
};

// Segments whose key ranges touch add to the same rows of dK and dV: one unit walks them all, in order.
struct BackwardUnit {
  std::int32_t begin, end;  // into the list of segments ordered by key range
  std::int64_t pairs;
};

AttentionKernels kernels_for([[maybe_unused]] CpuPath path, DType dtype,
                             [[maybe_unused]] std::int64_t head_dim) {
#ifdef DROVER_X86
  const bool products = dtype == DType::bfloat16 && head_dim <= kMaxBf16HeadDim;
  if (path >= CpuPath::avx512_bf16 && products) return attention_kernels_avx512bf16(head_dim);
  if (path >= CpuPath::avx512) return attention_kernels_avx512(dtype);
  if (path >= CpuPath::avx2) return attention_kernels_avx2(dtype);
#endif
  return attention_kernels_plain(dtype);
}

template <class Args>
AttentionKernels kernels_for(CpuPath path, const Args& args) {
  return kernels_for(path, args.q.dtype, args.q.dims[2]);
}

template <class Args>
std::int64_t group_of(const Args& args) {
  return args.q.dims[1] / args.k.dims[1];
}

// A list has at most one segment per query row.
std::int64_t max_forward_units(const AttentionForward& args, std::int64_t lanes) {
  return args.q.dims[0] * group_of(args) / lanes + args.q.dims[0];
}

// Hands out pieces of the scratch, in the order the sizes below were summed.
class Scratch {
 public:
  explicit Scratch(const Tensor& tensor) : next_(tensor.as<std::uint8_t>()), end_(next_ + tensor.numel()) {
    DROVER_CHECK(reinterpret_cast<std::uintptr_t>(next_) % Arena::kAlignment == 0, "attention scratch");
  }
  void* take(std::int64_t bytes) {
    void* piece = next_;
    next_ += Arena::aligned(bytes);
    DROVER_CHECK(next_ <= end_, "attention scratch is ", next_ - end_, " bytes short");
    return piece;
  }

 private:
  std::uint8_t *next_, *end_;
};

HeadRows head_rows(const Tensor& t, std::int64_t row, std::int64_t head) {
  const std::int64_t offset = row * t.strides[0] + head * t.strides[1];
  return {static_cast<std::byte*>(t.data) + offset * size_of(t.dtype), t.strides[0], t.strides[1]};
}

HeadRows statistic_rows(const Tensor& t, std::int64_t row, std::int64_t head) {
  const std::int64_t offset = head * t.strides[0] + row;
  return {static_cast<std::byte*>(t.data) + offset * size_of(t.dtype), 1, t.strides[0]};
}

template <class Args>
AttentionTask task_for(const Args& args, const Segment& segment, std::int64_t kv_head) {
  AttentionTask task;
  task.group = group_of(args);
  const std::int64_t head = kv_head * task.group;
  task.q = head_rows(args.q, segment.q_begin, head);
  task.k = head_rows(args.k, segment.kv_begin, kv_head);
  task.v = head_rows(args.v, segment.kv_begin, kv_head);
  task.out = head_rows(args.out, segment.q_begin, head);
  task.lse = statistic_rows(args.lse, segment.q_begin, head);
  task.q_length = segment.q_length();
  task.kv_length = segment.kv_length();
  task.head_dim = args.q.dims[2];
  task.scale = args.scale;
  task.lane_begin = 0;
  task.lane_end = task.q_length * task.group;
  return task;
}

// ---- forward
class ForwardPlan {
 public:
  ForwardPlan(const AttentionForward& args, std::int64_t lanes, ForwardUnit* units)
      : segments_(args.segments), group_(group_of(args)), lanes_(lanes), units_(units) {
    for (std::size_t s = 0; s < segments_.size(); ++s)
      for (std::int64_t lane = 0; lane < segments_[s].q_length() * group_; lane += lanes)
        units_[count_++] = {static_cast<std::int32_t>(s), static_cast<std::int32_t>(lane)};
    // Largest first, so that the last units to be handed out are short.
    std::sort(units_, units_ + count_, [this](const ForwardUnit& a, const ForwardUnit& b) {
      const std::int64_t work_a = work(a), work_b = work(b);
      if (work_a != work_b) return work_a > work_b;
      return a.segment != b.segment ? a.segment < b.segment : a.lane_begin < b.lane_begin;
    });
  }

  std::int64_t count() const { return count_; }
  const ForwardUnit& operator[](std::int64_t i) const { return units_[i]; }
  std::int64_t lane_end(const ForwardUnit& unit) const {
    return std::min(unit.lane_begin + lanes_, segments_[unit.segment].q_length() * group_);
  }

 private:
  std::int64_t work(const ForwardUnit& unit) const {
    const Segment& segment = segments_[unit.segment];
    const std::int64_t end = lane_end(unit);
    return (end - unit.lane_begin) * (segment.kv_length() - segment.q_length() + (end - 1) / group_ + 1);
  }

  std::span<const Segment> segments_;
  std::int64_t group_, lanes_, count_ = 0;
  ForwardUnit* units_;
};

// ---- backward
class BackwardPlan {
 public:
  BackwardPlan(std::span<const Segment> segments, std::int32_t* order, BackwardUnit* units)
      : segments_(segments), order_(order), units_(units) {
    const auto count = static_cast<std::int32_t>(segments.size());
    for (std::int32_t s = 0; s < count; ++s) order_[s] = s;
    std::sort(order_, order_ + count, [segments](std::int32_t a, std::int32_t b) {
      if (segments[a].kv_begin != segments[b].kv_begin) return segments[a].kv_begin < segments[b].kv_begin;
      return a < b;
    });
    join(count);
    std::sort(units_, units_ + count_, [](const BackwardUnit& a, const BackwardUnit& b) {
      return a.pairs != b.pairs ? a.pairs > b.pairs : a.begin < b.begin;
    });
  }

  std::int64_t count() const { return count_; }
  const BackwardUnit& operator[](std::int64_t i) const { return units_[i]; }
  const Segment& segment(std::int32_t place) const { return segments_[order_[place]]; }

 private:
  void join(std::int32_t segments) {
    std::int32_t kv_end = 0;
    for (std::int32_t place = 0; place < segments; ++place) {
      const Segment& next = segment(place);
      if (place == 0 || next.kv_begin >= kv_end) units_[count_++] = {place, place, 0};
      BackwardUnit& unit = units_[count_ - 1];
      unit.end = place + 1;
      unit.pairs += next.pairs();
      kv_end = std::max(kv_end, next.kv_end);
    }
  }

  std::span<const Segment> segments_;
  std::int32_t* order_;
  BackwardUnit* units_;
  std::int64_t count_ = 0;
};

// Keys nobody sees keep these zeros.
void clear(ThreadPool& pool, const Tensor& out) {
  constexpr std::int64_t kRows = 256;
  const std::int64_t rows = out.dims[0], row_bytes = out.dims[1] * out.dims[2] * size_of(out.dtype);
  pool.run((rows + kRows - 1) / kRows, [&](std::int64_t tile, int) {
    for (std::int64_t row = tile * kRows; row < std::min(rows, (tile + 1) * kRows); ++row)
      std::memset(head_rows(out, row, 0).data, 0, static_cast<std::size_t>(row_bytes));
  });
}

}  // namespace

std::int64_t attention_scratch_bytes(CpuPath path, const AttentionForward& args, int workers) {
  const AttentionKernels kernels = kernels_for(path, args);
  const std::int64_t units = max_forward_units(args, kernels.forward_lanes);
  return Arena::aligned(units * static_cast<std::int64_t>(sizeof(ForwardUnit))) +
         workers * Arena::aligned(kernels.forward_workspace(args.q.dims[2]));
}

std::int64_t attention_scratch_bytes(CpuPath path, const AttentionBackward& args, int workers) {
  const std::int64_t segments = args.q.dims[0];
  return Arena::aligned(segments * static_cast<std::int64_t>(sizeof(std::int32_t))) +
         Arena::aligned(segments * static_cast<std::int64_t>(sizeof(BackwardUnit))) +
         workers * Arena::aligned(kernels_for(path, args).backward_workspace(args.q.dims[2]));
}

void attention_forward(ThreadPool& pool, CpuPath path, const AttentionForward& args) {
  if (args.q.data == nullptr) return;
  DROVER_CHECK(args.scale > 0, "attention scale ", args.scale);
  const AttentionKernels kernels = kernels_for(path, args);
  const std::int64_t workspace = Arena::aligned(kernels.forward_workspace(args.q.dims[2])),
                     heads = args.k.dims[1];
  Scratch scratch(args.scratch);
  const std::int64_t max_units = max_forward_units(args, kernels.forward_lanes);
  auto* units =
      static_cast<ForwardUnit*>(scratch.take(max_units * static_cast<std::int64_t>(sizeof(ForwardUnit))));
  auto* workspaces = static_cast<std::byte*>(scratch.take(pool.threads() * workspace));
  const ForwardPlan plan(args, kernels.forward_lanes, units);
  pool.run(plan.count() * heads, [&](std::int64_t tile, int worker) {
    const ForwardUnit& unit = plan[tile / heads];
    AttentionTask task = task_for(args, args.segments[unit.segment], tile % heads);
    task.lane_begin = unit.lane_begin;
    task.lane_end = plan.lane_end(unit);
    kernels.forward(task, workspaces + worker * workspace);
  });
}

void attention_backward(ThreadPool& pool, CpuPath path, const AttentionBackward& args) {
  if (args.q.data == nullptr) return;
  DROVER_CHECK(args.scale > 0, "attention scale ", args.scale);
  const AttentionKernels kernels = kernels_for(path, args);
  const std::int64_t workspace = Arena::aligned(kernels.backward_workspace(args.q.dims[2])),
                     heads = args.k.dims[1];
  const auto segments = static_cast<std::int64_t>(args.segments.size());
  Scratch scratch(args.scratch);
  auto* order =
      static_cast<std::int32_t*>(scratch.take(segments * static_cast<std::int64_t>(sizeof(std::int32_t))));
  auto* units =
      static_cast<BackwardUnit*>(scratch.take(segments * static_cast<std::int64_t>(sizeof(BackwardUnit))));
  auto* workspaces = static_cast<std::byte*>(scratch.take(pool.threads() * workspace));
  const BackwardPlan plan(args.segments, order, units);
  clear(pool, args.dk);
  clear(pool, args.dv);
  pool.run(plan.count() * heads, [&](std::int64_t tile, int worker) {
    const BackwardUnit& unit = plan[tile / heads];
    for (std::int32_t place = unit.begin; place < unit.end; ++place) {
      const Segment& segment = plan.segment(place);
      AttentionTask task = task_for(args, segment, tile % heads);
      task.dout = head_rows(args.dout, segment.q_begin, tile % heads * task.group);
      task.dq = head_rows(args.dq, segment.q_begin, tile % heads * task.group);
      task.dk = head_rows(args.dk, segment.kv_begin, tile % heads);
      task.dv = head_rows(args.dv, segment.kv_begin, tile % heads);
      kernels.backward(task, workspaces + worker * workspace);
    }
  });
}

}  // namespace drover::cpu
