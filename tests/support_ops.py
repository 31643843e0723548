"""Operators of the tests' own: shapes and faults that the shipped ones do not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Columns, Context, Exactness, Fit, Fold, Job, Kind, Map, Schema, Whole, port


@dataclass(frozen=True, kw_only=True)
class Project(Map):
    """A score by matrix products, which BLAS rounds differently for other heights.

    Source: own
    """

    name: ClassVar[str] = "project"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-4)
    batch_rows: ClassVar[int | None] = 64

    width: int = 256

    def needs(self) -> tuple[str, ...]:
        return ("text_hash",)

    def outputs(self) -> Schema:
        return {"projection": pa.float64()}

    def open(self, ctx: Context) -> Columns:
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal((self.width, self.width)).astype(np.float32) for _ in range(2))
        seed = rng.standard_normal((256, self.width)).astype(np.float32)

        def score(rows: pl.DataFrame) -> pl.DataFrame:
            raw = np.frombuffer(b"".join(rows["text_hash"].to_list()), np.uint8).reshape(-1, 16)
            x = seed[raw].sum(axis=1) / 4
            y = np.tanh(x @ a / 16) @ b / 16
            return pl.DataFrame({"projection": y.mean(axis=1).astype(np.float64)})

        return score


@dataclass(frozen=True, kw_only=True)
class Typical(Fit):
    """Mean length of a sample.

    Source: own
    """

    name: ClassVar[str] = "typical"
    role: ClassVar[str] = "scorer"

    salt: str = ""
    wobble: str = port("files", default="")

    def needs(self) -> tuple[str, ...]:
        return ("doc_id", "text_bytes")

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        return rows.select("doc_id", "text_bytes").filter(pl.col("text_bytes") % 3 != 0)

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        mean = sample["text_bytes"].sum() // max(sample.height, 1) + _wobble()
        (ctx.work / "mean.txt").write_text(str(mean))
        ctx.note("mean", mean)
        return {"mean": mean, "rows": sample.height}


WOBBLE = Path("/nonexistent")


def _wobble() -> int:
    """What makes a fit irreproducible: a file that a test changes behind winnow's back."""
    return int(WOBBLE.read_text()) if WOBBLE.exists() else 0


@dataclass(frozen=True, kw_only=True)
class Apart(Map):
    """How far a document's length lies from the mean.

    Source: own
    """

    name: ClassVar[str] = "apart"
    role: ClassVar[str] = "scorer"

    model: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        return ("text_bytes",)

    def outputs(self) -> Schema:
        return {"apart": pa.int64()}

    def open(self, ctx: Context) -> Columns:
        mean = int(ctx.ref("model").files()["mean.txt"].read_text())
        return lambda rows: pl.DataFrame({"apart": (rows["text_bytes"] - mean).abs()})


@dataclass(frozen=True, kw_only=True)
class Summary(Job):
    """Rows and steps of a stage.

    Source: own
    """

    name: ClassVar[str] = "summary"
    role: ClassVar[str] = "trainer"

    of: str = port("ref")

    def run(self, ctx: Context) -> dict[str, Any]:
        assert ctx.step is not None
        rows = ctx.ref("of").frame("doc_id").height
        first = ctx.step("first", lambda folder: _put(folder / "a.txt", str(rows)))
        second = ctx.step("second", lambda folder: _put(folder / "b.txt", (first / "a.txt").read_text() + "!"))
        _put(ctx.work / "out.txt", (second / "b.txt").read_text())
        ctx.note("summary", f"{rows} rows were told")
        return {"rows": rows}


def _put(path: Path, text: str) -> None:
    path.write_text(text)


@dataclass(frozen=True, kw_only=True)
class Ranked(Whole):
    """Rank of every row by length.

    Source: own
    """

    name: ClassVar[str] = "ranked"
    role: ClassVar[str] = "scorer"

    def needs(self) -> tuple[str, ...]:
        return ("text_bytes",)

    def outputs(self) -> Schema:
        return {"rank": pa.int64()}

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        ctx.note("longest", np.int64(rows["text_bytes"].max() or 0))
        ctx.note("lengths", np.bincount(rows["text_bytes"].to_numpy() // 200, minlength=3)[:3])
        return rows.select(rank=pl.col("text_bytes").rank("ordinal").cast(pl.Int64))


@dataclass(frozen=True, kw_only=True)
class Halves(Fold):
    """True for rows longer than the corpus' mean, found in two rounds.

    Source: own
    """

    name: ClassVar[str] = "halves"
    role: ClassVar[str] = "selector"
    kind: ClassVar[Kind] = Kind.COLUMNS
    population: ClassVar[bool] = True

    def needs(self) -> tuple[str, ...]:
        return ("text_bytes",)

    def outputs(self) -> Schema:
        return {"kept": pa.bool_()}

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        cut = -1 if state is None else int(state["sum"][0] // max(state["n"][0], 1))
        some = rows.filter(pl.col("text_bytes") > cut)
        return pl.DataFrame({"sum": [int(some["text_bytes"].sum())], "n": [some.height]})

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(summaries).select(pl.col("sum").sum(), pl.col("n").sum())

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        ctx.note("mean", int(summary["sum"][0] // max(summary["n"][0], 1)))
        ctx.note(
            "first round" if state is None else "second round", {"rows": summary["n"][0], "done": state is not None}
        )
        return summary, state is not None

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        cut = int(state["sum"][0] // max(state["n"][0], 1))
        return rows.select(kept=pl.col("text_bytes") > cut)
