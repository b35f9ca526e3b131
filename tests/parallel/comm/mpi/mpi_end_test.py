"""However ranks under mpirun end, all end, with the exit code and, last of what Drover prints, the reason."""

import os
import subprocess
import unittest

TOOL = os.path.join(os.environ["DROVER_TOOLS"], "mpi_end_tool")
MPIRUN = os.environ["DROVER_MPIRUN"].split()


def run(way, ranks):
    """(exit code, lines on stderr that Open MPI did not write itself)"""
    done = subprocess.run([*MPIRUN, str(ranks), TOOL, way], capture_output=True, text=True, timeout=60)
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("ended: ")]


class End(unittest.TestCase):
    def test_ranks_that_return_end_with_their_exit_code(self):
        for ranks in (1, 2, 4):
            self.assertEqual(run("done", ranks), (0, []))
            self.assertEqual(run("again", ranks)[0], 75)

    def test_an_exception_in_one_rank_ends_all_with_its_text_and_exit_code(self):
        for ranks in (1, 2, 4):
            self.assertEqual(run("one", ranks), (2, ["ended: the last rank fails"]))

    def test_a_started_operation_is_dropped_with_the_rank(self):
        self.assertEqual(run("started", 3), (3, ["ended: rank 2 fails inside a sum"]))

    def test_a_rank_that_is_killed_ends_all(self):
        for ranks in (1, 2, 4):
            self.assertEqual(run("killed", ranks), (137, []))

    def test_what_every_rank_finds_wrong_is_said_once(self):
        self.assertEqual(run("all", 4), (3, ["ended: every rank fails"]))

    def test_abort_ends_all_ranks_with_its_reason(self):
        self.assertEqual(run("abort", 3), (77, ["ended: the last rank aborts"]))

    def test_a_rank_that_does_not_come_ends_all_at_the_deadline(self):
        code, lines = run("late", 2)
        self.assertEqual((code, len(lines)), (74, 1))
        self.assertRegex(lines[0], "rank 0 on host .* waited 2 s in operation 1, all_reduce .*; missing is rank 1 on host")

    def test_who_does_not_come_is_named_as_far_as_messages_tell(self):
        for way, said in (("unsent", "message 0, receive .*; missing is rank 1 on host"),
                          ("late_by_messages", "operation 1, all_reduce .*; every process lives")):
            code, lines = run(way, 2)
            self.assertEqual((code, len(lines)), (74, 1))
            self.assertRegex(lines[0], f"rank . on host .* waited 2 s in {said}")


if __name__ == "__main__":
    unittest.main()
