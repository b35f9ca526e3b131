"""Ids equal those of `tokenizers` (and of tiktoken, where it knows the form) for the forms of tokenizer.json that byte-level
tokenizers in use have: their expressions, their sequences of splits, NFC, a space before the text.

The vocabulary is all pairs of bytes in random order, so that almost every difference in where a text is cut changes ids.
"""
import random
import unittest

import interop_environment

interop_environment.enter()

import tiktoken  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors  # noqa: E402

from form_case import FormCase, texts_of  # noqa: E402
from interop_texts import bytes_of_tokens, ids_of, store_of  # noqa: E402

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
ENDS = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + ENDS  # and cl100k, GLM 4
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + ENDS
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + ENDS)
TEKKEN = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + ENDS)
MARKS = r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
DEEPSEEK_WORDS = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                  r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_LETTERS = (r"\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0370-\u0373"
                    r"\u0400-\u0481\u048a-\u052f\u10a0-\u10c5\u13a0-\u13f5\u1e00-\u1f15\ua640-\ua66d\uff21-\uff3a]+")


def byte_level(prefix=False, cuts=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=cuts)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(pattern if isinstance(pattern, Regex) else Regex(pattern), behavior, invert)


def plain(text, behavior="isolated", invert=False):
    return pre_tokenizers.Split(text, behavior, invert)


def sequence(*parts):
    return pre_tokenizers.Sequence(list(parts))


DIGITS, DIGIT_RUNS = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Digits(individual_digits=False)
SPACES = [AddedToken(" " * count, special=False, normalized=True) for count in range(24, 1, -1)]
TABS = [AddedToken("\t" * count, special=False, normalized=False) for count in range(9, 1, -1)]

# Pre-tokenizer, normalizer, added tokens, expression that tiktoken is given.
FORMS = {
    "GPT-2": (byte_level(cuts=True), None, [], GPT2),
    "Llama 3": (sequence(split(LLAMA3), byte_level()), None, [], LLAMA3),
    "cl100k as OLMo 2 has it": (sequence(split(LLAMA3, "removed", True), byte_level()), None, [], LLAMA3),
    "o200k, GPT-OSS, Phi 4": (sequence(split(O200K), byte_level()), None, [], O200K),
    "Mistral NeMo": (sequence(split(TEKKEN), byte_level()), None, [], TEKKEN),
    "Qwen 2": (sequence(split(QWEN2), byte_level()), normalizers.NFC(), [], None),
    "Qwen, with marks": (sequence(split(CONTRACTIONS + MARKS + ENDS), byte_level()), normalizers.NFC(), [], None),
    "GPT-NeoX, Pythia, OLMo": (byte_level(cuts=True), normalizers.NFC(), SPACES, None),
    "Phi 2": (byte_level(cuts=True), None, SPACES + TABS, None),
    "StarCoder, SmolLM": (sequence(DIGITS, byte_level(cuts=True)), None, [], None),
    "Command R": (sequence(DIGITS, byte_level(cuts=True)), normalizers.Sequence([normalizers.NFC()]), [], None),
    "runs of digits": (sequence(DIGIT_RUNS, byte_level(cuts=True)), None, [], None),
    "DeepSeek V3": (sequence(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK_WORDS), byte_level()), None, [], None),
    "DeepSeek Coder": (sequence(split(r"[\r\n]"), split(DEEPSEEK_LETTERS), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
                                split("[一-龥ࠀ-一가-퟿]+"), DIGITS, byte_level()), None, [], None),
    "a space before the text": (byte_level(prefix=True, cuts=True), None, [AddedToken("<mask>", lstrip=True)], None),
    "a space before every piece": (sequence(split(LLAMA3), byte_level(prefix=True)), None, SPACES, None),
    "scripts": (sequence(split(r"\p{Han}+|\p{Greek}+|[^\P{Thai}\p{Nd}]+|\p{^Hangul}"), byte_level()), None, [], None),
    "negated classes": (sequence(split(r"[^\P{M}]+|[\S\n]+|\P{P}|^.|\x{41}$"), byte_level()), None, [], None),
}
BEHAVIORS = ("isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous")
# What their expressions tell apart.
CATEGORIES = "Cc Cf Cn Co Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()
SCRIPTS = "Greek Han Hangul Hebrew Hiragana Katakana Thai".split()
CLASSES = [rf"\p{{{name}}}" for name in [*CATEGORIES, *SCRIPTS]] + [r"\s", r"\d", "."]


def pair_model(letters_of_pairs=256):
    printable = [b for b in range(256) if 0x20 < b < 0x7F or (b > 0xA0 and b != 0xAD)]
    letters = [chr(code) for code in printable] + [chr(256 + other) for other in range(256 - len(printable))]
    paired = letters[:letters_of_pairs] + ["\u0120"] * (letters_of_pairs < 256)  # a space
    pairs = [(a, b) for a in paired for b in paired]
    random.Random(11).shuffle(pairs)
    return models.BPE({token: id for id, token in enumerate(letters + [a + b for a, b in pairs])}, pairs)


class TokenizerForms(FormCase):
    @classmethod
    def setUpClass(cls):
        cls.model = pair_model()

    def tokenizer(self, pre_tokenizer, normalizer=None, added=(), model=None):
        tokenizer = Tokenizer(model or self.model)
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.add_tokens(list(added))
        tokenizer.add_special_tokens(["<|endoftext|>"])
        return self.saved(tokenizer)

    def test_forms_in_use(self):
        for number, (name, (pre_tokenizer, normalizer, added, pattern)) in enumerate(FORMS.items()):
            with self.subTest(name):
                texts = texts_of(number)
                tokenizer, path = self.tokenizer(pre_tokenizer, normalizer, added)
                self.check(name, texts, path, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)
                if pattern:
                    ranks = bytes_of_tokens(tokenizer.get_vocab(with_added_tokens=False))
                    encoding = tiktoken.Encoding("form", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
                    self.check(name + ", tiktoken", texts, path, encoding.encode_ordinary)

    def test_what_becomes_of_matches(self):
        small = pair_model(94)
        for behavior in BEHAVIORS:
            for invert in (False, True):
                for part in (split(r"\s|\d+|'", behavior, invert), plain("a.", behavior, invert), plain(" ", behavior, invert)):
                    with self.subTest(behavior=behavior, invert=invert, part=part):
                        tokenizer, path = self.tokenizer(sequence(part, byte_level()), model=small)
                        texts = texts_of(3)[:20] + ["a.a.b a. .a", "12 3'a''  a.", "  a.b  ", "a.", "b"]
                        self.check(behavior, texts, path, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)

    def test_every_character_is_in_the_same_classes(self):
        everything = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
        texts = ["".join(everything[at:at + 65536]) for at in range(0, len(everything), 65536)]
        bytes_alone = pair_model(0)
        for pattern in CLASSES:
            with self.subTest(pattern):
                tokenizer, path = self.tokenizer(sequence(split(pattern, "removed", True), byte_level()), model=bytes_alone)
                self.check(pattern, texts, path, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)

    def test_every_character_is_normalized_alike(self):
        everything = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
        texts = ["".join(f"{c}\u0323\u0301{c}" for c in everything[at:at + 16384]) for at in range(0, len(everything), 16384)]
        tokenizer, path = self.tokenizer(sequence(split(QWEN2), byte_level()), normalizers.NFC())
        self.check("NFC", texts, path, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)

    def test_ends_of_text_of_other_templates(self):
        for kind in (processors.RobertaProcessing, processors.BertProcessing):
            tokenizer, path = self.tokenizer(byte_level(cuts=True))
            tokenizer.add_special_tokens(["<cls>", "<sep>"])
            ends = [(name, tokenizer.token_to_id(name)) for name in ("<sep>", "<cls>")]
            tokenizer.post_processor = kind(*ends)
            tokenizer.save(str(path))
            (ids,) = ids_of(store_of(["a drover"], path, self.at, affixes=True))
            self.assertEqual(ids.tolist(), tokenizer.encode("a drover").ids)

    def test_transformers_reads_what_checkpoint_export_makes_of_each_form(self):
        run = self.trained_run()
        for number, (name, (pre_tokenizer, normalizer, added, _)) in enumerate(FORMS.items()):
            with self.subTest(name):
                tokenizer, path = self.tokenizer(pre_tokenizer, normalizer, added)
                theirs = self.exported(run, path, f"exported{number}")
                for text in texts_of(number)[:20]:
                    self.assertEqual(theirs.encode(text, add_special_tokens=False),
                                     tokenizer.encode(text, add_special_tokens=False).ids, (name, text))


if __name__ == "__main__":
    unittest.main()
