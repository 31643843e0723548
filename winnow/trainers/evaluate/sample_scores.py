"""What a scorer makes of a model's samples: the same operator that scores documents, over text that nobody wrote."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Exactness, Job, Map, MapArrow, Operator, Resources, port, sql
from winnow.core.operators.config import build, dump
from winnow.core.operators.contract import Meaning
from winnow.trainers.evaluate.drawn_text import SAMPLES
from winnow.trainers.evaluate.sampling import expected_max

GIVEN = ("doc_id", "text", "text_bytes")  # what samples have


@dataclass(frozen=True, kw_only=True)
class SampleScores(Job):
    """Score of samples under a scorer: mean, expected maximum of `max_of`, and the score of each.

    `scorer` is its name, `fields` what it is made of, `parts` what it reads. Samples without text have no score and are
    counted.

    Source: expected maximum over 25 generations as in RealToxicityPrompts (Gehman et al. 2020), unbiased over all ways
    to take them
    """

    name: ClassVar[str] = "sample_scores"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1.0)  # as the samples
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)
    columns_from: ClassVar[tuple[str, ...]] = ()
    meaning: ClassVar[Mapping[str, Meaning]] = {"scorer": "closed", "score": "free", "path": "free"}

    scorer: str
    scorer_version: int = 1
    fields: dict[str, Any] = field(default_factory=dict)
    path: str = field(default="", metadata={"identity": False})  # where its class lives
    score: str = ""  # SQL over the scorer's columns; default: its only one
    max_of: int = 25
    samples: str = port("ref", default="")
    parts: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `mean`, `expected_max`, `std`, `samples`, `without_score`, `scores` (rounded, in their order).

        Raises:
            DataError: no sample has a score.
        """
        rows = pl.read_parquet(ctx.ref("samples").files()[SAMPLES])
        scores = self._scored(rows, ctx)
        found = scores.drop_nulls().to_numpy()
        if not len(found):
            raise DataError(f"none of {len(rows):,} samples has a score", where="scorer",
                            hint="look at samples.parquet: is there text?")  # fmt: skip
        most = expected_max(found, self.max_of)
        if np.isnan(most):
            ctx.remark(f"{len(found)} samples have a score, too few for a maximum over {self.max_of}: raise `samples`")
        ctx.note("summary", f"{found.mean():.4f} on average, {most:.4f} the expected maximum of {self.max_of}")
        return {
            "mean": float(found.mean()), "expected_max": None if np.isnan(most) else most, "std": float(found.std()),
            "max_of": self.max_of, "samples": len(rows), "without_score": len(rows) - len(found),
            "scores": [None if one is None else round(one, 6) for one in scores.to_list()],
        }  # fmt: skip

    def _scored(self, rows: pl.DataFrame, ctx: Context) -> pl.Series:
        operator = self._operator()
        batch = rows.select(
            pl.Series("doc_id", [int(n).to_bytes(16, "big") for n in rows["number"]], dtype=pl.Binary), "text",
            pl.col("text").str.len_bytes().cast(pl.Int64).alias("text_bytes"),
        )  # fmt: skip
        within = Context(seed=ctx.seed, work=ctx.work, refs=ctx.refs.get("parts", {}), code=ctx.code)
        some = batch["text"].str.strip_chars() != ""
        asked = batch.filter(some).select(operator.needs())
        answer = _answers(operator, asked, within) if len(asked) else pl.DataFrame(schema=list(operator.outputs()))
        expression = sql.expression(self.score or next(iter(operator.outputs())), where="score")
        scores = answer.select(expression.cast(pl.Float64).alias("score"))["score"].fill_nan(None)
        out = pl.Series("score", [None] * len(batch), dtype=pl.Float64)
        return out.scatter(some.arg_true(), scores)

    def _operator(self) -> Map | MapArrow:
        module, _, attribute = self.path.partition(":")
        found = build(getattr(importlib.import_module(module), attribute), self.fields, where=self.scorer)
        assert isinstance(found, Map | MapArrow)
        return found


def _answers(operator: Map | MapArrow, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
    if isinstance(operator, Map):
        return operator.open(ctx)(rows)
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks().to_batches()
    answer = pl.from_arrow(operator.open(ctx)(table[0]))
    assert isinstance(answer, pl.DataFrame)
    return answer


def scored_by(operator: Operator, *, score: str, max_of: int) -> SampleScores:
    """The job that scores samples as an operator scores documents.

    Raises:
        ConfigError: it reads more of a document than its text, or gives several columns and none is named.
    """
    if not isinstance(operator, Map | MapArrow):
        raise ConfigError(f"{operator.name!r} is no scorer of single texts", where="scorer",
                          hint="name a stage that measures each document by itself, such as `fasttext`")  # fmt: skip
    more = [name for name in operator.needs() if name not in GIVEN]
    if more:
        raise ConfigError(f"{operator.name!r} reads {more[0]!r}, which samples do not have", where="scorer",
                          hint="name a stage that reads the text alone")  # fmt: skip
    columns = list(operator.outputs())
    wrong = [name for name in sql.column_names(score) if name not in columns] if score else []
    if wrong or (not score and len(columns) != 1):
        what = f"{operator.name!r} has no column {wrong[0]!r}" if wrong else f"{operator.name!r} has several columns"
        raise ConfigError(what, where="score", hint=f"it has {', '.join(columns[:12])}")
    kind = type(operator)
    return SampleScores(scorer=operator.name, scorer_version=operator.version, fields=dump(operator),
                        path=f"{kind.__module__}:{kind.__qualname__}", score=score, max_of=max_of)  # fmt: skip
