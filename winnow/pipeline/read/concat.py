"""`concat`: one row space over several, by reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from winnow.core.operators import Union


@dataclass(frozen=True, kw_only=True)
class Concat(Union):
    """The documents of several row spaces as one row space, without a copy.

    A column has one type in all inputs that have it. One that only some have is left out and told, or with `columns:
    union` null and counted for the documents of the others. Maps over it are reused per part, so
    adding a source computes that source alone. Readers that are united need different `source:` fields.

    Source: own
    """

    name: ClassVar[str] = "concat"

    columns: Literal["shared", "union"] = "shared"
