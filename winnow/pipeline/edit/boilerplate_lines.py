"""Lines and paragraphs of a page's furniture, found by what they say."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Context, Schema
from winnow.core.operators.contract import Meaning
from winnow.core.operators.edit import Edit, Edited
from winnow.core.operators.retext import asked_of
from winnow.core.words.splice import removed
from winnow.core.words.text import utf8_buffers, valid_mask

PHRASES = Path(__file__).parent / "boilerplate.yaml"
Ints = npt.NDArray[np.int64]
LEAST_PHRASE = 5  # characters of a phrase of one's own
_FOUND = "phrase:"  # counter: documents in which a phrase of one's own was found


@dataclass(frozen=True, kw_only=True)
class BoilerplateLines(Edit):
    """The text without lines about cookies, rights, sign-up and sharing; `boilerplate_share` of its bytes, in [0, 1].

    A line (`by: paragraphs`: a run of lines up to an empty one) of at most `longest` characters that holds one of the
    phrases goes, with the empty lines behind it. Phrases are those of `languages` in the data file beside this
    operator, and your own in `phrases`; ASCII letters match in any case, others as written, in capitals or with a first
    capital. Longer pieces stay: an article may speak of cookies. `boilerplate_lines` counts the pieces that went,
    `boilerplate_line_share` is their share of all pieces that are not empty (NeMo drops documents above 0.4: a clause),
    `boilerplate_phrase` the first phrase that was found, null where there is none.

    Raises: ConfigError for a language without phrases, a phrase of fewer than five characters, or no phrase at all.
    Cost: two passes over the bytes, whatever the number of phrases (Aho-Corasick).
    Source: own lists; the idea of phrases per paragraph after NeMo Curator's boilerplate filter
    """

    name: ClassVar[str] = "boilerplate_lines"
    meaning: ClassVar[Mapping[str, Meaning]] = {"phrases": "free", "languages": "closed"}

    by: Literal["lines", "paragraphs"] = "lines"
    languages: tuple[str, ...] = ("de", "en", "es", "fr", "it", "nl", "pl", "pt")  # (): `phrases` alone
    phrases: tuple[str, ...] = ()  # your own
    longest: int = 600  # characters of a piece that may go; 0: any

    def validate(self) -> None:
        """Raise ConfigError for what cannot find anything."""
        if self.longest < 0:
            raise ConfigError(f"longest is {self.longest}", where="longest", hint="0 or more; 0 is any length")
        known = listed_phrases()
        for language in self.languages:
            if language not in known:
                raise ConfigError(f"no phrases of {language!r}", where="languages", hint=did_you_mean(language, known))
        for phrase in self.phrases:
            if len(phrase.strip()) < LEAST_PHRASE or "\n" in phrase:
                raise ConfigError(f"{phrase!r} is no phrase of one line and {LEAST_PHRASE} characters or more",
                                  where="phrases", hint="shorter ones stand in ordinary text")  # fmt: skip
        if not self.languages and not self.phrases:
            raise ConfigError(
                "no phrase to look for", where="phrases", hint="name `languages`, or `phrases` of your own"
            )

    def measures(self) -> Schema:
        """Pieces that went, their shares, and the first phrase."""
        return {"boilerplate_lines": pa.int32(), "boilerplate_line_share": pa.float64(),
                "boilerplate_share": pa.float64(), "boilerplate_phrase": pa.large_string()}  # fmt: skip

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, object]) -> tuple[str, ...]:
        """Phrases of one's own that no document holds."""
        told, asked = super().remarks(counts, metrics), asked_of(counts)
        idle = [phrase for phrase in self.phrases if not counts.get(f"{_FOUND}{phrase.lower()}")]
        if idle and asked:
            more = f" and {len(idle) - 1:,} more of `phrases`" if len(idle) > 1 else ""
            told = (*told, f"no line of {asked:,} documents holds {idle[0]!r}{more}: look at its spelling")
        return told

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Load phrases and kernels; the first time on a machine they are compiled (seconds)."""
        listed = [phrase for language in self.languages for phrase in listed_phrases()[language]]
        wanted = sorted({form for phrase in (*listed, *self.phrases) for form in _forms(phrase)})
        own = {form.lower(): phrase.lower() for phrase in self.phrases for form in _forms(phrase)}

        def edit(batch: pa.RecordBatch) -> Edited:
            text = batch.column("text")
            offsets, data = utf8_buffers(text)
            texts = (np.ascontiguousarray(offsets), data, valid_mask(text))
            first, pieces = _cut(texts, paragraphs=self.by == "paragraphs")
            read = _texts_of(data, pieces[0], pieces[1])
            short = pieces[3] <= self.longest if self.longest else np.ones(len(read), dtype=np.bool_)
            gone = short & read.str.contains_any(wanted, ascii_case_insensitive=True).to_numpy()
            found = read.filter(pl.Series(gone)).str.extract_many(wanted, ascii_case_insensitive=True, overlapping=True)
            for form in found.explode(empty_as_null=False).str.to_lowercase() if own else ():
                if form in own:
                    ctx.count(f"{_FOUND}{own[form]}", 1)
            names = found.list.first().str.to_lowercase().to_list()
            return _edited(texts, first, pieces, gone, names)

        return edit

    def data(self) -> Mapping[str, Any]:
        """The phrases: other ones make another text."""
        return {language: list(listed_phrases()[language]) for language in self.languages}


@functools.cache
def listed_phrases() -> dict[str, tuple[str, ...]]:
    """Language -> its phrases, in small letters."""
    from ruamel.yaml import YAML

    held = YAML(typ="safe", pure=True).load(PHRASES.read_text(encoding="utf-8"))
    return {str(language): tuple(map(str, phrases)) for language, phrases in held.items()}


def _forms(phrase: str) -> set[str]:
    """The spellings of a phrase that are looked for; ASCII letters match in any case anyhow."""
    phrase = " ".join(phrase.split())
    cases = {phrase, phrase.lower(), phrase.upper(), phrase[:1].upper() + phrase[1:]}
    return cases | {case.replace("'", "\u2019") for case in cases}


def _cut(texts: Any, *, paragraphs: bool) -> tuple[Ints, tuple[Ints, ...]]:
    """(pieces before each row, (starts, ends, starts of the next ones, characters) of the pieces of a batch)."""
    from winnow.pipeline.edit import boilerplate_lines_kernels as kernels

    room = kernels.most_pieces(texts)
    pieces = tuple(np.zeros(room, dtype=np.int64) for _ in range(4))
    first = np.zeros(len(texts[0]), dtype=np.int64)
    used = kernels.pieces_of(texts, paragraphs, pieces, first)
    return first, tuple(each[:used] for each in pieces)


def _texts_of(data: npt.NDArray[np.uint8], starts: Ints, ends: Ints) -> pl.Series:
    """The pieces as texts of their own."""
    from winnow.pipeline.edit import boilerplate_lines_kernels as kernels

    offsets = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int64)
    held = np.zeros(int(offsets[-1]), dtype=np.uint8)
    kernels.gather(data, starts, offsets, held)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(held)]
    return pl.Series(pa.Array.from_buffers(pa.large_string(), len(starts), buffers), dtype=pl.String)


def _edited(texts: Any, first: Ints, pieces: tuple[Ints, ...], gone: npt.NDArray[np.bool_], names: Any) -> Edited:
    """The answer of a batch whose pieces `gone` go; `names` has the phrase of each of them."""
    from winnow.pipeline.edit import boilerplate_lines_kernels as kernels

    out = (*(np.zeros(int(gone.sum()), dtype=np.int64) for _ in range(3)), np.zeros(1, dtype=np.int64))
    rows = np.zeros(len(first), dtype=np.int64)
    kernels.spans_of(texts, (pieces[0], pieces[2]), first, gone, rows, out)
    starts, stops = (each[: out[3][0]] for each in out[:2])
    before = np.concatenate(([0], np.cumsum(gone)))[first]
    many, null = np.diff(before), ~texts[2]
    lost = np.diff(np.concatenate(([0], np.cumsum(stops - starts)))[rows])
    phrase = [names[at] if number else None for at, number in zip(before[:-1].tolist(), many.tolist(), strict=True)]
    columns = {
        "boilerplate_lines": pa.array(many.astype(np.int32), mask=null),
        "boilerplate_line_share": pa.array(many / np.maximum(np.diff(first), 1), mask=null),
        "boilerplate_share": pa.array(lost / np.maximum(np.diff(texts[0]), 1), mask=null),
        "boilerplate_phrase": pa.array(phrase, pa.large_string()),
    }
    return Edited(spans=removed(rows, starts, stops), columns=columns)
