"""Ids equal those of `tokenizers` for forms of tokenizer.json whose tokens are characters, with bytes for those that are no
token: what is made of SentencePiece's vocabularies.

The vocabulary is random: most pairs of its letters, in random order, and then random pairs of these.
"""
import random
import unittest

import interop_environment

interop_environment.enter()

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers  # noqa: E402

from form_case import FormCase, texts_of  # noqa: E402
from sentence_piece import DECODER, LEGACY, MARK, REPLACE, template  # noqa: E402

LETTERS = MARK + "abcdefghilmnoprstuvxyTHELY0123'.,<>|/(=\n\u00e9\u0301\u4e2d\u3000"  # no j, 4, tab or many others
SPECIALS = ["<unk>", "<s>", "</s>"]
SPACES = [AddedToken(MARK * count, special=False, normalized=False) for count in range(9, 1, -1)]
BREAKS = [AddedToken("\n" * count, special=False, normalized=False) for count in range(5, 1, -1)]


def metaspace(scheme, split=False):
    return pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme=scheme, split=split)


def split(pattern, behavior="isolated"):
    return pre_tokenizers.Split(Regex(pattern) if len(pattern) > 1 else pattern, behavior)


# Normalizer, pre-tokenizer, added tokens.
FORMS = {
    "Llama 2, TinyLlama, Mistral 7B": (LEGACY, None, []),
    "Llama 2, not legacy": (None, metaspace("first"), []),
    "a mark before every section": (None, metaspace("always"), [AddedToken("x = f"), AddedToken("<mask>", lstrip=True)]),
    "no mark before": (None, metaspace("never"), []),
    "cut at every mark": (None, metaspace("always", split=True), []),
    "Gemma": (REPLACE, split(" ", "merged_with_previous"), SPACES + BREAKS),
    "Phi 3": (LEGACY, None, [AddedToken("<|user|>", rstrip=True, normalized=False), AddedToken("sheep", normalized=True)]),
    "NFC first": (normalizers.Sequence([normalizers.NFC(), normalizers.Prepend(MARK), REPLACE]), None, []),
    "digits": (LEGACY, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), split(r"[^\S\n]+|e+")]), []),
    "marks, then digits": (None, pre_tokenizers.Sequence([metaspace("first"), pre_tokenizers.Digits(individual_digits=False)]), []),
}


def model_of(seed, joins, ignore_merges=False):
    """joins: some tokens have a mark after a letter."""
    rng = random.Random(seed)
    tokens = SPECIALS + [f"<0x{byte:02X}>" for byte in range(256)] + list(LETTERS)
    known, merges, parts = set(tokens), [], list(LETTERS)
    for round_of in range(3):
        pairs = [(a, b) for a in parts for b in parts if joins or b[0] != MARK or a[-1] == MARK]
        for a, b in rng.sample(pairs, 1400):
            if a + b not in known and len(a + b) < 12:
                known.add(a + b)
                tokens.append(a + b)
                merges.append((a, b))
        parts = list(LETTERS) + rng.sample([a + b for a, b in merges], 400)
    return models.BPE({token: id for id, token in enumerate(tokens)}, merges, unk_token="<unk>", fuse_unk=True,
                      byte_fallback=True, ignore_merges=ignore_merges)


def spaced_texts(seed):
    rng = random.Random(seed)
    words = ["the", "The", "sheep", "<s>", "</s>", "a", "THEY", "<|user|>", "x = f", "\u4e2d\u6587", "<0x41>", "j4", "e\u0301"]
    gaps = [" ", "  ", "\n", "\n\n\n", "\t", MARK, f" {MARK}", "", "     "]
    return [" ", MARK, "  two", f"{MARK}one"] + [
        "".join(rng.choice(words) + rng.choice(gaps) for _ in range(rng.randint(1, 80))) for _ in range(120)]


class SentencePieceForms(FormCase):
    def tokenizer(self, form, model):
        normalizer, pre_tokenizer, added = form
        tokenizer = Tokenizer(model)
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        if pre_tokenizer is not None:
            tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.decoder = DECODER
        tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIALS])
        tokenizer.add_tokens(list(added))
        tokenizer.post_processor = template(1)
        return self.saved(tokenizer)

    def test_forms_in_use(self):
        for number, (name, form) in enumerate(FORMS.items()):
            for joins, whole in ((False, False), (True, False), (False, True)):
                with self.subTest(name, joins=joins, ignore_merges=whole):
                    tokenizer, path = self.tokenizer(form, model_of(number, joins, whole))
                    texts = spaced_texts(number) + texts_of(number)
                    if whole:  # a piece that is a special token's name would be that token there
                        texts = [text.replace("s>", "") for text in texts]
                    self.check(name, texts, path, lambda text: tokenizer.encode(text).ids)

    def test_transformers_reads_what_checkpoint_export_makes_of_each_form(self):
        run = self.trained_run()
        for number, (name, form) in enumerate(FORMS.items()):
            with self.subTest(name):
                tokenizer, path = self.tokenizer(form, model_of(number, False))
                theirs = self.exported(run, path, f"exported{number}")
                for text in spaced_texts(number)[:30]:
                    ids = tokenizer.encode(text, add_special_tokens=False).ids
                    self.assertEqual(theirs.encode(text, add_special_tokens=False, split_special_tokens=True), ids, (name, text))
                    if name.startswith("Llama"):
                        self.assertEqual(theirs.decode(ids), tokenizer.decode(ids), (name, text))


if __name__ == "__main__":
    unittest.main()
