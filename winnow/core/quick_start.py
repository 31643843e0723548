"""Less to import before the first row: what numba and pyarrow load on the way and winnow never uses.

Measured on a machine that has scipy and pandas: 0.9 CPU seconds from an empty process to the first kernel's answer
without this module, 0.4 with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

FEW_COLLECTIONS = (50_000, 20, 50)


def quick_numba() -> None:
    """Makes loading compiled kernels of winnow from numba's cache cheap, and compiling them too.

    numba sets up its whole type system (and imports scipy.linalg, where it is installed, to learn whether there is a
    BLAS) before it loads a function that needs none of it, and reads the bitcode beside a function's machine code,
    which only another function's compilation wants. All that is left for when something is compiled; how kernels are
    compiled and where they are kept is in `kernel_parts` and `kernel_files`.
    """
    from numba.core import caching, codegen
    from numba.core.runtime import rtsys

    from winnow.core.kernel_files import keep_by_contents, load_installed
    from winnow.core.kernel_parts import compile_in_parts

    load = caching.Cache.load_overload
    if getattr(load, "of_winnow", False) or not _is_known(caching, codegen):
        return  # done before; or a numba whose cache works otherwise: slower, no less right
    keep_by_contents()
    compile_in_parts()

    def load_overload(self: Any, sig: Any, target_context: Any) -> Any:
        if not self._py_func.__module__.startswith("winnow."):
            return load(self, sig, target_context)
        rtsys.initialize(target_context)
        maker = target_context.codegen()
        maker.unserialize_library = lambda state: _machine_code(maker, state)
        try:
            return load_installed(self, sig, target_context) or self._load_overload(sig, target_context)
        finally:
            del maker.unserialize_library

    link = codegen.CPUCodeLibrary._get_module_for_linking

    def linked(self: Any) -> Any:
        if isinstance(self._shared_module, _Later):
            self._shared_module = codegen.ll.parse_bitcode(self._shared_module.bitcode)
        return link(self)

    load_overload.of_winnow = True  # type: ignore[attr-defined]
    caching.Cache.load_overload = load_overload
    codegen.CPUCodeLibrary._get_module_for_linking = linked


class _Later:
    """Bitcode that nobody has asked for yet."""

    def __init__(self, bitcode: bytes) -> None:
        self.bitcode = bitcode


def _machine_code(maker: Any, state: Any) -> Any:
    """Numba's library of a function's machine code, as its own `_unserialize` makes it, the bitcode unread."""
    name, kind, data = state
    if kind != "object":
        return type(maker).unserialize_library(maker, state)
    library = maker.create_library(name)
    library.enable_object_caching()
    library._set_compiled_object(data[0])
    library._shared_module = _Later(data[1])
    library._finalize_final_module()
    library.get_pointer_to_function = maker._engine.get_function_address
    return library


def _is_known(caching: Any, codegen: Any) -> bool:
    """True where numba has the parts that are used here."""
    library = ("_get_module_for_linking", "_set_compiled_object", "_finalize_final_module", "enable_object_caching")
    return (
        hasattr(caching.Cache, "_load_overload")
        and all(hasattr(codegen.CPUCodeLibrary, name) for name in library)
        and hasattr(codegen.CPUCodegen, "unserialize_library")
        and hasattr(codegen, "ll")
    )


@contextlib.contextmanager
def few_collections() -> Iterator[None]:
    """Inside, the cyclic garbage collector looks seldom: importing makes half a million objects and no garbage.

    Measured: 0.15 of the 1.4 CPU seconds of a run of two stages on half a megabyte. What is garbage without cycles
    (tables, buffers) goes at once as ever.
    """
    before = gc.get_threshold()
    gc.set_threshold(*FEW_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def seldom_collected() -> None:
    """From here on as inside `few_collections`, in this process: for workers that others start and end."""
    gc.set_threshold(*FEW_COLLECTIONS)


def quick_end() -> None:
    """At the end of a process of winnow's own: what is left is not looked through again, which takes 0.1 CPU seconds.

    Files are closed and exit functions run as ever; only the cyclic garbage collector finds nothing.
    """
    gc.freeze()


_OURS: list[bool] = []


def process_is_ours() -> None:
    """From here on `without_pandas_if_ours` counts: this process is the command line's, and not a user's program."""
    _OURS.append(True)


def without_pandas_if_ours() -> None:
    """`without_pandas` in a process of the command line, before a recipe that runs no code but winnow's: .2 CPU s."""
    if _OURS:
        without_pandas()


def without_pandas() -> None:
    """From here on pyarrow takes pandas for not installed, in this process: only for processes of winnow's own.

    pyarrow imports it, where it is installed, to make its first array.
    """
    if "pandas" in sys.modules or importlib.util.find_spec("pandas") is None:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)  # type: ignore[arg-type]
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)  # type: ignore[arg-type]


class _NoPandas:
    """A finder that knows one module, and that it is not there."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Refuse pandas. Raises: ImportError for it."""
        if name == "pandas":
            raise ImportError(name)
