"""No module lies idle: each is reached from a verb, a registered operator, the Python face or a documented import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from support_docs import blocks, pages

import winnow
from winnow.dags.recipe.registry import REGISTRY, SUB_STAGES
from winnow.dags.shapes.table import SHAPES

PACKAGE = Path(winnow.__file__).parent
DOTTED = re.compile(r"winnow(?:\.\w+)+")
ROOTS = ("winnow.__main__", "winnow.cli", "winnow.testing")  # what is started, and what operators are checked with


def modules(package: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of the package at a path."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str) -> set[str]:
    """Every dotted name that a source imports, lazily too; `from a import b` gives a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def named(name: str, path: Path) -> set[str]:
    """Modules that a source names in texts: a table of homes, or what a child process imports."""
    texts = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
    words = {text for text in texts if isinstance(text, str) and len(text) < 400}
    found = {match for text in words for match in DOTTED.findall(text)}
    if path.name == "__init__.py":  # `{"ShardDataset": "shard_dataset"}`: a module beside it
        found |= {f"{name}.{text}" for text in words if text.isidentifier()}
    return found


def documented() -> set[str]:
    """What the executed blocks of the documentation and its example programs import."""
    sources = [b.body for page in pages() for b in blocks(page.read_text()) if b.language == "python" and b.mark]
    sources += [path.read_text() for path in sorted((PACKAGE.parent / "docs" / "examples").glob("*.py"))]
    return {name for source in sources for name in imports(source)}


def unreached(known: dict[str, Path], roots: Iterable[str]) -> list[str]:
    """Modules that no chain of imports from the roots comes to. A package's `__init__` comes with its modules."""
    todo, seen = [name for name in roots if name in known], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        edges = imports(known[name].read_text()) | named(name, known[name]) | ({parent} if parent else set())
        todo += [edge for edge in edges if edge in known]
    return sorted(known.keys() - seen)


def roots() -> set[str]:
    operators = {path.partition(":")[0] for path in (*REGISTRY.values(), *SUB_STAGES.values())}
    shapes = {f"winnow.dags.shapes.{name.lower()}" for name in SHAPES}
    return {"winnow", *ROOTS, *operators, *shapes, *documented()}


def test_every_module_is_reached_from_a_verb_an_operator_the_python_face_or_the_documentation():
    assert unreached(modules(PACKAGE), roots()) == []


def test_a_module_that_nothing_imports_is_reported(tmp_path):
    package = tmp_path / "winnow"
    for name, text in {
        "__init__": "", "cli": "def f():\n    from winnow.room import used\n", "room/__init__": "HOMES = {'A': 'lazy'}",
        "room/used": "import sys", "room/lazy": "", "room/idle": "from winnow.room import friend", "room/friend": "",
    }.items():  # fmt: skip
        path = package / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert unreached(modules(package), ["winnow.cli"]) == ["winnow.room.friend", "winnow.room.idle"]
