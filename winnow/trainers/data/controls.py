"""Control tokens: an id before a document that says what kind of document it is.

A label (`aligned`, a bucket, a source) becomes one new id. In a run the ids lie right below the end mark, where no text
can spell them: of a model of V ids with n controls they are V - 1 - n to V - 2, and the tokenizer leaves them free. In
text, for anybody's trainer, a control is `<|label|>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data.pack import Documents

NONE = ""  # of a document that was drawn to have no control; null: it has nothing to be labelled by
MOST_CONTROLS = 256
FORM = "<|{}|>"  # of a control in text
CONTROL, ENDS = "control", "control_ends"  # columns of a `conditional` stage


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Labels in the order of their ids, and the id of the first."""

    labels: tuple[str, ...]
    first: int

    @property
    def ids(self) -> dict[str, int]:
        """Label -> id."""
        return {label: self.first + number for number, label in enumerate(self.labels)}

    def of(self, labels: pl.Series) -> npt.NDArray[np.int64]:
        """Id of every document's control, i64[documents]; -1 where it has none.

        Raises:
            DataError: a label is none of these.
        """
        known = pl.Series(self.labels, dtype=pl.String)
        found = labels.replace_strict(known, pl.Series(np.arange(len(known), dtype=np.int64)), default=-1)
        lost = labels.filter((found < 0) & labels.is_not_null() & (labels != NONE))
        if len(lost):
            raise DataError(f"{lost[0]!r} is none of the labels {', '.join(self.labels[:8])}", where="control")
        numbers = found.to_numpy()
        return np.where(numbers < 0, -1, numbers + self.first)


def labels_of(labels: pl.Series, *, most: int, where: str = "label") -> tuple[str, ...]:
    """The distinct labels of documents, sorted (those that are all whole numbers, as numbers).

    Raises:
        ConfigError: there are more than `most`.
    """
    found = labels.drop_nulls().unique().to_list()
    distinct = [label for label in found if label != NONE]
    if len(distinct) > most:
        raise ConfigError(
            f"{len(distinct):,} labels want as many control tokens, and {most} are reserved", where=where,
            hint=f"raise `controls` (to at most {MOST_CONTROLS}), or make fewer labels: `buckets`, or a coarser column",
        )  # fmt: skip
    if all(label.isdigit() for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def check_free(documents: Documents, *, first: int, count: int) -> None:
    """Check that no token of the documents has an id that is a control's.

    Raises:
        ConfigError: one has.
    """
    largest = int(documents.tokens.max(initial=0))
    if largest >= first:
        raise ConfigError(
            f"id {largest} of the tokenizer is to be one of {count} control tokens, from {first} on", where="vocab",
            hint=f"raise the model's `vocab` by {largest - first + 1} or more, so that the ids below the end mark are "
            "free, or let the tokenizer be fitted",
        )  # fmt: skip


def controlled(documents: Documents, control: npt.NDArray[np.int64]) -> Documents:
    """The documents with their control ids i64[documents] before their first tokens; -1: nothing is put there.

    A control is a token like any other: it is packed, predicted (from the end mark) and counted in a budget. Without a
    single control the documents are those that were given.
    """
    has = control >= 0
    if not has.any():
        return documents
    flat = np.insert(documents.tokens, documents.offsets[:-1][has], control[has].astype(documents.tokens.dtype))
    offsets = documents.offsets + np.concatenate(([0], np.cumsum(has, dtype=np.int64)))
    return Documents(doc_id=documents.doc_id, tokens=flat, offsets=offsets, weights=documents.weights)


def with_controls(tokenizer: str, controls: Controls) -> str:
    """The tokenizer's JSON with a special token `<|label|>` for each control, so that it reads and writes them.

    Raises:
        ConfigError: it would be given another id, or its text has one already.
    """
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as HfTokenizer

    known: Any = HfTokenizer.from_str(tokenizer)
    for label, number in controls.ids.items():
        text = FORM.format(label)
        if known.token_to_id(text) is not None:
            raise ConfigError(f"the tokenizer has a token {text!r} already", where="control", hint="rename the label")
        known.add_special_tokens([AddedToken(text, special=True, normalized=False)])
        if known.token_to_id(text) != number:
            raise ConfigError(f"the tokenizer gives {text!r} the id {known.token_to_id(text)}, not {number}",
                              where="control", hint="its ids have gaps: give another tokenizer")  # fmt: skip
    return str(known.to_str(pretty=False))
