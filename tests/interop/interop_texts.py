"""Texts that Drover's tokenizer is compared on with others, real ones from files and every character; and the ids that
Drover makes of them."""
import collections
import gzip
import itertools
import json
import os
import random
import subprocess
import unicodedata
from pathlib import Path

import h5py
import interop_environment

DROVER = os.environ.get("DROVER_BIN", interop_environment.SOURCE / "build" / "release" / "drover")
LARGEST_FILE = 2 << 20


def text_of(path):
    """The file's text, or an empty one if it is something else."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_FILE:
        return ""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except OSError:
            return ""
    if b"\0" in data:
        return ""
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return ""


def files_by_turns(folders):
    """All files, the same order each time; what stands in each folder of `folders` takes turns."""
    groups = []
    for part in sorted(part for folder in folders for part in Path(folder).iterdir()):
        paths = sorted(part.rglob("*"))
        random.Random(5).shuffle(paths)
        groups.append(paths)
    for turn in itertools.zip_longest(*groups):
        yield from (path for path in turn if path)


def real_texts(folders, megabytes):
    """Texts from all over the folders."""
    texts, size = [], 0
    for path in files_by_turns(folders):
        if size >= megabytes * 1e6:
            break
        text = text_of(path)
        if text:
            texts.append(text)
            size += len(text.encode())
    assert size >= 0.9 * megabytes * 1e6, f"only {size / 1e6:.1f} MB of text in {folders}"
    return texts


def every_character(step):
    """Every step-th character, alone and doubled, beside letters, digits, spaces and line ends."""
    characters = [chr(code) for code in range(1, 0x110000, step) if not 0xD800 <= code < 0xE000]
    return ["".join(f"a{c}b 1{c}{c} {c}2'{c}\n" for c in characters[at:at + 4096])
            for at in range(0, len(characters), 4096)]


def stress(rng, length):
    """Random characters, thick with what split patterns care about."""
    common = (" \n\r\t\x0b\x0c\x1c\x00\u0085\u00a0\u180e\u200b\u200d\u2028\u2029\u3000\ufeff'sStTrRvVeElLdDmM\u017f\u212a"
              "019\u0301\u0660")
    ranges = ((0x20, 0x7f), (0xa0, 0x3000), (0x3000, 0xd800), (0xe000, 0x20000), (0x20000, 0x110000))
    characters = [rng.choice(common) if rng.random() < 0.5 else chr(rng.randrange(*rng.choice(ranges)))
                  for _ in range(length)]
    return "".join(characters)


def scripts_of(texts):
    """Letters by script, as the first word of their names has it; scripts of a thousand letters or more."""
    letters = collections.Counter()
    for text in texts:
        letters.update(text)
    scripts = collections.Counter()
    for character, count in letters.items():
        if character.isalpha():
            scripts[unicodedata.name(character, "? ").split()[0]] += count
    return {script: count for script, count in scripts.most_common() if count >= 1000}


def bytes_of_tokens(vocabulary):
    """From tokenizer.json's spelling to tiktoken's ranks."""
    printable = [b for b in range(256) if 0x20 < b < 0x7F or (b > 0xA0 and b != 0xAD)]
    others = [b for b in range(256) if b not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    return {bytes(byte_of[c] for c in token): id for token, id in vocabulary.items()}


def write_texts(texts, path):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def store_of(texts, tokenizer, folder, affixes=False):
    """The token store that `drover data prepare` makes, a document a text; with or without BOS and EOS."""
    out = folder / (Path(tokenizer).name + ".h5")
    command = [DROVER, "data", "prepare", write_texts(texts, folder / "texts.jsonl"), "--tokenizer", tokenizer, "--out", out,
               "--replace"]
    if not affixes:
        command += ["--bos", "none", "--eos", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def ids_of(store):
    """The ids of each document, read by h5py."""
    with h5py.File(store) as file:
        tokens, offsets = file["tokens"][:], file["document_offsets"][:]
    return [tokens[begin:end] for begin, end in zip(offsets[:-1], offsets[1:])]
