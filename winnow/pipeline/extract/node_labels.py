"""Which blocks of a page are its main text, by a known main text: what learned extractors are fitted on.

Nothing in a page says where a known text stands in it, and editors of such texts change white space, quotation marks
and places of captions. So a block is aligned by its words: its label is the share of its runs of four words that the
known text has. A block of fewer words has to stand there whole, beside the last word of the block in front of it or
the first of the one behind, because "Share" and "Read more" stand in most texts somewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

TOKEN = re.compile(r"\w+")
RUN = 4  # words
PAD = 20.0  # words that a page's weight counts besides its own, so that pages of a few words do not outweigh others

Floats = npt.NDArray[np.float64]


def labelled(texts: Sequence[str], gold: str) -> tuple[Floats, Floats]:
    """(share of each text that is gold in [0, 1], its words), f64[texts] each. Cost: linear in the words of both."""
    words = TOKEN.findall(gold)
    grams = [{tuple(words[i : i + n]) for i in range(len(words) - n + 1)} for n in range(RUN + 2)]
    own = [TOKEN.findall(text) for text in texts]
    y = np.zeros(len(own))
    for i, t in enumerate(own):
        if len(t) >= RUN:
            y[i] = sum(tuple(t[j : j + RUN]) in grams[RUN] for j in range(len(t) - RUN + 1)) / (len(t) - RUN + 1)
        elif t and tuple(t) in grams[len(t)]:
            before = next((x[-1] for x in reversed(own[:i]) if x), None)
            after = next((x[0] for x in own[i + 1 :] if x), None)
            beside = [(before, *t), (*t, after)]
            y[i] = float(any(None not in pair and pair in grams[len(t) + 1] for pair in beside))
    return y, np.array([len(t) for t in own], float)


def weights(y: Floats, words: Floats, gold: str) -> Floats:
    """What each block counts, f64[blocks]: its share of the page's gold words; much beside little gold is held down.

    `y` and `words` as `labelled` gives them.
    """
    w = words / (len(TOKEN.findall(gold)) + PAD)
    wrong = float((w * (1 - y)).sum())
    return np.where(y < 0.5, w * 2 / wrong, w) if wrong > 2 else w
