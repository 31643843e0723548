"""How files are named, so that every other tool that opens a folder of data finds data there and nothing else.

No name hides a file from all of them: pyarrow and pandas pass over `_` and `.`, `datasets` over `.`, Polars and DuckDB
over none. So a folder of data holds its shards alone, what describes it lies in a folder beside it (`shards/` and
`shards.meta/`), and what units commit is named `00000.1a2b-parquet.unit`: no glob for `*.parquet` or `*.jsonl*` takes
that for a second copy.
"""

from __future__ import annotations

DATA = "_data"  # in a stage's folder: what its units committed
DATA_BEFORE = "data"  # its name in run roots that earlier versions made
UNIT = ".unit"  # ends the names of the files there
META = ".meta"  # ends the name of the folder beside a folder of data
INDEX = "index.json"  # in it: the files, with their rows and digests
CARDS = (  # what `winnow card` leaves beside a stage's folder of shards
    "README.md", "croissant.json", "training_summary.json", "domains.csv", "openlineage.jsonl", "cyclonedx.json",
)  # fmt: skip
ABOUT = "meta/"  # begins the names of an artefact's files that describe the others


def unit_suffix(suffix: str) -> str:
    """How the name of a unit's file ends, where its content would be named `*SUFFIX` elsewhere."""
    return f"{suffix.replace('.', '-')}{UNIT}"


def plain_name(file: str) -> str:
    """The name of a file with the suffix that says what is in it, for the file of a unit too."""
    return file.removesuffix(UNIT).replace("-", ".") if file.endswith(UNIT) else file


def data_folders(folder: str, phase: str = "") -> list[str]:
    """Where the units of a stage's folder have their files of a phase (of any, where empty), older names last."""
    return [f"{folder}/{data}/{phase}".rstrip("/") for data in (DATA, DATA_BEFORE)]


def meta_of(folder: str) -> str:
    """The folder of what describes a folder of data."""
    return f"{folder.rstrip('/')}{META}"


def index_of(folder: str) -> str:
    """The index of a folder of data."""
    return f"{meta_of(folder)}/{INDEX}"


def place_of(folder: str, name: str) -> str:
    """Where the file `name` of an artefact stands when the artefact is laid out as a folder of data."""
    return f"{meta_of(folder)}/{name.removeprefix(ABOUT)}" if name.startswith(ABOUT) else f"{folder}/{name}"
