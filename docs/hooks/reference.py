"""Reference pages from the code itself: commands, operators, presets, Python names. Nothing in them is typed by hand."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import textwrap
import typing
from collections.abc import Iterable
from typing import Any

import winnow
from winnow.core.config import coerce
from winnow.core.errors import ConfigError
from winnow.core.operators import (
    Composite,
    Derive,
    Fit,
    Fold,
    Group,
    Job,
    Map,
    MapArrow,
    Operator,
    Rewrite,
    Union,
    Whole,
    port_fields,
    summary_of,
)
from winnow.dags.registry import REGISTRY, operator_class

ROLES = {  # role -> (page, title); a role that is missing here gets a page of its own
    "reader": ("readers", "Readers"), "union": ("readers", "Readers"), "annotations": ("annotations", "Annotations"),
    "signal": ("signals", "Signals and tokens"), "tokens": ("signals", "Signals and tokens"),
    "filter": ("filters", "Filters and hold-outs"), "holdout": ("filters", "Filters and hold-outs"),
    "dedup": ("dedup", "Duplicates"), "scorer": ("scorers", "Scorers"), "vectors": ("vectors", "Vectors and graphs"),
    "graph": ("vectors", "Vectors and graphs"), "selector": ("selectors", "Selectors"), "writer": ("writers", "Writers"),
    "trainer": ("trainers", "Training"),
}  # fmt: skip
SHAPES = ((Composite, "Composite"), (Union, "Union"), (Rewrite, "Rewrite"), (Derive, "Derive"), (MapArrow, "Map"),
          (Map, "Map"), (Fold, "Fold"), (Group, "Group"), (Whole, "Whole"), (Fit, "Fit"), (Job, "Job"))  # fmt: skip
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
    "id": "`position`, `content`, or `field:NAME`",
    "columns": "column -> type: `string`, `int64`, `float64`, `bool`",
    "by": "the column that decides",
    "salt": "another one is an independent draw",
    "max_record_mb": "larger records are put aside",
}
SECTIONS = ("Raises", "Cost", "Source", "Shapes", "Memory")


def pages() -> dict[str, str]:
    """Path below docs/ -> Markdown of every generated page."""
    found = {
        "reference/cli.md": cli_page(),
        "reference/presets.md": presets_page(),
        "reference/python.md": python_page(),
    }
    found |= {f"reference/{page}.md": text for page, text in operator_pages().items()}
    return found | {"reference/operators.md": operators_page()}


def roles() -> dict[str, tuple[str, list[str]]]:
    """Page -> (title, operators on it), in the order of `ROLES`; operators by name."""
    found: dict[str, tuple[str, list[str]]] = {page: (title, []) for page, title in ROLES.values()}
    for name in sorted(REGISTRY):
        role = operator_class(name).role
        page, title = ROLES.get(role, (role, role.capitalize()))
        found.setdefault(page, (title, []))[1].append(name)
    return {page: (title, names) for page, (title, names) in found.items() if names}


def operators_page() -> str:
    """The index of operators: one table per role."""
    lines = [
        "# Operators",
        "",
        f"{len(REGISTRY)} operators. `winnow list` prints the same table; a recipe's `use:` names one. These pages are",
        "made from the code when the site is built. *Exact* operators give equal bits for every layout, engine and worker",
        "count; *bounded* ones (BLAS, torch) differ by at most the stated amount between machines.",
    ]
    for page, (title, names) in roles().items():
        lines += ["", f"## {title}", "", "| operator | what comes out |", "|---|---|"]
        lines += [f"| [`{name}`]({page}.md#{name}) | {cell(summary_of(operator_class(name)))} |" for name in names]
    return "\n".join(lines) + "\n"


def operator_pages() -> dict[str, str]:
    """Page -> Markdown with every operator of it."""
    out = {}
    for page, (title, names) in roles().items():
        lines = [f"# {title}", ""]
        for name in names:
            lines += operator_lines(name, operator_class(name))
        out[page] = "\n".join(lines) + "\n"
    return out


def operator_lines(name: str, cls: type[Operator]) -> list[str]:
    """One operator: what its docstring says, its facts, its fields and the columns it adds."""
    text = inspect.getdoc(cls) or ""
    body, sections = split_sections(text)
    facts = [
        f"role *{cls.role}*",
        f"shape *{shape_of(cls)}*",
        f"leaves *{cls.kind.value}*" if hasattr(cls, "kind") else "",
    ]
    facts += [str(cls.exactness), f"tier *{cls.tier}*", f"version {cls.version}"]
    facts += ["draws lots (the stage's `seed` counts)"] if cls.seeded else []
    facts += ["considers the rows that its inputs kept"] if cls.population else []
    facts += [f"`{cls.uses[0]}` decides the output" if len(cls.uses) == 1 else
              f"{', '.join(f'`{u}`' for u in cls.uses)} decide the output"] if cls.uses else []  # fmt: skip
    lines = [f"## `{name}` {{ #{name} }}", "", body, "", " · ".join(f for f in facts if f), ""]
    lines += field_table(cls)
    lines += [f"**Adds** {columns}", ""] if (columns := columns_of(cls)) else []
    lines += [f"**{title}:** {text}\n" for title, text in sections.items()]
    return lines


def field_table(cls: type[Operator]) -> list[str]:
    """The fields of an operator: type, default and the comment beside the field."""
    fields = [f for f in dataclasses.fields(cls) if not f.name.startswith("_")]
    if not fields:
        return ["No fields.", ""]
    hints, ports, notes = typing.get_type_hints(cls), port_fields(cls), field_notes(cls)
    rows = []
    for field in fields:
        kind = PORTS[ports[field.name]] if field.name in ports else type_text(hints[field.name])
        note = (notes.get(field.name) or SHARED.get(field.name, "")) + (
            "" if field.metadata.get("identity", True) else " (not identity)"
        )
        rows.append((f"`{field.name}`", cell(kind), default_text(field), cell(note)))
    rows = [("field", "type", "default", ""), ("---",) * 4, *rows]
    width = 4 if any(row[3] for row in rows[2:]) else 3
    return [*("| " + " | ".join(row[:width]) + " |" for row in rows), ""]


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


def default_text(field: dataclasses.Field[Any]) -> str:
    """A default as YAML would have it; empty where the field must be given."""
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "**required**"
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if value in (None, "", (), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    shown = [str(v) for v in value] if isinstance(value, tuple | list) else value
    if isinstance(value, str) and (value != value.strip() or "\n" in value):
        return f"`{json.dumps(value)}`"
    return f"`{', '.join(shown) if isinstance(shown, list) else shown}`".replace("|", "\\|")


def columns_of(cls: type[Operator]) -> str:
    """Columns and their types, for a stand-in with the required fields filled; '' where there are none."""
    try:
        schema = dict(stand_in(cls).outputs())
    except Exception:  # noqa: BLE001 (some columns follow from fields that have no stand-in)
        return ""
    if len(schema) > 12:
        notes = column_notes(cls)
        rows = [f"| `{name}` | {kind} | {cell(notes.get(name, ''))} |" for name, kind in schema.items()]
        return "\n".join([f"{len(schema)} columns:", "", "| column | type | |", "|---|---|---|", *rows])
    return ", ".join(f"`{name}` ({str(kind).replace('large_string', 'string')})" for name, kind in schema.items())


def column_notes(cls: type) -> dict[str, str]:
    """Column -> the comment beside it in the operator's module."""
    source = inspect.getsource(sys.modules[cls.__module__])
    return dict(re.findall(r'^    "(\w+)": .*?  # (.+)$', source, re.MULTILINE))


def stand_in(cls: type[Operator]) -> Operator:
    """An operator with every required field given some value of its type. Raises where none is found."""
    hints, values = typing.get_type_hints(cls), {}
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            values[field.name] = _some(hints[field.name], field.name)
    return cls(**values)


def _some(hint: Any, name: str) -> Any:
    for value in ("1 docs", name, 1, 1.0, [name], {name: name}):
        try:
            return coerce(hint, value, where=name)
        except ConfigError:
            continue
    raise ConfigError(f"no value for {name}")


def shape_of(cls: type[Operator]) -> str:
    """The shape that decides what a row needs."""
    return next((name for shape, name in SHAPES if issubclass(cls, shape)), "Operator")


def split_sections(text: str) -> tuple[str, dict[str, str]]:
    """(docstring without its closing sections, section -> its text on one line)."""
    body, sections, current = [], {}, ""
    for line in text.splitlines():
        head = re.match(rf"({'|'.join(SECTIONS)}):\s*(.*)", line)
        if head:
            current = head[1]
            sections[current] = head[2]
        elif current and line.strip():
            sections[current] += " " + line.strip()
        else:
            current = ""
            body.append(line)
    return "\n".join(body).strip(), {k: v.strip() for k, v in sections.items() if v.strip()}


def cell(text: str) -> str:
    """A text that can stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def cli_page() -> str:
    """Every verb with its arguments and options, as the parser has them."""
    import typer.main

    from winnow.cli import app

    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = ["# Command line", "", "Made from the parser itself; `winnow VERB --help` prints the same.", "",
             "| verb | |", "|---|---|"]  # fmt: skip
    lines += [f"| [`{name}`](#{name}) | {cell(verb.help or '')} |" for name, verb in verbs.items()]
    lines += ["", "Exit codes: 0; 2 configuration (nothing has run); 3 data; 4 engine or store; 130 Ctrl-C. With `--json`",
              "the last line of stdout is one JSON object, of an error too, and everything else goes to stderr."]  # fmt: skip
    for name, verb in verbs.items():
        lines += verb_lines(name, verb)
    return "\n".join(lines) + "\n"


def verb_lines(name: str, verb: Any) -> list[str]:
    """One verb: how it is called, then its arguments and options."""
    shown = [p for p in verb.params if p.name != "help"]
    usage = " ".join(_usage(p) for p in shown if p.param_type_name == "argument")
    lines = ["", f"## `winnow {name}` {{ #{name} }}", "", verb.help or "", "", "```text",
             f"winnow {name} {usage}{' ' if usage else ''}[OPTIONS]", "```", "", "| | default | |", "|---|---|---|"]  # fmt: skip
    for parameter in shown:
        given = parameter.param_type_name == "argument"
        head = (parameter.metavar or parameter.name.upper()) if given else ", ".join(parameter.opts)
        value = "" if given or getattr(parameter, "is_flag", False) else f" {_metavar(parameter)}"
        default = parameter.default if not callable(parameter.default) else None
        told = "" if default in (None, False, ()) else f"`{default}`"
        told = "**required**" if parameter.required else told
        lines.append(f"| `{cell(head + value)}` | {told} | {cell(getattr(parameter, 'help', None) or '')} |")
    return lines


def _usage(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _metavar(parameter: Any) -> str:
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", str)
    return parameter.metavar or {int: "N", float: "X"}.get(kind, "TEXT")


def presets_page() -> str:
    """Clauses of the filter presets, and the classifiers that are known by name, from their files."""
    from ruamel.yaml import YAML

    from winnow.pipeline.filtering import PRESETS, load_preset, preset_names
    from winnow.scorers import classifier

    lines = ["# Presets", "", "## Filters", "", "For `{use: filter, preset: NAME}`; a clause of your own of the same name",
             "replaces the preset's."]  # fmt: skip
    for name in preset_names():
        about = leading_comment((PRESETS / f"{name}.yaml").read_text("utf-8"))
        lines += ["", f"### `{name}`", "", about, "", "| clause | a row passes where |", "|---|---|"]
        lines += [f"| `{clause}` | `{cell(rule)}` |" for clause, rule in load_preset(name).items()]
    lines += [
        "",
        "## Classifiers",
        "",
        "For `{use: classifier, preset: NAME, model: PATH}`; the model's files come from you.",
    ]
    for path in sorted(classifier.PRESETS.glob("*.yaml")):
        text = path.read_text("utf-8")
        known = YAML(typ="safe", pure=True).load(text)
        lines += ["", f"### `{path.stem}`", "", leading_comment(text), "", "| | |", "|---|---|"]
        lines += [f"| {key} | {cell(str(value))} |" for key, value in known.items()]
    return "\n".join(lines) + "\n"


def leading_comment(text: str) -> str:
    """The comment at the top of a YAML file."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def python_page() -> str:
    """The public names of `winnow`: signature and docstring of each, then what `read` and `open` give back."""
    from winnow.dags.lazy import Rows
    from winnow.dags.lazy_recipe import Lazy
    from winnow.dags.opened_run import OpenedRun

    lines = ["# Python", "", f"`import winnow as w`: {len(winnow.__all__)} public names; heavy libraries are loaded when first",
             "used. A recipe written in Python has the same stages and fingerprints as in YAML.", ""]  # fmt: skip
    things = {name: getattr(winnow, name) for name in winnow.__all__}
    errors = [n for n, t in things.items() if inspect.isclass(t) and issubclass(t, BaseException)]
    lines += ["| name | |", "|---|---|"]
    lines += [f"| [`{n}`](#{n}) | {cell(first_line(n, t))} |" for n, t in things.items() if n not in errors]
    for name, thing in things.items():
        if name not in errors:
            lines += ["", f"## `{name}` {{ #{name} }}", "", *signature(name, thing), "", said(name, thing)]
    lines += [
        "",
        "## Errors",
        "",
        "All are `WinnowError`s with `what`, `where`, `hint` and `exit_code`.",
        "",
        "| error | |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {cell(summary_of(things[name]))} |" for name in errors]
    for title, classes in (("Rows", (Rows, Lazy)), ("OpenedRun", (OpenedRun,))):
        lines += ["", f"## `{title}` {{ #{title} }}", "", said(title, classes[0]), "", *method_table(classes)]
    return "\n".join(lines) + "\n"


def method_table(classes: Iterable[type]) -> list[str]:
    """Public methods and properties of classes, with their first lines."""
    lines, seen = ["| member | |", "|---|---|"], set()
    for cls in classes:
        for name, member in vars(cls).items():
            if name.startswith("_") or name in seen or not (inspect.isfunction(member) or isinstance(member, property)):
                continue
            seen.add(name)
            call = "" if isinstance(member, property) else "()"
            lines.append(f"| `{name}{call}` | {cell(summary_of(member))} |")  # type: ignore[arg-type]
    return lines


def first_line(name: str, thing: Any) -> str:
    """What a name is for, in one line."""
    return said(name, thing).split("\n\n", maxsplit=1)[0]


def said(name: str, thing: Any) -> str:
    """The docstring as Markdown; of a registered selector, its operator's."""
    if name in REGISTRY and not inspect.getdoc(
        getattr(thing, "__wrapped__", None) or (thing if inspect.isfunction(thing) else None)
    ):
        cls = operator_class(name)
        return (
            f"A selection, for `pool.select(...)` or an arm. {summary_of(cls)} Fields: [`{name}`](selectors.md#{name})."
        )
    body, sections = split_sections(inspect.getdoc(thing) or "")
    return "\n\n".join([body, *(f"*{k}:* {v}" for k, v in sections.items())])


def signature(name: str, thing: Any) -> list[str]:
    """A code block with the call; nothing for what takes any fields."""
    if inspect.isclass(thing) or not inspect.isfunction(thing):
        return []
    call = inspect.signature(thing)
    shown, star = [], False
    for parameter in call.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            shown, star = [*shown, "*"], True
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        shown.append(str(parameter))
    shown = [re.sub(r": '([^']*)'", r": \1", text).replace("= ''", '= ""') for text in shown]
    back = str(call.return_annotation).strip("'")
    line = f"def {name}({', '.join(shown)}) -> {back}"
    if len(line) > 110:
        line = f"def {name}(\n    " + ",\n    ".join(shown) + f",\n) -> {back}"
    return ["```python", line, "```"]
