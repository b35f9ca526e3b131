#!/usr/bin/env python3
"""When a rank is lost, all others end and name it. scripts/lost_ranks has the other phases and ranks."""

import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

import process_tests
from lost_rank import LostRank, make_holdout
from training_run import DROVER, TINY

TIMEOUT = "60s"  # so that two seconds of silence are enough


class LostRanksTest(unittest.TestCase):
    def setUp(self):
        process_tests.need_processes()
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)

    def lose(self, text, data=(), **options):
        row = LostRank(text)
        self.run_dir = self.folder / text.replace(" ", "_")
        row.measure(DROVER, self.run_dir, data, TIMEOUT, **options)
        self.assertEqual(row.wrong, [], row.line())
        return row

    def test_a_rank_that_stops_in_a_step_is_named_with_its_phase(self):
        self.assertIn("missed it in phase step", self.lose("stop@phase=step,rank=0,time=3").said[0])

    def test_a_rank_that_stops_at_the_first_split_is_named(self):
        self.assertIn("lost rank 2", self.lose("stop@phase=build,rank=2").said[0])

    def test_a_rank_that_stops_before_mpi_starts_ends_all(self):
        self.assertIn("for MPI to start", self.lose("stop@phase=start,rank=1").said[0])

    def test_a_rank_that_stops_in_an_evaluation_or_at_the_end_is_named(self):
        data = make_holdout(DROVER, self.folder)
        self.assertIn("phase evaluation", self.lose("stop@phase=evaluation,rank=3", data).said[0])
        self.assertIn("phase end", self.lose("stop@phase=end,rank=1").said[0])

    def test_a_killed_rank_ends_all_also_where_mpirun_leaves_them_time(self):
        self.assertEqual(self.lose("kill@phase=step,rank=1").code, 137)
        row = self.lose("kill@phase=step,rank=1 --mca odls_base_sigkill_timeout 4")
        self.assertIn("lost rank 1", row.said[0])

    def test_a_signal_after_a_loss_starts_no_save(self):
        self.lose("stop@phase=step,rank=1,time=2",
                  on_lost=lambda others: [os.kill(other, signal.SIGTERM) for other in others])
        self.assertEqual(list(self.run_dir.glob("checkpoints/attempt_*/step_*")), [])

    def test_a_rank_lost_in_a_save_leaves_no_checkpoint_that_is_not_whole(self):
        self.lose("stop@phase=save,rank=3")
        self.assertEqual(list(self.run_dir.glob("checkpoints/attempt_*/step_??????????")), [])
        done = subprocess.run([DROVER, "train", TINY, "--set", f"run.dir={self.run_dir}", "train.steps=6"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_fault_that_is_none_is_refused_on_all_ranks_at_once(self):
        done = subprocess.run([*process_tests.MPIRUN, "2", DROVER, "train", TINY], capture_output=True, text=True,
                              env={**os.environ, "DROVER_FAULT": "stop@phase=lunch,rank=0"}, timeout=60)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("there is no phase 'lunch'", done.stderr)


if __name__ == "__main__":
    process_tests.skips.main()
