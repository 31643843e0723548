"""fastText classifiers asked by compiled kernels, wherever their answers are those of the library; else by the library.

At open, both answer a set of hard lines; the library's model is let go where the kernels pass. What is reported is what
`predict` reports: exp(log(p + 1e-5)) in single precision, the line break read as a blank.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.words.fasttext_file import FastTextFile, UnreadableError, read_fasttext
from winnow.core.words.identity_texts import PIECES
from winnow.core.words.text import utf8_buffers

BOUND = 1e-6  # largest difference to the library's probabilities that the check allows
SWITCH = "WINNOW_FASTTEXT"  # library: never our own kernels
GIVE = "give a .bin or .ftz classifier"
COUNTED = "scored_by:fasttext: "  # counts of texts that the library scored; the reason stands behind it

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class Predictor:
    """A classifier file, opened. `why` says why the library answers; it is empty where the kernels do, or none may."""

    def __init__(self, path: Path, *, count: Callable[[str, int], None] | None = None) -> None:
        self._library: Any = None
        self._kernels: Kernels | None = None
        self._count, self.why = count, ""
        if not path.is_file():
            raise ConfigError(f"no such file: {path}", where="model_file", hint=GIVE)
        library = loaded(path)
        self.labels: tuple[str, ...] = tuple(library.labels)
        try:
            if os.environ.get(SWITCH) == "library":
                raise UnreadableError("")
            kernels = Kernels(read_fasttext(path))
            _compare(kernels, library)
            self._kernels = kernels
        except UnreadableError as error:
            self._library, self.why = library, str(error)

    def every(self, lines: pl.Series) -> F32:
        """Reported probability of every label, f32[lines, labels]; -1 where the model reports none. No nulls."""
        if self._kernels is not None:
            return self._kernels.every(lines)
        self._tell(lines)
        return library_every(self._library, lines)

    def likeliest(self, lines: pl.Series) -> tuple[I32, F32]:
        """(number of the likeliest label i32[lines], its reported probability f32); -1 where the model reports none."""
        if self._kernels is not None:
            return self._kernels.likeliest(lines)
        self._tell(lines)
        return library_likeliest(self._library, lines)

    def _tell(self, lines: pl.Series) -> None:
        if self._count is not None and self.why:
            self._count(COUNTED + self.why, len(lines))


class Kernels:
    """The model in the form that the kernels read."""

    def __init__(self, file: FastTextFile) -> None:
        from winnow.core.words import fasttext_kernels as kernels

        self._file, self._run = file, kernels
        self._slots = kernels.index_words(file.words, file.limits)
        args = file.args
        self._numbers = np.array([file.nwords, max(1, args["bucket"]), args["minn"], args["maxn"], args["ngrams"],
                                  file.number_of(kernels.EOS)], dtype=np.int64)  # fmt: skip
        self._pruned = np.zeros(0, dtype=np.int32) if file.pruned is None else file.pruned
        self._starts, self._rows = kernels.subword_rows(file.words, file.limits, self._pruned, self._numbers)
        self._children = huffman(file.counts[file.nwords :]) if args["loss"] == kernels.HS else np.zeros(0, np.int32)

    def every(self, lines: pl.Series) -> F32:
        """See `Predictor`."""
        return self._answered(lines, len(self._file.output))[0]

    def likeliest(self, lines: pl.Series) -> tuple[I32, F32]:
        """See `Predictor`."""
        out, labels = self._answered(lines, 1)
        return labels, out[:, 0]

    def _answered(self, lines: pl.Series, columns: int) -> tuple[F32, I32]:
        offsets, data = utf8_buffers(lines.to_arrow(compat_level=pl.CompatLevel.oldest()))
        file = self._file
        hidden = np.empty((len(lines), file.args["dim"]), dtype=np.float32)
        places = np.require(offsets, np.int64, "C")
        self._run.hidden_rows(places, data, file.words, file.limits, file.kinds, self._slots, self._starts,
                              self._rows, self._pruned, self._numbers, file.matrix, hidden)  # fmt: skip
        out, labels = np.empty((len(lines), columns), dtype=np.float32), np.empty(len(lines), dtype=np.int32)
        self._run.answers(hidden, file.output, file.args["loss"], self._children, sigmoids(), out, labels)
        return out, labels


def library_remarks(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A sentence for every reason why the library answered."""
    return tuple(
        f"{number:,} texts were scored by the fastText library, the slower way: {name.removeprefix(COUNTED)}; "
        f"{SWITCH}=library says that this is meant"
        for name, number in counts.items() if name.startswith(COUNTED) and number
    )  # fmt: skip


def loaded(path: Path) -> Any:
    """The library's model. Raises: ConfigError where the file is no classifier."""
    import fasttext

    try:
        model = fasttext.load_model(str(path))
        labels = model.labels
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ConfigError(f"{path.name} is not a fastText model: {error}", where="model_file", hint=GIVE) from error
    if not labels:
        raise ConfigError(f"{path.name} holds word vectors, no classifier", where="model_file", hint=GIVE)
    return model


def library_every(model: Any, lines: pl.Series) -> F32:
    """As `Predictor.every`, by the library."""
    place = {label: at for at, label in enumerate(model.labels)}
    out = np.full((len(lines), len(place)), -1, dtype=np.float32)
    names, shares = model.predict(_plain(lines), k=-1) if len(lines) else ((), ())
    for row, (named, probabilities) in enumerate(zip(names, shares, strict=True)):
        out[row, [place[label] for label in named]] = probabilities
    return out


def library_likeliest(model: Any, lines: pl.Series) -> tuple[I32, F32]:
    """As `Predictor.likeliest`, by the library."""
    place = {label: at for at, label in enumerate(model.labels)}
    names, shares = model.predict(_plain(lines), k=1) if len(lines) else ((), ())
    labels = np.array([place[one[0]] if len(one) else -1 for one in names], dtype=np.int32)
    return labels, np.array([one[0] if len(one) else -1.0 for one in shares], dtype=np.float32)


def huffman(counts: npt.NDArray[np.int64]) -> I32:
    """Left and right child of every inner node i32[2 * (labels - 1)], labels by falling counts (Loss::buildTree)."""
    size = len(counts)
    weights = np.full(2 * size - 1, 10**15, dtype=np.int64)
    weights[:size] = counts
    children = np.zeros(2 * (size - 1), dtype=np.int32)
    leaf, node = size - 1, size
    for parent in range(size, 2 * size - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                children[2 * (parent - size) + side], leaf = leaf, leaf - 1
            else:
                children[2 * (parent - size) + side], node = node, node + 1
        left, right = children[2 * (parent - size) : 2 * (parent - size) + 2]
        weights[parent] = weights[left] + weights[right]
    return children


@functools.cache
def sigmoids() -> F32:
    """The library's table: 513 values of the logistic function between -8 and 8."""
    x = (np.arange(513) * np.float32(16)).astype(np.float32) / np.float32(512) - np.float32(8)
    powers = np.exp(-x.astype(np.float64)).astype(np.float32)
    return (1.0 / (1.0 + powers.astype(np.float64))).astype(np.float32)


def hard_lines(words: list[str], labels: list[str]) -> pl.Series:
    """Lines on which two readers of a model that differ somewhere are likely to differ."""
    marks = ["</s>", "<", ">", "__label__", "__label__x", labels[0], f"x{labels[0]}", "</s", "\\n"]
    known = words[:: max(1, len(words) // 400)]
    spread = [" ".join(known[at : at + n]) for n in (1, 2, 3, 7, 40) for at in range(0, len(known), 3 * n)]
    odd = [a + b for a in PIECES for b in (*PIECES[::5], " ")] + [*PIECES, *marks, "", " ", "a" * 3000]
    mixed = [f"{a} {b} {c}" for a, b, c in zip(known, [*marks, *PIECES] * 9, reversed(known), strict=False)]
    whole = [
        " ".join(known),
        "\t".join(PIECES),
        " \v\f\r\x00 ".join(known[:50]),
        "".join(known),
        " </s> ".join(known[:9]),
    ]
    return pl.Series([*spread, *odd, *mixed, *whole], dtype=pl.String)


def _plain(lines: pl.Series) -> list[str]:
    """As the library takes them: one line each."""
    return lines.str.replace_all("\n", " ", literal=True).to_list()


def _compare(kernels: Kernels, library: Any) -> None:
    """Raises: UnreadableError where answers to hard lines differ by more than the bound."""
    lines = hard_lines(library.words, library.labels)
    ours, theirs = kernels.every(lines), library_every(library, lines)
    label, share = kernels.likeliest(lines)
    their_label, their_share = library_likeliest(library, lines)
    worst = float(np.abs(ours.astype(np.float64) - theirs).max(initial=0.0))
    if not worst <= BOUND or not np.array_equal(label, their_label) or not np.abs(share - their_share).max() <= BOUND:
        unlike = int(((np.abs(ours - theirs) > BOUND).any(axis=1) | (label != their_label)).sum())
        raise UnreadableError(f"our kernels answer {unlike:,} of {len(lines):,} lines otherwise, by up to {worst:.2g}")
