#!/usr/bin/env python3
"""Writes the golden files beside this script: what `tokenizers` and `tiktoken` say.

  pip install tokenizers tiktoken && python3 make.py

corpus.txt, letters.txt   training text; documents are separated by a line with ===
llama3.json, gpt2.json    trained by tokenizers on corpus.txt; the two forms of tokenizer.json that Drover reads
letters.json              trained on letters.txt, where many tokens can be made in two ways
ranks.model               llama3.json's vocabulary as a tiktoken ranks file
cases.json                texts, and their ids by tokenizers (llama3.json, gpt2.json) and by tiktoken (ranks.model)
"""
import base64
import json
import os
import random
import unicodedata

import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = ["<|begin_of_text|>", "<|end_of_text|>"]
WORDS = """the of and to in drove drover droves driver herd herds cattle market morning evening river ford bridge
drovers' road roads hill hills rain wind slow slowly slower counted counting head heads dog dogs doesn't it's they'd
we'll fence gate gates night price prices shilling shillings walked walking walker along beyond before Before The
A In They 12 1847 300 miles über café naïve Straße дорога стадо 牛 市場 道""".split()


def path(name):
    return os.path.join(HERE, name)


def prose(rng, sentences):
    weights = [1 / (rank + 2) for rank in range(len(WORDS))]
    out = []
    for _ in range(sentences):
        words = rng.choices(WORDS, weights, k=rng.randint(4, 14))
        out.append(" ".join(words) + rng.choice([". ", "! ", "?\n", ";\r\n", ".\n\n", ", "]))
    return "".join(out)


def letters(rng, words):
    return " ".join("".join(rng.choices("abc", [5, 3, 2], k=rng.randint(2, 14))) for _ in range(words))


def stress(rng, length):
    """Random characters that Unicode 14 (PCRE2 10.42's) knows, thick with spaces, marks and line ends."""
    common = " \n\r\t\u0085\u00a0\u180e\u200b\u2028\u3000'sStTrRvV\u017f1a"
    out = []
    while len(out) < length:
        c = rng.choice(common) if rng.random() < 0.4 else chr(rng.choice([rng.randrange(0x3000), rng.randrange(0x110000)]))
        if unicodedata.category(c) not in ("Cn", "Cs", "Co"):
            out.append(c)
    return "".join(out)


def train(documents, size, pre_tokenizer):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def llama3_form():
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def write_ranks(tokenizer):
    size = tokenizer.get_vocab_size(with_added_tokens=False)
    vocabulary = {id: token for token, id in tokenizer.get_vocab(with_added_tokens=False).items()}
    alphabet = {c: b for b, c in byte_alphabet().items()}
    ranks = {bytes(alphabet[c] for c in vocabulary[id]): id for id in range(size)}
    with open(path("ranks.model"), "wb") as out:
        for token, rank in ranks.items():
            out.write(base64.b64encode(token) + b" %d\n" % rank)
    return tiktoken.Encoding("golden", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})


def byte_alphabet():
    printable = [b for b in range(256) if 0x20 < b < 0x7F or (b > 0xA0 and b != 0xAD)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def cases(rng):
    return ["", "a", " ", "  ", "\n", "\r\n", " \n ", "\x00", "\ufeffThe herd", "the drovers' road", "They'd we'LL it'S",
            "1847 12345 3001", "   leading and trailing   ", "tabs\t\tand\n\n\nlines\r\n\r\n", "über café naïve Straße",
            "дорога стадо", "牛市場道", "e\u0301 \U0001f402\U0001f3fd\u200d\U0001f33e", "a\u180eb c\u0085d\u00a0e\u2028f",
            "<|begin_of_text|> is text", "<|end_of_text|>", "'\u017f \u212a", "x" * 300, "the" * 100, " " * 200 + "a",
            "!" * 150 + "\n\n", "drovedrovedroves " * 20, prose(rng, 12), letters(rng, 30), stress(rng, 1500)]


def main():
    rng = random.Random(7)
    corpus = [prose(rng, 30) for _ in range(6)] + [stress(rng, 300)]
    letter_documents = [letters(rng, 150) for _ in range(4)]
    for name, documents in (("corpus.txt", corpus), ("letters.txt", letter_documents)):
        with open(path(name), "w", newline="") as out:
            out.write("\n===\n".join(documents))

    llama3 = train(corpus, 640, llama3_form())
    ranks = write_ranks(llama3)
    llama3.add_special_tokens(SPECIALS)
    llama3.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
        special_tokens=[("<|begin_of_text|>", llama3.token_to_id("<|begin_of_text|>"))])
    gpt2 = train(corpus, 500, pre_tokenizers.ByteLevel(add_prefix_space=False))
    gpt2.add_special_tokens(["<|endoftext|>"])
    gpt2.post_processor = processors.ByteLevel(trim_offsets=False)
    letter_tokenizer = train(letter_documents, 420, llama3_form())
    for name, tokenizer in (("llama3.json", llama3), ("gpt2.json", gpt2), ("letters.json", letter_tokenizer)):
        tokenizer.save(path(name), pretty=False)

    for tokenizer in (llama3, gpt2):
        tokenizer.encode_special_tokens = True
    rows = [{"text": text,
             "llama3": llama3.encode(text, add_special_tokens=False).ids,
             "gpt2": gpt2.encode(text, add_special_tokens=False).ids,
             "letters": letter_tokenizer.encode(text, add_special_tokens=False).ids,
             "ranks": ranks.encode_ordinary(text)} for text in cases(rng)]
    with open(path("cases.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
