"""Operators: frozen recipes in seven shapes, and what a worker hands them.

An operator is a frozen, keyword-only dataclass. Its fields are its identity; `open` builds what is heavy, once
per worker. It never sees stages, paths, masks or engines: the worker hands it batches that hold exactly the
columns it `needs` (already restricted to the rows it is asked about) and puts the answers back in place.

| shape    | a row needs                | methods                                    |
|----------|----------------------------|--------------------------------------------|
| Derive   | opens new documents        | `layout`, `read`                           |
| Map      | only itself                | `open` -> batch to batch                   |
| Fold     | a summary of the corpus    | `summarise`, `merge`, `advance`, `decide`  |
| Group    | the rows that share a key  | `keys`, `resolve`, `collect`               |
| Whole    | all rows' sidecars         | `solve`                                    |
| Fit      | a sample                   | `sample`, `fit`                            |

`Job` is one task over references (a training run, a comparison); `Composite` expands into the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.operators.contract import ArrowColumns, Columns, Context, Kind, Operator, Schema
from winnow.core.operators.reading import ABSENT, FileSlice, FoundFile, Tell


@dataclass(frozen=True, kw_only=True)
class Derive(Operator):
    """Opens a row space from files. Output tables hold `text`, `origin`, `key` and declared extra columns.

    The port `files` is cut into units. Another port of files holds in `read` the paths that its patterns led to.
    """

    shape_name: ClassVar[str] = "Derive"
    kind: ClassVar[Kind] = Kind.ROWS
    role: ClassVar[str] = "reader"
    suffixes: ClassVar[tuple[str, ...]] = ()  # of files that it reads where a recipe names files and no reader
    splittable: ClassVar[tuple[str, ...]] = ()  # suffixes of files that may be cut by bytes
    lines: ClassVar[bool] = True  # compressed files hold lines, else members, each of which stands alone
    pages: ClassVar[bool] = False  # True: the text of a document is a web page, as HTML
    no_data: ClassVar[tuple[str, ...]] = (".",)  # how names begin that neither a wildcard nor a folder means

    def opens_pages(self) -> bool:
        """True where, as its fields say, the text of its documents is web pages."""
        return self.pages

    def choose(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """The files to read, of all that the globs matched; default: all."""
        return list(found)

    def starts(self, file: FileSlice, step: int) -> list[int]:
        """Where pieces of a splittable file of about `step` bytes begin, 0 first; none where it cannot be cut."""
        return list(range(0, file.size, step))

    def of_beginnings(self) -> Derive:
        """The reader for copies that hold the beginning of a file, of which a sample is made."""
        return self

    def look_around(self, rels: Sequence[str], bad: Tell) -> None:
        """What is wrong with all files together, by their relative paths; asked once, for a reader with other ports."""

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Declared columns that more than half of the records lack."""
        rows = counts.get("rows", 0)
        lacking = {name.removeprefix(ABSENT): n for name, n in counts.items() if name.startswith(ABSENT)}
        return tuple(
            f"{n:,} of {rows:,} records have no {column!r}, which is null there: look at its spelling, or where it is"
            for column, n in lacking.items() if 2 * n > rows
        )  # fmt: skip

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables in file order with columns `text` (large_string, not null), `origin` (large_string),
        `locator` (large_string: what makes the record unique within `origin`'s file, '' for whole files),
        `rel` (large_string), optional `_id` (large_string; `id` will do where no column is called so) and the
        declared `outputs()`.
        Unreadable records go to `bad`, never silently away; so does, in the end, what columns how many records lack.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Map(Operator):
    """Rows in, the same rows out with new columns."""

    shape_name: ClassVar[str] = "Map"
    kind: ClassVar[Kind] = Kind.COLUMNS

    def open(self, ctx: Context) -> Columns:
        """Build what is heavy and return batch -> exactly `outputs()` with the batch's height and order."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class MapArrow(Operator):
    """A Map that takes and gives pyarrow record batches, for kernels over Arrow buffers (skips Polars)."""

    shape_name: ClassVar[str] = "Map"
    kind: ClassVar[Kind] = Kind.COLUMNS

    def open(self, ctx: Context) -> ArrowColumns:
        """Like `Map.open`, for record batches. Strings come as large_string, never views, never chunked."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Fold(Operator):
    """Needs a summary of the corpus. Summaries are small tables, exactly associative and commutative."""

    shape_name: ClassVar[str] = "Fold"
    kind: ClassVar[Kind] = Kind.COLUMNS
    at_once: ClassVar[bool] = False  # its rows are narrow and soon told: one task for all, where they are few

    def summarise(self, rows: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> pl.DataFrame:
        """The summary of one part; `state` is what the last round ended with (None in round 0)."""
        raise NotImplementedError

    def merge(self, summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """One summary of the same form; any order and grouping must give equal bytes."""
        raise NotImplementedError

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """(new state, done). Not done: another round of `summarise` with this state."""
        return summary, True

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Exactly `outputs()` for these rows."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Group(Operator):
    """Needs the rows that share a key. `kind` COLUMNS: `collect` brings answers back; TABLE: `resolve` is it."""

    shape_name: ClassVar[str] = "Group"
    locates: ClassVar[tuple[str, ...]] = ()  # columns of a table with doc_ids: where their rows are is kept beside it
    keys_per_row: ClassVar[int] = 1  # about how many, where they are many: buckets are smaller then
    sorts: ClassVar[bool] = True  # False: `resolve` takes its rows in any order

    def keys(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows with `key` (UInt64), `doc_id` and payload; 0..n per document.

        `_at`, the number of the row in `rows` that each is of, may stand beside them: then nobody looks for it.
        """
        raise NotImplementedError

    def collects(self) -> tuple[str, ...]:
        """Columns that `collect` reads of the rows; those of `needs` where it does not say."""
        return self.needs()

    def key_schema(self) -> Schema:
        """Payload columns of `keys` besides `key` and `doc_id`."""
        return {}

    def resolve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Whole key groups, sorted by (key, doc_id, payload), with `_part` and `_row` locators -> a table.

        COLUMNS: a `doc_id` column plus `answer_schema()`, and `_part` where it is known; TABLE: exactly `outputs()`.
        Each key group must be answered from its own rows (and immutable `ctx.rows()`) alone.
        """
        raise NotImplementedError

    def answer_schema(self) -> Schema:
        """Columns of `resolve` besides `doc_id` (COLUMNS only)."""
        return {}

    def collect(self, rows: pl.DataFrame, answers: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """`rows` of one part and the answers addressed to them -> exactly `outputs()`, aligned to `rows`."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Whole(Operator):
    """Needs all rows' sidecars at once (never text), in ascending doc_id order."""

    shape_name: ClassVar[str] = "Whole"
    kind: ClassVar[Kind] = Kind.COLUMNS
    less_memory: ClassVar[str] = ""  # what needs less of it, for the error where there is too little
    publishes: ClassVar[str] = ""  # the one step of `Context.step` that stays, in a folder of this name

    def memory_gb(self, rows: int, width: float = 0.0) -> float:
        """Peak memory in 1e9 bytes for `rows` rows with `width` bytes each in the columns that it looks up.

        Its task asks the engine for so much: less runs beside a large one, and where a machine has less, the stage
        is refused before it starts.
        """
        return 0.5 + rows * (200 + 2 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """`needs()` columns of all rows sorted by doc_id -> exactly `outputs()` in the same order.

        `_part` and `_row` locators are among the columns, for `ctx.rows()`.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Linked(Operator):
    """Needs the rows that the pairs of a table connect it with, directly or through others: its piece of the graph.

    The port `pairs` names a table with the columns `a` and `b`, whose operator `locates` both.
    """

    shape_name: ClassVar[str] = "Linked"
    kind: ClassVar[Kind] = Kind.COLUMNS

    def solve(self, rows: pl.DataFrame, left: Any, right: Any, ctx: Context) -> pl.DataFrame:
        """Whole pieces: `needs()` of their rows in ascending doc_id order, and pairs of row numbers i64[pairs].

        Exactly `outputs()` in the same order; which pieces come together must not matter. `_part` and `_row` locators
        are among the columns, for `ctx.rows()`. What is noted of some pieces goes to `noted`.
        """
        raise NotImplementedError

    def alone(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Exactly `outputs()` for rows that occur in no pair, from `needs()` of them."""
        raise NotImplementedError

    def noted(self, notes: Sequence[Mapping[str, Any]], pairs: int, counts: Mapping[str, int]) -> dict[str, Any]:
        """Metrics of the stage from the notes of all tasks, the number of pairs and what their stage has counted."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Fit(Operator):
    """Fits an artefact on a sample that is chosen per document."""

    shape_name: ClassVar[str] = "Fit"
    kind: ClassVar[Kind] = Kind.ARTEFACT

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The sampled rows of one part with the columns `fit` wants; must include `doc_id`."""
        raise NotImplementedError

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write the artefact's files into `ctx.work`; return metrics (JSON). `sample` is sorted by doc_id."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Job(Operator):
    """One task over references: writes files into `ctx.work` and returns metrics (JSON)."""

    shape_name: ClassVar[str] = "Job"
    kind: ClassVar[Kind] = Kind.RESULT
    publishes: ClassVar[str] = ""  # a folder in which an artefact's files stand under their own names as well

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics of the job; deterministic in the sense of the declared exactness."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Union(Operator):
    """Opens a row space that lists the parts of its inputs by reference; nothing is copied."""

    shape_name: ClassVar[str] = "Union"
    kind: ClassVar[Kind] = Kind.ROWS
    role: ClassVar[str] = "union"

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Columns that some inputs do not have."""
        lacking = {name.removeprefix(ABSENT): n for name, n in counts.items() if name.startswith(ABSENT)}
        return tuple(
            f"{column!r} is null in {n:,} of {counts.get('rows', 0):,} documents, whose input has no such column"
            for column, n in lacking.items()
        )


@dataclass(frozen=True, kw_only=True)
class Rewrite(Operator):
    """Moves the text of a population into a new row space: the one place where documents are written again."""

    shape_name: ClassVar[str] = "Rewrite"
    kind: ClassVar[Kind] = Kind.ROWS
    role: ClassVar[str] = "writer"
    population: ClassVar[bool] = True
    new_ids: ClassVar[bool] = False  # True: what it writes are other documents, with ids of their own

    def carried(self) -> Mapping[str, str]:
        """Name in the new row space -> the column that crosses into it; ids cross as hex digits."""
        return {}

    def num_shards(self, rows: int, text_bytes: int) -> int:
        """Number of output shards; a function of the kept data alone."""
        raise NotImplementedError

    def by_source(self) -> bool:
        """True: one output shard per input part, in input order; False: globally shuffled."""
        return False

    def place(self, doc_id: pa.Array, num_shards: int) -> tuple[Any, Any]:
        """(shard number i64[rows], sort key inside the shard u64[rows]) from ids alone."""
        raise NotImplementedError

    def copies(self, rows: pa.Table) -> Any | None:
        """How often each row is written, i64[rows]; None means once each."""
        return None

    def texts(self, rows: pa.Table) -> pa.Array | None:
        """The text that is written of each row, large_string[rows]; None means its own."""
        return None

    def ids(self, rows: pa.Table) -> pa.Array | None:
        """The doc_id under which each row is written, binary(16)[rows]; None means its own."""
        return None

    def shard_format(self) -> str:
        """Name of the format in which shards are written."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Sub:
    """A sub-stage of a composite. Names starting with '.' mean a sibling sub-stage, others an outer stage."""

    name: str
    operator: Operator
    inputs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()  # more stages of the same rows, of which columns are read and no decision counts
    refs: Mapping[str, Any] = field(default_factory=dict)  # port -> name, or {label: name} for "refs"
    where: str | None = None
    seed: int | None = None
    after: tuple[str, ...] = ()  # stages that must be complete first though nothing of them is read; no identity
    code: str = ""  # an outer stage whose user code the task gets too
    repeats: str = ""  # an outer stage that this one is made like: its columns have that name, its code is that one's


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What an earlier stage has become: its operator, or those of its sub-stages, and all that they read."""

    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]  # stages whose columns it reads, declared or found by name
    refs: tuple[str, ...]  # stages that it refers to, as STAGE or STAGE.SUB
    space: str = ""  # the rows stage that it belongs to; '' where it belongs to none


def _unknown(name: str) -> Planned:
    raise LookupError(f"nothing is planned here, and so no stage {name!r}")


def _no_stage(name: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a composite may see while it expands: its stage and a look at the stages it refers to."""

    stage: str
    inputs: tuple[str, ...]
    where: str | None
    seed: int
    lookup: Callable[[str], Sub]  # an outer stage as it was declared (for redrawing a sampled selection)
    space: Callable[[str], str]  # the rows stage whose row space an outer stage belongs to
    verdicts: Callable[[str], tuple[str, ...]] = _no_stage  # the stages whose decisions an outer stage's columns are
    planned: Callable[[str], Planned] = _unknown  # what an outer stage reads, with the columns that it found by name


@dataclass(frozen=True, kw_only=True)
class Composite(Operator):
    """Expands into sub-stages with fingerprints of their own; the last one is its face."""

    shape_name: ClassVar[str] = "Composite"

    def expand(self, scope: Scope) -> list[Sub]:
        """Sub-stages in order; the last one carries the composite's columns or result."""
        raise NotImplementedError
