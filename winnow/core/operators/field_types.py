"""The types of an operator's fields, looked up once for each class: every look parses all annotations anew."""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def field_types(cls: type) -> Mapping[str, Any]:
    """Attribute -> type of what `cls` and its bases annotate, read-only."""
    return _found(cls)


@functools.lru_cache(maxsize=4096)
def _found(cls: type) -> Mapping[str, Any]:
    return MappingProxyType(typing.get_type_hints(cls))
