"""What editors changed in one document, for people: `winnow why`, samples.

    {"changes": how many, "bytes": [before, after], "shown": [{"start", "stop", "before", "after"}]}

Positions are bytes in the text that the editor read; `before` and `after` are cut to a line's length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from winnow.core.operators.edit import NEW, STARTS, STOPS
from winnow.core.terminal import Lines, counted, escaped
from winnow.dags.looking.excerpts import visible
from winnow.dags.looking.finished import FinishedStage

HIDDEN = ("text", "text_hash", STARTS, STOPS, NEW)  # of an editor's columns: what is shown as changes
MOST_SHOWN, CHARS = 10, 120


def is_editor(view: FinishedStage) -> bool:
    """Whether a stage gives its documents another text."""
    return STARTS in view.outputs and "text" in view.outputs


def edits_of(view: FinishedStage, unit: str, row: int) -> dict[str, Any] | None:
    """What an editor changed in one row; None for other stages, and where it changed nothing."""
    if not is_editor(view):
        return None
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
    return {"changes": len(changes), "bytes": [read["text_bytes"], own["text_bytes"]], "shown": shown}


def edits_behind(view: FinishedStage, unit: str, row: int) -> Iterator[dict[str, Any]]:
    """What the editors of a stage's rows changed in one of them, each with its name, in the order of the data."""
    for stage in view.run.beside(view):
        found = edits_of(stage, unit, row) if unit in stage.parts else None
        if found is not None:
            yield {"stage": stage.shown, **found}


def told(found: Mapping[str, Any]) -> str:
    """`3 changes, 120 -> 90 bytes`."""
    before, after = found["bytes"]
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
