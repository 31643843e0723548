"""The public suffix list as a table: under which names people register domains of their own."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from winnow.core.errors import EngineError
from winnow.core.installing import how_to_install
from winnow.pipeline.url.text_table import TextTable, text_table

LIBRARY = "publicsuffixlist"
_PRIVATE = "===BEGIN PRIVATE DOMAINS==="


def rules_of(lines: Iterable[str], *, private: bool) -> dict[str, int]:
    """Name in ASCII -> bits EXACT, WILDCARD, EXCEPTION. Rules for hosters' names only where `private`."""
    from winnow.pipeline.url.suffix_kernels import EXACT, EXCEPTION, WILDCARD

    rules: dict[str, int] = {}
    for line in lines:
        if _PRIVATE in line and not private:
            break
        rule = line.strip().split(" ")[0]
        if not rule or rule.startswith("//"):
            continue
        bit = EXCEPTION if rule[0] == "!" else WILDCARD if rule.startswith("*.") else EXACT
        name = rule.removeprefix("!").removeprefix("*.").lower()
        ascii_name = ".".join(ascii_label(label) for label in name.split("."))
        rules[ascii_name] = rules.get(ascii_name, 0) | bit
    return rules


def ascii_label(label: str) -> str:
    """A label in ASCII: Punycode (RFC 3492) after `xn--` where it has other letters."""
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


@functools.lru_cache(maxsize=2)
def suffix_table(*, private: bool) -> tuple[TextTable, npt.NDArray[np.uint8]]:
    """(names, bits of every name's rules) of the list that the library ships with.

    Raises: EngineError where the library is not there.
    """
    try:
        import publicsuffixlist
    except ImportError as error:
        raise EngineError(f"registered domains need {LIBRARY!r}", hint=how_to_install(LIBRARY)) from error
    lines = Path(publicsuffixlist.PSLFILE).read_text(encoding="utf-8").splitlines()
    rules = rules_of(lines, private=private)
    table, _ = text_table(list(rules), backwards=True)
    return table, np.array(list(rules.values()), dtype=np.uint8)
