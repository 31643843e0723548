"""The command line: verbs only. Imports every layer; nothing imports it.

Exit codes: 0; 2 configuration (nothing has run); 3 data; 4 engine or store; 130 Ctrl-C. With `--json` the last line
of stdout is one JSON object (of an error too), and everything else goes to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from winnow.cli import operators as cli_operators
from winnow.cli import sets as cli_sets
from winnow.cli.operators import Json, Sets
from winnow.cli.run import LOGS, Engine, Memory, Workers, run_session
from winnow.cli.text import console_for, print_json, say, tell

app = typer.Typer(
    name="winnow", add_completion=False, invoke_without_command=True, pretty_exceptions_enable=False,
    rich_markup_mode=None, context_settings={"max_content_width": 120},
    help="Curate and select pretraining data, and measure in the same run whether it helped.",
)  # fmt: skip

Dag = Annotated[str, typer.Argument(metavar="DAG|RECIPE", help="A recipe file, or the name of a built-in recipe.")]
Out = Annotated[str | None, typer.Option(metavar="ROOT", help="Run root; default runs/{recipe name}.")]
Name = Annotated[str | None, typer.Option(help="Name of the run; default: the recipe's.")]
Until = Annotated[str | None, typer.Option(metavar="STAGE", help="Only what this stage needs.")]
Every = Annotated[bool, typer.Option("--all", help="Sub-stages of composites too.")]
Run = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run root, ROOT:NAME, or the name of a run; default: the latest.")
]
Stage = Annotated[str | None, typer.Option(metavar="STAGE", help="The stage that decides; default: the last one.")]

_ONLY_LOOKING = {"list", "why", "sample", "sweep", "diff", "export", "gc"}  # run no code of users, who may want pandas


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Errors are told, never raised."""
    from winnow.core.quick_start import few_collections
    from winnow.dags.before.problems import as_error, error_json, error_lines

    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if argv is None and args[:1] and args[0] in _ONLY_LOOKING:
        from winnow.core.quick_start import without_pandas

        without_pandas()
    LOGS.clear()
    try:
        with few_collections():
            code = app(args=args, prog_name="winnow", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0
    except BaseException as raised:  # noqa: BLE001 (the one place where everything ends)
        error = as_error(_translated(raised, args[0]), LOGS[-1] if LOGS else None)
        say(console_for(sys.stderr), error_lines(error))
        if "--json" in args:
            print_json(error_json(error))
        return error.exit_code


@app.callback()
def about(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Options before a verb."""
    if version:
        import winnow

        sys.stdout.write(f"winnow {winnow.__version__}\n")
        raise typer.Exit(0)


@app.command()
def run(
    dag: Dag, out: Out = None, engine: Engine = "auto", workers: Workers = None, sets: Sets = None,
    until: Until = None, name: Name = None, memory: Memory = None, json: Json = False,
) -> None:  # fmt: skip
    """Bring a recipe up to date; a killed run goes on. Finished units are reused, whoever computed them."""
    from winnow.dags.driver.session import parse_sets, prepare

    session = prepare(dag, out=out, sets=parse_sets(sets or []), name=name, until=until, write=True)
    run_session(session, until=until, json=json, engine=engine, workers=workers, memory_gb=memory)


@app.command()
def demo(
    out: Annotated[str, typer.Option(metavar="ROOT", help="Run root.")] = "runs/demo", engine: Engine = "auto",
    workers: Workers = None, sets: Sets = None, json: Json = False,
) -> None:  # fmt: skip
    """Run the quickstart up to its shards: no torch, a minute. Its text is this Python installation."""
    from winnow.dags.driver.session import parse_sets, prepare

    session = prepare("quickstart", out=out, sets=parse_sets(sets or []), name="demo", until="corpus", write=True)
    run_session(session, until="corpus", json=json, engine=engine, workers=workers)
    if not json:
        look = f"look: winnow report {out}, winnow sample {out} --dropped, winnow sample {out} --cluster"
        say(console_for(sys.stdout), [("dim", look)])


@app.command()
def plan(
    dag: Dag, out: Out = None, sets: Sets = None, until: Until = None, name: Name = None, json: Json = False,
    every: Every = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Time, disk, tokens out, from a sample.")] = False,
    share: Annotated[float, typer.Option(help="Share of the input that --estimate reads (at least 1 MB).")] = 0.001,
) -> None:  # fmt: skip
    """Show what is cached and what changed; runs nothing. For a changed stage it names the field that changed."""
    from winnow.dags.before.foresight import forecast_text, forecasts
    from winnow.dags.before.plan_view import plan_json, plan_lines, plan_total
    from winnow.dags.driver.session import parse_sets, prepare

    session = prepare(dag, out=out, sets=parse_sets(sets or []), name=name, until=until)
    LOGS.append(session.root)
    told = plan_json(session, session.nodes(until))
    told["power"] = forecasts(session.nodes(until), session.store)
    lines = [("bold", f"{session.name}  {session.root}"), *plan_lines(told, hidden=every), ("bold", plan_total(told))]
    lines += forecast_text(told["power"])
    if estimate:
        from winnow.dags.before.estimate import estimate as estimated
        from winnow.dags.before.estimate_totals import estimate_lines

        told["estimate"] = estimated(session.plan, nodes=session.nodes(until), share=share)
        lines += [("", ""), *estimate_lines(told["estimate"])]
    if json:
        print_json(told)
        return
    say(console_for(sys.stdout), lines)


@app.command()
def why(
    words: Annotated[list[str], typer.Argument(metavar="[RUN] DOC", help=(
        "RUN: a run root, ROOT:NAME, or the name of a run; default: the latest. "
        "DOC: a doc_id (8 digits or more), a user id, or an origin."))],
    name: Name = None, json: Json = False, every: Every = False,
) -> None:  # fmt: skip
    """Show the life of one document, and why it ended there. Every column, verdict and duplicate."""
    from winnow.dags.looking.address import find_record, run_and_doc
    from winnow.dags.looking.why import explain
    from winnow.dags.looking.why_text import why_lines

    run_, doc = run_and_doc(words)
    record = find_record(run_, name)
    LOGS.append(Path(record.store.root))
    told = explain(record, doc)
    if json:
        print_json(told)
        return
    console = console_for(sys.stdout)
    say(console, why_lines(told, width=console.width, hidden=every))


@app.command()
def sample(
    run_: Run = None,
    kept: Annotated[bool, typer.Option("--kept", help="Documents that were kept (the default).")] = False,
    dropped: Annotated[bool, typer.Option("--dropped", help="Documents that were dropped.")] = False,
    by: Annotated[str | None, typer.Option(metavar="CLAUSE", help="Dropped by this clause, or by this stage.")] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Duplicate clusters, keeper and members.")] = False,
    largest: Annotated[bool, typer.Option("--largest", help="The largest clusters, not random ones.")] = False,
    bad: Annotated[bool, typer.Option("--bad", help="What readers and operators put aside, and why.")] = False,
    stage: Stage = None, n: Annotated[int, typer.Option("-n", help="How many.")] = 5, name: Name = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Look at documents: kept, dropped, duplicates, bad. The same ones every time, for every layout."""
    from winnow.dags.looking.address import find_record
    from winnow.dags.looking.samples import only_bad, sample_json, sample_lines

    record = find_record(run_, name)
    LOGS.append(Path(record.store.root))
    if bad:
        from winnow.dags.looking.quarantine import bad_json, bad_lines

        only_bad(kept, dropped, by, cluster, largest)
        tell(bad_json(record, stage=stage, n=n), bad_lines, json=json)
        return
    told = sample_json(
        record, kept=kept, dropped=dropped, by=by, cluster=cluster, largest=largest, stage=stage, n=n
    )  # fmt: skip
    tell(told, sample_lines, json=json)


@app.command()
def sweep(
    run_: Run = None,
    vary: Annotated[list[str] | None, typer.Option(metavar="STAGE.CLAUSE=SQL", help=(
        "Another clause; or STAGE.CLAUSE:0.65=0.5,0.6 for a number in it, STAGE.budget=1M tokens."))] = None,
    name: Name = None, json: Json = False,
) -> None:  # fmt: skip
    """Show what other clauses or budgets would keep. Decided again from stored columns; no text is read."""
    from winnow.dags.looking.address import find_record
    from winnow.dags.looking.sweep import sweep_json, sweep_lines

    record = find_record(run_, name)
    LOGS.append(Path(record.store.root))
    tell(sweep_json(record, vary or []), sweep_lines, json=json)


@app.command()
def diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A run root, ROOT:NAME, or the name of a run.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The other one.")],
    stage: Annotated[str | None, typer.Option(metavar="STAGE", help="Compare at this stage; default: the end.")] = None,
    n: Annotated[int, typer.Option("-n", help="Examples per reason.")] = 3, json: Json = False,
) -> None:  # fmt: skip
    """Show what changed side between two runs, and why. By clause and field, with examples."""
    from winnow.dags.looking.address import find_record
    from winnow.dags.looking.diff import diff_json
    from winnow.dags.looking.diff_fields import diff_lines

    one, two = find_record(run_a), find_record(run_b)
    LOGS.append(Path(two.store.root))
    tell(diff_json(one, two, stage=stage, n=n), diff_lines, json=json)


app.command("list")(cli_operators.list_)
app.command()(cli_operators.check)


@app.command()
def report(
    run_: Run = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Default: ROOT/reports/RUN.html.")] = None,
    name: Name = None, json: Json = False,
) -> None:  # fmt: skip
    """Write one self-contained HTML page about a run. From the funnel to effects and provenance."""
    from winnow.dags.looking.address import find_record
    from winnow.dags.looking.report import write_report

    record = find_record(run_, name)
    LOGS.append(Path(record.store.root))
    told = write_report(record, out)
    if json:
        print_json(told)
        return
    lines = [("yellow", f"! {a['stage']}: {a['alarm']}") for a in told["alarms"]]
    lines += [("", f"table: {file}") for file in told["tables"]]
    say(console_for(sys.stdout), [*lines, ("bold", f"report: {told['path']}")])


app.command()(cli_sets.export)
app.command()(cli_sets.ablate)
app.command("new")(cli_operators.new_)


@app.command()
def gc(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="A run root, or the name of one below ./runs.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: Json = False,
) -> None:
    """Remove stages and files that no recorded run reaches."""
    from winnow.core.store.locations import open_store
    from winnow.dags.looking.collect_garbage import collect
    from winnow.dags.recipe.records import find_root

    path = find_root(root)
    LOGS.append(path)
    found = collect(open_store(path), dry_run=dry_run)
    console = console_for(sys.stderr if json else sys.stdout)
    say(console, ((("dim", f"{key}: {reason}, {size:,} bytes") for key, reason, size in found.removed)))
    verb = "would free" if dry_run else "freed"
    say(console, [("bold", f"{verb} {found.bytes_freed:,} bytes; {found.kept_stages} stages stay")])
    if json:
        print_json(found.as_json(path, dry_run=dry_run))


def _translated(error: BaseException, verb: str) -> BaseException:
    """Errors of the argument parser as ConfigError, its Abort as Ctrl-C."""
    from winnow.core.errors import ConfigError

    if isinstance(error, typer.Abort) or type(error).__name__ == "Abort":
        return KeyboardInterrupt()
    told: Callable[[], str] | None = getattr(error, "format_message", None)
    if callable(told):
        known = verb in {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
        asks = f"`winnow {verb} --help` prints" if known else "`winnow --help` and `winnow VERB --help` print"
        return ConfigError(told(), hint=f"{asks} what there is")
    return error
