"""Rules of the house that a machine can check: layers, light imports, names, sizes, docstrings, randomness."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.metadata
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import winnow

PACKAGE = Path(winnow.__file__).parent
REPOSITORY = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {
    "core": {"core"},
    "pipeline": {"core", "pipeline"},
    "scorers": {"core", "scorers"},
    "selectors": {"core", "selectors"},
    "trainers": {"core", "trainers"},
    "dags": {"core", "pipeline", "scorers", "selectors", "trainers", "dags", "testing"},
    "testing": {"core", "testing", "dags"},
}
HEAVY = ("torch", "ray", "dask", "faiss", "fasttext", "scipy", "tokenizers", "datasets", "sklearn")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the rules ask of a file, of one look at its tree, which is dropped: 700 trees kept slow every collection."""

    layers: set[str]  # of winnow that it imports
    functions: list[tuple[str, int, bool]]  # name, lines of the body, whether it says what it returns
    silent: list[str]  # public things without a docstring


@functools.cache
def facts_of(path: Path) -> Facts:
    tree = ast.parse(path.read_text())
    layers, functions = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            layers |= layers_of(path, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1
            functions.append((f"{path.name}:{node.lineno} {node.name}", length, node.returns is not None))
    return Facts(layers, functions, silent_in(path, tree))


def layers_of(path: Path, node: ast.Import | ast.ImportFrom) -> set[str]:
    names = [a.name for a in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{path}: relative import"
        names = [f"winnow.{name}" for name in names] if node.module == "winnow" else [node.module or ""]
    return {n.split(".")[1] for n in names if n.startswith("winnow.")}


def silent_in(path: Path, tree: ast.Module) -> list[str]:
    missing = [] if ast.get_docstring(tree) else [str(path)]
    stack = [(tree, "")]
    while stack:
        parent, prefix = stack.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    missing.append(f"{path.name}:{prefix}{node.name}")
                if isinstance(node, ast.ClassDef):
                    stack.append((node, f"{node.name}."))
    return missing


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_go_down_only():
    upward = {str(path): facts_of(path).layers - ALLOWED[layer_of(path)] for path in FILES if layer_of(path) in ALLOWED}
    assert {path: layers for path, layers in upward.items() if layers} == {}


def test_the_layer_rule_sees_an_upward_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from winnow.dags.recipe.plan import Node\nfrom winnow import cli\n")
    assert facts_of(bad).layers - ALLOWED["core"] == {"dags", "cli"}


def test_import_winnow_is_light():
    code = "import sys, winnow, winnow.cli; print(sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout))
    assert loaded & set(HEAVY) == set()
    assert "winnow" in loaded


def test_no_module_has_the_name_of_a_stdlib_module_or_a_dependency():
    dependencies = {
        name for dist in importlib.metadata.distributions() for name in (dist.read_text("top_level.txt") or "").split()
    } | {"ray", "torch", "fasttext", "numba", "polars", "pyarrow", "numpy", "dask", "faiss", "datasketch"}
    taken = (set(sys.stdlib_module_names) | dependencies) - {"winnow", "tests", "benchmarks", "docs"}
    names = [p for p in FILES if p.stem in taken and p.stem not in ("__init__", "__main__")]
    assert names == []
    folders = {p.parent.name for p in FILES} - {"winnow"}
    assert folders & taken <= {"selectors"}, "only `selectors/` may, because it lies inside the package"


def test_no_runnable_file_but_main():
    runnable = [p.name for p in FILES if re.search(r"^if __name__ ==", p.read_text(), re.MULTILINE)]
    assert set(runnable) <= {"__main__.py"}


def functions() -> list[tuple[str, int, bool]]:
    return [function for path in FILES for function in facts_of(path).functions]


def test_functions_keep_the_size_budget():
    sizes = sorted(length for _, length, _ in functions())
    longest = sorted(((n, name) for name, n, _ in functions()), reverse=True)[:5]
    assert statistics.median(sizes) <= 8
    assert sizes[int(0.95 * len(sizes))] <= 40
    assert sizes[-1] <= 80, longest


def test_files_keep_the_size_budget():
    long = {str(p.relative_to(PACKAGE)): n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def test_every_function_says_what_it_returns():
    missing = [name for name, _, says in functions() if not says]
    assert missing == []


def test_public_things_have_docstrings():
    assert [name for path in FILES for name in facts_of(path).silent] == []


def test_no_global_randomness_or_salted_hash():
    banned = re.compile(
        r"\bnp\.random\.(?!default_rng|Generator|Philox)|^import random\b|\brandom\.random\(|(?<![\w.])hash\("
    )
    found = [f"{p.relative_to(PACKAGE)}: {m.group()}" for p in FILES for m in banned.finditer(p.read_text())]
    assert found == []


STORE_ONLY = re.compile(
    r"os\.(?:link|replace|rename|unlink)\b|\.hardlink_to\(|\bpath\.rename\("
    r"|\.path\(|store\.root\b|\bPosixStore\b|\b(?:Path|open|str)\([\w.]*store\.(?:location|where)\b"
)


def beside_the_store(text: str) -> list[str]:
    """What handles files of a run root by their paths: places, links, renames."""
    return [m.group() for m in STORE_ONLY.finditer(text)]


def test_files_of_the_root_are_reached_through_the_store():
    besides = {str(p): beside_the_store(p.read_text()) for p in FILES if not p.is_relative_to(PACKAGE / "core/store")}
    assert {path: found for path, found in besides.items() if found} == {}


@pytest.mark.parametrize("line", [
    "size = store.path(key).stat()", "for path in self.store.root.glob('*')", "os.link(one, two)", "os.replace(a, b)",
    "two.hardlink_to(one)", "with open(store.where(key))", "Path(run.store.location) / key", "PosixStore(folder)",
])  # fmt: skip
def test_the_store_rule_sees_a_path(line):
    assert beside_the_store(line)


def test_nothing_unpickles_or_loads_what_can_run_code():
    banned = re.compile(r"import pickle|pickle\.load|yaml\.load\(|torch\.load\(")
    found = [f"{p.relative_to(PACKAGE)}: {m.group()}" for p in FILES for m in banned.finditer(p.read_text())
             if p.relative_to(PACKAGE).as_posix() != "testing/__init__.py"]  # fmt: skip
    assert found == []


def test_every_registered_operator_says_what_it_is():
    from winnow.core.operators import EXACT, Exactness, source_of, summary_of
    from winnow.dags.recipe.registry import REGISTRY, operator_class

    for name in REGISTRY:
        cls = operator_class(name)
        assert cls.name == name
        assert summary_of(cls), name
        assert source_of(cls), name
        assert cls.role, name
        assert isinstance(cls.exactness, Exactness)
    assert EXACT.atol is None


def test_the_repository_speaks_of_winnow_alone():
    banned = re.compile(r"/work/|/root/|pypi\.org/simple|\bhelper-\d|\bissue \d|file:///", re.IGNORECASE)
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout
    found = []
    for name in tracked.split():
        path = REPOSITORY / name
        if (
            path.suffix in (".py", ".md", ".yaml", ".toml", ".txt", ".json", "")
            and path.is_file()
            and path.name != "test_house.py"
        ):
            found += [f"{name}: {m.group()}" for m in banned.finditer(path.read_text("utf-8", "ignore"))]
    assert found == []
