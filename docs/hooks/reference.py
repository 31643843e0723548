"""Reference pages from the code itself: commands, operators, presets, Python names. Nothing in them is typed by hand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import winnow
from winnow.core.operators import Operator, summary_of
from winnow.dags.before.catalogue import leading_comment
from winnow.dags.before.examples import example_of
from winnow.dags.before.operator_card import column_notes, fields_of, kind_of, split_sections
from winnow.dags.recipe.adds import added_by
from winnow.dags.recipe.registry import REGISTRY, operator_class

ROLES = {  # role -> (page, title); a role that is missing here gets a page of its own
    "reader": ("readers", "Readers"), "union": ("readers", "Readers"), "annotations": ("annotations", "Annotations"),
    "extractor": ("extractors", "Extractors of main text"),
    "signal": ("signals", "Signals and tokens"), "tokens": ("signals", "Signals and tokens"),
    "editor": ("editors", "Editors"),
    "filter": ("filters", "Filters and hold-outs"), "holdout": ("filters", "Filters and hold-outs"),
    "dedup": ("dedup", "Duplicates"), "scorer": ("scorers", "Scorers"), "vectors": ("vectors", "Vectors and graphs"),
    "graph": ("vectors", "Vectors and graphs"), "selector": ("selectors", "Selectors"), "writer": ("writers", "Writers"),
    "policy": ("policies", "Policies of training"), "trainer": ("trainers", "Training"),
}  # fmt: skip


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
        f"shape *{cls.shape_name}*",
        f"leaves *{kind_of(cls)}*" if kind_of(cls) else "",
    ]
    facts += [str(cls.exactness), f"version {cls.version}"]
    facts += ["draws lots (the stage's `seed` counts)"] if cls.seeded else []
    facts += ["considers the rows that its inputs kept"] if cls.population else []
    facts += [f"`{cls.uses[0]}` decides the output" if len(cls.uses) == 1 else
              f"{', '.join(f'`{u}`' for u in cls.uses)} decide the output"] if cls.uses else []  # fmt: skip
    lines = [f"## `{name}` {{ #{name} }}", "", body, "", " · ".join(f for f in facts if f), ""]
    lines += field_table(cls)
    lines += [f"**Adds** {columns}", ""] if (columns := column_text(cls)) else []
    lines += [f"**{title}:** {text}\n" for title, text in sections.items()]
    return [*lines, "```yaml", *example_of(name, cls).splitlines(), "```", ""]


def field_table(cls: type[Operator]) -> list[str]:
    """The fields of an operator: type, default and the comment beside the field."""
    found = fields_of(cls)
    if not found:
        return ["No fields.", ""]
    rows = [(f"`{f.name}`", cell(f.kind), _default(f.default), cell(f.note)) for f in found]
    rows = [("field", "type", "default", ""), ("---",) * 4, *rows]
    width = 4 if any(row[3] for row in rows[2:]) else 3
    return [*("| " + " | ".join(row[:width]) + " |" for row in rows), ""]


def _default(text: str | None) -> str:
    return "**required**" if text is None else f"`{text}`".replace("|", "\\|") if text else "none"


def column_text(cls: type[Operator]) -> str:
    """The columns that an operator adds: a line, or a table of many; '' where there are none."""
    schema = added_by(cls)
    if len(schema) > 12:
        notes = column_notes(cls)
        rows = [f"| `{name}` | {kind} | {cell(notes.get(name, ''))} |" for name, kind in schema.items()]
        return "\n".join([f"{len(schema)} columns:", "", "| column | type | |", "|---|---|---|", *rows])
    return ", ".join(f"`{name}` ({str(kind).replace('large_string', 'string')})" for name, kind in schema.items())


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

    from winnow.pipeline.filter.filter import PRESETS, load_preset, preset_names
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


def python_page() -> str:
    """The public names of `winnow`: signature and docstring of each, then what `read` and `open` give back."""
    from winnow.dags.looking.run import OpenedRun
    from winnow.dags.python.recipe import Lazy
    from winnow.dags.python.rows import Rows

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
