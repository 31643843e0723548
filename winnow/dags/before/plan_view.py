"""What a plan would do to a root: which stages are cached, and for a changed one which field changed.

The JSON form (`winnow plan --json`) is one object: `run`, `root`, `recipe`, `remarks` ([{"stage", "text"}]),
`max_bad_share` and `strict` of the recipe, and `stages`, a list in plan order of

    {"name", "operator", "kind", "dir", "fingerprint", "hidden", "implicit", "policies", "trusted", "inputs",
     "resolved", "text", "refs", "columns", "population", "rows", "missing", "where", "expect": [{"expect", "shown"}],
     "max_bad_share", "strict", "files": {port: {"files", "bytes"}},
     "state": "cached" | "partial" | "changed" | "new", "units_done", "changed": [{"field", "was", "now"}]}

`inputs` are names of stages, `resolved` those of them that winnow found by itself, `text` is the editor whose text the
stage reads ('' for the text as it was read), `columns` maps a name in the stage to `stage.column`, `rows` says which
rows a stage is about (empty for those that measure all) and `missing` which cleaning above it does not respect,
`trusted` is true where files are identified by size and time instead of content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from winnow.core.errors import ConfigError, StoreError
from winnow.core.operators.config import dump
from winnow.core.store.store import Store
from winnow.core.terminal import counted, cut_to
from winnow.dags.before.remarks import remarks_json
from winnow.dags.driver.session import Session, shown_name
from winnow.dags.looking.changes import (
    MOST_CHARS,
    Change,
    Means,
    as_text,
    change,
    column_changes,
    own_changes,
    population_change,
)
from winnow.dags.looking.renamed import Named, names_now, same_stages
from winnow.dags.recipe.plan import Node
from winnow.dags.recipe.records import RunRecord, latest_record, record_or_none, units_done
from winnow.dags.recipe.yaml_recipe import MAX_BAD_SHARE
from winnow.dags.shapes.stage_file import raw_stage


def plan_json(session: Session, nodes: Sequence[Node]) -> dict[str, Any]:
    """The object of `winnow plan --json`; see the module."""
    last = _last(session)
    pairs = _same_stages(nodes, last) if last else {}
    written = {s.name: s.inputs for s in session.plan.recipe.stages}
    digests: dict[str, str] = {}
    stages = [_stage(node, session.store, last, pairs, written, digests) for node in nodes]
    return {
        "run": session.name, "root": session.store.location, "recipe": session.plan.recipe.name, "stages": stages,
        "max_bad_share": session.plan.recipe.max_bad_share, "strict": session.plan.recipe.strict,
        "remarks": remarks_json(session.plan.remarks),
    }  # fmt: skip


def _last(session: Session) -> RunRecord | None:
    """The last run of this name, else the root's last one: a run may have a new name."""
    same = record_or_none(session.store, session.name)
    if same is None:
        with suppress(StoreError, ConfigError):
            return latest_record(session.store)
    return same


def _same_stages(nodes: Sequence[Node], last: RunRecord) -> dict[str, str]:
    """Name of a node -> name of the last run's stage that it is."""
    was = [Named(name=n, folder=s["dir"], operator=str(s.get("operator", ""))) for n, s in last.stages.items()]
    return same_stages(was, [Named(name=n.name, folder=n.folder, operator=n.operator.name) for n in nodes])


def _stage(
    node: Node, store: Store, last: RunRecord | None, pairs: Mapping[str, str],
    written: Mapping[str, Sequence[str]], digests: dict[str, str],
) -> dict[str, Any]:  # fmt: skip
    done = _cached(node, store, digests)
    changed = [] if done else list(changes(node, store, last, pairs))
    units = 0 if done else units_done(store, node.folder)
    return {
        "name": shown_name(node),
        "operator": node.called,
        "kind": node.kind.value,
        "dir": store.where(node.folder),
        "fingerprint": node.fingerprint,
        "hidden": node.hidden,
        "implicit": node.implicit,
        "policies": node.policies,
        "trusted": node.trusted,
        "inputs": [shown_name(n) for n in node.inputs],
        "resolved": _resolved(node, written),
        "text": shown_name(node.text) if node.text else "",
        "refs": {port: _ref_names(value) for port, value in node.refs.items()},
        "columns": {n: _column(node, i, c) for n, (i, c) in {**node.columns, **node.where_columns}.items()},
        "population": [_column(node, i, c) for i, c in node.population],
        "rows": node.about.words if node.about else "",
        "missing": node.about.missing if node.about else "",
        "where": node.where,
        "expect": [{"expect": e.expectation.key, "shown": e.expectation.shown()} for e in node.expects],
        "max_bad_share": node.max_bad_share,
        "strict": node.strict,
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


def changes(node: Node, store: Store, last: RunRecord | None, pairs: Mapping[str, str]) -> Iterator[Change]:
    """Every field in which a stage differs from the last run's, whose name is in `pairs`; nothing for a new one."""
    before = last.stages.get(pairs.get(node.name, "")) if last else None
    if last is None or before is None or before["dir"] == node.folder:
        return
    old = raw_stage(store, before["dir"])
    if old is None:
        yield change("stage folder", "removed", node.folder)
        return
    sources = _Sources(node, old, last, pairs)
    found = [*_own_changes(node, old, sources), *_source_changes(node, old, last, sources, pairs)]
    yield from found or [change("identity", "made by another version of winnow", node.fingerprint)]


def _own_changes(node: Node, old: Mapping[str, Any], sources: _Sources) -> Iterator[Change]:
    identity = orjson.loads(orjson.dumps(node.identity))
    now = {"identity": identity, "config": dump(node.operator), "where": node.where}
    means = sources.means(node, old)
    yield from own_changes(old, now, node.operator.columns_from, means)
    yield from column_changes(means.was, means.now)
    before = [f"{sources.was[i]}.{c}" for i, c in old["population"]]
    yield from population_change(before, [f"{sources.now[i]}.{c}" for i, c in node.population])


class _Sources:
    """The inputs of an old and a new stage under names that both share: the order of inputs is no change."""

    def __init__(self, node: Node, old: Mapping[str, Any], last: RunRecord, pairs: Mapping[str, str]) -> None:
        now = names_now(pairs)
        shown = last.shown_names()
        renamed = dict(_shown_now(node, now))
        names = {str(s["dir"]): renamed.get(n, shown[n]) for n, s in last.stages.items()}
        here = {n.folder: shown_name(n) for n in node.inputs}
        self.was = [here.get(f) or names.get(f, f) for f in old["inputs"]]
        self.now = [shown_name(n) for n in node.inputs]

    def means(self, node: Node, old: Mapping[str, Any]) -> Means:
        """What the names of columns mean, then and now."""
        return Means(
            was={n: f"{self.was[i]}.{c}" for n, (i, c) in {**old["columns"], **old["where_columns"]}.items()},
            now={n: f"{self.now[i]}.{c}" for n, (i, c) in {**node.columns, **node.where_columns}.items()},
        )


def _shown_now(node: Node, now: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(name before, as it is shown now) of the stages that a node reads."""
    shown = {n.name: shown_name(n) for n in node.inputs}
    return ((was, shown[name]) for was, name in now.items() if name in shown)


def _source_changes(
    node: Node, old: Mapping[str, Any], last: RunRecord, sources: _Sources, pairs: Mapping[str, str]
) -> Iterator[Change]:
    """Inputs and references that are other stages now."""
    for name, source in zip(sources.now, node.inputs, strict=True):
        if source.folder not in old["inputs"]:
            before = last.stages.get(pairs.get(source.name, ""))
            yield change(f"input {name}", before["dir"] if before else None, source.folder)
    for name, folder in zip(sources.was, old["inputs"], strict=True):
        if name not in sources.now:
            yield change(f"input {name}", folder, None)
    for port, value in node.refs.items():
        one = {"": value} if isinstance(value, Node) else value
        before_it = old["refs"].get(port, {})
        for label, source in one.items():
            was = (before_it if not label else before_it.get(label, {})).get("folder")
            if was != source.folder:
                yield change(f"input {shown_name(source)} ({f'{port}.{label}' if label else port})", was, source.folder)


def plan_lines(plan: Mapping[str, Any], *, hidden: bool) -> Iterator[tuple[str, str]]:
    """(style, line) of a plan for a terminal; sub-stages of composites where `hidden`."""
    width = max((len(s["name"]) for s in plan["stages"] if hidden or not s["hidden"]), default=5)
    if rules := _rules(plan, {"max_bad_share": MAX_BAD_SHARE, "strict": False}):
        yield "dim", f"every stage: {rules}"
    for stage in plan["stages"]:
        if hidden or not stage["hidden"]:
            yield from _stage_lines(stage, width)
            if rules := _rules(stage, plan):
                yield "dim", f"{' ' * (width + 2)}{rules}"
            subs = [s for s in plan["stages"] if s["hidden"] and s["name"].startswith(stage["name"] + ".")]
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
    edited = {"text": f"as {stage['text']} left it"} if stage["text"] else {}
    for port, value in {**edited, **stage["refs"]}.items():
        text = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else value
        yield "dim", f"{indent}{port}: {cut_to(str(text), MOST_CHARS)}"
    if stage["policies"]:
        told = "; ".join(f"{label} {said}" for label, said in stage["policies"].items())
        yield "dim", f"{indent}acts while it trains: {told}"
    if stage["rows"]:
        yield "dim", f"{indent}population: {stage['rows']}"
        if stage["missing"]:
            yield "yellow", f"{indent}{stage['missing']}"
    elif stage["population"]:
        yield "dim", f"{indent}population: rows that {' and '.join(stage['population'])} kept".replace(".kept", "")
    if stage["where"] and not stage["rows"]:
        yield "dim", f"{indent}where: {stage['where']}"
    if stage["expect"]:
        yield "dim", f"{indent}expect: {', '.join(e['shown'] for e in stage['expect'])}"
    upstream = [c["field"].removeprefix("input ") for c in stage["changed"] if c["field"].startswith("input ")]
    for one in stage["changed"]:
        if not one["field"].startswith("input "):
            yield "bold yellow", f"{indent}changed: {as_text(one)}"
    if upstream:
        yield "yellow", f"{indent}changed: input {', '.join(upstream)}"


def _rules(here: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Which share of bad records is borne, and whether remarks are errors, where that is not what is usual."""
    share, strict = here["max_bad_share"], here["strict"]
    told = [f"max_bad_share: {share:g}"] if share != usual["max_bad_share"] else []
    told += [f"strict: {str(strict).lower()}"] if strict != usual["strict"] else []
    return ", ".join(told)


def _sub_lines(subs: Sequence[Mapping[str, Any]], indent: str) -> Iterator[tuple[str, str]]:
    """One line for the sub-stages of a composite, and what changed in them by itself."""
    cached = sum(s["state"] == "cached" for s in subs)
    yield "dim", f"{indent}sub-stages: {len(subs)}, of them cached: {cached} (--all shows them)"
    for sub in subs:
        for one in sub["changed"]:
            if not one["field"].startswith("input "):
                yield "bold yellow", f"{indent}changed in {sub['name']}: {as_text(one)}"


def plan_total(plan: Mapping[str, Any]) -> str:
    """One line: how many stages are cached and how many would run."""
    states = [s["state"] for s in plan["stages"]]
    cached = states.count("cached")
    return f"{cached} of {len(states)} stages are cached, {len(states) - cached} would run"
