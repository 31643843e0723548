"""Documents in the order of a column, easy to hard or hard to easy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators.contract import Meaning
from winnow.trainers.data.batches import Batches
from winnow.trainers.data.mixed import Mixed, mixed_of
from winnow.trainers.data.pack import PackedBatches
from winnow.trainers.online.by_score import alike
from winnow.trainers.online.column_policy import ColumnPolicy
from winnow.trainers.online.mixing import Domains, Floats, Ints, Mixing
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.told import Told

Opening = Literal["in_turn", "growing"]
UNCAPPED = float(2**20)  # a bucket is read as often as the plain run reads the selection


@dataclass(frozen=True, kw_only=True)
class Curriculum(ColumnPolicy):
    """Rows in the order of `by`, lowest values first: buckets of equal numbers of tokens, shuffled inside of each.

    Documents are sorted by `by` (ties in the order of doc_id) within their value of `within`, where it names columns,
    and cut into `buckets`. `opening: in_turn` reads one bucket after the other, each for its share of the run's tokens,
    so that content and repeats are those of the plain run and the order alone differs; `growing` opens one bucket after
    the other and draws from all that are open, so that early ones are read more. That lasts for the first `pacing` of
    the steps; behind it rows come from all buckets. Documents without a value are not read, and are counted.

    Cost: one sort; none at a step.
    Source: curriculum learning (Bengio et al. 2009); 10 buckets by perplexity as in Llama-3-SynE (arXiv 2407.18743);
    `growing` is a competence-based curriculum (Platanios et al. 2019) in steps.
    """

    name: ClassVar[str] = "curriculum"
    does: ClassVar[str] = "in an order of its own"
    blind: ClassVar[bool] = True
    meaning: ClassVar[Mapping[str, Meaning]] = {"by": "columns"}
    seam: ClassVar[Seam] = "mixture"
    rewrites: ClassVar[bool] = True
    tells_missing: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("within",)

    by: str  # SQL: the difficulty
    descending: bool = False  # highest values first
    buckets: int = 10
    within: tuple[str, ...] = ()  # columns within whose values documents are sorted
    opening: Opening = "in_turn"
    pacing: float = 1.0  # share of the steps that are in order

    def numbers(self) -> Mapping[str, str]:
        """The difficulty."""
        return {"by": self.by}

    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """The group to sort within."""
        return {"within": self.within} if self.within else {}

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        if not 1 <= self.buckets <= 1000:
            raise ConfigError(f"buckets is {self.buckets}, and lies in [1, 1000]", where="buckets")
        if not 0 < self.pacing <= 1:
            raise ConfigError(f"pacing is {self.pacing}, not a share in (0, 1]", where="pacing")

    def rewrite(self, batches: PackedBatches, told: Told) -> Batches:
        """The selection in buckets."""
        domains = self.made_of(np.diff(batches.data.offsets) + 1, told)
        return mixed_of(batches, domains.number, domains.names, max_repeats=UNCAPPED)

    def begin(self, told: Told) -> Acting:
        """What opens the buckets."""
        nothing = Domains(names=(), number=np.zeros(0, dtype=np.int64))  # known when the run's batches are
        return Ordered(told=told, domains=nothing, policy=self)

    def made_of(self, tokens: Ints, told: Told) -> Domains:
        """Buckets as domains, in the order of training.

        Raises:
            DataError: no document has a value.
        """
        value = told.column("by")
        group = told.columns["within"].cast(pl.String) if self.within else None
        number = buckets_of(value, tokens, self.buckets, group=group, descending=self.descending)
        there = np.unique(number[number >= 0])
        if not len(there):
            raise DataError(f"none of {len(value):,} documents has a value to sort by", where="by",
                            hint="name a column that has values")  # fmt: skip
        names = tuple(f"bucket_{k + 1:04d}" for k in range(len(there)))
        return Domains(names=names, number=np.where(number >= 0, np.searchsorted(there, number), -1))


@dataclass(kw_only=True)
class Ordered(Mixing):
    """Shares of buckets as a function of the step."""

    policy: Curriculum

    def idle(self) -> str:
        """That all documents are equally hard, or in one bucket."""
        value = self.told.column("by")
        if same := alike(value[self.domains.number >= 0], "by"):
            return f"the order is that of the documents' ids: {same}"
        if len(self.domains.names) == 1:
            return f"all {len(value):,} documents are in one bucket: raise `buckets`, or leave it out"
        return ""

    def reads(self, data: Batches) -> None:
        """The run's batches, before the first step."""
        assert isinstance(data, Mixed), "a curriculum rewrites the batches of its run"
        self.domains = self.policy.made_of(np.diff(data.pace.data.offsets) + 1, self.told)
        super().reads(data)

    def shares(self, step: int) -> Floats:
        """Shares of a step."""
        sizes = np.array(self.sizes, dtype=np.float64)
        return bucket_shares(sizes, step, self.data.num_steps, pacing=self.policy.pacing, opening=self.policy.opening)

    def state(self) -> dict[str, Any]:
        """Nothing: the step says it all."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to go on from."""

    def figures(self) -> dict[str, Any]:
        """What was read of each bucket, and documents that have no value."""
        return {**self.data.figures(), "left_out": self.domains.left_out}

    def remarks(self) -> tuple[str, ...]:
        """Documents without a value, and buckets that could not be made."""
        left, made, asked = self.domains.left_out, len(self.domains.names), self.policy.buckets
        lacking = f"{left:,} of {len(self.domains.number):,} documents have no value of `by` and are not trained on"
        few = f"{made} of {asked} buckets have documents: the selection is too small for more, so lower `buckets`"
        todo = "give them one, or leave them out of the selection"
        return (*((f"{lacking}: {todo}",) if left else ()), *((few,) if made < asked else ()))


def buckets_of(
    value: Floats, tokens: Ints, many: int, *, group: pl.Series | None = None, descending: bool = False
) -> Ints:
    """The bucket of every document, i64[documents] in [0, many), -1 where it has no value.

    Within each group documents are sorted by value, ties as they lie, and cut where a `many`-th of the group's tokens
    ends; a document belongs to the bucket that its middle token lies in.
    """
    frame = pl.DataFrame({"value": value, "tokens": tokens}).with_row_index("row")
    frame = frame.with_columns(pl.lit("").alias("group") if group is None else group.alias("group"))
    frame = frame.filter(pl.col("value").is_not_nan() & pl.col("group").is_not_null())
    frame = frame.sort("group", "value", descending=[False, descending], maintain_order=True)
    total, end = pl.col("tokens").sum().over("group"), pl.col("tokens").cum_sum().over("group")
    place = ((2 * end - pl.col("tokens")) * many // (2 * total)).cast(pl.Int64).alias("bucket")
    frame = frame.with_columns(place)
    out = np.full(len(value), -1, dtype=np.int64)
    out[frame["row"].to_numpy()] = frame["bucket"].to_numpy()
    return out


def bucket_shares(sizes: Floats, step: int, steps: int, *, pacing: float, opening: Opening) -> Floats:
    """Shares f64[buckets] of a step: one bucket or all open ones by size, and all by size behind the ordered steps."""
    ordered = max(1, round(steps * pacing))
    even = sizes / sizes.sum()
    if step >= ordered or len(sizes) == 1:
        return np.asarray(even)
    ends = np.cumsum(sizes) / sizes.sum()
    at = min(int(np.searchsorted(ends, (step + 0.5) / ordered, side="right")), len(sizes) - 1)
    if opening == "in_turn":
        return np.asarray(np.arange(len(sizes)) == at, dtype=np.float64)
    still = np.where(np.arange(len(sizes)) <= at, sizes, 0.0)
    return np.asarray(still / still.sum())
