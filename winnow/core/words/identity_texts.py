"""Texts on which two tokenizers that differ somewhere are likely to differ: what an identity check asks about."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

PIECES = (
    "a", "Z", "é", "ß", "ı", "İ", "ſ", "K", "'s", "'S", "'ſ", "'T", "'re", "'LL", "'", " ", "  ", "\t", "\n",
    "\r", "\r\n", "\n\n", "\x00", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\u3000", "\u200b", "\u200d",
    "\ufeff", "\u1680", "\u180e", "0", "12", "6789", "٣", "½", "²", "Ⅷ", "漢字", "한국", "か", "ไทย",
    "\u0939\u093f\u0928\u094d", "e\u0301", "\u0323\u0301", "ﬁ", "\u1e9b\u0323", "😀", "👨\u200d👩\u200d👧",
    "🇩🇪", "\ufdfd", ".", ",", "--", "_", "/", "<|", "|>", "[", "▁", "Ġ", "word", "words", "The", "camelCase",
    "HTTPServer", "don't", "\ufffd", "\U0010ffff", "\ue000", "\u0378",
)  # fmt: skip
AROUND = (
    "{t}",
    "{t}{t}",
    " {t}",
    "{t} ",
    "s{t}",
    "{t}s",
    "\n{t}\n",
    "  {t}  x",
    "a{t}b",
    "é{t}漢",
    "1{t}2",
    " {t}s",
    "<{t}>",
)
MOST_PER_KIND = 16  # added tokens of equal flags that are asked about
DENSE, SPARSE = 0x3000, 0x20000  # below: every code point; below: every 37th; above: every 509th
SURROGATES = range(0xD800, 0xE000)
RUNS = (("a", 3000), (" ", 3000), ("\n", 500), ("\t ", 300), ("ab", 700), ("7", 500), ("😀", 200), ("漢", 1500),
        ("e\u0301", 400), ("=", 900), ("-=", 300), ("\r\n", 200), ("Ha", 400))  # fmt: skip
FLAGS = ("special", "lstrip", "rstrip", "single_word", "normalized")


def identity_texts(added: Sequence[Mapping[str, Any]], words: Iterable[str]) -> list[str]:
    """The same texts for the same tokenizer, about 10,000 of 300 kB in all.

    Pairs of odd pieces, every code point of the scripts in use and samples of the others, long words and runs, the
    tokenizer's added tokens (as tokenizer.json lists them) and what is nearly one, and the `words` of its vocabulary.
    """
    texts = ["", *PIECES, *(left + right for left, right in product(PIECES, repeat=2))]
    texts += _code_points()
    texts += _long()
    texts += _around(_some_of_each_kind(added))
    return texts + list(words)


def _code_points() -> Iterator[str]:
    numbers = [*range(DENSE), *range(DENSE, SPARSE, 37), *range(SPARSE, 0x110000, 509)]
    signs = [chr(number) for number in numbers if number not in SURROGATES]
    for start in range(0, len(signs), 32):
        yield "".join(f"a{sign}1" for sign in signs[start : start + 32])
        yield "".join(f" {sign}" for sign in signs[start : start + 32])


def _long() -> Iterator[str]:
    draw = random.Random(0)  # noqa: S311 - the same texts every time
    for unit, times in RUNS:
        yield unit * times
        yield f"x {unit * times} y"
    yield "".join(draw.choices("0123456789abcdef", k=2000))
    yield "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=4000))
    yield "".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(1500))
    for _ in range(300):
        yield "".join(draw.choices(PIECES, k=draw.randrange(3, 14)))


def _some_of_each_kind(added: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    taken: dict[tuple[bool, ...], int] = {}
    for token in added:
        kind = tuple(bool(token.get(flag)) for flag in FLAGS)
        taken[kind] = taken.get(kind, 0) + 1
        if taken[kind] <= MOST_PER_KIND:
            yield str(token["content"])


def _around(tokens: Iterable[str]) -> Iterator[str]:
    known = list(tokens)
    for token in known:
        near = (token, token[:-1], token[1:], token.upper(), token.lower(), token.strip(), token.replace(" ", ""))
        yield from (around.format(t=one) for one in dict.fromkeys(near) for around in AROUND)
        yield from (f"word{token}{other}x {token} {other}" for other in known)
