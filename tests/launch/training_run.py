"""A run of configs/tiny.yaml as its users start it, for the tests of `drover train`."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import process_tests

DROVER = os.environ["DROVER_BIN"]
SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
TINY = str(SOURCE / "configs" / "tiny.yaml")
STEPS = 8


class Run:
    """One run directory and the commands that work on it."""

    def __init__(self, folder, **settings):
        self.folder = pathlib.Path(folder)
        self.settings = {"run.dir": str(folder), "train.steps": STEPS, "checkpoint.every": 1000000, **settings}

    def command(self, *options, ranks=1, **settings):
        if ranks > 1:
            process_tests.need_processes()
        command = [DROVER, "train", TINY, *options, "--set"]
        command += [f"{key}={value}" for key, value in {**self.settings, **settings}.items()]
        return ([*process_tests.MPIRUN, str(ranks)] if ranks > 1 else []) + command

    def train(self, *options, ranks=1, code=0, **settings):
        done = subprocess.run(self.command(*options, ranks=ranks, **settings), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=100)
        if done.returncode != code:
            raise AssertionError(f"exit code {done.returncode}, not {code}:\n{done.stdout}")
        return done.stdout

    def start(self, ranks=1, steps=3):
        """Returns when so many steps were trained."""
        process = subprocess.Popen(self.command(ranks=ranks), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True)
        metrics = self.folder / "metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") >= steps):
            time.sleep(0.01)
        return process

    def result(self):
        return json.loads((self.folder / "result.json").read_text())

    def steps_saved(self):
        checkpoints = self.folder / "checkpoints"
        return sorted(str(path.relative_to(checkpoints)) for path in checkpoints.glob("attempt_*/step_*"))

    def steps(self):
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if "loss" in entry]

    def losses(self):
        """By step, of the highest attempt."""
        return {entry["step"]: entry["loss"] for entry in self.steps()}


class TrainingTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)

    def run_in(self, name, **settings):
        return Run(pathlib.Path(self.temporary.name) / name, **settings)

    def reference(self, **settings):
        run = self.run_in("reference", **settings)
        run.train()
        return run
