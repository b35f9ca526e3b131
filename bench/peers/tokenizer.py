#!/usr/bin/env python3
"""tiktoken on the work of bench_tokenizer: tokenizer.py TOKENIZER.json|RANKS.model TEXT   (pip install tiktoken)

Prints MB/s of CPU time on one thread, the best of three, and the number of tokens, which must equal Drover's.
"""
import base64
import json
import sys
import time

import tiktoken

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


def main():
    tokenizer_path, text_path = sys.argv[1:]
    text = open(text_path, newline="", errors="replace").read()
    encoding = tiktoken.Encoding("peer", pat_str=LLAMA3, mergeable_ranks=ranks_of(tokenizer_path), special_tokens={})
    seconds = []
    for _ in range(3):
        began = time.process_time()
        ids = encoding.encode_ordinary(text)
        seconds.append(time.process_time() - began)
    print(f"tiktoken {tiktoken.__version__}: {len(text.encode()) / min(seconds) / 1e6:.1f} MB/s, {len(ids)} tokens")


if __name__ == "__main__":
    main()
