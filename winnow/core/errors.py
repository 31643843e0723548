"""The error tree.

```
WinnowError
├── ConfigError     the recipe, the command line or an operator's fields are wrong   exit 2, nothing has run
├── DataError       the data are wrong: bad share exceeded, truncated stream, ...    exit 3
│   ├── RowError    one row is wrong; the worker counts it, nothing stops
│   └── ContractError an operator did not answer row for row with its declared columns
└── EngineError     workers, the store or the machine failed                         exit 4
    ├── StoreError  the file system refused or a committed file is not what it was
    └── Interrupted Ctrl-C: finished units are safe
```

Every message says what happened with the value, `where:` (stage, unit, key) and `hint:` (the next action).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES = 40  # in a hint


class WinnowError(Exception):
    """Base of everything raised on purpose: `what` happened, `where`, and a `hint` for the next action."""

    exit_code = 4

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  where: {self.where}"] if self.where else []
        lines += [f"  hint:  {self.hint}"] if self.hint else []
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.hint))

    def at(self, where: str) -> WinnowError:
        """The same error with `where` filled in, if it was empty."""
        return self if self.where else type(self)(self.what, where=where, hint=self.hint)


class ConfigError(WinnowError):
    """The recipe or the command line is wrong; nothing has run."""

    exit_code = 2


class DataError(WinnowError):
    """The data are wrong in a way that must not pass silently."""

    exit_code = 3


class RowError(DataError):
    """One row cannot be processed; it is counted and quarantined, its neighbours go on."""


class ContractError(DataError):
    """An operator broke its contract; no row can be blamed, so the stage fails."""


class EngineError(WinnowError):
    """Workers, storage or the machine failed."""

    exit_code = 4


class StoreError(EngineError):
    """The store refused an operation, or a committed file is not what its receipt says."""


class UnansweredError(EngineError):
    """A service that others run gave no answer while there was patience: the stage ends, and is not tried again."""


class Interrupted(EngineError):  # noqa: N818 - what happened is no error of anybody
    """The user stopped the run; every finished unit is committed."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint: `did you mean 'x'?`, or the list of known names."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMES else ""
    return "known: " + ", ".join(names[:MOST_NAMES]) + more if names else "none exist"


def _rebuild(cls: type[WinnowError], what: str, where: str, hint: str) -> WinnowError:
    return cls(what, where=where, hint=hint)
