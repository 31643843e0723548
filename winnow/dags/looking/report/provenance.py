"""Where a run's numbers come from: every stage with its recipe, digests, versions, cost and what went to quarantine."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from winnow.core.errors import StoreError
from winnow.core.store.manifest import Receipt
from winnow.core.store.store import Store
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.shapes.quarantine import put_aside
from winnow.dags.shapes.stage_file import raw_stage

SHOWN_BAD = 5
_CONFIG_CHARS = 6000


@dataclass(kw_only=True)
class Bad:
    """A record or row that went to quarantine."""

    where: str
    error: str
    message: str


@dataclass(kw_only=True)
class StageCost:
    """One stage of the run."""

    name: str
    operator: str
    kind: str
    hidden: bool
    complete: bool
    rows: int | None = None
    units: int = 0
    seconds: float = 0.0
    share: float = 0.0  # of the seconds of all stages
    bytes_on_disk: int = 0
    peak_bytes: int | None = None
    fingerprint: str = ""
    content_digest: str = ""
    config: str = ""
    versions: str = ""
    exactness: str = ""
    inputs: list[str] = field(default_factory=list)
    files: list[tuple[str, int]] = field(default_factory=list)  # port -> number of input files
    num_bad: int = 0
    bad: list[Bad] = field(default_factory=list)


@dataclass(kw_only=True)
class Provenance:
    """Everything that a reader needs to repeat a run."""

    recipe: str
    recipe_text: str
    seed: str
    seconds: float
    versions: list[tuple[str, str]]
    stages: list[StageCost]
    date: str = ""  # when the run ended, or began where it has not
    outcome: str = ""


def provenance(run: FinishedRun) -> Provenance:
    """Stages in plan order; stages of equal fingerprint stand once."""
    seen: dict[str, FinishedStage] = {}
    for view in run.stages:
        seen.setdefault(view.folder, view)
    stages = [_stage(run, view) for view in seen.values()]
    total = sum(s.seconds for s in stages)
    for stage in stages:
        stage.share = stage.seconds / total if total else 0.0
    raw = run.record.body
    return Provenance(
        recipe=str(raw.get("recipe", "")), recipe_text=str(raw.get("recipe_text", "")), seed=str(raw.get("seed", "")),
        seconds=total, versions=_versions(seen.values()), stages=stages,
        date=str(raw.get("ended") or raw.get("began") or ""), outcome=str(raw.get("outcome") or "begun"),
    )  # fmt: skip


def _stage(run: FinishedRun, view: FinishedStage) -> StageCost:
    raw = raw_stage(run.store, view.folder) or {}
    out = StageCost(
        name=view.shown, operator=view.operator_name, kind=view.kind.value, hidden=view.hidden, complete=view.complete,
        fingerprint=str(raw.get("fingerprint", "")), exactness=str(raw.get("exactness", "")),
        inputs=[run.name_of(f) for f in raw.get("inputs", [])], config=_config(raw),
    )  # fmt: skip
    identity = raw.get("identity", {})
    uses = identity.get("uses", {}) if isinstance(identity, dict) else {}
    out.versions = ", ".join(
        [f"operator version {identity.get('version', '?')}", *(f"{k} {v}" for k, v in uses.items())]
    )
    out.files = [(port, len(found)) for port, found in identity.get("files", {}).items()]
    manifest = view.manifest
    if manifest is None:
        return out
    final = [r for r in manifest.receipts if r.phase != "unit"]
    out.rows = manifest.rows if view.kind.value in ("rows", "columns", "table") else None
    out.units, out.seconds, out.content_digest = len(final), manifest.seconds, manifest.content_digest
    own = {f.key: f.size for r in manifest.receipts for f in r.files if f.key.startswith(f"{view.folder}/")}
    out.bytes_on_disk = sum(own.values())
    peaks = [r.run["peak_bytes"] for r in manifest.receipts if isinstance(r.run.get("peak_bytes"), int)]
    out.peak_bytes = max(peaks, default=None)
    out.num_bad = int(manifest.counts.get("bad", 0)) + int(manifest.counts.get("failed", 0))
    out.bad = _bad(run.store, manifest.receipts)
    return out


def _config(raw: Mapping[str, Any]) -> str:
    """The stage's fields as indented JSON, cut where very long."""
    shown = {"config": raw.get("config", {}), "seed": raw.get("identity", {}).get("seed")}
    if raw.get("where"):
        shown["where"] = raw["where"]
    text = orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
    return text if len(text) <= _CONFIG_CHARS else text[:_CONFIG_CHARS] + "\n…"


def _bad(store: Store, receipts: Iterable[Receipt]) -> list[Bad]:
    """The first few quarantined records; those of a file that cannot be read count as one."""
    out: list[Bad] = []
    for receipt in receipts:
        if len(out) == SHOWN_BAD:
            break
        try:
            rows = list(itertools.islice(put_aside(store, [receipt]), SHOWN_BAD - len(out)))
        except StoreError as error:
            out.append(Bad(where=receipt.unit, error="not readable", message=error.what))
            continue
        out += [Bad(where=bad["place"], error=bad["error"], message=bad["message"][:400]) for bad in rows]
    return out


def _versions(views: Iterable[FinishedStage]) -> list[tuple[str, str]]:
    """What the receipts say of the machines that worked: name -> values."""
    found: dict[str, set[str]] = {}
    for view in views:
        for receipt in view.manifest.receipts if view.manifest else ():
            for key, value in receipt.run.items():
                if key not in ("seconds", "peak_bytes"):
                    found.setdefault(key, set()).add(str(value))
    return [(key, ", ".join(sorted(values))) for key, values in sorted(found.items())]
