"""`winnow list`: the registered operators and the built-in recipes, from their docstrings and files."""

from __future__ import annotations

from typing import Any

from winnow.core.operators import source_of, summary_of
from winnow.dags.registry import REGISTRY, class_at
from winnow.dags.spec import RECIPES


def operators() -> list[dict[str, Any]]:
    """{"name", "role", "tier", "summary", "source"} of every registered operator, by name.

    An operator whose module cannot be imported here (a broken install) is listed with the reason as its summary.
    """
    return [_operator(name) for name in sorted(REGISTRY)]


def recipes() -> list[dict[str, str]]:
    """{"name", "about"} of every built-in recipe, by name."""
    from ruamel.yaml import YAML

    out = []
    for path in sorted(RECIPES.glob("*.yaml")):
        raw = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
        out.append({"name": path.stem, "about": " ".join(str(raw.get("about", "")).split())})
    return out


def _operator(name: str) -> dict[str, Any]:
    try:
        cls = class_at(REGISTRY[name])
    except ImportError as error:
        return {"name": name, "role": "", "tier": "", "summary": f"cannot be imported: {error}", "source": ""}
    return {
        "name": name, "role": cls.role, "tier": cls.tier, "summary": summary_of(cls), "source": source_of(cls),
    }  # fmt: skip
