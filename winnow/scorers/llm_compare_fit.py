"""The comparisons of `llm_compare`: pairs of a sample, which of both a model prefers, strengths from that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from winnow.core.endpoint.asking import Asker, Outcome
from winnow.core.endpoint.question import BYTES_PER_TOKEN, Answer, Question
from winnow.core.endpoint.settings import Asks
from winnow.core.endpoint.template import Long, filled, shown, template_in
from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.rng import uniform
from winnow.core.operators import Context, Exactness, Fit, port
from winnow.core.store.schema import contiguous, to_table
from winnow.core.terminal import percent
from winnow.scorers.bradley_terry import F64, I64, pairs_of, strengths

SCORES = "scores.arrow"
SALT = "winnow.llm_compare"
SLOTS = ("a", "b")
BATCH = 256  # pairs that are asked about together


@dataclass(frozen=True, kw_only=True)
class CompareSettings(Asks):
    """What decides which documents are compared, and how one asks."""

    rubric: tuple[str, ...] = port("files")
    documents: int = 1000  # documents that are compared, drawn by their ids
    comparisons: int = 8  # pairs that each of them is in
    max_chars: int = 4000  # of each text that the model sees
    long: Long = "head"  # what it sees of a longer one
    max_tokens: int = 50  # of an answer
    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"  # what the endpoint is told of it

    def validate(self) -> None:
        """Raises: ConfigError for numbers with which nothing can be compared."""
        super().validate()
        low = {
            "documents": (self.documents, 3),
            "comparisons": (self.comparisons, 2),
            "max_chars": (self.max_chars, 100),
        }
        for name, (value, least) in low.items():
            if value < least:
                raise ConfigError(f"{name} is {value}", where=name, hint=f"at least {least}")

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where the rubric is no text with {{a}} and {{b}} in it."""
        template_in(paths, slots=SLOTS, where="rubric")

    def per_document(self, text_bytes: float) -> tuple[int, float]:
        """Both orders of half the pairs that it is in."""
        return self.comparisons, self.comparisons * 2 * min(text_bytes, self.max_chars) / BYTES_PER_TOKEN

    def asked_about(self, documents: int) -> int:
        """The sample."""
        return min(documents, self.documents)


@dataclass(frozen=True, kw_only=True)
class LlmCompareFit(CompareSettings, Fit):
    """Documents that were compared, with their strength: an artefact with `scores.arrow`.

    Cost: a request per pair and order, in one task; 2 small files are written per answer.
    """

    name: ClassVar[str] = "llm_compare_fit"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True
    exactness: ClassVar[Exactness] = Exactness(atol=1e-6)

    def needs(self) -> tuple[str, ...]:
        """Ids and texts."""
        return ("doc_id", "text")

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The rows of the lowest draws, of those that say something."""
        rows = rows.filter(pl.col("text").str.strip_chars().str.len_bytes() > 0)
        draw = uniform(contiguous(to_table(rows.select("doc_id")).column("doc_id")), seed=ctx.seed, salt=SALT)
        return _lowest(rows.with_columns(draw=pl.Series(draw, dtype=pl.Float64)), self.documents)

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write `scores.arrow`: doc_id, score, comparisons.

        Raises: DataError for fewer than three documents, or without any answer that can be used.
        """
        rows = _lowest(sample, self.documents)
        if rows.height < 3:
            raise DataError(f"{rows.height} documents to compare", where="documents", hint="three or more with a text")
        pairs = pairs_of(rows.height, self.comparisons, rows["draw"].to_numpy())
        first = self._preferred(rows["text"].to_list(), pairs, ctx)
        known = ~np.isnan(first)
        if not known.any():
            raise DataError(f"none of {len(pairs):,} pairs has an answer that can be used", where="rubric",
                            hint="look at `response_format`, and try the rubric on a few documents")  # fmt: skip
        score = strengths(pairs[known], first[known], rows.height)
        compared = np.bincount(pairs[known].ravel(), minlength=rows.height)
        frame = pl.DataFrame({"doc_id": rows["doc_id"], "score": score, "comparisons": compared.astype(np.int32)})
        frame.filter(pl.col("comparisons") > 0).write_ipc(ctx.work / SCORES, compat_level=pl.CompatLevel.oldest())
        found = {"documents": rows.height, "pairs": len(pairs), "pairs_without_answer": int((~known).sum()),
                 "pairs_of_two_minds": int((first == 0.5).sum())}  # fmt: skip
        self._say(found, ctx)
        return found

    def _say(self, found: dict[str, int], ctx: Context) -> None:
        ctx.note("summary", f"{found['documents']:,} documents in {found['pairs']:,} pairs")
        minds, silent, pairs = found["pairs_of_two_minds"], found["pairs_without_answer"], found["pairs"]
        if silent:
            share = percent(silent / pairs)
            ctx.remark(f"{silent:,} of {pairs:,} pairs ({share}) have no answer that can be used, and count for "
                       "nothing: look at `response_format` and the rubric")  # fmt: skip
        if 2 * minds > pairs:
            share = percent(minds / pairs)
            ctx.remark(f"in {minds:,} of {pairs:,} pairs ({share}) the other text is preferred where they change "
                       "places: the model goes by place, not by text")  # fmt: skip

    def _preferred(self, texts: Sequence[str], pairs: I64, ctx: Context) -> F64:
        """Share of both orders in which the first of a pair is preferred, f64[pairs]; NaN without an answer to both."""
        paths = [Path(path) for path in ctx.refs.get("rubric", self.rubric)]
        rubric = template_in(paths, slots=SLOTS, where="rubric")
        asker = Asker.opened(self, ctx)
        seen = [shown(text, max_chars=self.max_chars, long=self.long)[0] for text in texts]
        out = []
        for start in range(0, len(pairs), BATCH):
            batch = [(int(a), int(b)) for one, two in pairs[start : start + BATCH] for a, b in ((one, two), (two, one))]
            asked = asker.ask([self._question(asker, rubric, seen[a], seen[b]) for a, b in batch])
            said = [self._said(outcome) for outcome in asked]
            out += [(there + 1 - back) / 2 for there, back in zip(said[::2], said[1::2], strict=True)]
        return np.array(out, dtype=np.float64)

    def _question(self, asker: Asker, rubric: str, one: str, two: str) -> Question:
        form: dict[str, Any] = {"type": "json_object"}
        if self.response_format == "json_schema":
            schema = {"type": "object", "properties": {"better": {"enum": ["A", "B"]}}, "required": ["better"],
                      "additionalProperties": False}  # fmt: skip
            form = {"type": "json_schema", "json_schema": {"name": "comparison", "strict": True, "schema": schema}}
        more = {} if self.response_format == "none" else {"response_format": form}
        return asker.question(filled(rubric, {"a": one, "b": two}), **more)

    def _said(self, outcome: Outcome) -> float:
        """1 where A is preferred, 0 where B is; NaN for anything else. Raises where no answer stops the stage."""
        if not isinstance(outcome, Answer):
            return float("nan")
        try:
            return {"A": 1.0, "B": 0.0}[json.loads(outcome.text)["better"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            return float("nan")


def _lowest(rows: pl.DataFrame, number: int) -> pl.DataFrame:
    """The rows of the lowest draws, by id."""
    return rows.sort("draw", "doc_id").head(number).sort("doc_id").select("doc_id", "text", "draw")
