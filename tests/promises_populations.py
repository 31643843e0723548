"""Which rows a stage may keep, worked out from the recipe's text and the verdicts on disk, row by row.

Nothing here knows of frontiers or of what a decision stands for: a stage that names no decision keeps only what every
single cleaning decision above it kept, but for those that it ignores or decides anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
from support import Ran

from winnow.core.operators import Kind, sql
from winnow.dags.recipe.nodes import Node

CLEAN = {"filter", "decontaminate", "holdout", "exact", "minhash", "lsh_bloom", "ngram_bloom", "semdedup", "redundancy"}
MEASURE = {
    "signals",
    "url_parts",
    "url_lists",
    "bad_words",
    "licence",
    "math_signals",
    "opt_out",
    "simhash",
    "language",
    "paragraph_languages",
    "count_tokens",
    "ngram_vectors",
    "concepts",
    "join",
    "overlap",
    "c4_lines",
    "refinedweb_lines",
    "boilerplate_lines",
    "citation_marks",
    "drop_urls",
    "mask_pii",
}
OF_VERDICTS = {"union", "intersect", "difference", "phases", "rehydrate"}
NOT_OF_ROWS = {
    "jsonl",
    "parquet",
    "text_files",
    "warc",
    "html_files",
    "csv",
    "json_array",
    "arrow",
    "concat",
    "write_tokens",
    "target_file",
}
BY_INPUTS = {"rehydrate", "union", "intersect", "difference", "phases", "knn_graph", "clusters", "betr", "got_d", "dsir",
             "doremi", "embed", *CLEAN} - {"semdedup", "redundancy"}  # fmt: skip


def misread(recipe: dict[str, Any], ran: Ran, frame: Callable[..., pl.DataFrame]) -> Iterator[str]:
    """Every stage that is about other rows than the recipe says, and every remark that is missing or wrong."""
    verdicts: dict[str, np.ndarray] = {}
    for name, spec in recipe["stages"].items():
        node = ran.plan.node(name)
        if "kept" in node.outputs and node.kind is Kind.COLUMNS:
            verdicts[name] = frame(ran, node.name, "kept")["kept"].fill_null(value=False).to_numpy()
    above: list[str] = []
    for name, spec in recipe["stages"].items():
        node = ran.plan.node(name)
        if spec["use"] not in NOT_OF_ROWS | OF_VERDICTS:
            yield from _stage(
                name, spec, node, [a for a in above if ran.plan.node(a).space is node.space], ran, frame, verdicts
            )
        if name in verdicts:
            above.append(name)
    yield from _remarks(recipe, ran, verdicts)


def _stage(
    name: str, spec: dict[str, Any], node: Node, above: list[str], ran: Ran, frame: Any, verdicts: dict[str, np.ndarray]
) -> Iterator[str]:
    listed = [spec["inputs"]] if isinstance(spec["inputs"], str) else spec["inputs"]
    read = {node.inputs[i].spoken for i, _ in node.columns.values()}
    read |= {node.inputs[i].spoken for i, c in node.where_columns.values() if c != "kept"}
    for stage, _, column in (word.rpartition(".") for word in _keeper_columns(spec)):
        read |= {a for a in above if stage in ("", a) and column in ran.plan.node(a).outputs and column != "kept"}
    named = [a for a in above if a in listed and (spec["use"] not in BY_INPUTS | MEASURE or a not in read)]
    words = sql.column_names(spec["where"]) if "where" in spec else []
    said = bool(named) or any(w in (f"kept_{a}", f"{a}.kept", f"{a}_kept", "kept") for a in above for w in words)
    inside = np.ones(ran.manifest(node.space.name).rows, dtype=bool)
    if "where" in spec:
        inside &= _where(spec["where"], node, ran, frame)
    if said:
        count = named
    elif spec["use"] in MEASURE or (spec["use"] == "embed" and "model" in spec):
        count = []
    else:
        ignore = spec.get("ignore", [])
        left_out = {
            a for a in above if ignore in ("all", ["all"]) or a in ([ignore] if isinstance(ignore, str) else ignore)
        }
        flags = {a for a in above if spec["use"] == "filter" and _reads_flag(node, a)}
        later = {
            a for a in above for f in flags if a != f and not (verdicts[a] & ~verdicts[f]).any() and _after(ran, a, f)
        }
        count = [a for a in above if _cleans(ran, a) and a not in left_out | flags | later]
    for a in count:
        inside &= verdicts[a]
    asked = _asked(node, ran, frame, inside)
    if asked is not None and (asked != inside).any():
        yield f"{name}: {inside.sum()} rows are its population by {count}, and it was asked about {asked.sum()}"


def _keeper_columns(spec: dict[str, Any]) -> list[str]:
    """What a deduplication orders copies by; it is read by one of the stages that it is made of."""
    terms = spec.get("keeper", "").split(",") if isinstance(spec.get("keeper"), str) else []
    return [term.split()[0] for term in terms if term.split()]


def _after(ran: Ran, one: str, other: str) -> bool:
    """Whether a decision was asked only about rows that another one kept, by what the plan says."""
    about = ran.plan.node(one).about
    return about is not None and ran.plan.node(other) in about.respects


def _reads_flag(node: Node, stage: str) -> bool:
    found = [(node.inputs[i], c) for i, c in node.columns.values() if node.inputs[i].spoken == stage]
    return any(str(source.outputs.get(c)) == "bool" for source, c in found)


def _cleans(ran: Ran, name: str) -> bool:
    spec = next(s for s in ran.plan.recipe.stages if s.name == name)
    return spec.use in CLEAN


def _where(text: str, node: Node, ran: Ran, frame: Any) -> np.ndarray:
    names = sql.column_names(text)
    columns = {n: frame(ran, node.inputs[i].name, c)[c] for n, (i, c) in node.where_columns.items() if n in names}
    truth = pl.DataFrame(columns).select(sql.expression(text).alias("t"))["t"]
    return truth.cast(pl.Boolean).fill_null(value=False).to_numpy()


def _asked(node: Node, ran: Ran, frame: Any, inside: np.ndarray) -> np.ndarray | None:
    """Which rows a stage was asked about; of a writer, as many as it wrote."""
    if node.kind is Kind.COLUMNS:
        return frame(ran, node.name, "state")["state"].to_numpy() != 1
    if node.kind is Kind.ROWS and getattr(node.operator, "repeat", None) is None:
        rows = ran.manifest(node.name).rows
        return inside if rows == inside.sum() else np.arange(len(inside)) < rows
    return None


def _remarks(recipe: dict[str, Any], ran: Ran, verdicts: dict[str, np.ndarray]) -> Iterator[str]:
    """A writer's words hold of its rows, and no decision that a writer respects is said to be respected by nothing."""
    remarked = {r.stage for r in ran.plan.remarks if "nothing respects" in r.text or "no stage takes them" in r.text}
    for name, spec in recipe["stages"].items():
        node = ran.plan.node(name)
        if spec["use"] != "write" or node.about is None:
            continue
        respects = {n.spoken for n in node.about.respects}
        told = {n.spoken for n in (*node.about.ignored, *node.about.judged, *node.about.missed)}
        for a in _decisions_above(name, recipe, ran):
            if a in respects | told or not _cleans(ran, a):
                continue
            yield f"{name}: says nothing of {a}"
        if remarked & respects:
            yield f"{name}: respects {remarked & respects}, of which is said that nothing does"
        columns = {n.spoken: verdicts[n.spoken] for n in node.about.respects}
        inside = np.ones(ran.manifest(node.space.name).rows, dtype=bool)
        for group in node.about.groups:
            inside &= np.logical_or.reduce([verdicts[n.spoken] for n in group])
        for a, kept in columns.items():
            if (inside & ~kept).any():
                yield f"{name}: {(inside & ~kept).sum()} rows that {a} refused, which it is said to respect"


def _decisions_above(name: str, recipe: dict[str, Any], ran: Ran) -> list[str]:
    stages = list(recipe["stages"])
    space = ran.plan.node(name).space
    where = sql.column_names(recipe["stages"][name].get("where", "x"))
    mentioned = {a for a in stages for w in where if w in (f"kept_{a}", f"{a}.kept", f"{a}_kept", "kept")}
    return [
        a for a in stages[: stages.index(name)]
        if ran.plan.node(a).space is space and "kept" in ran.plan.node(a).outputs and a not in mentioned
    ]  # fmt: skip
