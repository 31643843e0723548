"""Imports go down through the rooms, and no files import each other in a circle (imports inside functions count)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import winnow

PACKAGE = Path(winnow.__file__).parent
ORDER = {  # a room may import those before it, of its own layer; rooms between the same bars may not see each other
    "core": (("words",), ("operators",), ("store", "numerics", "endpoint")),
    "trainers": (("data",), ("online",), ("hf", "model"), ("evaluate",), ("compare",), ("ablation",), ("mixing",)),
    "dags": (("recipe",), ("engines",), ("shapes",), ("driver",), ("looking",), ("before",), ("python",)),
}


def module_of(path: Path) -> str:
    """`winnow.core.store.parts` for a file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(p): p for p in PACKAGE.rglob("*.py")}


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules of winnow that code imports, at the top or in functions; what only type checkers read does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{a.name}" for a in node.names]
            yield from (i if i in MODULES else node.module for i in inner)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        else:
            yield from imports(node)


GRAPH = {m: {i for i in imports(ast.parse(p.read_text())) if i in MODULES and i != m} for m, p in MODULES.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach one another (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def upward(graph: dict[str, set[str]]) -> list[str]:
    """Imports from a room of one layer to one that is not below it."""
    places = {f"winnow.{layer}.{room}": (layer, n) for layer, order in ORDER.items() for n, rooms in enumerate(order)
              for room in rooms}  # fmt: skip

    def room(module: str) -> str:
        return ".".join(module.split(".")[:3])

    return [
        f"{a} -> {b}" for a in sorted(graph) for b in sorted(graph[a])
        if room(a) != room(b) and room(a) in places and room(b) in places
        and places[room(a)][0] == places[room(b)][0] and places[room(b)][1] >= places[room(a)][1]
    ]  # fmt: skip


def test_no_files_import_each_other_in_a_circle():
    assert circles(GRAPH) == []


def test_imports_go_down_through_the_rooms_of_a_layer():
    assert upward(GRAPH) == []


@pytest.mark.parametrize("layer", ORDER)
def test_every_room_has_a_place_in_the_order(layer):
    rooms = {p.parent.name for p in (PACKAGE / layer).glob("*/__init__.py")}
    assert rooms == {room for rooms in ORDER[layer] for room in rooms}


def test_every_folder_says_what_lives_there_and_who_may_import_it():
    silent = [str(p.parent.relative_to(PACKAGE)) for p in PACKAGE.rglob("*/__init__.py")
              if "import" not in (ast.get_docstring(ast.parse(p.read_text())) or "").lower()]  # fmt: skip
    folders = {p.parent for p in PACKAGE.rglob("*.py")}
    assert silent == []
    assert [str(f) for f in folders if not (f / "__init__.py").exists()] == []


def private_names(tree: ast.Module) -> list[str]:
    """Names with a leading underscore that a file takes from another one of winnow."""
    taken, ours = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("winnow"):
            taken += [f"{node.module}.{a.name}" for a in node.names if a.name.startswith("_") and a.name[1:2] != "_"]
            ours |= {a.asname or a.name for a in node.names if f"{node.module}.{a.name}" in MODULES}
    return taken + [
        f"{node.value.id}.{node.attr}" for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours
        and node.attr.startswith("_") and node.attr[1:2] != "_"
    ]  # fmt: skip


def test_no_file_takes_a_private_name_from_another():
    found = {m: names for m, p in MODULES.items() if (names := private_names(ast.parse(p.read_text())))}
    assert found == {}


def test_the_rules_see_a_circle_and_an_upward_import():
    graph = {"winnow.core.words.text": {"winnow.core.store.ids"}, "winnow.core.store.ids": {"winnow.core.words.text"}}
    assert circles(graph) == [["winnow.core.store.ids", "winnow.core.words.text"]]
    assert upward(graph) == ["winnow.core.words.text -> winnow.core.store.ids"]
    lazy = ast.parse("def f():\n    from winnow.core.store import ids\n")
    assert list(imports(lazy)) == ["winnow.core.store.ids"]
    assert private_names(
        ast.parse("from winnow.core.store.ids import _x\nfrom winnow.core.words import text\ntext._y()")
    ) == [
        "winnow.core.store.ids._x",
        "text._y",
    ]
    assert list(imports(ast.parse("if TYPE_CHECKING:\n    import winnow.core.errors\n"))) == []
