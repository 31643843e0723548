"""The one console, and short texts for it: counts, durations, values, tables of cells.

What is printed is shown as it is: no markup, no `:smile:` turned into a face, no colours guessed from digits; and what
a terminal would obey is escaped. Every other module prints through `console_on` and `say`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.core.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console

Lines = Iterator[tuple[str, str]]  # (style, line)

MOST_CHARS = 60  # of a value
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def escaped(text: str) -> str:
    r"""The text with control, direction and invisible characters as `\x1b` or `\u202e`; line ends and tabs stay."""
    return _UNSAFE.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 0x100 else f"\\u{ord(m[0]):04x}", text)


def console_on(stream: Any, *, width: int | None = None) -> Console:
    """The console on a stream that shows texts as they are."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def say(console: Console, lines: Iterable[tuple[str, str]]) -> None:
    """(style, line) pairs, one line each, whatever is in them."""
    for style, line in lines:
        console.print(escaped(line), style=style or None, soft_wrap=True)


class Forgiving:
    r"""A standard stream that outlives its reader and takes every character. Raises: StoreError where it is full.

    After `| head -1` has closed the pipe, what is written goes nowhere and the work goes on, so that the exit code is
    that of the work. Characters that the stream's encoding lacks are written as `\u2026`.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = Path(os.devnull).open("w", encoding="utf-8") if stream is None else stream  # noqa: SIM115
        if hasattr(self._stream, "reconfigure"):
            self._stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or forget where nobody reads."""
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self._forget(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or forget where nobody reads."""
        try:
            self._stream.flush()
        except OSError as error:
            self._forget(error)

    def _forget(self, error: OSError) -> None:
        if error.errno not in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL of a closed pipe
            what = f"cannot write to standard output: {error.strerror or error}"
            raise StoreError(what, hint="nothing else is wrong: make room, or print elsewhere") from error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def cut_to(text: str, chars: int) -> str:
    """The text, or its first characters and `...`: at most `chars` in all."""
    return text if len(text) <= chars else text[: chars - 3] + "..."


def short(value: Any) -> str:
    """A value as a short text, safe for a terminal."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "null" if value is None else escaped(str(value)).replace("\n", " ")
    return cut_to(text, MOST_CHARS)


def listed(values: Mapping[str, Any]) -> str:
    """`a = 1, b = null`."""
    return ", ".join(f"{k} = {short(v)}" for k, v in values.items())


def counted(number: int, noun: str) -> str:
    """'1 row', '2,000 rows'."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def tokens_text(number: int, estimated_by: str = "") -> str:
    """'4,951 tokens', or 'about 4,951 tokens (bytes/4)' where they are estimated."""
    return f"about {counted(number, 'token')} ({estimated_by})" if estimated_by else counted(number, "token")


def percent(share: float, digits: int = 1) -> str:
    """'42.0%', and never all or nothing for what is neither: 0.9999 is '>99.9%', 0.0001 is '<0.1%'."""
    text, least = f"{share:.{digits}%}", 10.0 ** (-2 - digits)
    if text == f"{0:.{digits}%}" and share > 0:
        return f"<{least:.{digits}%}"
    return f">{1 - least:.{digits}%}" if text == f"{1:.{digits}%}" and share < 1 else text


def duration(seconds: float) -> str:
    """'80ms', '0.8s', '42s', '3m 05s', '2h 10m'."""
    if seconds < 0.095:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def grid(rows: Iterable[Sequence[str]], *, indent: int = 2, left: int = 1) -> list[str]:
    """Rows of cells as lines: the first `left` columns flush left, the others right."""
    table = [list(r) for r in rows]
    widths = [max(len(r[i]) for r in table) for i in range(len(table[0]))] if table else []
    out = []
    for row in table:
        cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        out.append(" " * indent + "  ".join(cells).rstrip())
    return out
