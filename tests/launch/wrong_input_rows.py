"""The table of wrong_input_test.py. A row is run in a copy of the good folder, which its `prepare` spoils."""

import dataclasses
import os
import pathlib
import re
import subprocess
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
STARTED = r"runs(/fresh)?(/(lock|run\.json|metrics\.jsonl|logs(/attempt_\d+(/rank_\d+\.log)?)?|checkpoints))?"


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
    needs_root: bool = False

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


def good_tokenizer(edit):
    return change("tokenizer.json", edit)


def with_pattern(pattern):
    old = rb'"Regex": "(?:[^"\\]|\\.)*"'
    return good_tokenizer(lambda data: re.sub(old, b'"Regex": "' + pattern + b'"', data, count=1))


def make_good_folder(here):
    """Texts, two tokenizers, stores, a configuration, its run of four steps with checkpoints at 2 and 4, and its
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
    drover("train", "run.yaml")(here)
    drover("checkpoint", "export", "runs/run", "--out", "hf")(here)


CHECKPOINTS = "runs/run/checkpoints"
STEP_2, STEP_4 = f"{CHECKPOINTS}/step_0000000002", f"{CHECKPOINTS}/step_0000000004"
FRESH = "train run.yaml --set run.dir=runs/fresh"
# A resumed run that fails leaves its attempt.
RESUMED = r"runs/run/(lock|run\.json|result\.json|logs/attempt_2(/rank_0\.log)?)"

# ---- keys and values of a configuration ----------------------------------------------------------------------------

CONFIGURATION = [
    Row("a key with a typing error", "config bad.yaml", 2,
        ("bad.yaml:2:9: train.sequence_lenght: unknown key", "did you mean train.sequence_length?"),
        yaml("train: {sequence_lenght: 8}")),
    Row("a section with a typing error", "config bad.yaml", 2, ("bad.yaml:2:1: trian", "did you mean train?"),
        yaml("trian: {steps: 8}")),
    Row("a key in the wrong section", "config bad.yaml", 2, ("optimizer.steps: unknown key", "train.steps"),
        yaml("optimizer: {steps: 8}")),
    Row("torchtitan's key", "config bad.yaml", 2,
        ("bad.yaml:2:9: train.local_batch_size", "train.microbatch_sequences"), yaml("train: {local_batch_size: 8}")),
    Row("torchtitan's section", "config bad.yaml", 2, ("parallelism: unknown key", "here it is called parallel"),
        yaml("parallelism: {tensor_parallel_degree: 2}")),
    Row("Megatron's key", "config bad.yaml", 2, ("tensor_model_parallel_size", "here it is called parallel.tensor"),
        yaml("parallel: {tensor_model_parallel_size: 2}")),
    Row("Megatron's option as it is typed there", "config bad.yaml", 2,
        ("--lr-warmup-iters", "optimizer.warmup_steps"), yaml("optimizer: {--lr-warmup-iters: 2}")),
    Row("nanotron's key", "config bad.yaml", 2, ("optimizer.clip_grad", "here it is called optimizer.clip_norm"),
        yaml("optimizer: {clip_grad: 1.0}")),
    Row("Transformers' key", "config bad.yaml", 2, ("per_device_train_batch_size", "train.microbatch_sequences"),
        yaml("train: {per_device_train_batch_size: 2}")),
    Row("a key of Transformers' config.json", "config bad.yaml", 2,
        ("model.torch_dtype", "here it is called train.dtype"), yaml("model: {torch_dtype: bfloat16}")),
    Row("a word for a number", "config bad.yaml", 2,
        ("bad.yaml:3:10: train.steps: expected a whole number or null, found 'many'",),
        yaml("train:\n  steps: many")),
    Row("a quoted number", "config bad.yaml", 2, ("bad.yaml:2:16: train.steps", "the text '10'"),
        yaml('train: {steps: "10"}')),
    Row("a list for a section", "config bad.yaml", 2, ("bad.yaml:2:8: train: expected a mapping",),
        yaml("train: [1, 2]")),
    Row("one number for a pair", "config bad.yaml", 2, ("optimizer.betas: expected a list of two numbers",),
        yaml("optimizer: {betas: [0.9]}")),
    Row("a number that is none", "config bad.yaml", 2,
        ("bad.yaml:2:17: optimizer.lr: expected a number, found '.nan'",), yaml("optimizer: {lr: .nan}")),
    Row("an infinite number", "config bad.yaml", 2, ("optimizer.eps: expected a number, found '.inf'",),
        yaml("optimizer: {eps: .inf}")),
    Row("a negative learning rate", "config bad.yaml", 2, ("bad.yaml:2:17: optimizer.lr is -1", "at least 0"),
        yaml("optimizer: {lr: -1}")),
    Row("no steps at all", "config bad.yaml", 2, ("train.steps is 0; it must be at least 1",),
        yaml("train: {steps: 0}")),
    Row("more digits than a number has", "config bad.yaml", 2, ("train.steps: expected a whole number",),
        yaml("train: {steps: 99999999999999999999}")),
    Row("a batch that nothing can count", "config bad.yaml", 2,
        ("bad.yaml:2:23: train.batch_tokens is 4000T; it must be at most 1000000000",),
        yaml("train: {batch_tokens: 4000T}")),
    Row("a model of more parameters than can be counted", "config bad.yaml", 2, ("bad.yaml:2", "model.hidden_size"),
        yaml("model: {hidden_size: 4000000000000000000}")),
    Row("a model of a billion blocks", "config bad.yaml", 2, ("model.num_hidden_layers", "at most"),
        yaml("model: {num_hidden_layers: 1000000000}")),
    Row("a beta outside of its range", "config bad.yaml", 2, ("optimizer.betas[1] is 1.5; it must be in [0, 1)",),
        yaml("optimizer: {betas: [0.9, 1.5]}")),
    Row("a word that is no choice", "config bad.yaml", 2,
        ("bad.yaml:2:16: train.dtype is 'bfloat61'; did you mean bfloat16?",), yaml("train: {dtype: bfloat61}")),
    Row("a preset that is none", "config bad.yaml", 2, ("model.preset is 'llama3-9b'", "llama3-8b"),
        yaml("model: {preset: llama3-9b}")),
    Row("a batch that is no whole number of rows", "config bad.yaml", 2,
        ("bad.yaml:2: train.batch_tokens is 100", "nearest: 96"), yaml("train: {batch_tokens: 100}")),
    Row("heads that do not divide the width", "config bad.yaml", 2,
        ("model.hidden_size is 30", "nearest legal values: 28 and 32"), yaml("model: {hidden_size: 30}")),
    Row("key heads that do not divide the heads", "config bad.yaml", 2,
        ("model.num_attention_heads is 4", "model.num_key_value_heads = 3"), yaml("model: {num_key_value_heads: 3}")),
    Row("tensor ranks that do not divide the heads", "config bad.yaml", 2,
        ("parallel.tensor", "num_attention_heads"), yaml("parallel: {tensor: 3}")),
    Row("a pipeline longer than the model", "config bad.yaml", 2, ("parallel.pipeline", "use at most 4 stages"),
        yaml("parallel: {pipeline: 9}")),
    Row("steps and tokens", "config bad.yaml", 2, ("exactly one of train.steps and train.tokens",),
        yaml("train: {tokens: 1K}")),
    Row("sources and synthetic documents", "config bad.yaml", 2, ("either data.sources", "or data.synthetic"),
        yaml("data: {synthetic: {vocab_size: 300}}")),
    Row("synthetic documents that nothing can count", "config bad.yaml", 2, ("bad.yaml", "synthetic", "documents"),
        yaml("data: {sources: [], synthetic: {vocab_size: 300, documents: 9000000000000000000}}")),
    Row("a source named twice", "config bad.yaml", 2, ("data.sources names store.h5 twice", "sum of the weights"),
        yaml("data: {sources: [{store: store.h5}, {store: store.h5}]}")),
    Row("weights that are all 0", "config bad.yaml", 2, ("bad.yaml", "at least one must be above 0"),
        yaml("data: {sources: [{store: store.h5, weight: 0}]}")),
    Row("phases in the wrong order", "config bad.yaml", 2, ("bad.yaml", "phase 2", "not after phase 1"),
        yaml("phases: [{from_tokens: 100}, {from_tokens: 50}]")),
    Row("a phase of an unknown source", "config bad.yaml", 2, ("phases", "'none.h5'", "not in data.sources"),
        yaml("phases: [{from_tokens: 100, sources: [{store: none.h5}]}]")),
    Row("a run's name that leads elsewhere", "config bad.yaml", 2, ("run.name is '../../etc'", "set run.dir"),
        yaml("run: {name: ../../etc}")),
    Row("a device that is not there", FRESH + " device=cuda", 2, ("device", "set it to cpu or auto"),
        changes=STARTED),
]

# ---- the file of a configuration -----------------------------------------------------------------------------------

FILES = [
    Row("no such configuration", "train none.yaml", 2, ("none.yaml", "No such file")),
    Row("a folder for a configuration", "train texts", 2, ("texts", "not a regular file")),
    Row("a pipe for a configuration", "train pipe.yaml", 2, ("pipe.yaml", "not a regular file"), fifo("pipe.yaml")),
    Row("an empty configuration", "train empty.yaml", 2,
        ("empty.yaml:1:1: model.hidden_size: has no value", "set it"), file("empty.yaml", "")),
    Row("a token store for a configuration", "train store.h5", 2, ("store.h5", "not YAML")),
    Row("a configuration of 2 MiB", "train large.yaml", 2, ("large.yaml has 2097152 bytes, more than the 1048576",),
        file("large.yaml", "#" * (2 << 20))),
    Row("a bracket that is never closed", "config bad.yaml", 2, ("bad.yaml:", "not YAML", "correct the syntax"),
        yaml("train: [")),
    Row("a tab for indentation", "config bad.yaml", 2, ("bad.yaml:3:", "not YAML"), yaml("train:\n\tsteps: 3")),
    Row("a key given twice", "config bad.yaml", 2,
        ("bad.yaml:3:1: the key 'train' stands twice, first at bad.yaml:2:1",),
        yaml("train: {steps: 3}\ntrain: {steps: 4}")),
    Row("two documents", "config bad.yaml", 2, ("a second document begins here",),
        yaml("run: {seed: 1}\n---\nrun: {seed: 2}")),
    Row("a tag", "config bad.yaml", 2, ("bad.yaml:2:16: the tag", "leave it out"), yaml("train: {steps: !!int 3}")),
    Row("an alias bomb", "config bad.yaml", 2, ("bad.yaml:", "once its aliases are expanded"), yaml(alias_bomb())),
    Row("nesting without end", "config bad.yaml", 2, ("bad.yaml:2:", "nested deeper than 32 levels"),
        yaml("train: " + "[" * 100000)),
    Row("bytes that are no text", "config bad.yaml", 2, ("bad.yaml:2:",),
        file("bad.yaml", b"base: run.yaml\n\xff\xfe\x00: 1\n")),
    Row("a key that moves the cursor", "config bad.yaml", 2, ("bad.yaml:2:1: ?[2Jx: unknown key",),
        yaml('"\\e[2Jx": 1')),
    Row("a base that is not there", "config bad.yaml", 2, ("bad.yaml:1:7: base:", "none.yaml"),
        file("bad.yaml", "base: none.yaml\n")),
    Row("a base that is layered under itself", "config a.yaml", 2,
        ("b.yaml:1:7: base: a.yaml is layered under itself",),
        both(file("a.yaml", "base: b.yaml\n"), file("b.yaml", "base: a.yaml\n"))),
    Row("--set without a value", "config run.yaml --set train.steps", 2,
        ("--set train.steps: no value", "section.key=value")),
    Row("--set of an unknown key", "config run.yaml --set train.step=3", 2,
        ("--set train.step=3", "did you mean train.steps?")),
    Row("--set of an element that is not there", "config run.yaml --set data.sources[4].weight=3", 2,
        ("there is no element 4, the list has 1",)),
]

# ---- words on the command line -------------------------------------------------------------------------------------

USAGE = [
    Row("no verb", "", 2, ("drover --help",)),
    Row("an unknown verb", "tarin run.yaml", 2, ("there is no verb `drover tarin`; did you mean train?",)),
    Row("an unknown verb of data", "data prepair docs.jsonl", 2,
        ("there is no verb `drover data prepair`; did you mean prepare?",)),
    Row("a verb that is not there yet", "sweep run.yaml", 2, ("not there yet",)),
    Row("train without a configuration", "train", 2, ("train: CONFIG is required; `drover train --help`",)),
    Row("train with two configurations", "train run.yaml run.yaml", 2, ("train:", "not expected", "run.yaml")),
    Row("an unknown option", "train run.yaml --resume 3", 2, ("train:", "--resume")),
    Row("a word for a step", "train run.yaml --resume-from last", 2, ("train:", "--resume-from")),
    Row("a negative step", "train run.yaml --resume-from -3", 2, ("train:", "--resume-from")),
    Row("ranks without a dry run", "train run.yaml --ranks 2", 2, ("train: ", "--ranks", "--dry-run")),
    Row("a dry run of no ranks", "train run.yaml --dry-run --ranks 0", 2, ("train: --ranks",)),
    Row("a dry run of a layout that does not fit", "train run.yaml --dry-run --ranks 3 --set parallel.tensor=2", 2,
        ("3 ranks", "must divide the ranks")),
    Row("config without a configuration", "config", 2, ("which file?", "drover config configs/tiny.yaml")),
    Row("eval without a configuration", "eval", 2, ("eval: CONFIG is required",)),
    Row("generate without a configuration", "generate", 2, ("generate: CONFIG is required",)),
    Row("a negative temperature", "generate run.yaml --temperature -1", 2, ("--temperature is -1", "0 or more")),
    Row("a temperature that is no number", "generate run.yaml --temperature nan", 2, ("--temperature is nan",)),
    Row("a probability above 1", "generate run.yaml --top-p 2", 2, ("--top-p is 2", "at most 1")),
    Row("no tokens to generate", "generate run.yaml --tokens 0", 2, ("--tokens is 0; it must be at least 1",)),
    Row("explain without ranks", "data explain run.yaml", 2, ("data explain: --ranks is required",)),
    Row("no ranks", "data explain run.yaml --ranks 0", 2, ("data explain: --ranks",)),
    Row("a step beyond the run", "data explain run.yaml --ranks 1 --step 9", 2,
        ("--step 9: the run has steps 1 to 4",)),
    Row("verify of a layout that is none", "verify run.yaml --layouts xp2", 2, ("xp2",)),
    Row("verify without a configuration", "verify", 2, ("give the YAML file",)),
    Row("a schedule that is none", "schedule --schedule zigzag", 2, ("zigzag", "zb-v")),
    Row("no pipeline ranks", "schedule --pipeline 0", 2, ("parallel.pipeline is 0", "from 1 to")),
    Row("a schedule's file that is not there", "schedule --schedule csv --schedule-file none.csv", 3,
        ("none.csv", "No such file")),
    Row("a schedule's file with a word that is none", "schedule --schedule csv --schedule-file bad.csv", 3,
        ("bad.csv:1: '0X1' is no action",), file("bad.csv", "0F0,0X1\n")),
    Row("prepare without --out", "data prepare docs.jsonl --tokenizer tokenizer.json", 2,
        ("data prepare: --out is required",)),
    Row("no threads", "data prepare docs.jsonl --tokenizer tokenizer.json --out x.h5 --threads 0", 2,
        ("--threads 0: must be at least 1",)),
    Row("a form that is none", "data prepare docs.jsonl --tokenizer tokenizer.json --out x.h5 --format csv", 2,
        ("--format csv", "jsonl")),
    Row("a size that is none", "data prepare docs.jsonl --tokenizer tokenizer.json --out x.h5 --max-document huge",
        2, ("data prepare:", "huge")),
    Row("documents of no bytes", "data prepare docs.jsonl --tokenizer tokenizer.json --out x.h5 --max-document 0",
        2, ("--max-document",)),
    Row("a fraction above 1",
        "data prepare docs.jsonl --tokenizer tokenizer.json --out x.h5 --holdout-fraction 2 " "--holdout-out y.h5",
        2, ("--holdout-fraction 2",)),
    Row("a fraction that is no number",
        "data prepare docs.jsonl --tokenizer tokenizer.json --out x.h5 --holdout-fraction nan " "--holdout-out y.h5",
        2, ("--holdout-fraction nan",)),
    Row("a hold-out without a file",
        "data prepare docs.jsonl --tokenizer tokenizer.json --out x.h5 --holdout-fraction 0.1", 2,
        ("needs --holdout-out",)),
    Row("one file for both outputs",
        "data prepare docs.jsonl --tokenizer tokenizer.json --out x.h5 --holdout-fraction 0.1 " "--holdout-out x.h5",
        2, ("must be different files",)),
    Row("a vocabulary smaller than the bytes", "data train-tokenizer texts --vocab-size 10 --out x.json", 2,
        ("10", "256")),
    Row("checkpoint verify without a folder", "checkpoint verify", 2, ("checkpoint verify: DIR is required",)),
]

# ---- texts and tokenizers ------------------------------------------------------------------------------------------

NESTED = b"[" * 1_000_000 + b"]" * 1_000_000
PREPARE = "data prepare {} --tokenizer tokenizer.json --out x.h5"
DOCS = PREPARE.format("docs.jsonl")

TEXTS = [
    Row("no such text", PREPARE.format("none.txt"), 3, ("none.txt: cannot be read: No such file",)),
    Row("a folder without texts", PREPARE.format("nothing"), 3, ("no files to read",), folder("nothing")),
    Row("a line that is no JSON", DOCS, 3, ("docs.jsonl:3: is not valid JSON at byte", "--skip-bad"),
        change("docs.jsonl", lambda data: data + b'{"text": oops}\n')),
    Row("a line without the text key", DOCS, 3, ("docs.jsonl:3:", "content", "--text-key"),
        change("docs.jsonl", lambda data: data + b'{"content": "x"}\n')),
    Row("a line of 100 MB where less is allowed", DOCS + " --max-document 64MiB", 3,
        ("docs.jsonl:3: longer than 67108864 bytes",),
        change("docs.jsonl", lambda data: data + b'{"text": "' + b"x" * 100_000_000 + b'"}\n')),
    Row("JSON nested without end", DOCS, 3, ("docs.jsonl:3: is not valid JSON",),
        change("docs.jsonl", lambda data: data + b'{"a":' + b"[" * 1_000_000 + b"\n")),
    Row("an array that is cut off", PREPARE.format("docs.json"), 3, ("docs.json: its array has no end",),
        file("docs.json", '[{"text": "a"}, {"text": "b"}')),
    Row("gzip data that is cut off", PREPARE.format("docs.txt.gz"), 3, ("docs.txt.gz: the gzip data is cut off",),
        file("docs.txt.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x4c")),
    Row("gzip data that is damaged", PREPARE.format("docs.txt.gz"), 3, ("docs.txt.gz: damaged gzip data",),
        file("docs.txt.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff\xff\xff")),
    Row("a text named .zst", PREPARE.format("docs.txt.zst"), 3,
        ("docs.txt.zst: is named .zst but holds no such data",), file("docs.txt.zst", "plain")),
    Row("a Zstandard bomb", PREPARE.format("bomb.txt.zst") + " --max-document 16MiB", 3,
        ("bomb.txt.zst: longer than 16777216 bytes",), file("bomb.txt.zst", zstd_frame(0x58, 16384))),
    Row("a Zstandard window of 2 GiB", PREPARE.format("window.txt.zst"), 3,
        ("window larger than 128 MiB".split()[0], "128 MiB", "--long"), file("window.txt.zst", zstd_frame(0xA8, 1))),
    Row("standard input twice", PREPARE.format("- -"), 2, ("standard input (-) can be read only once",)),
    Row("a bad line of standard input", PREPARE.format("-"), 3, ("standard input:1: is not valid JSON",),
        file("in", "oops\n"), stdin="in"),
    Row("Megatron's index without its tokens", PREPARE.format("m.idx --format megatron"), 3, ("m.bin",),
        file("m.idx", b"MMIDIDX\0\0" + (1).to_bytes(8, "little") + b"\x08" + bytes(16))),
    Row("Megatron's index that is cut off", PREPARE.format("m.idx --format megatron"), 3, ("m.idx",),
        both(file("m.idx", b"MMIDIDX\0\0" + bytes(3)), file("m.bin", b""))),
    Row("an output that exists", DOCS.replace("x.h5", "store.h5"), 3, ("store.h5: exists", "--replace")),
    Row("an output in a folder that is not there", DOCS.replace("x.h5", "no/x.h5"), 3, ("no/x.h5", "No such file")),
    Row("a folder in the output's place", DOCS.replace("x.h5", "taken") + " --replace", 3, ("taken", "directory"),
        folder("taken")),
    Row("a file in the place of the output's folder", DOCS.replace("x.h5", "docs.jsonl/x.h5"), 3,
        ("docs.jsonl/x.h5", "Not a directory")),
    Row("what an earlier prepare left", DOCS, 3, ("x.h5.partial: exists", "if none runs, remove it"),
        file("x.h5.partial", "")),
    Row("a folder that cannot be written", DOCS.replace("x.h5", "sealed/x.h5"), 3, ("sealed/x.h5", "read-only"),
        mount("sealed", "-o", "ro,size=1m"), needs_root=True),
    Row("a full disk while a store is written", PREPARE.format("large.txt").replace("x.h5", "small/x.h5"), 3,
        ("small/x.h5", "free"),
        both(file("large.txt", "all work and no play " * 40_000), mount("small", "-o", "size=64k")), needs_root=True),
    Row("a full disk while a tokenizer is written",
        "data train-tokenizer texts --vocab-size 290 --out small/t.json", 3,
        ("small/t.json", "No space left", "free space there"), mount("small", "-o", "size=4k"), needs_root=True),
    Row("no such tokenizer", DOCS.replace("tokenizer.json", "none.json"), 3,
        ("none.json: cannot read this tokenizer",)),
    Row("a folder for a tokenizer", DOCS.replace("tokenizer.json", "texts"), 3,
        ("texts: cannot read this tokenizer",)),
    Row("a pipe for a tokenizer", DOCS.replace("tokenizer.json", "pipe"), 3, ("pipe: cannot read this tokenizer",),
        fifo("pipe")),
    Row("an empty tokenizer", DOCS, 3, ("tokenizer.json: no tokens",), file("tokenizer.json", "")),
    Row("a tokenizer that is cut off", DOCS, 3, ("tokenizer.json:", "not valid JSON"), cut("tokenizer.json", 0.5)),
    Row("a tokenizer with a flipped bit in its syntax", DOCS, 3, ("tokenizer.json:", "not valid JSON"),
        flip("tokenizer.json", b'"model"')),
    Row("a tokenizer with a flipped bit in a token", DOCS, 3, ("tokenizer.json: ",),
        flip("tokenizer.json", b'"vocab": {\n   "')),
    Row("a tokenizer nested without end", DOCS, 3, ("tokenizer.json:",),
        file("tokenizer.json", '{"pre_tokenizer": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}")),
    Row("a token whose id is nested without end", DOCS, 3, ("tokenizer.json: nested deeper than 32 levels",),
        replace("tokenizer.json", b'"vocab": {', b'"vocab": {"deep": ' + NESTED + b",")),
    Row("a merge that is nested without end", DOCS, 3, ("tokenizer.json: nested deeper than 32 levels",),
        replace("tokenizer.json", b'"merges": [', b'"merges": [' + NESTED + b",")),
    Row("a tokenizer with an enormous id", DOCS, 3, ("tokenizer.json: ", "ids"),
        good_tokenizer(lambda data: re.sub(rb'"vocab": \{\n   ("[^"]+"): 0', rb'"vocab": {\n   \1: 16000000', data))),
    Row("a tokenizer of another kind", DOCS, 3,
        ("tokenizer.json: the model WordPiece is not supported; only BPE is",),
        good_tokenizer(lambda data: data.replace(b'"type": "BPE"', b'"type": "WordPiece"'))),
    Row("a split pattern that backtracks without end", PREPARE.format("a.txt"), 3,
        ("tokenizer.json: the split pattern", "backtracks less"),
        both(with_pattern(rb"(?:a+)+[bc]"), file("a.txt", "a" * 5000))),
    Row("a split pattern that does not compile", DOCS, 3, ("tokenizer.json: the split pattern", "compile"),
        with_pattern(rb"(a")),
    Row("a split pattern that libraries read differently", DOCS, 3,
        ("tokenizer.json: the split pattern", "does not support it"), with_pattern(rb"(?<=a)b")),
]

# ---- token stores --------------------------------------------------------------------------------------------------


def external_link(store):
    del store["tokens"]
    store["tokens"] = h5py.ExternalLink("store.h5", "/tokens")


def soft_link(store):
    store["other"] = h5py.SoftLink("/tokens")


def external_bytes(store):
    del store["tokens"]
    store.create_dataset("tokens", (10,), "<u2", external=[("/etc/passwd", 0, 20)])


def virtual(store):
    del store["tokens"]
    layout = h5py.VirtualLayout((10,), "<u2")
    layout[:] = h5py.VirtualSource("store.h5", "tokens", (10,))
    store.create_virtual_dataset("tokens", layout)


def compressed(store):
    ids = store["tokens"][:]
    del store["tokens"]
    store.create_dataset("tokens", data=ids, compression="gzip")


def floats(store):
    ids = store["tokens"][:]
    del store["tokens"]
    store.create_dataset("tokens", data=ids.astype("<f4"))


INSPECT = "data inspect bad.h5"

STORES = [
    Row("no such store", FRESH + " data.sources[0].store=none.h5", 3, ("none.h5", "No such file"), changes=STARTED),
    Row("a folder for a store", FRESH + " data.sources[0].store=texts", 3, ("texts", "not a regular file"),
        changes=STARTED),
    Row("an empty store", INSPECT, 3, ("bad.h5",), file("bad.h5", b"")),
    Row("a text for a store", INSPECT, 3, ("bad.h5", "not a file that can be used"), file("bad.h5", "text " * 1000)),
    Row("a store that is cut off", FRESH, 3, ("store.h5",), cut("store.h5", 0.6), changes=STARTED),
    Row("a store with a flipped bit in its config", FRESH, 3,
        ("store.h5: /config does not match its digest", "prepare it again"), flip("store.h5", b'"documents": '),
        changes=STARTED),
    Row("a store with a flipped bit among its tokens", "data inspect store.h5 --verify", 3,
        ("store.h5: bytes 0 to", "of /tokens", "do not match their digest"),
        change("store.h5", lambda data: data[:4100] + bytes([data[4100] ^ 1]) + data[4101:])),
    Row("an HDF5 file that is no store", INSPECT, 3, ("bad.h5: is an HDF5 file, but no token store",),
        hdf5(lambda f: f.create_group("x"))),
    Row("a store whose tokens are in another file's dataset", INSPECT, 3,
        ("bad.h5", "/tokens", "soft or external link"), copied_store(external_link)),
    Row("a store with a soft link", INSPECT, 3, ("bad.h5", "/other", "soft or external link"),
        copied_store(soft_link)),
    Row("a store whose tokens are /etc/passwd", INSPECT, 3, ("bad.h5", "/tokens", "its bytes are in another file"),
        copied_store(external_bytes)),
    Row("a store whose tokens are virtual", INSPECT, 3, ("bad.h5", "/tokens", "not contiguous"),
        copied_store(virtual)),
    Row("a store that is compressed", INSPECT, 3, ("bad.h5", "/tokens", "not contiguous"), copied_store(compressed)),
    Row("a store of real numbers", INSPECT, 3, ("bad.h5", "tokens", "float32"), copied_store(floats)),
    Row("inspect with another tokenizer", "data inspect store.h5 --tokenizer other.json", 3,
        ("store.h5: was made with tokenizer", "name that one")),
    Row("stores of two tokenizers", FRESH + " 'data.sources=[{store: store.h5}, {store: other.h5}]'", 3,
        ("other.h5 was made with another tokenizer", "prepare both with one tokenizer"), changes=STARTED),
    Row("a hold-out of another tokenizer", FRESH + " data.holdout=other.h5", 3,
        ("other.h5 was made with another tokenizer",), changes=STARTED),
    Row("a store made with another tokenizer than data.tokenizer", FRESH + " data.tokenizer=other.json", 3,
        ("store.h5 was made with another tokenizer", "other.json", "data.tokenizer"), changes=STARTED),
    Row("a vocabulary larger than the model's", FRESH + " model.vocab_size=280", 3,
        ("store.h5", "model.vocab_size is 280"), changes=STARTED),
    Row("a store without tokens", FRESH, 3, ("store",), both(file("none.jsonl", '{"text": ""}\n'),
        drover("data", "prepare", "none.jsonl", "--tokenizer", "tokenizer.json", "--out", "store.h5", "--replace")),
        changes=STARTED),
]

# ---- runs and checkpoints ------------------------------------------------------------------------------------------


DAMAGED_ALL = both(flip_middle(f"{STEP_2}/rank_00000.h5"), cut(f"{STEP_4}/rank_00000.h5", 0.5))
EVAL_4 = f"eval run.yaml --checkpoint {STEP_4}"

RUNS = [
    Row("--fresh where a run is", "train run.yaml --fresh", 2,
        ("--fresh: runs/run holds a run already", "leave --fresh out")),
    Row("--resume-from a step that is not there", "train run.yaml --resume-from 3", 3,
        ("--resume-from 3", "no such checkpoint", "step_0000000002"), changes=RESUMED),
    Row("a setting that may not change", "train run.yaml --set run.seed=7", 2,
        ("run.seed was 1, now 7", "another run.dir"), changes=r"runs/run/lock"),
    Row("a run that is live", "train run.yaml --set run.dir=runs/live", 2,
        ("runs/live is in use", "process", "Wait for it"), live_run, changes=r"runs/live(/.*)?"),
    Row("a file in the place of the run directory", "train run.yaml --set run.dir=docs.jsonl", 3,
        ("docs.jsonl", "Not a directory")),
    Row("a run directory that cannot be written", "train run.yaml --set run.dir=sealed/run", 3,
        ("sealed/run", "read-only"), mount("sealed", "-o", "ro,size=1m"), needs_root=True),
    Row("a full disk while a checkpoint is written", "train run.yaml --set run.dir=small/run", 3,
        ("small/run/checkpoints", "No space left", "free space there"), mount("small", "-o", "size=160k"),
        needs_root=True, changes=r"small/run(/(lock|run\.json|config\.yaml|metrics\.jsonl|logs(/.*)?|checkpoints))?"),
    Row("a run.json that is damaged", "train run.yaml", 3,
        ("runs/run/run.json is not a run's run.json", "move it away"), file("runs/run/run.json", "{"),
        changes=r"runs/run/lock"),
    Row("a folder in the place of metrics.jsonl", "train run.yaml", 3,
        ("runs/run/metrics.jsonl: Is a directory", "move the directory away"),
        both(remove("runs/run/metrics.jsonl"), folder("runs/run/metrics.jsonl")), changes=RESUMED),
    Row("no checkpoint that verifies", "train run.yaml", 3,
        ("none of the 2 checkpoints in runs/run/checkpoints verifies", "restore one"), DAMAGED_ALL, changes=RESUMED),
    Row("checkpoints of a model of other sizes", f"eval run.yaml --checkpoint {STEP_4} --set model.hidden_size=64",
        3, (STEP_4, "64")),
    Row("a checkpoint of another model of the same sizes",
        f"eval run.yaml --checkpoint {STEP_4} --set model.rope_theta=10000", 2, ("model.rope_theta", STEP_4)),
    Row("no such checkpoint", "eval run.yaml --checkpoint runs/none", 3, ("runs/none", "No such file")),
    Row("a run without checkpoints", "eval run.yaml --set run.dir=runs/none", 3,
        ("no checkpoint in runs/none/checkpoints", "train first")),
    Row("eval without a hold-out", "eval run.yaml --set data.holdout=null", 2,
        ("data.holdout is not set in run.yaml", "name a token store")),
    Row("generate without a tokenizer", "generate run.yaml --set data.tokenizer=null", 2,
        ("data.tokenizer is not set in run.yaml",)),
    Row("generate with another tokenizer", "generate run.yaml --set data.tokenizer=large.json", 3,
        ("large.json has", "model.vocab_size is 300"), drover("data", "train-tokenizer", "texts", "docs.jsonl",
        "run.yaml", "--vocab-size", "310", "--out", "large.json")),
    Row("a checkpoint's file with a flipped bit", EVAL_4, 3, (STEP_4, "rank_00000.h5"),
        flip_middle(f"{STEP_4}/rank_00000.h5")),
    Row("a checkpoint's file that is cut off", EVAL_4, 3, (STEP_4, "rank_00000.h5"),
        cut(f"{STEP_4}/rank_00000.h5", 0.9)),
    Row("a checkpoint's file that is gone", EVAL_4, 3, (STEP_4, "rank_00000.h5"), remove(f"{STEP_4}/rank_00000.h5")),
    Row("a checkpoint's file that is a link", EVAL_4, 3, ("rank_00000.h5", "symbolic links are not followed"),
        link(f"{STEP_4}/rank_00000.h5", f"../step_0000000002/rank_00000.h5")),
    Row("a manifest with a flipped bit", EVAL_4, 3, (f"{STEP_4}/manifest.json: does not match its own digest",),
        flip(f"{STEP_4}/manifest.json", b'"version": ')),
    Row("a manifest that is cut off", EVAL_4, 3, (f"{STEP_4}/manifest.json: does not match its own digest",),
        cut(f"{STEP_4}/manifest.json", 0.8)),
    Row("an empty manifest", EVAL_4, 3, (f"{STEP_4}/manifest.json: does not match its own digest",),
        file(f"{STEP_4}/manifest.json", "")),
    Row("a manifest that names a file outside", EVAL_4, 3, (f'{STEP_4}/manifest.json: "name"',),
        lambda here: reseal(here / STEP_4 / "manifest.json", b'"name":"rank_00000.h5"', b'"name":"../../x.h5"')),
    Row("a table that is damaged", EVAL_4, 3, (f"{STEP_4}/rank_00000.json is not what was written",),
        flip_middle(f"{STEP_4}/rank_00000.json")),
    Row("verify of a damaged checkpoint", f"checkpoint verify {STEP_4}", 3, ("1 checkpoint is damaged", "restore"),
        flip_middle(f"{STEP_4}/rank_00000.h5")),
    Row("inspect of a folder without checkpoints", "checkpoint inspect texts", 3,
        ("texts holds no checkpoint", "run directory")),
    Row("hash where nothing verifies", "checkpoint hash runs/run", 3, ("none of the 2 checkpoints",), DAMAGED_ALL),
]


def reseal(path, old, new):
    """A manifest changed by somebody who makes its digest right (XXH3-128 of all bytes before its digits)."""
    import xxhash

    body = path.read_bytes()[:-36].replace(old, new, 1)
    path.write_bytes(body + xxhash.xxh3_128(body).hexdigest().encode() + b'"\n}\n')


# ---- models of Transformers -----------------------------------------------------------------------------------------

IMPORT = "checkpoint import hf --out runs/in"
EXPORT = "checkpoint export runs/run --out out"
WEIGHTS = "hf/model.safetensors"


def header(edit):
    """model.safetensors with the JSON of its header changed, and its length right."""

    def spoil(data):
        length = int.from_bytes(data[:8], "little")
        changed = edit(data[8 : 8 + length])
        return len(changed).to_bytes(8, "little") + changed + data[8 + length :]

    return change(WEIGHTS, spoil)


INDEX = '{"metadata": {}, "weight_map": {"lm_head.weight": "%s"}}'

TRANSFORMERS = [
    Row("import of a folder that is not there", "checkpoint import none --out runs/in", 3,
        ("none/config.json is not there", "name the folder")),
    Row("import without weights", IMPORT, 3, ("hf", "safetensors"), remove(WEIGHTS)),
    Row("import where a run is", "checkpoint import hf --out runs/run", 2,
        ("runs/run is there already", "choose another name")),
    Row("import of another architecture", IMPORT, 3, ("hf/config.json", "MistralForCausalLM"),
        change("hf/config.json", lambda data: data.replace(b"LlamaForCausalLM", b"MistralForCausalLM"))),
    Row("a config.json that is cut off", IMPORT, 3, ("hf/config.json is no JSON object",),
        cut("hf/config.json", 0.5)),
    Row("a config.json nested without end", IMPORT, 3, ("hf/config.json: nested deeper than 32 levels",),
        file("hf/config.json", b'{"hidden_size": ' + b"[" * 500_000 + b"}")),
    Row("a config.json of another model", IMPORT, 3, ("hf",),
        change("hf/config.json", lambda data: data.replace(b'"hidden_size": 32', b'"hidden_size": 64'))),
    Row("safetensors that are cut off", IMPORT, 3, (WEIGHTS,), cut(WEIGHTS, 0.9)),
    Row("empty safetensors", IMPORT, 3, (WEIGHTS,), file(WEIGHTS, b"")),
    Row("safetensors with a header of 2^63 bytes", IMPORT, 3, (WEIGHTS,),
        change(WEIGHTS, lambda data: b"\xff" * 7 + b"\x7f" + data[8:])),
    Row("safetensors with a flipped bit in the header", IMPORT, 3, (WEIGHTS,), flip(WEIGHTS, b'"data_offsets":[')),
    Row("safetensors nested without end", IMPORT, 3, (WEIGHTS, "nested deeper than 32 levels"),
        header(lambda json: b'{"x":' + NESTED + b"}")),
    Row("a tensor of more bytes than the file", IMPORT, 3, (WEIGHTS,),
        header(lambda json: json.replace(b'"shape":[32]', b'"shape":[4611686018427387904]', 1))),
    Row("an index that names a file outside", IMPORT, 3, ("hf/model.safetensors.index.json",),
        both(remove(WEIGHTS), file("hf/model.safetensors.index.json", INDEX % "../../etc/passwd"))),
    Row("an index of a shard that is not there", IMPORT, 3, ("hf/none.safetensors", "No such file"),
        both(remove(WEIGHTS), file("hf/model.safetensors.index.json", INDEX % "none.safetensors"))),
    Row("weights that are a link", IMPORT, 3, (WEIGHTS, "symbolic links are not followed"),
        both(move(WEIGHTS, "elsewhere"), link(WEIGHTS, "../elsewhere"))),
    Row("import with a full disk", "checkpoint import hf --out small/in", 3, ("small/in", "free space there"),
        mount("small", "-o", "size=64k"), needs_root=True),
    Row("export of a run without checkpoints", "checkpoint export texts --out out", 3,
        ("texts holds no checkpoint",)),
    Row("export where something is", "checkpoint export runs/run --out texts", 2,
        ("texts is there already", "choose another name")),
    Row("export with another tokenizer", EXPORT + " --tokenizer none.json", 3, ("none.json",)),
    Row("export in a form that is none", EXPORT + " --format torch", 2, ("checkpoint export: ", "torch")),
    Row("export in shards of nothing", EXPORT + " --max-shard-size 0", 2,
        ("--max-shard-size is 0", "at least 1 byte")),
    Row("export with a full disk", "checkpoint export runs/run --out small/out", 3,
        ("small/out", "free space there"), mount("small", "-o", "size=64k"), needs_root=True),
]

# ---- several ranks -------------------------------------------------------------------------------------------------

RANKS = [
    Row("two ranks and no configuration", "train", 2, ("train: CONFIG is required",), ranks=2),
    Row("two ranks and an unknown key", "train bad.yaml", 2, ("bad.yaml:2:9: train.sequence_lenght",),
        yaml("train: {sequence_lenght: 8}"), ranks=2),
    Row("two ranks and an option's wrong value", "generate run.yaml --top-p 2", 2, ("--top-p is 2",), ranks=2),
    Row("two ranks and no such store", FRESH + " data.sources[0].store=none.h5", 3, ("none.h5", "No such file"),
        ranks=2, changes=STARTED),
    Row("two ranks and a layout of three", FRESH + " parallel.shard=3", 2,
        ("the 2 that were started", "shard 3", "start more ranks"), ranks=2, changes=STARTED),
    Row("three ranks and a layout of two times the rest", FRESH + " parallel.tensor=2", 2,
        ("3 ranks", "must divide the ranks", "1 or 3"), ranks=3, changes=STARTED),
    Row("two ranks and no checkpoint that verifies", "train run.yaml", 3, ("none of the 2 checkpoints",),
        DAMAGED_ALL, ranks=2, changes=r"runs/run/(lock|run\.json|result\.json|logs/attempt_2(/rank_\d+\.log)?)"),
    Row("two ranks and a run that is live", "train run.yaml --set run.dir=runs/live", 2, ("runs/live is in use",),
        live_run, ranks=2, changes=r"runs/live(/.*)?"),
    Row("two ranks and a full disk", "train run.yaml --set run.dir=small/run", 3,
        ("No space left", "free space there"), mount("small", "-o", "size=160k"), ranks=2, needs_root=True,
        changes=r"small/run(/(lock|run\.json|config\.yaml|metrics\.jsonl|logs(/.*)?|checkpoints))?"),
    Row("four copies that Slurm started and MPI does not see", FRESH, 2,
        ("the launcher started 4 processes, but MPI sees 1", "srun --mpi=pmix"),
        environment={"SLURM_STEP_NUM_TASKS": "4"}),
    Row("copies that PMI started and MPI does not see", FRESH, 2,
        ("the launcher started 2 processes, but MPI sees 1",), environment={"PMI_SIZE": "2"}),
]

SECTIONS = {
    "Keys and values of a configuration": CONFIGURATION,
    "The file of a configuration": FILES,
    "Words on the command line": USAGE,
    "Texts and tokenizers": TEXTS,
    "Token stores": STORES,
    "Runs and checkpoints": RUNS,
    "Models of Transformers": TRANSFORMERS,
    "Several ranks": RANKS,
}
ROWS = [row for rows in SECTIONS.values() for row in rows]

INTRODUCTION = """# Wrong input

Written by `tests/launch/wrong_input_test.py --docs`; the test fails when this page and its table differ.

Whatever is wrong, Drover prints one message that begins with `drover: `, from one rank, and says what is wrong, where
(file with line and column, key, or path) and what to do. Nothing half-written stays behind. What the exit codes stand
for is in [My run died](run_died.md): here it is 2 where the command or the configuration is to be corrected, and 3
where a file is, or the disk that it is on.

Where something can be used nevertheless there is a line that begins with `warning: `: a setting without effect, or a
checkpoint that does not verify while an older one does.

Files are taken for what they are: a link that a checkpoint or a folder of weights names is not followed, names inside
of such files are plain names, HDF5 files hold contiguous datasets of numbers and nothing else, sizes are compared with
the file before memory is taken. `scripts/fuzz` feeds every reader with damaged files.
"""


def document():
    """docs/wrong_input.md."""
    text = INTRODUCTION
    for title, rows in SECTIONS.items():
        text += f"\n## {title}\n\n| code | what is wrong |\n|---|---|\n"
        text += "".join(f"| {row.code} | {row.what.replace('|', chr(92) + '|')} |\n" for row in rows)
    return text
