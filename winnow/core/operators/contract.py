"""What every operator declares and what a task tells it: kinds, exactness, resources, ports, context."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import polars as pl
import pyarrow as pa

from winnow.core.operators import notes as told
from winnow.core.operators.effect import ReadAt
from winnow.core.operators.records import Records
from winnow.core.operators.training_part import TrainingPart

Schema = Mapping[str, pa.DataType]
Columns = Callable[[pl.DataFrame], pl.DataFrame]
ArrowColumns = Callable[[pa.RecordBatch], pa.RecordBatch]
PortKind = Literal["ref", "refs", "files", "secret"]
Meaning = Literal[
    "values",  # of the documents: must occur (`occurring`)
    "columns", "stages", "files",  # resolved while planning
    "patterns",  # of names of files: one that matches none is remarked (`unmatched`)
    "records",  # fields of the records that a reader reads: some record must have them
    "labels",  # of a model, a file or a run: checked where that is opened
    "closed",  # one of few names, or of a form that is checked
    "free",  # names nothing: a salt, a name given here
]  # fmt: skip

CLEANING = ("filter", "dedup")  # roles whose `kept` says what is unwanted; any other `kept` counts only where named
ACTING = (*CLEANING, "selector", "writer", "trainer")  # roles that do something with documents, and not only measure
LOOKS_AROUND = ("Fold", "Group", "Whole", "Linked", "Fit")  # shapes whose answer for a row depends on other rows


class Kind(StrEnum):
    """What a stage leaves on disk."""

    ROWS = "rows"  # opens a row space: documents
    COLUMNS = "columns"  # aligned to one row space, row for row
    TABLE = "table"  # keyed, not aligned: edges
    ARTEFACT = "artefact"  # files: a model, a tokenizer
    RESULT = "result"  # metrics as JSON


@dataclass(frozen=True)
class Exactness:
    """`atol` is None for exact operators (equal bits anywhere); else the bound between layouts and machines."""

    atol: float | None = None

    def __str__(self) -> str:
        return "exact" if self.atol is None else f"bounded({self.atol:g})"


EXACT = Exactness()


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one task asks of a machine."""

    cpus: float = 1
    gpus: float = 0
    memory_gb: float = 1


class Source(Protocol):
    """A committed stage opened for reading inside a task (a reference port's value)."""

    @property
    def kind(self) -> Kind:
        """Kind of the stage behind this reference."""

    @property
    def digest(self) -> str:
        """Content digest of the stage, 32 hex digits."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What the stage's receipts count: `rows`, `kept`, `tokens` ...; it may lack any name."""

    def frame(self, *columns: str, where_kept: bool = False) -> pl.DataFrame:
        """`columns` of all rows in ascending doc_id order; `where_kept` narrows to the stage's `kept` rows."""

    def frames(self, *columns: str, where_kept: bool = False) -> Iterator[pl.DataFrame]:
        """The same rows part by part, in no order that means anything: for what need not be in memory at once."""

    def files(self) -> dict[str, Path]:
        """File name -> path of an artefact."""

    def result(self) -> dict[str, Any]:
        """The metrics of a result or artefact stage."""


class RowAccess(Protocol):
    """Random access to memory-mapped sidecar columns of the input row space, by (part number, row)."""

    def column(self, name: str, part: int) -> pa.Array:
        """Column `name` of part number `part` as one Arrow array (zero-copy where stored uncompressed)."""


@dataclass(frozen=True)
class Context:
    """What a task may know besides its rows."""

    seed: int
    work: Path  # an empty folder of this attempt alone; its files are committed (Fit, Job) or removed
    refs: Mapping[str, Any] = field(default_factory=dict)  # port -> Source, or {name: Source} for "refs"
    access: RowAccess | None = None
    code: Path | None = None  # snapshot of user code (module:name operators)
    step: Callable[[str, Callable[[Path], None]], Path] | None = None  # Whole/Fit/Job: a committed sub-step
    notes: dict[str, Any] | None = None  # what `note` fills, where a stage's metrics are collected
    counts: dict[str, int] | None = None  # what `count` adds to, of a Map or a Group
    records: Records | None = None  # what outlives an attempt and is shared by all who work on the root: paid answers
    beat: Callable[[], None] | None = None  # starts the time limit of a batch anew

    def ref(self, port: str) -> Source:
        """The stage behind reference port `port`."""
        found: Source = self.refs[port]
        return found

    def rows(self) -> RowAccess:
        """Random access to the input row space."""
        assert self.access is not None
        return self.access

    def alive(self) -> None:
        """Say that a batch which takes long is getting on: its time limit begins anew."""
        if self.beat is not None:
            self.beat()

    def note(self, name: str, value: Any) -> None:
        """Show `value` as metric `name` of the stage: in `--json`, the report and `winnow.open(run)`.

        For what is found once per stage: in `Whole.solve`, `Fold.advance` (a later round replaces), `Fit.fit` and
        `Job.run`, outside of `ctx.step`. Elsewhere it does nothing. Values are JSON or NumPy, NaN becomes null;
        a text named `summary` is the stage's line in the terminal. No part of any digest.
        Raises: ContractError for what is no JSON, a second value of one name, more than 256 KiB in all.
        """
        if self.notes is not None:
            self.notes[name] = told.noted(self.notes, name, value)

    def count(self, name: str, number: int) -> None:
        """Add to count `name` of the part that a Map answers now; the stage's is the sum over its parts.

        Of a Group too: in `collect`, or in `resolve` where that is the table. For what rows do not tell, such as the
        work that their batches took; `remarks` reads it under its name. No part of any digest. Elsewhere it does
        nothing.
        """
        if self.counts is not None:
            self.counts[name] = self.counts.get(name, 0) + number

    def remark(self, sentence: str) -> None:
        """Say what is probably not meant: one sentence with its figure and the next action.

        Where `note` is allowed; the terminal shows `! stage: sentence`, `--json`, the report and `winnow.open(run)`
        have it in `remarks`, and under `strict: true` it fails the run. The same sentence counts once, later rounds
        add to earlier ones, at most 20 are kept. What counts and metrics alone can tell belongs in `remarks`.
        Raises: ContractError for what is no text.
        """
        if self.notes is not None:
            self.notes[told.REMARKS] = told.remarked(self.notes, sentence)


def port(kind: PortKind, *, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass field that names other stages (`ref`, `refs`), `files`, or a `secret`'s variable."""
    if default is dataclasses.MISSING:
        return field(metadata={"port": kind})
    return field(default=default, metadata={"port": kind})


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A frozen recipe. Subclasses are frozen keyword-only dataclasses; ClassVars below describe them."""

    name: ClassVar[str]
    shape_name: ClassVar[str]  # name of the class in `shapes` that it is one of
    role: ClassVar[str]  # reader, signal, filter, dedup, scorer, selector, writer, trainer, ...
    kind: ClassVar[Kind]
    version: ClassVar[int] = 1
    exactness: ClassVar[Exactness] = EXACT
    resources: ClassVar[Resources] = Resources()
    uses: ClassVar[tuple[str, ...]] = ()  # libraries that decide the output: their versions are identity
    seeded: ClassVar[bool] = False  # True: the stage's seed is identity, and arms may redraw it
    null_says: ClassVar[bool] = False  # null is an answer: nothing was found, or said by a remark of its own
    population: ClassVar[bool] = False  # True: only rows that every input's `kept` kept are candidates
    former: ClassVar[Mapping[str, str]] = {}  # names of fields in earlier versions -> their names today
    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}  # field -> value -> the fields it stands for
    read_at: ClassVar[ReadAt] = {}  # fields that are read only at some values of another one; refused at others
    columns_from: ClassVar[tuple[str, ...]] = ()  # fields whose value names columns or SQL over columns
    meaning: ClassVar[Mapping[str, Meaning]] = {"salt": "free"}  # field -> what its text names (`meanings`)
    informs: ClassVar[tuple[str, ...]] = ()  # of a selection: columns for people and later stages, which no run reads
    made_of_selections: ClassVar[bool] = False  # True: a selection that is made of the verdicts of others
    takes: ClassVar[tuple[str, ...]] = ()  # reference ports of selections that it works on; the first has its rows
    texts_of: ClassVar[tuple[str, ...]] = ()  # reference ports whose documents' text it reads, besides those in `reads`
    amounts: ClassVar[tuple[str, ...]] = ()  # fields besides budgets that half a pool wants half of
    becomes: ClassVar[
        Mapping[str, str]
    ] = {}  # reference port -> what a path there stands for: an operator with `folder`
    of_runs: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # files port -> operators of stages of other runs it may name
    stage_only: ClassVar[Mapping[str, str]] = {}  # reference port -> what to write where a path was given instead
    implied_for: ClassVar[tuple[str, ...]] = ()  # columns for which a recipe need not write this stage
    in_comparison: ClassVar[str] = ""  # of an ablation: `run` where it trains one, `comparison` where it compares them
    of_pages: ClassVar[bool] = False  # True: it looks at the markup of pages too, and may stand above an extractor
    asks: ClassVar[bool] = False  # True: it asks an endpoint, which may cost money: nothing but a run of it does
    packed: ClassVar[bool] = False  # True: many narrow columns that nobody looks up row by row; they are compressed
    warm: ClassVar[bool] = False  # True: `open` is costly, keep it on a worker of its own kind
    holds: ClassVar[tuple[str, ...]] = ()  # of an artefact: what others may read of it as if it were a column
    batch_rows: ClassVar[int | None] = None  # bounded operators cut their own batches

    def needs(self) -> tuple[str, ...]:
        """Names of the columns a batch must hold; they are resolved at plan time."""
        return ()

    def looks_up(self) -> tuple[str, ...]:
        """Columns read through `ctx.rows()` alone (Group, Whole); they are resolved but not loaded."""
        return ()

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """Reference port -> columns that are read of the stage behind it, by their names on disk."""
        return {}

    def outputs(self) -> Schema:
        """Column name -> Arrow type this operator adds; empty for artefacts and results."""
        return {}

    def data(self) -> Any:
        """What decides the output and lies in winnow's own data files (the text of a preset): identity."""
        return None

    def dialects(self) -> Mapping[str, str]:
        """Columns that it reads -> the `dialect` that the stage which measures them must have."""
        return {}

    @classmethod
    def implied_fields(cls, columns: Iterable[str], dialect: str = "") -> dict[str, Any]:
        """The fields with which an implied stage makes these columns of `implied_for`, in a dialect if one is meant."""
        return {}

    def after_decisions(self) -> bool:
        """True: the stage is about the rows that all cleaning above it kept, unless the recipe says its population.

        So is what acts on documents, and what looks at other rows to answer for one; a measure of each row by itself
        is of all rows.
        """
        return self.role in ACTING or self.shape_name in LOOKS_AROUND

    def chosen_from(self) -> tuple[tuple[str, ...], ...]:
        """Verdict columns in its fields that say its population: a row it keeps was kept by one of every group."""
        return ()

    def validate(self) -> None:
        """Raise ConfigError where field values cannot work; called while planning."""

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where the files of its port cannot serve; called while planning."""

    def check_digests(self, digests: Mapping[str, str]) -> None:
        """Raise ConfigError where files are not what others beside them say; path -> xxh3-128, hex, while planning."""

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """What the committed stage's counts and metrics tell that is probably not meant; see `Context.remark`.

        `counts`: rows by state, `kept`, `tokens`, `clause:...`; `metrics`: what was noted. Both may lack any name.
        """
        return ()

    def training_parts(self) -> tuple[TrainingPart, ...]:
        """The parts in which a run is to be trained on this selection; () where all of it is one."""
        return ()

    def settled(self, columns: Collection[str], *, pages: bool) -> Self:
        """The operator with what only its rows decide: their columns, and whether their text is that of web pages.

        Called while planning, before columns are resolved. Raises ConfigError where they do not decide it.
        """
        return self

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the operator's columns have types it cannot work with; called while planning."""


ROW_COLUMNS: dict[str, pa.DataType] = {  # what every row space provides
    "doc_id": pa.binary(16),
    "text": pa.large_string(),
    "text_hash": pa.binary(16),
    "text_bytes": pa.int64(),
    "origin": pa.large_string(),
}


def port_fields(operator: Operator | type[Operator]) -> dict[str, PortKind]:
    """Field name -> port kind."""
    return {f.name: f.metadata["port"] for f in dataclasses.fields(operator) if "port" in f.metadata}


def summary_of(cls: type) -> str:
    """First line of the docstring."""
    return (cls.__doc__ or "").strip().split("\n")[0]


def source_of(cls: type) -> str:
    """The `Source:` line of the docstring, or ''."""
    for line in (cls.__doc__ or "").splitlines():
        if line.strip().startswith("Source:"):
            return line.split("Source:", 1)[1].strip()
    return ""
