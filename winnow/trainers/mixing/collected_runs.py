"""The runs of a stage as one table: what each was trained on and what it reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import DataError
from winnow.core.operators import Context, Exactness, Job, Kind, Source, port
from winnow.core.operators.budget import Unit
from winnow.core.terminal import percent
from winnow.trainers.compare.arms import MAIN
from winnow.trainers.mixing.runs import FILE, Runs, checked

FAR = 0.02  # a share that is so far from the drawn one is remarked


@dataclass(frozen=True, kw_only=True)
class CollectedRuns(Job):
    """A table of runs (`runs.parquet`): shares as they came out, losses on every target, losses on the way.

    References by label of the run: `drawn` (its weights), `used` (what its selection took, default: the weights),
    `runs` {label/0}, `scores` {label/0/target}, `curves` {label/target}; and `sizes` of the pool.

    Source: own
    """

    name: ClassVar[str] = "collected_runs"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    publishes: ClassVar[str] = "runs"
    exactness: ClassVar[Exactness] = Exactness(1e-3)

    targets: tuple[str, ...]
    unit: Unit = "tokens"  # of the sizes
    drawn: dict[str, str] | None = port("refs", default=None)
    used: dict[str, str] | None = port("refs", default=None)
    runs: dict[str, str] | None = port("refs", default=None)
    scores: dict[str, str] | None = port("refs", default=None)
    curves: dict[str, str] | None = port("refs", default=None)
    sizes: str = port("ref", default="")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write runs.parquet; metrics: `runs`, `values`, `targets`, `failed` {run: why}, `parameters`, and of a pool
        `sizes` and `prior`.

        Raises:
            DataError: fewer than two runs came to an end.
        """
        results, failed = self._results(ctx)
        labels = [label for label in results if label not in failed]
        wanted = {label: ctx.refs["drawn"][label].result()["weights"] for label in labels}
        values = tuple(sorted({value for weights in wanted.values() for value in weights}))
        shares = np.asarray([[wanted[label].get(value, 0.0) for value in values] for label in labels])
        taken = self._taken(ctx, labels, values)
        real = shares if taken is None else taken / taken.sum(axis=1, keepdims=True)
        points, curves = self._curves(ctx, labels)
        sizes = ctx.ref("sizes").result()["sizes"] if "sizes" in ctx.refs else {}
        held = sizes if self.unit == "tokens" else {}
        table = checked(Runs(
            names=tuple(labels), values=values, targets=self.targets, shares=real, losses=self._losses(ctx, labels),
            tokens=self._tokens([results[label] for label in labels], taken), points=points, curves=curves,
            unique=np.tile([float(held.get(value, np.nan)) for value in values], (len(labels), 1)),
        ))  # fmt: skip
        table.save(ctx.work / FILE)
        self._tell(ctx, table, float(np.abs(real - shares).max()), failed)
        pool = {"sizes": sizes, "prior": {v: s / sum(sizes.values()) for v, s in sizes.items()}} if sizes else {}
        return {"runs": len(labels), "values": list(values), "targets": list(self.targets), "failed": failed,
                "parameters": results[labels[0]]["parameters"], "unit": self.unit, **pool}  # fmt: skip

    @staticmethod
    def _results(ctx: Context) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
        """What training said of every run, and why some failed. Raises DataError where fewer than two did not."""
        results = {label: ctx.refs["runs"][f"{label}/0"].result() for label in ctx.refs["drawn"]}
        failed = {label: str(result["failed"]) for label, result in results.items() if "failed" in result}
        if len(results) - len(failed) < 2:
            raise DataError(f"{len(failed)} of {len(results)} runs failed: {next(iter(failed.values()), '')}",
                            hint="lower the learning rates, or draw more runs")  # fmt: skip
        return results, failed

    def _tokens(self, results: Sequence[Mapping[str, Any]], taken: np.ndarray | None) -> np.ndarray:
        """Tokens of every run as the pool counts them, so that they compare with its sizes; else as it was trained."""
        if taken is None or self.unit != "tokens":
            return np.asarray([result["tokens"] for result in results])
        passes = np.asarray([float(result["epochs"]) for result in results])
        return np.asarray((passes * taken.sum(axis=1)).round(), dtype=np.int64)

    def _taken(self, ctx: Context, labels: list[str], values: tuple[str, ...]) -> np.ndarray | None:
        """What each selection took of every value, f64[runs, values]; None where nothing says it."""
        used: Mapping[str, Source] = ctx.refs.get("used", {})
        if not used:
            return None
        sizes = [used[label].result()["sizes"] for label in labels]
        return np.asarray([[float(one.get(value, 0)) for value in values] for one in sizes])

    def _losses(self, ctx: Context, labels: list[str]) -> np.ndarray:
        def loss(label: str, target: str) -> float:
            row = ctx.refs["scores"][f"{label}/0/{target}"].result()["targets"][target]
            return float(row["measures"][MAIN[row["kind"]]])

        return np.asarray([[loss(label, target) for target in self.targets] for label in labels])

    def _curves(self, ctx: Context, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens seen at each point, and losses f64[runs, targets, points]; empty without a curve."""
        found: Mapping[str, Source] = ctx.refs.get("curves", {})
        if not found:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 0, 0))
        results = [[found[f"{label}/{t}"].result() for t in self.targets] for label in labels]
        losses = [[r["targets"][t]["values"] for r, t in zip(row, self.targets, strict=True)] for row in results]
        return np.asarray([p["tokens"] for p in results[0][0]["points"]], dtype=np.int64), np.asarray(
            losses, dtype=float
        )

    @staticmethod
    def _tell(ctx: Context, table: Runs, away: float, failed: Mapping[str, str]) -> None:
        ends = zip(table.targets, table.losses.min(axis=0), table.losses.max(axis=0), strict=True)
        spread = ", ".join(f"{target} {low:.3f} to {high:.3f}" for target, low, high in ends)
        ctx.note("summary", f"{len(table):,} runs over {len(table.values)} values; {spread}")
        ctx.note("largest_share_error", away)
        if failed:
            of, why = (
                len(failed) + len(table),
                "; ".join(f"{label}: {what}" for label, what in list(failed.items())[:2]),
            )
            ctx.remark(f"{len(failed)} of {of} runs failed and are left out ({why}): lower the learning rates")
        if away > FAR:
            ctx.remark(f"a selection's share is {percent(away)} off the drawn one, and the table has what was used: "
                       "documents are large beside the budget")  # fmt: skip
