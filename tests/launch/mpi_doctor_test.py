#!/usr/bin/env python3
"""`drover doctor` under mpirun: one report for all ranks, with what only ranks together can know."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from process_tests import skips

DROVER = os.environ["DROVER_BIN"]
SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
VERIFY = str(SOURCE / "configs" / "verify.yaml")
MPIRUN = ["mpirun", "--oversubscribe", "--mca", "pml", "ob1", "--mca", "btl", "self,vader"]


def doctor(*arguments, ranks=2, binding="none", code=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*MPIRUN, "--bind-to", binding, "-n", str(ranks), DROVER, "doctor", *arguments],
                              cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              env=environment, check=False)
        left = os.listdir(folder)
    if done.returncode != code or left:
        raise AssertionError(f"exit code {done.returncode}, not {code}; left behind: {left}\n{done.stdout}")
    return done.stdout


class DoctorOfAJob(unittest.TestCase):
    def test_two_ranks_are_one_world_with_one_report(self):
        report = doctor()
        self.assertEqual(report.count("one world of 2 ranks on 1 host"), 1, report)
        self.assertRegex(report, r"ok +placement +ranks 0-1: on ")
        self.assertRegex(report, r"ok +program +ranks 0-1: ")
        self.assertRegex(report, r"ok +shared memory +ranks 0-1: collectives inside a host go through memory")
        self.assertIn("\n0 failed, ", report)

    def test_more_ranks_than_cores_are_told(self):
        ranks = len(os.sched_getaffinity(0)) + 1
        self.assertRegex(doctor(ranks=ranks), f"warn +threads +ranks 0-{ranks - 1}: {ranks} ranks share ")

    def test_a_rank_bound_to_one_core_is_told_where_there_are_more(self):
        report = doctor(ranks=1, binding="hwthread")
        health = "warn" if len(os.sched_getaffinity(0)) > 1 else "ok"
        self.assertRegex(report, health + " +threads ")

    def test_a_layout_for_another_number_of_ranks_fails_on_all(self):
        report = doctor(VERIFY, "--set", "parallel.tensor=4", code=2)
        self.assertRegex(report, r"fail +configuration +ranks 0-1: ")
        self.assertIn("needs more ranks than the 2 that were started", report)

    def test_another_host_is_compared_with_rank_0s(self):
        mounting = ["unshare", "--uts", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
        if subprocess.run(mounting, stderr=subprocess.DEVNULL, check=False).returncode:
            skips.skip_case("mounts", "another host is made of namespaces, and a folder of its own is mounted there")
        with tempfile.TemporaryDirectory() as folder:
            command = f"{DROVER} doctor {VERIFY} --set parallel.tensor=2 run.dir={folder}/run"
            elsewhere = f"hostname elsewhere; mount -t tmpfs -o size=1m tmpfs {folder}; exec {command}"
            done = subprocess.run([*MPIRUN, "--bind-to", "none", "-n", "1", *command.split(), ":", "-n", "1",
                                   "unshare", "--uts", "--mount", "bash", "-c", elsewhere], text=True, timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("one world of 2 ranks on 2 hosts", done.stdout)
        self.assertRegex(done.stdout, r"warn +placement +rank 1: in a tensor group of 2 ranks that began on another")
        self.assertRegex(done.stdout, r"fail +run directory +rank 1: a file of rank 0's is not in ")
        self.assertRegex(done.stdout, r"ok +clocks +ranks 0-1: within a second")


if __name__ == "__main__":
    skips.main()
