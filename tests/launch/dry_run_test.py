"""`drover train --dry-run` beside the run it tells of, and on models and machines that are not here."""
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import process_tests
from process_tests import skips

DROVER = os.environ["DROVER_BIN"]
SOURCE = Path(os.environ["DROVER_SOURCE_DIR"])
UNITS = {"": 1, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
BYTES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def drover(*arguments, ranks=None, status=0):
    if ranks:
        process_tests.need_processes()
    start = [*process_tests.MPIRUN, str(ranks)] if ranks else []
    done = subprocess.run([*start, DROVER, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{arguments}: exit {done.returncode}, not {status}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def dry(config, *arguments, ranks=None):
    return drover("train", SOURCE / "configs" / config, "--dry-run", *arguments, ranks=ranks)


def column(report, name, units):
    """The numbers under a heading, by row of the table."""
    lines = report.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("rank "))
    end = lines[head].index(name) + len(name)
    cells = [line[:end].split()[-1] for line in lines[head + 1:] if re.match(r"\d", line)]
    parts = [re.fullmatch(r"([\d.]+)(\D*)", cell).groups() for cell in cells]
    return [float(value) * units[unit] for value, unit in parts]


def flops_of_the_model(report):
    return int(re.search(r"(\d+) FLOPs of the model", report).group(1))


class DryRun(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.run_dir = Path(self.folder.name) / "run"

    def train(self, ranks):
        drover("train", SOURCE / "configs" / "tiny.yaml", "--set", "train.steps=1", "optimizer.warmup_steps=0",
               f"run.dir={self.run_dir}", ranks=ranks)
        step = json.loads((self.run_dir / "metrics.jsonl").read_text().splitlines()[0])
        return step["memory_peak_bytes"], json.loads((self.run_dir / "result.json").read_text())["flops"]

    def test_memory_and_flops_of_tiny_are_those_that_its_run_reports(self):
        for ranks in (1, 2):
            report = dry("tiny.yaml", ranks=ranks)
            memory, flops = self.train(ranks)
            self.assertAlmostEqual(column(report, "memory", BYTES)[0] / memory, 1, delta=0.01)
            self.assertEqual(flops_of_the_model(report), flops)
            self.run_dir = self.run_dir.with_name("second")

    def test_nothing_is_written(self):
        dry("tiny.yaml", "--set", f"run.dir={self.run_dir}")
        self.assertFalse(self.run_dir.exists())

    def test_started_ranks_and_named_ranks_give_one_and_the_same_report(self):
        self.assertEqual(dry("tiny.yaml", ranks=2), dry("tiny.yaml", "--ranks", 2))

    def test_presets_have_the_published_numbers_of_parameters(self):
        for config, published in (("8b", "8.030"), ("70b", "70.554"), ("405b", "405.853")):
            report = dry(f"llama3-{config}.yaml", "--ranks", 2048)
            parameters = int(re.search(r"(\d+) parameters", report).group(1))
            self.assertEqual(f"{parameters / 1e9:.3f}", published)

    def test_405b_on_16384_ranks_is_told_by_pipeline_rank_and_needs_no_store(self):
        report = dry("llama3-405b.yaml", "--ranks", 16384)
        self.assertIn("not there, so counted with synthetic documents", report)
        self.assertIn("data/llama3/code.h5", report)
        self.assertEqual(len(column(report, "parameters", UNITS)), 16)
        memory = column(report, "memory", BYTES)
        self.assertTrue(60e9 < min(memory) and max(memory) < 90e9, memory)  # it was trained on 80 GB

    def test_a_hold_out_that_is_not_there_yet_is_told(self):
        there = dry("tiny.yaml")
        report = dry("tiny.yaml", "--set", "data.holdout=none.h5")
        self.assertEqual(report.replace("not there, so counted without evaluation: none.h5\n", "", 1), there)
        self.assertNotEqual(report, there)

    def test_what_a_run_would_refuse_is_refused(self):
        text = drover("train", SOURCE / "configs" / "tiny.yaml", "--dry-run", "--ranks", 3, "--set", "parallel.tensor=2", status=2)
        self.assertIn("must divide the ranks", text)
        self.assertIn("--ranks requires --dry-run", drover("train", SOURCE / "configs" / "tiny.yaml", "--ranks", 3, status=2))


if __name__ == "__main__":
    skips.main()
