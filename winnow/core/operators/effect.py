"""Fields that another field leaves without effect: refused, so that nobody counts on them.

An operator says in `read_at` which of its fields are read only at some values of another one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from winnow.core.errors import ConfigError

# field -> (the one that decides, the values of that one, or what must be true of it, for the field to be read)
ReadAt = Mapping[str, tuple[str, tuple[Any, ...] | Callable[[Any], bool]]]


def given(value: Any) -> bool:
    """There is a value."""
    return bool(value)


def left_out(value: Any) -> bool:
    """There is none."""
    return not value


def below_one(value: Any) -> bool:
    """A share that leaves a rest."""
    return bool(value < 1)


_TO_DO: dict[Callable[[Any], bool], str] = {
    given: "give `{}`", left_out: "leave out `{}`", below_one: "give `{}` below 1",
}  # fmt: skip


def check_effect(fields: Any, read_at: ReadAt) -> None:
    """Check that every field of a dataclass that is not its default is read by something.

    Raises:
        ConfigError: another field decides that it is not.
    """
    defaults = {f.name: f.default for f in dataclasses.fields(fields)}
    for name, (decides, when) in read_at.items():
        chosen = getattr(fields, decides)
        read = when(chosen) if callable(when) else chosen in when
        if not read and getattr(fields, name) != defaults[name]:
            to_do = _TO_DO[when].format(decides) if callable(when) else f"give `{decides}: {when[0]}`"
            beside = f"with {decides} {_shown(chosen)}" if chosen else f"without {decides}"
            raise ConfigError(f"{name} has no effect {beside}", where=name, hint=f"leave it out, or {to_do}")


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
