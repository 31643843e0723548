"""What verbs print with: lines for people, one JSON object for programs, tables as wide as the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from winnow.core.terminal import console_on, escaped, say

if TYPE_CHECKING:
    from rich.console import Console

    from winnow.core.store.store import Store

__all__ = ["LOGS", "console_for", "grid", "print_json", "say", "show"]
PIPED_WIDTH = 120
LOGS: list[Store] = []  # the run root of this call: where a traceback of ours would go


def console_for(stream: Any) -> Console:
    """A console on a stream; where it is no terminal, as wide as COLUMNS says, else 120."""
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) > 0 else PIPED_WIDTH
    return console_on(stream, width=None if stream.isatty() else width)


def show(answer: dict[str, Any], lines: Callable[..., Iterable[tuple[str, str]]], *, json: bool) -> None:
    """One JSON object, or its lines."""
    if json:
        print_json(answer)
        return
    console = console_for(sys.stdout)
    say(console, lines(answer, width=console.width))


def print_json(value: Any) -> None:
    """A value as the last line of stdout."""
    import orjson

    sys.stderr.flush()
    sys.stdout.write(orjson.dumps(value).decode() + "\n")
    sys.stdout.flush()


def grid(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    """A table whose last column wraps."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, title in enumerate(titles):
        table.add_column(title, no_wrap=number < len(titles) - 1, style="bold" if number == 0 else "")
    for row in rows:
        table.add_row(*(Text(escaped(cell)) for cell in row))
    return table
