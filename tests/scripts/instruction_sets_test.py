"""Code compiled for AVX2 or AVX-512 stays in the files named for it.

The linker keeps one copy of an inline function or template that several objects define. If it keeps the copy of a
file compiled for AVX-512, every caller runs it, also on a machine without AVX-512. Files of one instruction set may
share: whoever calls them has asked the processor for it.
"""

import collections
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import skips  # noqa: E402  (found through the path just set)

SOURCES = pathlib.Path(os.environ["DROVER_SOURCE_DIR"]) / "core" / "cpu"
BUILD = pathlib.Path(os.environ["DROVER_BIN"]).parent
SPECIAL = re.compile(r"_(avx2|avx512|avx512bf16)\.cpp")


def defined_symbols():
    """(object, kind by nm, mangled name) of everything in Drover's libraries."""
    archives = [str(path) for path in BUILD.glob("libdrover_*.a")]
    output = subprocess.run(["nm", "-A", "--defined-only", *archives], check=True, stdout=subprocess.PIPE, text=True)
    for line in output.stdout.splitlines():
        if " " in line:  # not an archive's heading
            place, kind, name = line.rsplit(" ", 2)
            yield place.split(":")[1], kind, name


def weak_functions(symbols):
    """Mangled name -> the objects that define it as a function the linker may merge."""
    defined = collections.defaultdict(set)
    for member, kind, name in symbols:
        if kind == "W":
            defined[name].add(member)
    return defined


def instruction_set(member):
    found = SPECIAL.search(member)
    return found and found[1]


class InstructionSets(unittest.TestCase):
    def setUp(self):
        self.symbols = list(defined_symbols())

    def test_every_file_for_an_instruction_set_is_compiled(self):
        wanted = {path.name + ".o" for path in SOURCES.glob("*.cpp") if SPECIAL.search(path.name)}
        plain = "DROVER_PLAIN:BOOL=ON\n" in (BUILD / "CMakeCache.txt").read_text()
        if plain or os.uname().machine != "x86_64":
            wanted = set()
        self.assertEqual(wanted - {member for member, _, _ in self.symbols}, set())

    def test_no_object_of_another_set_shares_a_function_with_them(self):
        shared = {name: members for name, members in weak_functions(self.symbols).items()
                  if len({instruction_set(member) for member in members}) > 1}
        self.assertEqual(shared, {})


if __name__ == "__main__":
    if "CMAKE_BUILD_TYPE:STRING=Release\n" not in (BUILD / "CMakeCache.txt").read_text():
        skips.skip_program("optimised", "builds without optimisation inline nothing, and are not for other machines")
    unittest.main()
