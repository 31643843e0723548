"""`main_text`: main text by one look at a page's bytes and trees that judge every block.

A page is scanned once into blocks (`page_text_kernels`), each block is measured with all that holds and surrounds it,
and two rounds of decision trees say whether it is main text: the second round sees what the first one said of the
neighbours and of the elements around. Everything is whole numbers. `benchmarks/fit_main_text.py` grows the trees.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.pipeline.extract.extraction import Extract, Extraction

TREES = Path(__file__).with_suffix(".npz")
SCALE = 1 << 16  # of scores: 1 is one unit of log-odds
PARTS = ("which", "cut", "left", "right", "roots", "leaf")


@dataclass(frozen=True, kw_only=True)
class MainText(Extraction):
    """Main text of web pages by a learned decision for each block: `text`, empty where none was found, and `title`.

    Blocks stand on lines of their own, cells of a table row behind tabs; code keeps its line breaks. `least` moves the
    balance: below 0 keeps more, above 0 less, in log-odds.

    Cost: one pass over the bytes, and about a thousand comparisons per block.
    Source: own; features after Kohlschütter et al. 2010 (boilerpipe) and Arc90's Readability, trees by LightGBM
    """

    name: ClassVar[str] = "main_text"

    least: float = -0.5  # the log-odds from which a block is main text

    def validate(self) -> None:
        """Raises: ConfigError where `least` is out of range, besides what all extractors refuse."""
        super().validate()
        if not -10 <= self.least <= 10:
            raise ConfigError(f"least is {self.least:g}", where="least", hint="log-odds from -10 to 10: 0")

    def data(self) -> Any:
        """The digest of the trees."""
        return hashlib.sha256(TREES.read_bytes()).hexdigest()

    def extractor(self) -> Extract:
        """Page -> text, by kernels and trees that are loaded once."""
        first, second = _trees()
        least = round(self.least * SCALE)
        return lambda page: main_text(page.encode("utf-8", "replace"), first, second, least)


class Parsed(NamedTuple):
    """A page's blocks with all that is known of them before any score."""

    text: npt.NDArray[np.uint8]
    block: npt.NDArray[np.int32]
    element: npt.NDArray[np.int64]
    num: int  # blocks
    elements: int
    m: npt.NDArray[np.int32]
    sums: npt.NDArray[np.int64]
    mark: npt.NDArray[np.int32]


Trees = tuple[npt.NDArray[np.int32], ...]  # as `packed` lays them out


@functools.cache
def _trees() -> tuple[Trees, Trees]:
    with np.load(TREES, allow_pickle=False) as file:
        first, second = (packed(*(file[f"{which}_{part}"] for part in PARTS)) for which in ("first", "second"))
    return first, second


def packed(which: Any, cut: Any, left: Any, right: Any, roots: Any, leaf: Any) -> Trees:
    """(nodes i32[nodes, 2], roots i32[trees + 1], leaves i32[leaves]) of the arrays of a file.

    Eight bytes a node, so that all of them lie in the first cache: its cut, and in one number its feature (8 bits), the
    way for at most the cut (8) and the way for more (8). A way is the number of a node in its tree, or `LEAF` more than
    the number of a leaf in it.
    """
    from winnow.pipeline.extract.page_features_kernels import LEAF

    assert which.max() < 256
    assert all(to.max() < LEAF and (~to).max() < 256 - LEAF for to in (left, right))
    ways = [np.where(to >= 0, to, LEAF + ~to).astype(np.int32) for to in (left, right)]
    node = np.stack([cut, which.astype(np.int32) | ways[0] << 8 | ways[1] << 16], axis=1)
    return np.ascontiguousarray(node.astype(np.int32)), roots.astype(np.int32), leaf


def parsed(page: bytes) -> Parsed:
    """Blocks, elements and measures of a page in UTF-8."""
    from winnow.pipeline.extract import page_features_kernels as kernels
    from winnow.pipeline.extract import page_scan_kernels as scan_kernels
    from winnow.pipeline.extract.page_text_kernels import scan

    data = np.frombuffer(page, np.uint8)
    state, text, block, element = scan_kernels.new_page(data, 0, len(data))
    scan(data, 0, len(data), state, text, block, element)
    num, elements = int(state[scan_kernels.BLOCKS]), int(state[scan_kernels.ELEMENTS])
    first, last = int(state[scan_kernels.TITLE]), int(state[scan_kernels.TITLE_END])
    m = kernels.measured(text, block, num, data, first, last)
    sums = kernels.held(block, num, element, elements, m)
    mark = kernels.marked_best(element, elements, sums)
    return Parsed(text, block, element, num, elements, m, sums, mark)


def main_text(page: bytes, first: Trees, second: Trees, least: int) -> str:
    """The main text of a page in UTF-8; "" where no block scores above `least`."""
    from winnow.pipeline.extract.page_judge_kernels import judged

    p = parsed(page)
    return bytes(judged(*p, first, second, least)).decode("utf-8", "replace")
