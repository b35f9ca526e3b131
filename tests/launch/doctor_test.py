#!/usr/bin/env python3
"""`drover doctor` alone: it finds what is planted, says what to do, and leaves nothing behind."""

import os
import pathlib
import resource
import subprocess
import tempfile
import unittest

from process_tests import skips

DROVER = os.environ["DROVER_BIN"]
SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
TINY = str(SOURCE / "configs" / "tiny.yaml")


def doctor(*arguments, code=0, folder=None, before=None, **environment):
    """Its lines. The environment is without the variables that it would warn of."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MALLOC_"))}
    done = subprocess.run([DROVER, "doctor", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          cwd=folder, env={**plain, **environment}, preexec_fn=before, timeout=60, check=False)
    if done.returncode != code:
        raise AssertionError(f"exit code {done.returncode}, not {code}:\n{done.stdout}")
    return done.stdout.splitlines()


def line_with(lines, *words):
    found = [number for number, line in enumerate(lines) if all(word in line for word in words)]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} lines have {words}:\n" + "\n".join(lines))
    return found[0]


class DoctorAlone(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def expect(self, lines, health, *words):
        """A line of that health with its remedy below."""
        number = line_with(lines, *words)
        self.assertTrue(lines[number].startswith(health), lines[number])
        if health != "ok":
            self.assertIn(" -> ", lines[number + 1])

    def test_this_host_can_train_and_nothing_is_left_behind(self):
        lines = doctor(TINY, "--set", f"run.dir={self.folder}/runs/new")
        self.expect(lines, "ok", "one rank")
        self.expect(lines, "ok", "reads without an error")
        self.expect(lines, "ok", "to create, sync and rename a file in " + str(self.folder))
        self.assertTrue(lines[-1].startswith("0 failed"), lines)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_the_working_directory_is_tried_where_nothing_else_is_named(self):
        self.expect(doctor(folder=self.folder), "ok", "to create, sync and rename a file in " + str(self.folder))

    def test_a_thread_variable_above_the_cores_is_named(self):
        self.expect(doctor(folder=self.folder, OMP_NUM_THREADS="4096"), "warn", "environment", "OMP_NUM_THREADS=4096")

    def test_few_open_files_fail(self):
        lines = doctor(folder=self.folder, code=2, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        self.expect(lines, "fail", "limits", "64 open files")

    def test_one_core_of_several_is_told(self):
        cores = os.sched_getaffinity(0)
        if len(cores) == 1:
            self.expect(doctor(folder=self.folder), "ok", "threads")
            return
        lines = doctor(folder=self.folder, before=lambda: os.sched_setaffinity(0, {min(cores)}))
        self.expect(lines, "warn", "threads", "bound to 1 of the host's")

    def test_a_wrong_configuration_fails_with_its_place(self):
        self.expect(doctor(TINY, "--set", "optimizer.learning_rate=1", code=2, folder=self.folder), "fail",
                    "configuration", "optimizer.lr")

    def test_a_run_directory_that_is_a_file_fails(self):
        (self.folder / "file").write_text("x")
        self.expect(doctor("--run-dir", str(self.folder / "file"), code=2), "fail", "run directory", "file")

    def test_copies_that_the_launcher_meant_as_one_job_fail_and_one_of_them_reports(self):
        step = {"SLURM_JOB_ID": "7", "SLURM_JOBID": "7", "SLURM_STEPID": "0", "SLURM_STEP_NUM_TASKS": "4"}
        lines = doctor(folder=self.folder, code=2, SLURM_PROCID="0", **step)
        self.expect(lines, "fail", "launch", "the launcher started 4 processes, but each sees a world of 1")
        self.assertEqual(doctor(folder=self.folder, code=2, SLURM_PROCID="3", **step), [])

    def test_a_shell_that_srun_started_without_pmi_is_one_rank_and_does_not_start_mpi(self):
        step = {"SLURM_JOB_ID": "7", "SLURM_JOBID": "7", "SLURM_STEP_ID": "0", "SLURM_STEPID": "0",
                "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
        lines = doctor(folder=self.folder, **step)
        self.expect(lines, "ok", "launch", "one rank")
        self.expect(lines, "ok", "slurm", "job 7 of Slurm")

    def test_small_and_read_only_file_systems_fail(self):
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.folder], check=False)
        if mounted.returncode != 0:
            skips.skip_case("mounts", "a small and a read-only file system are mounted")
        self.addCleanup(subprocess.run, ["umount", self.folder], check=True)
        lines = doctor("--run-dir", str(self.folder), code=2)
        self.expect(lines, "fail", "run directory", "less than one checkpoint")
        self.expect(lines, "warn", "run directory", "is on tmpfs")
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)
        self.expect(doctor("--run-dir", str(self.folder), code=2), "fail", "run directory", "Read-only")


if __name__ == "__main__":
    skips.main()
