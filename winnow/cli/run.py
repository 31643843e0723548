"""What verbs that run a recipe share."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.cli.text import console_for, print_json, say
from winnow.dags.engines.registry import engine_help, engine_names

if TYPE_CHECKING:
    from winnow.dags.driver.session import Session

Engine = Annotated[
    str, typer.Option(metavar="|".join(engine_names()), help=f"Where tasks run; changes no result. {engine_help()}.")
]
Workers = Annotated[int | None, typer.Option(min=0, help="CPUs to use (0: this process); changes no result.")]
Memory = Annotated[float | None, typer.Option(metavar="GB", help="Memory for tasks; default: what is free.")]
LOGS: list[Path] = []  # the run root of this call: where a traceback of ours would go


def run_session(session: Session, *, until: str | None, json: bool, **how: Any) -> None:
    """The run with its progress, the summary even of a failed one, the JSON line."""
    from winnow.dags.before.foresight import forecast_text, forecasts
    from winnow.dags.driver.progress import watcher_for
    from winnow.dags.driver.session import entered, make_runner
    from winnow.dags.looking.summary import print_summary, run_json

    LOGS.append(session.root)
    nodes = session.nodes(until)
    say(console_for(sys.stderr), forecast_text(forecasts(nodes, session.store)))
    watcher, begun = watcher_for(sys.stderr), time.monotonic()
    runner = make_runner(session, watcher=watcher, partial=until is not None, **how)
    try:
        with entered(watcher):
            runner.run(session.plan, nodes)
    finally:
        if any(r.manifest for r in runner.runs):
            console = console_for(sys.stderr if json else sys.stdout)
            print_summary(console, session, runner.runs, nodes, seconds=time.monotonic() - begun)
    if json:
        print_json(run_json(session, runner.runs, nodes))
