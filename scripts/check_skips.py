#!/usr/bin/env python3
"""Judges the tests that were skipped: scripts/check_skips.py BUILD RESULTS, where RESULTS is what `ctest --output-junit`
wrote and BUILD is the build folder it ran in.

A test that cannot run everywhere prints `drover-skip: NEED: REASON`, with what it would have needed by one of the names
below. Prints who was skipped for want of what. Ends with 1 if a need was there after all (on this machine, in this
build), is no name of those below, or if ctest skipped or did not run a test that named none.
"""

import ctypes
import dataclasses
import mmap
import pathlib
import platform
import re
import subprocess
import sys
import typing
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "interop"))
import interop_environment  # noqa: E402  (found through the path just set)


def cached(build, variable):
    """A variable of the build's CMake cache, empty if it is not there."""
    found = re.search(rf"^{variable}:\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE)
    return found[1] if found else ""


def can_mount(_):
    """In namespaces that end with the command."""
    command = ["unshare", "--uts", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def gives_huge_pages(_):
    """Asks for one as parallel/comm/host/shared_memory.cpp does, at a multiple of its size and already filled with small pages."""
    page, fixed, collapse = 2 << 20, 0x10, 25  # MAP_FIXED and MADV_COLLAPSE, which Python has no names for
    library = ctypes.CDLL(None)
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *3 * [ctypes.c_int], ctypes.c_long]
    library.mmap.restype = ctypes.c_void_p
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    access, shared = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    room = library.mmap(None, 2 * page, access, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    begin = library.mmap(room + -room % page, page, access, shared | fixed, -1, 0)
    return library.madvise(begin, page, collapse) == 0


@dataclasses.dataclass(frozen=True)
class Need:
    name: str
    meaning: str
    is_met: typing.Callable[[pathlib.Path], bool]  # of the build folder, on this machine


NEEDS = {need.name: need for need in (
    Need("interop", "the Python environment that scripts/setup --interop makes",
         lambda _: interop_environment.is_made()),
    Need("mpi", "a build with MPI",
         lambda build: cached(build, "DROVER_WITH_MPI").upper() in {"ON", "1", "TRUE", "YES"}),
    Need("optimised", "a build with optimisation",
         lambda build: cached(build, "CMAKE_BUILD_TYPE") == "Release"),
    Need("uninstrumented", "a build without sanitizer",
         lambda build: not cached(build, "DROVER_SANITIZE")),
    Need("glibc", "glibc, whose malloc a test can count",
         lambda _: platform.libc_ver()[0] == "glibc"),
    Need("mounts", "leave to mount file systems and to make namespaces: root, in a container that allows it",
         can_mount),
    Need("huge-pages", "huge pages of shared memory on demand: Linux 6.1, with settings that do not deny them",
         gives_huge_pages),
)}


@dataclasses.dataclass(frozen=True)
class Skip:
    test: str
    need: str  # empty if the test named none
    reason: str


def read_skips(results):
    """Every skip once, though several ranks may have told it."""
    skips = []
    for case in xml.etree.ElementTree.parse(results).iter("testcase"):
        told = re.findall(r"drover-skip: (.*)", case.findtext("system-out") or "")
        for need, _, reason in (line.partition(": ") for line in told):
            skips.append(Skip(case.get("name"), need, reason))
        if case.get("status") in {"notrun", "disabled"} and not told:
            skips.append(Skip(case.get("name"), "", f"{case.get('status')}, as ctest says"))
    return list(dict.fromkeys(skips))


def fault(skip, met):
    """What is wrong with it, or None. `met` says whether a need is met."""
    if not skip.need:
        return f"{skip.test} did not run and did not say what it needs ({skip.reason})"
    if skip.need not in NEEDS:
        return f"{skip.test} needs '{skip.need}', which is none of {', '.join(NEEDS)}"
    if met[skip.need]:
        return f"{skip.test} was skipped for want of {skip.need}, which is here ({NEEDS[skip.need].meaning})"
    return None


def faults(skips, build):
    met = {name: NEEDS[name].is_met(build) for name in {skip.need for skip in skips} & set(NEEDS)}
    return [found for skip in skips if (found := fault(skip, met))]


def summary(skips):
    for need in dict.fromkeys(skip.need for skip in skips):
        meaning = f": {NEEDS[need].meaning}" if need in NEEDS else ""
        yield f"skipped for want of {need or 'something unsaid'}{meaning}"
        yield from (f"  {skip.test}: {skip.reason}" for skip in skips if skip.need == need)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build, results = map(pathlib.Path, sys.argv[1:])
    skips = read_skips(results)
    for line in summary(skips):
        print(line)
    wrong = faults(skips, build)
    for line in dict.fromkeys(wrong):
        print(f"scripts/check_skips.py: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
