#!/usr/bin/env python3
"""PyTorch on the work of bench_step, in alternation with it: step.py BENCH_STEP [--rounds 3] [bench_step's options]

    python3 -m venv env && env/bin/pip install torch
    env/bin/python bench/peers/step.py build/release/bench/bench_step --threads=1 --model=8m --dtype=bfloat16

The same Llama in plain PyTorch: fused query-key-value and gate-up products, scaled_dot_product_attention, RMSNorm,
float32 loss, clipping, fused AdamW; bfloat16 by autocast. Each round runs both; the last line is the ratio of the
medians of all steps. With one thread seconds are processor time, with more they are wall time.
"""
import argparse
import re
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

SHAPES = {"8m": dict(D=256, L=8, H=8, K=4, F=768, V=8192, tied=True),
          "39m": dict(D=512, L=8, H=8, K=4, F=2048, V=8192, tied=False)}
SEQUENCE = 512


def rms_norm(x, weight):
    if hasattr(F, "rms_norm"):
        return F.rms_norm(x, (x.shape[-1],), weight, 1e-5)
    return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5).to(x.dtype) * weight


def attend(q, k, v):
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    T = q.shape[2]
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf")).softmax(-1) @ v


def rotate(x, cosine, sine):
    low, high = x.chunk(2, -1)
    return torch.cat([low * cosine - high * sine, high * cosine + low * sine], -1).to(x.dtype)


class Llama(torch.nn.Module):
    def __init__(self, D, L, H, K, F, V, tied):
        super().__init__()
        self.H, self.K, self.E = H, K, D // H
        matrix = lambda rows, cols: torch.nn.Parameter(0.02 * torch.randn(rows, cols))
        ones = lambda: torch.nn.Parameter(torch.ones(D))
        self.embedding = matrix(V, D)
        self.head = self.embedding if tied else matrix(V, D)
        self.norm = ones()
        self.blocks = torch.nn.ModuleList(torch.nn.ParameterDict(dict(
            norm1=ones(), norm2=ones(), qkv=matrix((H + 2 * K) * self.E, D), out=matrix(D, D), gate_up=matrix(2 * F, D),
            down=matrix(D, F))) for _ in range(L))
        angles = torch.arange(SEQUENCE)[:, None] * 500000.0 ** (-torch.arange(0, self.E, 2) / self.E)
        self.cosine, self.sine = angles.cos(), angles.sin()

    def forward(self, tokens, targets):
        x = F.embedding(tokens, self.embedding)
        B, T, D = x.shape
        for block in self.blocks:
            qkv = F.linear(rms_norm(x, block["norm1"]), block["qkv"]).view(B, T, -1, self.E).transpose(1, 2)
            q, k, v = qkv.split([self.H, self.K, self.K], 1)
            heads = attend(rotate(q, self.cosine, self.sine), rotate(k, self.cosine, self.sine), v)
            x = x + F.linear(heads.transpose(1, 2).reshape(B, T, D), block["out"])
            gate, up = F.linear(rms_norm(x, block["norm2"]), block["gate_up"]).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, block["down"])
        logits = F.linear(rms_norm(x, self.norm), self.head)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class Peer:
    def __init__(self, options):
        torch.set_num_threads(options.threads)
        torch.manual_seed(1)
        self.clock = time.thread_time if options.threads == 1 else time.monotonic
        self.autocast = options.dtype == "bfloat16"
        shape = SHAPES[options.model]
        self.model = Llama(**shape)
        fused = {"fused": True} if torch.__version__ >= "2.4" else {}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, **fused)
        tokens = torch.randint(shape["V"], (options.rows, SEQUENCE + 1))
        self.batch = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        for _ in range(2):
            self.step()

    def step(self):
        start = self.clock()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            loss = self.model(*self.batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self.clock() - start


def drover_steps(options):
    arguments = [f"--{name}={getattr(options, name)}" for name in ("model", "dtype", "threads", "rows", "steps")]
    output = subprocess.run([options.bench_step, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    print(output.splitlines()[0], flush=True)
    return [float(ms) / 1e3 for ms in re.search(r"steps \[ms\]:(.*)", output)[1].split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench_step")
    parser.add_argument("--model", choices=SHAPES, default="8m")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    for name, value in dict(threads=2, rows=8, steps=3, rounds=3).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    peer = Peer(options)
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours += drover_steps(options)
        theirs += [peer.step() for _ in range(options.steps)]
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    tokens = options.rows * SEQUENCE
    print(f"{options.model} {options.dtype} on {options.threads} threads: drover {tokens / ours:.0f} tokens/s, "
          f"PyTorch {torch.__version__} {tokens / theirs:.0f} tokens/s, ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
