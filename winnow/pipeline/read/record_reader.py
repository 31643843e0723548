"""The fields that readers of records share: files, the text, how documents are named, and what comes along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from winnow.core.operators import Derive, FoundFile, Schema, port
from winnow.core.operators.contract import Meaning
from winnow.pipeline.read.document import (
    READER_FIELDS,
    check_columns,
    check_found,
    check_id,
    check_packing,
    check_record_limit,
    check_text_field,
    extra_columns,
)


@dataclass(frozen=True, kw_only=True)
class RecordReader(Derive):
    """A reader of files that hold records with named fields."""

    meaning: ClassVar[Mapping[str, Meaning]] = READER_FIELDS
    no_data: ClassVar[tuple[str, ...]] = ("_", ".")
    files: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})
    source: str = ""
    text_field: str = "text"
    id: str = "position"
    columns: dict[str, str | dict[str, str]] = field(default_factory=dict)  # or NAME: {from: FIELD, type: string}
    max_record_mb: int = 256

    def outputs(self) -> Schema:
        """The declared extra columns."""
        return extra_columns(self.columns)

    def validate(self) -> None:
        """Raises: ConfigError where a field cannot work."""
        check_id(self.id)
        check_columns(self.columns)
        check_text_field(self.text_field)
        check_record_limit(self.max_record_mb)

    def choose(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """All files. Raises: ConfigError for archives and compressions that cannot be read."""
        check_found(found)
        check_packing(found)
        return list(found)
