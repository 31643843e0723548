"""What only a person knows of a data set: its title, licences, address, citation, creators, dates."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from winnow.core.errors import ConfigError

_URL = re.compile(r"https?://[^\s<>\"]+\Z")
_VERSION = re.compile(r"\d+\.\d+\.\d+\Z")
_SPDX_PAGE = "https://spdx.org/licenses/{}.html"
# what the hub takes as `license:` besides `other` and `unknown`, as far as it has a name of SPDX
_HUB = (
    "apache-2.0", "mit", "bsl-1.0", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "cc0-1.0", "cc-by-2.0",
    "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0",
    "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0",
    "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl", "mpl-2.0", "odc-by", "odbl", "ofl-1.1", "osl-3.0",
    "postgresql", "artistic-2.0", "ncsa", "unlicense", "zlib", "pddl", "0bsd",
)  # fmt: skip
_HUB_NAMES = {"odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the options of `winnow card` say; empty where nobody said it.

    Raises: ConfigError for an address, a date or a version that is none.
    """

    title: str = ""
    description: str = ""
    licences: tuple[str, ...] = ()  # names of SPDX, or addresses
    url: str = ""
    cite_as: str = ""
    creators: tuple[str, ...] = ()
    published: str = ""  # ISO 8601 date
    version: str = ""  # of the data: MAJOR.MINOR.PATCH

    def __post_init__(self) -> None:
        if self.url and not _URL.match(self.url):
            raise ConfigError(f"{self.url!r} is no address", where="--url", hint="https://..., without spaces")
        if self.version and not _VERSION.match(self.version):
            raise ConfigError(f"{self.version!r} is no version", where="--data-version", hint="three numbers: 1.0.0")
        try:
            datetime.date.fromisoformat(self.published or "2000-01-01")
        except ValueError as error:
            hint = "year-month-day: 2026-12-01"
            raise ConfigError(f"{self.published!r} is no date", where="--published", hint=hint) from error
        empty = [name for name, values in (("--license", self.licences), ("--creator", self.creators))
                 if not all(value.strip() for value in values)]  # fmt: skip
        if empty:
            raise ConfigError("an empty name", where=empty[0], hint="leave the option out: it is said to be unknown")

    def missing(self) -> dict[str, str]:
        """Option -> what nobody said."""
        said: Mapping[str, tuple[object, str]] = {
            "--license": (self.licences, "the licence of the data as a whole"), "--url": (self.url, "where it lies"),
            "--cite-as": (self.cite_as, "how to cite it"), "--creator": (self.creators, "who made it"),
            "--published": (self.published, "when it was published"),
            "--data-version": (self.version, "its version"),
        }  # fmt: skip
        return {option: what for option, (value, what) in said.items() if not value}


def licence_address(name: str) -> str:
    """The address of a licence: itself where it is one, SPDX's page where the name is known; else ''."""
    if _URL.match(name):
        return name
    return _SPDX_PAGE.format(name) if name in _spdx_names() else ""


def hub_licence(name: str) -> str:
    """The hub's word for a licence of SPDX: `apache-2.0`; `other` for one that it has no word for."""
    plain = name.lower().removesuffix("-only").removesuffix("-or-later")
    plain = _HUB_NAMES.get(plain, plain)
    return plain if plain in _HUB else "other"


@functools.cache
def _spdx_names() -> frozenset[str]:
    from winnow.pipeline.measure.licence_terms import known_licences

    more = ("ODC-By-1.0", "ODbL-1.0", "PDDL-1.0", "CC-BY-3.0", "CC-BY-SA-3.0", "CC-BY-ND-4.0", "CC-BY-NC-ND-4.0",
            "CDLA-Permissive-2.0", "GFDL-1.3-or-later", "NCSA")  # fmt: skip
    known = {one.id for one in known_licences() if not one.id.startswith("LicenseRef-")}
    return frozenset({*known, *more})
