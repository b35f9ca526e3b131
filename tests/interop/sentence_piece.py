"""SentencePiece's .model file as the tokenizer that Transformers makes of it (SentencePieceExtractor and LlamaConverter in
convert_slow_tokenizer.py, which want packages that nothing else here needs)."""
import struct
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

NORMAL, UNKNOWN, CONTROL = 1, 2, 3  # sentencepiece_model.proto
MARK = "\u2581"
REPLACE = normalizers.Replace(" ", MARK)
LEGACY = normalizers.Sequence([normalizers.Prepend(MARK), REPLACE])
DECODER = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def template(begin):
    """A text begins with <s>, whose id is given."""
    return processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", begin)])


def fields(message):
    """Numbers and values of a protocol buffer's fields."""
    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value

    at = 0
    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            yield key >> 3, message[at:at + size]
            at += size


def pieces_of(path):
    """Text, score and type of every piece."""
    for number, message in fields(Path(path).read_bytes()):
        if number == 1:
            piece = dict(fields(message))
            yield piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0], piece.get(3, NORMAL)


def merges_of(pieces, ids):
    """Each piece from any two that make it up, in the order of scores."""
    merges = []
    for text, score, kind in pieces:
        halves = [(text[:at], text[at:]) for at in range(1, len(text))] if kind == NORMAL else []
        known = [(left, right) for left, right in halves if left in ids and right in ids]
        merges += [(score, *pair) for pair in sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]]))]
    merges.sort(key=lambda merge: (merge[0], len(merge[1]), len(merge[2])), reverse=True)
    return [(left, right) for _, left, right in merges]


def tokenizer_of(path):
    pieces = list(pieces_of(path))
    ids = {text: id for id, (text, _, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(ids, merges_of(pieces, ids), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer, tokenizer.decoder = LEGACY, DECODER
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text, _, kind in pieces if kind in (UNKNOWN, CONTROL)])
    tokenizer.post_processor = template(ids["<s>"])
    return tokenizer
