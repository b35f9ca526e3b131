"""A row of the table of wrong_input_test.py, the good folder that it is run in a copy of, and what spoils that."""

import dataclasses
import functools
import os
import pathlib
import re
import subprocess
import tempfile
import typing

import h5py

DROVER = os.environ.get("DROVER_BIN", "")

RUN_YAML = """run: {name: run, seed: 1}
model: {hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, intermediate_size: 64,
        vocab_size: 300, tie_word_embeddings: true}
data: {tokenizer: tokenizer.json, sources: [{store: store.h5, weight: 1}], holdout: holdout.h5}
train: {dtype: float32, sequence_length: 16, batch_tokens: 64, microbatch_sequences: 2, steps: 4}
optimizer: {lr: 1.0e-3, warmup_steps: 1}
checkpoint: {every: 2}
"""
# What a start leaves in its run directory when it fails only after it has claimed it: who tried, and no state.
STARTED = r"runs(/fresh)?(/(lock|run\.json|metrics\.jsonl|logs(/attempt_\d+(/rank_\d+\.log)?)?|checkpoints(/attempt_\d+(\.json)?)?))?"


@dataclasses.dataclass(frozen=True)
class Row:
    what: str
    command: str
    code: int
    says: tuple  # words of the one message
    prepare: typing.Optional[typing.Callable] = None  # of the folder; what it returns undoes it
    ranks: int = 1
    changes: str = ""  # regular expression of the names that may change
    environment: dict = dataclasses.field(default_factory=dict)
    stdin: str = ""
    needs_mount: bool = False
    needs_mpi: bool = False  # as more ranks than one do

    def may_change(self, name):
        return bool(self.changes) and re.fullmatch(self.changes, name) is not None


# ---- what spoils the folder ----------------------------------------------------------------------------------------


def both(*steps):
    def prepare(folder):
        undo = [done for done in [step(folder) for step in steps] if done]
        return (lambda: [done() for done in undo]) if undo else None

    return prepare


def file(name, content):
    def prepare(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return prepare


def yaml(text):
    """bad.yaml: the good configuration with this over it, from line 2 on."""
    return file("bad.yaml", "base: run.yaml\n" + text + "\n")


def folder(name):
    return lambda here: (here / name).mkdir(parents=True)


def change(name, edit):
    """The bytes of one file, or of the only one that fits a pattern."""

    def prepare(here):
        (path,) = here.glob(name)
        path.write_bytes(edit(path.read_bytes()))

    return prepare


def cut(name, share):
    return change(name, lambda data: data[: int(len(data) * share)])


def flip(name, find):
    """One bit of the byte behind these."""

    def edit(data):
        at = data.index(find) + len(find)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return change(name, edit)


def replace(name, old, new):
    def edit(data):
        assert old in data, old
        return data.replace(old, new, 1)

    return change(name, edit)


def remove(name):
    return lambda here: (here / name).unlink()


def move(name, to):
    def prepare(here):
        (here / name).rename(here / to)

    return prepare


def link(name, target):
    def prepare(here):
        path = here / name
        if path.exists():
            path.unlink()
        path.symlink_to(target)

    return prepare


def flip_middle(name):
    """One bit in the middle of a file."""
    return change(name, lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1])
                  + data[len(data) // 2 + 1 :])


def drover(*words):
    """What a command of ours, which must succeed, leaves."""

    def prepare(here):
        subprocess.run([DROVER, *words], cwd=here, check=True, stdout=subprocess.DEVNULL)

    return prepare


def fifo(name):
    return lambda here: os.mkfifo(here / name)


def hdf5(build):
    def prepare(here):
        with h5py.File(here / "bad.h5", "w") as store:
            build(store)

    return prepare


def copied_store(spoil):
    """bad.h5: the good store with its datasets, which `spoil` changes."""

    def prepare(here):
        with h5py.File(here / "store.h5") as good, h5py.File(here / "bad.h5", "w") as bad:
            bad.attrs.update(good.attrs)
            for name in good:
                good.copy(name, bad)
            spoil(bad)

    return prepare


@functools.cache
def can_mount():
    """Not all that are root can: containers may forbid it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            mount("probe")(pathlib.Path(folder))()
        except subprocess.CalledProcessError:
            return False
    return True


def mount(name, *options):
    def prepare(here):
        path = here / name
        path.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(path)], check=True)
        return lambda: subprocess.run(["umount", "-l", str(path)], check=True)

    return prepare


def live_run(here):
    """A run that trains until the row is over."""
    process = subprocess.Popen([DROVER, "train", "run.yaml", "--set", "train.steps=1000000", "run.dir=runs/live",
                                "checkpoint.every=1000000"], cwd=here, stdout=subprocess.DEVNULL)
    while not (here / "runs/live/metrics.jsonl").exists() and process.poll() is None:
        pass
    os.kill(process.pid, 19)  # SIGSTOP: it holds its folder and changes nothing

    def undo():
        process.kill()
        process.wait()

    return undo


def alias_bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    return "\n".join(lines)


def zstd_frame(window, blocks):
    """A Zstandard frame (RFC 8878) of blocks of 128 KiB zeros, four bytes each."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([window]) + (((128 << 10) << 3 | 2).to_bytes(3, "little") + b"\0") * blocks \
        + (1).to_bytes(3, "little")


def reseal(path, old, new):
    """A manifest changed by somebody who makes its digest right (XXH3-128 of all bytes before its digits)."""
    import xxhash

    body = path.read_bytes()[:-36].replace(old, new, 1)
    path.write_bytes(body + xxhash.xxh3_128(body).hexdigest().encode() + b'"\n}\n')


def good_tokenizer(edit):
    return change("tokenizer.json", edit)


def with_pattern(pattern):
    old = rb'"Regex": "(?:[^"\\]|\\.)*"'
    return good_tokenizer(lambda data: re.sub(old, b'"Regex": "' + pattern + b'"', data, count=1))


def make_good_folder(here):
    """Texts, three tokenizers, stores, a configuration, its run of four steps with checkpoints at 2 and 4, and its
    weights as Transformers reads them."""
    (here / "texts").mkdir(parents=True)
    for number in range(20):
        (here / "texts" / f"{number:02}.txt").write_text(f"Text {number}: " + "the quick brown fox jumps over it. " * 8)
    (here / "docs.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (here / "other.jsonl").write_text('{"text": "zzzz yyyy zzzz yyyy xxxx zzzz yyyy"}\n')
    (here / "run.yaml").write_text(RUN_YAML)
    drover("data", "train-tokenizer", "texts", "--vocab-size", "290", "--out", "tokenizer.json")(here)
    drover("data", "train-tokenizer", "other.jsonl", "--vocab-size", "260", "--out", "other.json")(here)
    drover("data", "prepare", "texts", "--tokenizer", "tokenizer.json", "--out", "store.h5")(here)
    drover("data", "prepare", "docs.jsonl", "--tokenizer", "tokenizer.json", "--out", "holdout.h5")(here)
    drover("data", "prepare", "docs.jsonl", "--tokenizer", "other.json", "--out", "other.h5")(here)
    drover("data", "train-tokenizer", "run.yaml", "--vocab-size", "290", "--out", "same_size.json")(here)
    drover("train", "run.yaml")(here)
    drover("checkpoint", "export", "runs/run", "--out", "hf")(here)


NESTED = b"[" * 1_000_000 + b"]" * 1_000_000
CHECKPOINTS = "runs/run/checkpoints"
STEP_2, STEP_4 = f"{CHECKPOINTS}/attempt_1/step_0000000002", f"{CHECKPOINTS}/attempt_1/step_0000000004"
FRESH = "train run.yaml --set run.dir=runs/fresh"
# A resumed run that fails leaves its attempt, which has closed the one before.
RESUMED = (r"runs/run/(lock|run\.json|logs/attempt_2(/rank_\d+\.log)?"
           r"|checkpoints/LATEST|checkpoints/attempt_(2|2\.json|1(\.closed)?(/step_\d+(/.*)?)?))")
