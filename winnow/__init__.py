"""winnow: curate pretraining data and measure in the same run whether it helped.

Names are imported when they are first used, so `import winnow` loads nothing heavy.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from winnow.core.numba_hook import quick_numba_once_imported

__version__ = "0.1.0"

_HOMES = {
    "scorer": "winnow.scorers.function_scorer",
    "selector": "winnow.selectors.function_selector",
    "policy": "winnow.trainers.online.function_policy",
    "run_recipe": "winnow.dags.driver.session",
    "RunResult": "winnow.dags.driver.runner",
    "check_operator": "winnow.testing",
    "check_target": "winnow.dags.before.checking",
    "read": "winnow.dags.python.rows",
    "concat": "winnow.dags.python.rows",
    "random": "winnow.dags.python.rows",
    "top_k": "winnow.dags.python.rows",
    "sample": "winnow.dags.python.rows",
    "facility_location": "winnow.dags.python.rows",
    "ablate": "winnow.dags.python.rows",
    "open": "winnow.dags.looking.run",
    "WinnowError": "winnow.core.errors",
    "ConfigError": "winnow.core.errors",
    "DataError": "winnow.core.errors",
    "RowError": "winnow.core.errors",
    "ContractError": "winnow.core.errors",
    "EngineError": "winnow.core.errors",
    "StoreError": "winnow.core.errors",
    "Interrupted": "winnow.core.errors",
}

if TYPE_CHECKING:
    from winnow.core.errors import (
        ConfigError,
        ContractError,
        DataError,
        EngineError,
        Interrupted,
        RowError,
        StoreError,
        WinnowError,
    )
    from winnow.dags.before.checking import check_target
    from winnow.dags.driver.runner import RunResult
    from winnow.dags.driver.session import run_recipe
    from winnow.dags.looking.run import open  # noqa: A004
    from winnow.dags.python.operators import *  # noqa: F403 (every selector: the stub says which)
    from winnow.dags.python.operators import facility_location, random, sample, top_k
    from winnow.dags.python.rows import ablate, concat, read
    from winnow.scorers.function_scorer import scorer
    from winnow.selectors.function_selector import selector
    from winnow.testing import check_operator
    from winnow.trainers.online.function_policy import policy

__all__ = [
    "ConfigError",
    "ContractError",
    "DataError",
    "EngineError",
    "Interrupted",
    "RowError",
    "RunResult",
    "StoreError",
    "WinnowError",
    "ablate",
    "check_operator",
    "check_target",
    "concat",
    "facility_location",
    "open",
    "policy",
    "random",
    "read",
    "run_recipe",
    "sample",
    "scorer",
    "selector",
    "top_k",
]


if not TYPE_CHECKING:  # type checkers read the imports above, where a wrong name is an error

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            from winnow.dags.recipe.registry import REGISTRY

            if name in REGISTRY:  # every selector, as `top_k` is
                return getattr(importlib.import_module("winnow.dags.python.rows"), name)
            raise AttributeError(f"module 'winnow' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    from winnow.dags.recipe.registry import REGISTRY

    selectors = (name for name, path in REGISTRY.items() if path.startswith("winnow.selectors."))
    return sorted({*__all__, "__version__", *selectors})


quick_numba_once_imported()
if not os.environ.get("NUMBA_CACHE_DIR") and not os.access(os.path.join(__path__[0], "core", "words"), os.W_OK):  # noqa: F405, PTH118
    from winnow.core.kernel_cache import keep_kernels

    keep_kernels()  # before anything imports a kernel
