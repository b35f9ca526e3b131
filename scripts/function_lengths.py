#!/usr/bin/env python3
"""States how long the functions of Drover's sources are, by lizard, and fails when they grow too long."""

import csv
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("core", "parallel", "model", "data", "optim", "checkpoint", "train", "launch")
MAX_95TH_PERCENTILE = 45


def functions():
    """(length in lines, file, name) of every function, longest first."""
    folders = [folder for folder in FOLDERS if (ROOT / folder).is_dir()]
    output = subprocess.run(["lizard", "--csv", "-l", "cpp", *folders], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    # nloc, ccn, tokens, parameters, length, location, file, function, long name, first line, last line
    rows = [(int(row[4]), row[6], row[7]) for row in csv.reader(output.splitlines())]
    return sorted(rows, reverse=True)


def main():
    if shutil.which("lizard") is None:
        print("not checked: lizard is not installed (pip install lizard)")
        return 0
    found = functions()
    if len(found) < 2:
        return 0
    lengths = [length for length, _, _ in found]
    high = statistics.quantiles(lengths, n=20)[-1]
    print(f"{len(lengths)} functions: median {statistics.median(lengths):.0f} lines, "
          f"95th percentile {high:.0f}, longest {lengths[0]} ({found[0][1]}: {found[0][2]})")
    return 1 if high > MAX_95TH_PERCENTILE else 0


if __name__ == "__main__":
    sys.exit(main())
