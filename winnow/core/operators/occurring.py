"""Names that a recipe declares and that the data must have: a share of a value that no document has is an error.

A misspelt value would otherwise give its share to the others without a word. Where a value may be missing, because it
is one of a list that serves many corpora or because a fold of a pool is small, the operator's field `absent: remark`
says so, and what is missing is a metric and a remark.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal

from winnow.core.errors import DataError

Absent = Literal["error", "remark"]  # what a declared value is that no document has

MOST_SHOWN = 20  # values in a hint
NEAR = 0.6  # likeness from which a name is taken for a misspelling


def not_there(names: Iterable[str], there: Mapping[str, int]) -> list[str]:
    """The declared names that nothing has, in their order."""
    return [name for name in dict.fromkeys(names) if not there.get(name)]


def counted(there: Mapping[str, int], most: int = MOST_SHOWN) -> str:
    """`web 1,200, books 30, ... (7 in all)`: what there is, most frequent first."""
    ranked = sorted(((count, name) for name, count in there.items() if count), key=lambda one: (-one[0], one[1]))
    shown = ", ".join(f"{name} {count:,}" for count, name in ranked[:most])
    return shown + (f", ... ({len(ranked):,} in all)" if len(ranked) > most else "")


def nearest(name: str, there: Iterable[str]) -> str:
    """`did you mean 'books'?`, or '' where nothing is alike."""
    near = difflib.get_close_matches(name, sorted(there), n=1, cutoff=NEAR)
    return f"did you mean {near[0]!r}?" if near else ""


def absence(missing: list[str], of: str = "") -> str:
    """One sentence: what was declared and is not there."""
    names = ", ".join(map(repr, missing[:3])) + (f" and {len(missing) - 3:,} more" if len(missing) > 3 else "")
    return f"no document has {names}" + (f" in {of}" if of else "")


def refuse_absent(missing: list[str], there: Mapping[str, int], *, field: str, of: str, optional: bool = True) -> None:
    """Raise DataError where declared names are missing: with what there is, and what may have been meant.

    `there` is name -> how many have it; `of` says where it was looked for, such as `column 'source'`.
    """
    if not missing:
        return
    have = f"there are: {counted(there)}" if any(there.values()) else "no document has a value there"
    allow = "`absent: remark` where a value may be missing" if optional else ""
    hint = "; ".join(filter(None, [nearest(missing[0], there), have, allow]))
    raise DataError(absence(missing, of), where=f"{field}.{missing[0]}", hint=hint)
