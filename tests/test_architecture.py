"""docs/architecture.md names rooms, files and functions that exist, and every room; a hop with an arrow is an import."""

import ast
import itertools
import re
from functools import cache
from pathlib import Path

import pytest

import winnow

PACKAGE = Path(winnow.__file__).parent
TEXT = (PACKAGE.parent / "docs" / "architecture.md").read_text("utf-8")
PLACE = re.compile(r"`([\w/]+\.py)(?:: ([\w.]+))?`")
TRAVELLERS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", TEXT, re.MULTILINE | re.DOTALL))
HOPS = {
    name: [(PLACE.search(line), line.endswith("→")) for line in re.findall(r"^\d+\. .*$", body, re.MULTILINE)]
    for name, body in TRAVELLERS.items()
}


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text("utf-8"))


def has(file: str, symbol: str) -> bool:
    """True where a file defines `function`, `Class`, `CONSTANT` or `Class.member`."""
    body: list[ast.stmt] = tree_of(file).body
    for name in symbol.split("."):
        found = [n for n in body if name in names_of(n)]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [t.id for t in targets if isinstance(t, ast.Name)]


@cache
def imports(file: str) -> frozenset[str]:
    """Files of winnow that a file imports, those that an imported room re-exports included."""
    out: set[str] = set()
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("winnow."):
            base = node.module.removeprefix("winnow.").replace(".", "/")
            for place in (base, *(f"{base}/{a.name}" for a in node.names)):
                if (PACKAGE / f"{place}.py").is_file():
                    out.add(f"{place}.py")
                elif (PACKAGE / place / "__init__.py").is_file():
                    out |= imports(f"{place}/__init__.py")
    return frozenset(out)


def test_every_file_and_name_of_the_page_exists():
    places = [m.groups() for m in PLACE.finditer(TEXT) if not m[1].startswith("tests/")]
    assert len(places) > 40
    missing = [f for f, _ in places if not (PACKAGE / f).is_file()]
    assert missing == []
    assert [f"{f}: {name}" for f, name in places if name and not has(f, name)] == []
    tests = [m[1] for m in PLACE.finditer(TEXT) if m[1].startswith("tests/")]
    assert [t for t in tests if not (PACKAGE.parent / t).is_file()] == []


def test_every_room_is_described_and_no_other():
    rooms = {p.parent.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("__init__.py")} - {"."}
    described = re.findall(r"^\| `([\w/]+)` \| .+ \|$", TEXT, re.MULTILINE)
    assert sorted(described) == sorted(rooms)


@pytest.mark.parametrize("name", ["A document", "A decision", "A weight", "A task", "A fingerprint"])
def test_a_traveller_goes_from_file_to_file(name):
    hops = HOPS[name]
    assert len(hops) >= 5
    assert all(place for place, _ in hops), "every hop begins with its place"
    claimed = [(one[1], two[1]) for (one, arrow), (two, _) in itertools.pairwise(hops) if arrow]
    assert claimed
    assert [f"{one} does not import {two}" for one, two in claimed if two not in imports(one)] == []
