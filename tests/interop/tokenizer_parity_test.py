#!/usr/bin/env python3
"""Drover's ids beside those of `tokenizers` and of tiktoken's encode_ordinary, over real text and over every character.

As a test it reads a few megabytes of code and translations from the environment that scripts/setup --interop makes.
By hand over as much as there is (docs/tokenizers.md has the figures):

    tests/interop/fetch_texts build/texts
    tests/interop/tokenizer_parity_test.py --texts build/texts --megabytes 64

Each text is a document of one .jsonl; `drover data prepare` makes a token store of it, h5py reads the ids back.
"""
import argparse
import base64
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import interop_environment

interop_environment.enter()

import numpy  # noqa: E402
import tiktoken  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402
from transformers.convert_slow_tokenizer import TikTokenConverter  # noqa: E402

import sentence_piece  # noqa: E402
from interop_texts import bytes_of_tokens, every_character, ids_of, real_texts, scripts_of, store_of, stress  # noqa: E402

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def llama3(folder):
    """Meta's ranks file, and the tokenizer.json that Transformers makes of it."""
    ranks = {base64.b64decode(line.split()[0]): int(line.split()[1])
             for line in interop_environment.LLAMA3_MODEL.read_bytes().splitlines() if line}
    encoding = tiktoken.Encoding("llama3", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    specials = ["<|begin_of_text|>", "<|end_of_text|>"] + [f"<|reserved_special_token_{i}|>" for i in range(254)]
    converter = TikTokenConverter(vocab_file=str(interop_environment.LLAMA3_MODEL), pattern=LLAMA3,
                                  extra_special_tokens=specials)
    tokenizer = converter.converted()
    tokenizer.save(str(folder / "llama3.json"))
    return encoding, tokenizer


def check_published_ids(folder):
    """Meta's own test of its tokenizer (github.com/meta-llama/llama3, llama/test_tokenizer.py)."""
    store = store_of(["This is a test sentence."], interop_environment.LLAMA3_MODEL, folder, affixes=True)
    (ids,) = ids_of(store)
    assert ids.tolist() == [128000, 2028, 374, 264, 1296, 11914, 13, 128001], ids


def gpt2(folder, texts):
    """A vocabulary of GPT-2's form, trained here; its file in both spellings of merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(vocab_size=12000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    encoding = tiktoken.Encoding("gpt2", pat_str=GPT2, mergeable_ranks=bytes_of_tokens(tokenizer.get_vocab()),
                                 special_tokens={})
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "pairs.json"))
    written = json.loads((folder / "pairs.json").read_text())
    assert all(isinstance(merge, list) for merge in written["model"]["merges"])
    written["model"]["merges"] = [" ".join(pair) for pair in written["model"]["merges"]]
    (folder / "strings.json").write_text(json.dumps(written))
    return encoding, tokenizer


def mistral(folder):
    """Mistral 7B's vocabulary, as the tokenizer.json that Transformers makes of it: characters with bytes for the rest."""
    tokenizer = sentence_piece.tokenizer_of(interop_environment.MISTRAL_MODEL)
    tokenizer.save(str(folder / "mistral.json"))
    return tokenizer


class Parity:
    def __init__(self, folder, texts):
        self.folder = folder
        self.texts = texts

    def store(self, tokenizer):
        return store_of(self.texts, tokenizer, self.folder)

    def check(self, name, store, expected):
        tokens = 0
        for number, (ours, ids) in enumerate(zip(ids_of(store), expected, strict=True)):
            tokens += len(ours)
            if not numpy.array_equal(ours, ids):
                self.report(name, number, ours, ids)
        print(f"{name}: {tokens:,} ids are equal", flush=True)

    def report(self, name, number, ours, theirs):
        text = self.texts[number]
        length = min(len(ours), len(theirs))
        (differ,) = numpy.nonzero(ours[:length] != numpy.array(theirs[:length]))
        at = int(differ[0]) if len(differ) else length
        sys.exit(f"{name}: document {number}, {text[:60]!r}..., differs from id {at} on: {ours[at:at + 8].tolist()}, "
                 f"there {list(theirs[at:at + 8])}")

    def tiktoken(self, name, store, encoding):
        self.check(f"{name}, tiktoken {tiktoken.__version__}", store,
                   (encoding.encode_ordinary(text) for text in self.texts))

    def tokenizers(self, name, store, tokenizer):
        tokenizer.encode_special_tokens = True
        self.check(f"{name}, tokenizers", store,
                   (tokenizer.encode(text, add_special_tokens=False).ids for text in self.texts))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", nargs="+", default=interop_environment.TEXTS)
    parser.add_argument("--megabytes", type=float, default=3)
    options = parser.parse_args()
    began = time.time()
    real = real_texts(options.texts, options.megabytes)
    scripts = scripts_of(real)
    print(f"{len(real)} texts, {sum(len(text.encode()) for text in real) / 1e6:.1f} MB; letters: {scripts}", flush=True)
    assert len(scripts) >= 10, scripts
    rng = random.Random(9)
    made = every_character(1 if options.megabytes > 10 else 29) + [stress(rng, 20000) for _ in range(4)]
    made += ["<|begin_of_text|> <|end_of_text|><|endoftext|> <|reserved_special_token_5|>", " " * 5000 + "a", "x" * 20000,
             "ab" * 20000, "\n" * 3000, "!" * 3000, "1" * 1000]
    with tempfile.TemporaryDirectory() as name:
        parity = Parity(Path(name), real + made)
        check_published_ids(parity.folder)
        encoding, tokenizer = llama3(parity.folder)
        store = parity.store(interop_environment.LLAMA3_MODEL)
        parity.tiktoken("Llama 3's tokenizer.model", store, encoding)
        parity.tokenizers("Llama 3's tokenizer.json", parity.store(parity.folder / "llama3.json"), tokenizer)
        encoding, tokenizer = gpt2(parity.folder, real[::4])
        store = parity.store(parity.folder / "pairs.json")
        parity.tokenizers("GPT-2's form", store, tokenizer)
        parity.tiktoken("GPT-2's form", store, encoding)
        assert parity.store(parity.folder / "strings.json").read_bytes() == store.read_bytes()
        tokenizer = mistral(parity.folder)
        parity.tokenizers("Mistral 7B's tokenizer.json", parity.store(parity.folder / "mistral.json"), tokenizer)
    print(f"done in {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
