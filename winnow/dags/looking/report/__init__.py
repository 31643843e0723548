"""`winnow report`: one self-contained HTML page per run.

Imports the other looking verbs; cli and python may import it.

    write_report(latest_record(store))          # ROOT/reports/RUN.html, RUN.effects.csv, RUN.effects.json

The page needs no network and runs no script; its content policy forbids both. Building it reads receipts, the
sidecar columns that decide (one part in memory) and the text of a few hundred sampled documents.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.store.locations import open_store
from winnow.core.store.store import Store
from winnow.dags.looking.report.data import Report, gather
from winnow.dags.looking.report.page import render, without_charts
from winnow.dags.looking.report.tables import tables
from winnow.dags.recipe.records import RunRecord

FOLDER = "reports"


def write_report(record: RunRecord, out: str | Path | None = None, *, by: str = "") -> dict[str, Any]:
    """Write the page of a run to `out` (default: `reports/RUN.html` of its root); the object of `report --json`.

    `by` is a text column that tells sources apart (default: where documents come from; `source`: by the readers').
    Comparisons stand beside it as `RUN.effects.csv` and `RUN.effects.json`.

    Raises: ConfigError where no stage is complete, or `out` cannot be written;
    StoreError where a stage is of another version or a committed file is gone. Cost: O(rows) over the sidecar
    columns that decide, one part in memory, and the text of a few hundred documents.
    """
    report = gather(record, by=by)
    page = render(report).encode("utf-8", "replace")
    place, stem = (record.store, f"{FOLDER}/{record.name}") if out is None else _named(Path(out).absolute())
    name = f"{stem}.html" if out is None else Path(out).name
    place.put(name, page)
    beside = {f"{stem}{suffix}": data for suffix, data in tables(report.effects).items()}
    for key, data in beside.items():
        place.put(key, data)
    return {
        "run": report.run, "root": report.root, "path": place.where(name), "bytes": len(page),
        "tables": [place.where(key) for key in beside],
        "no_charts": without_charts(),
        "missing": [m.name for m in report.missing],
        "remarks": [{"stage": stage, "remark": sentence} for stage, sentence in report.remarks],
        "expect": [dataclasses.asdict(one) for one in report.expected],
        "alarms": [{"stage": stage, "alarm": sentence} for stage, sentence in report.alarms],
    }  # fmt: skip


__all__ = ["Report", "gather", "render", "write_report"]


def _named(path: Path) -> tuple[Store, str]:
    """The folder of a file that a person names, and the file's stem. Raises ConfigError where it is a folder."""
    if path.is_dir():
        raise ConfigError("a folder is no file to write the page to", where=str(path), hint=f"--out {path}/report.html")
    return open_store(path.parent), path.stem
