"""`@winnow.policy`: a function from the losses of a step to weights becomes a policy.

@winnow.policy("harder")
def harder(seen, *, power=1.0):
    return seen.loss**power                     # a weight for every sample, f64[S]

arms: {harder: {data: plain, policy: {use: "my_policies:harder", power: 2}}}
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, ContractError, WinnowError, did_you_mean
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.core.operators.useranswers import line_of
from winnow.core.operators.usercode import UserFunction, load
from winnow.core.operators.written import said
from winnow.trainers.online.plain_policy import PlainPolicy
from winnow.trainers.online.policy import Acting, Policy, Seam
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

STATE = "state"  # a parameter of this name is a dictionary that lasts over the steps of a run, and in its checkpoints
_MESSAGE_CHARS = 300


def policy(name: str, *, needs: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], UserFunction]:
    """A decorator: `fn(seen, *, ...)` gives the weights of a step's samples f64[S], or of its tokens f32[B, T].

    `seen` is a `Seen`: `seen.loss` and `seen.tokens` of every sample, `seen.step` of `seen.steps`, and
    `seen.column(name)` of every sample's document for each of `needs`. Parameters behind `*` are fields of the stage. A
    parameter `state` is a dictionary of plain values that checkpoints keep. The sum of weights is that of the step, so
    equal weights train as no policy does. Its identity is the syntax tree of its module and of the modules beside it.
    """
    if not name.isidentifier():
        raise ConfigError(f"a policy needs a plain name, not {name!r}")
    return lambda fn: UserFunction(kind="policy", name=name, needs=tuple(needs), fn=fn)


def options_of(function: UserFunction) -> dict[str, Any]:
    """The fields of a policy's stage, each with its default (`inspect.Parameter.empty` where it must be given).

    Raises:
        ConfigError: the function takes no `seen`, or more than that without `*`.
    """
    parameters = list(inspect.signature(function.fn).parameters.values())
    free = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != STATE]
    if len(free) != 1 or len(free) + len(named) + any(p.name == STATE for p in parameters) != len(parameters):
        raise ConfigError(
            f"policy {function.name!r} takes {', '.join(p.name for p in free) or 'nothing'} before its options",
            where=function.fn.__module__, hint=f"def {function.fn.__name__}(seen, *, option=1.0)",
        )  # fmt: skip
    return {p.name: p.default for p in named}


def checked_options(function: UserFunction, given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The options of a stage that are not their defaults.

    Raises:
        ConfigError: one is unknown, missing, or of another type than its default.
    """
    known = options_of(function)
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"policy {function.name!r} has no option {name!r}", where=f"{where}.{name}",
                              hint=did_you_mean(name, known) if known else "it has none")  # fmt: skip
        default = known[name]
        number = isinstance(default, int | float) and not isinstance(default, bool)
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool)
            if number
            else isinstance(value, type(default))
        )
        if default is not inspect.Parameter.empty and default is not None and not fits:
            raise ConfigError(f"{name} is {value!r}, and its default {default!r}", where=f"{where}.{name}",
                              hint="give a value of the same type")  # fmt: skip
    for name, default in known.items():
        if default is inspect.Parameter.empty and name not in given:
            raise ConfigError(f"policy {function.name!r} needs {name!r}", where=where, hint=f"add `{name}:`")
    return dict(given)


@dataclass(kw_only=True)
class Calling(Acting):
    """A user's function in a run."""

    function: UserFunction
    options: Mapping[str, Any]
    target: str
    folder: Path
    kept: dict[str, Any] = field(default_factory=dict)

    weighs = True

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """What the function answers.

        Raises:
            ContractError: it fails; with the line of the user's that raised.
        """
        keeps = STATE in inspect.signature(self.function.fn).parameters
        state = {STATE: self.kept} if keeps else {}
        try:
            answer = self.function.fn(seen, **self.options, **state)
        except WinnowError:
            raise
        except Exception as error:
            message = " ".join(str(error).split())[:_MESSAGE_CHARS]
            place = line_of(error, str(self.folder))
            raise ContractError(f"the policy failed: {type(error).__name__}: {message}{place}", where=self.target,
                                hint=f"`winnow check {self.target}` runs its contract suite") from error  # fmt: skip
        return answer if isinstance(answer, np.ndarray) else np.asarray(answer, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """The dictionary that it keeps."""
        return {"kept": copy.deepcopy(self.kept)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.kept = dict(state["kept"])


@dataclass(frozen=True, kw_only=True)
class FunctionPolicy(PlainPolicy):
    """A user's policy function as a stage.

    Source: the user's module
    """

    name: ClassVar[str] = "function_policy"
    seam: ClassVar[Seam] = "weights"

    target: str
    options: dict[str, Any] | None = None

    def begin(self, told: Told) -> Acting:
        """The function in a run."""
        return calling(self.target, self.options or {}, told)

    def called(self) -> str:
        """`module:name`."""
        return self.target

    def said(self) -> str:
        """The function, and its options."""
        return said(self.target, self.options or {})


@dataclass(frozen=True, kw_only=True)
class FunctionColumnPolicy(Policy, Map):
    """A user's policy function that reads columns of documents, as a stage: those columns as numbers.

    Source: the user's module
    """

    name: ClassVar[str] = "function_column_policy"
    role: ClassVar[str] = "policy"
    seam: ClassVar[Seam] = "weights"

    target: str
    columns: tuple[str, ...]
    options: dict[str, Any] | None = None

    def needs(self) -> tuple[str, ...]:
        """The columns that the function asked for."""
        return self.columns

    def outputs(self) -> Schema:
        """The same as numbers."""
        return dict.fromkeys(self.columns, pa.float64())

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a column holds no numbers."""
        for name in self.columns:
            kind = types.get(name)
            if kind is not None and not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or kind == pa.bool_()):
                raise ConfigError(f"{name!r} is {kind}, not numbers", where="needs", hint="name a column of numbers")

    def open(self, ctx: Context) -> Columns:
        """Batch -> the columns."""
        return lambda rows: rows.select(pl.col(name).cast(pl.Float64).fill_nan(None) for name in self.columns)

    def begin(self, told: Told) -> Acting:
        """The function in a run."""
        return calling(self.target, self.options or {}, told)

    def called(self) -> str:
        """`module:name`."""
        return self.target

    def said(self) -> str:
        """The function, and its options."""
        return said(self.target, self.options or {})


def calling(target: str, options: Mapping[str, Any], told: Told) -> Calling:
    """The function `module:name`, loaded from the code that the run was given.

    Raises:
        ConfigError: there is none, or the module has no such policy.
    """
    if told.code is None:
        raise ConfigError(
            "the run was given no code", where=target, hint="`Told(code=FOLDER)` names the module's folder"
        )
    function = load(target, told.code)
    if function.kind != "policy":
        raise ConfigError(f"{target!r} is a {function.kind}, not a policy", where="policy",
                          hint="decorate it: `@winnow.policy('name')`")  # fmt: skip
    return Calling(function=function, options=options, target=target, folder=told.code)
