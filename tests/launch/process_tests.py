"""For tests of which some cannot run everywhere: those that start ranks as processes need a build with MPI."""

import os
import sys
import unittest

MPIRUN = os.environ["DROVER_MPIRUN"].split()  # but for the number of ranks


def need_processes():
    if MPIRUN[0].startswith("-"):
        raise unittest.SkipTest("built without MPI")


def main(name):
    """Runs the script's tests, and says as `name` in tests/expected_skips which were skipped."""
    program = unittest.main(module="__main__", exit=False)
    for _, reason in program.result.skipped:
        print(f"drover-skip: {name}: {reason}")
    sys.exit(not program.result.wasSuccessful())
