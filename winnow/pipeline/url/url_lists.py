"""What block lists say of a document's address.

`index` reads the lists once; `lookup` says of every address which entries name it, and how. Nothing is decided here: a
`filter` over the columns does, so that another rule reads no list again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.operators import Composite, Kind, Schema, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.pipeline.url.url_list_index import UrlListIndex
from winnow.pipeline.url.url_list_lookup import UrlListLookup
from winnow.pipeline.url.url_list_settings import OUTPUTS, ListFiles
from winnow.pipeline.url.url_parts import UrlColumn


@dataclass(frozen=True, kw_only=True)
class UrlLists(ListFiles, UrlColumn, Composite):
    """Which block list names the address of a document, by which entry and how; and the listed words in it.

    `url_listed` is how: `host` (the whole host is an entry), `domain` (its registered domain is), `url` (the whole
    address), `parent` (a name between or above), `prefix` (a beginning of it that ends before `/`, `?` or `&`),
    `expression`; null where no list has it. Of several the first in this order counts, of those the longest entry;
    `url_list` and `url_entry` say which, `url_in_lists` has all lists. `url_hard_words` and `url_soft_words` count
    different listed words among the runs of letters and digits; `url_substrings` the listed texts that occur
    anywhere after all signs are taken out. Presets of `filter`: `url_blocked` (as RefinedWeb), `url_blocked_below`.

    Lists are UT1 folders (`domains`, `urls`, `expressions`) or archives of them, or plain files of names and addresses,
    one per line. Entries that cannot match and lists that match nothing are remarked.

    Raises:
        DataError: no entry is left, or an archive cannot be read.
    Cost: about 3 us per entry once; each address is looked up in about 1 us, whatever the number of entries.
    Source: rules of RefinedWeb (Penedo et al. 2023, appendix G.1) as datatrove 0.10.1 has them, `parent` and `prefix`
    of squidGuard; letter case is ignored throughout, and substrings do not begin in the scheme
    """

    name: ClassVar[str] = "url_lists"
    role: ClassVar[str] = "signal"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("column",)

    def validate(self) -> None:
        """Raise ConfigError without a column or a list."""
        self.check()
        self.check_given()

    def needs(self) -> tuple[str, ...]:
        """The address."""
        return (self.column,)

    def outputs(self) -> Schema:
        """Null where there is no address."""
        return OUTPUTS

    def expand(self, scope: Scope) -> list[Sub]:
        """`index`, of the lists alone, and `lookup`."""
        index = UrlListIndex(**part_of(self, ListFiles))
        lookup = UrlListLookup(**part_of(self, UrlColumn), index=".index")
        rows = {"inputs": scope.inputs, "where": scope.where, "refs": {"index": ".index"}}
        return [Sub(name="index", operator=index), Sub(name="lookup", operator=lookup, **rows)]  # type: ignore[arg-type]
