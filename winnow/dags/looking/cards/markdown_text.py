"""Markdown in which no value can be anything but text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import orjson

from winnow.core.terminal import escaped

_MARKS = re.compile(r"([\\`*_{}\[\]#|~$]|^[-+=>]|(?<=\d)[.)](?=\s))")
_BAR = re.compile(r"(?<!\\)\|")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINKS = re.compile(r"(?i)(https?|ftp)(:)|(www)(\.)|(@)")


def plain(value: object) -> str:
    """A value as words of one line: no mark of Markdown, HTML, a link, a table or a control character works."""
    text = " ".join(escaped(str(value)).split())
    text = _MARKS.sub(r"\\\1", text)
    text = re.sub("[&<>]", lambda found: _HTML[found[0]], text)
    return _LINKS.sub(lambda m: f"{m[1]}&#58;" if m[2] else f"{m[3]}&#46;" if m[4] else "&#64;", text)


def code(value: object) -> str:
    """A value as a code span, of one line."""
    text = " ".join(escaped(str(value)).split())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    inner = f" {text} " if text.startswith("`") or text.endswith("`") else text
    return f"{fence}{inner}{fence}" if text else ""


def block(text: str, language: str = "") -> str:
    """Text in a fence that it cannot end."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence}{language}\n{escaped(text).rstrip()}\n{fence}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> Iterator[str]:
    """A table of cells that are Markdown already; the last `numbers` columns stand right."""
    yield _row(titles)
    right = len(titles) - numbers
    yield f"|{'|'.join('---:' if at >= right else '---' for at in range(len(titles)))}|"
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    """A row; a bar inside a code span ends no cell."""
    inside = [_BAR.sub(r"\\|", cell) for cell in cells]
    return f"| {' | '.join(inside)} |"


def front_matter(values: dict[str, object]) -> Iterator[str]:
    """A YAML head. Every text is quoted as JSON, which YAML reads: `no` stays Norwegian under every version of YAML."""
    yield "---"
    for name, value in values.items():
        yield from _yaml(name, value, "")
    yield "---"


def _yaml(name: str, value: object, indent: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{indent}{name}: {orjson.dumps(value).decode()}"
        return
    yield f"{indent}{name}:"
    for one in value:
        if not isinstance(one, dict):
            yield f"{indent}- {orjson.dumps(one).decode()}"
            continue
        lines = [line for key, inner in one.items() for line in _yaml(key, inner, f"{indent}  ")]
        yield f"{indent}- {lines[0].strip()}"
        yield from lines[1:]
