"""`winnow sample --cluster`: duplicate clusters with their keeper and members, the largest or a random choice.

    {"stage", "shown": "clusters", "largest", "of", "clusters": [{"keeper", "size", "members": [
        {"doc_id", "origin", "bytes", "text", "cut", "kept", "jaccard", "chained"}]}]}

The keeper comes first; of the others at most `MOST_MEMBERS`, by the keyed hash of their doc_id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError
from winnow.core.numerics import rng
from winnow.core.terminal import Lines, escaped
from winnow.dags.looking.address import decision_of, decisions, incomplete, refuse_incomplete
from winnow.dags.looking.duplicates import Clusters, clusters_in
from winnow.dags.looking.excerpts import Excerpt, excerpts
from winnow.dags.looking.finished import FinishedRun

MOST_MEMBERS = 6
CLUSTER_CHARS = 200

Row = tuple[str, int]  # unit, row in it


def clusters_of(run: FinishedRun, stage: str | None, n: int, *, largest: bool, salt: str) -> dict[str, Any]:
    """`n` clusters of a dedup stage (default: the last one of the run); see the module.

    Raises: ConfigError where no stage, or not this one, finds duplicates. Cost: two passes over its sidecars.
    """
    found = _dedup(run, stage)
    chooser = _Chooser(found, salt)
    keepers, num = chooser.keepers(n, largest=largest)
    return {
        "stage": found.stage.shown, "shown": "clusters", "by": None, "rule": None, "only": None, "null": None,
        "largest": largest, "of": num, "clusters": list(chooser.clusters(keepers)),
    }  # fmt: skip


def _dedup(run: FinishedRun, stage: str | None) -> Clusters:
    found = {v.folder: c for v in decisions(run) if (c := clusters_in(v)) is not None}
    if stage is None:
        if not found and incomplete(run):
            raise refuse_incomplete(run, "no stage has found duplicates yet")
        if not found:
            raise ConfigError("no stage of this run finds duplicates", hint="add `exact` or `minhash`")
        return list(found.values())[-1]
    view = decision_of(run, stage)
    if view.folder not in found:
        names = ", ".join(c.stage.shown for c in found.values()) or "none"
        raise ConfigError(f"stage {stage!r} finds no duplicates", hint=f"stages that do: {names}")
    return found[view.folder]


class _Chooser:
    """The two passes over one dedup stage: keepers, then the members of the chosen ones."""

    def __init__(self, found: Clusters, salt: str) -> None:
        self.found, self.space, self.salt = found, found.space, salt

    def keepers(self, n: int, *, largest: bool) -> tuple[list[tuple[bytes, Row, int]], int]:
        """(doc_id, place, size) of the chosen clusters' keepers, and the number of clusters."""
        chosen: list[tuple[tuple[int, int], bytes, Row, int]] = []
        num = 0
        for unit in self.found.stage.parts:
            sizes = self.found.sizes(unit)
            index = np.flatnonzero(self.found.kept(unit) & (sizes > 1))
            num += len(index)
            ids = self.found.ids(unit).take(pa.array(index))
            keys = rng.keys(ids, seed=0, salt=self.salt)
            order = np.lexsort((keys, -sizes[index])) if largest else np.argsort(keys, kind="stable")
            for i in order[:n]:
                height = int(sizes[index[i]])
                rank = (-height if largest else 0, int(keys[i]))
                chosen.append((rank, ids[int(i)].as_py(), (unit, int(index[i])), height))
            chosen = sorted(chosen)[:n]
        return [(doc_id, place, height) for _, doc_id, place, height in chosen], num

    def clusters(self, keepers: list[tuple[bytes, Row, int]]) -> Iterator[dict[str, Any]]:
        """The chosen clusters with their members' texts."""
        groups = self._members({doc_id for doc_id, _, _ in keepers})
        rows: dict[str, set[int]] = {}
        for doc_id, place, _ in keepers:
            for unit, row in (place, *(at for _, at in groups[doc_id])):
                rows.setdefault(unit, set()).add(row)
        texts = {
            (unit, row): text
            for unit, some in rows.items()
            for row, text in excerpts(self.space.store, self.space.parts[unit], sorted(some), CLUSTER_CHARS).items()
        }
        for doc_id, place, height in keepers:
            places = [place, *(at for _, at in groups[doc_id] if at != place)]
            members = [self._member(at, texts[at], kept=at == place) for at in places]
            yield {"keeper": doc_id.hex(), "size": height, "members": members}

    def _members(self, keepers: set[bytes]) -> dict[bytes, list[tuple[int, Row]]]:
        """Keeper -> (key, place) of the first few documents that it stands for."""
        groups: dict[bytes, list[tuple[int, Row]]] = {k: [] for k in keepers}
        wanted = pa.array(sorted(keepers), pa.binary(16))
        for unit in self.found.stage.parts:
            links, ids = self.found.keepers(unit), self.found.ids(unit)
            index = np.flatnonzero(np.asarray(pc.is_in(links, value_set=wanted)))
            keys = rng.keys(ids.take(pa.array(index)), seed=0, salt=self.salt)
            for key, row in sorted(zip(keys.tolist(), index.tolist(), strict=True)):
                if ids[row].as_py() != (keeper := links[row].as_py()):
                    groups[keeper].append((key, (unit, row)))
            groups = {k: sorted(v)[:MOST_MEMBERS] for k, v in groups.items()}
        return groups

    def _member(self, place: Row, text: Excerpt, *, kept: bool) -> dict[str, Any]:
        jaccard, chained = self.found.facts(*place)
        return {
            "doc_id": text.doc_id, "origin": text.origin, "bytes": text.num_bytes, "text": text.text, "cut": text.cut,
            "kept": kept, "jaccard": jaccard, "chained": chained,
        }  # fmt: skip


def cluster_lines(answer: Mapping[str, Any], *, width: int) -> Lines:
    """(style, line) of the clusters for a terminal."""
    which = "largest" if answer["largest"] else "random"
    yield "", f"{len(answer['clusters'])} {which} of the {answer['of']:,} duplicate clusters of {answer['stage']}"
    for cluster in answer["clusters"]:
        yield "", ""
        yield "bold", f"{cluster['size']:,} documents, keeper {cluster['keeper']}"
        for member in cluster["members"]:
            like = f"  Jaccard {member['jaccard']:.3f}" if member["jaccard"] is not None else ""
            like += "  through a chain" if member["chained"] else ""
            role, style = ("keeper", "green") if member["kept"] else ("", "")
            yield style, f"  {role:<6}  {member['doc_id']}  {escaped(member['origin'])}{like}"
            start = " ".join(escaped(member["text"]).split())
            yield "dim", f"          {start[: max(width - 14, 30)]}" + ("..." if member["cut"] else "")
        more = cluster["size"] - len(cluster["members"])
        if more > 0:
            yield "dim", f"  and {more:,} more"
