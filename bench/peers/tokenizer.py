#!/usr/bin/env python3
"""A peer on the work of bench_tokenizer, in alternation with it, both on one thread in processor time: tiktoken, or, of a
tokenizer.json with byte_fallback, tokenizers.

    scripts/setup --interop
    build/interop/bin/python bench/peers/tokenizer.py build/release/bench/bench_tokenizer RANKS.model TEXT... [--rounds 5]

RANKS.model is a tiktoken ranks file or a tokenizer.json, of bytes with Llama 3's split. The numbers of tokens must be equal.
"""
import argparse
import base64
import json
import statistics
import subprocess
import time

import tiktoken
import tokenizers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def ranks_of(path):
    if not path.endswith(".json"):
        lines = (line.split() for line in open(path, "rb"))
        return {base64.b64decode(line[0]): int(line[1]) for line in lines if line}
    printable = [b for b in range(256) if 0x20 < b < 0x7F or (b > 0xA0 and b != 0xAD)]
    others = [b for b in range(256) if b not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    vocabulary = json.load(open(path))["model"]["vocab"]
    return {bytes(byte_of[c] for c in token): id for token, id in vocabulary.items()}


def drover(bench, tokenizer, text):
    """Seconds and tokens of one encoding."""
    command = [bench, f"--tokenizer={tokenizer}", f"--text={text}", "--benchmark_filter=encode", "--benchmark_format=json"]
    (run,) = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)["benchmarks"]
    seconds = run["cpu_time"] / {"ms": 1e3, "us": 1e6, "ns": 1e9}[run["time_unit"]]
    return seconds, round(run["items_per_second"] * seconds)


def peer_of(path):
    """The peer's name, and its encoding of a text."""
    if path.endswith(".json") and json.load(open(path))["model"].get("byte_fallback"):
        tokenizer = tokenizers.Tokenizer.from_file(path)
        tokenizer.encode_special_tokens = True
        return f"tokenizers {tokenizers.__version__}", lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    encoding = tiktoken.Encoding("peer", pat_str=LLAMA3, mergeable_ranks=ranks_of(path), special_tokens={})
    return f"tiktoken {tiktoken.__version__}", encoding.encode_ordinary


def timed(encode, text):
    began = time.process_time()
    ids = encode(text)
    return time.process_time() - began, len(ids)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("tokenizer")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    name, encode = peer_of(options.tokenizer)
    print(f"| text | MB | bytes a token | Drover MB/s | {name} MB/s | times as fast |")
    for path in options.texts:
        text = open(path, newline="", errors="replace").read()
        megabytes = len(text.encode()) / 1e6
        rounds = [(drover(options.bench, options.tokenizer, path), timed(encode, text)) for _ in range(options.rounds)]
        (_, tokens), (_, expected) = rounds[0]
        assert tokens == expected, (path, tokens, expected)
        ours, theirs = (statistics.median(side[at][0] for side in rounds) for at in (0, 1))
        print(f"| {path} | {megabytes:.1f} | {megabytes * 1e6 / tokens:.2f} | {megabytes / ours:.1f} | "
              f"{megabytes / theirs:.1f} | {theirs / ours:.1f} |", flush=True)


if __name__ == "__main__":
    main()
