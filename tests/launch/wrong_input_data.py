"""Rows of wrong_input_rows.py: texts, tokenizers and token stores."""

import re

import h5py
from wrong_input_row import (
    FRESH, NESTED, Row, STARTED, both, change, copied_store, cut, drover, fifo, file, flip, folder, good_tokenizer,
    hdf5, mount, replace, with_pattern, zstd_frame,
)

# ---- texts and tokenizers ------------------------------------------------------------------------------------------

PREPARE = "data prepare {} --tokenizer tokenizer.json --out x.h5"
DOCS = PREPARE.format("docs.jsonl")

TEXTS = [
    Row("no such text", PREPARE.format("none.txt"), 3, ("cannot read none.txt: No such file", "check the name")),
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
    Row("Megatron's index that is cut off", PREPARE.format("m.idx --format megatron"), 3, ("m.idx: is no Megatron index of version 1", "--format megatron"),
        both(file("m.idx", b"MMIDIDX\0\0" + bytes(3)), file("m.bin", b""))),
    Row("an output that exists", DOCS.replace("x.h5", "store.h5"), 2, ("store.h5: exists", "--replace")),
    Row("an output in a folder that is not there", DOCS.replace("x.h5", "no/x.h5"), 3, ("no/x.h5", "No such file")),
    Row("a folder in the output's place", DOCS.replace("x.h5", "taken") + " --replace", 3, ("taken", "directory"),
        folder("taken")),
    Row("a file in the place of the output's folder", DOCS.replace("x.h5", "docs.jsonl/x.h5"), 3,
        ("docs.jsonl/x.h5", "Not a directory")),
    Row("what an earlier prepare left", DOCS, 2, ("x.h5.partial: exists", "if none runs, remove it"),
        file("x.h5.partial", "")),
    Row("a folder that cannot be written", DOCS.replace("x.h5", "sealed/x.h5"), 3, ("sealed/x.h5", "read-only"),
        mount("sealed", "-o", "ro,size=1m"), needs_mount=True),
    Row("a full disk while a store is written", PREPARE.format("large.txt").replace("x.h5", "small/x.h5"), 3,
        ("small/x.h5", "free"),
        both(file("large.txt", "all work and no play " * 40_000), mount("small", "-o", "size=64k")), needs_mount=True),
    Row("a disk that is too small for the hold-out",
        PREPARE.format("many.jsonl") + " --holdout-fraction 0.5 --holdout-out small/h.h5", 3,
        ("small/h.h5: about", "MB are needed", "free space there"),
        both(file("many.jsonl", "".join(f'{{"text": "play {n}"}}\n' for n in range(9000))),
             mount("small", "-o", "size=64k")), needs_mount=True),
    Row("a full disk while a tokenizer is written",
        "data train-tokenizer texts --vocab-size 290 --out small/t.json", 3,
        ("small/t.json", "No space left", "free space there"), mount("small", "-o", "size=4k"), needs_mount=True),
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


def flip_offset(here):
    with h5py.File(here / "store.h5", "r+") as store:
        store["document_offsets"][2] ^= 1


INSPECT = "data inspect bad.h5"

STORES = [
    Row("no such store", FRESH + " data.sources[0].store=none.h5", 3, ("none.h5", "No such file", "check the name"), changes=STARTED),
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
    Row("training on a store with a flipped bit in a token", FRESH, 3,
        ("store.h5: bytes 0 to", "of /tokens", "do not match their digest", "restore it from a copy"),
        change("store.h5", lambda data: data[:4100] + bytes([data[4100] ^ 1]) + data[4101:]),
        changes=STARTED + r"|runs/fresh/(config\.yaml|result\.json)"),
    Row("training on a store with a flipped bit in an offset", FRESH, 3,
        ("store.h5: bytes 0 to", "of /document_offsets", "do not match their digest", "restore it from a copy"),
        flip_offset, changes=STARTED),
    Row("an HDF5 file that is no store", INSPECT, 3, ("bad.h5: is an HDF5 file, but no token store",),
        hdf5(lambda f: f.create_group("x"))),
    Row("a store whose tokens are in another file's dataset", INSPECT, 3,
        ("bad.h5", "/tokens", "soft or external link", "write it anew"), copied_store(external_link)),
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
    Row("a store without tokens", FRESH, 3, ("store.h5 has no tokens", "prepare it from text"), both(file("none.jsonl", '{"text": ""}\n'),
        drover("data", "prepare", "none.jsonl", "--tokenizer", "tokenizer.json", "--out", "store.h5", "--replace")),
        changes=STARTED),
]
