"""Import and export take the memory of a few pieces, not of the model: peak resident size with files that are holes."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

DROVER = os.environ["DROVER_BIN"]
LAYERS, WIDTH, FEED_FORWARD, VOCABULARY = 3, 1024, 4096, 16384  # 59M parameters
PEAK_MEGABYTES = 150  # of the program and its libraries some 40, of 16 extents 64
SHARD = "100MB"


def shapes(layers=LAYERS, width=WIDTH, feed_forward=FEED_FORWARD, vocabulary=VOCABULARY):
    yield "model.embed_tokens.weight", [vocabulary, width]
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}{name}.weight", [width]
        for name in "qkvo":
            yield f"{prefix}self_attn.{name}_proj.weight", [width, width]
        for name in ("gate", "up"):
            yield f"{prefix}mlp.{name}_proj.weight", [feed_forward, width]
        yield f"{prefix}mlp.down_proj.weight", [width, feed_forward]
    yield "model.norm.weight", [width]


def write_model(folder, **sizes):
    """A tied model of zeros without blocks on the disk; returns its bytes."""
    folder.mkdir()
    sizes = {"layers": LAYERS, "width": WIDTH, "feed_forward": FEED_FORWARD, "vocabulary": VOCABULARY, **sizes}
    header, end = {}, 0
    for name, shape in shapes(**sizes):
        begin, end = end, end + 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + end)
    (folder / "config.json").write_text(json.dumps({
        "model_type": "llama", "hidden_size": sizes["width"], "num_hidden_layers": sizes["layers"],
        "num_attention_heads": 16, "intermediate_size": sizes["feed_forward"], "vocab_size": sizes["vocabulary"],
        "tie_word_embeddings": True}))
    return end


def peak_megabytes(*arguments):
    """Of a process that must succeed. Linux counts ru_maxrss in KiB."""
    child = subprocess.Popen([DROVER, "checkpoint", *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, arguments
    return usage.ru_maxrss / 1024


class Memory(unittest.TestCase):
    def test_import_and_export_of_a_model_take_less_memory_than_the_model_has(self):
        with tempfile.TemporaryDirectory() as temporary:
            at = Path(temporary)
            size = write_model(at / "hf")
            self.assertGreater(size, 1.5e6 * PEAK_MEGABYTES)
            self.assertLess(peak_megabytes("import", at / "hf", "--out", at / "run"), PEAK_MEGABYTES)
            shard = at / "run" / "checkpoints" / "attempt_0" / "step_0000000000" / "rank_00000.h5"
            self.assertLess(shard.stat().st_blocks * 512, 1.01 * size, "moments are holes")
            self.assertGreater(shard.stat().st_size, 3 * size)
            peak = peak_megabytes("export", at / "run", "--out", at / "out", "--max-shard-size", SHARD)
            self.assertLess(peak, PEAK_MEGABYTES)
            shards = sorted((at / "out").glob("model-*.safetensors"))
            self.assertGreater(len(shards), 2)
            self.assertLessEqual(max(path.stat().st_size for path in shards), 1.01e8)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        unittest.main()
    # By hand, with a larger model: FOLDER LAYERS WIDTH FEED_FORWARD VOCABULARY
    folder = Path(sys.argv[1])
    total = write_model(folder / "hf", **dict(zip(("layers", "width", "feed_forward", "vocabulary"), map(int, sys.argv[2:]))))
    for command in (("import", folder / "hf", "--out", folder / "run"), ("export", folder / "run", "--out", folder / "out")):
        print(f"{command[0]} of {total / 1e9:.2f} GB: peak {peak_megabytes(*command):.0f} MiB")
