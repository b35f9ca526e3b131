#!/usr/bin/env python3
"""`drover config` as users call it."""

import os
import pathlib
import subprocess
import tempfile
import unittest

DROVER = os.environ["DROVER_BIN"]
SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])


def config(*arguments):
    return subprocess.run([DROVER, "config", *arguments], cwd=SOURCE, text=True, capture_output=True, check=False)


class ConfigCommand(unittest.TestCase):
    def test_shows_every_value_with_its_origin(self):
        done = config("configs/tiny.yaml", "--set", "optimizer.lr=1.0e-3", "optimizer.betas=[0.8, 0.9]",
                      "--set", "run.seed=2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [line.split() for line in done.stdout.splitlines()]
        self.assertIn(["lr:", "0.001", "#", "--set"], lines)
        self.assertIn(["betas:", "[0.8,", "0.9]", "#", "--set"], lines)
        self.assertIn(["seed:", "2", "#", "--set"], lines)
        self.assertIn(["zero:", "2", "#", "default"], lines)
        self.assertRegex(done.stdout, r"(?m)^  steps: 30 +# configs/tiny\.yaml:\d+$")

    def test_what_it_shows_is_a_configuration_that_means_the_same(self):
        shown = config("configs/llama3-8b.yaml").stdout
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "shown.yaml"
            path.write_text(shown, encoding="utf-8")
            again = config(str(path)).stdout
        values = [[line.split(" # ")[0].rstrip() for line in text.splitlines()] for text in (shown, again)]
        self.assertEqual(values[0], values[1])

    def test_a_wrong_key_ends_with_its_place_and_code_2(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "wrong.yaml"
            path.write_text("run:\n  nmae: x\n", encoding="utf-8")
            done = config(str(path))
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn(f"{path}:2:3: run.nmae: unknown key; did you mean run.name?", done.stderr)

    def test_a_setting_without_effect_warns(self):
        done = config("configs/tiny.yaml", "--set", "eval.every=7")
        self.assertEqual(done.returncode, 0)
        self.assertIn("eval.every has no effect, because data.holdout is not set", done.stderr)

    def test_prints_the_page_of_documentation(self):
        done = config("--docs")
        self.assertEqual(done.stdout, (SOURCE / "docs/config.md").read_text(encoding="utf-8"))

    def test_without_a_file_it_says_how(self):
        done = config()
        self.assertEqual(done.returncode, 2)
        self.assertIn("drover config configs/tiny.yaml", done.stderr)


if __name__ == "__main__":
    unittest.main()
