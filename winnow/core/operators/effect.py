"""Fields that another field leaves without effect: refused, so that nobody counts on them.

An operator says in `read_at` which of its fields are read only at some values of another one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from winnow.core.errors import ConfigError

ReadAt = Mapping[str, tuple[str, tuple[Any, ...]]]  # field -> (the one that decides, values of it at which it is read)


def check_effect(fields: Any, read_at: ReadAt) -> None:
    """Check that every field of a dataclass that is not its default is read by something.

    Raises:
        ConfigError: another field decides that it is not.
    """
    defaults = {f.name: f.default for f in dataclasses.fields(fields)}
    for name, (decides, values) in read_at.items():
        chosen = getattr(fields, decides)
        if getattr(fields, name) != defaults[name] and chosen not in values:
            shown = ", ".join(map(str, chosen)) if isinstance(chosen, tuple) else chosen
            other = f"give `{decides}: {values[0]}`" if values[0] else f"leave out `{decides}`"
            raise ConfigError(f"{name} has no effect with {decides} {shown}", where=name,
                              hint=f"leave it out, or {other}")  # fmt: skip
