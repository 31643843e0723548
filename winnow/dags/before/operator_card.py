"""What an operator is, for people: fields with types, defaults and notes, the columns it adds, its docstring in parts.

Everything is read from the operator's class and its source; `winnow list OPERATOR` and the reference pages of the
documentation print it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import textwrap
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.core.operators import Kind, Operator, port_fields, summary_of
from winnow.core.operators.field_types import field_types
from winnow.core.operators.usercode import UserFunction
from winnow.dags.before.examples import example_of
from winnow.dags.recipe.adds import added_by, is_required
from winnow.dags.recipe.registry import operator_class

PORTS = {
    "ref": "stage, or files",
    "refs": "stages by label",
    "files": "files (globs)",
    "secret": "environment variable",
}
SHARED = {  # what fields of several operators mean, where the operator says nothing of its own beside them
    "budget": "[how much](../concepts.md#budgets)",
    "files": "one glob or a list",
    "source": "a name that enters the ids of documents",
    "base": "folder from which relative paths count",
    "text_field": "the field that holds the text; `data.text` reaches into objects",
    "id": "`position`, `content`, or `field:NAME`",
    "columns": "further fields to keep, name -> type: `string`, `int64`, `float64`, `bool`",
    "carry": "columns that cross over into the shards",
    "by": "the column that decides",
    "salt": "another one is an independent draw",
    "max_record_mb": "larger records are put aside",
}
SECTIONS = ("Raises", "Cost", "Source", "Shapes", "Memory")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of an operator as a person writes it in YAML."""

    name: str
    kind: str
    default: str | None  # None: it must be given; "": nothing
    note: str


def card(name: str) -> dict[str, Any]:
    """{"name", "role", "summary", "about", "fields", "columns", "sections", "example", ...} of a registered operator.

    Raises: ConfigError for an unknown name.
    """
    cls = operator_class(name)
    about, sections = split_sections(inspect.getdoc(cls) or "")
    return {
        "name": name, "role": cls.role, "summary": summary_of(cls), "about": about,
        "shape": cls.shape_name, "kind": kind_of(cls), "exactness": str(cls.exactness), "seeded": cls.seeded,
        "population": cls.population, "fields": [dataclasses.asdict(f) for f in fields_of(cls)],
        "columns": {n: str(k).replace("large_string", "string") for n, k in added_by(cls).items()},
        "sections": sections, "example": example_of(name, cls),
    }  # fmt: skip


def function_card(name: str, function: UserFunction, package: str) -> dict[str, Any]:
    """The card of a plug-in's function: what `card` says of an operator, as far as a function says it."""
    about, sections = split_sections(inspect.getdoc(function.fn) or "")
    adds = {function.name: "double"} if function.kind == "scorer" else {}
    budget = ", budget: 5M tokens" if function.kind == "selector" else ""
    line = f"{name}: {{use: {name}, inputs: docs{budget}}}" if function.kind != "policy" else f"{{use: {name}}}"
    return {
        "name": name, "role": function.kind, "summary": about.partition("\n\n")[0], "about": about,
        "shape": "a function",
        "kind": "", "exactness": "", "seeded": False, "population": False, "fields": [], "columns": adds,
        "sections": {**sections, "Package": package, "Reads": ", ".join(function.needs)}, "example": line,
    }  # fmt: skip


def card_lines(card: dict[str, Any], *, width: int) -> Iterator[tuple[str, str]]:
    """A card for a terminal: (style, line)."""
    yield "bold", f"{card['name']}  {card['role']}, {card['shape']}"
    for paragraph in card["about"].split("\n\n"):
        yield from (("", line) for line in wrapped(paragraph, width))
    yield "", ""
    yield "bold", "fields"
    size = max((len(f["name"]) for f in card["fields"]), default=0)
    for each in card["fields"]:
        default = "required" if each["default"] is None else f"default {each['default']}" if each["default"] else ""
        facts = "; ".join(filter(None, [plain_text(each["kind"]), default, plain_text(each["note"])]))
        first, *rest = textwrap.wrap(facts, max(24, width - size - 4)) or [""]
        yield "", f"  {each['name'].ljust(size)}  {first}"
        yield from (("", " " * (size + 4) + line) for line in rest)
    if not card["fields"]:
        yield "", "  none"
    if card["columns"]:
        yield "", ""
        adds = ", ".join(f"{name} ({kind})" for name, kind in card["columns"].items())
        yield from _hanging("adds", adds, width)
    if card["population"]:
        yield "", "considers the rows that all deciding stages among its `inputs` kept"
    for title, text in card["sections"].items():
        yield from _hanging(title.lower(), text, width)
    yield "", ""
    yield "bold", "for example"
    yield from (("", line) for line in card["example"].splitlines())


def _hanging(title: str, text: str, width: int) -> Iterator[tuple[str, str]]:
    lines = textwrap.wrap(f"{title}: {plain_text(text)}", width, subsequent_indent="  ")
    yield from (("", line) for line in lines)


def wrapped(text: str, width: int) -> list[str]:
    """A paragraph as lines of at most `width` characters."""
    return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)


def plain_text(text: str) -> str:
    """A note without Markdown's links and marks."""
    return _LINK.sub(r"\1", text).replace("`", "")


def fields_of(cls: type[Operator]) -> list[Field]:
    """The operator's own fields in their order."""
    hints, ports, notes = field_types(cls), port_fields(cls), field_notes(cls)
    out = []
    for each in dataclasses.fields(cls):
        if each.name.startswith("_"):
            continue
        note = notes.get(each.name) or SHARED.get(each.name, "")
        note += "" if each.metadata.get("identity", True) else " (not identity)"
        kind = PORTS[ports[each.name]] if each.name in ports else type_text(hints[each.name])
        out.append(Field(name=each.name, kind=kind, default=default_text(each), note=note.strip()))
    return out


def field_notes(cls: type) -> dict[str, str]:
    """Field -> the comment at the end of its line, over the class and those it inherits from."""
    notes: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        lines = inspect.getsource(base).splitlines()
        tree = ast.parse(textwrap.dedent("\n".join(lines)))
        for node in tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                _, mark, note = lines[(node.end_lineno or node.lineno) - 1].rpartition("  # ")
                notes |= (
                    {node.target.id: note.strip()} if mark and not note.startswith(("noqa", "type:", "fmt")) else {}
                )
    return notes


def type_text(hint: Any) -> str:
    """A type as a person reads it in YAML."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(f"`{a}`" for a in args)
    if origin in (tuple, list):
        return f"list of {type_text(args[0])}"
    if origin is dict or str(origin).endswith("Mapping'>"):
        return f"mapping to {type_text(args[1])}"
    if args:
        return " or ".join(type_text(a) for a in args if a is not type(None))
    names = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false", "Budget": "budget"}
    return names.get(getattr(hint, "__name__", ""), getattr(hint, "__name__", str(hint)))


def default_text(field: dataclasses.Field[Any]) -> str | None:
    """A default as YAML would have it; "" where it is nothing, None where the field must be given."""
    if is_required(field):
        return None
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if value in (None, "", (), {}):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and (value != value.strip() or "\n" in value):
        return json.dumps(value)
    return ", ".join(str(v) for v in value) if isinstance(value, tuple | list) else str(value)


def column_notes(cls: type) -> dict[str, str]:
    """Column -> the comment beside it in the operator's module."""
    source = inspect.getsource(sys.modules[cls.__module__])
    return dict(re.findall(r'^    "(\w+)": .*?  # (.+)$', source, re.MULTILINE))


def kind_of(cls: type[Operator]) -> str:
    """What the operator leaves: `rows`, `columns`, ...; "" for composites, whose last sub-stage says it."""
    kind = getattr(cls, "kind", None)
    return kind.value if isinstance(kind, Kind) else ""


def split_sections(text: str, names: Sequence[str] = SECTIONS) -> tuple[str, dict[str, str]]:
    """(docstring without its closing sections, section -> its text on one line)."""
    body, sections, current = [], dict[str, str](), ""
    for line in text.splitlines():
        head = re.match(rf"({'|'.join(names)}):\s*(.*)", line)
        if head:
            current = head[1]
            sections[current] = head[2]
        elif current and line.strip():
            sections[current] += " " + line.strip()
        else:
            current = ""
            body.append(line)
    return "\n".join(body).strip(), {k: v.strip() for k, v in sections.items() if v.strip()}
