"""`winnow check`: a recipe's errors without running it, or the contract suite over one operator.

The JSON form: {"target", "kind": "recipe" | "operator", "ok", "errors": [{"what", "where", "hint"}],
"findings": [{"rule", "status", "message"}], "remarks": [{"stage", "text"}], "populations": [{"stage", "rows",
"missing"}]}; `ok` is true where there is no error, no broken rule and no remark that `strict: true` forbids.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError, WinnowError, did_you_mean
from winnow.core.operators import Context, Operator
from winnow.core.operators.config import build
from winnow.core.store.locations import refuse_scheme
from winnow.dags.before.remarks import plan_remarks, populations, remarks_json
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.plan import Planner
from winnow.dags.recipe.registry import known_names, operator_class, target_of
from winnow.dags.recipe.remarks import STRICT, strict_ones
from winnow.dags.recipe.user_operators import is_user_target, takes_budget, user_operator
from winnow.dags.recipe.yaml_recipe import RECIPES, Recipe, StageSpec, find_recipe, load_recipe
from winnow.trainers.online.policy import Policy

_BUDGET, _BUDGETS = "20 docs", {"token_count": "2k tokens", "text_bytes": "8kB"}  # by what a selector reads


def check_target(target: str, *, sets: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What is wrong with a recipe, a user's `module:name` or a registered operator; see the module.

    Raises: ConfigError where the target is none of these.
    """
    refuse_scheme(target, where="TARGET")
    sets = sets or {}
    target = target if Path(target).exists() else target_of(target)
    if is_user_target(target) and not Path(target).exists():
        return _answer(target, "operator", findings=_check_user(target, sets))
    if target in known_names() and not Path(target).is_file():
        return _answer(target, "operator", findings=_findings(_registered(target, sets)))
    if not Path(target).is_file() and target not in {p.stem for p in RECIPES.glob("*.yaml")}:
        if Path(target).suffix in (".yaml", ".yml") or "/" in target:
            find_recipe(target)
        known = [*known_names(), *(p.stem for p in RECIPES.glob("*.yaml"))]
        raise ConfigError(
            f"{target!r} is neither a recipe, nor `module:name`, nor an operator", hint=did_you_mean(target, known)
        )
    wrong, nodes = planned_with_errors(load_recipe(target, sets=sets))
    told: dict[str, Any] = {"remarks": remarks_json(plan_remarks(nodes)), "populations": populations(nodes)}
    return {**_answer(target, "recipe", errors=wrong), **told}


def recipe_errors(recipe: Recipe) -> list[WinnowError]:
    """Every error that planning finds; of stages that build on a wrong one only the operator's fields are looked at."""
    return planned_with_errors(recipe)[0]


def planned_with_errors(recipe: Recipe) -> tuple[list[WinnowError], list[Node]]:
    """Every error that planning finds, forbidden remarks among them, and the nodes of what can be planned."""
    planner = Planner(recipe, None)
    wrong: set[str] = set()
    errors: list[WinnowError] = []
    for stage in recipe.stages:
        behind = bool(wrong & _mentions(stage))
        wrong |= {stage.name} if behind else set()
        try:
            if behind:
                planner.operator(stage)
            else:
                planner.add(stage)
        except WinnowError as error:
            wrong.add(stage.name)
            errors.append(error.at(f"stages.{stage.name}"))
    forbidden = strict_ones(plan_remarks(planner.nodes), planner.nodes)
    errors += [ConfigError(r.text, where=f"stages.{r.stage}", hint=STRICT) for r in forbidden]
    return errors, planner.nodes


def _mentions(stage: StageSpec) -> set[str]:
    """Every text in a stage that could be the name of another one."""
    out = {*stage.inputs}
    todo: list[Any] = [stage.where, *stage.config.values()]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            out |= {value, value.removeprefix("kept_"), value.partition(".")[0]}
        elif isinstance(value, Mapping):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
    return out


def _registered(name: str, sets: Mapping[str, str]) -> Operator:
    from winnow.dags.recipe.yaml_recipe import scalar

    return build(operator_class(name), {k: scalar(v) for k, v in sets.items()}, where=name)


def _check_user(target: str, sets: Mapping[str, str]) -> list[dict[str, Any]]:
    """A user function over nasty rows; columns it needs besides the text are made up, a budget is some of them."""
    from winnow.core.operators.usercode import find_module, load
    from winnow.dags.recipe.yaml_recipe import scalar

    config = {k: scalar(v) for k, v in sets.items()}
    function = load(target, find_module(target, Path.cwd(), where=target).path.parent)
    if function.kind == "selector" and takes_budget(function):
        unit = next((u for column, u in _BUDGETS.items() if column in function.needs), _BUDGET)
        config = {"budget": unit, **config}
    operator, module = user_operator(target, config, Path.cwd(), where=target)
    if isinstance(operator, Policy):
        from winnow.trainers.model.check_policy import policy_findings

        own = [dataclasses.asdict(f) for f in policy_findings(operator, code=module.path.parent)]
        return own + (_findings(operator, code=module.path.parent) if operator.outputs() else [])
    return _findings(operator, code=module.path.parent)


def _findings(operator: Operator, code: Path | None = None) -> list[dict[str, Any]]:
    from winnow.testing import check_operator

    with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
        ctx = Context(seed=7, work=Path(scratch), code=code)
        found = check_operator(operator, _corpus(operator), ctx=ctx)
    return [{"rule": f.rule, "status": f.status, "message": f.message} for f in found]


def _corpus(operator: Operator) -> Any:
    """Nasty rows with made-up columns (a ramp of numbers, some null) for what the operator needs besides."""
    import polars as pl

    from winnow.testing.nasty_corpus import nasty_corpus

    rows = nasty_corpus()
    for number, name in enumerate(n for n in operator.needs() if n not in rows.columns):
        kind = pl.Int64 if name.endswith("_count") else pl.Float64
        values = [float((i * 7 + number) % 23) for i in range(rows.height)]
        rows = rows.with_columns(pl.Series(name, values).cast(kind))
    return rows


def _answer(
    target: str, kind: str, *, errors: list[WinnowError] | None = None, findings: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    problems = [{"what": e.what, "where": e.where, "hint": e.hint} for e in errors or []]
    broken = any(f["status"] == "broken" for f in findings or [])
    return {
        "target": target,
        "kind": kind,
        "ok": not problems and not broken,
        "errors": problems,
        "findings": findings or [],
    }
