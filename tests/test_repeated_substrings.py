"""`repeated_substrings`: what goes is what a dictionary of all byte windows says, for any layout."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import lines_of, put_file, run

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.core.words.hashing import text_hash
from winnow.pipeline.dedup.repeated_substrings import RepeatedSubstrings
from winnow.pipeline.dedup.substring_anchors import Anchors
from winnow.pipeline.dedup.substring_windows import Windows
from winnow.testing.in_memory import run_group

CONTEXT = Context(seed=0, work=Path())


def rows_of(texts: list[str | None], seed: int = 0) -> pl.DataFrame:
    rng = random.Random(seed)
    doc_id = text_hash(pa.array([f"d{n}" for n in range(len(texts))], pa.large_string()))
    return pl.DataFrame(
        {"doc_id": pl.Series(doc_id.cast(pa.large_binary())), "text": pl.Series(texts, dtype=pl.String),
         "q": pl.Series([rng.choice([None, 1, 2]) for _ in texts], dtype=pl.Int64),
         "site": pl.Series([rng.choice(["a", "b", None]) for _ in texts], dtype=pl.String)},
    )  # fmt: skip


def found(rows: pl.DataFrame, parts: int, **fields) -> dict[bytes, list[tuple[int, int]]]:
    """The spans of every document, through both stages."""
    height = rows.height
    cuts = [rows.slice(n * height // parts, (n + 1) * height // parts - n * height // parts) for n in range(parts)]
    looked = run_group(Anchors(**fields), cuts, parts + 1, CONTEXT)
    both = [pl.concat([cut, more], how="horizontal") for cut, more in zip(cuts, looked, strict=True)]
    out = {}
    for cut, answer in zip(cuts, run_group(Windows(**fields), both, 3, CONTEXT), strict=True):
        for doc, starts, stops in zip(cut["doc_id"], answer["repeated_starts"], answer["repeated_stops"], strict=True):
            if starts is not None:
                out[doc] = list(zip(starts.to_list(), stops.to_list(), strict=True))
    return out


def expected(rows: pl.DataFrame, *, min_bytes: int, keep: str = "first", keeper: str = "", per=()) -> dict:
    """The same by a dictionary of all windows."""
    windows = []
    for doc, text, q, site in rows.rows():
        raw = (text or "").encode()
        place = (q is None, -(q or 0), doc) if keeper else doc
        if not per or site is not None:
            windows += [
                (place, at, raw[at : at + min_bytes], site if per else None, doc)
                for at in range(len(raw) - min_bytes + 1)
            ]
    copies, seen, out = Counter(w[2:4] for w in windows), set(), {}
    for _, at, held, site, doc in sorted(windows, key=lambda w: (w[0], w[1])):
        if copies[held, site] > 1 and (keep == "none" or (held, site) in seen):
            spans = out.setdefault(doc, [])
            if spans and at <= spans[-1][1]:
                spans[-1] = (spans[-1][0], at + min_bytes)
            else:
                spans.append((at, at + min_bytes))
        seen.add((held, site))
    return out


CASES = [
    {},
    {"keep": "none"},
    {"keeper": "q desc"},
    {"per": ("site",)},
    {"keep": "none", "keeper": "q desc", "per": ("site",)},
]


@settings(max_examples=10, deadline=None)
@given(
    texts=st.lists(st.one_of(st.none(), st.text("ab", max_size=40), st.text("abé", max_size=30), st.text("a", max_size=30)), max_size=8),
    size=st.sampled_from([8, 9, 13]), parts=st.sampled_from([1, 3]), case=st.sampled_from(CASES), seed=st.integers(0, 3),
)  # fmt: skip
def test_what_goes_is_what_a_dictionary_of_all_windows_says(texts, size, parts, case, seed):
    rows = rows_of(texts, seed)
    assert found(rows, parts, min_bytes=size, **case) == expected(rows, min_bytes=size, **case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_planted_repetitions_in_longer_texts_go_for_any_layout(case):
    rng = random.Random(5)
    word = lambda: "".join(rng.choice("abcdefghij") for _ in range(rng.randrange(2, 9)))  # noqa: E731
    shared = [" ".join(word() for _ in range(30)) for _ in range(6)]
    texts = []
    for _ in range(24):
        pieces = [" ".join(word() for _ in range(rng.randrange(25))) for _ in range(4)]
        pieces[rng.randrange(4)] += rng.choice(shared)[rng.randrange(60) : rng.randrange(100, 200)]
        texts.append(" ".join(pieces) + "=" * rng.choice([0, 0, 90]))
    rows = rows_of(texts)
    want = expected(rows, min_bytes=50, **case)
    assert len(want) > 5
    for parts in (1, 8):
        assert found(rows.sample(fraction=1.0, shuffle=True, seed=parts), parts, min_bytes=50, **case) == want


def test_texts_that_share_nothing_send_no_windows():
    rng = random.Random(1)
    rows = rows_of(["".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(4000)) for _ in range(5)])
    looked = run_group(Anchors(min_bytes=40), [rows], 2, CONTEXT)[0]
    assert looked["look_first"].null_count() == 5
    keys = Anchors(min_bytes=40).keys(rows, CONTEXT)
    assert keys.height < 5 * 4000 / 8  # about two anchors in 21 bytes


def test_what_is_too_short_is_refused():
    for wrong in ({"min_bytes": 7}, {"keeper": "longest"}):
        with pytest.raises(ConfigError):
            RepeatedSubstrings(**wrong).validate()


def test_a_run_cuts_between_characters_and_what_is_below_reads_the_rest(tmp_path):
    shared = "übermäßig lange Wörter überall"
    texts = {
        "1": f"Eins. {shared} Ende.",
        "2": f"Zwei, {shared} und mehr.",
        "3": shared,
        "4": "Nichts davon hier im Text.",
    }
    docs = [{"id": i, "text": t} for i, t in texts.items()]
    recipe = """
stages:
  docs: {use: jsonl, files: "raw*.jsonl", id: "field:id", columns: {id: string}}
  cut:  {use: repeated_substrings, inputs: docs, min_bytes: 21, keeper: id}
  out:  {use: write, inputs: docs, format: jsonl, order: source, carry: [id, repeated_spans]}
"""
    shown = []
    for files in (1, 3):
        for n in range(files):
            put_file(tmp_path / str(files) / f"raw{n}.jsonl", lines_of(docs[n::files]))
        ran = run(recipe, tmp_path / str(files), tmp_path / f"root{files}")
        shown.append(pl.DataFrame(ran.table("out", "id", "text", "repeated_spans")).sort("id"))
    assert shown[0].equals(shown[1])
    assert shown[0]["text"].to_list() == [texts["1"], "Zwei,und mehr.", "", texts["4"]]
    assert shown[0]["repeated_spans"].to_list() == [0, 1, 1, 0]
