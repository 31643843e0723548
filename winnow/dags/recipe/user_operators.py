"""`use: module:name`: a user's decorated function as an operator."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import Operator
from winnow.core.operators.config import build
from winnow.core.operators.useranswers import place_of
from winnow.core.operators.usercode import UserFunction, UserModule, find_module, load
from winnow.scorers.function_scorer import FunctionScorer
from winnow.selectors.function_selector import FunctionSelector
from winnow.trainers.online.function_policy import FunctionColumnPolicy, FunctionPolicy, checked_options


def is_user_target(use: str) -> bool:
    """True for `module:name`."""
    return ":" in use


def user_operator(use: str, config: Mapping[str, Any], folder: Path, *, where: str) -> tuple[Operator, UserModule]:
    """The operator of a user function and the module it comes from."""
    module = find_module(use, folder, where=f"{where}.use")
    function = load(use, module.path.parent)
    if function.kind == "scorer":
        values = {"target": use, "column": function.name, "columns": list(function.needs), **config}
        return build(FunctionScorer, values, where=where), module
    if function.kind == "policy":
        options = {"target": use, "options": checked_options(function, config, where=where) or None}
        if not function.needs:
            return build(FunctionPolicy, options, where=where), module
        return build(FunctionColumnPolicy, {**options, "columns": list(function.needs)}, where=where), module
    values = {"target": use, "columns": list(function.needs), **config}
    selector = build(FunctionSelector, values, where=where)
    takes = takes_budget(function)
    if takes != (selector.budget is not None):
        said = "takes a budget, and the stage gives none" if takes else "takes no budget, and the stage gives one"
        what = f"{function.fn.__name__}() {said}"
        hint = "write `budget: 5M tokens`" if takes else f"write `def {function.fn.__name__}(rows, budget)`"
        raise ConfigError(f"{what} ({place_of(function)})", where=f"{where}.budget", hint=hint)
    return selector, module


def takes_budget(function: UserFunction) -> bool:
    """Whether a selector's function takes a budget beside the rows: a second argument without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = [p for p in inspect.signature(function.fn).parameters.values() if p.kind in kinds and p.default is p.empty]
    return len(given) > 1
