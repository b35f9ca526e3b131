#!/usr/bin/env python3
"""A run and a token store that an older version wrote, with checkpoints of format 1, are read and go on.

format_1.tar.gz was written by the version of commit 8f938e1: `mpirun -n 4 drover train run.yaml`, stopped after step 2.
"""

import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

DROVER = os.environ["DROVER_BIN"]
SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
HASH = "81283975ec03c12ec3b7a96b1e400512"  # as that version printed it


class Format1Test(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.here = pathlib.Path(temporary.name)
        with tarfile.open(SOURCE / "tests/launch/format_1.tar.gz") as archive:
            archive.extractall(self.here)
        self.old = self.here / "run/checkpoints/step_0000000002"

    def drover(self, *arguments, code=0):
        done = subprocess.run([DROVER, *arguments], cwd=self.here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def test_a_checkpoint_of_format_1_has_the_hash_that_its_version_gave_it(self):
        for name in ("run", "run:2", "run/checkpoints", "run/checkpoints/step_0000000002"):
            self.assertEqual(self.drover("checkpoint", "hash", name).split()[0], HASH)
        self.assertIn("4 files, 64288 bytes: intact", self.drover("checkpoint", "verify", "run"))
        self.assertIn("written by   4 ranks", self.drover("checkpoint", "inspect", "run"))
        self.drover("data", "inspect", "store.h5", "--verify")

    def test_a_run_of_format_1_goes_on_in_another_layout_and_keeps_what_it_had(self):
        said = self.drover("train", "run.yaml", "--set", "parallel.tensor=1")
        self.assertIn("resumed from run/checkpoints/step_0000000002 at step 2", said)
        self.assertIn("saved run/checkpoints/attempt_2/step_0000000004", said)
        self.assertEqual(self.drover("checkpoint", "hash", "run:2").split()[0], HASH)
        self.assertIn("resumed from run/checkpoints/attempt_2.closed/step_0000000004",
                      self.drover("train", "run.yaml", "--set", "parallel.tensor=1", "train.steps=6"))

    def test_old_checkpoints_are_purged_with_the_others(self):
        self.drover("train", "run.yaml", "--set", "parallel.tensor=1", "checkpoint.keep=1")
        self.assertFalse(self.old.exists())

    def test_damage_in_a_checkpoint_of_format_1_is_found_and_named(self):
        for name in ("manifest.json", "rank_00001.json", "rank_00003.h5"):
            with self.subTest(file=name):
                whole = (self.old / name).read_bytes()
                middle = len(whole) // 2
                (self.old / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
                self.assertIn(name, self.drover("checkpoint", "verify", "run", code=3))
                self.assertIn(name, self.drover("train", "run.yaml", "--set", "parallel.tensor=1", code=3))
                (self.old / name).write_bytes(whole)


if __name__ == "__main__":
    sys.exit(unittest.main())
