#!/usr/bin/env python3
"""What a run needs of its data later on: nothing to generate, the hold-out to be evaluated, the same stores wherever
they lie to train on."""

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

    def test_a_run_goes_on_with_a_store_that_was_moved_and_not_with_another(self):
        goes_on = ["train", "run.yaml", "--set", "train.steps=8"]
        shutil.copytree(self.here / "runs/run", self.here / "runs/unmoved")
        self.drover(*goes_on, "run.dir=runs/unmoved")
        (self.here / "elsewhere").mkdir()
        (self.here / "store.h5").rename(self.here / "elsewhere" / "store.h5")
        self.drover("data", "prepare", "run.yaml", "--tokenizer", "tokenizer.json", "--out", "else.h5")
        said = self.drover(*goes_on, "data.sources[0].store=else.h5", code=3)
        self.assertIn("a run resumes on the token stores it was started with", said)
        self.drover(*goes_on, "data.sources[0].store=elsewhere/store.h5")
        hashes = [self.drover("checkpoint", "hash", f"runs/{run}").split()[0] for run in ("run", "unmoved")]
        self.assertEqual(*hashes)


if __name__ == "__main__":
    sys.exit(unittest.main())
