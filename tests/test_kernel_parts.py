"""Kernels are compiled once with all that they call, lazily, and kept by what they are made of: with numba as witness."""

import ast
import contextlib
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pyarrow as pa
import pytest
from numba import types
from numba.core import event

from winnow.core import kernel_files, kernel_parts
from winnow.core.words import hashing_kernels
from winnow.core.words.hashing import text_hash


class Compiled(event.Listener):
    """The names of what numba compiles for callers in Python."""

    def __init__(self):
        self.names = []

    def on_start(self, found):
        self.names.append(found.data["dispatcher"].py_func.__name__)

    def on_end(self, found):
        pass


def test_another_numba_compiles_as_it_does():
    """Its inner parts are not touched, kernels answer the same, and what it keeps takes nobody else's place."""
    text_hash(pa.array(["a"], pa.large_string()))
    before = _kept()
    code = (
        "import numba; numba.__version__ = '0.99.1'\n"
        "import winnow, numpy as np, pyarrow as pa\n"
        "from winnow.core.words.hashing import text_hash\n"
        "from numba.core import codegen, dispatcher\n"
        "assert dispatcher.Dispatcher.get_call_template.__module__.startswith('numba.')\n"
        "assert codegen.JITCPUCodegen._library_class.__module__.startswith('numba.')\n"
        "print(text_hash(pa.array(['a', 'text'], pa.large_string())).to_pylist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(text_hash(pa.array(["a", "text"], pa.large_string())).to_pylist())
    assert before
    assert _kept() == before


def _kept():
    """The files of the kernel, as this numba keeps them."""
    folder = Path(hashing_kernels.hash_rows_128._cache.cache_path)
    return {path.name: path.read_bytes() for path in folder.glob("*.hash_rows_128-*")}


@contextlib.contextmanager
def watched():
    listener = Compiled()
    event.register("numba:compile", listener)
    try:
        yield listener.names
    finally:
        event.unregister("numba:compile", listener)


def ours(function, *signatures):
    """As a kernel of winnow's; the same function anywhere else is numba's own business."""
    function.__module__ = "winnow.at_test"
    return (
        numba.njit(list(signatures) or None, nogil=True)(function) if signatures else numba.njit(nogil=True)(function)
    )


@pytest.fixture(scope="module")
def kernels():
    """Four kernels, each calling those before it, and what was compiled by the first call of the last one."""

    def inner(x):
        if x < 0:
            raise ValueError("below nothing")
        return x * 2

    def inside(x):
        room = np.zeros(3, np.int64)
        room[x % 3] = 5
        return room.sum() if x in (3, 4) else room[0]

    inner, inside = ours(inner), ours(inside)

    def middle(x):
        return inner(x) + inside(x)

    middle = ours(middle)

    def outer(x):
        return middle(x) * inner(x) + inside(x + 1)

    outer = ours(outer)
    with watched() as names:
        first = outer(3)
    return {"inner": inner, "inside": inside, "middle": middle, "outer": outer}, first, names


def plain(x):
    """The same in Python."""
    inside = [5 if x in (3, 4) or x % 3 == 0 else 0, 5 if x + 1 in (3, 4) or (x + 1) % 3 == 0 else 0]
    return (2 * x + inside[0]) * 2 * x + inside[1]


def test_what_a_kernel_calls_is_not_compiled_by_itself(kernels):
    known, first, names = kernels
    assert first == plain(3)
    assert names == ["outer"]
    assert [len(known[name].overloads) for name in ("inner", "inside", "middle", "outer")] == [0, 0, 0, 1]
    assert [known["outer"](x) for x in range(9)] == [plain(x) for x in range(9)]


def test_an_error_deep_inside_is_raised_as_it_stands_there(kernels):
    known, _, _ = kernels
    with pytest.raises(ValueError, match="below nothing"):
        known["outer"](-1)
    assert known["outer"](4) == plain(4)


def test_a_part_is_compiled_when_it_is_called_from_python(kernels):
    known, _, _ = kernels
    with watched() as names:
        assert known["middle"](4) == 13
        assert known["middle"](5) == 10
    assert names == ["middle"]


def test_kernels_of_others_are_compiled_as_ever_and_may_call_ours(kernels):
    known, _, _ = kernels
    middle, inside = known["middle"], known["inside"]

    def double(x):
        return x + x

    double = numba.njit(double)
    stranger = numba.njit(lambda x: double(middle(x)) + inside(x) + np.zeros(2, np.int64).sum() + (x in (3, 4)))
    with watched() as names:
        assert stranger(3) == 2 * 11 + 5 + 1
    assert "double" in names  # by itself, as numba does it
    with pytest.raises(ValueError, match="below nothing"):
        stranger(-1)


def test_no_kernel_calls_itself():
    """Such a call goes by an address that numba fills in, of a function that may have vanished into its caller."""
    for path in kernel_files.HOME.rglob("*_kernels*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                called = {
                    c.func.id for c in ast.walk(function) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)
                }
                assert function.name not in called, f"{path}: {function.name}"


def test_a_declared_signature_is_compiled_at_the_first_call_and_no_other_is():
    def added(x, y):
        return x + y

    def around(x):
        return added(np.int32(x), 2) + 1

    with watched() as names:
        declared = ours(added, types.int64(types.int64, types.int64))
        assert names == []
        assert (declared(2, np.int32(3)), declared(2**40, 1)) == (5, 2**40 + 1)
        assert names == ["added"]
        with pytest.raises(TypeError, match="No matching definition"):
            declared("a", "b")
    assert [str(s) for s in declared.signatures] == ["(int64, int64)"]
    added = ours(added, types.int64(types.int64, types.int64))
    with watched() as names:
        assert ours(around)(40) == 43
    assert names == ["around"]
    assert not added.overloads
    assert added(1, 1) == 2


def test_others_may_call_a_declared_kernel_that_is_not_compiled_yet():
    def halved(x):
        return x // 2

    halved = ours(halved, types.int64(types.int64))
    assert numba.njit(lambda x: halved(x) + 1)(9) == 5
    assert len(halved.overloads) == 1


def test_a_stamp_is_of_all_that_is_imported_and_of_nothing_else(tmp_path, monkeypatch):
    def stamps(number, **changed):
        home = tmp_path / str(number) / "winnow"
        texts = {
            "a_kernels": "from winnow.deep import (\n    b_kernels,\n    c as other,\n)\n",
            "deep/b_kernels": "from winnow.table import FILE\n", "deep/c": "C = 1\n",
            "table": "FILE = 'table.npz'\n", "apart": "X = 1\n",
        }  # fmt: skip
        for name, text in texts.items():
            path = home / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(changed.get(name.split("/")[-1], text))
        (home / "table.npz").write_bytes(changed.get("npz", b"1"))
        monkeypatch.setattr(kernel_files, "HOME", home)
        return kernel_files.stamp(home / "a_kernels.py")

    same = stamps(0)
    assert stamps(1, apart="X = 2\n") == same  # elsewhere on the disk, another time, another file
    others = {
        stamps(2, a_kernels="from winnow.deep import b_kernels, c\n"), stamps(3, b_kernels="from winnow import table\n"),
        stamps(4, c="C = 2\n"), stamps(5, table="FILE = 'table.npz'  # \n"), stamps(6, npz=b"2"),
    }  # fmt: skip
    assert len(others | {same}) == 6


def test_every_kernel_is_kept_by_its_contents():
    from winnow.core.numerics import components_kernels, knn_kernels

    for module in (components_kernels, knn_kernels):
        for name, found in vars(module).items():
            if isinstance(found, numba.core.dispatcher.Dispatcher) and found.py_func.__module__ == module.__name__:
                path = found._cache.cache_path
                folder = f"{module.__name__.split('.')[-1]}-{_stamp(module)}-numba{numba.__version__}"
                assert path == str(kernel_files.place() / folder), name


def _stamp(module):
    return kernel_files.stamp(kernel_files.HOME.joinpath(*module.__name__.split(".")[1:]).with_suffix(".py"))


def test_the_hook_is_there_for_whoever_imports_numba():
    assert kernel_parts.compile_in_parts() is None  # a second time: nothing
    assert not any(getattr(finder, "__name__", "") == "WhenNumba" for finder in sys.meta_path)
    assert numba.core.dispatcher.Dispatcher.get_call_template is kernel_parts._get_call_template
