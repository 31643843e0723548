"""What winnow changes of numba waits until somebody imports numba, which costs a third of a second."""

from __future__ import annotations

import sys
from typing import Any


class WhenNumba:
    """A finder that lets numba be found as ever, and makes it quick once it is there: for all of winnow's kernels."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """As found without this, with what follows its import."""
        if name != "numba" or cls not in sys.meta_path:
            return None
        sys.meta_path.remove(cls)  # type: ignore[arg-type]
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                _quick()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def quick_numba_once_imported() -> None:
    """`quick_numba`, as soon as anything imports numba. Cost: nothing until then."""
    if "numba" in sys.modules:
        _quick()
    elif WhenNumba not in sys.meta_path:
        sys.meta_path.insert(0, WhenNumba)  # type: ignore[arg-type]


def _quick() -> None:
    from winnow.core import quick_start

    quick_start.quick_numba()
