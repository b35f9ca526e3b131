"""scripts/slurm/train.sbatch beside a Slurm of stand-ins: what it starts, when it asks to be queued again, and its code."""

import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
SCRIPT = SOURCE / "scripts" / "slurm" / "train.sbatch"
# Writes down what it was asked for, and ends with the code of the verb that it was to start.
STAND_IN = """#!/bin/bash
echo "$(basename "$0") $*" >> said
[[ $* != *" drover doctor "* ]] || exit $DOCTOR
[[ $* != *" drover train "* ]] || exit $TRAIN
"""
SRUN = "srun --mpi=pmix --cpus-per-task=2 --kill-on-bad-exit=0 drover"


class SlurmScript(unittest.TestCase):
    def job(self, doctor, train):
        """(exit code, what was started) of a job whose verbs end with these codes."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("srun", "scontrol"):
                program = pathlib.Path(folder) / name
                program.write_text(STAND_IN)
                program.chmod(0o755)
            environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "7",
                           "SLURM_CPUS_PER_TASK": "2", "DOCTOR": str(doctor), "TRAIN": str(train)}
            done = subprocess.run([SCRIPT, "my run.yaml"], cwd=folder, env=environment, check=False)
            return done.returncode, (pathlib.Path(folder) / "said").read_text().splitlines()

    def test_a_run_that_is_done_or_failed_ends_the_job_with_its_code(self):
        for code in (0, 3, 77):
            self.assertEqual(self.job(0, code), (code, [f"{SRUN} doctor my run.yaml", f"{SRUN} train my run.yaml"]))

    def test_a_run_that_was_saved_and_stopped_is_queued_again(self):
        code, started = self.job(0, 75)
        self.assertEqual((code, started[2:]), (75, ["scontrol requeue 7"]))

    def test_nothing_is_trained_where_doctor_finds_something(self):
        self.assertEqual(self.job(3, 0), (3, [f"{SRUN} doctor my run.yaml"]))

    def test_the_page_shows_the_script(self):
        self.assertIn(f"```text\n{SCRIPT.read_text()}```\n", (SOURCE / "docs" / "slurm.md").read_text())


if __name__ == "__main__":
    unittest.main()
