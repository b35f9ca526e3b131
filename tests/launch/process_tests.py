"""For tests of which some start ranks as processes, which needs a build with MPI; this folder's have `skips` from here."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import skips  # noqa: E402  (found through the path just set)

MPIRUN = os.environ.get("DROVER_MPIRUN", "").split()  # but for the number of ranks
HAS_MPI = bool(MPIRUN) and not MPIRUN[0].startswith("-")


def need_processes():
    if not HAS_MPI:
        skips.skip_case("mpi", "ranks cannot be processes")
