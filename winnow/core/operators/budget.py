"""Budgets as people write them: `5M tokens`, `20GB`, `10%`, `300 docs`, `2 epochs`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Literal, get_args

from winnow.core.errors import ConfigError

Unit = Literal["tokens", "bytes", "share", "docs", "epochs"]

_EXAMPLES = "write for example `5M tokens`, `250k tokens`, `20GB`, `512 MiB`, `10%`, `300 docs` or `2 epochs`"
_NUMBER = re.compile(
    r"\s*([0-9]{1,3}(?:,[0-9]{3})+|[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*(.*?)\s*", re.ASCII
)
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_COUNTED = {"token": "tokens", "tokens": "tokens", "doc": "docs", "docs": "docs", "documents": "docs"}
_BYTES = {"b": 1, "byte": 1, "bytes": 1} | {
    letter + tail: base**power
    for power, letter in enumerate("kmgtp", start=1)
    for tail, base in (("b", 1000), ("ib", 1024))
}


@dataclass(frozen=True)
class Budget:
    """How much a selection may take: whole `tokens`, `bytes` or `docs`, a `share` in (0, 1], or `epochs`.

    Raises: ConfigError where the amount is not a positive number, or not whole where it counts things.
    """

    name: ClassVar[str] = "budget"

    amount: float
    unit: Unit

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ConfigError(f"unknown budget unit {self.unit!r}", hint=_EXAMPLES)
        if not (math.isfinite(self.amount) and self.amount > 0):
            found = f"{self.amount * 100:g}%" if self.unit == "share" else f"{self.amount:g} {self.unit}"
            raise ConfigError(f"a budget must be above 0, found {found}", hint=_EXAMPLES)
        if self.unit == "share" and self.amount > 1:
            raise ConfigError(f"a share lies in (0%, 100%], found {self.amount * 100:g}%", hint=_EXAMPLES)
        if self.unit in ("tokens", "bytes", "docs") and self.amount != int(self.amount):
            raise ConfigError(f"{self.unit} are counted whole, found {self.amount!r}", hint=_EXAMPLES)
        object.__setattr__(self, "amount", float(self.amount))

    @classmethod
    def wrong(cls, value: object) -> ConfigError:
        """The error for a value that is no text: a bare number lacks what it counts."""
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            percent = f", or `{value * 100:g}%`" if 0 < value < 1 else ""
            unit = "its unit"
            if value >= 1 and value == int(value):
                unit = f"`{cls(value, 'tokens')}` or `{cls(value, 'docs')}`"
            return ConfigError(f"a budget of {value:,} of what?", hint=f"write {unit}{percent}; {_EXAMPLES}")
        return ConfigError(f"{value!r} is no budget", hint=_EXAMPLES)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget behind a text such as `5M tokens`; letter case of scales and units does not matter.

        Raises: ConfigError with the text and examples.
        """
        number, unit = _split(text)
        if unit == "%":
            return cls(float(number / 100), "share")
        if unit in ("epoch", "epochs"):
            return cls(float(number), "epochs")
        if unit in _BYTES:
            return cls(float(number * _BYTES[unit]), "bytes")
        if unit in _COUNTS:
            what = f"{text!r} lacks what it counts"
            raise ConfigError(what, hint=f"write `{text.strip()} tokens` or `{text.strip()} docs`; {_EXAMPLES}")
        scale, _, noun = unit.rpartition(" ") if " " in unit else ("", "", unit)
        if noun in _COUNTED and scale in _COUNTS:
            return cls(float(number * _COUNTS[scale]), _COUNTED[noun])  # type: ignore[arg-type]
        raise ConfigError(f"cannot read {text!r} as a budget", hint=_EXAMPLES)

    def of(self, total: int) -> int:
        """The budget in whole units: a share of `total`, rounded down, but 1 of any; another amount as it is.

        Raises: ConfigError for epochs, which only a training run can count.
        """
        if self.unit == "epochs":
            raise ConfigError(f"{self} says how often to repeat, not how much to take", hint=_EXAMPLES)
        if self.unit == "share":
            return max(int(Decimal(repr(self.amount)) * total), min(total, 1))
        return int(self.amount)

    def __str__(self) -> str:
        if self.unit == "share":
            return f"{_plain(Decimal(repr(self.amount)) * 100)}%"
        if self.unit == "epochs":
            return f"{_plain(Decimal(repr(self.amount)))} epochs"
        steps = "kMGTP" if self.unit == "bytes" else "kMBT"
        scale, letter = _scale(int(self.amount), steps)
        number = _plain(Decimal(int(self.amount)) / scale)
        return f"{number}{letter}B" if self.unit == "bytes" else f"{number}{letter} {self.unit}"


def parse_bytes(text: str) -> int:
    """Bytes behind a text such as `50MB` (50,000,000) or `1.5 MiB` (1,572,864).

    Raises: ConfigError with the text and examples.
    """
    number, unit = _split(text)
    size = number * _BYTES.get(unit, 0)
    if size <= 0 or size != int(size):
        raise ConfigError(f"cannot read {text!r} as a size", hint="write for example `50MB`, `512 KiB` or `2GB`")
    return int(size)


def _split(text: str) -> tuple[Decimal, str]:
    """(number, unit in lower case with one space between a scale letter and its noun)."""
    found = _NUMBER.fullmatch(text)
    try:
        number = Decimal(found[1].replace("_", "").replace(",", "")) if found else None
    except InvalidOperation:  # an exponent beyond what a decimal holds
        number = None
    if found is None or number is None or number.adjusted() > 30:
        raise ConfigError(f"cannot read {text!r} as a number with a unit", hint=_EXAMPLES)
    return number, " ".join(found[2].lower().split())


def _scale(amount: int, letters: str) -> tuple[int, str]:
    """The largest scale that leaves a number of at least 1 with at most three decimals."""
    for power in range(len(letters), 0, -1):
        if amount >= 1000**power and amount % 1000 ** (power - 1) == 0:
            return 1000**power, letters[power - 1]
    return 1, ""


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
