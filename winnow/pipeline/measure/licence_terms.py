"""Licences by name and by text: what kind each is, and what an SPDX expression allows."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

LICENCES = Path(__file__).parent / "licences.yaml"
KINDS = ("public_domain", "permissive", "weak_copyleft", "copyleft", "non_commercial", "proprietary")  # freest first
FREE = ("public_domain", "permissive")
FAMILIES = (  # of names that the file does not list, by their beginning
    ("AGPL-", "copyleft"), ("LGPL-", "weak_copyleft"), ("GPL-", "copyleft"), ("CC-BY-NC", "non_commercial"),
    ("CC-BY-ND", "proprietary"), ("CC-BY-SA", "weak_copyleft"), ("CC-BY-", "permissive"), ("BSD-", "permissive"),
    ("MIT", "permissive"), ("Apache-", "permissive"), ("MPL-", "weak_copyleft"), ("EPL-", "weak_copyleft"),
    ("CDDL-", "weak_copyleft"), ("EUPL-", "weak_copyleft"), ("X11", "permissive"), ("Ruby", "permissive"),
    ("Python-", "permissive"), ("NCSA", "permissive"), ("curl", "permissive"), ("Libpng", "permissive"),
)  # fmt: skip
_TOKENS = re.compile(r"[()]|[^\s()]+")


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A licence and phrases that are all there where its text or header is."""

    id: str
    kind: str
    phrases: tuple[str, ...]


@functools.cache
def known_licences() -> tuple[Licence, ...]:
    """Those of the data file, in its order."""
    from ruamel.yaml import YAML

    held = YAML(typ="safe", pure=True).load(LICENCES.read_text(encoding="utf-8"))
    return tuple(Licence(id=str(one["id"]), kind=one["kind"], phrases=tuple(one["all"])) for one in held)


def kind_of(expression: str) -> str | None:
    """The kind of an SPDX expression: of `OR` the freest, of `AND` the least free; None where a name is not known.

    An exception (`WITH ...`) changes nothing. Of alternatives an unknown one does not count. At most 60 names.
    """
    tokens = _TOKENS.findall(expression)[:240]
    at = 0

    def one() -> str | None:
        nonlocal at
        if at < len(tokens) and tokens[at] == "(" and tokens[:at].count("(") < 20:
            at += 1
            found = either()
            at += at < len(tokens) and tokens[at] == ")"
            return found
        found = _kind_of_name(tokens[at]) if at < len(tokens) else None
        at += 1
        if at < len(tokens) and tokens[at].upper() == "WITH":
            at += 2
        return found

    def both() -> str | None:
        nonlocal at
        found = [one()]
        while at < len(tokens) and tokens[at].upper() == "AND":
            at += 1
            found.append(one())
        return None if None in found else max((k for k in found if k), key=KINDS.index)

    def either() -> str | None:
        nonlocal at
        found = [both()]
        while at < len(tokens) and tokens[at].upper() == "OR":
            at += 1
            found.append(both())
        return min((k for k in found if k), key=KINDS.index, default=None)

    answer = either()
    return answer if at >= len(tokens) else None


@functools.cache
def _named() -> dict[str, str]:
    return {one.id.lower(): one.kind for one in known_licences()}


def _kind_of_name(name: str) -> str | None:
    """The kind of one licence; `GPL-2.0+` is as `GPL-2.0`."""
    name = name.rstrip("+")
    if found := _named().get(name.lower()):
        return found
    return next((kind for start, kind in FAMILIES if name.lower().startswith(start.lower())), None)
