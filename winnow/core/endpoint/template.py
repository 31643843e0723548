"""The text of a question: a file with named slots, filled from a document's columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from winnow.core.errors import ConfigError

SLOT = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")
MOST_BYTES = 1 << 20
GAP = "\n[...]\n"  # between the ends of a text that is too long
Long = Literal["head", "ends"]


def slots_of(template: str) -> tuple[str, ...]:
    """Names in `{{name}}`, each once, in order."""
    return tuple(dict.fromkeys(SLOT.findall(template)))


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its slots filled; what is filled in is not looked at again."""
    return SLOT.sub(lambda found: values[found[1]], template)


def template_in(paths: Sequence[Path | str], *, slots: Sequence[str], where: str) -> str:
    """The text of a template file, which has exactly these slots.

    Raises: ConfigError for no file or several, no UTF-8, more than a megabyte, and slots that nothing fills.
    """
    if len(paths) != 1:
        raise ConfigError(f"{len(paths)} files are named", where=where, hint="one file of text with {{text}} in it")
    path = Path(paths[0])
    if path.stat().st_size > MOST_BYTES:
        raise ConfigError(f"{path.name} is longer than {MOST_BYTES:,} bytes", where=where, hint="a page will do")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is no text in UTF-8", where=where) from error
    check_slots(text, slots, where=f"{where}: {path.name}")
    return text


def check_slots(template: str, slots: Sequence[str], *, where: str) -> None:
    """Raises: ConfigError where the template lacks a slot that is filled, or has one that is not."""
    found = slots_of(template)
    lacking = [name for name in slots if name not in found]
    unknown = [name for name in found if name not in slots]
    if lacking:
        hint = "write it where the value is to stand" + ("" if lacking == ["text"] else ", or take it out of `slots:`")
        raise ConfigError(f"{{{{{lacking[0]}}}}} does not occur", where=where, hint=hint)
    if unknown:
        raise ConfigError(f"nothing fills {{{{{unknown[0]}}}}}", where=where, hint=f"`slots: [{unknown[0]}]` names it")


def shown(text: str, *, max_chars: int, long: Long) -> tuple[str, bool]:
    """(what the model is shown of a text, whether that is less than all of it)."""
    if len(text) <= max_chars:
        return text, False
    if long == "head":
        return text[:max_chars], True
    half = max(1, (max_chars - len(GAP)) // 2)
    return text[:half] + GAP + text[len(text) - half :], True
