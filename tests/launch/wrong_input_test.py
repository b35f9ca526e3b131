#!/usr/bin/env python3
"""What a user can get wrong, one row each: the program as it is started, on real files. Whatever is wrong, there is one
message, from one rank, that says what, where and what to do; the exit code is the documented one (docs/wrong_input.md
is made from the table); nothing hangs, and nothing half-written stays behind."""

import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from process_tests import HAS_MPI, MPIRUN, skips  # noqa: E402
from wrong_input_row import can_mount, make_good_folder  # noqa: E402
from wrong_input_rows import DATA_ROWS, ROWS, document  # noqa: E402

DROVER = os.environ.get("DROVER_BIN", "")
SOURCE = pathlib.Path(__file__).resolve().parents[2]
LANES = 2
SECONDS = 60  # until a command hangs: far above what any takes on a busy machine
LONGEST = 2500  # characters of a message

# What libraries, the runtime and invariants of ours say when something got past the code that should have refused it.
NOISE = ("HDF5-DIAG", "terminate called", "what():", "std::", "nlohmann", "json.exception", "yaml-cpp", "core dumped",
         "broken invariant", "Segmentation", "MPI_ABORT was invoked", "AddressSanitizer", "runtime error")
# How messages go on to what to do.
REMEDY = re.compile(r"; |\b(needs|must) ")
# Names that only exist while something is being written.
UNFINISHED = re.compile(r"\.partial|\.next$|\.tmp")


def contents(folder):
    """What lies in a folder: path -> bytes, target of a link, or None for folders and other things."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def messages(text):
    """What the program says is wrong: from a line that begins with `drover: ` to the end, or to mpirun's own words."""
    text = text.split("\n--------------------------------------------------------------------------")[0]
    return re.findall(r"^drover: (?!warning: )(.*?)(?=^drover: |\Z)", text, re.MULTILINE | re.DOTALL)


def changed(before, after):
    return sorted(name for name in before.keys() | after.keys() if before.get(name, 0) != after.get(name, 0))


class Answer:
    """What a row's command did in a folder of its own."""

    def __init__(self, row, good):
        self.row = row
        with tempfile.TemporaryDirectory() as temporary:
            self.folder = pathlib.Path(temporary) / "here"
            shutil.copytree(good, self.folder, symlinks=True)
            undo = row.prepare(self.folder) if row.prepare else None
            try:
                before = contents(self.folder)
                self.run()
                self.changed = changed(before, contents(self.folder))
            finally:
                if undo:
                    undo()

    def run(self):
        environment = {**os.environ, "HOME": str(self.folder), **self.row.environment}
        command = [DROVER, *shlex.split(self.row.command)]
        if self.row.ranks > 1:
            command = [*MPIRUN, str(self.row.ranks), *command]
        with open(self.folder / self.row.stdin if self.row.stdin else os.devnull, "rb") as stdin:
            done = subprocess.run(command, cwd=self.folder, env=environment, stdin=stdin, timeout=SECONDS, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr

    def faults(self):
        text = (self.stdout + self.stderr).decode(errors="replace")
        said = messages(text)
        if self.code != self.row.code:
            yield f"exit code {self.code}, not {self.row.code}"
        if len(said) != 1:
            yield f"{len(said)} messages"
        message = said[0] if said else text
        yield from (f"does not say {words!r}" for words in self.row.says if words not in message)
        if self.row in DATA_ROWS and not REMEDY.search(message):
            yield "does not say what to do"
        yield from (f"noise: {words}" for words in NOISE if words in text)
        if len(message) > LONGEST or re.search(r"[\x00-\x08\x0b-\x1f\x7f]", message):
            yield "the message is too long or not printable"
        yield from (f"left behind: {name}" for name in self.changed if UNFINISHED.search(name))
        yield from (f"changed: {name}" for name in self.changed if not self.row.may_change(name))


class WrongInputTest(unittest.TestCase):
    def test_every_wrong_input_has_one_clear_answer(self):
        rows = [row for row in ROWS if self.can_run(row)]
        with tempfile.TemporaryDirectory() as temporary:
            good = pathlib.Path(temporary) / "good"
            make_good_folder(good)
            with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
                for row, answer in zip(rows, lanes.map(lambda row: self.answer(row, good), rows)):
                    with self.subTest(row.what):
                        if answer:
                            self.fail("\n  ".join([f"$ drover {row.command}", *answer]))

    @staticmethod
    def answer(row, good):
        """What is wrong with it."""
        try:
            answer = Answer(row, good)
        except subprocess.TimeoutExpired:
            return ["hangs"]
        except Exception as error:  # the row itself, not the program
            return [repr(error)]
        faults = list(answer.faults())
        said = (answer.stdout + answer.stderr).decode(errors="replace")
        return faults and [*faults, f"said: {said[:LONGEST]}"]

    @staticmethod
    def can_run(row):
        if (row.ranks > 1 or row.needs_mpi) and not HAS_MPI:
            skips.say_skipped("mpi", row.what)
            return False
        if row.needs_mount and not can_mount():
            skips.say_skipped("mounts", row.what)
            return False
        return True

    def test_the_page_of_the_documentation_is_made_of_the_table(self):
        self.assertEqual((SOURCE / "docs" / "wrong_input.md").read_text(), document(),
                         "renew it: tests/launch/wrong_input_test.py --docs > docs/wrong_input.md")

    def test_rows_differ_and_each_says_something(self):
        self.assertEqual(len({row.what for row in ROWS}), len(ROWS))
        self.assertGreaterEqual(len(ROWS), 60)
        for row in ROWS:
            self.assertTrue(row.says and row.code, row.what)


if __name__ == "__main__":
    if sys.argv[1:] == ["--docs"]:
        print(document(), end="")
        sys.exit(0)
    sys.exit(unittest.main())
