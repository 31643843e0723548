"""`conditional`: a control token before each document that says what kind it is, for a model that can be asked for one.

    tags: {use: conditional, inputs: docs, score: tox.toxicity, at: 0.1}
    effect: {use: ablation, baseline: plain, arms: {tagged: {data: plain, policy: tags}}, ...}

Nothing is thrown away: the model learns what is unwanted as unwanted, and is asked for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import row_ranks
from winnow.core.numerics.rng import uniform
from winnow.core.operators import Columns, Context, Map, Schema, sql
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given, left_out
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.controls import MOST_CONTROLS, NONE, Controls, check_free, controlled, labels_of
from winnow.trainers.data.pack import Documents, PackedBatches
from winnow.trainers.online.policy import Acting, Policy, Seam
from winnow.trainers.online.told import Told

CONTROL = "control"
ALIGNED, MISALIGNED = "aligned", "misaligned"
SALT = "winnow.conditional.drop"


@dataclass(frozen=True, kw_only=True)
class Conditional(Policy, Map):
    """The label of each document's control token, `control`: "" where none is drawn, null where there is no score.

    With a `score` (of misalignment, SQL over columns) a document is `aligned` at `at` or below it, else `misaligned`;
    with `label` columns it is their values (buckets of a score, a source). A share `drop` of the documents, drawn by
    doc_id, has no control, so that the model knows text without one too. As a policy of a run each label is an id of
    its own below the end mark; the controls are read, learned and counted in the token budget as tokens (their loss
    alone is left out with `learn_controls: false`). `drop: 1` trains to the bits of a run without policy. The other
    arms of a comparison leave the same ids free.

    Raises: ConfigError where there are more labels than `controls`.
    Source: conditional training of Pretraining Language Models with Human Preferences (Korbak et al. 2023), section 2;
    here before documents. Labels of metadata after MeCo (Gao et al. 2025).
    """

    name: ClassVar[str] = "conditional"
    role: ClassVar[str] = "policy"
    seam: ClassVar[Seam] = "targets"
    feeds: ClassVar[bool] = True
    rewrites: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("score", "label")
    meaning: ClassVar[Mapping[str, Meaning]] = {"salt": "free", "ask_for": "labels"}
    read_at: ClassVar[ReadAt] = {
        "at": ("score", given), "controls": ("score", left_out), "ask_for": ("score", left_out),
    }  # fmt: skip

    score: str = ""  # SQL: what is unwanted of a document, more is worse
    at: float = 0.5  # aligned up to here
    label: tuple[str, ...] = ()
    controls: int = 16  # ids that are reserved for labels
    ask_for: tuple[str, ...] = ()  # labels behind which the model is evaluated as well; of a score: aligned
    drop: float = 0.01
    salt: str = ""
    learn_controls: bool = True

    def validate(self) -> None:
        """Raise ConfigError without a score or labels, with both, or for a number out of its range."""
        if bool(self.score) == bool(self.label):
            raise ConfigError("a control needs a score or a label, one of them", where="score",
                              hint="give `score:` and `at:`, or `label:`")  # fmt: skip
        if not 0 <= self.drop <= 1:
            raise ConfigError(f"drop is {self.drop}, and must be in [0, 1]", where="drop")
        if not np.isfinite(self.at):
            raise ConfigError(f"at is {self.at}, and must be a number", where="at")
        if not 2 <= self.controls <= MOST_CONTROLS:
            raise ConfigError(f"controls is {self.controls}, and must be in [2, {MOST_CONTROLS}]", where="controls")

    def reserved(self) -> int:
        """Ids below the end mark that the tokenizer must leave free."""
        return 2 if self.score else self.controls

    def needs(self) -> tuple[str, ...]:
        """doc_id, and the columns of the score or the label."""
        named = sql.column_names(self.score) if self.score else self.label
        return tuple(dict.fromkeys(("doc_id", *named)))

    def outputs(self) -> Schema:
        """The label as text."""
        return {CONTROL: pa.large_string()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> labels."""

        def answer(rows: pl.DataFrame) -> pl.DataFrame:
            label = self._scored(rows) if self.score else self._labelled(rows)
            dropped = pl.Series(uniform(rows["doc_id"], seed=0, salt=f"{SALT}.{self.salt}") < self.drop)
            none = label.is_not_null() & dropped
            return pl.DataFrame({CONTROL: label.set(none, NONE)})

        return answer

    def _scored(self, rows: pl.DataFrame) -> pl.Series:
        score = rows.select(sql.expression(self.score, where="score").cast(pl.Float64)).to_series().fill_nan(None)
        score = score.new_from_index(0, len(rows)) if len(score) != len(rows) else score
        names = pl.when(score <= self.at).then(pl.lit(ALIGNED)).otherwise(pl.lit(MISALIGNED))
        return pl.select(pl.when(score.is_not_null()).then(names)).to_series()

    def _labelled(self, rows: pl.DataFrame) -> pl.Series:
        found = row_ranks.labels(rows, self.label)
        assert found is not None, "validate has seen to a label"
        return found.cast(pl.String)

    def controls_of(self, told: Told) -> Controls:
        """Labels and ids in one run.

        Raises:
            ConfigError: there are more labels than ids. DataError: no document has a label.
        """
        column = told.columns[CONTROL]
        labels = (ALIGNED, MISALIGNED) if self.score else labels_of(column, most=self.controls)
        if column.null_count() == len(column):
            raise DataError(f"none of {len(column):,} documents has a label", where=CONTROL,
                            hint="`score` or `label` is null in all of them")  # fmt: skip
        return Controls(labels=labels, first=told.vocab - 1 - self.reserved())

    def feed(self, documents: Documents, told: Told) -> Documents:
        """The documents with their controls; told of `drop: 1`, they themselves."""
        known = self.controls_of(told)
        check_free(documents, first=known.first, count=self.reserved())
        return controlled(documents, known.of(told.columns[CONTROL]))

    def rewrite(self, batches: PackedBatches, told: Told) -> Batches:
        """The same rows; without a loss on controls where that is asked for."""
        if self.learn_controls:
            return batches
        return Unlearned(data=batches, first=told.vocab - 1 - self.reserved(), last=told.vocab - 2)

    def begin(self, told: Told) -> Acting:
        """Nothing acts step by step; the run tells labels, ids, and how many documents have which."""
        known = self.controls_of(told)
        counted = told.columns[CONTROL].value_counts(name="documents")
        counts = {("null" if label is None else label or "none"): n for label, n in counted.sort(CONTROL).iter_rows()}
        asked = (ALIGNED,) if self.score else self.ask_for
        for label in asked:
            if label not in known.labels:
                raise ConfigError(f"no document has the label {label!r}", where="ask_for",
                                  hint=f"labels are {', '.join(known.labels[:8])}")  # fmt: skip
        return Done(figures_of={"controls": known.ids, "ask_for": list(asked), "documents": counts})


class Done(Acting):
    """A policy that did its work before the first step."""

    def __init__(self, *, figures_of: Mapping[str, Any]) -> None:
        self._figures = dict(figures_of)

    def figures(self) -> dict[str, Any]:
        """Labels with their ids and documents."""
        return self._figures

    def remarks(self) -> tuple[str, ...]:
        """That all controls are one, which tells a model nothing."""
        found = {label: n for label, n in self._figures["documents"].items() if label not in ("none", "null")}
        if len(found) != 1:
            return () if found else ("no document has a control: `drop` took all of them",)
        ((label, count),) = found.items()
        told = f"all {count:,} controls are {label!r}: the model cannot tell what they ask for"
        return (f"{told}; look at the threshold `at` and the column behind it",)


@dataclass(frozen=True, kw_only=True, eq=False)
class Unlearned:
    """Batches without a loss on the targets of ids `first` to `last` (implements `batches.Batches`).

    They stay in the budget and in the number that a step's loss is divided by.
    """

    data: PackedBatches
    first: int
    last: int

    @property
    def num_steps(self) -> int:
        """Those of the data."""
        return self.data.num_steps

    @property
    def num_tokens(self) -> int:
        """The token budget: unlearned targets are part of it."""
        return self.data.num_tokens

    @property
    def epochs(self) -> float:
        """Those of the data."""
        return self.data.epochs

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of a whole step, unlearned ones included."""
        return self.data.step_tokens(step)

    @property
    def digest(self) -> str:
        """That of the data and the ids."""
        return f"{self.data.digest[:24]}{self.first:04x}{self.last:04x}"

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows of a step, with weight 0 on those targets."""
        rows = self.data.batch(step, rank=rank, world=world)
        left: npt.NDArray[np.bool_] = (rows.targets >= self.first) & (rows.targets <= self.last)
        return replace(rows, weights=np.where(left, np.float32(0), rows.weights))
