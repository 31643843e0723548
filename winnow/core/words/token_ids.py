"""Texts -> token ids of a Hugging Face tokenizer: by gigatoken where it gives the library's ids, else by the library.

Nothing but speed depends on which: the first half megabyte is the library's, then gigatoken must give the ids of
`identity_texts` and, again and again as texts come, those of a sample of them. Where it does not, cannot or is not
installed, the library goes on, and `slow_remarks` says why.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.installing import install_extra
from winnow.core.words.distinct import distinct
from winnow.core.words.gigatoken_ids import Gigatoken
from winnow.core.words.identity_texts import identity_texts
from winnow.core.words.long_texts import cuts_between_words, groups
from winnow.core.words.text import utf8_buffers

SWITCH = "WINNOW_GIGATOKEN"  # 0: never
WORTH = 1 << 19  # bytes from which on loading and checking gigatoken pays
SPAN = 4 << 20  # bytes of texts given to gigatoken at once, but for a text that is longer
MOST_WORDS = 1000  # of the vocabulary that are compared
SAMPLE_TEXTS, SAMPLE_CHARS = 16, 1000  # of a batch that is compared
COUNTED = "tokenized_by:"  # counts of documents: "tokenized_by:gigatoken 0.10.0"; ": reason" behind it says why not

Ids = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]
_chosen: dict[str, Engine] = {}


class TokenIds:
    """Texts -> ids without special tokens of its own, of a `tokenizers.Tokenizer` that is this object's alone.

    Its truncation, padding and dropout are switched off: no text is cut short, and ids do not depend on the batch.
    """

    def __init__(self, tokenizer: Any, *, count: Callable[[str, int], None] | None = None) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if getattr(tokenizer.model, "dropout", None):
            tokenizer.model.dropout = None
        self.tokenizer = tokenizer
        self.counted: dict[str, int] = {}
        self._count = count
        self._cut = cuts_between_words(tokenizer)
        self._seen, self._due = 0, 0
        self._engine: Engine | None = None

    def __call__(self, texts: pl.Series) -> Iterator[tuple[Ints, Ids, Ints]]:
        """(rows, ids, ids per row) of one group of texts after the other; a row may come several times, in its order.

        `texts` has no nulls. Memory beside a group's ids: half a million characters' in the library, however long a
        text is; that of the longest text where the tokenizer cannot be cut between words.
        """
        offsets, data = utf8_buffers(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))
        self._seen += int(offsets[-1] - offsets[0])
        if len(texts) and self._seen >= max(WORTH, self._due):
            self._engine = self._engine or _engine_of(self.tokenizer)
            self._engine.compare(self.tokenizer, _sample(texts))
            self._due = 2 * self._seen
        start = 0
        while start < len(texts):
            stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + SPAN, side="right")) - 1)
            found = self._engine.ids(offsets[start : stop + 1], data) if self._engine else None
            self._tell(stop - start)
            if found is not None:
                yield np.arange(start, stop), *found
            else:
                yield from self._by_library(texts.slice(start, stop - start), start)
            start = stop

    def _by_library(self, texts: pl.Series, first: int) -> Iterator[tuple[Ints, Ids, Ints]]:
        for rows, pieces in groups(texts.to_list(), cut=self._cut):
            yield np.array(rows) + first, *by_library(self.tokenizer, pieces)

    def _tell(self, documents: int) -> None:
        name = COUNTED + (self._engine.told if self._engine else _library())
        self.counted[name] = self.counted.get(name, 0) + documents
        if self._count is not None:
            self._count(name, documents)


class Engine:
    """gigatoken for one tokenizer in this process, or why there is none."""

    def __init__(self, tokenizer: Any) -> None:
        self._fast: Gigatoken | None = None
        self.told = ""
        if os.environ.get(SWITCH) == "0":
            self.told = _library()
            return
        try:
            self._fast = Gigatoken(_source(tokenizer))
        except ImportError:
            self._give_up(f"gigatoken is not installed; {install_extra('fast')}")
        except BaseException as error:  # noqa: BLE001 - its panics are no Exception; `_said` raises what else is none
            self._give_up(f"gigatoken cannot read this tokenizer ({_said(error)})")
        else:
            self.told = f"gigatoken {importlib.metadata.version('gigatoken')}"
            self.compare(tokenizer, _hard_texts(tokenizer))

    def ids(self, offsets: Ints, data: npt.NDArray[np.uint8]) -> tuple[Ids, Ints] | None:
        """See `Gigatoken`; None where the library is to answer."""
        if self._fast is None:
            return None
        try:
            return self._fast(offsets, data)
        except BaseException as error:  # noqa: BLE001 - as above
            self._give_up(f"gigatoken failed ({_said(error)})")
            return None

    def compare(self, tokenizer: Any, texts: pl.Series) -> None:
        """Give gigatoken up where one of the texts has other ids in the library."""
        found = self.ids(*utf8_buffers(texts.to_arrow(compat_level=pl.CompatLevel.oldest())))
        if found is None:
            return
        ids, counts = by_library(tokenizer, texts.to_list())
        if np.array_equal(ids, found[0]) and np.array_equal(counts, found[1]):
            return
        ours, theirs = _lists(*found), _lists(ids, counts)
        unlike = [text for text, a, b in zip(texts.to_list(), ours, theirs, strict=True) if a != b]
        self._give_up(
            f"gigatoken gives other ids for {len(unlike):,} of {len(texts):,} texts, first {unlike[0][:24]!r}"
        )

    def _give_up(self, reason: str) -> None:
        self._fast, self.told = None, f"{_library()}: {reason}"


def by_library(tokenizer: Any, texts: list[str]) -> tuple[Ids, Ints]:
    """(ids u32 of all texts, their number per text i64[texts]) by `tokenizers`."""
    lists = [one.ids for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    counts = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    return np.fromiter(itertools.chain.from_iterable(lists), np.uint32, count=int(counts.sum())), counts


def slow_remarks(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A sentence for every reason why the library tokenised what gigatoken does several times as fast."""
    lines = []
    for name, documents in counts.items():
        by, _, reason = name.removeprefix(COUNTED).partition(": ")
        if name.startswith(COUNTED) and reason:
            lines.append(f"{documents:,} documents were tokenized by {by}, the slower way to the same ids: {reason}; "
                         f"{SWITCH}=0 says that this is meant")  # fmt: skip
    return tuple(lines)


def _engine_of(tokenizer: Any) -> Engine:
    """The engine of a tokenizer, chosen once per process."""
    state = f"{os.environ.get(SWITCH)}\0{tokenizer.encode_special_tokens}\0{tokenizer.to_str()}"
    import xxhash

    key = xxhash.xxh3_128_hexdigest(state.encode())
    if key not in _chosen:
        _chosen[key] = Engine(tokenizer)
    return _chosen[key]


def _source(tokenizer: Any) -> str:
    """The tokenizer's JSON; without its special tokens where texts that spell them stay texts."""
    import orjson

    known = orjson.loads(tokenizer.to_str())
    if tokenizer.encode_special_tokens:
        known["added_tokens"] = [token for token in known.get("added_tokens", ()) if not token.get("special")]
    return orjson.dumps(known).decode()


def _hard_texts(tokenizer: Any) -> pl.Series:
    import orjson

    added = orjson.loads(tokenizer.to_str()).get("added_tokens", ())
    size = tokenizer.get_vocab_size(with_added_tokens=False)
    own = tokenizer.decode_batch([[number] for number in range(0, size, max(1, size // MOST_WORDS))])
    return pl.Series(identity_texts(added, own), dtype=pl.String)


def _sample(texts: pl.Series) -> pl.Series:
    """A few of the texts, evenly drawn, their first characters."""
    rows = distinct(np.linspace(0, len(texts) - 1, SAMPLE_TEXTS).astype(np.int64))
    return texts.gather(rows).str.slice(0, SAMPLE_CHARS)


def _lists(ids: Ids, counts: Ints) -> list[list[int]]:
    return [part.tolist() for part in np.split(ids, np.cumsum(counts)[:-1])]


def _library() -> str:
    return f"tokenizers {importlib.metadata.version('tokenizers')}"


def _said(error: BaseException) -> str:
    """The first line of what was raised. Raises it again where it is no failure of gigatoken."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
