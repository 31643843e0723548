"""Verbs that look at finished runs: `why`, `sample`, `sweep`, `diff`, `report`. None computes anything anew."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.options import Every, Full, Json, Name, Run, Stage, Where
from winnow.cli.text import LOGS, console_for, print_json, say, show

if TYPE_CHECKING:
    from winnow.dags.recipe.records import RunRecord


def opened(run: str | None, name: str | None = None) -> RunRecord:
    """The record of a run; a traceback of ours would go below its root. Raises ConfigError where there is none."""
    from winnow.dags.looking.address import find_record

    record = find_record(run, name)
    LOGS.append(record.store)
    return record


def why(
    words: Annotated[list[str] | None, typer.Argument(metavar="[RUN] DOC", help=(
        "RUN: a run root, ROOT:NAME, or the name of a run; default: the latest. "
        "DOC: a doc_id (8 digits or more), a user id, an origin, or COLUMN=VALUE, as url=https://..."))] = None,
    where: Where = None, full: Full = False, name: Name = None, json: Json = False, every: Every = False,
) -> None:  # fmt: skip
    """Show the life of one document, and why it ended there. Every column, verdict and duplicate."""
    from winnow.dags.looking.address import run_and_doc
    from winnow.dags.looking.why import explain
    from winnow.dags.looking.why_text import why_lines

    run_, doc = run_and_doc(words or [], where)
    record = opened(run_, name)
    life = explain(record, doc, where=where, full=full)
    if json:
        print_json(life)
        return
    console = console_for(sys.stdout)
    say(console, why_lines(life, width=console.width, hidden=every))


def sample(
    run_: Run = None,
    kept: Annotated[bool, typer.Option("--kept", help="Documents that were kept (the default).")] = False,
    dropped: Annotated[bool, typer.Option("--dropped", help="Documents that were dropped.")] = False,
    by: Annotated[str | None, typer.Option(metavar="CLAUSE", help="Dropped by this clause, or by this stage.")] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Duplicate clusters, keeper and members.")] = False,
    largest: Annotated[bool, typer.Option("--largest", help="The largest clusters, not random ones.")] = False,
    bad: Annotated[bool, typer.Option("--bad", help="What readers and operators put aside, and why.")] = False,
    stage: Stage = None, where: Where = None, full: Full = False,
    n: Annotated[int, typer.Option("-n", help="How many.")] = 5, name: Name = None, json: Json = False,
) -> None:  # fmt: skip
    """Look at documents: kept, dropped, duplicates, bad. The same ones every time, for every layout."""
    from winnow.dags.looking.samples import only_bad, sample_json, sample_lines

    record = opened(run_, name)
    if bad:
        from winnow.dags.looking.sample_bad import bad_json, bad_lines

        only_bad(kept, dropped, by, cluster, largest, where, full)
        show(bad_json(record, stage=stage, n=n), bad_lines, json=json)
        return
    documents = sample_json(
        record, kept=kept, dropped=dropped, by=by, cluster=cluster, largest=largest, stage=stage, where=where,
        full=full, n=n,
    )  # fmt: skip
    show(documents, sample_lines, json=json)


def sweep(
    run_: Run = None,
    vary: Annotated[list[str] | None, typer.Option(metavar="STAGE.CLAUSE=SQL", help=(
        "Another clause; or STAGE.CLAUSE:0.65=0.5,0.6 for a number in it, STAGE.budget=1M tokens."))] = None,
    name: Name = None, json: Json = False,
) -> None:  # fmt: skip
    """Show what other clauses or budgets would keep. Decided again from stored columns; no text is read."""
    from winnow.dags.looking.sweep import sweep_json, sweep_lines

    record = opened(run_, name)
    show(sweep_json(record, vary or []), sweep_lines, json=json)


def diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help=(
        "A run root, ROOT:NAME, or the name of a run; @prev, @2 or @2026-11-29 behind it is an earlier one."))],
    run_b: Annotated[str | None, typer.Argument(metavar="[RUN_B]", help=(
        "The other one; default: RUN_A and the run before it."))] = None,
    stage: Annotated[str | None, typer.Option(metavar="STAGE", help="Compare at this stage; default: the end.")] = None,
    n: Annotated[int, typer.Option("-n", help="Examples per reason.")] = 3, json: Json = False,
) -> None:  # fmt: skip
    """Show what changed side between two runs, and why. By clause and field, with examples."""
    from winnow.dags.looking.address import before_and_after
    from winnow.dags.looking.diff import diff_json
    from winnow.dags.looking.diff_fields import diff_lines

    one, two = opened(run_a), None if run_b is None else opened(run_b)
    if two is None:
        one, two = before_and_after(one)
    show(diff_json(one, two, stage=stage, n=n), diff_lines, json=json)


def runs(
    run_: Annotated[str | None, typer.Argument(metavar="[ROOT]", help=(
        "A run root, or ROOT:NAME for the runs of one name; default: all roots below ./runs."))] = None,
    n: Annotated[int, typer.Option("-n", help="How many of the latest, per root.")] = 20, json: Json = False,
) -> None:  # fmt: skip
    """List the runs that were recorded. When each began, how it ended, what it kept."""
    from winnow.dags.looking.runs import runs_json, runs_lines

    show(runs_json(run_, n=n), runs_lines, json=json)


def forget(
    run_: Annotated[str, typer.Argument(metavar="RUN", help="ROOT:NAME@2 (one), ROOT:NAME (all), ROOT with --keep.")],
    keep: Annotated[int | None, typer.Option(metavar="N", help="Keep the newest N runs of each name.")] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Remove records of runs. No stage is touched: `gc` frees what no other run needs."""
    from winnow.dags.looking.runs import forget_json, forgotten_lines

    show(forget_json(run_, keep=keep), forgotten_lines, json=json)


def report(
    run_: Run = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Default: ROOT/reports/RUN.html.")] = None,
    by: Annotated[str, typer.Option(metavar="COLUMN", help=(
        "Text column that tells sources apart; `source` (of the readers), `origin` (folders)."))] = "",
    name: Name = None, json: Json = False,
) -> None:  # fmt: skip
    """Write one self-contained HTML page about a run. From the funnel to effects and provenance."""
    from winnow.core.store.locations import refuse_scheme
    from winnow.dags.looking.report import write_report

    refuse_scheme(out or "", where="--out")
    record = opened(run_, name)
    written = write_report(record, out, by=by)
    if json:
        print_json(written)
        return
    lines = [("yellow", f"! {a['stage']}: {a['alarm']}") for a in written["alarms"]]
    lines += [("yellow", f"! {written['no_charts']}")] if written["no_charts"] else []
    lines += [("", f"table: {file}") for file in written["tables"]]
    say(console_for(sys.stdout), [*lines, ("bold", f"report: {written['path']}")])
