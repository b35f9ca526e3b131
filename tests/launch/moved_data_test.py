#!/usr/bin/env python3
"""What a checkpoint needs of the data it was trained on: nothing to generate, the hold-out to be evaluated."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from wrong_input_row import make_good_folder  # noqa: E402

DROVER = os.environ.get("DROVER_BIN", "")


class MovedDataTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.good = pathlib.Path(cls.temporary.name) / "good"
        make_good_folder(cls.good)

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.here = pathlib.Path(temporary.name) / "here"
        shutil.copytree(self.good, self.here)

    def drover(self, *arguments, code=0):
        done = subprocess.run([DROVER, *arguments], cwd=self.here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def test_a_checkpoint_generates_with_its_tokenizer_alone(self):
        for store in self.here.glob("*.h5"):
            store.unlink()
        self.assertTrue(self.drover("generate", "run.yaml", "--prompt", "Text", "--tokens", "3").startswith("Text"))

    def test_a_checkpoint_is_evaluated_with_the_hold_out_alone(self):
        before = self.drover("eval", "run.yaml")
        (self.here / "store.h5").unlink()
        self.assertEqual(self.drover("eval", "run.yaml"), before)


if __name__ == "__main__":
    sys.exit(unittest.main())
