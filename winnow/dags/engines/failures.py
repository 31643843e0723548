"""Exceptions as data: what a worker says of an exception, with secrets replaced, and failures that an engine finds."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from typing import Any

from winnow.core import errors
from winnow.dags.engines.base import Failure

_MESSAGE_CHARS = 2_000
_TRACEBACK_CHARS = 20_000

_concealed: dict[str, None] = {}


def conceal(secret: str) -> None:
    """Never let this value leave the process in an error: it is replaced by `***`."""
    if secret:
        _concealed[secret] = None


def describe(exc: BaseException) -> dict[str, Any]:
    """The fields of a `Failure`: class, message, place and hint of an exception, and its traceback."""
    ours = isinstance(exc, errors.WinnowError)
    names = [cls.__name__ for cls in type(exc).__mro__ if cls not in (object, BaseException)]
    kind = next((name for name in names if hasattr(errors, name)), names[0]) if ours else names[0]
    what = exc.what if isinstance(exc, errors.WinnowError) else _message(exc)
    failure = Failure(
        kind=kind,
        what=_scrub(what)[:_MESSAGE_CHARS],
        where=_scrub(getattr(exc, "where", "")) if ours else "",
        hint=_scrub(getattr(exc, "hint", "")) if ours else _advice(exc),
        traceback=_scrub("".join(traceback.format_exception(exc)))[-_TRACEBACK_CHARS:],
        family=tuple(names),
    )
    return asdict(failure)


def _advice(exc: BaseException) -> str:
    """How to get a library that is missing; '' for any other exception."""
    if not isinstance(exc, ModuleNotFoundError) or not exc.name:
        return ""
    from winnow.core.installing import how_to_install

    return how_to_install(exc.name)


def failure_from(fields: dict[str, Any]) -> Failure:
    """The `Failure` that `describe` turned into JSON fields."""
    return Failure(**{**fields, "family": tuple(fields["family"])})


def _message(exc: BaseException) -> str:
    try:
        text = str(exc)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may do anything
        text = f"(its message raised {type(broken).__name__})"
    return text or type(exc).__name__


def _scrub(text: str) -> str:
    for secret in _concealed:
        text = text.replace(secret, "***")
    return text


def engine_failure(what: str, *, hint: str = "", words: str = "") -> Failure:
    """A failure that an engine reports of its own; `words` are the last ones of the process."""
    return Failure(
        kind="EngineError",
        what=what,
        hint=hint,
        traceback=words[-_TRACEBACK_CHARS:],
        family=("EngineError", "WinnowError", "Exception"),
    )
