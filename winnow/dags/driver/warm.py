"""`winnow warm`: kernels compiled ahead, by a run of a recipe over some pages of this Python's own documentation.

What a recipe needs is known by running it: which kernels, and for which types. So its stages run, in one process and a
temporary root, with their own fields; only its files are others, and nothing is trained.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from winnow.core import kernel_files
from winnow.core.errors import WinnowError
from winnow.core.kernel_cache import takes_files
from winnow.core.kernel_watch import compiled
from winnow.dags.driver.session import make_runner, planned
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.recipe.yaml_recipe import Recipe, StageSpec, load_recipe

TEXTS, SHORTEST = 60, 1200  # sections of the language reference, and characters of one
_OF_FILES = ("limit", "only", "exclude", "first", "min_bytes", "max_bytes", "index", "id", "types", "mime", "status")
_VALUES: Mapping[str, Any] = {"int64": 7, "float64": 0.5, "bool": True}


@dataclass(frozen=True)
class Warmed:
    """Kernels compiled (name, CPU seconds) in the order of their need, where they lie, and what stayed out and why."""

    kernels: list[tuple[str, float]]
    folder: Path
    for_all: bool  # every user of the installation finds them there
    left: list[str]


def warm(source: str, *, sets: Mapping[str, str] | None = None) -> Warmed:
    """Compile what a recipe needs, into the installation where that can be written to.

    Raises: ConfigError for a recipe that is none. What fails on the way is in `left`. Cost: half a CPU minute.
    """
    recipe = load_recipe(source, sets=sets)
    for_all = takes_files(kernel_files.INSTALLED)
    left: list[str] = []
    with (
        kernel_files.kept_in(kernel_files.INSTALLED if for_all else None) as kept,
        tempfile.TemporaryDirectory(prefix="winnow-warm-") as folder,
        compiled() as kernels,
    ):
        sampled = _sampled(recipe, Path(folder), left)
        try:
            session = planned(sampled, out=str(Path(folder) / "run"), write=True)
            make_runner(session, engine="auto", workers=0).run(session.plan, session.nodes(None))
        except WinnowError as error:
            left.append(f"{error.what} ({error.where})" if error.where else error.what)
    return Warmed(kernels, kept, for_all, left)


def _sampled(recipe: Recipe, folder: Path, left: list[str]) -> Recipe:
    """The recipe over the sample, without what trains and what builds on that."""
    texts, stages, out = _texts(), [], set[str]()
    for stage in recipe.stages:
        cls = operator_class(stage.use) if stage.use in REGISTRY else None
        left_out = cls is not None and (cls.role == "trainer" or cls.asks)
        if left_out or out & {*stage.inputs, *(v for v in stage.config.values() if isinstance(v, str))}:
            out.add(stage.name)
            continue
        write = _WRITERS.get(stage.use)
        if write is not None and "files" in stage.config:
            stage = _reading(stage, folder / stage.name, texts, write)
        stages.append(replace(stage, expect=None, strict=False, max_bad_share=1.0))
    if out:
        left.append(f"nothing is trained, no endpoint is asked: {', '.join(sorted(out))}")
    return replace(recipe, stages=tuple(stages), expect=None, strict=False)


def _reading(stage: StageSpec, folder: Path, texts: Sequence[str], write: Callable[..., None]) -> StageSpec:
    """A reader of the sample, with the columns that it declares."""
    folder.mkdir()
    columns = stage.config.get("columns")
    named = {str(k): str(v) for k, v in columns.items()} if isinstance(columns, Mapping) else {}
    write(folder, texts, str(stage.config.get("text_field", "text")), named)
    config = {key: value for key, value in stage.config.items() if key not in _OF_FILES}
    return replace(stage, config={**config, "files": f"{folder}/*"})


def _texts() -> list[str]:
    """Sections of the reference, a few of them twice with another end: near-duplicates have their kernels too."""
    from pydoc_data.topics import topics

    found = [text for _, text in sorted(topics.items()) if len(text) > SHORTEST][:TEXTS]
    return found + [text + " Once more, with another end." for text in found[: TEXTS // 6]]


def _records(texts: Sequence[str], text_field: str, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    records = []
    for text in texts:
        record: dict[str, Any] = {}
        for path, value in [*((c, _VALUES.get(kind, "a")) for c, kind in columns.items()), (text_field, text)]:
            *outer, last = path.split(".")
            place = record
            for name in outer:
                place = place.setdefault(name, {})
            place[last] = value
        records.append(record)
    return records


def _write_lines(folder: Path, texts: Sequence[str], text_field: str, columns: Mapping[str, str]) -> None:
    lines = (json.dumps(record) for record in _records(texts, text_field, columns))
    (folder / "sample.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_parquet(folder: Path, texts: Sequence[str], text_field: str, columns: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(_records(texts, text_field, columns)), folder / "sample.parquet")


def _write_csv(folder: Path, texts: Sequence[str], text_field: str, columns: Mapping[str, str]) -> None:
    import csv

    with (folder / "sample.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, text_field])
        writer.writerows([*(_VALUES.get(kind, "a") for kind in columns.values()), text] for text in texts)


def _write_files(folder: Path, texts: Sequence[str], text_field: str, columns: Mapping[str, str]) -> None:
    for number, text in enumerate(texts):
        (folder / f"{number:03}.txt").write_text(text, encoding="utf-8")


def _page(text: str) -> str:
    import html

    paragraphs = "".join(f"<p>{html.escape(part)}</p>\n" for part in text.split("\n\n"))
    return f"<html><head><title>A page</title></head><body><article>{paragraphs}</article></body></html>"


def _write_pages(folder: Path, texts: Sequence[str], text_field: str, columns: Mapping[str, str]) -> None:
    for number, text in enumerate(texts):
        (folder / f"{number:03}.html").write_text(_page(text), encoding="utf-8")


def _write_archive(folder: Path, texts: Sequence[str], text_field: str, columns: Mapping[str, str]) -> None:
    with (folder / "sample.warc").open("wb") as file:
        for number, text in enumerate(texts):
            body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + _page(text).encode()
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://host{number}.org/page\r\n"
                f"WARC-Date: 2024-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:{number:032x}>\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            file.write(head.encode() + body + b"\r\n\r\n")


_WRITERS: Mapping[str, Callable[[Path, Sequence[str], str, Mapping[str, str]], None]] = {
    "jsonl": _write_lines, "parquet": _write_parquet, "csv": _write_csv, "text_files": _write_files,
    "html_files": _write_pages, "warc": _write_archive,
}  # fmt: skip
