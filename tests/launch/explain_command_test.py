#!/usr/bin/env python3
"""`drover data explain` as users call it."""

import os
import re
import subprocess
import unittest

DROVER = os.environ["DROVER_BIN"]
SOURCE = os.environ["DROVER_SOURCE_DIR"]


def explain(*arguments):
    return subprocess.run([DROVER, "data", "explain", *arguments], cwd=SOURCE, text=True, capture_output=True,
                          check=False)


class ExplainCommand(unittest.TestCase):
    def test_every_row_of_the_step_is_on_one_rank_and_their_pairs_are_the_steps(self):
        done = explain("configs/tiny.yaml", "--ranks", "4", "--step", "3")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        step = re.search(r"^step 3: 16 rows of 128 tokens, (\d+) attended pairs$", done.stdout, re.MULTILINE)
        slots = re.findall(r"^ +(\d+) +(\d+) +(\d+)  ([\d ]+)$", done.stdout, re.MULTILINE)
        self.assertEqual({int(rank) for rank, _, _, _ in slots}, {0, 1, 2, 3})
        self.assertEqual(sorted(int(row) for slot in slots for row in slot[3].split()), list(range(16)))
        self.assertEqual(sum(int(pairs) for _, _, pairs, _ in slots), int(step.group(1)))

    def test_context_ranks_hold_the_pairs_of_the_first_microbatch_between_them(self):
        done = explain("configs/tiny.yaml", "--ranks", "8", "--set", "parallel.context=4")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        slot = re.search(r"^ +0 +0 +(\d+)  [\d ]+$", done.stdout, re.MULTILINE)
        pairs = re.findall(r"^ +[0-3] +(\d+) +[\d.]+  \[.*, 32 tokens$", done.stdout, re.MULTILINE)
        self.assertEqual(sum(map(int, pairs)), int(slot.group(1)))
        self.assertEqual(len(pairs) % 4, 0)

    def test_a_step_that_the_run_has_not_is_refused_with_those_it_has(self):
        done = explain("configs/tiny.yaml", "--ranks", "1", "--step", "31")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--step 31: the run has steps 1 to 30", done.stderr)


if __name__ == "__main__":
    unittest.main()
