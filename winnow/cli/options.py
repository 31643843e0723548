"""Arguments and options that several verbs take."""

from __future__ import annotations

from typing import Annotated

import typer

from winnow.dags.engines.registry import engine_help, engine_names

Dag = Annotated[str, typer.Argument(metavar="DAG|RECIPE", help="A recipe file, or the name of a built-in recipe.")]
Out = Annotated[str | None, typer.Option(metavar="ROOT", help="Run root; default runs/{recipe name}.")]
Name = Annotated[str | None, typer.Option(help="Name of the run; default: the recipe's.")]
Until = Annotated[str | None, typer.Option(metavar="STAGE", help="Only what this stage needs.")]
Every = Annotated[bool, typer.Option("--all", help="Sub-stages of composites too.")]
Run = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help=(
            "A run root, ROOT:NAME, or the name of a run; default: the latest. @prev or @2 behind it: an earlier one."
        ),
    ),
]
Stage = Annotated[str | None, typer.Option(metavar="STAGE", help="The stage that decides; default: the last one.")]
Where = Annotated[str | None, typer.Option(metavar="SQL", help="Of rows where this is true: any column of the run.")]
Full = Annotated[bool, typer.Option("--full", help="Texts whole, not their first lines.")]
Engine = Annotated[
    str, typer.Option(metavar="|".join(engine_names()), help=f"Where tasks run; changes no result. {engine_help()}.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="CPUs to use (0: this process; default: WINNOW_WORKERS, else all); changes no result."),
]
Memory = Annotated[float | None, typer.Option(metavar="GB", help="Memory for tasks; default: what is free.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line of stdout.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="A variable, `seed`, or stage.field; repeatable.")
]
