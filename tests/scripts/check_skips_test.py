"""scripts/check_skips.py accepts a skip for want of what is not here, and no other. The results that it judges are those
of ctest itself, for tests made up here."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("DROVER_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(ROOT / "scripts"))
import check_skips  # noqa: E402  (found through the path just set)

# Where a test's source names a need: the macro of C++, and the functions of tests/support/skips.py.
NAMED = re.compile(r"""(?:DROVER_SKIP_TEST|skips\.\w+)\(\s*"([^"]*)\"""")


class CheckSkips(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        self.environment = self.build / "interop"
        self.cache("DROVER_WITH_MPI:BOOL=ON", "CMAKE_BUILD_TYPE:STRING=Release")

    def cache(self, *lines):
        (self.build / "CMakeCache.txt").write_text("\n".join([*lines, ""]))

    def make_interop_environment(self):
        self.environment.mkdir()
        (self.environment / "made-of-requirements.txt").touch()

    def judged(self, script, name="interop/new.py", properties="SKIP_RETURN_CODE 77"):
        """The judge's exit code and all it says after ctest ran the one test, a script of sh."""
        (self.build / "CTestTestfile.cmake").write_text(
            f'add_test({name} sh -c [==[{script}]==])\nset_tests_properties({name} PROPERTIES {properties})\n')
        results = self.build / "results.xml"
        subprocess.run(["ctest", "--test-dir", self.build, "--output-junit", results], check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done = subprocess.run([sys.executable, ROOT / "scripts" / "check_skips.py", self.build, results], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env={**os.environ, "DROVER_INTEROP_ENV": str(self.environment)})
        return done.returncode, done.stdout

    def assert_refused(self, judgement, *words):
        code, said = judgement
        self.assertEqual(code, 1, said)
        for word in words:
            self.assertIn(word, said.split("scripts/check_skips.py: ", 1)[1])

    def test_a_new_test_that_needs_what_is_not_here_is_skipped_without_being_listed(self):
        code, said = self.judged("echo 'drover-skip: interop: there is none'; exit 77")
        self.assertEqual(code, 0, said)
        self.assertIn("for want of interop", said)
        self.assertIn("interop/new.py: there is none", said)

    def test_the_same_skip_fails_where_what_it_needs_is_here(self):
        self.make_interop_environment()
        self.assert_refused(self.judged("echo 'drover-skip: interop: there is none'; exit 77"),
                            "interop/new.py", "interop, which is here")

    def test_a_part_that_is_skipped_by_a_test_that_passes_is_judged_too(self):
        self.assert_refused(self.judged("echo 'drover-skip: mpi: ranks'; exit 0", name="launch/new.py"),
                            "launch/new.py", "mpi, which is here")

    def test_a_need_that_is_not_known_fails(self):
        self.assert_refused(self.judged("echo 'drover-skip: good weather: rain'; exit 77"),
                            "interop/new.py", "'good weather', which is none of interop, mpi")

    def test_a_skip_without_a_need_fails(self):
        self.assert_refused(self.judged("exit 77"), "interop/new.py did not run and did not say")

    def test_a_disabled_test_fails(self):
        self.assert_refused(self.judged("exit 0", properties="DISABLED TRUE"), "interop/new.py did not run")

    def test_a_test_without_its_program_fails(self):
        self.assert_refused(self.judged("exit 0", properties="REQUIRED_FILES /there/is/none"), "interop/new.py did not run")

    def test_tests_that_run_are_not_mentioned(self):
        self.assertEqual(self.judged("exit 0"), (0, ""))

    def test_several_ranks_tell_a_skip_once(self):
        _, said = self.judged("for rank in 0 1 2; do echo 'drover-skip: interop: none'; done")
        self.assertEqual(said.count("interop/new.py"), 1, said)

    def test_a_build_meets_the_needs_that_its_options_say(self):
        for need, with_it, without in (("mpi", "DROVER_WITH_MPI:BOOL=ON", "DROVER_WITH_MPI:BOOL=OFF"),
                                       ("optimised", "CMAKE_BUILD_TYPE:STRING=Release", "CMAKE_BUILD_TYPE:STRING=Debug"),
                                       ("uninstrumented", "DROVER_SANITIZE:STRING=", "DROVER_SANITIZE:STRING=thread")):
            for line, met in ((with_it, True), (without, False)):
                self.cache(line)
                self.assertEqual(check_skips.NEEDS[need].is_met(self.build), met, line)

    def test_every_need_that_a_test_names_is_known_and_every_known_one_is_named(self):
        named = {need for suffix in ("*.h", "*.cpp", "*.py") for path in (ROOT / "tests").rglob(suffix)
                 for need in NAMED.findall(path.read_text(errors="replace"))}
        named |= set(re.findall(r'kMissing = "(.*)"', (ROOT / "tests" / "train" / "allocation_test.cpp").read_text()))
        self.assertEqual(named, set(check_skips.NEEDS))


if __name__ == "__main__":
    unittest.main()
