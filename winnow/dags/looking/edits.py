"""What editors changed in one document, for people: `winnow why`, samples.

    {"changes": how many, "bytes": [before, after], "shown": [{"start", "stop", "before", "after"}], "taken_by": ""}

Of a text that was taken from a page there are no changes to show: `taken_by` names the extractor, and the first of
`bytes` is the page's; of one that was chosen among several `chosen` says which. Positions are bytes in the text that
the editor read; `before` and `after` are cut to a line's length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from winnow.core.operators.edit import NEW, STARTS, STOPS
from winnow.core.operators.retext import Retext
from winnow.core.store.schema import STATE, STATE_FAILED, STATE_MASKED
from winnow.core.terminal import Lines, counted, escaped
from winnow.dags.looking.excerpts import visible
from winnow.dags.looking.finished import FinishedStage

HIDDEN = ("text", "text_hash", STARTS, STOPS, NEW)  # of an editor's columns: what is shown as changes
MOST_SHOWN, CHARS = 10, 120


def is_editor(view: FinishedStage) -> bool:
    """Whether a stage gives its documents another text."""
    return STARTS in view.outputs or _takes(view)


def _takes(view: FinishedStage) -> bool:
    """Whether it takes the text from a page, whole."""
    declared = view.declared
    return declared is not None and issubclass(declared, Retext) and declared.whole


def edits_of(view: FinishedStage, unit: str, row: int) -> dict[str, Any] | None:
    """What an editor changed in one row; None for other stages, and where it changed nothing."""
    if not is_editor(view):
        return None
    if _takes(view):
        return _taken(view, unit, row)
    own = view.values([STARTS, STOPS, NEW, "text_bytes"], unit, row)
    if own.get(STARTS) is None:
        return None
    read = view.input_values(["text", "text_bytes"], unit, row)
    data = str(read["text"] or "").encode()
    changes = list(zip(own[STARTS], own[STOPS], own[NEW], strict=True))
    shown = [
        {"start": start, "stop": stop, "before": _cut(data[start:stop].decode(errors="replace")), "after": _cut(new)}
        for start, stop, new in changes[:MOST_SHOWN]
    ]
    sizes = [read["text_bytes"], own["text_bytes"]]
    return {"changes": len(changes), "bytes": sizes, "shown": shown, "taken_by": ""}


def _taken(view: FinishedStage, unit: str, row: int) -> dict[str, Any] | None:
    """That the text was taken from a page; None for a row that the extractor was not asked about, or failed on."""
    operator = view.operator
    choice = operator.choice if isinstance(operator, Retext) else ""
    own = view.values([STATE, "text_bytes", *([choice] if choice else [])], unit, row)
    if own.get(STATE) in (STATE_MASKED, STATE_FAILED):
        return None
    if choice and isinstance(operator, Retext):
        return _chosen(operator.chooses_from(), own[choice], own["text_bytes"])
    page = view.operator.beside()[0] if isinstance(view.operator, Retext) else "text"
    column = "text_bytes" if page == "text" else page
    read = view.input_values([column], unit, row).get(column)
    before = len(read.encode()) if isinstance(read, str) else read or 0
    return {"changes": 0, "bytes": [before, own["text_bytes"]], "shown": [], "taken_by": view.operator_name}


def _chosen(texts: Sequence[str], number: int | None, size: int) -> dict[str, Any]:
    """That the text is one of several."""
    which = (
        f"{texts[number - 1]} (number {number} of {len(texts)})"
        if number
        else f"none of {', '.join(texts)}: none passes"
    )
    return {"changes": 0, "bytes": [size, size], "shown": [], "taken_by": "", "chosen": which}


def edits_behind(view: FinishedStage, unit: str, row: int) -> Iterator[dict[str, Any]]:
    """What the editors of a stage's rows changed in one of them, each with its name, in the order of the data."""
    for stage in view.run.beside(view):
        found = edits_of(stage, unit, row) if unit in stage.parts else None
        if found is not None:
            yield {"stage": stage.shown, **found}


def told(found: Mapping[str, Any]) -> str:
    """`3 changes, 120 -> 90 bytes`; `text taken from the page by main_text, 900 -> 90 bytes`."""
    before, after = found["bytes"]
    if found.get("chosen"):
        return f"the text is {found['chosen']}, {after:,} bytes"
    if found["taken_by"]:
        return f"text taken from the page by {found['taken_by']}, {before:,} -> {after:,} bytes"
    return f"{counted(found['changes'], 'change')}, {before:,} -> {after:,} bytes"


def change_lines(found: Mapping[str, Any], indent: str) -> Lines:
    """(style, line) of each change that is shown: what stood there, what stands there now."""
    for one in found["shown"]:
        yield "red", f"{indent}- {one['start']:,}: {escaped(one['before'])}"
        if one["after"]:
            yield "green", f"{indent}+ {escaped(one['after'])}"
    more = found["changes"] - len(found["shown"])
    if more > 0:
        yield "dim", f"{indent}and {counted(more, 'more change')}"


def _cut(text: str) -> str:
    text = visible(text).replace("\n", "\u21b5")
    return text if len(text) <= CHARS else f"{text[: CHARS // 2]} ... {text[-CHARS // 2 :]}"


__all__ = ["HIDDEN", "change_lines", "edits_behind", "edits_of", "is_editor", "told"]
