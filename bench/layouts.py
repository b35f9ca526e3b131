#!/usr/bin/env python3
"""Two ranks of one thread beside one rank of two threads, on the same step: layouts.py DROVER [--rounds 2]

    python3 bench/layouts.py build/release/drover

Llama 109M (12 blocks of 768, vocabulary 32000), 16 microbatches of one row of 1024 tokens, ranks in shared memory. Every
round trains one step in each layout, one after the other; what counts is the median of the steps' own times. Efficiency
is the one rank's time over the layout's. For the pipeline also with its bubble and the imbalance of its ranks' FLOPs (of
the dry run) divided out, for every layout the FLOPs of the busiest rank over the mean.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

MICROBATCHES = 16
CONFIG = """
model: {hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12, num_key_value_heads: 12,
        intermediate_size: 2048, vocab_size: 32000, tie_word_embeddings: true}
data: {synthetic: {documents: 100000, vocab_size: 32000, median_length: 400, sigma: 1.5, max_length: 1024}}
train: {dtype: %s, sequence_length: 1024, batch_tokens: 16384, steps: 1}
optimizer: {warmup_steps: 0}
checkpoint: {every: 1000}
"""
LAYOUTS = {"one rank": [], "DP": ["parallel.shard=2"], "TP": ["parallel.tensor=2"],
           "PP": ["parallel.pipeline=2", "parallel.schedule=zb-h1"], "CP": ["parallel.context=2"]}
UNITS = {"": 1, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def run(command):
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(command, env=os.environ | allowed, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def step_seconds(drover, config, layout):
    start = ["mpirun", "--bind-to", "none", "--mca", "pml", "ob1", "--mca", "btl", "self,vader", "-n", "2"]
    with tempfile.TemporaryDirectory() as folder:
        run([*(start if layout else []), drover, "train", config, "--set", f"run.dir={folder}/run", *layout])
        return json.loads((Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()[0])["step_seconds"]


def imbalance(drover, config, layout):
    """FLOPs of the busiest of two ranks over their mean."""
    lines = run([drover, "train", config, "--dry-run", "--ranks", "2", "--set", *layout]).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("rank "))
    end = lines[head].index("FLOPs") + len("FLOPs")
    flops = []
    for line in lines[head + 1:]:
        if re.match(r"\d", line):
            value, unit = re.fullmatch(r"([\d.]+)(\D*)", line[:end].split()[-1]).groups()
            flops += [float(value) * UNITS[unit]] * (2 if re.match(r"\d+-", line) else 1)
    return max(flops) * len(flops) / sum(flops)


def busy_share(drover):
    """Of all ranks' time in the step, by the schedule's simulation."""
    text = run([drover, "schedule", "--schedule", "zb-h1", "--pipeline", "2", "--microbatches", str(MICROBATCHES)])
    return float(re.search(r"compute is ([\d.]+) %", text).group(1)) / 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drover")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    drover = str(Path(arguments.drover).resolve())
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(CONFIG % arguments.dtype)
        file.flush()
        seconds = {name: [] for name in LAYOUTS}
        for _ in range(arguments.rounds):
            for name, layout in LAYOUTS.items():
                seconds[name].append(step_seconds(drover, file.name, layout))
                print(f"{name:<9} {seconds[name][-1]:8.2f} s", flush=True)
        one = statistics.median(seconds.pop("one rank"))
        for name, steps in seconds.items():
            efficiency, busiest = one / statistics.median(steps), imbalance(drover, file.name, LAYOUTS[name])
            text = f"{name}: {efficiency:.3f}; busiest rank {busiest:.3f} of the mean, divided out {efficiency * busiest:.3f}"
            if name == "PP":
                text += f", with the bubble {efficiency * busiest / busy_share(drover):.3f}"
            print(text)


if __name__ == "__main__":
    main()
