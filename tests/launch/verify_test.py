"""drover verify as a user runs it."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from process_tests import HAS_MPI, MPIRUN, skips

DROVER = os.environ["DROVER_BIN"]
SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
CONFIG = str(SOURCE / "configs" / "verify.yaml")
KV = str(SOURCE / "configs" / "verify_kv.yaml")
LONG = str(SOURCE / "configs" / "verify_long.yaml")
LAYOUTS = "tp1,shard2:zero3,pp2:zb-v,tp2.cp2:zero1"
PROCESS_LAYOUTS = ("tp2,cp2,pp2:zb-h1,rep2,tp2.cp2,tp2.pp2:interleaved,cp2.pp2:zb-v,tp4:zero3,shard2.rep2:zero1,pp4:gpipe,"
                   "tp2.shard2:zero2,cp2.shard2:zero3")


# Every axis, one at a time and together, with the chunks of the loss as one process has them and otherwise.
LONG_LAYOUTS = "tp2,tp4,tp2.cp2,pp2:zb-v,shard2:zero3,tp2.cp2.pp2:zero1"


def run(*arguments, prefix=()):
    return subprocess.run([*prefix, DROVER, "verify", *arguments], capture_output=True, text=True, timeout=150)


def check(condition, result):
    assert condition, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def hashes(text):
    """Layout -> weight hash of every row that ran."""
    return dict(re.findall(r"^passed +(\S+) .* hash ([0-9a-f]{32})", text, re.MULTILINE))


def layouts_pass_and_the_report_says_the_same():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "report.json"
        result = run(CONFIG, "--layouts", LAYOUTS, "--report", str(path))
        check(result.returncode == 0, result)
        check(result.stdout.splitlines()[-1] == "4 passed, 0 failed, 0 refused", result)
        report = json.loads(path.read_text())
    assert report["passed"] == 4 and report["failed"] == 0 and report["dtype"] == "float64"
    assert [row["layout"] for row in report["rows"]] == LAYOUTS.split(",")
    for row in report["rows"]:
        assert row["outcome"] == "passed" and row["gradient"]["value"] < 1e-9 and len(row["loss"]) == 3
        assert hashes(result.stdout)[row["layout"]] == row["weight_hash"]
    assert report["rows"][0]["weight_hash"] == report["reference"]["weight_hash"]


def a_layout_that_does_not_fit_is_refused_with_its_reason():
    result = run(CONFIG, "--layouts", "tp1,tp5")
    check(result.returncode == 0, result)
    check(re.search(r"^refused  tp5: .*tensor", result.stdout, re.MULTILINE), result)
    check(result.stdout.splitlines()[-1] == "1 passed, 0 failed, 1 refused", result)
    check(run(CONFIG, "--layouts", "tp5").returncode == 2, result)


def what_is_no_layout_or_no_bug_is_a_usage_error():
    for arguments, named in ((["--layouts", "xp2"], "xp2"), (["--inject", "gremlin"], "gremlin")):
        result = run(CONFIG, *arguments)
        check(result.returncode == 2 and named in result.stderr, result)


def a_planted_bug_is_caught_or_said_not_to_be_exercised():
    listed = run("--list-faults")
    check(listed.returncode == 0 and len(listed.stdout.splitlines()) >= 12, listed)
    check("norm-counts-replicas" in listed.stdout, listed)
    caught = run(CONFIG, "--layouts", "rep2", "--inject", "norm-counts-replicas")
    check(caught.returncode == 0, caught)
    check("norm-counts-replicas: caught on 1 of 1 layouts" in caught.stdout, caught)
    check(re.search(r"weight after the last step of model\.\S+ differs", caught.stdout), caught)
    idle = run(CONFIG, "--layouts", "shard2", "--inject", "norm-counts-replicas")
    check(idle.returncode == 70 and idle.stdout.splitlines()[1].startswith("not exercised shard2"), idle)


def a_subject_that_proves_nothing_is_named():
    result = run(CONFIG, "--layouts", "tp1", "--set", "optimizer.lr=1.0e-9")
    check(result.returncode == 2, result)
    check("proves nothing: model.norm.weight ends where weight decay alone" in result.stdout, result)


def processes_have_the_bits_of_threads():
    if not HAS_MPI:
        skips.say_skipped("mpi", "processes_have_the_bits_of_threads")
        return
    local = run(KV, "--layouts", PROCESS_LAYOUTS)
    processes = run(KV, "--layouts", PROCESS_LAYOUTS, "--comm", "mpi", prefix=[*MPIRUN, "4"])
    check(processes.returncode == 0, processes)
    check(len(hashes(local.stdout)) == 12 and hashes(local.stdout) == hashes(processes.stdout), processes)


def long_rows_and_a_large_vocabulary_pass():
    result = run(LONG, "--layouts", LONG_LAYOUTS, "--steps", "2")
    check(result.returncode == 0, result)
    check(result.stdout.splitlines()[-1] == "6 passed, 0 failed, 0 refused", result)


def every_layout_of_up_to_four_ranks_passes():
    result = run(KV, "--layouts", "all", "--ranks", "1,2,4")
    check(result.returncode == 0, result)
    check(result.stdout.splitlines()[-1] == "83 passed, 0 failed, 0 refused", result)


def main():
    for test in (
        layouts_pass_and_the_report_says_the_same,
        a_layout_that_does_not_fit_is_refused_with_its_reason,
        what_is_no_layout_or_no_bug_is_a_usage_error,
        a_planted_bug_is_caught_or_said_not_to_be_exercised,
        a_subject_that_proves_nothing_is_named,
        processes_have_the_bits_of_threads,
        long_rows_and_a_large_vocabulary_pass,
        every_layout_of_up_to_four_ranks_passes,
    ):
        print(test.__name__, flush=True)
        test()
    return 0


if __name__ == "__main__":
    sys.exit(main())
