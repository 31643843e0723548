"""A page's text nodes as numbers for a network: what each stands in, its words, and windows over pages without end.

Nodes are the blocks of `main_text`: stretches of text in document order that no block-level tag breaks, with the tags,
the words of class names and the neighbours around them (`page_features_kernels`). Words are hashed to buckets, one by
one and in pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.words.hashing import ngram_hashes
from winnow.pipeline.extract.main_text import Parsed, parsed

HEAD = 400  # bytes of a node of which the words are read
WINDOW, OVERLAP = 512, 64  # nodes that are looked at together; of a longer page windows that share some on either side


class Nodes(NamedTuple):
    """A page's nodes: what surrounds them, and their hashed words."""

    around: npt.NDArray[np.float32]  # [nodes, AROUND]
    buckets: npt.NDArray[np.int64]  # of all nodes one behind the other
    starts: npt.NDArray[np.int64]  # [nodes + 1], places in `buckets`


def around_size() -> int:
    """Numbers that say what a node stands in."""
    from winnow.pipeline.extract.page_features_kernels import SECOND

    return SECOND


def nodes_of(page: bytes, num_buckets: int) -> tuple[Parsed, Nodes]:
    """The blocks of a page in UTF-8, and the same as numbers. Cost: one pass over the bytes, and over the nodes."""
    from winnow.pipeline.extract.page_features_kernels import SECOND, all_features

    p = parsed(page)
    raw = all_features(p.block, p.num, p.element, p.m, p.sums, p.mark)[:, :SECOND].astype(np.float32)
    around = np.sign(raw) * np.log1p(np.abs(raw))
    buckets, starts = _hashed(heads(p), num_buckets)
    return p, Nodes(around, buckets, starts)


def heads(p: Parsed) -> list[str]:
    """The beginning of each block's text."""
    return [bytes(p.text[b[0] : min(b[1], b[0] + HEAD)]).decode("utf-8", "ignore") for b in p.block[: p.num]]


def windows(num: int) -> list[tuple[int, int, int, int]]:
    """(first, last, from, to): nodes that are looked at together, and those among them that are decided by it."""
    if num <= WINDOW:
        return [(0, num, 0, num)]
    step = WINDOW - 2 * OVERLAP
    return [
        (max(0, at - OVERLAP), min(num, at + step + OVERLAP), at, min(num, at + step)) for at in range(0, num, step)
    ]


def part(nodes: Nodes, first: int, last: int) -> Nodes:
    """Nodes first:last of a page."""
    begin, end = nodes.starts[first], nodes.starts[last]
    return Nodes(nodes.around[first:last], nodes.buckets[begin:end], nodes.starts[first : last + 1] - begin)


def _hashed(texts: list[str], num_buckets: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(buckets, starts) of words and pairs of words; a node without a word has bucket 0 alone."""
    array = pa.array(texts, pa.large_string())
    found = [ngram_hashes(array, order) for order in (1, 2)]
    counts = [np.diff(starts) for starts, _ in found]
    size = counts[0] + counts[1]
    starts = np.concatenate(([0], np.cumsum(np.maximum(size, 1)))).astype(np.int64)
    buckets = np.zeros(starts[-1], np.int64)
    begin = starts[:-1]
    for (_, hashes), count in zip(found, counts, strict=True):
        place = np.repeat(begin - np.concatenate(([0], np.cumsum(count)[:-1])), count) + np.arange(len(hashes))
        buckets[place] = 1 + ((hashes.astype(np.uint64) * np.uint64(num_buckets - 1)) >> np.uint64(32)).astype(np.int64)
        begin = begin + count
    return buckets, starts
