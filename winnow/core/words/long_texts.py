"""Texts in groups that a tokenizer takes at a time, and long ones in pieces that it encodes as it does the whole.

A tokenizer holds a hundred bytes and more per byte of what it is given at once. By groups that is bounded whatever a
batch holds; by pieces, whatever one document does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

GROUP = 1 << 19  # characters given to a tokenizer at once, but for a text that is longer and cannot be cut
PIECE = 1 << 17  # characters from which on a long text is cut
BETWEEN_WORDS = re.compile(r"(?<=[A-Za-z]) (?=[A-Za-z])")


def cuts_between_words(tokenizer: Any) -> bool:
    """Whether a tokenizer of the library gives a text, cut before a blank between two letters, the ids of the whole.

    So does byte-level BPE without a normalizer: GPT-2's expression, by which it is split first, has no part that goes
    from a letter into a blank, none that looks back, and takes a blank together with the letters behind it. Tokens that
    are looked for in the text must not reach over such a place.
    """
    model, split = tokenizer.model, tokenizer.pre_tokenizer
    plain = tokenizer.normalizer is None and tokenizer.truncation is None and tokenizer.padding is None
    if not plain or type(model).__name__ != "BPE" or model.dropout or type(split).__name__ != "ByteLevel":
        return False
    sought = [
        t for t in tokenizer.get_added_tokens_decoder().values() if not (t.special and tokenizer.encode_special_tokens)
    ]
    return bool(split.use_regex) and not split.add_prefix_space and not any(_may_reach_over(token) for token in sought)


def _may_reach_over(token: Any) -> bool:
    """Whether a token that is looked for may hold or take a blank, or be judged by what stands beside it."""
    return bool(token.lstrip or token.rstrip or token.single_word or any(sign.isspace() for sign in token.content))


def groups(texts: Iterable[str], *, cut: bool) -> Iterator[tuple[list[int], list[str]]]:
    """(numbers of the texts, pieces) of every group, in order; without `cut` every text is one piece."""
    rows: list[int] = []
    pieces: list[str] = []
    size = 0
    for row, text in enumerate(texts):
        for piece in _pieces(text) if cut else (text,):
            if pieces and size + len(piece) > GROUP:
                yield rows, pieces
                rows, pieces, size = [], [], 0
            rows.append(row)
            pieces.append(piece)
            size += len(piece)
    if pieces:
        yield rows, pieces


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > PIECE and (found := BETWEEN_WORDS.search(text, start + PIECE)):
        yield text[start : found.start()]
        start = found.start()
    yield text[start:]
