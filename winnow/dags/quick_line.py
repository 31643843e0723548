"""Plain command lines without the parser's own machinery: Typer reads them with pydantic, 0.08 CPU seconds of imports.

Only what is plainly right is taken: a known verb, its options spelled out in full and followed by their values, its
arguments. Whatever else there is (help, an abbreviation, `--a=b`, a value that does not fit) is left to Typer, which
also tells what is wrong. The options themselves are declared once, for Typer.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

_PLAIN = (str, int, bool, list[str])


def quick_call(app: Any, args: Sequence[str]) -> int | None:
    """The exit code of a plain command line, which has run; None where it is left to Typer (nothing has run)."""
    verbs = {c.name or c.callback.__name__: c.callback for c in app.registered_commands}
    verb = verbs.get(args[0]) if args else None
    values = None if verb is None else parsed(verb, args[1:])
    if verb is None or values is None:
        return None
    try:
        verb(**values)
    except Exception as raised:
        if type(raised).__name__ == "Exit":  # Typer's: the verb has said all it has to say
            return int(getattr(raised, "exit_code", 1))
        raise
    return 0


def parsed(verb: Callable[..., Any], args: Sequence[str]) -> dict[str, Any] | None:
    """The verb's keyword arguments; None where the line is not plain."""
    options: dict[str, tuple[str, type, Any]] = {}
    wanted: list[tuple[str, type, Any]] = []
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(verb, include_extras=True)
    for name, parameter in inspect.signature(verb).parameters.items():
        kind, info = _declared(hints[name])
        if parameter.default is not parameter.empty:
            values[name] = parameter.default
        if type(info).__name__ == "ArgumentInfo":
            wanted.append((name, kind, info))
            continue
        spellings = [s for s in (info.default, *info.param_decls) if isinstance(s, str) and s.startswith("-")]
        for spelling in spellings or [f"--{name.replace('_', '-')}"]:
            options[spelling] = (name, kind, info)
    given = _split(args, options, wanted)
    if given is None or {name for name, _, _ in wanted} - values.keys() - given.keys():
        return None
    return values | given


def _split(
    args: Sequence[str], options: dict[str, tuple[str, type, Any]], wanted: list[tuple[str, type, Any]]
) -> dict[str, Any] | None:
    """Name -> value of what stands on the line, or None."""
    given: dict[str, Any] = {}
    rest, tokens = list(wanted), iter(args)
    for token in tokens:
        if token.startswith("-"):
            name, kind, info = options.get(token, ("", float, None))
            text = "true" if kind is bool else next(tokens, "-")
        else:
            name, kind, info = rest.pop(0) if rest else ("", float, None)
            text = token
        if kind not in _PLAIN or text.startswith("-") or (name in given and kind != list[str]):
            return None
        if kind is int and not (text.isascii() and text.isdecimal() and int(text) >= (info.min or 0)):
            return None
        value = {int: int, bool: bool}.get(kind, str)(text)  # type: ignore[call-overload]
        given[name] = [*given.get(name, []), value] if kind == list[str] else value
    return given


def _declared(hint: Any) -> tuple[Any, Any]:
    """(type of one value, Typer's declaration) behind `Annotated[T | None, declaration]`."""
    kind, info = typing.get_args(hint)[:2]
    kinds = [k for k in typing.get_args(kind) if k is not type(None)] if type(None) in typing.get_args(kind) else [kind]
    return kinds[0], info
