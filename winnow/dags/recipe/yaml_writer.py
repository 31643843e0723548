"""The YAML text of a recipe, one line per stage, as a person would write it.

Not ruamel.yaml, which reads recipes: its flow style writes texts that it cannot read back (a glob that begins with `?`,
control characters), and `${...}` in a text has to become a variable.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from winnow.dags.recipe.yaml_recipe import STAGE_KEYS, Recipe, StageSpec

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[./-][A-Za-z0-9_]+)*\Z")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
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
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(k))}: {_flow(v, texts)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(v, texts) for v in value) + "]"
    if isinstance(value, str):
        if texts is not None and _VARIABLE.search(value):
            texts.setdefault(f"text_{len(texts) + 1}", value)
            return '"${' + next(k for k, v in texts.items() if v == value) + '}"'
        return _text(value)
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value)


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"


def _text(value: str) -> str:
    if _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(_escaped(value)) + '"'


def _escaped(value: str) -> Iterator[str]:
    for char in value:
        if char in '"\\':
            yield "\\" + char
        elif char.isprintable():
            yield char
        else:
            yield f"\\U{ord(char):08x}"
