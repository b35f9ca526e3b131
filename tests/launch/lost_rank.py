"""One run of configs/tiny.yaml on four ranks, of which one is lost, and how the others end. The contract is in docs/design.md,
"Deadlines": all other processes end, within 60 s in start-up and within 10 s and 3 times the phase's own time elsewhere,
and name rank and host; mpirun's exit code is 74, or 137 where mpirun sees a killed rank first; nothing is left."""

import os
import pathlib
import re
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
RANKS = 4
PHASES = ("start", "build", "load", "step", "evaluation", "save", "end")
PHASE_SECONDS = 1  # what a phase of this run takes at most
MPIRUN = "mpirun --oversubscribe --bind-to none --mca pml ob1 --mca btl self,vader"


def processes_of(folder):
    """Process numbers of `drover` on this run directory."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it is gone
            continue
        if f"run.dir={folder}".encode() in words and pathlib.Path(words[0].decode()).name == "drover":
            found.append(int(process.name))
    return found


def is_down(process):
    """Stopped, or dead and not waited for."""
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()[0] in "TZ"
    except OSError:
        return False


class LostRank:
    """WAY@phase=PHASE,rank=RANK[,time=N], as in DROVER_FAULT, and after a blank more options of mpirun."""

    def __init__(self, text):
        self.fault, _, self.options = text.partition(" ")
        self.way, self.phase, self.rank = re.match(r"(\w+)@phase=(\w+),rank=(\d+)", self.fault).groups()

    def settings(self, data):
        return ["train.steps=1000", "checkpoint.every=3", "eval.every=3", "eval.sequences=8", *data] \
            if self.phase != "end" else ["train.steps=3", *data]

    def measure(self, drover, folder, data, timeout, on_lost=lambda others: None):
        """Calls `on_lost` with the other ranks' process numbers."""
        command = [*os.environ.get("DROVER_MPIRUN", f"{MPIRUN} -n").split()[:-1], *self.options.split(), "-n", str(RANKS)]
        command += [drover, "train", str(SOURCE / "configs" / "tiny.yaml"), "--set", f"run.dir={folder}"]
        command += [f"launch.timeout={timeout}", *self.settings(data)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "DROVER_FAULT": self.fault}
        with tempfile.TemporaryFile("w+") as output:
            job = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
            self.lost_at, self.gone_at = self.watch(job, folder, on_lost)
            self.code = job.wait()
            self.ended_at = time.monotonic()
            output.seek(0)
            self.said = [line.removeprefix("drover: ") for line in output.read().splitlines() if line.startswith("drover: ")]
        while processes_of(folder) and time.monotonic() < self.ended_at + 5:
            time.sleep(0.1)
        self.left = processes_of(folder)
        self.check()

    @staticmethod
    def watch(job, folder, on_lost):
        """When the rank was lost, and when the last process of the run was gone."""
        lost_at, seen = None, False
        while True:
            running = processes_of(folder)
            seen |= len(running) == RANKS
            others = [number for number in running if not is_down(pathlib.Path("/proc") / str(number))]
            if lost_at is None and seen and len(others) < RANKS:
                lost_at = time.monotonic()
                on_lost(others)
            if job.poll() is not None or (seen and not running):
                return lost_at, time.monotonic()
            time.sleep(0.02)

    def check(self):
        """Fills `wrong` with what breaks the contract."""
        bound = 60 if self.phase in ("start", "build") else 10 + 3 * PHASE_SECONDS
        self.wrong = []
        if self.lost_at is None:
            self.wrong.append("no rank was lost")
            return
        self.seconds, self.mpirun_seconds = self.gone_at - self.lost_at, self.ended_at - self.lost_at
        if self.seconds > bound:
            self.wrong.append(f"ranks lived on for {self.seconds:.0f} s")
        if self.code not in ((74,) if self.way == "stop" else (74, 137)):
            self.wrong.append(f"exit code {self.code}")
        names = re.compile(rf"lost rank {self.rank} on host \S+: ")
        if self.way == "stop" and self.phase != "start" and not any(names.search(line) for line in self.said):
            self.wrong.append(f"rank {self.rank} is not named")
        if len(self.said) > 1:
            self.wrong.append(f"{len(self.said)} lines on one host")
        if self.left:
            self.wrong.append(f"processes {self.left} are left")

    def line(self):
        took = f"{self.seconds:.1f} s | {self.mpirun_seconds:.1f} s" if self.lost_at else "| "
        said = self.said[0] if self.said else ""
        return f"| {self.way} | {self.phase} | {self.rank} | {self.options or ' '} | {took} | {self.code} | {said} |"


def make_holdout(drover, scratch):
    """A token store, so that there is something to evaluate."""
    (scratch / "text.txt").write_text("".join(f"Line {number} of a text to evaluate on.\n" for number in range(400)))
    subprocess.run([drover, "data", "train-tokenizer", "text.txt", "--vocab-size", "300", "--out", "tokenizer.json"],
                   cwd=scratch, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([drover, "data", "prepare", "text.txt", "--tokenizer", "tokenizer.json", "--out", "holdout.h5"],
                   cwd=scratch, check=True, stdout=subprocess.DEVNULL)
    return [f"data.holdout={scratch / 'holdout.h5'}", "model.vocab_size=512"]
