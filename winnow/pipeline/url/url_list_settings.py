"""Fields of `url_lists` and its sub-stages, each declared once."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Schema, port

OUTPUTS: Schema = {
    "url_listed": pa.large_string(),  # one of WAYS; null: no list has it
    "url_list": pa.large_string(), "url_entry": pa.large_string(), "url_in_lists": pa.large_list(pa.large_string()),
    "url_hard_words": pa.int32(), "url_hard_word": pa.large_string(), "url_soft_words": pa.int32(),
    "url_substrings": pa.int32(), "url_substring": pa.large_string(),
}  # fmt: skip
WAYS = ("host", "domain", "url", "parent", "prefix", "expression")  # by number; the first counts


@dataclass(frozen=True, kw_only=True)
class ListFiles:
    """Where lists and words are."""

    lists: tuple[str, ...] = port("files", default=())  # UT1 folders, archives, plain lists
    hard_words: tuple[str, ...] = port("files", default=())  # one of these is a match
    soft_words: tuple[str, ...] = port("files", default=())  # two or more together are
    substrings: tuple[str, ...] = port("files", default=())  # found anywhere, also across signs

    def check_given(self) -> None:
        """Raise ConfigError where no file is named."""
        if not (self.lists or self.hard_words or self.soft_words or self.substrings):
            hint = "name `lists:` (UT1 folders, plain lists), `hard_words:`, `soft_words:` or `substrings:`"
            raise ConfigError("no list is named", where="lists", hint=hint)
