"""The vocabulary that `drover data train-tokenizer` learns is the one that `tokenizers` learns from the same text with the
same settings, token for token and merge for merge; also where counts are equal (the example of docs/tokenizers.md)."""
import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import interop_environment

interop_environment.enter()

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers  # noqa: E402

from interop_texts import DROVER, real_texts, write_texts  # noqa: E402

SPECIALS = ["<|begin_of_text|>", "<|end_of_text|>"]


def learned(tokenizer):
    """Tokens by id, merges, added tokens."""
    read = json.loads(tokenizer)
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in read["model"]["merges"]]
    added = [(token["id"], token["content"]) for token in read["added_tokens"]]
    return {id: token for token, id in read["model"]["vocab"].items()}, merges, added


class TrainedVocabulary(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = Path(folder.name)

    def by_drover(self, texts, size):
        subprocess.run([DROVER, "data", "train-tokenizer", write_texts(texts, self.at / "texts.jsonl"), "--vocab-size",
                        str(size), "--out", self.at / "tokenizer.json"], check=True, capture_output=True)
        return (self.at / "tokenizer.json").read_text()

    def by_tokenizers(self, texts, size, pattern):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        trainer = trainers.BpeTrainer(vocab_size=size - len(SPECIALS), min_frequency=0, show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.add_special_tokens(SPECIALS)
        return tokenizer.to_str()

    def check(self, texts, size):
        ours = self.by_drover(texts, size)
        pattern = json.loads(ours)["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
        ours, theirs = learned(ours), learned(self.by_tokenizers(texts, size, pattern))
        for what, one, other in zip(("tokens", "merges", "added tokens"), ours, theirs):
            self.assertEqual(one, other, what)
        return ours

    def test_from_megabytes_of_code_and_of_many_scripts(self):
        tokens, _, added = self.check(real_texts(interop_environment.TEXTS, 4), 8192)
        self.assertEqual(len(tokens) + len(added), 8192)

    def test_from_so_little_that_every_pair_is_merged_and_most_counts_are_equal(self):
        tokens, merges, _ = self.check(["ab cd ab ef cd gh " * 3, "the drover drove the drove\r\n", "\u725b\u5e02\u5834 \u0434\u043e\u0440\u043e\u0433\u0430"], 2000)
        self.assertLess(len(tokens), 400)
        self.assertEqual(len(tokens), 256 + len(merges))

    def test_the_documented_example_of_equal_counts(self):
        page = (interop_environment.SOURCE / "docs" / "tokenizers.md").read_text()
        text, merges = re.search(r"From the\s+text `([^`]*)`.*?the merges are `([^`]*)`", page, re.DOTALL).groups()
        self.assertEqual([" ".join(pair) for pair in self.check([text], 300)[1]], merges.split(", "))


if __name__ == "__main__":
    unittest.main()
