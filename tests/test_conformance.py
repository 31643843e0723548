"""winnow against the peers themselves: what they say of the texts in `conformance/`, and every kind of disagreement."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from winnow.core.operators import Context
from winnow.pipeline.filter.filter import Filter
from winnow.pipeline.measure.signals import Signals

FOLDER = Path(__file__).parent / "conformance"
sys.path.insert(0, str(FOLDER))
from texts import texts  # noqa: E402

EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
TEXTS = texts()
TOLERANCE = 1.01e-6  # the peers' numbers are rounded to six decimals


@functools.cache
def measured(peer: str) -> dict[str, dict[str, Any]]:
    """Text name -> winnow's columns in the peer's dialect."""
    columns = Signals(dialect=peer).open(Context(seed=0, work=Path()))  # type: ignore[arg-type]
    batch = pa.record_batch({"text": pa.array(list(TEXTS.values()), pa.large_string())})
    return dict(zip(TEXTS, columns(batch).to_pylist(), strict=True))


# Every kind of disagreement: the reason, the peer it is known of, what shows it in the text, and how often it occurs.
TIED = "NeMo takes the most frequent n-gram in the order of a Python set; of tied ones it takes another in every run"
NARROW = "a narrow no-break blank is white space here and joins words in Unicode's rules"
NO_WORDS = "Dolma divides by 1 where a text has no words"


def why(peer: str, name: str, text: str) -> str:
    """The known reason for a difference, or '' where there is none."""
    if peer == "nemo" and name.startswith("top_"):
        n, words = int(name[4]), text.split()
        counts = sorted(Counter(zip(*(words[k:] for k in range(n)), strict=False)).values())
        return TIED if counts[-2:-1] == counts[-1:] else ""
    if peer == "dclm" and "\u202f" in text:
        return NARROW
    return NO_WORDS if peer == "dolma" and not text.split() else ""


def differences(peer: str) -> tuple[Counter[str], list[str], int]:
    """(explained differences by reason, unexplained ones, numbers compared)."""
    explained: Counter[str] = Counter()
    unexplained, compared = [], 0
    ours = measured(peer)
    columns = {name for row in EXPECTED["peers"][peer]["numbers"].values() for name in row} - {"verdict"}
    for key, row in EXPECTED["peers"][peer]["numbers"].items():
        for name in sorted(columns):
            theirs, found = row.get(name, 0), ours[key][name]
            compared += 1
            low, high = (min(theirs), max(theirs)) if isinstance(theirs, list) else (theirs, theirs)
            if low - TOLERANCE <= found <= high + TOLERANCE:
                continue
            reason = why(peer, name, TEXTS[key])
            explained[reason] += bool(reason)
            if not reason:
                unexplained.append(f"{key}: {name} is {found}, {peer} says {theirs}")
    return explained, unexplained, compared


KNOWN = {"datatrove": {}, "dclm": {NARROW: 3}, "dolma": {NO_WORDS: 1}, "nemo": {TIED: 27}}


@pytest.mark.parametrize("peer", list(KNOWN))
def test_every_number_is_the_peers_but_for_known_reasons(peer):
    explained, unexplained, compared = differences(peer)
    assert not unexplained, "\n".join(unexplained)
    assert explained == KNOWN[peer]
    assert compared >= 2000


def test_the_texts_are_those_that_the_peers_were_asked_about():
    assert hashlib.sha256(json.dumps(TEXTS).encode()).hexdigest() == EXPECTED["texts"], "make conformance-refresh"
    assert len(TEXTS) >= 150
    for found in EXPECTED["peers"].values():
        assert set(found["numbers"]) == set(TEXTS)


LIMITS = {
    "dup_line_share": ("dup_line_frac", 0.3), "dup_paragraph_share": ("dup_para_frac", 0.3),
    "dup_line_char_share": ("dup_line_char_frac", 0.2), "dup_paragraph_char_share": ("dup_para_char_frac", 0.2),
    **{f"top_{n}gram_char_share": (f"top_{n}_gram", limit) for n, limit in ((2, 0.2), (3, 0.18), (4, 0.16))},
    **{f"dup_{n}gram_char_share": (f"duplicated_{n}_n_grams", round(0.2 - n / 100, 2)) for n in range(5, 11)},
}  # fmt: skip


def decided(presets: tuple[str, ...], leave_out: str = "") -> dict[str, list[str]]:
    """Text name -> names of the clauses of the presets that refuse it."""
    rows = pl.DataFrame(list(measured("datatrove").values()))
    clauses = {k: rule for k, rule in Filter(preset=presets).clauses().items() if k != leave_out}
    found = rows.select(pl.sql_expr(rule).fill_null(value=False).alias(name) for name, rule in clauses.items())
    return {key: [n for n, kept in row.items() if not kept] for key, row in zip(TEXTS, found.to_dicts(), strict=True)}


# Texts whose verdict differs, by filter, with the reason.
VERDICTS: dict[str, dict[str, str]] = {"gopher_repetition": {}, "gopher_quality": {}, "fineweb": {}}


@pytest.mark.parametrize("preset", list(VERDICTS))
def test_every_verdict_is_datatroves(preset):
    """A text is kept here where datatrove keeps it; what makes datatrove fail is refused."""
    numbers = EXPECTED["peers"]["datatrove"]["numbers"]
    theirs = {key: not row.get("verdict", {}).get(preset) for key, row in numbers.items()}
    ours = {key: not refused for key, refused in decided((preset,)).items()}
    assert {key for key in TEXTS if ours[key] != theirs[key]} == set(VERDICTS[preset])
    assert len(set(theirs.values())) == 2, "a filter that decides the same of all texts is no test"


def test_the_limit_that_datatrove_names_first_is_one_that_refuses_here():
    ours = measured("datatrove")
    reasons = {reason: (name, limit) for name, (reason, limit) in LIMITS.items()}
    named = 0
    for key, row in EXPECTED["peers"]["datatrove"]["numbers"].items():
        reason = row.get("verdict", {}).get("gopher_repetition", "empty")
        if reason != "empty":
            name, limit = reasons[reason]
            assert ours[key][name] > limit, (key, reason)
            named += 1
    assert named > 40
