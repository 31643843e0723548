"""Records of evaluation files, and the text by which one is known."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow.parquet as pq

from winnow.core.errors import DataError
from winnow.core.store.packing import PACKED, UNPACKING_ERRORS, unpacked, without_packed

_PLAIN = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
SUFFIXES = (*(plain + packed for plain in _PLAIN for packed in ("", *PACKED)), ".parquet")
QUESTION = (  # fields of a question, in the order in which they are read
    "passage", "article", "context", "ctx", "instruction", "premise", "hypothesis", "goal", "story", "sentence",
    "sentence1", "sentence2", "sentence_good", "question", "query", "problem", "prompt", "doc_to_text", "input", "text",
)  # fmt: skip
ANSWER = ("continuation", "canonical_solution", "solution", "doc_to_target", "target", "answer", "answerKey", "gold",
          "label", "output", "completion")  # fmt: skip
CHOICES = ("choices", "options", "endings", "doc_to_choice", "context_options")
_LETTERS = "ABCDEFGHIJ"
MOST_BYTES = 4 << 30  # of one file when unpacked


def records_of(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number from 1, record) of a file.

    Raises: DataError where it cannot be read, or a record is no object.
    """
    try:
        found = _parquet(path) if path.name.endswith(".parquet") else _text(path)
        for number, record in enumerate(found, start=1):
            if not isinstance(record, Mapping):
                raise DataError("the record is no object", where=f"{path.name}:{number}")
            yield number, record["doc"] if isinstance(record.get("doc"), Mapping) else record
    except (*UNPACKING_ERRORS, pl.exceptions.PolarsError) as error:
        raise DataError(f"cannot read the records: {error}", where=path.name) from error


def item_of(record: Mapping[str, Any], fields: Sequence[str]) -> tuple[str, bool]:
    """(text of the item, whether its fields are known): question and right answer, or the fields asked for."""
    if fields:
        return "\n".join(filter(None, (_flat(record.get(name)) for name in fields))), True
    question = [_flat(record[name]) for name in QUESTION if name in record]
    if not any(question):
        return "\n".join(filter(None, map(_flat, record.values()))), False
    return "\n".join(filter(None, [*question, _answer(record)])), True


def _answer(record: Mapping[str, Any]) -> str:
    """The right answer: a text, or the choice that a number or letter names."""
    choices: Any = next((record[name] for name in CHOICES if record.get(name)), None)
    labels: Sequence[Any] = ()
    if isinstance(choices, Mapping):
        choices, labels = choices.get("text"), choices.get("label") or ()
    texts = [_flat(c.get("text") if isinstance(c, Mapping) else c) for c in choices or ()]
    value = next((record[name] for name in ANSWER if record.get(name) not in (None, "", [])), None)
    if texts and not isinstance(value, list):
        place = _place(value, labels, len(texts))
        if place is not None:
            return texts[place]
    return "" if isinstance(value, int | float) else _flat(value)


def _place(value: Any, labels: Sequence[Any], count: int) -> int | None:
    text = str(value).strip()
    if text in map(str, labels):
        return list(map(str, labels)).index(text)
    if text.isdigit():
        return int(text) if int(text) < count else None
    return _LETTERS.index(text) if len(text) == 1 and text in _LETTERS[:count] else None


def _flat(value: Any) -> str:
    """All texts in a value, one per line."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        value = list(value.values())
    return "\n".join(filter(None, map(_flat, value))) if isinstance(value, list | tuple) else ""


def _parquet(path: Path) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def _text(path: Path) -> Iterator[Any]:
    with path.open("rb") as raw:
        data = unpacked(raw, path.name).read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise DataError(f"the file has more than {MOST_BYTES:,} bytes unpacked", where=path.name)
    kind = without_packed(path.name).lower()
    if kind.endswith((".csv", ".tsv")):
        frame = pl.read_csv(io.BytesIO(data), separator="\t" if kind.endswith("tsv") else ",", infer_schema_length=0)
        yield from frame.iter_rows(named=True)
    elif kind.endswith(".json"):
        held = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
        several = held if isinstance(held, list) else next((v for v in held.values() if isinstance(v, list)), [held])
        yield from several
    else:
        for line in data.removeprefix(b"\xef\xbb\xbf").splitlines():
            if line.strip():
                yield orjson.loads(line)
