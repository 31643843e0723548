"""Two texts beside each other: which words they share, and what only one of them has.

    {"shared_words", "words": [of this one, of the kept one], "only_here": [text], "only_kept": [text], "cut": bool}

A shared word stands in a run of words that both have in the same order. At most the first `MOST_WORDS` are compared.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from winnow.core.terminal import Lines

MOST_WORDS = 1500
MOST_SHOWN = 3
SHOWN_CHARS = 80


def compared(one: str | None, kept: str | None) -> dict[str, Any]:
    """What a document and the one that was kept for it share; see the module. Cost: O(words of one * of the other)."""
    words = [(text or "").split() for text in (one, kept)]
    mine, other = (many[:MOST_WORDS] for many in words)
    blocks = difflib.SequenceMatcher(None, mine, other, autojunk=False).get_opcodes()
    only_here = [" ".join(mine[a:b]) for tag, a, b, _, _ in blocks if tag in ("delete", "replace")]
    only_kept = [" ".join(other[a:b]) for tag, _, _, a, b in blocks if tag in ("insert", "replace")]
    return {
        "shared_words": sum(b - a for tag, a, b, _, _ in blocks if tag == "equal"),
        "words": [len(mine), len(other)], "only_here": only_here, "only_kept": only_kept,
        "cut": any(len(many) > MOST_WORDS for many in words),
    }  # fmt: skip


def compared_lines(texts: Mapping[str, Any], indent: str) -> Lines:
    """(style, line): the share of words, then what differs, `-` what only this one has and `+` the kept one."""
    first = f"of the first {MOST_WORDS:,} " if texts["cut"] else ""
    mine, kept = texts["words"]
    shared = f"{texts['shared_words']:,} {first}words"
    yield "dim", f"{indent}shares {shared} with the keeper, of {mine:,} here and {kept:,} there"
    for mark, style, pieces in (("-", "red", texts["only_here"]), ("+", "green", texts["only_kept"])):
        for piece in pieces[:MOST_SHOWN]:
            short = piece if len(piece) <= SHOWN_CHARS else piece[: SHOWN_CHARS - 3] + "..."
            yield style, f"{indent}{mark} {short}"
        if len(pieces) > MOST_SHOWN:
            yield "dim", f"{indent}{mark} and {len(pieces) - MOST_SHOWN:,} more pieces"
