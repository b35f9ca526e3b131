"""Added tokens: ids equal those of `tokenizers` for every kind that Drover takes; the kinds it does not are refused by name."""
import json
import random
import subprocess
import tempfile
import unittest
from pathlib import Path

import interop_environment

interop_environment.enter()

from tokenizers import AddedToken, Tokenizer  # noqa: E402

from interop_texts import DROVER, ids_of, store_of, write_texts  # noqa: E402

LLAMA3 = interop_environment.SOURCE / "tests" / "data" / "tokenizer_golden" / "llama3.json"
PIECES = ["<a>", "<a><b>", "<b>", "<b><c>", "<c>", "<|d|>", "<|d|><e>", "<e>", "herd", "drover", "  ", "\t\t"]


class AddedTokens(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = Path(folder.name)

    def tokenizer(self, tokens):
        tokenizer = Tokenizer.from_file(str(LLAMA3))
        for token in tokens:
            (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
        tokenizer.encode_special_tokens = True
        path = self.at / "tokenizer.json"
        tokenizer.save(str(path))
        return tokenizer, path

    def test_ids_are_equal_whatever_is_special_or_normalized_and_however_names_overlap(self):
        rng = random.Random(3)
        for trial in range(12):
            tokens = [AddedToken(content, special=content[0] == "<" and rng.random() < 0.4, normalized=rng.random() < 0.5)
                      for content in rng.sample(PIECES, 8)]
            tokenizer, path = self.tokenizer(tokens)
            texts = ["".join(rng.choices(PIECES + ["<|begin_of_text|>", "the drovers'", " ", "\n", ">"], k=rng.randint(1, 40)))
                     for _ in range(60)]
            for text, ids in zip(texts, ids_of(store_of(texts, path, self.at)), strict=True):
                self.assertEqual(ids.tolist(), tokenizer.encode(text, add_special_tokens=False).ids, (trial, tokens, text))

    def test_kinds_that_are_not_supported_are_refused_by_name(self):
        for option in ("lstrip", "rstrip", "single_word"):
            _, path = self.tokenizer([AddedToken("<pad>", special=False, **{option: True})])
            done = subprocess.run([DROVER, "data", "prepare", write_texts(["a"], self.at / "texts.jsonl"), "--tokenizer", path,
                                   "--out", self.at / "out.h5"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 3)
            self.assertIn(f"added token '<pad>' sets {option}, which is not supported", done.stderr)
            self.assertFalse((self.at / "out.h5").exists())

    def test_both_spellings_of_merges_give_the_same_store(self):
        read = json.loads(LLAMA3.read_text())
        for merges in (lambda pair: " ".join(pair), list):
            read["model"]["merges"] = [merges(m.split(" ") if isinstance(m, str) else m) for m in read["model"]["merges"]]
            (self.at / f"{merges is list}.json").write_text(json.dumps(read))
        stores = [store_of(["the drovers' road"], self.at / f"{pairs}.json", self.at).read_bytes() for pairs in (True, False)]
        self.assertEqual(*stores)


if __name__ == "__main__":
    unittest.main()
