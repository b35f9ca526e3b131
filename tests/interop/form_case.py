"""What the tests of forms of tokenizer.json share: texts thick with what they treat differently, and the comparison."""
import json
import random
import subprocess
import tempfile
import unittest
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from interop_texts import DROVER, ids_of, store_of, stress


def characters(rng, count):
    """Random ones beside letters, digits, spaces and line ends, and combining ones in any order."""
    marks = [chr(code) for code in (*range(0x300, 0x345), 0x345, 0x5B0, 0x93C, 0x1161, 0x11A8, 0x3099, 0x1D165)]
    around = ["a", "Z", "1", " ", "\n", "'", "'S", ".", "\u00e9", "e", "\u1100", "\uac00", "  ", "\t"] + marks
    made = []
    for _ in range(count):
        code = rng.choice((rng.randrange(0x3000), rng.randrange(0x20000), rng.randrange(0x110000)))
        if not 0xD800 <= code < 0xE000:
            made.append(rng.choice(around) + chr(code) + rng.choice(around) + chr(code))
    return "".join(made)


def texts_of(seed):
    rng = random.Random(seed)
    lines = [" ", "\n", "The drover's 12345 sheep; THEY'LL  go\r\n\r\n\tx = f(1)  \n", "<mask> a  <mask>b <mask>"]
    return lines + [stress(rng, rng.randint(1, 400)) for _ in range(60)] + [characters(rng, 1000) for _ in range(12)]


class FormCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = Path(folder.name)

    def saved(self, tokenizer):
        """Text never makes a special id."""
        tokenizer.encode_special_tokens = True
        path = self.at / "tokenizer.json"
        tokenizer.save(str(path))
        return tokenizer, path

    def check(self, name, texts, path, encode):
        """Each document ends with the id of the end of text: one of which nothing is left would be left out."""
        for text, ids in zip(texts, ids_of(store_of(texts, path, self.at, affixes=True)), strict=True):
            ours, theirs = ids[:-1].tolist(), encode(text)
            if ours != theirs:
                at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                self.fail(f"{name}: {text[:80]!r} from id {at} on: {ours[at:at + 9]}, there {theirs[at:at + 9]}")

    def trained_run(self):
        run = self.at / "run"
        config = {"run": {"name": "run", "dir": str(run)}, "data": {"synthetic": {"documents": 64, "vocab_size": 256}},
                  "model": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
                            "intermediate_size": 16, "vocab_size": 66000, "tie_word_embeddings": True},
                  "train": {"dtype": "float32", "sequence_length": 32, "batch_tokens": 32, "microbatch_sequences": 1,
                            "steps": 1}, "optimizer": {"warmup_steps": 1}}
        (self.at / "run.yaml").write_text(json.dumps(config))  # JSON is YAML
        subprocess.run([DROVER, "train", self.at / "run.yaml"], check=True, capture_output=True)
        return run

    def exported(self, run, path, name):
        """The tokenizer at path as Transformers reads it from an export of the run."""
        out = self.at / name
        subprocess.run([DROVER, "checkpoint", "export", run, "--out", out, "--tokenizer", path], check=True,
                       capture_output=True)
        return PreTrainedTokenizerFast.from_pretrained(out)
