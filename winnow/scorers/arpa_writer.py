"""ARPA files of models that were fitted here, for KenLM and whatever else reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from winnow.scorers.kneser_ney import Estimate, Keys, Longs, log10

PIECE = 1 << 20  # n-grams written at a time
MARKERS = {0: b"<unk>", 1: b"<s>", 2: b"</s>"}
LOW = np.uint64(0xFFFF_FFFF)
HALF = np.uint64(32)


def write_arpa(estimate: Estimate, words: Mapping[int, bytes], path: Path) -> None:
    """List the n-grams that are kept, order by order, by their keys. `words`: those of all unigrams, by number.

    Cost: about 4 us per n-gram (`benchmarks/bench_ngram.py`), and 32 bytes of memory beside the estimate.
    """
    counts = estimate.counts()
    lengths, ending, beginning = (columns.astype(np.int64) for columns in _links(estimate))
    last = np.arange(len(lengths))  # number of the last word
    for order in range(2, len(counts) + 1):
        own = np.flatnonzero(lengths == order)
        last[own] = last[ending[own]]
    spelled = {number: word.decode() for number, word in {**words, **MARKERS}.items()}
    with path.open("wb") as file:
        head = "".join(f"ngram {order}={number}\n" for order, number in enumerate(counts, start=1))
        file.write(f"\\data\\\n{head}".encode())
        for order in range(1, len(counts) + 1):
            file.write(f"\n\\{order}-grams:\n".encode())
            own = np.flatnonzero((lengths == order) & estimate.kept)
            own = own[np.argsort(estimate.records[own, 0], kind="stable")]
            for low in range(0, len(own), PIECE):
                piece = own[low : low + PIECE]
                spelling = _spelling(piece, order, last, beginning, spelled)
                _put(estimate, piece, spelling, file, weights=order < len(counts))
        file.write(b"\n\\end\\\n")


def _links(estimate: Estimate) -> tuple[Keys, Keys, Keys]:
    """(length, ending, beginning) of every n-gram."""
    return estimate.records[:, 2] >> HALF, estimate.records[:, 1] >> HALF, estimate.records[:, 2] & LOW


def _spelling(numbers: Longs, order: int, last: Longs, beginning: Longs, spelled: Mapping[int, str]) -> pl.Series:
    """The words of n-grams, with blanks between them."""
    columns = []
    for _ in range(order):
        columns.append(pl.Series([spelled[number] for number in last[numbers].tolist()], dtype=pl.String))
        numbers = beginning[numbers]
    named = {f"word {place}": column for place, column in enumerate(reversed(columns))}
    return pl.DataFrame(named).select(pl.concat_str(pl.all(), separator=" ")).to_series()


def _put(estimate: Estimate, numbers: Longs, spelling: pl.Series, file: IO[bytes], *, weights: bool) -> None:
    values = {name: pl.Series(log10(getattr(estimate, name)[numbers])) for name in ("prob", "backoff")}
    frame = pl.DataFrame({"prob": values["prob"], "words": spelling, "backoff": values["backoff"]})
    shown = frame if weights else frame.drop("backoff")
    shown.write_csv(file, include_header=False, separator="\t", quote_style="never")
