// Attention on the CPU over segments, flash-style: tiles of at most a few hundred queries by a few hundred
// keys, never T x T. Formulas, shapes and dtypes: AttentionForward and AttentionBackward of core/ops/backend.h.
//
// The H / K query heads that read one kv head are stacked: a lane is a (query row, query head) pair, lane =
// row * (H / K) + head. Lanes fill vectors, so short documents waste little and the causal edge is narrow.
// What is cut where follows from the shapes and segments alone, and sums over segments, lanes and keys run in
// a fixed order inside one unit of work, so bits do not depend on the number of threads.
//
// Paths: bfloat16 from avx512_bf16 on with E <= 128 has kernels of its own (products of bfloat16 accumulated in
// float32, P and dS rounded to bfloat16); everything else converts tiles to float32 (float64) and computes
// there.
#pragma once

#include <cstdint>

#include "core/base/thread_pool.h"
#include "core/cpu/cpu_backend.h"
#include "core/ops/backend.h"

namespace drover::cpu {

// Bytes of args.scratch for a pool of `workers` threads: a function of shapes, dtype, path and workers, never
// of the segments (worst case over all lists).
std::int64_t attention_scratch_bytes(CpuPath path, const AttentionForward& args, int workers);
std::int64_t attention_scratch_bytes(CpuPath path, const AttentionBackward& args, int workers);

// args.scratch: uint8, at least attention_scratch_bytes(path, args, pool.threads()), 64-byte aligned. Nothing
// allocates. scale > 0; segments as check_segments wants them. Keys outside a segment's range are not read
// for its queries.
void attention_forward(ThreadPool& pool, CpuPath path, const AttentionForward& args);
void attention_backward(ThreadPool& pool, CpuPath path, const AttentionBackward& args);

}  // namespace drover::cpu
