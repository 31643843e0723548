"""Files of questions as targets: one JSON object a line, in the forms that evaluation suites are published in.

| format         | fields read                                                   | becomes                         |
|----------------|---------------------------------------------------------------|---------------------------------|
| pairs          | sentence_good, sentence_bad                                   | two whole sentences, good right |
| schema         | context_options, continuation, gold                           | the end, after each context     |
| choice         | query, choices, gold                                          | each choice after the query     |
| rendered       | doc_to_text, doc_to_choice, doc_to_target                     | as `choice`                     |
| question       | question, choices (texts, or {text, label}), and the right one| as `choice`, after the template |
|                | in answer, answerKey, gold or label                           |                                 |
| continuation   | context, continuation; or context, answer; or doc_to_text,    | the answer after the context    |
|                | doc_to_target; or prompt, canonical_solution                  |                                 |
| open_question  | question, answer                                              | the answer after the template   |
| labels         | text, label                                                   | a text for a probe              |

A record whose object lies in a field `doc` is read from there. `auto` takes the first format of this table, in
this order, whose fields a line has. Other fields are not read, and their names are reported. A line that fits none
is an error that names it: an item left out would change the target.

Context and answer meet at `delimiter`; one of white space alone is left out where there is white space already.
White space that ends the context belongs to the scored text, as it does in running text.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from winnow.core.errors import DataError
from winnow.core.store.packing import unpacked
from winnow.trainers.evaluate.suites import Suite, TargetKind

Record = Mapping[str, Any]
QUESTION = "Question: {question}\nAnswer:"
_RIGHT = ("answer", "answerKey", "gold", "label")


class _NotThisError(Exception):
    """The record's fields have values that cannot be read."""


@dataclass(frozen=True)
class Item:
    """One item: (context, scored) per request, and the number of the right one."""

    requests: tuple[tuple[str, str], ...]
    gold: int
    label: str = ""


@dataclass(frozen=True)
class Joint:
    """How context and answer meet."""

    delimiter: str = " "
    question: str = QUESTION

    def request(self, context: str, answer: str) -> tuple[str, str]:
        """(context without the white space at its end, scored text)."""
        spaced = not context or context[-1].isspace() or answer[:1].isspace()
        joint = "" if spaced and not self.delimiter.strip() else self.delimiter
        left = context + joint
        bare = left.rstrip()
        return bare, left[len(bare) :] + answer

    def ask(self, question: str) -> str:
        """The question in its template."""
        return self.question.replace("{question}", question)


@dataclass(frozen=True)
class Format:
    """A form of record: fields it must have, the kind of target it makes, and how."""

    name: str
    kind: TargetKind
    required: tuple[str, ...]
    one_of: tuple[str, ...]
    parse: Callable[[Record, Joint], Item]

    def fits(self, record: Record) -> bool:
        """True where the record has the fields."""
        return all(f in record for f in self.required) and (not self.one_of or any(f in record for f in self.one_of))


@dataclass
class Parsed:
    """The items of all files, and what was not read."""

    formats: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


def parse_files(
    paths: Sequence[Path], *, kind: str = "auto", delimiter: str = " ", question: str = QUESTION
) -> tuple[Suite, dict[str, Any]]:
    """(suite, {"formats", "fields_not_read"}) of the lines of all files, in the order of files and lines.

    Raises:
        DataError: a line is no JSON object of a known form or of the first line's kind; there is no line.
    """
    joint, parsed = Joint(delimiter, question), Parsed()
    items: list[Item] = []
    names: list[str] = []
    kind_of_target: TargetKind | None = None
    for path, label in zip(paths, _labels(paths), strict=True):
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            where = f"{label}:{number}"
            form, item = _item(line, joint, parsed, kind=kind, where=where)
            kind_of_target = kind_of_target or form.kind
            if form.kind != kind_of_target:
                raise DataError(f"a line of kind {form.kind!r} in a target of kind {kind_of_target!r}", where=where)
            items.append(item)
            names.append(where)
    if kind_of_target is None:
        raise DataError("the target has no item", where=", ".join(_labels(paths)))
    facts = {"formats": sorted(parsed.formats), "fields_not_read": sorted(parsed.ignored)}
    return _suite(kind_of_target, items, names), facts


def _item(line: bytes, joint: Joint, parsed: Parsed, *, kind: str, where: str) -> tuple[Format, Item]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DataError(f"no JSON: {error}", where=where) from error
    if not isinstance(record, dict):
        raise DataError("the line is no JSON object", where=where)
    form = _format_of(record, kind)
    if form is None and isinstance(record.get("doc"), dict):
        record = record["doc"]
        form = _format_of(record, kind)
    if form is None:
        raise DataError(
            f"no known form has the fields {', '.join(sorted(record)) or '(none)'}",
            where=where,
            hint=_needed(kind),
        )
    try:
        item = form.parse(record, joint)
    except _NotThisError as error:
        raise DataError(f"{form.name}: {error}", where=where) from None
    parsed.formats.add(form.name)
    parsed.ignored |= set(record) - {*form.required, *form.one_of}
    return form, item


def _format_of(record: Record, kind: str) -> Format | None:
    return next((form for form in FORMATS if kind in ("auto", form.name) and form.fits(record)), None)


def _needed(kind: str) -> str:
    forms = [form for form in FORMATS if kind in ("auto", form.name)]
    choices = {" + ".join((*f.required, *(["|".join(f.one_of)] if f.one_of else []))): None for f in forms}
    return f"a line has one of: {'; '.join(choices)}"


def _suite(kind: TargetKind, items: Sequence[Item], names: Sequence[str]) -> Suite:
    counts = np.array([len(item.requests) for item in items], dtype=np.int64)
    gold = np.array([item.gold for item in items], dtype=np.int64)
    chance = np.zeros(len(items))
    if kind == "choices":
        chance = 1.0 / counts
    elif kind == "labels":
        labels = sorted({item.label for item in items})
        gold = np.array([labels.index(item.label) for item in items], dtype=np.int64)
        chance = np.full(len(items), np.bincount(gold).max() / len(gold))  # always the most frequent label
    return Suite(
        kind=kind,
        names=pl.Series(names, dtype=pl.String),
        first=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        gold=gold,
        chance=chance,
        context=pl.Series([c for item in items for c, _ in item.requests], dtype=pl.String),
        scored=pl.Series([s for item in items for _, s in item.requests], dtype=pl.String),
    )


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a plain, .gz or .zst file; a byte order mark is no content."""
    with path.open("rb") as raw:
        yield from _without_mark(io.BufferedReader(unpacked(raw, path.name)))


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        yield line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line


def _labels(paths: Sequence[Path]) -> list[str]:
    """Names of files, as short as they can be without two being equal."""
    deepest = max((len(path.parts) for path in paths), default=1)
    for depth in range(1, deepest + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _text(record: Record, name: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise _NotThisError(f"{name} is no text")
    return value


def _answer(text: str) -> str:
    if not text.strip():
        raise _NotThisError("the scored text is empty")
    return text


def _texts(record: Record, name: str) -> list[str]:
    value = record[name]
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _NotThisError(f"{name} is no list of texts")
    if len(value) < 2:
        raise _NotThisError(f"{name} has {len(value)} entries, and must have at least 2")
    return value


def _index(value: Any, size: int, *, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _NotThisError(f"{name} is {value!r}, and must be a number from 0")
    if not 0 <= value < size:
        raise _NotThisError(f"{name} is {value}, not in 0 .. {size - 1}")
    return value


def _pairs(record: Record, joint: Joint) -> Item:
    return Item(tuple(("", _answer(_text(record, f"sentence_{which}"))) for which in ("good", "bad")), 0)


def _schema(record: Record, joint: Joint) -> Item:
    contexts, end = _texts(record, "context_options"), _answer(_text(record, "continuation"))
    return Item(tuple(joint.request(c, end) for c in contexts), _index(record["gold"], len(contexts), name="gold"))


def _choice(record: Record, joint: Joint) -> Item:
    choices = _texts(record, "choices")
    gold = _index(record["gold"], len(choices), name="gold")
    return Item(tuple(joint.request(_text(record, "query"), c) for c in choices), gold)


def _rendered(record: Record, joint: Joint) -> Item:
    choices = _texts(record, "doc_to_choice")
    gold = _right(record["doc_to_target"], choices, [])
    return Item(tuple(joint.request(_text(record, "doc_to_text"), c) for c in choices), gold)


def _question(record: Record, joint: Joint) -> Item:
    choices, labels = record["choices"], []
    if isinstance(choices, dict) and "text" in choices:
        labels = [str(label) for label in choices.get("label", [])]
        choices = choices["text"]
    texts = _texts({"choices": choices}, "choices")
    gold = _right(next(record[name] for name in _RIGHT if name in record), texts, labels)
    context = joint.ask(_text(record, "question"))
    return Item(tuple(joint.request(context, text) for text in texts), gold)


def _right(value: Any, choices: Sequence[str], labels: Sequence[str]) -> int:
    """The right choice's number: a number from 0, a label, the choice itself, a letter from A, or digits."""
    if not isinstance(value, str):
        return _index(value, len(choices), name="the right answer")
    for known in (labels, choices):
        if list(known).count(value) == 1:
            return list(known).index(value)
    if len(value) == 1 and "A" <= value <= "Z":
        return _index(ord(value) - ord("A"), len(choices), name="the right answer")
    if value.isdecimal():
        return _index(int(value), len(choices), name="the right answer")
    raise _NotThisError(f"{value!r} is none of the choices")


def _continuation(context: str, answer: str, *, spaced: bool = True) -> Callable[[Record, Joint], Item]:
    def parse(record: Record, joint: Joint) -> Item:
        both = _text(record, context), _answer(_text(record, answer))
        return Item((joint.request(*both) if spaced else both,), 0)

    return parse


def _open_question(record: Record, joint: Joint) -> Item:
    return Item((joint.request(joint.ask(_text(record, "question")), _answer(_text(record, "answer"))),), 0)


def _labelled(record: Record, joint: Joint) -> Item:
    label = record["label"]
    if isinstance(label, float | list | dict) or label is None:
        raise _NotThisError(f"label is {label!r}, and must be a text or a whole number")
    return Item((("", _answer(_text(record, "text"))),), 0, label=str(label))


FORMATS = (
    Format("pairs", "choices", ("sentence_good", "sentence_bad"), (), _pairs),
    Format("schema", "choices", ("context_options", "continuation", "gold"), (), _schema),
    Format("choice", "choices", ("query", "choices", "gold"), (), _choice),
    Format("rendered", "choices", ("doc_to_text", "doc_to_choice", "doc_to_target"), (), _rendered),
    Format("question", "choices", ("question", "choices"), _RIGHT, _question),
    Format("continuation", "continuation", ("context", "continuation"), (), _continuation("context", "continuation")),
    Format("continuation", "continuation", ("context", "answer"), (), _continuation("context", "answer")),
    Format("continuation", "continuation", ("doc_to_text", "doc_to_target"), (),
           _continuation("doc_to_text", "doc_to_target")),
    Format("continuation", "continuation", ("prompt", "canonical_solution"), (),
           _continuation("prompt", "canonical_solution", spaced=False)),
    Format("open_question", "continuation", ("question", "answer"), (), _open_question),
    Format("labels", "labels", ("text", "label"), (), _labelled),
)  # fmt: skip
NAMES = ("auto", *dict.fromkeys(form.name for form in FORMATS))
