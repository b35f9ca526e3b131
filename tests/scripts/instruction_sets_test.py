"""Code compiled for AVX2 or AVX-512 stays in the files named for it.

The linker keeps one copy of an inline function or template that several objects define. If it keeps the copy of a
file compiled for AVX-512, every caller runs it, also on a machine without AVX-512.
"""

import collections
import os
import pathlib
import re
import subprocess
import sys
import unittest

SOURCES = pathlib.Path(os.environ["DROVER_SOURCE_DIR"]) / "core" / "cpu"
BUILD = pathlib.Path(os.environ["DROVER_BIN"]).parent
SPECIAL = re.compile(r"_(avx2|avx512|avx512bf16)\.cpp")


def weak_functions(objects):
    """Mangled name -> the objects that define it as a function the linker may merge."""
    command = ["nm", "-A", "--defined-only", *objects]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    defined = collections.defaultdict(set)
    for line in output.splitlines():
        place, kind, name = line.rsplit(" ", 2)
        if kind == "W":
            defined[name].add(place.split(":")[0])
    return defined


class InstructionSets(unittest.TestCase):
    def setUp(self):
        self.objects = [str(path) for path in BUILD.glob("CMakeFiles/drover*.dir/**/*.o")]

    def test_every_file_for_an_instruction_set_is_compiled(self):
        compiled = {pathlib.Path(name).name for name in self.objects}
        wanted = {path.name + ".o" for path in SOURCES.glob("*.cpp") if SPECIAL.search(path.name)}
        if os.uname().machine != "x86_64":
            wanted = set()
        self.assertEqual(wanted - compiled, set())

    def test_no_other_object_shares_a_function_with_them(self):
        shared = {name: objects for name, objects in weak_functions(self.objects).items()
                  if len(objects) > 1 and any(SPECIAL.search(o) for o in objects)}
        self.assertEqual(shared, {})


if __name__ == "__main__":
    if "CMAKE_BUILD_TYPE:STRING=Release\n" not in (BUILD / "CMakeCache.txt").read_text():
        sys.exit(77)
    unittest.main()
