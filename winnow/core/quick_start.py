"""Less to import before the first row: what numba and pyarrow load on the way and winnow never uses.

Measured on a machine that has scipy and pandas: 0.9 CPU seconds from an empty process to the first kernel's answer
without this module, 0.4 with it.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any


def quick_numba() -> None:
    """Makes loading compiled kernels of winnow from numba's cache cheap; compiling is as ever.

    numba sets up its whole type system (and imports scipy.linalg, where it is installed, to learn whether there is a
    BLAS) before it loads a function that needs none of it. All that is left for when something is compiled.
    """
    from numba.core import caching
    from numba.core.runtime import rtsys

    load = caching.Cache.load_overload
    if getattr(load, "of_winnow", False) or not hasattr(caching.Cache, "_load_overload"):
        return  # done before; or a numba whose cache works otherwise: slower, no less right

    def load_overload(self: Any, sig: Any, target_context: Any) -> Any:
        if self._py_func.__module__.startswith("winnow."):
            rtsys.initialize(target_context)
            return self._load_overload(sig, target_context)
        return load(self, sig, target_context)

    load_overload.of_winnow = True  # type: ignore[attr-defined]
    caching.Cache.load_overload = load_overload


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
        """Nothing. Raises: ImportError for pandas."""
        if name == "pandas":
            raise ImportError(name)
