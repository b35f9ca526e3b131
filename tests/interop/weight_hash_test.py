"""`drover checkpoint hash` and scripts/weight_hash.py, which reads the files with h5py, agree, for every way to cut the tensors; the
script's own check of digests finds a flipped bit, and so does `drover checkpoint verify`."""
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

SOURCE = pathlib.Path(os.environ["DROVER_SOURCE_DIR"])
SCRIPT = SOURCE / "scripts" / "weight_hash.py"
TOOL = pathlib.Path(os.environ["DROVER_TOOLS"]) / "checkpoint_tool"
DROVER = os.environ["DROVER_BIN"]


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def output(*command):
    code, out, err = run(*command)
    assert code == 0, (command, code, out, err)
    return out.split()


def check_equal_hashes(folder):
    hashes = {}
    step = 0
    for dtype in ("float32", "float64", "bfloat16"):
        for ranks, cut in ((1, "first"), (2, "flat"), (3, "rows"), (3, "columns"), (8, "dealt")):
            step += 1
            (directory,) = output(TOOL, folder, ranks, cut, step, dtype)
            ours, theirs = output(DROVER, "checkpoint", "hash", directory)[0], output(sys.executable, SCRIPT, directory)[0]
            assert ours == theirs, (dtype, ranks, cut, ours, theirs)
            hashes[directory] = ours
    assert len(set(hashes.values())) == len(hashes), "steps differ, so do hashes"
    # Of a run directory the newest that verifies is taken.
    assert output(DROVER, "checkpoint", "hash", folder.parent)[0] == hashes[directory]


def check_damage(folder):
    (directory,) = output(TOOL, folder, 2, "rows", 1000, "float32")
    shard = pathlib.Path(directory) / "rank_00001.h5"
    assert run(DROVER, "checkpoint", "verify", directory)[0] == 0
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    code, out, _ = run(DROVER, "checkpoint", "verify", folder)
    assert code == 3 and out.count("damaged") == 1, (code, out)
    assert f"rank_00001.h5: bytes 0 to {len(data)}: not what was written" in out, out
    assert run(sys.executable, SCRIPT, directory)[0] == 1
    code, _, err = run(DROVER, "checkpoint", "hash", directory)
    assert code == 3 and "rank_00001.h5" in err, (code, err)
    code, out, err = run(DROVER, "checkpoint", "inspect", folder)
    assert code == 0 and "step_0000000015" in out and "step_0000001000 is not used" in err, (code, out, err)


def check_format_1(folder):
    with tarfile.open(SOURCE / "tests" / "launch" / "format_1.tar.gz") as archive:
        archive.extractall(folder)
    directory = folder / "run" / "checkpoints" / "step_0000000002"
    assert output(DROVER, "checkpoint", "hash", directory)[0] == output(sys.executable, SCRIPT, directory)[0]


with tempfile.TemporaryDirectory() as run_directory:
    check_format_1(pathlib.Path(run_directory) / "old")
    checkpoints = pathlib.Path(run_directory) / "checkpoints"
    check_equal_hashes(checkpoints)
    check_damage(checkpoints)
