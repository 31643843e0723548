"""What an operator says of its stage while it works: metrics, and remarks.

Notes travel in receipts and end in the manifest's `metrics`; remarks are the list among them that is named `remarks`.
Neither is part of any digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from winnow.core.errors import ContractError

REMARKS = "remarks"  # the name in a stage's metrics that no `note` may have
MOST_NOTED_BYTES = 256 * 1024  # of JSON, per stage
MOST_REMARKS, MOST_REMARK_CHARS = 20, 1000  # per stage; of one
_MORE = f"... and more: the first {MOST_REMARKS} remarks are told"


def noted(notes: Mapping[str, Any], name: str, value: Any) -> Any:
    """The value as plain JSON, keys sorted: what a receipt gives back.

    Raises: ContractError for what is no JSON, for a second value of one name, for more than 256 KiB in all.
    """
    import orjson

    if not isinstance(name, str) or not name:
        raise ContractError(f"{name!r} cannot name a metric", where="ctx.note", hint="a text of one letter or more")
    if name == REMARKS:
        raise ContractError(f"{name!r} is no metric", where="ctx.note", hint="`ctx.remark(sentence)` adds one")
    try:
        made = orjson.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS))
    except TypeError as error:
        raise ContractError(f"metric {name!r} is no JSON: {error}", where="ctx.note", hint="numbers, texts, lists, "
                            "objects with texts as keys") from error  # fmt: skip
    if name in notes and notes[name] != made:
        raise ContractError(f"metric {name!r} is noted twice, with different values", where="ctx.note")
    size = len(orjson.dumps({**notes, name: made}))
    if size > MOST_NOTED_BYTES:
        hint = "note what a person reads; tables belong in columns or files"
        raise ContractError(f"the noted metrics have {size:,} bytes of at most {MOST_NOTED_BYTES:,}", hint=hint)
    return made


def remarked(notes: Mapping[str, Any], sentence: Any) -> list[str]:
    """The stage's remarks with one more; the same sentence counts once, and what is too many is said to be.

    Raises: ContractError for what is no text, or an empty one.
    """
    if not isinstance(sentence, str) or not sentence.strip():
        hint = "one sentence: what was found with its figure, and what to do"
        raise ContractError(f"{sentence!r} is no remark", where="ctx.remark", hint=hint)
    line = " ".join(sentence.split())
    line = line if len(line) <= MOST_REMARK_CHARS else line[: MOST_REMARK_CHARS - 1] + "…"
    return _bounded([*notes.get(REMARKS, ()), line])


def merged(many: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Notes of several receipts as one: of metrics the later one, of remarks all."""
    out: dict[str, Any] = {}
    for notes in many:
        add(out, notes)
    return out


def add(into: MutableMapping[str, Any], notes: Mapping[str, Any]) -> None:
    """More notes beside those that are there, as `merged` puts them together."""
    said = [*into.get(REMARKS, ()), *notes.get(REMARKS, ())]
    into.update(notes)
    if said:
        into[REMARKS] = _bounded(said)


def metrics_alone(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's metrics without its remarks."""
    return {name: value for name, value in metrics.items() if name != REMARKS}


def _bounded(lines: Iterable[str]) -> list[str]:
    unique = [*dict.fromkeys(lines)]
    full = unique[:MOST_REMARKS]
    return full if len(unique) == len(full) else [*full, _MORE]
