#!/usr/bin/env python3
"""`drover schedule` as users call it."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

DROVER = os.environ["DROVER_BIN"]
SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])


def schedule(*arguments):
    return subprocess.run([DROVER, "schedule", *arguments], text=True, capture_output=True, check=False)


class ScheduleCommand(unittest.TestCase):
    def test_draws_each_rank_with_time_to_the_right(self):
        done = schedule("--schedule", "1f1b", "--pipeline", "2", "--microbatches", "2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.splitlines()[:4],
                         ["1f1b: 2 ranks, 2 microbatches", "",
                          "rank 0    F0 F1 ......B0    ...B1    ", "rank 1    ...F0 B0    F1 B1    ......"])
        self.assertIn("rank 0    3 (50.0 %)          3 (50.0 %)", done.stdout)

    def test_every_example_of_the_help_runs(self):
        text = schedule("--help").stdout
        examples = re.findall(r"^  drover schedule (.+)$", text, re.MULTILINE)
        self.assertGreater(len(examples), 3)
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "configs").symlink_to(SOURCE / "configs")
            for example in examples:
                done = subprocess.run([DROVER, "schedule", *example.split()], cwd=folder, text=True,
                                      capture_output=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""), example)

    def test_the_help_shows_a_csv_that_is_one(self):
        rows = re.findall(r"^  (\d\w\d(?:,\d\w\d)+)$", schedule("--help").stdout, re.MULTILINE)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "two.csv"
            path.write_text("\n".join(rows), encoding="utf-8")
            done = schedule("--schedule", "csv", "--schedule-file", str(path))
        self.assertEqual((done.returncode, done.stdout.splitlines()[0]), (0, "csv: 2 ranks, 2 microbatches"))

    def test_a_written_csv_draws_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "zb.csv")
            drawn = schedule("--schedule", "zb-v", "--pipeline", "3", "--microbatches", "7", "--csv", path)
            again = schedule("--schedule", "csv", "--schedule-file", path)
        self.assertEqual(drawn.stdout.splitlines()[1:-1], again.stdout.splitlines()[1:])

    def test_the_svg_is_well_formed_and_has_a_box_for_every_action(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "picture.svg"
            done = schedule("--schedule", "zb-h1", "--pipeline", "3", "--microbatches", "5", "--svg", str(path))
            root = xml.etree.ElementTree.parse(path).getroot()
        self.assertIn(f"wrote {path}", done.stdout)
        name = "{http://www.w3.org/2000/svg}"
        self.assertEqual(root.tag, name + "svg")
        self.assertEqual(len(root.findall(f"{name}rect/{name}title")), 3 * 5 * 3)

    def test_the_picture_in_docs_is_the_one_that_is_drawn_today(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "picture.svg"
            schedule("--schedule", "zb-v", "--pipeline", "4", "--microbatches", "8", "--svg", str(path))
            self.assertEqual(path.read_text(encoding="utf-8"),
                             (SOURCE / "docs" / "schedule_zb_v.svg").read_text(encoding="utf-8"))

    def test_takes_the_keys_and_microbatches_of_a_configuration(self):
        config = str(SOURCE / "configs" / "llama3-405b.yaml")
        done = schedule(config, "--ranks", "16384")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.splitlines()[0],
                         "the first phase, of 8 microbatches; later ones have up to 16 (--microbatches)")
        self.assertIn("interleaved: 16 ranks, 8 microbatches, 8 stages a rank", done.stdout)
        done = schedule(config, "--ranks", "16384", "--microbatches", "16", "--set", "parallel.schedule=gpipe")
        self.assertEqual(done.stdout.splitlines()[0], "gpipe: 16 ranks, 16 microbatches, 8 stages a rank")
        self.assertIn("excludes --schedule", schedule(config, "--schedule", "gpipe").stderr)
        self.assertEqual(schedule(config, "--ranks", "100").returncode, 2)

    def test_what_does_not_fit_ends_with_code_2_or_3_and_the_key(self):
        done = schedule("--pipeline", "2", "--virtual-stages", "3")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("parallel.virtual_stages is 3", done.stderr)
        self.assertIn("go together", schedule("--schedule", "csv").stderr)
        self.assertIn("--costs 0,1,1", schedule("--costs", "0,1,1").stderr)
        self.assertIn("too many to draw", schedule("--pipeline", "4096", "--microbatches", "4096").stderr)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "bad.csv"
            path.write_text("0F0,0B0\n0Q0\n", encoding="utf-8")
            done = schedule("--schedule", "csv", "--schedule-file", str(path))
        self.assertEqual(done.returncode, 3)
        self.assertIn(f"{path}:2: '0Q0' is no action", done.stderr)


if __name__ == "__main__":
    unittest.main()
