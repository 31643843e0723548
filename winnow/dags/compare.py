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

from winnow.core.config import dump
from winnow.core.errors import StoreError
from winnow.core.store import Store
from winnow.dags.plan import Node
from winnow.dags.session import RunRecord, Session, record_or_none, shown_name
from winnow.dags.stagefile import raw_stage

_PLAIN = ("operator", "version", "code", "seed", "where", "population")
_SHOWN_CHARS = 200


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
        "refs": {p: {k: shown_name(n) for k, n in v.items()} if isinstance(v, dict) else shown_name(v) for p, v in node.refs.items()},
        "columns": {n: _column(node, i, c) for n, (i, c) in {**node.columns, **node.where_columns}.items()},
        "population": [_column(node, i, c) for i, c in node.population],
        "where": node.where,
        "files": {p: {"files": len(fs), "bytes": sum(f.size for f in fs)} for p, fs in node.files.items()},
        "state": "cached" if done else "partial" if units else "changed" if changed else "new",
        "units_done": units,
        "changed": changed,
    }  # fmt: skip


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


def units_done(store: Store, folder: str) -> int:
    """Receipts of an unfinished stage."""
    return sum(len(store.list(f"{folder}/receipts/{phase}")) for phase in store.folders(f"{folder}/receipts"))


def changes(node: Node, store: Store, last: RunRecord | None) -> Iterator[dict[str, Any]]:
    """Every field in which a stage differs from the last run's stage of the same name; nothing for a new one."""
    before = last.stages.get(node.name) if last else None
    if last is None or before is None or before["dir"] == node.folder:
        return
    old = raw_stage(store, before["dir"])
    if old is None:
        yield {"field": "stage folder", "was": "removed", "now": node.folder}
        return
    found = [*_own_changes(node, old), *_source_changes(node, old, last)]
    yield from found or [{"field": "inputs", "was": "another order or set", "now": [shown_name(n) for n in node.inputs]}]


def _own_changes(node: Node, old: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    was, now = old["identity"], orjson.loads(orjson.dumps(node.identity))
    for key in _PLAIN:
        if was.get(key) != now[key]:
            yield _change(key, *_as_written(key, was.get(key), now[key], old, node))
    yield from _config_changes(was, now, old["config"], dump(node.operator))
    for name in sorted({*was["uses"], *now["uses"]}):
        if was["uses"].get(name) != now["uses"].get(name):
            yield _change(f"uses {name}", was["uses"].get(name), now["uses"].get(name))
    for port in sorted({*was["files"], *now["files"]}):
        if was["files"].get(port) != now["files"].get(port):
            yield _change(port, *_files_told(was["files"].get(port, []), now["files"].get(port, [])))
    if was["columns"] != now["columns"]:
        names = sorted({*was["columns"], *now["columns"]})
        told = [n for n in names if was["columns"].get(n) != now["columns"].get(n)]
        yield _change("columns", [n for n in told if n in was["columns"]], [n for n in told if n in now["columns"]])


def _as_written(key: str, was: Any, now: Any, old: Mapping[str, Any], node: Node) -> tuple[Any, Any]:
    """Conditions as the user wrote them; populations as counts of deciding stages."""
    if key == "where":
        return old.get("where"), node.where
    if key == "population":
        return f"{len(was or ())} decisions", f"{len(now)} decisions"
    return was, now


def _config_changes(
    was: Mapping[str, Any], now: Mapping[str, Any], plain_was: Mapping[str, Any], plain_now: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    for key in sorted({*was["config"], *now["config"]}):
        if was["config"].get(key) == now["config"].get(key):
            continue
        a, b = plain_was.get(key), plain_now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            inner = [k for k in dict.fromkeys([*a, *b]) if a.get(k) != b.get(k)]
            yield from (_change(f"{key}.{k}", a.get(k), b.get(k)) for k in inner)
            if inner:
                continue
        if a == b:  # the same words now mean columns of other stages
            yield _change(key, "columns of other stages", b)
        else:
            yield _change(key, a, b)


def _files_told(was: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> tuple[str, str]:
    a, b = ({rel: digest for rel, digest in files} for files in (was, now))
    added, removed = [r for r in b if r not in a], [r for r in a if r not in b]
    changed = [r for r in b if r in a and a[r] != b[r]]
    parts = [f"{len(names)} {word} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
             for word, names in (("added", added), ("removed", removed), ("changed", changed)) if names]  # fmt: skip
    return f"{len(a)} files", f"{len(b)} files: {', '.join(parts)}"


def _source_changes(node: Node, old: Mapping[str, Any], last: RunRecord) -> Iterator[dict[str, Any]]:
    """Inputs and references that are other stages now."""
    names = {str(s["dir"]): n for n, s in zip(last.shown_names().values(), last.stages.values(), strict=True)}
    for source in node.inputs:
        if source.folder not in old["inputs"]:
            before = last.stages.get(source.name)
            yield _change(f"input {shown_name(source)}", before["dir"] if before else None, source.folder)
    now = {shown_name(n) for n in node.inputs}
    for folder in old["inputs"]:
        if folder not in {n.folder for n in node.inputs} and names.get(folder) not in now:
            yield _change(f"input {names.get(folder, folder)}", folder, None)
    for port, value in node.refs.items():
        one = {"": value} if isinstance(value, Node) else value
        told = old["refs"].get(port, {})
        for label, source in one.items():
            was = (told if not label else told.get(label, {})).get("folder")
            if was != source.folder:
                yield _change(f"{port}.{label}" if label else port, was, source.folder)


def _change(field: str, was: Any, now: Any) -> dict[str, Any]:
    return {"field": field, "was": was, "now": now}


def changed_text(change: Mapping[str, Any]) -> str:
    """One change as a short text."""
    was, now = (_short(change[k]) for k in ("was", "now"))
    if str(change["field"]).startswith("input "):
        return f"{change['field']} changed"
    return f"{change['field']}: {was} -> {now}"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def plan_lines(told: Mapping[str, Any], *, hidden: bool) -> Iterator[tuple[str, str]]:
    """(style, line) of a plan for a terminal; sub-stages of composites where `hidden`."""
    width = max((len(s["name"]) for s in told["stages"]), default=5)
    for stage in told["stages"]:
        if stage["hidden"] and not hidden and stage["state"] == "cached":
            continue
        yield from _stage_lines(stage, width)


def _stage_lines(stage: Mapping[str, Any], width: int) -> Iterator[tuple[str, str]]:
    style = {"cached": "green", "partial": "cyan", "changed": "yellow", "new": ""}[stage["state"]]
    marks = [m for m in ("implicit", "hidden") if stage[m]]
    units = f" ({stage['units_done']} units done)" if stage["units_done"] else ""
    head = f"{stage['name']:<{width}}  {stage['state']:<8}{stage['operator']} ({', '.join([stage['kind'], *marks])}){units}"
    yield style, head
    indent = " " * (width + 2)
    for port, files in stage["files"].items():
        trusted = "; trusted: by size and time, not content" if stage["trusted"] else ""
        yield "dim", f"{indent}{port}: {files['files']:,} files, {files['bytes'] / 1e6:,.1f} MB{trusted}"
    if stage["inputs"]:
        names = [f"{n} (found)" if n in stage["resolved"] else n for n in stage["inputs"]]
        yield "dim", f"{indent}inputs: {', '.join(names)}"
    for port, value in stage["refs"].items():
        text = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else value
        yield "dim", f"{indent}{port}: {text}"
    if stage["population"]:
        yield "dim", f"{indent}population: rows that {' and '.join(stage['population'])} kept".replace(".kept", "")
    if stage["where"]:
        yield "dim", f"{indent}where: {stage['where']}"
    for change in stage["changed"]:
        yield "yellow", f"{indent}changed: {changed_text(change)}"


def plan_total(told: Mapping[str, Any]) -> str:
    """One line: how many stages are cached and how many would run."""
    states = [s["state"] for s in told["stages"]]
    cached = states.count("cached")
    return f"{cached} of {len(states)} stages are cached, {len(states) - cached} would run"

