"""`winnow list`: the registered operators, the filter presets and the built-in recipes, from docstrings and files."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import source_of, summary_of
from winnow.core.operators.usercode import UserFunction
from winnow.dags.recipe.registry import REGISTRY, class_at, function_named, known_names, plugin_named
from winnow.dags.recipe.yaml_recipe import RECIPES

ROLES = (
    "reader",
    "union",
    "annotations",
    "extractor",
    "signal",
    "editor",
    "scorer",
    "filter",
    "dedup",
    "graph",
    "selector",
    "writer",
    "policy",
    "trainer",
)


def operators() -> list[dict[str, Any]]:
    """{"name", "role", "summary", "source"} of every registered operator, by name.

    An operator whose module cannot be imported here (a broken install) is listed with the reason as its summary, and so
    is a plug-in of another package that cannot be used.
    """
    taken = [plugin.name for name in REGISTRY if (plugin := plugin_named(name)) is not None]
    return [*(_operator(name) for name in sorted(known_names())), *(_plugin(name) for name in taken)]


def recipes() -> list[dict[str, str]]:
    """{"name", "about"} of every built-in recipe, by name."""
    from ruamel.yaml import YAML

    out = []
    for path in sorted(RECIPES.glob("*.yaml")):
        raw = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
        out.append({"name": path.stem, "about": " ".join(str(raw.get("about", "")).split())})
    return out


def by_role(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The operators in the order of the data: readers first, training last; by name within a role."""
    place = {role: number for number, role in enumerate(ROLES)}
    return sorted(found, key=lambda o: (place.get(o["role"], len(ROLES)), o["role"], o["name"]))


def presets() -> list[dict[str, str]]:
    """{"name", "about"} of every preset of `filter`, by name."""
    from winnow.pipeline.filter.filter import PRESETS, preset_names

    return [{"name": n, "about": leading_comment((PRESETS / f"{n}.yaml").read_text("utf-8"))} for n in preset_names()]


def described(name: str) -> dict[str, Any]:
    """The card of an operator, {"name", "about", "clauses"} of a preset, or {"name", "about", "recipe"} of a built-in
    recipe, with the clauses of the preset of its name where there is one. Raises ConfigError for other names.
    """
    from winnow.dags.before.operator_card import card, function_card
    from winnow.pipeline.filter.filter import load_preset, preset_names

    built_in = {r["name"]: r["about"] for r in recipes()}
    clauses = {"clauses": dict(load_preset(name))} if name in preset_names() else {}
    if name in built_in:
        text = (RECIPES / f"{name}.yaml").read_text("utf-8")
        return {"name": name, "about": built_in[name], "recipe": text, **clauses}
    if clauses:
        return {**next(p for p in presets() if p["name"] == name), **clauses}
    if name not in known_names():
        hint = did_you_mean(name, [*known_names(), *preset_names(), *built_in])
        raise ConfigError(f"no operator, preset or recipe is called {name!r}", hint=hint)
    function, plugin = function_named(name), plugin_named(name)
    return function_card(name, function, plugin.told) if function and plugin else card(name)


def described_lines(description: dict[str, Any], *, width: int) -> Iterator[tuple[str, str]]:
    """What `described` found, for a terminal: (style, line)."""
    from winnow.dags.before.operator_card import card_lines, wrapped

    if "recipe" in description:
        yield from (("", line) for line in description["recipe"].splitlines())
        if "clauses" in description:
            yield "", ""
            yield "", f"# preset of filter of the same name, `preset: {description['name']}`: a row passes where"
            yield from (("", f"#   {clause}: {rule}") for clause, rule in description["clauses"].items())
        return
    if "clauses" not in description:
        yield from card_lines(description, width=width)
        return
    yield "bold", f"{description['name']}  preset of filter"
    yield from (("", line) for line in wrapped(description["about"], width))
    yield "", ""
    yield "bold", "a row passes where"
    yield from (("", f"  {clause}: {rule}") for clause, rule in description["clauses"].items())
    yield "", ""
    yield "", f"recipe: clean: {{use: filter, inputs: SIGNALS, preset: {description['name']}}}"


def leading_comment(text: str) -> str:
    """The comment at the top of a YAML file."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _operator(name: str) -> dict[str, Any]:
    if name not in REGISTRY:
        return _plugin(name)
    try:
        cls = class_at(REGISTRY[name])
    except ImportError as error:
        return {"name": name, "role": "", "summary": f"cannot be imported: {error}", "source": ""}
    return {"name": name, "role": cls.role, "summary": summary_of(cls), "source": source_of(cls)}


def _plugin(name: str) -> dict[str, Any]:
    plugin = plugin_named(name)
    assert plugin is not None
    try:
        found = plugin.thing()
    except ConfigError as error:
        return {"name": name, "role": "", "summary": f"{error.what} ({plugin.told})", "source": plugin.told}
    if not isinstance(found, UserFunction):
        return {"name": name, "role": found.role, "summary": summary_of(found), "source": plugin.told}
    about = " ".join((inspect.getdoc(found.fn) or "").partition("\n\n")[0].split())
    return {"name": name, "role": found.kind, "summary": f"{about} ({plugin.told})", "source": plugin.told}
