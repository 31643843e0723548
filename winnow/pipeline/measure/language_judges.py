"""Who judges a text's language: the model of py3langid by own kernels, or any fastText classifier file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.words.fasttext_predict import Predictor
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.measure.language_codes import short_code

UNDETERMINED = "und"
_FAR = -40.0  # what is this far below adds nothing to a sum of probabilities
_NEAR = 16  # labels of a fastText model whose probabilities are added up where they share a code

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
Spans = tuple[I64, I64]


class Judge(Protocol):
    """Judges texts data[spans[0][i]:spans[1][i]] by about `limits`[i] bytes of each, in `pieces`."""

    codes: pl.Series  # what the ids stand for

    def __call__(self, spans: Spans, data: U8, limits: I64, pieces: int) -> tuple[I64, F64]:
        """(ids i64[texts], probabilities f64[texts] in [0, 1])."""


class BuiltIn:
    """py3langid's model, or its part of some languages; probabilities of classes with one code are added up."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        from winnow.pipeline.measure import language_tables as tables

        model = tables.restricted(tables.language_tables(), languages)
        self._model, self._tables = model, (model.step, model.row_of, model.emits, model.excess)
        self._alias = np.array([model.codes.index(code) for code in model.codes], dtype=np.int64)
        self._kinds = tables.kinds_of_characters()
        self._scale = float(tables.ENTRY_SCALE * tables.WORTH_SCALE)
        self._worth = self._worths(1 << 12)
        self.codes = pl.Series([*model.codes, UNDETERMINED], dtype=pl.String)

    def __call__(self, spans: Spans, data: U8, limits: I64, pieces: int) -> tuple[I64, F64]:
        """See `Judge`; a text in capitals is read in small letters, one that is not composed in NFC."""
        from winnow.pipeline.measure import language_kernels as kernels

        sizes = np.minimum(spans[1] - spans[0], limits + 8 * pieces)
        self._reach(int(sizes.max(initial=0)))
        sums, mass, read, other = kernels.look(spans, data, limits, pieces, self._kinds, self._tables, self._worth)
        if other.any():
            part = (spans[0][other], spans[1][other])
            again, body = _composed(_texts(*kernels.samples(part, data, limits[other], pieces)))
            everything = again[1] - again[0]
            self._reach(int(everything.max()))
            sums[other], mass[other], read[other], _ = kernels.look(
                again, body, everything, 1, self._kinds[:0], self._tables, self._worth
            )
        return self._chosen(sums, mass, read)

    def whole(self, spans: Spans, data: U8) -> tuple[I64, F64]:
        """As a call without limits, in memory that does not grow with the length of a text."""
        from winnow.pipeline.measure import language_kernels as kernels

        again, body = _composed(_texts(*kernels.samples(spans, data, spans[1] - spans[0], 1)))
        sizes = again[1] - again[0]
        self._reach(int(sizes.max(initial=0)))
        sums, mass = kernels.read_through(again, body, self._tables, self._worth)
        return self._chosen(sums, mass, sizes)

    def _chosen(self, sums: F64, mass: F64, read: I64) -> tuple[I64, F64]:
        from winnow.core.numerics import numeric
        from winnow.pipeline.measure import language_kernels as kernels

        exponents = kernels.tempered(sums, mass, self._model.floor, self._model.prior, read, self._scale)
        near = exponents > _FAR
        likelihood = np.zeros_like(exponents)
        likelihood[near] = numeric.exp(exponents[near])
        chosen, share = kernels.best_class(likelihood, self._alias)
        silent = mass == 0
        chosen[silent], share[silent] = len(self._model.codes), 0.0
        return chosen, share

    def _reach(self, most: int) -> None:
        """Makes the table of worths reach texts of `most` bytes."""
        if most + 2 > len(self._worth):
            self._worth = self._worths(2 * most)

    @staticmethod
    def _worths(most: int) -> F64:
        from winnow.core.numerics import numeric
        from winnow.pipeline.measure.language_tables import WORTH_SCALE

        return np.rint(numeric.log(np.arange(1.0, most + 3)) * WORTH_SCALE)


def _texts(offsets: I64, data: U8) -> pl.Series:
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pl.Series(pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers))


def _composed(text: pl.Series) -> tuple[Spans, U8]:
    """(spans, bytes) of the texts as the model knows them: composed (NFC), in lower case where all is upper case."""
    shouted = text.str.contains(r"\p{Uppercase}") & ~text.str.contains(r"[\p{Lowercase}\p{Lt}]")
    if shouted.any():
        text = text.scatter(shouted.arg_true(), text.filter(shouted).str.to_lowercase())
    wide = text.str.len_bytes() != text.str.len_chars()
    if wide.any():
        text = text.scatter(wide.arg_true(), text.filter(wide).str.normalize("NFC"))
    return spans_of(text)


def spans_of(text: pl.Series) -> tuple[Spans, U8]:
    """(first bytes and bytes behind the last i64[texts], bytes) of a column of texts without nulls."""
    offsets, data = utf8_buffers(text.to_arrow(compat_level=pl.CompatLevel.oldest()))
    data = data.view()
    data.flags.writeable = False  # as in every batch that has bytes: kernels are compiled once
    return (offsets[:-1].copy(), offsets[1:].copy()), data


class FastText:
    """A fastText classifier; `short`: its labels as short codes (`language_codes.short_code`), added up.

    Raises: ConfigError where the file is missing or no fastText classifier.
    """

    def __init__(self, files: list[str], *, short: bool, count: Callable[[str, int], None] | None = None) -> None:
        if len(files) != 1:
            raise ConfigError(f"model_file matches {len(files)} files", where="model_file", hint="name exactly one")
        self.model = Predictor(Path(files[0]), count=count)
        names = [label.removeprefix("__label__") for label in self.model.labels]
        codes = [short_code(name) if short else name for name in names]
        known = {code: at for at, code in enumerate(dict.fromkeys(codes))}
        self._id_of = np.array([*(known[code] for code in codes), len(known)], dtype=np.int64)  # last: no label
        self._first = min(_NEAR, len(names)) if len(known) < len(names) else 1
        self.codes = pl.Series([*known, UNDETERMINED], dtype=pl.String)

    def __call__(self, spans: Spans, data: U8, limits: I64, pieces: int) -> tuple[I64, F64]:
        """See `Judge`; line breaks are read as spaces."""
        from winnow.pipeline.measure import language_kernels as kernels

        lines = _texts(*kernels.samples(spans, data, limits, pieces))
        if self._first == 1:
            labels, shares = self.model.likeliest(lines)
            return self._id_of[labels], np.clip(shares.astype(np.float64), 0.0, 1.0)
        scores = self.model.every(lines)
        near = np.argsort(-scores, axis=1, kind="stable")[:, : self._first]
        shares = np.maximum(np.take_along_axis(scores, near, axis=1).astype(np.float64), 0.0)
        ids, added = self._id_of[near], np.zeros(near.shape)
        for place in range(self._first):  # in the order of the labels, so that sums are the same everywhere
            added += np.where(ids == ids[:, place : place + 1], shares[:, place : place + 1], 0.0)
        best = added.argmax(axis=1)
        rows = np.arange(len(lines))
        ids = np.where(added[rows, best] > 0.0, ids[rows, best], len(self.codes) - 1)
        return ids, np.clip(added[rows, best], 0.0, 1.0)

    def whole(self, spans: Spans, data: U8) -> tuple[I64, F64]:
        """As a call without limits."""
        return self(spans, data, spans[1] - spans[0], 1)
