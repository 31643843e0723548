"""`winnow export`: what a stage committed, as files in a folder of one's own; complete or not there at all.

What `write`, `write_tokens` and fitted models left is linked (copied to another disk), byte for byte. Other stages are
written out: of a stage that decides the rows it kept, of a reader all rows, in the order of the source, with the
columns that every row has, the reader's own, and the stage's `weight`. A global shuffle and columns of other stages
are what a `write` stage is for.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, DataError, StoreError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Kind
from winnow.core.store.formats import format_named, format_names
from winnow.core.store.ids import as_fixed
from winnow.core.store.locations import refuse_scheme
from winnow.core.store.manifest import FileRef, Receipt, add_counts, content_digest
from winnow.core.store.names import INDEX, index_of, meta_of, place_of
from winnow.core.store.no_value import UNWRITTEN, number_remarks
from winnow.core.store.parts import HashingSink, check_unchanged, concat_tables, content_of, read_columns
from winnow.core.store.schema import contiguous
from winnow.core.store.shard_format import ShardFormat
from winnow.core.store.store import attempt_id
from winnow.core.terminal import counted
from winnow.dags.looking.address import decision_of, stage_of
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.recipe.records import RunRecord

AS_IS = "as-is"
SHARD_BYTES = 256_000_000  # of text, where stages are written out


@dataclass(kw_only=True)
class _Made:
    """What lies in the new folder so far."""

    how: str
    folder: Path
    files: list[str] = field(default_factory=list)
    shards: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    unwritten: dict[str, int] = field(default_factory=dict)  # what the format cannot hold

    def total(self, name: str) -> int | None:
        """Sum of a fact over the shards; None where they do not have it."""
        values = [s.get(name) for s in self.shards]
        return sum(cast("list[int]", values)) if values and None not in values else None


def export(record: RunRecord, stage: str, to: str, format: str = "") -> dict[str, Any]:  # noqa: A002 (a field's name)
    """Lay a stage's files out in the new folder `to`; returns what is there.

    {"run", "root", "stage", "to", "meta", "format", "how", "files", "documents", "tokens", "bytes", "digest",
    "remarks"}: `how` is linked, copied or written; `meta` is the folder beside `to` that holds the index, '' where
    there is none; `digest` is the content digest, equal for any layout; numbers are null where there are none;
    `remarks` tell what the format could not hold.
    Raises: ConfigError where the folder holds something or the stage has no files or rows; DataError where no row is
    kept; StoreError where the stage is not complete or was changed.
    Cost: nothing but links on the same disk; else one pass over the kept text, memory of a shard.
    """
    run = FinishedRun(record)
    view = stage_of(run, stage)
    target = free_folder(to)
    fresh = target.with_name(f".{target.name}.{attempt_id()}")
    try:
        fresh.mkdir(parents=True)
        made, facts = _published(view, fresh, format) or _written(run, view, fresh, format)
        meta = _land(fresh, target)
    except OSError as error:
        raise ConfigError(
            f"cannot write: {error.strerror or error}", where=str(target), hint="name another --to"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(meta_of(str(fresh)), ignore_errors=True)
    return {
        "run": record.name, "root": record.store.location, "stage": view.shown, "to": str(target), "meta": meta,
        "how": made.how, "files": made.files, **facts, "remarks": list(number_remarks(made.unwritten)),
    }  # fmt: skip


def export_lines(answer: dict[str, Any], *, width: int) -> Iterator[tuple[str, str]]:
    """What was exported, for a terminal: (style, line)."""
    facts = [f"{counted(len(answer['files']), 'file')}, {answer['bytes'] / 1e6:,.1f} MB"]
    facts += [f"{answer[name]:,} {name}" for name in ("documents", "tokens") if answer[name] is not None]
    yield "", f"{answer['stage']}: {', '.join(facts)}; {answer['format']}, {answer['how']}"
    yield "", f"content digest {answer['digest']}"
    yield "bold", f"exported: {answer['to']}"
    if answer["meta"]:
        yield "dim", f"its index lies beside it, so that the folder holds nothing but data: {answer['meta']}"
    if answer.get("cards"):
        yield "dim", f"its cards: {', '.join(answer['cards'])}"
    yield from (("bold yellow", f"! {line}") for line in answer["remarks"])
    if answer["how"] == "linked":
        yield "dim", "linked files share their bytes with the run: copy a file before you change it"


def free_folder(to: str) -> Path:
    """The folder that is to be made. Raises ConfigError where it holds something, or its index would be in the way."""
    refuse_scheme(to, where="--to")
    target = Path(to).absolute()
    meta = Path(meta_of(str(target)))
    if (target.exists() or target.is_symlink()) and not (target.is_dir() and not any(target.iterdir())):
        what = "is not empty" if target.is_dir() else "is no folder"
        raise ConfigError(f"{to} {what}", where="--to", hint="name a new folder, or empty this one")
    if meta.exists():
        raise ConfigError(f"{meta} exists, and is where the index of {to} would lie", where="--to",
                          hint="name a new folder, or remove that one")  # fmt: skip
    return target


def _land(fresh: Path, target: Path) -> str:
    """Give what was made its names, the folder of data last; returns the folder beside it, '' where there is none."""
    made, meta = Path(meta_of(str(fresh))), Path(meta_of(str(target)))
    if made.is_dir():
        made.rename(meta)
    try:
        if target.is_dir():
            target.rmdir()
        fresh.rename(target)
    except OSError:
        shutil.rmtree(meta, ignore_errors=True)
        raise
    return str(meta) if meta.is_dir() else ""


def _save_index(folder: Path, body: dict[str, Any]) -> None:
    path = Path(index_of(str(folder)))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))


def _lay_out(view: FinishedStage, named: dict[str, FileRef], folder: Path) -> list[bool]:
    """The committed files at their places; for each whether it shares its bytes with the run."""
    linked = []
    for name, ref in named.items():
        place = Path(place_of(str(folder), name))
        place.parent.mkdir(parents=True, exist_ok=True)
        linked.append(view.store.copy_out(ref.key, place))
    return linked


def _published(view: FinishedStage, folder: Path, format: str) -> tuple[_Made, dict[str, Any]] | None:  # noqa: A002
    """The stage's committed files under their own names; None where it has none in that format."""
    assert view.manifest is not None
    own = getattr(view.operator, "format", None) if view.is_write else None
    if view.kind is not Kind.ARTEFACT and own is None:
        return None
    if own is not None and format not in ("", AS_IS, own):
        return None
    if own is None and format not in ("", AS_IS):
        raise ConfigError(f"the files of stage {view.shown!r} have a form of their own", where="--format",
                          hint=f"leave --format out, or say {AS_IS}")  # fmt: skip
    named = _named_shards(view) if own is not None else _named_files(view)
    check_unchanged(view.store, named.values(), since=f"{view.folder}/manifest.json")
    linked = _lay_out(view, named, folder)
    if own is not None:
        _save_index(folder, shard_index(view))
    made = _Made(how="linked" if all(linked) else "copied", folder=folder)
    made.unwritten = {name: n for name, n in view.manifest.counts.items() if name.startswith(UNWRITTEN)}
    made.files += sorted(path.name for path in folder.iterdir())
    index = {} if own is not None else _numbers(folder)
    return made, {
        "format": own or index.get("form", AS_IS), "documents": index.get("documents", view.manifest.rows or None),
        "tokens": index.get("tokens", view.manifest.counts.get("tokens")),
        "bytes": sum(ref.size for ref in named.values()), "digest": view.manifest.content_digest,
    }  # fmt: skip


def shard_index(view: FinishedStage) -> dict[str, Any]:
    """What `write` says of its shards: file, rows, bytes, digest of each. Raises StoreError where it is gone."""
    shards = f"{view.folder}/shards"
    known = (index_of(shards), f"{shards}/{INDEX}")  # the latter was made by an earlier version
    key = next((k for k in known if view.store.exists(k)), "")
    if not key:
        where = view.store.where(known[0])
        raise StoreError("the index of the shards is gone", where=where, hint="run the recipe again")
    found: dict[str, Any] = orjson.loads(view.store.get(key))
    return found


def _named_shards(view: FinishedStage) -> dict[str, FileRef]:
    names = [shard["file"] for shard in shard_index(view)["shards"]]
    return dict(zip(names, (view.parts[unit].files[0] for unit in sorted(view.parts)), strict=True))


def _named_files(view: FinishedStage) -> dict[str, FileRef]:
    assert view.manifest is not None
    return {ref.name: ref for r in view.manifest.named("artefact").values() for ref in r.files}


def _numbers(folder: Path) -> dict[str, Any]:
    """What the index of token files says; nothing for other artefacts."""
    path = Path(index_of(str(folder)))
    found = orjson.loads(path.read_bytes()) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _written(run: FinishedRun, view: FinishedStage, folder: Path, format: str) -> tuple[_Made, dict[str, Any]]:  # noqa: A002
    """The rows that a stage keeps, as shards."""
    names = format_names()
    chosen = format or names[0]
    if chosen not in names:
        hint = f"{AS_IS} is for stages that wrote files" if chosen == AS_IS else did_you_mean(chosen, [*names, AS_IS])
        raise ConfigError(f"cannot write {chosen!r}", where="--format", hint=hint)
    if view.kind is not Kind.ROWS:
        view = decision_of(run, view.shown)
    form = format_named(chosen)
    made, held, size = _Made(how="written", folder=folder), list[pa.Table](), 0
    for table in _kept_tables(run, view):
        size += int(pc.sum(table.column("text_bytes")).as_py() or 0)
        held.append(table)
        if size >= SHARD_BYTES or view.is_write:  # shards of `write` stay as they are cut
            _write_shard(made, form, held)
            held, size = [], 0
    if held:
        _write_shard(made, form, held)
    if not made.shards:
        raise DataError(f"stage {view.shown!r} keeps no row", hint=f"`winnow sample RUN --dropped --by {view.shown}`")
    digest = content_digest(made.receipts)
    _name_shards(made, form, digest)
    assert view.manifest is not None
    return made, {
        "format": chosen, "documents": made.total("rows"), "tokens": view.manifest.counts.get("tokens"),
        "bytes": made.total("bytes"), "digest": digest,
    }  # fmt: skip


def _kept_tables(run: FinishedRun, view: FinishedStage) -> Iterator[pa.Table]:
    """The kept rows of one part at a time; parts without any are left out."""
    space = view if view.kind is Kind.ROWS else run.at(view.space)
    names = [*ROW_COLUMNS, *(n for n in space.outputs if n not in ROW_COLUMNS)]
    own = [n for n in ("kept", "weight") if view is not space and n in view.outputs]
    for unit in sorted(space.parts):
        places = {n: (space.parts[unit], n) for n in names} | {n: (view.parts[unit], n) for n in own}
        table = read_columns(view.store, places)
        if own:
            table = table.filter(pc.fill_null(table.column("kept"), False)).drop_columns(["kept"])
        if table.num_rows:
            yield table


def _write_shard(made: _Made, form: ShardFormat, tables: list[pa.Table]) -> None:
    from winnow.core.words.hashing import row_digest

    table = concat_tables(tables, {})
    doc_id = as_fixed(contiguous(table.column("doc_id")))
    name = f"shard-{len(made.shards):05d}{form.suffix}"
    with (made.folder / name).open("wb") as raw:
        sink = HashingSink(raw)
        form.write(sink, table.select(form.in_file(table.column_names)))  # type: ignore[arg-type]
    made.unwritten = add_counts([made.unwritten, form.unwritten(table.select(form.in_file(table.column_names)))])
    text_bytes = int(pc.sum(table.column("text_bytes")).as_py() or 0)
    made.shards.append({"file": name, "rows": table.num_rows, "bytes": sink.size, "xxh3_128": sink.state.hexdigest(),
                        "text_bytes": text_bytes, "tokens": None})  # fmt: skip
    made.receipts.append(Receipt(phase="part", unit=name, key="", rows=table.num_rows, row_digest=row_digest(doc_id),
                                 content=content_of(doc_id, table)))  # fmt: skip


def _name_shards(made: _Made, form: ShardFormat, digest: str) -> None:
    """The shards under names that say how many there are, and their index."""
    for number, shard in enumerate(made.shards):
        name = f"shard-{number:05d}-of-{len(made.shards):05d}{form.suffix}"
        (made.folder / shard["file"]).rename(made.folder / name)
        shard["file"] = name
    body = {"shards": made.shards, "content_digest": digest}
    _save_index(made.folder, body)
    made.files += sorted(path.name for path in made.folder.iterdir())
