"""`use: module:name`: a user's decorated function as an operator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from winnow.core.operators import Operator
from winnow.core.operators.config import build
from winnow.core.operators.usercode import UserModule, find_module, load
from winnow.scorers.function_scorer import FunctionScorer
from winnow.selectors.function_selector import FunctionSelector


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
    values = {"target": use, "columns": list(function.needs), **config}
    return build(FunctionSelector, values, where=where), module
