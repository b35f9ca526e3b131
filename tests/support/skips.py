"""How tests written in Python say that they cannot run here. What they may need is named in scripts/check_skips.py."""

import sys
import unittest


def say_skipped(need, reason):
    """For a part of a test, the rest of which goes on."""
    print(f"drover-skip: {need}: {reason}", flush=True)


def skip_program(need, reason):
    """For a whole script: ctest, too, calls it skipped."""
    say_skipped(need, reason)
    sys.exit(77)


def skip_case(need, reason):
    """For a case of a script that ends in main()."""
    raise unittest.SkipTest(f"{need}: {reason}")


def main():
    """unittest.main() that also says which cases were skipped."""
    program = unittest.main(module="__main__", exit=False)
    for _, need_and_reason in program.result.skipped:
        say_skipped(*need_and_reason.split(": ", 1))
    sys.exit(not program.result.wasSuccessful())
