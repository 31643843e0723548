"""The small mappings of receipts in a fifth of a dictionary's memory: a driver holds one receipt per unit of a run.

Names are kept once for all mappings that have the same ones; digests are 16 bytes each, and equal texts are one.
"""

from __future__ import annotations

import binascii
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_HEX = 32  # digits of a digest
_known: dict[tuple[str, ...], dict[str, int]] = {}  # names -> name -> its place


class Named(Mapping[str, Any]):
    """A mapping that is only read."""

    __slots__ = ("_places", "_values")

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self._places, self._values = places(names), values

    def __getitem__(self, name: str) -> Any:
        return self._values[self._places[name]]

    def items(self) -> Any:
        """Names with values."""
        return [*zip(self._places, self._values, strict=True)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


class Digests(Mapping[str, str]):
    """Names with digests of 32 hex digits."""

    __slots__ = ("_digests", "_places")

    def __init__(self, names: tuple[str, ...], digests: bytes) -> None:
        self._places, self._digests = places(names), digests

    def __getitem__(self, name: str) -> str:
        at = 16 * self._places[name]
        return self._digests[at : at + 16].hex()

    def items(self) -> Any:
        """Names with digests."""
        digits = self._digests.hex()
        return [
            (name, digits[at : at + _HEX]) for name, at in zip(self._places, range(0, len(digits), _HEX), strict=True)
        ]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


def places(names: tuple[str, ...]) -> dict[str, int]:
    """Name -> its place, one dictionary for all mappings of the same names."""
    found = _known.get(names)
    if found is None:
        found = _known[names] = {sys.intern(name): at for at, name in enumerate(names)}
    return found


def plain(held: Any) -> dict[str, Any]:
    """A dictionary of it, as JSON has it. Raises: TypeError for anything else."""
    if isinstance(held, Named | Digests):
        return dict(held.items())
    raise TypeError(type(held).__name__)


def compact(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same mapping, smaller, to be read only; digests and texts of one kind give what they were."""
    if not raw:
        return _EMPTY
    names, values = tuple(raw), tuple(raw.values())
    if all(type(value) is str and len(value) == _HEX for value in values):
        try:
            digests = binascii.unhexlify("".join(values))
        except ValueError:
            digests = b""
        if digests.hex() == "".join(values):
            return Digests(names, digests)
    return Named(names, tuple(sys.intern(value) if type(value) is str else value for value in values))


_EMPTY: Mapping[str, Any] = Named((), ())
