"""What a run noted of documents, joined to the rows of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.terminal import percent
from winnow.trainers.evaluate.nats_columns import PART
from winnow.trainers.model.policed import FEEDBACK
from winnow.trainers.model.usage import PASSED, TOKENS, WEIGHT

SEEN = "times_seen"
NOTED = (SEEN, WEIGHT)


@dataclass(frozen=True, kw_only=True)
class FeedbackColumns(Map):
    """Losses at steps of a run, `times_seen`, `weight_used`, and columns of its policy.

    References: `run_of`, the run, whose `feedback.arrow` holds a row per document that it was given, from whichever
    selection, part of a run or replay. Uses are counted in passes of the run, whose documents may have control tokens.

    Source: own
    """

    name: ClassVar[str] = "feedback_columns"
    role: ClassVar[str] = "scorer"

    steps: tuple[int, ...]
    noted: tuple[str, ...] = ()  # columns of the policy
    run_of: str = port("ref", default="")

    def needs(self) -> tuple[str, ...]:
        """The document and its losses."""
        return ("doc_id", *self._losses())

    def _losses(self) -> dict[str, str]:
        return {f"{PART.format(f'at_{step}')}.nats_per_token": f"loss_at_{step}" for step in self.steps}

    def outputs(self) -> Schema:
        """f64; `times_seen` in passes over the document (0.5: half of it); `weight_used` and the policy's columns are
        null where a document was not trained on.
        """
        return dict.fromkeys((*self._losses().values(), *NOTED, *self.noted), pa.float64())

    def open(self, ctx: Context) -> Columns:
        """Batch -> columns; what the run noted is read once.

        Raises:
            ConfigError: the run noted nothing, or has no such column.
        """
        told = self._told(ctx)

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            joined = batch.join(told, on="doc_id", how="left", maintain_order="left")
            tokens = pl.col(TOKENS).fill_null(0.0)
            ctx.count("unseen", joined.select((tokens == 0).sum()).item())
            return joined.select(
                *(pl.col(old).alias(new) for old, new in self._losses().items()),
                (tokens / pl.col(PASSED).fill_null(1)).alias(SEEN),
                pl.col(WEIGHT), *(pl.col(name) for name in self.noted),
            )  # fmt: skip

        return columns

    def _told(self, ctx: Context) -> pl.DataFrame:
        files = ctx.ref("run_of").files()
        if FEEDBACK not in files:
            raise ConfigError("the run noted nothing of its documents", where="run",
                              hint="an earlier version trained it: train it in another root")  # fmt: skip
        noted = pl.read_ipc(files[FEEDBACK])
        own = sorted({*noted.columns} - {"doc_id", PASSED, TOKENS, WEIGHT})
        for name in self.noted:
            if name not in own:
                raise ConfigError(f"the run's policy gives no {name!r}", where="columns",
                                  hint=f"it gives {', '.join(own) or 'none'}")  # fmt: skip
        return noted.select("doc_id", PASSED, TOKENS, WEIGHT, *self.noted)

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents that were never trained on."""
        unseen, asked = counts.get("unseen", 0), counts.get("rows", 0) - counts.get("masked", 0)
        if not unseen or not asked:
            return ()
        told = f"{unseen:,} of {asked:,} documents ({percent(unseen / asked)}) were never trained on: {WEIGHT} is null"
        return (f"{told} and {SEEN} 0 there; `where: {SEEN} > 0` in a later stage leaves them out",)
