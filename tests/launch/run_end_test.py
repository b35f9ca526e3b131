#!/usr/bin/env python3
"""How a run ends, and what it leaves: signals, kills and failures; its result and its logs."""

import json
import os
import pathlib
import signal
import subprocess
import time

from process_tests import skips
from training_run import DROVER, STEPS, TrainingTest


def process_of_rank(rank, folder):
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # it is gone, or somebody else's
            continue
        if words[0] == DROVER.encode() and f"run.dir={folder}".encode() in words \
                and f"OMPI_COMM_WORLD_RANK={rank}".encode() in environment:
            return int(process.name)
    raise AssertionError(f"no process of rank {rank}")


class RunEndTest(TrainingTest):
    def test_a_signal_saves_and_stops_and_the_rest_gives_the_same_hash(self):
        settings = {"train.steps": 60}
        whole = self.reference(**settings).result()
        for ranks, number in ((1, signal.SIGUSR1), (1, signal.SIGTERM), (1, signal.SIGINT), (2, signal.SIGUSR1)):
            with self.subTest(ranks=ranks, signal=number):
                run = self.run_in(f"stopped_{ranks}_{number}", **settings)
                process = run.start(ranks=ranks)
                process.send_signal(number)
                output, _ = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 75, output)
                self.assertLess(run.result()["step"], 60)
                self.assertIn("stopped by", run.result()["exit_reason"])
                run.train(ranks=ranks)
                if ranks == 1:
                    self.assertEqual(run.result()["weight_hash"], whole["weight_hash"])
                self.assertEqual(run.result()["step"], 60)

    def test_a_signal_to_one_rank_stops_all_of_them_after_the_same_step(self):
        run = self.run_in("one_of_two", **{"train.steps": 200})
        process = run.start(ranks=2)
        os.kill(process_of_rank(1, run.folder), signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75, output)
        self.assertEqual(run.result()["exit_reason"], "stopped by another rank's signal")

    def test_a_second_signal_ends_the_run_at_once_unless_it_comes_with_the_first(self):
        settings = {"train.batch_tokens": 262144, "train.steps": 1000}  # a step takes a second
        for pause, code in ((0, 75), (3.5, 128 + signal.SIGTERM)):
            with self.subTest(pause=pause):
                run = self.run_in(f"twice_{code}", **settings)
                process = run.start(steps=1)
                process.send_signal(signal.SIGUSR1)
                time.sleep(0.2)
                process.send_signal(signal.SIGSTOP)  # so that the step goes on only when the second signal is there
                time.sleep(pause)
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
                output, _ = process.communicate(timeout=60)
                self.assertEqual(process.returncode, code, output)

    def test_a_start_that_fails_or_has_nothing_to_do_leaves_the_result_of_the_run(self):
        run = self.reference()
        before = (run.folder / "result.json").read_text()
        run.train(code=3, **{"data.holdout": "missing.h5"})
        self.assertIn("nothing is left to do", run.train())
        self.assertEqual((run.folder / "result.json").read_text(), before)
        (run.folder / "result.json").unlink()
        run.train()
        for key in ("flops", "tokens", "weight_hash"):
            self.assertEqual(run.result()[key], json.loads(before)[key], key)

    def test_the_result_counts_the_work_of_all_attempts_once(self):
        whole, run = self.reference(), self.run_in("parts", **{"checkpoint.every": 2})
        run.train()
        first = run.result()
        run.train("--resume-from", "4")
        again = run.result()
        for key in ("flops", "tokens", "step"):
            self.assertEqual(first[key], whole.result()[key], key)
            self.assertEqual(again[key], whole.result()[key], key)
        steps = sum(step["step_seconds"] for step in run.steps() if step["attempt"] == 2 or step["step"] <= 4)
        self.assertAlmostEqual(again["effective_seconds"], steps, delta=1e-6)
        self.assertGreater(again["wall_seconds"], again["effective_seconds"])

    def test_the_result_of_a_run_that_failed_says_why(self):
        run = self.reference()
        run.train(code=77, **{"train.steps": 20, "optimizer.lr": 1e30, "optimizer.clip_norm": 1e30})
        result = run.result()
        self.assertIn("not finite", result["exit_reason"])
        self.assertGreaterEqual(result["step"], STEPS)
        self.assertEqual(result["tokens"], 2048 * result["step"])
        self.assertNotIn("weight_hash", result)

    def test_every_rank_logs_its_steps_and_why_it_ended(self):
        run = self.run_in("logged")
        run.train(ranks=2)
        run.train(ranks=2, code=77, **{"train.steps": 20, "optimizer.lr": 1e30, "optimizer.clip_norm": 1e30})
        for rank in (0, 1):
            first, second = [(run.folder / f"logs/attempt_{attempt}/rank_{rank}.log").read_text() for attempt in (1, 2)]
            self.assertIn(f"step {STEPS}/{STEPS}  loss", first)
            self.assertRegex(second, rf" error rank {rank}: step \d+: loss .* not finite")

    def test_a_second_start_against_a_live_run_names_its_owner(self):
        run = self.run_in("live", **{"train.steps": 100000})
        process = subprocess.Popen(run.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            while process.poll() is None and not (run.folder / "metrics.jsonl").exists():
                time.sleep(0.01)
            self.assertIn(f"process {process.pid}", run.train(code=2))
        finally:
            process.kill()
            process.communicate()
        run.train(**{"train.steps": STEPS, "run.dir": str(run.folder) + "_other"})

    def test_a_killed_run_goes_on_from_its_newest_checkpoint(self):
        settings = {"train.steps": 60, "checkpoint.every": 5}
        whole = self.reference(**settings).result()["weight_hash"]
        run = self.run_in("killed", **settings)
        process = subprocess.Popen(run.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not list(run.folder.glob("checkpoints/attempt_1/step_*5")):
            time.sleep(0.005)
        process.kill()
        process.wait()
        self.assertIn("resumed from", run.train())
        self.assertEqual(run.result()["weight_hash"], whole)


if __name__ == "__main__":
    skips.main()
