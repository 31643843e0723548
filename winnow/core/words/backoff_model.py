r"""Back-off n-gram language models as KenLM has them: texts to nats, by a table that is memory-mapped.

Words are what white space separates (blank, \t \n \v \f \r and NUL, as `lmplz` and `query` split; other white space of
Unicode is part of a word); `unit: characters` takes every character, and white space between two as one. A sentence is
a line, or the whole document; each begins behind <s> and ends in </s>, which is scored like a word. A word that the
model does not know costs what <unk> does. The same ARPA file gives what KenLM gives, but for a literal <s> or </s> in
a text, which is an unknown word here and a marker there.

A model on disk is a folder's `ngram.npy` (the table, u64[slots, 2], 32 bytes per n-gram) and `ngram.json` (order and
how texts are cut).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.words.text import utf8_buffers

Unit = Literal["words", "characters"]
Sentences = Literal["line", "document"]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]
Singles = npt.NDArray[np.float32]

TABLE, ABOUT = "ngram.npy", "ngram.json"
VERSION = 3  # of the layout and of the keys
LN_10 = 2.302585092994046
LOAD = 2  # slots per n-gram
LINE = 4  # slots that share a line of the cache
MAX_ORDER = 6
MISSING_UNK = -100.0  # log10 of an unknown word where a model has no <unk>, as in KenLM


@dataclass(frozen=True, kw_only=True)
class TextForm:
    """How texts become tokens."""

    unit: Unit = "words"
    sentences: Sentences = "line"
    lower_case: bool = False


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Per text: nats f64, tokens i64 (with the ends of sentences), unknown i64; a text without a token has 0 of all."""

    nats: Floats
    tokens: Longs
    unknown: Longs


class BackoffModel:
    """A back-off model of n-grams up to `order`, ready to score."""

    def __init__(self, table: Keys, *, order: int, form: TextForm, closed: bool = True,
                 about: Mapping[str, Any] | None = None) -> None:  # fmt: skip
        self.table, self.order, self.form, self.closed, self.about = table, order, form, closed, dict(about or {})

    def score(self, texts: pa.Array | pa.ChunkedArray) -> Scores:
        """Nats, tokens and unknown words of every text; a null is a text without tokens.

        Cost: one pass over the bytes, at most `order` looks into the table per token; no memory per token.
        """
        return self._scored(texts, np.empty(0, dtype=np.float32))

    def nats(self, texts: pa.Array | pa.ChunkedArray) -> tuple[Floats, Longs]:
        """(nats f64[texts], tokens i64[texts])."""
        found = self.score(texts)
        return found.nats, found.tokens

    def token_nats(self, texts: pa.Array | pa.ChunkedArray) -> tuple[Longs, Singles]:
        """(offsets i64[texts + 1], nats f32[tokens]): every token's, the end of each sentence among them."""
        from winnow.core.words import backoff_kernels as kernels

        offsets, data = self._buffers(texts)
        counted = kernels.num_tokens(offsets, data, *self._codes())
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counted)])
        each = np.empty(int(starts[-1]), dtype=np.float32)
        self._scored(texts, each)
        return starts, each * np.float32(-LN_10)

    def save(self, folder: Path) -> None:
        """Write `ngram.npy` and `ngram.json`, which `ngram_files.open_ngram` reads."""
        np.save(folder / TABLE, self.table, allow_pickle=False)
        said = {**self.about, "version": VERSION, "order": self.order, "closed": self.closed,
                "form": asdict(self.form)}  # fmt: skip
        (folder / ABOUT).write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _scored(self, texts: pa.Array | pa.ChunkedArray, each: Singles) -> Scores:
        from winnow.core.words import backoff_kernels as kernels

        offsets, data = self._buffers(texts)
        log10, tokens, unknown, _ = _room(len(offsets) - 1)
        kernels.score_texts(
            offsets, data, self.table, self.order, self.closed, *self._codes(),
            log10, tokens, unknown, each,
        )  # fmt: skip
        return Scores(nats=log10 * -LN_10 + 0.0, tokens=tokens, unknown=unknown)

    def _buffers(self, texts: pa.Array | pa.ChunkedArray) -> tuple[Longs, npt.NDArray[np.uint8]]:
        return text_buffers(texts, self.form)

    def _codes(self) -> tuple[int, int]:
        return unit_code(self.form), sentence_code(self.form)


def model_of(
    keys: Keys,
    log10: Singles,
    backoff: Singles,
    *,
    order: int,
    form: TextForm,
    about: Mapping[str, Any],
    endings: Keys | None = None,
) -> BackoffModel:
    """A model of n-grams by key, in any order: the same table for the same n-grams.

    `endings`: the keys of all that n-grams of 2 and more words end in; None where each is known to be an n-gram.

    Raises: DataError where two n-grams have one key.
    """
    from winnow.core.words import backoff_kernels as kernels

    if kernels.UNK not in keys[:3]:
        keys = np.append(keys, kernels.UNK)
        log10, backoff = np.append(log10, np.float32(MISSING_UNK)), np.append(backoff, np.float32(0))
    ascending = np.argsort(keys)  # each is there once, or it is refused below: no need of a stable sort, 3 times slower
    table = _lines(len(keys) * LOAD // LINE + 2)
    columns = [np.ascontiguousarray(one[ascending]) for one in (keys, log10, backoff)]
    if not kernels.fill_table(*columns, table, table.view(np.float32)):
        raise DataError("two n-grams of the model are the same", where="n-grams", hint="is an n-gram listed twice?")
    closed = endings is None or bool(kernels.all_found(endings, table))
    return BackoffModel(table, order=order, form=form, closed=closed, about=about)


def text_buffers(texts: pa.Array | pa.ChunkedArray, form: TextForm) -> tuple[Longs, npt.NDArray[np.uint8]]:
    """(offsets i64[texts + 1], bytes) of the texts in the form's case; a null is empty."""
    import pyarrow.compute as pc

    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if array.null_count:
        array = array.fill_null("")
    if form.lower_case:
        array = pc.utf8_lower(array)
    offsets, data = utf8_buffers(array)
    return _plain(offsets, np.int64), data


def unit_code(form: TextForm) -> int:
    """The kernels' number of the unit."""
    return 1 if form.unit == "characters" else 0


def sentence_code(form: TextForm) -> int:
    """The kernels' number of what a sentence is."""
    return 0 if form.sentences == "line" else 1


def _room(rows: int) -> tuple[Floats, Longs, Longs, Singles]:
    return (np.zeros(rows), np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64),
            np.empty(0, dtype=np.float32))  # fmt: skip


def _lines(number: int) -> Keys:
    """An empty table, its first slot at the beginning of a line of the cache."""
    room = np.zeros((number * LINE + LINE - 1, 2), dtype=np.uint64)
    skipped = -room.ctypes.data // room.strides[0] % LINE
    return room[skipped : skipped + number * LINE]


def _plain(values: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    return np.require(values, dtype=dtype, requirements=["C", "A"])
