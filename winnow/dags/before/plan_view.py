"""What a plan would do to a root: which stages are cached, and for a changed one which field changed.

The JSON form (`winnow plan --json`) is one object: `run`, `root`, `recipe` and `stages`, a list in plan order of

    {"name", "operator", "kind", "dir", "fingerprint", "hidden", "implicit", "trusted", "inputs", "resolved",
     "refs", "columns", "population", "where", "files": {port: {"files", "bytes"}},
     "state": "cached" | "partial" | "changed" | "new", "units_done", "changed": [{"field", "was", "now"}]}

`inputs` are names of stages, `resolved` those of them that winnow found by itself, `columns` maps a name in the
stage to `stage.column`, `trusted` is true where files are identified by size and time instead of content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from winnow.core.errors import StoreError
from winnow.core.operators.config import dump
from winnow.core.store.store import Store
from winnow.dags.looking.summary import counted
from winnow.dags.recipe.plan import Node
from winnow.dags.recipe.records import RunRecord, record_or_none, units_done
from winnow.dags.recipe.session import Session, shown_name
from winnow.dags.work.stage_file import raw_stage

_PLAIN = ("operator", "version", "code", "seed")
_SHOWN_CHARS = 120


def plan_json(session: Session, nodes: Sequence[Node]) -> dict[str, Any]:
    """The object of `winnow plan --json`; see the module."""
    last = record_or_none(session.store, session.name)
    written = {s.name: s.inputs for s in session.plan.recipe.stages}
    digests: dict[str, str] = {}
    stages = [_stage(node, session.store, last, written, digests) for node in nodes]
    return {
        "run": session.name, "root": str(session.root), "recipe": session.plan.recipe.name, "stages": stages,
    }  # fmt: skip


def _stage(
    node: Node, store: Store, last: RunRecord | None, written: Mapping[str, Sequence[str]], digests: dict[str, str]
) -> dict[str, Any]:
    done = _cached(node, store, digests)
    changed = [] if done else list(changes(node, store, last))
    units = 0 if done else units_done(store, node.folder)
    return {
        "name": shown_name(node),
        "operator": node.operator.name,
        "kind": node.kind.value,
        "dir": str(store.path(node.folder)),
        "fingerprint": node.fingerprint,
        "hidden": node.hidden,
        "implicit": node.implicit,
        "trusted": node.trusted,
        "inputs": [shown_name(n) for n in node.inputs],
        "resolved": _resolved(node, written),
        "refs": {port: _ref_names(value) for port, value in node.refs.items()},
        "columns": {n: _column(node, i, c) for n, (i, c) in {**node.columns, **node.where_columns}.items()},
        "population": [_column(node, i, c) for i, c in node.population],
        "where": node.where,
        "files": {p: {"files": len(fs), "bytes": sum(f.size for f in fs)} for p, fs in node.files.items()},
        "state": "cached" if done else "partial" if units else "changed" if changed else "new",
        "units_done": units,
        "changed": changed,
    }  # fmt: skip


def _ref_names(value: Node | Mapping[str, Node]) -> str | dict[str, str]:
    if isinstance(value, Node):
        return shown_name(value)
    return {label: shown_name(node) for label, node in value.items()}


def _column(node: Node, number: int, column: str) -> str:
    return f"{shown_name(node.inputs[number])}.{column}"


def _resolved(node: Node, written: Mapping[str, Sequence[str]]) -> list[str]:
    """Inputs that the recipe does not name."""
    named = written.get(node.face_of or node.name, ())
    out = [n for n in node.inputs if shown_name(n) not in named]
    return [shown_name(n) for n in out if not node.face_of or n.face_of != node.face_of]


def _cached(node: Node, store: Store, digests: dict[str, str]) -> bool:
    """True where a run would reuse the whole stage: its manifest was made from inputs that are still the same."""
    key = f"{node.folder}/manifest.json"
    if not store.exists(key):
        return False
    try:
        head = orjson.loads(store.get(key))
        same = head["consumed"] == {n.fingerprint: digests[n.fingerprint] for n in node.sources()}
        digests[node.fingerprint] = head["content_digest"]
    except (KeyError, TypeError, orjson.JSONDecodeError, StoreError):
        return False
    return bool(same)


def changes(node: Node, store: Store, last: RunRecord | None) -> Iterator[dict[str, Any]]:
    """Every field in which a stage differs from the last run's stage of the same name; nothing for a new one."""
    before = last.stages.get(node.name) if last else None
    if last is None or before is None or before["dir"] == node.folder:
        return
    old = raw_stage(store, before["dir"])
    if old is None:
        yield {"field": "stage folder", "was": "removed", "now": node.folder}
        return
    sources = _Sources(node, old, last)
    found = [*_own_changes(node, old, sources), *_source_changes(node, old, last, sources)]
    yield from found or [_change("identity", "made by another version of winnow", node.fingerprint)]


def _own_changes(node: Node, old: Mapping[str, Any], sources: _Sources) -> Iterator[dict[str, Any]]:
    was, now = old["identity"], orjson.loads(orjson.dumps(node.identity))
    for key in _PLAIN:
        if was.get(key) != now[key]:
            yield _change(key, was.get(key), now[key])
    if old.get("where") != node.where:
        yield _change("where", old.get("where"), node.where)
    yield from config_changes(
        was["config"], now["config"], old["config"], dump(node.operator), node.operator.columns_from
    )
    for name in sorted({*was["uses"], *now["uses"]}):
        if was["uses"].get(name) != now["uses"].get(name):
            yield _change(f"uses {name}", was["uses"].get(name), now["uses"].get(name))
    for port in sorted({*was["files"], *now["files"]}):
        if was["files"].get(port) != now["files"].get(port):
            yield _change(port, *files_told(was["files"].get(port, []), now["files"].get(port, [])))
    yield from sources.column_changes(node, old)


def config_changes(
    was: Mapping[str, Any], now: Mapping[str, Any], plain_was: Mapping[str, Any], plain_now: Mapping[str, Any],
    names_columns: Sequence[str],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Fields by name; fields that name columns are compared as written (what they mean is in `columns`)."""
    for key in sorted({*was, *now}):
        a, b = plain_was.get(key), plain_now.get(key)
        if was.get(key) == now.get(key) or (key in names_columns and a == b):
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from (
                _change(f"{key}.{k}", a.get(k), b.get(k)) for k in dict.fromkeys([*a, *b]) if a.get(k) != b.get(k)
            )
        elif a == b:
            yield _change(key, was.get(key), now.get(key))
        else:
            yield _change(key, a, b)


class _Sources:
    """The inputs of an old and a new stage under names that both share: the order of inputs is no change."""

    def __init__(self, node: Node, old: Mapping[str, Any], last: RunRecord) -> None:
        names = {str(s["dir"]): n for n, s in zip(last.shown_names().values(), last.stages.values(), strict=True)}
        here = {n.folder: shown_name(n) for n in node.inputs}
        self.was = [here.get(f) or names.get(f, f) for f in old["inputs"]]
        self.now = [shown_name(n) for n in node.inputs]

    def column_changes(self, node: Node, old: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Names that mean a column of another stage now, and another population."""
        was = {n: f"{self.was[i]}.{c}" for n, (i, c) in {**old["columns"], **old["where_columns"]}.items()}
        now = {n: f"{self.now[i]}.{c}" for n, (i, c) in {**node.columns, **node.where_columns}.items()}
        for name in (n for n in was if n in now and was[n] != now[n]):
            yield _change(f"column {name}", was[name], now[name])
        before = sorted(f"{self.was[i]}.{c}" for i, c in old["population"])
        after = sorted(f"{self.now[i]}.{c}" for i, c in node.population)
        if before != after:
            yield _change("population", before, after)


def files_told(was: Sequence[tuple[str, str]], now: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Two lists of (path, digest) as short texts: how many files, and which were added, removed or changed."""
    a, b = (dict(files) for files in (was, now))
    added, removed = [r for r in b if r not in a], [r for r in a if r not in b]
    changed = [r for r in b if r in a and a[r] != b[r]]
    parts = [f"{len(names)} {word} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
             for word, names in (("added", added), ("removed", removed), ("changed", changed)) if names]  # fmt: skip
    return f"{len(a)} files", f"{len(b)} files: {', '.join(parts)}"


def _source_changes(node: Node, old: Mapping[str, Any], last: RunRecord, sources: _Sources) -> Iterator[dict[str, Any]]:
    """Inputs and references that are other stages now."""
    for name, source in zip(sources.now, node.inputs, strict=True):
        if source.folder not in old["inputs"]:
            before = last.stages.get(source.name)
            yield _change(f"input {name}", before["dir"] if before else None, source.folder)
    for name, folder in zip(sources.was, old["inputs"], strict=True):
        if name not in sources.now:
            yield _change(f"input {name}", folder, None)
    for port, value in node.refs.items():
        one = {"": value} if isinstance(value, Node) else value
        told = old["refs"].get(port, {})
        for label, source in one.items():
            was = (told if not label else told.get(label, {})).get("folder")
            if was != source.folder:
                yield _change(
                    f"input {shown_name(source)} ({f'{port}.{label}' if label else port})", was, source.folder
                )


def _change(field: str, was: Any, now: Any) -> dict[str, Any]:
    return {"field": field, "was": was, "now": now}


def changed_text(change: Mapping[str, Any]) -> str:
    """One change as a short text."""
    was, now = (_short(change[k]) for k in ("was", "now"))
    return f"{change['field']}: {was} -> {now}"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def plan_lines(told: Mapping[str, Any], *, hidden: bool) -> Iterator[tuple[str, str]]:
    """(style, line) of a plan for a terminal; sub-stages of composites where `hidden`."""
    width = max((len(s["name"]) for s in told["stages"] if hidden or not s["hidden"]), default=5)
    for stage in told["stages"]:
        if hidden or not stage["hidden"]:
            yield from _stage_lines(stage, width)
            subs = [s for s in told["stages"] if s["hidden"] and s["name"].startswith(stage["name"] + ".")]
            if subs and not hidden:
                yield from _sub_lines(subs, " " * (width + 2))


def _stage_lines(stage: Mapping[str, Any], width: int) -> Iterator[tuple[str, str]]:
    style = {"cached": "green", "partial": "cyan", "changed": "yellow", "new": ""}[stage["state"]]
    marks = [m for m in ("implicit", "hidden") if stage[m]]
    units = f" ({stage['units_done']} units done)" if stage["units_done"] else ""
    kinds = ", ".join([stage["kind"], *marks])
    yield style, f"{stage['name']:<{width}}  {stage['state']:<8}{stage['operator']} ({kinds}){units}"
    indent = " " * (width + 2)
    for port, files in stage["files"].items():
        trusted = "; trusted: by size and time, not content" if stage["trusted"] else ""
        yield "dim", f"{indent}{port}: {counted(files['files'], 'file')}, {files['bytes'] / 1e6:,.1f} MB{trusted}"
    if stage["inputs"]:
        names = [f"{n} (found)" if n in stage["resolved"] else n for n in stage["inputs"]]
        yield "dim", f"{indent}inputs: {', '.join(names)}"
    for port, value in stage["refs"].items():
        text = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else value
        yield "dim", f"{indent}{port}: {_short(text)}"
    if stage["population"]:
        yield "dim", f"{indent}population: rows that {' and '.join(stage['population'])} kept".replace(".kept", "")
    if stage["where"]:
        yield "dim", f"{indent}where: {stage['where']}"
    upstream = [c["field"].removeprefix("input ") for c in stage["changed"] if c["field"].startswith("input ")]
    for change in stage["changed"]:
        if not change["field"].startswith("input "):
            yield "bold yellow", f"{indent}changed: {changed_text(change)}"
    if upstream:
        yield "yellow", f"{indent}changed: input {', '.join(upstream)}"


def _sub_lines(subs: Sequence[Mapping[str, Any]], indent: str) -> Iterator[tuple[str, str]]:
    """One line for the sub-stages of a composite, and what changed in them by itself."""
    cached = sum(s["state"] == "cached" for s in subs)
    yield "dim", f"{indent}sub-stages: {len(subs)}, of them cached: {cached} (--all shows them)"
    for sub in subs:
        for change in sub["changed"]:
            if not change["field"].startswith("input "):
                yield "bold yellow", f"{indent}changed in {sub['name']}: {changed_text(change)}"


def plan_total(told: Mapping[str, Any]) -> str:
    """One line: how many stages are cached and how many would run."""
    states = [s["state"] for s in told["stages"]]
    cached = states.count("cached")
    return f"{cached} of {len(states)} stages are cached, {len(states) - cached} would run"
