"""Added tokens: ids equal those of `tokenizers`, whatever their flags and however their names overlap."""
import json
import random
import tempfile
import unittest
from pathlib import Path

import interop_environment

interop_environment.enter()

from tokenizers import AddedToken, Tokenizer, normalizers  # noqa: E402

from interop_texts import ids_of, store_of  # noqa: E402

LLAMA3 = interop_environment.SOURCE / "tests" / "data" / "tokenizer" / "golden" / "llama3.json"
PIECES = ["<a>", "<a><b>", "<b>", "<b><c>", "<c>", "<|d|>", "<|d|><e>", "<e>", "herd", "drover", "  ", "\t\t",
          "\u1ebd", "e\u0303", "\u1ebd\u0301", "the", "\u4e00"]
BESIDE = ["<|begin_of_text|>", "the drovers'", " ", "  ", "\n", "\u3000", "\u0085", ">", "x", "_", "\u0301", "\u0303", "e", "5",
          "\u00b2", "\u2160", "\u24b6", "\u200d", "\u0345", "\U0001f402", "\U00010d50", "\u0897", "\u203f"]


class AddedTokens(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = Path(folder.name)

    def tokenizer(self, tokens, normalizer=None):
        tokenizer = Tokenizer.from_file(str(LLAMA3))
        if normalizer:
            tokenizer.normalizer = normalizer
        for token in tokens:
            (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
        tokenizer.encode_special_tokens = True
        path = self.at / "tokenizer.json"
        tokenizer.save(str(path))
        return tokenizer, path

    def check(self, trial, tokens, normalizer=None):
        rng = random.Random(trial)
        tokenizer, path = self.tokenizer(tokens, normalizer)
        texts = ["".join(rng.choices(PIECES + BESIDE, k=rng.randint(1, 40))) for _ in range(100)]
        compared = 0
        for text, ids in zip(texts, ids_of(store_of(texts, path, self.at)), strict=True):
            try:
                expected = tokenizer.encode(text, add_special_tokens=False).ids
            except BaseException as error:  # pylint: disable=broad-except
                # tokenizers' own end where a token of spaces stands in the space that the one before takes.
                self.assertIn("bad split", str(error))
                continue
            self.assertEqual(ids.tolist(), expected, (trial, tokens, text))
            compared += 1
        self.assertGreater(compared, 50)

    def test_ids_are_equal_whatever_is_special_or_normalized_and_however_names_overlap(self):
        rng = random.Random(3)
        for trial in range(12):
            self.check(trial, [AddedToken(content, special=content[0] == "<" and rng.random() < 0.4,
                                          normalized=rng.random() < 0.5) for content in rng.sample(PIECES, 8)])

    def test_ids_are_equal_whatever_a_token_asks_of_what_stands_beside_it(self):
        rng = random.Random(4)
        for trial in range(40):
            tokens = [AddedToken(content, special=content[0] == "<" and rng.random() < 0.2, normalized=rng.random() < 0.5,
                                 single_word=rng.random() < 0.3, lstrip=rng.random() < 0.3, rstrip=rng.random() < 0.3)
                      for content in rng.sample(PIECES, 8)]
            self.check(trial, tokens, normalizers.NFC() if trial % 2 else None)

    def test_both_spellings_of_merges_give_the_same_store(self):
        read = json.loads(LLAMA3.read_text())
        for merges in (lambda pair: " ".join(pair), list):
            read["model"]["merges"] = [merges(m.split(" ") if isinstance(m, str) else m) for m in read["model"]["merges"]]
            (self.at / f"{merges is list}.json").write_text(json.dumps(read))
        stores = [store_of(["the drovers' road"], self.at / f"{pairs}.json", self.at).read_bytes() for pairs in (True, False)]
        self.assertEqual(*stores)


if __name__ == "__main__":
    unittest.main()
