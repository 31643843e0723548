"""The YAML text of a recipe, one line per stage, as a person would write it.

`${...}` in a text has to become a variable.
"""

from __future__ import annotations

import re
from typing import Any

from winnow.core.operators.written import written
from winnow.dags.recipe.yaml_recipe import STAGE_KEYS, Recipe, StageSpec

_VARIABLE = re.compile(r"\$\{[A-Za-z_]")


def yaml_of(recipe: Recipe) -> str:
    """The text of a recipe, one line a stage."""
    texts: dict[str, str] = {}
    lines = [f"  {s.name}: {_flow(_written(s), texts)}" for s in recipe.stages]
    variables = [f"vars: {_flow(texts, None)}"] if texts else []
    head = [f"name: {_flow(recipe.name, None)}", f"seed: {recipe.seed}", f"tokenizer: {_flow(recipe.tokenizer, None)}"]
    head += ["strict: true"] if recipe.strict else []
    head += [f"expect: {_flow(recipe.expect, None)}"] if recipe.expect is not None else []
    return "\n".join([*head, *variables, "stages:", *lines, ""])


def _written(stage: StageSpec) -> dict[str, Any]:
    """The mapping of a stage as a person would write it: defaults left out, one input without a list."""
    default = StageSpec(name="", use="")
    out: dict[str, Any] = {"use": stage.use}
    for key in STAGE_KEYS[1:]:
        value = getattr(stage, key, None)
        if value is not None and value != getattr(default, key, None):
            out[key] = value[0] if key in ("inputs", "ignore", "text") and len(value) == 1 else value
    return {**out, **stage.config}


def _flow(value: Any, texts: dict[str, str] | None) -> str:
    """A value in YAML's flow style; a text that looks like a variable becomes one (collected in `texts`)."""

    def variable(text: str) -> str | None:
        if texts is None or not _VARIABLE.search(text):
            return None
        texts.setdefault(f"text_{len(texts) + 1}", text)
        return '"${' + next(k for k, v in texts.items() if v == text) + '}"'

    return written(value, instead=variable)
