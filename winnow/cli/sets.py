"""Verbs that take sets in and out: `export` what a run committed, its `card`, `ablate` sets that lie on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.looking import opened
from winnow.cli.options import Engine, Json, Sets, Workers
from winnow.cli.run import run_session
from winnow.cli.text import show


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run root, ROOT:NAME, or the name of a run.")],
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="A write, write_tokens, selector, filter or reader.")],
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="The new folder; one that holds files is refused.")],
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help=(
        "parquet, arrow, jsonl.zst, jsonl or as-is; default: as the stage wrote it, else parquet."))] = "",
    card_: Annotated[bool, typer.Option("--card", help=(
        "A folder to publish: the shards of a write in DIR/data, the cards of `winnow card` in DIR."))] = False,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: the latest of its root.")] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Lay a stage's files or kept rows out in a folder. Linked where the bytes are the same; all of it or nothing."""
    from winnow.dags.looking.export import export as exported
    from winnow.dags.looking.export import export_lines

    record = opened(run, name)
    if card_:
        from winnow.dags.looking.cards import Told, export_with_cards

        show(export_with_cards(record, stage, to, Told(), format_), export_lines, json=json)
        return
    show(exported(record, stage, to, format_), export_lines, json=json)


def card(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run root, ROOT:NAME, or the name of a run.")],
    stage: Annotated[str | None, typer.Argument(metavar="[STAGE]", help="A write; default: the only one.")] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Name of the set; default: RECIPE-STAGE.")] = "",
    description: Annotated[str, typer.Option(metavar="TEXT", help="What it is; its size is added.")] = "",
    licences: Annotated[list[str] | None, typer.Option("--license", metavar="SPDX|URL", help=(
        "Of the set as a whole; repeatable; default: those of the documents' `licence` column."))] = None,
    url: Annotated[str, typer.Option(metavar="URL", help="Where it will lie.")] = "",
    cite_as: Annotated[str, typer.Option(metavar="TEXT", help="How to cite it, best as BibTeX.")] = "",
    creators: Annotated[list[str] | None, typer.Option("--creator", metavar="NAME", help="Who; repeatable.")] = None,
    published: Annotated[str, typer.Option(metavar="DATE", help="2026-12-01.")] = "",
    version: Annotated[str, typer.Option("--data-version", metavar="1.0.0", help="Of the data.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="DIR", help=(
        "A new folder to publish, the shards in DIR/data; default: beside the stage's `shards`."))] = "",
    name: Annotated[str | None, typer.Option(help="Name of the run; default: the latest of its root.")] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Write the cards of a written set. Croissant, data card, figures for the EU summary, lineage; nothing runs."""
    from winnow.dags.looking.cards import Told, card_lines, export_with_cards, write_cards
    from winnow.dags.looking.export import export_lines

    told = Told(
        title=title, description=description, licences=tuple(licences or ()), url=url, cite_as=cite_as,
        creators=tuple(creators or ()), published=published, version=version,
    )  # fmt: skip
    record = opened(run, name)
    if to:
        show(export_with_cards(record, stage, to, told), export_lines, json=json)
        return
    show(write_cards(record, stage, told), card_lines, json=json)


def ablate(
    sets: Annotated[list[str], typer.Argument(metavar="NAME=FILES...", help=(
        "Two sets or more: files, quoted globs or a folder each (JSON Lines, Parquet, text)."))],
    evals: Annotated[list[str], typer.Option("--eval", metavar="[NAME=]FILE", help=(
        "Held-out text or a file of questions; repeatable, the first is the primary target."))],
    baseline: Annotated[str, typer.Option(metavar="NAME", help="The set to compare with; default: the first.")] = "",
    seeds: Annotated[int | None, typer.Option(help="Paired seeds; default: that of `ablation`.")] = None,
    tokens: Annotated[str, typer.Option(metavar="5M", help="Training tokens per run, and drawn from each set.")] = "",
    text_field: Annotated[list[str] | None, typer.Option("--text-field", metavar="[NAME=]FIELD", help=(
        "The field that holds the text, of all or of one set or target; default: text."))] = None,
    out: Annotated[str, typer.Option(metavar="ROOT", help="Run root.")] = "runs/ablate",
    overrides: Sets = None, engine: Engine = "auto", workers: Workers = None,
    print_recipe: Annotated[bool, typer.Option("--print-recipe", help="Print the recipe; run nothing.")] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Compare sets that lie on disk by training on each. Equal tokens, a new subset per seed, an A/A row."""
    from winnow.dags.driver.session import parse_sets, planned
    from winnow.dags.recipe.comparison_recipe import asked, comparison_recipe
    from winnow.dags.recipe.yaml_recipe import parse_recipe
    from winnow.dags.recipe.yaml_writer import yaml_of

    wanted = asked(sets, evals, baseline=baseline, seeds=seeds, tokens=tokens, text_fields=text_field or [])
    text = comparison_recipe(wanted).text
    recipe = parse_recipe(text, name="ablate", folder=Path.cwd(), sets=parse_sets(overrides or []))
    if print_recipe:
        sys.stdout.write(yaml_of(recipe))
        return
    session = planned(recipe, out=out, write=True)
    run_session(session, until=None, json=json, engine=engine, workers=workers)
