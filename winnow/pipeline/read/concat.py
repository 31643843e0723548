"""`concat`: one row space over several, by reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.operators import Union


@dataclass(frozen=True, kw_only=True)
class Concat(Union):
    """The documents of several row spaces as one row space, without a copy.

    Schemas must agree; a column that only some inputs have is not carried. Maps over it are reused per part, so
    adding a source computes that source alone. Readers that are united need different `source:` fields.

    Source: own
    """

    name: ClassVar[str] = "concat"
