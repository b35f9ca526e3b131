#!/ usr / bin / env python3
""
    "Two ranks of one thread beside one rank of two threads, on the same step: layouts.py DROVER [--rounds 2]

    nice -
    n -
    5 python3 bench / layouts.py build / release /
        drover

            Llama 109M(12 blocks of 768, vocabulary 32000),
    16 microbatches of one row of 1024 tokens,
    ranks in shared memory.Every round trains one step in each layout, one after the other; what counts is the median of the steps' own times. Efficiency
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

MICROBATCHES, TOKENS = 16, 1024
CONFIG = """
model: {hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12, num_key_value_heads: 12,
        intermediate_size: 2048, vocab_size: 32000, tie_word_embeddings: true}
data: {
synthetic : {
documents:
  100000, vocab_size : 32000, median_length : 400, sigma : 1.5, max_length : 1024
}
}
train : {dtype : % s, sequence_length : 1024, batch_tokens : 16384, steps : 1} optimizer
    : {warmup_steps : 0} checkpoint : {
every:
  1000
}
"""
LAYOUTS = {"one rank": [], "DP": ["parallel.shard=2"], "TP": ["parallel.tensor=2"],
           "PP": ["parallel.pipeline=2", "parallel.schedule=zb-h1"], "CP": ["parallel.context=2"]}


def command(drover, ranks, *arguments):
    start = ["mpirun", "--bind-to", "none", "--mca", "pml", "ob1", "--mca", "btl", "self,vader", "-n", str(ranks)]
    return [*(start if ranks > 1 else []), drover, "train", *arguments]


def run(arguments):
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(arguments, env=os.environ | allowed, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def step_seconds(drover, config, layout, ranks):
    with tempfile.TemporaryDirectory() as folder:
        run(command(drover, ranks, config, "--set", f"run.dir={folder}/run", *layout))
        return json.loads((Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()[0])["step_seconds"]


def imbalance(drover, config, layout):
    """FLOPs of the busiest of two ranks over their mean."""
    report = run([drover, "train", config, "--dry-run", "--ranks", "2", *(["--set", *layout] if layout else [])])
    lines = report.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("rank "))
    end = lines[head].index("FLOPs") + len("FLOPs")
    units = {"": 1, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    cells = [re.fullmatch(r"([\d.]+)(\D*)", line[:end].split()[-1]).groups()
             for line in lines[head + 1:] if re.match(r"\d", line)]
    flops = [float(value) * units[unit] for value, unit in cells]
    return max(flops) * len(flops) / sum(flops)


def idle_share(drover):
    """Of the step, by the schedule's simulation."""
    text = run([drover, "schedule", "--schedule", "zb-h1", "--pipeline", "2", "--microbatches", str(MICROBATCHES)])
    return 1 - float(re.search(r"compute is ([\d.]+) %", text).group(1)) / 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drover")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(CONFIG % arguments.dtype)
        file.flush()
        seconds = {name: [] for name in LAYOUTS}
        for _ in range(arguments.rounds):
            for name, layout in LAYOUTS.items():
                seconds[name].append(step_seconds(arguments.drover, file.name, layout, 2 if layout else 1))
                print(f"{name:<9} {seconds[name][-1]:8.2f} s", flush=True)
        one = statistics.median(seconds["one rank"])
        for name, layout in list(LAYOUTS.items())[1:]:
            busiest = imbalance(arguments.drover, file.name, layout)
            efficiency = one / statistics.median(seconds[name])
            text = f"{name}: {efficiency:.3f}, busiest rank {busiest:.3f} of the mean, divided out {efficiency * busiest:.3f}"
            if name == "PP":
                text += f", bubble too {efficiency * busiest / (1 - idle_share(arguments.drover)):.3f}"
            print(text)


if __name__ == "__main__":
    main()
