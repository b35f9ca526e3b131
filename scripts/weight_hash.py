#!/usr/bin/env python3
"""Computes a checkpoint's weight hash with h5py, and checks every digest on the way, independently of Drover.

usage: weight_hash.py runs/NAME/checkpoints/attempt_K/step_N     needs python3-h5py and python3-xxhash

Follows docs/checkpoint_format.md: `drover checkpoint hash` prints the same.
"""

import json
import pathlib
import sys

import h5py
import numpy as np
import xxhash

EXTENT = 4 << 20
STORED = {"float64": "<f8", "float32": "<f4", "bfloat16": "<u2", "int64": "<i8", "int32": "<i4", "uint8": "u1"}
SLOTS = ["weight", "moment1", "moment2"]


def digest(data):
    return xxhash.xxh3_128_hexdigest(data)


def read_manifest(directory):
    text = (directory / "manifest.json").read_bytes()
    if digest(text[:-36]) != text[-36:-4].decode() or text[-4:] != b'"\n}\n':
        sys.exit(f"{directory}/manifest.json does not match its own digest")
    return json.loads(text)


class Table:
    """table.bin: what it says of each file."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self):
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def files(self):
        """The name and the digests of the extents of each file."""
        while self.at < len(self.data):
            rank, size, pieces = self.number(), self.number(), self.number()
            for _ in range(pieces):
                has_box = self.number() % 2 == 0
                for _ in range(5 if has_box else 1):  # the box, and the gap
                    self.number()
            extents = -(-size // EXTENT)
            digests = [self.data[self.at + 16 * i:self.at + 16 * i + 16].hex() for i in range(extents)]
            self.at += 16 * extents
            yield f"rank_{rank:05}.h5", digests


def read_checked(path, expected):
    data = path.read_bytes()
    if digest(data) != expected:
        sys.exit(f"{path} is not what was written")
    return data


def list_files(directory, manifest):
    """The name and the digests of the extents of each file."""
    if manifest["version"] == 1:  # a table for each file
        for file in manifest["files"]:
            yield file["name"], json.loads(read_checked(directory / file["table"], file["table_digest"]))["extents"]
    else:
        yield from Table(read_checked(directory / "table.bin", manifest["table"]["digest"])).files()


def check_digests(path, digests):
    with open(path, "rb") as shard:
        for number, expected in enumerate(digests):
            if digest(shard.read(EXTENT)) != expected:
                sys.exit(f"{path}: extent {number} is not what was written")
        if shard.read(1):
            sys.exit(f"{path} is longer than its digests")


def assemble(shards, tensor):
    """The whole tensor, from the datasets NAME/SLOT/0, 1, ... of all files, each with its offset."""
    whole = np.zeros(tensor["shape"], STORED[tensor["dtype"]])
    elements = 0
    for shard in shards:
        for piece in shard.get(f"{tensor['name']}/{tensor['slot']}", {}).values():
            place = tuple(slice(o, o + n) for o, n in zip(piece.attrs["offset"], piece.shape))
            whole[place] = piece[()]
            elements += piece.size
    if elements != whole.size:
        sys.exit(f"{tensor['name']} {tensor['slot']}: {elements} of {whole.size} elements")
    return whole


def weight_hash(directory):
    manifest = read_manifest(directory)
    shards = []
    for name, digests in list_files(directory, manifest):
        check_digests(directory / name, digests)
        shards.append(h5py.File(directory / name, "r"))
    tensors = [tensor for tensor in manifest["tensors"] if tensor["slot"] in SLOTS]
    tensors.sort(key=lambda t: (t["name"].encode(), SLOTS.index(t["slot"])))
    lines = ""
    for tensor in tensors:
        shape = "x".join(map(str, tensor["shape"]))
        content = digest(assemble(shards, tensor).tobytes())
        lines += f"{tensor['name']} {tensor['slot']} {shape} {tensor['dtype']} {content}\n"
    lines += f"step {manifest['state']['step']}\n"
    for index, feed in enumerate(manifest["state"]["feeds"]):
        lines += f"feed {index} {feed['position']}\n"
    return digest(lines.encode())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(weight_hash(pathlib.Path(sys.argv[1])))
