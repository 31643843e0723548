"""Recipes as they may be shown to others: without the paths of the machine that ran them."""

from __future__ import annotations

import re

HIDDEN = "…/"
_ROOTED = r"(?:file://)?(?:~\w*|[A-Za-z]:(?=[\\/]))?[\\/]"  # of a home folder, a drive or the root
# a quoted one may hold spaces; a bare one follows no name, so that addresses and relative paths are left alone
_NAME = r"[^\"'\n\\/%]+"
_QUOTED = re.compile(rf"(?P<quote>[\"'])(?P<path>{_ROOTED}{_NAME}(?:[\\/][^\"'\n%]*)?)(?P=quote)")
_BARE = re.compile(r"(?<![\w:/.*})\]?$~<…\\%-])" + _ROOTED + r"[\w.~+@-]+(?:[\\/][^\s\"',\]})#]*)?")
_HOMES = ("home", "Users")


def without_machine_paths(text: str) -> str:
    """The text with `…/name` for every absolute path of two names or more; patterns of SQL with `%` are left."""
    text = _QUOTED.sub(lambda found: f"{found['quote']}{_short(found['path'])}{found['quote']}", text)
    return _BARE.sub(lambda found: _short(found[0]), text)


def _short(path: str) -> str:
    """`…/` and the last name; a home folder itself has none that others should see."""
    names = [name for name in re.split(r"[\\/]", path.removeprefix("file://")) if name]
    if "%" in path or (len(names) == 1 and path.startswith("/")):
        return path
    names = names[1:] if names and re.fullmatch(r"~\w*|[A-Za-z]:", names[0]) else names
    names = names[2:] if names and names[0] in _HOMES else names
    return HIDDEN + (names[-1] if names else "")
