"""Rooms of the house: an operator is found by its name, its role says where, and what one room alone uses lies there."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest

import winnow
from winnow.dags.recipe.registry import REGISTRY, operator_class

PACKAGE = Path(winnow.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
COMMON = ("core.numerics", "core.words")  # what operators of several rooms need


def module_of(path: Path) -> str:
    return ".".join(("winnow", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(path) for path in FILES}


def room_of(module: str) -> str:
    """`pipeline.read` for `winnow.pipeline.read.jsonl`; `scorers` for a file in `winnow/scorers` itself."""
    return ".".join(module.split(".")[1:-1])


def home_of(place: str) -> tuple[str, str]:
    """(room, file) of `module:Class`."""
    module = place.partition(":")[0]
    return room_of(module), module.rpartition(".")[2]


def misnamed(registry: dict[str, str]) -> dict[str, str]:
    """Operators whose file has not their name (or, where a library has it, that and `_`)."""
    return {name: place for name, place in registry.items() if home_of(place)[1] not in (name, f"{name}_")}


def misplaced(roles: dict[str, str], registry: dict[str, str]) -> dict[str, str]:
    """Selectors outside `selectors/`, and other operators inside it."""
    inside = {name: home_of(place)[0].startswith("selectors") for name, place in registry.items()}
    return {name: registry[name] for name in registry if inside[name] != (roles[name] == "selector")}


def scattered(places: Iterable[str]) -> list[str]:
    """Rooms that occur again after another room began."""
    runs = [room for room, _ in itertools.groupby(home_of(place)[0] for place in places)]
    return sorted({room for room in runs if runs.count(room) > 1})


def imports(path: Path) -> Iterable[tuple[str, str]]:
    """(module, name) of all that a file imports from winnow, wherever it does so; the name is "" for a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "winnow":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full, "") if full in MODULES else (node.module or "", alias.name)


def private_uses(path: Path) -> list[str]:
    """Private names of other files that a file imports, or reaches for through a module."""
    tree, found = ast.parse(path.read_text()), []
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "winnow":
            found += [f"{node.module}.{a.name}" for a in node.names if a.name.startswith("_")]
            known |= {a.asname or a.name: a.name for a in node.names if f"{node.module}.{a.name}" in MODULES}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
            found += [f"{known[node.value.id]}.{node.attr}"] if node.attr.startswith("_") else []
    return found


def test_every_operator_is_found_by_its_own_name():
    assert misnamed(REGISTRY) == {}


def test_the_role_of_an_operator_says_whether_it_lies_among_the_selectors():
    roles = {name: operator_class(name).role for name in REGISTRY}
    assert misplaced(roles, REGISTRY) == {}


def test_the_registry_goes_room_by_room():
    assert scattered(REGISTRY.values()) == []


def test_misnamed_misplaced_and_scattered_operators_are_seen():
    registry = {"top_k": "winnow.selectors.score.threshold:TopK", "random": "winnow.selectors.score.random_:Random",
                "clusters": "winnow.selectors.balance.clusters:Clusters", "d4": "winnow.pipeline.dedup.d4:D4",
                "age": "winnow.selectors.score.age:Age"}  # fmt: skip
    assert list(misnamed(registry)) == ["top_k"]
    roles = {"clusters": "scorer"}
    assert list(misplaced({name: roles.get(name, "selector") for name in registry}, registry)) == ["clusters", "d4"]
    assert scattered(registry.values()) == ["selectors.score"]


def test_what_one_room_alone_uses_lies_in_that_room():
    users: dict[str, set[str]] = {m: set() for m in MODULES if room_of(m) in COMMON}
    for path in FILES:
        for module, _ in imports(path):
            if module in users and module != module_of(path):
                users[module].add(room_of(module_of(path)))
    assert {m: rooms for m, rooms in users.items() if len(rooms) < 2 and not rooms & set(COMMON)} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_file_uses_a_private_name_of_another(path):
    assert private_uses(path) == []


def test_a_private_name_of_another_file_is_seen(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "from winnow.core.numerics import knn as k\nfrom winnow.core.errors import _x\nprint(k._block, k.ONE)\n"
    )
    assert private_uses(bad) == ["winnow.core.errors._x", "knn._block"]
