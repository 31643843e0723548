"""Verbs about a whole recipe or root: `run`, `demo`, `plan`, `warm`, `gc`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.options import Dag, Engine, Every, Json, Memory, Name, Out, Sets, Until, Workers
from winnow.cli.text import LOGS, console_for, print_json, say

if TYPE_CHECKING:
    from winnow.dags.driver.session import Session


def run(
    dag: Dag, out: Out = None, engine: Engine = "auto", workers: Workers = None, sets: Sets = None,
    until: Until = None, name: Name = None, memory: Memory = None, json: Json = False,
) -> None:  # fmt: skip
    """Bring a recipe up to date; a killed run goes on. Finished units are reused, whoever computed them."""
    from winnow.dags.driver.session import parse_sets, prepare

    session = prepare(dag, out=out, sets=parse_sets(sets or []), name=name, until=until, write=True)
    run_session(session, until=until, json=json, engine=engine, workers=workers, memory_gb=memory)


def demo(
    out: Annotated[str, typer.Option(metavar="ROOT", help="Run root.")] = "runs/demo", engine: Engine = "auto",
    workers: Workers = None, sets: Sets = None, json: Json = False,
) -> None:  # fmt: skip
    """Run the quickstart up to its shards: no torch, a minute. Its text is this Python installation."""
    from winnow.dags.driver.session import parse_sets, prepare

    session = prepare("quickstart", out=out, sets=parse_sets(sets or []), name="demo", until="corpus", write=True)
    run_session(session, until="corpus", json=json, engine=engine, workers=workers)
    if not json:
        from winnow.core.installing import command

        name = command()
        verbs = (f"report {out}", f"sample {out} --dropped", f"sample {out} --cluster")
        say(console_for(sys.stdout), [("dim", f"look: {', '.join(f'{name} {verb}' for verb in verbs)}")])


def plan(
    dag: Dag, out: Out = None, sets: Sets = None, until: Until = None, name: Name = None, json: Json = False,
    every: Every = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Time, disk, tokens out, from a sample.")] = False,
    share: Annotated[float, typer.Option(help="Share of the input that --estimate reads (at least 1 MB).")] = 0.001,
) -> None:  # fmt: skip
    """Show what is cached and what changed; runs nothing. For a changed stage it names the field that changed."""
    from winnow.dags.before.foresight import forecast_text, forecasts
    from winnow.dags.before.narrower import narrower, narrower_lines
    from winnow.dags.before.plan_view import plan_json, plan_lines, plan_total
    from winnow.dags.before.price import price_text, prices
    from winnow.dags.before.questions import question_lines, questions
    from winnow.dags.before.remarks import remark_lines
    from winnow.dags.driver.session import parse_sets, prepare

    session = prepare(dag, out=out, sets=parse_sets(sets or []), name=name, until=until)
    LOGS.append(session.store)
    view = plan_json(session, session.nodes(until))
    view["power"] = forecasts(session.nodes(until), session.store)
    view["price"] = prices(session.nodes(until), session.store)
    view["questions"] = questions(session.nodes(until), session.store)
    lines = [("bold", f"{session.name}  {session.store.where()}")]
    lines += [*plan_lines(view, hidden=every), ("bold", plan_total(view))]
    lines += [*remark_lines(view["remarks"]), *price_text(view["price"]), *question_lines(view["questions"])]
    lines += forecast_text(view["power"])
    if estimate:
        from winnow.dags.before.estimate import estimate as estimated
        from winnow.dags.before.estimate_totals import estimate_lines
        from winnow.dags.before.estimate_training import training_estimates, training_lines

        view["estimate"] = estimated(session.plan, nodes=session.nodes(until), share=share)
        view["estimate"]["training"] = training_estimates(session.nodes(until), session.store)
        lines += [("", ""), *estimate_lines(view["estimate"]), *training_lines(view["estimate"]["training"])]
    view["narrower"] = narrower(session.nodes(until), session.store, view.get("estimate"))
    lines += narrower_lines(view["narrower"])
    if json:
        print_json(view)
        return
    say(console_for(sys.stdout), lines)


def warm(
    dag: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or a built-in recipe.")] = "quickstart",
    sets: Sets = None, json: Json = False,
) -> None:  # fmt: skip
    """Compile ahead the kernels that a recipe needs (in a Dockerfile, say). Its files need not be there."""
    from winnow.dags.driver.session import parse_sets
    from winnow.dags.driver.warm import warm as warmed

    found = warmed(dag, sets=parse_sets(sets or []))
    seconds = sum(s for _, s in found.kernels)
    longest = sorted(found.kernels, key=lambda one: -one[1])[:5]
    if json:
        kernels = [{"kernel": name, "cpu_s": round(s, 3)} for name, s in found.kernels]
        print_json({"kernels": kernels, "folder": str(found.folder), "for_all": found.for_all, "left": found.left})
        return
    lines = [("bold", f"compiled {len(found.kernels)} kernels in {seconds:.1f} s of CPU")]
    if longest:
        lines += [("", f"longest: {', '.join(f'{name} {s:.1f} s' for name, s in longest)}")]
    else:
        lines = [("bold", "nothing to compile: all kernels are there")]
    whose = "every user of this installation" if found.for_all else "this user: the installation cannot be written to"
    lines += [("", f"kept in {found.folder}, for {whose}")]
    say(console_for(sys.stdout), [*lines, *(("bold yellow", f"! not compiled: {why}") for why in found.left)])


def gc(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="A run root, or the name of one below ./runs.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: Json = False,
) -> None:
    """Remove stages and files that no recorded run reaches."""
    from winnow.core.store.locations import open_store
    from winnow.dags.looking.collect_garbage import collect
    from winnow.dags.recipe.records import find_root

    store = open_store(find_root(root))
    LOGS.append(store)
    garbage = collect(store, dry_run=dry_run)
    console = console_for(sys.stderr if json else sys.stdout)
    say(console, ((("dim", f"{key}: {reason}, {size:,} bytes") for key, reason, size in garbage.removed)))
    verb = "would free" if dry_run else "freed"
    say(console, [("bold", f"{verb} {garbage.bytes_freed:,} bytes; {garbage.kept_stages} stages stay")])
    if json:
        print_json(garbage.as_json(store.location, dry_run=dry_run))


def run_session(
    session: Session, *, until: str | None, json: bool, engine: str, workers: int | None,
    memory_gb: float | None = None,
) -> None:  # fmt: skip
    """The run with its progress, the summary even of a failed one, the JSON line."""
    from winnow.core import kernel_files
    from winnow.core.kernel_cache import notes
    from winnow.dags.before.foresight import forecast_text, forecasts
    from winnow.dags.before.price import price_text, prices
    from winnow.dags.before.questions import question_lines, questions
    from winnow.dags.before.remarks import before_lines
    from winnow.dags.driver.progress import watcher_for
    from winnow.dags.driver.session import entered, make_runner
    from winnow.dags.looking.summary import print_summary, run_json

    LOGS.append(session.store)
    nodes = session.nodes(until)
    told = [("bold yellow", f"! {note}") for note in notes()]
    kept = kernel_files.count_kept() if kernel_files.is_cold() else None
    if kept is not None:
        told += [
            ("dim", "compiling kernels as they are needed: half a minute of CPU, once a machine (or `winnow warm`)")
        ]
    told += [*price_text(prices(nodes, session.store)), *forecast_text(forecasts(nodes, session.store))]
    told += [*question_lines(questions(nodes, session.store)), *before_lines(session.plan, nodes)]
    watcher, begun = watcher_for(sys.stderr), time.monotonic()
    runner = make_runner(session, engine=engine, workers=workers, memory_gb=memory_gb, watcher=watcher, until=until)
    say(console_for(sys.stderr), told)
    try:
        with entered(watcher):
            runner.run(session.plan, nodes)
    finally:
        if any(r.manifest for r in runner.runs):
            console = console_for(sys.stderr if json else sys.stdout)
            print_summary(console, session, runner.runs, nodes, seconds=time.monotonic() - begun)
        if kept is not None and (new := kernel_files.count_kept() - kept) > 0:
            say(console_for(sys.stderr), [("dim", f"compiled {new} kernels, kept in {kernel_files.place()}")])
        if json and runner.runs:  # of a failed run too: the error is the line after it
            print_json(run_json(session, runner.runs, nodes))
