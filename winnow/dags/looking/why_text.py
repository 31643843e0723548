"""`winnow why` for a terminal: the answer of `explain` as styled lines."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from winnow.core.terminal import Lines
from winnow.dags.looking.edits import change_lines, told
from winnow.dags.looking.pair_texts import compared_lines
from winnow.dags.looking.samples import whole_text_lines
from winnow.dags.looking.why import short


def why_lines(answer: Mapping[str, Any], *, width: int, hidden: bool) -> Lines:
    """(style, line); sub-stages of composites where `hidden`."""
    yield "bold", f"{answer['doc_id']}  {answer['origin']}  {answer['bytes']:,} bytes"
    if answer["full"]:
        yield from whole_text_lines(answer["text"] or "(no text)")
    else:
        said = repr(answer["text"]) if answer["text"] else "(no text)"
        yield "dim", textwrap.shorten(said, width=width, placeholder="...")
    yield "", ""
    shown = [s for s in answer["stages"] if hidden or not s["hidden"]]
    names = max((len(s["stage"]) for s in shown), default=5)
    for stage in shown:
        yield from _stage(stage, names, width)
    yield "", ""
    for end in answer["ended"]:
        yield from _end(end)


def _stage(stage: Mapping[str, Any], names: int, width: int) -> Lines:
    style, verdict = _verdict(stage)
    indent = " " * (names + 2)
    yield style, f"{stage['stage']:<{names}}  {verdict}"
    for clause in stage["clauses"]:
        mark = {True: "ok  ", False: "no  ", None: "null"}[clause["passed"]]
        read = ", ".join(f"{k} = {short(v)}" for k, v in clause["values"].items())
        yield ("" if clause["passed"] else "red"), f"{indent}{mark} {clause['clause']}: {clause['rule']}   ({read})"
    if stage["edits"]:
        yield from change_lines(stage["edits"], indent)
    if stage["cluster"]:
        yield from _cluster(stage["cluster"], indent)
    hidden = {"kept", *(f"pass_{c['clause']}" for c in stage["clauses"])}
    values = {k: v for k, v in stage["columns"].items() if k not in hidden}
    if values and stage["state"] != "masked":
        text = "  ".join(f"{k}={short(v)}".replace(" ", "\u00a0") for k, v in values.items())
        for line in textwrap.wrap(text, width=max(width - len(indent), 40), break_on_hyphens=False):
            yield "dim", indent + line.replace("\u00a0", " ")


def _verdict(stage: Mapping[str, Any]) -> tuple[str, str]:
    if stage["state"] == "rows":
        return "cyan", f"a document of {stage['space']}"
    if stage["state"] != "ok":
        style = {"failed": "bold red", "null": "yellow"}.get(stage["state"], "dim")
        return style, f"{stage['state']}  {stage['why']}".rstrip()
    if stage["edits"]:
        return "", told(stage["edits"])
    why = f"  {stage['why']}" if stage["why"] and not stage["clauses"] else ""
    return {True: ("green", f"kept{why}"), False: ("red", f"dropped{why}"), None: ("", "measured")}[stage["verdict"]]


def _cluster(cluster: Mapping[str, Any], indent: str) -> Lines:
    if cluster["earlier"]:
        yield "green", f"{indent}keeper  {cluster['keeper']}  {cluster['earlier']}  in earlier data"
    for member in cluster["members"]:
        jaccard = f"  Jaccard {member['jaccard']:.3f}" if member["jaccard"] is not None else ""
        role = "keeper" if member["kept"] else "      "
        order = "".join(f"  {name} = {short(value)}" for name, value in member["order"].items())
        line = f"{indent}{role}  {member['doc_id']}  {member['origin']}{jaccard}{order}"
        yield ("green" if member["kept"] else ""), line
    more = cluster["size"] - len(cluster["members"]) - bool(cluster["earlier"])
    if more > 0:
        yield "dim", f"{indent}and {more:,} more"
    if cluster["texts"]:
        yield from compared_lines(cluster["texts"], indent)


def _end(end: Mapping[str, Any]) -> Lines:
    if "shard" in end:
        yield "bold green", f"{end['stage']}: in {end['shard']}, row {end['row']}"
    elif "dropped_by" in end:
        yield "bold red", f"{end['stage']}: dropped by {end['dropped_by']}: {end['why']}"
    else:
        yield "bold green", f"{end['stage']}: kept"
