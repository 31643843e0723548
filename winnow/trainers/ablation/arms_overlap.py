"""All selections of an ablation against all its targets, in one job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import DataError
from winnow.core.operators import Context, Job, Resources, Source, port
from winnow.core.words.protected import SHORTEST, Protection
from winnow.trainers.ablation.fold_facts import FoldFacts
from winnow.trainers.ablation.shared_documents import Shared, selection_digest
from winnow.trainers.ablation.target_overlap import marked_in, overlap_of, unchecked_of
from winnow.trainers.evaluate.suites import suite_of


@dataclass(frozen=True, kw_only=True)
class ArmsOverlap(Job):
    """What selections repeat of the targets, and what they have in common; any of a guarded target is refused.

    References: `selections` of one pool {label/seed of the first that reads it}, `overlaps` {target: its
    `target_overlap`}, `targets`.

    Cost: every selection is read once; memory a bit per selection and document of the pool.

    Source: own
    """

    name: ClassVar[str] = "arms_overlap"
    role: ClassVar[str] = "trainer"
    texts_of: ClassVar[tuple[str, ...]] = ("selections", "targets")
    version: ClassVar[int] = 3  # 3: `common`, and weights in `digests`
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    reported: tuple[str, ...] = ()  # targets whose overlap is reported and not refused
    shortest: int = SHORTEST
    labels: dict[str, str] | None = None  # label/seed -> name of its selection; None: a selection is its own
    compared: tuple[str, ...] = ()  # those of them whose documents in common are counted; (): all
    columns: dict[str, tuple[str, ...]] | None = None  # selection -> columns besides doc_id that training reads of it
    seeds: int = 0  # with folds: how many there are, one per seed
    budgets: dict[str, str] | None = None  # with folds: selection -> its budget in one fold
    folds: str = port("ref", default="")  # the fold of every document of the pool
    selections: dict[str, str] | None = port("refs", default=None)
    overlaps: dict[str, str] | None = port("refs", default=None)
    targets: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `targets` {target: the selection with the most overlap, its items and documents}; `digests`
        {label/seed: 32 hex digits of its documents and their weights}; and `common`: `keys` (label/seed) and
        `shares`, how much of their text two of them have in common, bytes(A and B) / sqrt(bytes A x bytes B).

        With folds also `folds`: their sizes, and bytes of every selection.

        Raises:
            DataError: a selection repeats items of a target that is not among `reported`; it names some. With folds,
                a selection lies not within its own, or takes none or all of it.
        """
        selections: Mapping[str, Source] = ctx.refs["selections"]
        suites = {t: suite_of(ctx.refs["targets"][t], target=t) for t in ctx.refs["overlaps"]}
        marked = {t: marked_in(marks) for t, marks in ctx.refs["overlaps"].items()}
        protection = Protection(shortest=self.shortest)
        unchecked = {t: unchecked_of(ctx.refs["targets"][t], suite, protection) for t, suite in suites.items()}
        shared = Shared(pool=next(iter(selections.values())).frame("doc_id", "text_bytes"))
        folds = self._folds(ctx, shared)
        each: dict[str, dict[str, Any]] = {target: {} for target in suites}
        digests = {}
        for name, source in selections.items():
            rows = source.frame("doc_id", *(self.columns or {}).get(name, ()), where_kept=True)
            shared.add(name, rows["doc_id"])
            digests[name] = selection_digest(rows)
            if folds is not None:
                folds.add(name, int(name.rpartition("/")[2]), rows, source)
            for target, suite in suites.items():
                each[target][name] = overlap_of(rows, marked[target], suite, unchecked=unchecked[target])
        labels = self.labels or {name: name for name in selections}
        compared = self.compared or tuple(labels)
        return {
            "targets": {target: self._worst(target, found) for target, found in each.items()},
            "digests": {label: digests[name] for label, name in labels.items()},
            "common": shared.table({label: labels[label] for label in compared}),
            **({} if folds is None else {"folds": folds.table()}),
        }

    def _folds(self, ctx: Context, shared: Shared) -> FoldFacts | None:
        if "folds" not in ctx.refs:
            return None
        return FoldFacts(pool=shared.pool, folds=ctx.ref("folds"), num=self.seeds, budgets=self.budgets or {})

    def _worst(self, target: str, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        worst = max(found, key=lambda name: found[name]["items"])
        if found[worst]["items"] and target not in self.reported:
            self._refuse(target, worst, found[worst])
        return {"selection": worst, **found[worst]}

    def _refuse(self, target: str, selection: str, row: Mapping[str, Any]) -> None:
        more = ", ..." if row["items"] > len(row["names"]) else ""
        raise DataError(
            f"the selection repeats {row['items']} items of target {target!r} in {row['documents']} documents: "
            f"{', '.join(row['names'])}{more}",
            where=f"arm {selection!r}",
            hint="put a `decontaminate` stage against the target before the selections, "
            f"or accept it with `may_overlap: [{target}]`",
        )
