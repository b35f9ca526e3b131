"""A Llama in plain float64 PyTorch operations gives what Drover gives: logits, loss, every gradient, and the weights after 20 AdamW
steps, each within 1e-9, relative both in norm and in maximum."""
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
TOLERANCE = 1e-9

# Sizes are odd where the model allows it. rows x length tokens a step, cut into ragged documents.
CASES = {
    "multi-head": dict(d=24, l=2, h=3, k=3, f=20, v=37),
    "grouped queries, untied": dict(d=48, l=3, h=6, k=2, f=35, v=101, theta=500000),
    "one kv head, tied": dict(d=40, l=2, h=4, k=1, f=52, v=61, tied=1),
    "scaled RoPE past its original length": dict(d=32, l=2, h=2, k=1, f=24, v=53, factor=8, original=16, length=64, rows=3),
    "head size apart from hidden size, odd everything": dict(d=27, l=1, h=5, k=5, e=14, f=19, v=29, length=17, rows=7),
    "longer documents than rows, tied and scaled": dict(d=32, l=2, h=4, k=2, f=40, v=43, tied=1, factor=4, original=8, length=9, rows=11),
}


def rope_angles(case, positions):
    e = case.get("e", 0) or case["d"] // case["h"]
    frequency = case.get("theta", 10000.0) ** (-torch.arange(0, e, 2) / e)
    if case.get("factor", 0):
        wavelength = 2 * math.pi / frequency
        original = case["original"]
        smooth = ((original / wavelength - 1) / (4 - 1)).clamp(0, 1)  # low_freq_factor 1, high_freq_factor 4
        frequency = (1 - smooth) * frequency / case["factor"] + smooth * frequency
    return positions[:, None] * frequency[None, :]


def rotate(x, angles):
    half = x.shape[-1] // 2
    cos, sin = angles.cos()[:, None, :], angles.sin()[:, None, :]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def norm(x, weight):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight


def attention(q, k, v, document):
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    scores = torch.einsum("qhe,khe->hqk", q, k) / math.sqrt(q.shape[-1])
    index = torch.arange(q.shape[0])
    visible = (document[:, None] == document[None, :]) & (index[:, None] >= index[None, :])
    return torch.einsum("hqk,khe->qhe", scores.masked_fill(~visible, -math.inf).softmax(-1), v)


def logits_of(case, weights, batch):
    tokens, positions, document = batch["tokens"], batch["positions"], batch["document"]
    n, h, k = len(tokens), case["h"], case["k"]
    angles = rope_angles(case, positions)
    x = weights["model.embed_tokens.weight"][tokens]
    for layer in range(case["l"]):
        w = {name[len(f"model.layers.{layer}."):]: t for name, t in weights.items() if name.startswith(f"model.layers.{layer}.")}
        y = norm(x, w["input_layernorm.weight"])
        q, key, v = ((y @ w[f"self_attn.{p}_proj.weight"].T).view(n, heads, -1) for p, heads in (("q", h), ("k", k), ("v", k)))
        y = attention(rotate(q, angles), rotate(key, angles), v, document).reshape(n, -1)
        x = x + y @ w["self_attn.o_proj.weight"].T
        y = norm(x, w["post_attention_layernorm.weight"])
        gate, up = y @ w["mlp.gate_proj.weight"].T, y @ w["mlp.up_proj.weight"].T
        x = x + (gate * torch.sigmoid(gate) * up) @ w["mlp.down_proj.weight"].T
    head = weights["model.embed_tokens.weight" if case.get("tied") else "lm_head.weight"]
    return norm(x, weights["model.norm.weight"]) @ head.T


def shapes(case):
    d, f, v = case["d"], case["f"], case["v"]
    e = case.get("e", 0) or d // case["h"]
    result = {"model.embed_tokens.weight": (v, d), "model.norm.weight": (d,)}
    if not case.get("tied"):
        result["lm_head.weight"] = (v, d)
    for layer in range(case["l"]):
        p = f"model.layers.{layer}."
        result |= {p + "input_layernorm.weight": (d,), p + "post_attention_layernorm.weight": (d,),
                   p + "self_attn.q_proj.weight": (case["h"] * e, d), p + "self_attn.k_proj.weight": (case["k"] * e, d),
                   p + "self_attn.v_proj.weight": (case["k"] * e, d), p + "self_attn.o_proj.weight": (d, case["h"] * e),
                   p + "mlp.gate_proj.weight": (f, d), p + "mlp.up_proj.weight": (f, d), p + "mlp.down_proj.weight": (d, f)}
    return result


def read_parameters(folder, case):
    wanted = shapes(case)
    assert sorted(p.name[:-4] for p in folder.iterdir()) == sorted(wanted), "other parameters than a Llama of this shape has"
    return {name: torch.tensor(np.load(folder / f"{name}.npy")).view(shape) for name, shape in wanted.items()}


def read_batch(out, step):
    load = lambda name: torch.tensor(np.load(out / f"{name}_{step}.npy").astype(np.int64))
    tokens, begins = load("tokens"), load("segments")
    document = torch.zeros(len(tokens), dtype=torch.int64)
    document[begins[1:]] = 1
    return dict(tokens=tokens, targets=load("targets"), positions=load("positions"), document=document.cumsum(0))


def loss_of(case, weights, batch):
    logits = logits_of(case, weights, batch)
    valid = batch["targets"] >= 0
    return logits, torch.nn.functional.cross_entropy(logits[valid], batch["targets"][valid])


def distance(a, b):
    return max(((a - b).norm() / b.norm()).item(), ((a - b).abs().max() / b.abs().max()).item())


def check(what, a, b, worst):
    worst[what] = max(worst.get(what, 0.0), distance(a, b))
    if not worst[what] <= TOLERANCE:
        raise AssertionError(f"{what}: relative difference {worst[what]:.3e} is above {TOLERANCE:.0e}")


def run_case(case, out):
    subprocess.run([os.path.join(os.environ["DROVER_TOOLS"], "parity_tool"), str(out), *(f"{k}={v}" for k, v in case.items())], check=True)
    weights = {name: w.requires_grad_() for name, w in read_parameters(out / "first", case).items()}
    gradients, last = read_parameters(out / "gradients", case), read_parameters(out / "last", case)
    losses, norms, rates = (np.load(out / f"{name}.npy") for name in ("losses", "norms", "rates"))
    worst = {}
    matrices = [w for w in weights.values() if w.dim() > 1]
    vectors = [w for w in weights.values() if w.dim() == 1]
    adamw = torch.optim.AdamW([dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)],
                              betas=(0.9, 0.95), eps=1e-5)
    for step, rate in enumerate(rates):
        batch = read_batch(out, step)
        logits, loss = loss_of(case, weights, batch)
        adamw.zero_grad()
        loss.backward()
        check("loss", torch.tensor(losses[step]), loss.detach(), worst)
        if step == 0:
            check("logits", torch.tensor(np.load(out / "logits.npy")), logits.detach(), worst)
            count = (batch["targets"] >= 0).sum()
            for name, w in weights.items():
                check(f"gradient of {name}", gradients[name] / count, w.grad, worst)
        total = torch.sqrt(sum(w.grad.pow(2).sum() for w in weights.values()))
        check("gradient norm", torch.tensor(norms[step]), total, worst)
        for w in weights.values():
            w.grad *= min(1.0, 0.5 / total.item())
        for group in adamw.param_groups:
            group["lr"] = rate
        adamw.step()
    for name, w in weights.items():
        check(f"weight {name} after {len(rates)} steps", last[name], w.detach(), worst)
    clipped = (norms > 0.5).sum()
    assert clipped > 0 and np.all(np.isfinite(losses)), "a case where clipping never acts proves less"
    return max(worst, key=worst.get), max(worst.values()), clipped


def main():
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as out:
            what, value, clipped = run_case(case, Path(out))
            print(f"{name}: worst {value:.1e} ({what}); gradients clipped in {clipped} of 20 steps", flush=True)
    print(f"{len(CASES)} passed, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
