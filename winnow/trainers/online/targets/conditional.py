"""`conditional`: a control token before each document, line or sentence that says what kind it is.

    tags: {use: conditional, inputs: docs, score: tox.toxicity, at: 0.1}
    effect: {use: ablation, baseline: plain, arms: {tagged: {data: plain, policy: tags}}, ...}

Nothing is thrown away: the model learns what is unwanted as unwanted, and is asked for the rest.

    marks: {use: segment_scores, inputs: docs, by: sentences, hits: ["[0-9]{3}-[0-9]{4}"]}
    tags: {use: conditional, inputs: docs, per: sentence, score: marks.segment_scores, at: 0}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import row_ranks
from winnow.core.numerics.rng import lanes, uniform
from winnow.core.operators import Columns, Context, Map, Schema, sql
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given, left_out
from winnow.core.terminal import counted
from winnow.core.words.segments import VERSION, By, segments
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.controls import (
    CONTROL,
    ENDS,
    MOST_CONTROLS,
    NONE,
    Controls,
    check_free,
    controlled,
    labels_of,
)  # fmt: skip
from winnow.trainers.data.numbering import Account
from winnow.trainers.data.pack import Documents, PackedBatches
from winnow.trainers.data.segment_controls import counted_labels, placed, with_segment_controls
from winnow.trainers.online.policy import Acting, Policy, Seam
from winnow.trainers.online.told import Told

BY: dict[str, By] = {"line": "lines", "sentence": "sentences"}
ODD = np.uint64(0x9E3779B97F4A7C15)  # times its number, what a segment's lot differs by from its document's
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

    `per: sentence` or `line` puts a control before each: `score` is then a column of lists, a number for every sentence
    or line of the text (`segment_scores` with the same `by`), `control` a list of labels beside `control_ends`, where
    each ends in bytes, and `drop` is drawn for each. A control stands before the first token that begins there.

    Raises: ConfigError where there are more labels than `controls`. DataError where scores are not those of the
    segments.
    Source: conditional training of Pretraining Language Models with Human Preferences (Korbak et al. 2023), section 2,
    there `per: sentence` or, of code, `line`; sentences by the rules of `core.words.segments`. Labels of metadata after
    MeCo (Gao et al. 2025).
    """

    name: ClassVar[str] = "conditional"
    does: ClassVar[str] = "behind control tokens"
    blind: ClassVar[bool] = True
    role: ClassVar[str] = "policy"
    seam: ClassVar[Seam] = "targets"
    feeds: ClassVar[bool] = True
    rewrites: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("score", "label")
    meaning: ClassVar[Mapping[str, Meaning]] = {"salt": "free", "ask_for": "labels"}
    read_at: ClassVar[ReadAt] = {
        "at": ("score", given), "controls": ("score", left_out), "ask_for": ("score", left_out),
    }  # fmt: skip

    per: Literal["document", "line", "sentence"] = "document"
    score: str = ""  # SQL: what is unwanted of a document, more is worse; of lines and sentences a column of lists
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
        if self.per != "document" and sql.column_names(self.score) != [self.score]:
            raise ConfigError(
                f"controls of every {self.per} need a column of lists of scores, not `{self.score or self.label}`",
                where="score", hint="`score: marks.segment_scores`, of a `segment_scores` stage",
            )  # fmt: skip
        if not 0 <= self.drop <= 1:
            raise ConfigError(f"drop is {self.drop}, and must be in [0, 1]", where="drop")
        if not np.isfinite(self.at):
            raise ConfigError(f"at is {self.at}, and must be a number", where="at")
        if not 2 <= self.controls <= MOST_CONTROLS:
            raise ConfigError(f"controls is {self.controls}, and must be in [2, {MOST_CONTROLS}]", where="controls")

    def reserved(self) -> int:
        """Ids below the end mark that the tokenizer must leave free."""
        return 2 if self.score else self.controls

    def spells(self) -> bool:
        """Where tokens must be found in lines or sentences."""
        return self.per != "document"

    def needs(self) -> tuple[str, ...]:
        """doc_id, the columns of the score or the label, and the text where it is cut."""
        named = sql.column_names(self.score) if self.score else self.label
        text = () if self.per == "document" else ("text",)
        return tuple(dict.fromkeys(("doc_id", *text, *named)))

    def outputs(self) -> Schema:
        """The label as text; of lines and sentences lists of labels, and where each ends."""
        if self.per == "document":
            return {CONTROL: pa.large_string()}
        return {CONTROL: pa.large_list(pa.large_string()), ENDS: pa.large_list(pa.int64())}

    def data(self) -> Any:
        """The version of the rules that cut texts, where they do."""
        return {"segments": VERSION} if self.per != "document" else None

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where scores of lines or sentences are no lists of numbers."""
        kind = types.get(self.score) if self.per != "document" else None
        listed = kind is None or pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if not (
            listed and (kind is None or pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
        ):
            raise ConfigError(f"{self.score!r} is {kind}, not lists of numbers", where="score",
                              hint=f"a number for every {self.per}, as `segment_scores` makes")  # fmt: skip

    def open(self, ctx: Context) -> Columns:
        """Batch -> labels."""
        if self.per != "document":
            return self._segmented

        def answer(rows: pl.DataFrame) -> pl.DataFrame:
            label = self._scored(rows) if self.score else self._labelled(rows)
            dropped = pl.Series(uniform(rows["doc_id"], seed=0, salt=f"{SALT}.{self.salt}") < self.drop)
            none = label.is_not_null() & dropped
            return pl.DataFrame({CONTROL: label.set(none, NONE)})

        return answer

    def _scored(self, rows: pl.DataFrame) -> pl.Series:
        score = rows.select(sql.expression(self.score, where="score").cast(pl.Float64)).to_series().fill_nan(None)
        score = score.new_from_index(0, len(rows)) if len(score) != len(rows) else score
        return self._named(score)

    def _segmented(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Labels and ends of the segments of every text; null where it has no scores.

        Raises:
            DataError: there are more scores than segments, or fewer.
        """
        text: pa.Array = rows["text"].cast(pl.String).to_arrow(compat_level=pl.CompatLevel.oldest())
        found, scores = segments(text, by=BY[self.per]), rows[self.score]
        known = (scores.is_not_null() & rows["text"].is_not_null()).to_numpy()
        sizes, counts = np.diff(found.rows), scores.list.len().fill_null(0).to_numpy().astype(np.int64)
        wrong = np.flatnonzero(known & (sizes != counts))
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"{len(wrong):,} documents have other scores than {self.per}s: {counts[row]} and {sizes[row]}",
                where=f"document {rows['doc_id'][row].hex()}",
                hint=f"score the same text with `by: {BY[self.per]}`, as `segment_scores` cuts it",
            )  # fmt: skip
        owner = np.repeat(np.arange(len(sizes)), sizes)
        flat = pl.Series(np.full(len(owner), np.nan))
        if known.any():
            inside = pl.Series(np.flatnonzero(known[owner]))
            flat = flat.scatter(
                inside, scores.filter(pl.Series(known)).list.explode(empty_as_null=False).cast(pl.Float64)
            )
        drawn = self._drawn(rows["doc_id"], owner, found.rows[:-1])
        label = self._named(flat.fill_nan(None))
        label = label.set(label.is_not_null() & pl.Series(drawn < self.drop), NONE)
        mask = None if known.all() else pa.array(~known)
        own = {CONTROL: label.to_arrow(compat_level=pl.CompatLevel.oldest()), ENDS: pa.array(found.ends)}
        lists = {n: pa.LargeListArray.from_arrays(pa.array(found.rows), v, mask=mask) for n, v in own.items()}
        return pl.DataFrame({name: pl.from_arrow(one) for name, one in lists.items()})

    def _drawn(
        self, doc_id: pl.Series, owner: npt.NDArray[np.int64], first: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """A lot of every segment, by its document and its number in it."""
        ids, number = lanes(doc_id)[owner], (np.arange(len(owner)) - first[owner]).astype(np.uint64)
        ids[:, 1] ^= number * ODD
        return uniform(ids, seed=0, salt=f"{SALT}.{self.salt}")

    def _named(self, score: pl.Series) -> pl.Series:
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
        if self.per == "document":
            return controlled(documents, known.of(told.columns[CONTROL]))
        found = placed(told.columns[CONTROL], told.columns[ENDS], known, documents=documents,
                       token_bytes=told.spelt().bytes)  # fmt: skip
        return with_segment_controls(documents, found)

    def rewrite(self, batches: PackedBatches, told: Told) -> Batches:
        """The same rows; without a loss on controls where that is asked for."""
        if self.learn_controls:
            return batches
        return Unlearned(data=batches, first=told.vocab - 1 - self.reserved(), last=told.vocab - 2)

    def begin(self, told: Told) -> Acting:
        """Nothing acts step by step; the run tells labels, ids, and how many documents have which."""
        known = self.controls_of(told)
        asked = (ALIGNED,) if self.score else self.ask_for
        for label in asked:
            if label not in known.labels:
                raise ConfigError(f"no document has the label {label!r}", where="ask_for",
                                  hint=f"labels are {', '.join(known.labels[:8])}")  # fmt: skip
        return Done(figures_of={"controls": known.ids, "ask_for": list(asked), **self._counted(told, known)})

    def _counted(self, told: Told, known: Controls) -> dict[str, Any]:
        """How many documents have which label, or how many segments, and what their controls are of all tokens."""
        column = told.columns[CONTROL]
        if self.per == "document":
            table = column.value_counts(name="documents").sort(CONTROL)
            return {"documents": {("null" if name is None else name or "none"): n for name, n in table.iter_rows()}}
        ids, counts = told.spelt().ids, counted_labels(column)
        controls = int((ids >= known.first).sum())
        asked = sum(n for label, n in counts.items() if label in known.labels)
        return {"segments": counts, "without_scores": column.null_count(), "without_token": asked - controls,
                "control_share": controls / (len(ids) + len(column))}  # fmt: skip


class Done(Acting):
    """A policy that did its work before the first step."""

    def __init__(self, *, figures_of: Mapping[str, Any]) -> None:
        self._figures = dict(figures_of)

    def figures(self) -> dict[str, Any]:
        """Labels with their ids, and documents or segments."""
        return self._figures

    def idle(self) -> str:
        """That no document has a control."""
        if self._found():
            return ""
        number = sum(self._figures[self._what].values())
        return f"none of {number:,} {self._what} has a control: `drop` took all of them; lower it, or leave it out"

    @property
    def _what(self) -> str:
        return "documents" if "documents" in self._figures else "segments"

    def _found(self) -> dict[str, int]:
        return {label: n for label, n in self._figures[self._what].items() if label not in ("none", "null")}

    def remarks(self) -> tuple[str, ...]:
        """That all controls are one, which tells a model nothing; segments too short for a control."""
        found = self._found()
        short, asked = self._figures.get("without_token", 0), sum(found.values())
        told = f"{counted(short, 'segment')} of {asked:,} have no token of their own and so no control"
        said = (f"{told}: a token reaches over them; take a tokenizer that cuts at spaces",) if short else ()
        if len(found) != 1:
            return said
        ((label, count),) = found.items()
        told = f"all {count:,} controls are {label!r}: the model cannot tell what they ask for"
        return (f"{told}; look at the threshold `at` and the column behind it", *said)


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
    def account(self) -> Account:
        """The documents; a pass over one has no target where nothing is learned."""
        left = np.concatenate(([0], np.cumsum(self.data.data.tokens >= self.first)))
        whole, offsets = self.data.account, self.data.data.offsets
        return replace(whole, targets=whole.targets - (left[offsets[1:]] - left[offsets[:-1]]))

    @property
    def digest(self) -> str:
        """That of the data and the ids."""
        return f"{self.data.digest[:24]}{self.first:04x}{self.last:04x}"

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows of a step, with weight 0 on those targets."""
        rows = self.data.batch(step, rank=rank, world=world)
        left: npt.NDArray[np.bool_] = (rows.targets >= self.first) & (rows.targets <= self.last)
        return replace(rows, weights=np.where(left, np.float32(0), rows.weights))
