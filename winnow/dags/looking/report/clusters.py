"""Duplicate clusters to look at: the largest ones and the removals that only a chain explains."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.numerics import rng
from winnow.core.store.parts import mask_of
from winnow.core.terminal import percent
from winnow.core.words.hashing import as_lanes
from winnow.dags.looking.duplicates import Clusters, clusters_in
from winnow.dags.looking.excerpts import Excerpt, excerpts
from winnow.dags.looking.finished import FinishedStage
from winnow.dags.looking.report.rows_pass import SALT

LARGEST = 10
CHAINED = 6
MEMBERS = 5
LINE_CHARS = 200
SIZES = (2, 3, 4, 6, 11, 51, 501)  # first size of every class


def first_line(text: str, chars: int) -> str:
    """The first line that is not blank, at most `chars` long."""
    line = next((piece.strip() for piece in text.splitlines() if piece.strip()), "")
    return line if len(line) <= chars else line[:chars].rstrip() + "…"


@dataclass(kw_only=True)
class Member:
    """A document of a cluster: its first line, and its exact similarity to the kept one."""

    doc_id: str
    origin: str
    line: str
    num_bytes: int
    jaccard: float | None
    chained: bool


@dataclass(kw_only=True)
class Cluster:
    """A kept document and some of those that were dropped for it."""

    size: int
    keeper: Member
    members: list[Member]


@dataclass(kw_only=True)
class Duplicates:
    """What a dedup stage found."""

    stage: str
    operator: str
    removed: int = 0
    clusters: int = 0
    chained: int = 0
    threshold: float | None = None
    sizes: list[tuple[str, int]] = field(default_factory=list)  # class -> clusters
    jaccard: npt.NDArray[np.int64] | None = None  # 40 bins of [0, 1]: removed documents by similarity
    largest: list[Cluster] = field(default_factory=list)
    chains: list[Cluster] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)  # how much of all there is was found, by a sample


@dataclass(kw_only=True)
class _Row:
    """A row to show: where it lies and what the stage says of it."""

    unit: str
    row: int
    size: int
    jaccard: float | None
    chained: bool


def duplicates(view: FinishedStage) -> Duplicates | None:
    """Counts and examples of a dedup stage; None for other stages. Cost: two passes over its columns."""
    found = clusters_in(view)
    return None if found is None else _Finder(found).found()


def duplicate_counts(view: FinishedStage) -> Duplicates | None:
    """The counts alone, without examples; None for other stages. Cost: one pass over its columns, no text."""
    found = clusters_in(view)
    return None if found is None else _Finder(found).counted()


class _Finder:
    """The two passes over one dedup stage."""

    def __init__(self, clusters: Clusters) -> None:
        self.clusters, self.view, self.space = clusters, clusters.stage, clusters.space
        self.out = Duplicates(
            stage=self.view.shown, operator=self.view.operator_name,
            threshold=getattr(self.view.operator, "threshold", None),
        )  # fmt: skip
        self.out.checked = checked_lines(self.view)
        self.classes = np.zeros(len(SIZES), dtype=np.int64)
        self.top: list[tuple[int, bytes, str, int]] = []  # -size, doc_id, unit, row
        self.worst: list[tuple[float, bytes, bytes]] = []  # similarity, doc_id, keeper

    def counted(self) -> Duplicates:
        """The first pass: totals, sizes, similarities."""
        for unit in self.view.parts:
            self._count(unit)
        names = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in itertools.pairwise(SIZES)]
        self.out.sizes = list(zip([*names, f"{SIZES[-1]}+"], self.classes.tolist(), strict=True))
        return self.out

    def found(self) -> Duplicates:
        """Everything about the stage."""
        self.counted()
        wanted = {doc_id for _, doc_id, _, _ in self.top} | {keeper for _, _, keeper in self.worst}
        groups = self._members(wanted, {doc_id for _, doc_id, _ in self.worst})
        shown = self._excerpts(groups)
        self.out.largest = [c for _, i, _, _ in self.top if (c := self._cluster(i, groups, shown, set()))]
        keepers = {keeper: {d for _, d, k in self.worst if k == keeper} for _, _, keeper in self.worst}
        self.out.chains = [c for keeper, only in keepers.items() if (c := self._cluster(keeper, groups, shown, only))]
        return self.out

    def _count(self, unit: str) -> None:
        """One part of the first pass: totals, the largest clusters, the worst chains."""
        sizes, kept = self.clusters.sizes(unit), self.clusters.kept(unit)
        keepers, removed = np.flatnonzero(kept & (sizes > 1)), ~kept & (sizes > 1)
        self.out.removed += int(removed.sum())
        self.out.clusters += len(keepers)
        self.classes += np.bincount(np.searchsorted(SIZES, sizes[keepers], side="right") - 1, minlength=len(SIZES))
        ids = self.clusters.ids(unit)
        best = keepers[np.argsort(-sizes[keepers], kind="stable")]
        last = int(sizes[best[LARGEST - 1]]) if len(best) > LARGEST else 0
        best = best[sizes[best] >= last] if len(best) > LARGEST else best
        if len(best) > LARGEST:  # of equal sizes those with the smallest ids
            order = np.lexsort((*as_lanes(ids.take(pa.array(best))).byteswap().T[::-1], -sizes[best]))
            best = best[order[:LARGEST]]
        self.top = sorted([*self.top, *((-int(sizes[i]), ids[int(i)].as_py(), unit, int(i)) for i in best)])[:LARGEST]
        self._similar(unit, removed, ids)

    def _similar(self, unit: str, removed: npt.NDArray[np.bool_], ids: pa.Array) -> None:
        """Similarities of removed rows and the least similar ones that only a chain explains."""
        columns = self.clusters.columns
        if not columns.similarity:
            return
        score = np.asarray(self.view.array(columns.similarity, unit).cast(pa.float64()).fill_null(np.nan))
        known = score[removed & np.isfinite(score)]
        counts = np.histogram(known, bins=40, range=(0, 1))[0]
        self.out.jaccard = counts if self.out.jaccard is None else self.out.jaccard + counts
        if not columns.chained:
            return
        chained = np.flatnonzero(mask_of(self.view.array(columns.chained, unit)))
        self.out.chained += len(chained)
        links = self.clusters.keepers(unit)
        least = chained[np.argsort(score[chained], kind="stable")][: 4 * CHAINED]
        fresh = [(float(score[i]), ids[int(i)].as_py(), links[int(i)].as_py()) for i in least]
        self.worst = sorted([*self.worst, *fresh])[:CHAINED]

    def _members(self, keepers: set[bytes], also: set[bytes]) -> dict[bytes, dict[bytes, tuple[int, _Row]]]:
        """Keeper -> document -> (key, row): the keeper, the `also` documents, and the first few by key."""
        groups: dict[bytes, dict[bytes, tuple[int, _Row]]] = {k: {} for k in keepers}
        prefixes = np.asarray(sorted({int.from_bytes(k[:8], "little") for k in keepers}), dtype=np.uint64)
        if not keepers:
            return groups
        for unit in self.view.parts:
            ids, links = self.clusters.ids(unit), self.clusters.keepers(unit)
            linked = np.isin(as_lanes(links)[:, 0], prefixes) & np.asarray(links.is_valid())
            for row in np.flatnonzero(linked | np.isin(as_lanes(ids)[:, 0], prefixes)):
                doc_id, keeper = ids[int(row)].as_py(), links[int(row)].as_py()
                keeper = doc_id if doc_id in groups else keeper
                if keeper in groups:
                    key = int(rng.keys(ids.slice(int(row), 1), seed=0, salt=SALT)[0])
                    rank = -2 if doc_id == keeper else -1 if doc_id in also else key
                    self._offer(groups[keeper], doc_id, rank, unit, int(row))
        return groups

    def _offer(self, group: dict[bytes, tuple[int, _Row]], doc_id: bytes, rank: int, unit: str, row: int) -> None:
        if len(group) > MEMBERS + CHAINED:
            worst = max(group, key=lambda d: group[d][0])
            if group[worst][0] <= rank:
                return
            del group[worst]
        group[doc_id] = (rank, self._row(unit, row))

    def _row(self, unit: str, row: int) -> _Row:
        columns = self.clusters.columns

        def value(name: str) -> Any:
            return self.view.array(name, unit)[row].as_py() if name else None

        return _Row(
            unit=unit, row=row, size=value(columns.size) or 0, jaccard=value(columns.similarity),
            chained=bool(value(columns.chained)),
        )  # fmt: skip

    def _excerpts(self, groups: Mapping[bytes, Mapping[bytes, tuple[int, _Row]]]) -> dict[tuple[str, int], Excerpt]:
        rows: dict[str, set[int]] = {}
        for group in groups.values():
            for _, found in group.values():
                rows.setdefault(found.unit, set()).add(found.row)
        out: dict[tuple[str, int], Excerpt] = {}
        for unit, wanted in rows.items():
            texts = excerpts(self.space.store, self.space.parts[unit], sorted(wanted), 4 * LINE_CHARS)
            out |= {(unit, row): text for row, text in texts.items()}
        return out

    def _cluster(
        self, keeper: bytes, groups: Mapping[bytes, Mapping[bytes, tuple[int, _Row]]],
        shown: Mapping[tuple[str, int], Excerpt], only: set[bytes],
    ) -> Cluster | None:  # fmt: skip
        """A cluster by its keeper; with `only` these members (then up to two more), else the first few."""
        group = groups.get(keeper, {})
        if keeper not in group:
            return None
        ranked = sorted((d for d in group if d != keeper), key=lambda d: (d not in only, group[d][0]))
        members = [_member(group[d][1], shown) for d in ranked[: len(only) + 2 if only else MEMBERS]]
        return Cluster(size=group[keeper][1].size, keeper=_member(group[keeper][1], shown), members=members)


def checked_lines(view: FinishedStage) -> list[str]:
    """What the sub-stage that looked at a sample by brute force says of a search for near-duplicates."""
    check = next((s for s in view.run.stages if s.shown == f"{view.shown}.check" and s.complete), None)
    told = check.committed.manifest.metrics.get("checked", {}) if check else {}
    out = []
    for name, what, so in (("recall", "a near-duplicate", "one found"), ("precision", "a pair", "no false one")):
        if share := told.get(name):
            between = f"{percent(share['low'])} to {percent(share['high'])}"
            out.append(f"of {share['of']:,} with {what}, {percent(share['value'])} ({between}) have {so}")
    for name, what in (("pair_recall", "pairs"), ("large_groups", "pairs in groups of more than 128")):
        if share := told.get(name):
            out.append(f"of {share['of']:,} {what}, {percent(share['value'])} found")
    if out:
        out.insert(
            0, f"{told['documents']:,} documents by lot compared with {told['compared_with']:,}, by exact Jaccard"
        )
    return out


def _member(row: _Row, shown: Mapping[tuple[str, int], Excerpt]) -> Member:
    text = shown[row.unit, row.row]
    line = first_line(text.text, LINE_CHARS)
    return Member(
        doc_id=text.doc_id,
        origin=text.origin,
        line=line,
        num_bytes=text.num_bytes,
        jaccard=row.jaccard,
        chained=row.chained,
    )
