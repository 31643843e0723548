"""`winnow card`: what a written set is made of, for people and for programs. Only cli and python import it.

    write_cards(record, "corpus", Told(licences=("MIT",)))   # README.md, croissant.json, ... beside the stage's shards

Every figure comes from the record of the run, its manifests and the columns of the written rows; what they do not say
is said to be unknown. Nothing is computed anew but the SHA-256 of the shards. Equal runs give equal bytes: dates are
those of the record.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from winnow.core.errors import ConfigError
from winnow.core.store.names import index_of, meta_of
from winnow.core.store.store import attempt_id
from winnow.dags.looking.cards import bill, croissant, data_card, lineage, training_summary, words
from winnow.dags.looking.cards.facts import Facts, facts_of, write_stage
from winnow.dags.looking.cards.shards import shards_of
from winnow.dags.looking.cards.told import Told
from winnow.dags.looking.export import export, free_folder, shard_index
from winnow.dags.recipe.records import RunRecord

SHARDS, DATA = "shards", "data"

__all__ = ["Told", "card_lines", "export_with_cards", "write_cards"]


def write_cards(record: RunRecord, stage: str | None, told: Told) -> dict[str, Any]:
    """Write the cards beside the `shards` of a `write` stage; the object of `winnow card --json`.

    Raises: ConfigError for a stage that writes no shards; StoreError for a run that has not finished, or a shard that
    is not the one that was committed. Cost: every byte of the shards once, and the columns that are counted.
    """
    run, view = write_stage(record, stage)

    def place(name: str) -> Path:
        return view.store.local_copy(f"{view.folder}/{SHARDS}/{name}")

    form = str(getattr(view.operator, "format", ""))
    shards = shards_of(view, shard_index(view), place, folder=SHARDS, form=form)
    facts = facts_of(run, view, shards, told)
    files = card_files(facts)
    for name, data in files.items():
        view.store.put(f"{view.folder}/{name}", data)
    return {
        "run": facts.run, "stage": facts.stage, "folder": view.store.where(view.folder), "files": list(files),
        "documents": facts.documents, "bytes": facts.text_bytes, "tokens": facts.written.tokens,
        "remarks": [*_remarks(facts), *_unsaid(told)], "unknown": facts.told.missing(),
    }  # fmt: skip


def export_with_cards(record: RunRecord, stage: str | None, to: str, told: Told, form: str = "") -> dict[str, Any]:
    """Lay a set out as a folder to publish: `data/` as `winnow export` makes it, and the cards; what `export` says.

    Raises: as `export` and `write_cards`; nothing is there then.
    """
    run, view = write_stage(record, stage)
    target = free_folder(to)
    fresh = target.with_name(f".{target.name}.{attempt_id()}")
    try:
        made = export(record, view.shown, str(fresh / DATA), form)
        index = orjson.loads(Path(index_of(str(fresh / DATA))).read_bytes())
        shards = shards_of(view, index, (fresh / DATA).joinpath, folder=DATA, form=made["format"])
        facts = facts_of(run, view, shards, told)
        files = card_files(facts)
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        if target.is_dir():
            target.rmdir()
        fresh.rename(target)
    except OSError as error:
        what = f"cannot write: {error.strerror or error}"
        raise ConfigError(what, where=str(target), hint="name another --to") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    remarks = [*made["remarks"], *_remarks(facts), *_unsaid(told)]
    return made | {"to": str(target), "meta": meta_of(str(target / DATA)), "cards": list(files), "remarks": remarks}


def card_files(facts: Facts) -> dict[str, bytes]:
    """Name -> content of every card."""
    files = {
        data_card.NAME: data_card.data_card(facts), croissant.NAME: croissant.croissant(facts),
        training_summary.NAME: training_summary.training_summary(facts), lineage.NAME: lineage.lineage(facts),
        bill.NAME: bill.bill(facts),
    }  # fmt: skip
    domains = facts.written.groups["domain"]
    return files if domains is None else files | {training_summary.DOMAINS: training_summary.domains_csv(domains)}


def _remarks(facts: Facts) -> Iterator[str]:
    """What a reader of the cards would miss, and what to do about it."""
    if untyped := croissant.without_type(facts.shards):
        named = ", ".join(f"{name} ({kind})" for name, kind in untyped.items())
        yield f"{croissant.NAME}: Croissant has no type for {named}: left out of its fields"
    if facts.shards.format not in croissant.READABLE:
        others = " and ".join(croissant.READABLE)
        yield f"{croissant.NAME}: mlcroissant reads no {facts.shards.format}, only {others}: it checks the file alone"
    if facts.written.tokens is None:
        yield f"tokens are {words.NO_TOKENS}"
    yield from facts.written.remarks


def _unsaid(told: Told) -> Iterator[str]:
    """What only a person knows, and nobody said."""
    if missing := told.missing():
        options = ", ".join(f"{what} ({option})" for option, what in missing.items())
        yield f"nobody has said {options}: `winnow card` takes them, and the cards call them unknown"


def card_lines(answer: dict[str, Any], *, width: int) -> Iterator[tuple[str, str]]:
    """What was written, for a terminal: (style, line)."""
    tokens = "" if answer["tokens"] is None else f", {answer['tokens']:,} tokens"
    yield "", f"{answer['stage']}: {answer['documents']:,} documents, {answer['bytes']:,} bytes of text{tokens}"
    yield from (("bold yellow", f"! {line}") for line in answer["remarks"])
    yield "bold", f"cards: {answer['folder']} ({', '.join(answer['files'])})"
