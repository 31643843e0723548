"""Held-out text: set aside by lot, protected from the pool, and halves of the language reference."""

from __future__ import annotations

import itertools
import pydoc_data.topics
import re
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_trainers import Source, id_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, FileSlice
from winnow.core.operators.config import build, part_of
from winnow.core.words.hashing import ngram_hashes
from winnow.core.words.protected import Protection
from winnow.pipeline.filter.decontaminate import Decontaminate
from winnow.pipeline.filter.holdout import Holdout
from winnow.pipeline.filter.protected_matches import ProtectedMatches
from winnow.pipeline.filter.protected_verdict import Tolerance, Verdict
from winnow.pipeline.read.python_topics import PythonTopics, halves, topics_of, without_repeats

TOPICS = Path(pydoc_data.topics.__file__)


def slice_of(path: Path) -> FileSlice:
    return FileSlice(path=str(path), rel="topics.py", digest="0", size=path.stat().st_size)


def read(half: str, path: Path = TOPICS, bad=None) -> list[dict[str, str]]:
    operator = PythonTopics(files=(str(path),), half=half)
    found = [] if bad is None else bad
    return [row for table in operator.read([slice_of(path)], found.append) for row in table.to_pylist()]


def test_the_halves_of_the_reference_are_balanced_and_share_almost_no_text():
    parts = {half: read(half) for half in ("a", "b", "all")}
    size = {half: sum(len(row["text"].encode()) for row in rows) for half, rows in parts.items()}
    assert size["a"] + size["b"] == size["all"] > 250_000
    assert abs(size["a"] - size["b"]) / size["all"] < 0.01
    names = {half: {row["origin"] for row in rows} for half, rows in parts.items()}
    assert names["a"] | names["b"] == names["all"]
    assert not names["a"] & names["b"]
    grams = [
        set(ngram_hashes(pa.array([r["text"] for r in parts[half]], pa.large_string()), 13)[1].tolist())
        for half in ("a", "b")
    ]
    assert len(grams[0] & grams[1]) / min(map(len, grams)) < 0.002


def test_splitting_by_topic_alone_would_leak_which_is_why_paragraphs_are_dropped_first():
    found = halves(topics_of(TOPICS.read_text("utf-8")))
    grams = [
        set(ngram_hashes(pa.array(list(found[half].values()), pa.large_string()), 13)[1].tolist())
        for half in ("a", "b")
    ]
    assert len(grams[0] & grams[1]) / min(map(len, grams)) > 0.02


@pytest.mark.parametrize(
    "source",
    [
        "topics = {'x': 'a\\nb', 'y': 'c'\n 'd'}",
        "# header\ntopics = {\n    'x': r'''a\nb''',\n    'y': 'cd',\n}\n",
        "topics: dict[str, str] = {'x': 'a\\nb', 'y': 'cd'}",
    ],
)
def test_all_forms_of_the_file_are_read(source):
    assert topics_of(source) == {"x": "a\nb", "y": "cd"}


def test_the_topics_read_are_those_that_python_would_import():
    assert topics_of(TOPICS.read_text("utf-8")) == pydoc_data.topics.topics


@pytest.mark.parametrize("source", ["topics = open('/tmp/x', 'w')", "x = 1", "topics = {1", "topics = {'a': 3}"])
def test_another_file_is_quarantined_and_never_executed(tmp_path, source):
    path = tmp_path / "topics.py"
    path.write_text(source)
    bad = []
    assert read("all", path, bad) == []
    assert [b.error for b in bad] == ["not_topics"]


def test_a_repeated_paragraph_stays_in_the_largest_topic_only():
    kept = without_repeats({"small": "p one\n\nq", "large": "p  one\n\nr r r r\n\nr r r r", "none": "q"})
    assert kept == {"large": "p  one\n\nr r r r\n", "small": "q\n"}


def held_out(rows: pl.DataFrame, seed: int = 0, **fields) -> pl.DataFrame:
    return through(Holdout(share=0.2, **fields), [rows], seed=seed)[0]


def through(holdout: Holdout, parts: list[pl.DataFrame], *, seed: int = 0, notes=None) -> list[pl.DataFrame]:
    """The verdicts of every part of one corpus."""
    ctx = Context(seed=seed, work=Path(), notes=notes)
    state, done = holdout.advance(holdout.merge([holdout.summarise(part, None, ctx) for part in parts]), None, ctx)
    assert done
    return [holdout.decide(part, state, ctx) for part in parts]


def test_documents_are_set_aside_by_lot_within_the_sizes():
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(4000)], "text_bytes": list(range(4000))})
    out = held_out(rows, min_bytes=1000, max_bytes=2999)
    assert (out["kept"] == ~out["held_out"]).all()
    held = rows.filter(out["held_out"])["text_bytes"]
    assert held.is_between(1000, 2999).all()
    assert abs(len(held) / 2000 - 0.2) < 0.03
    parts = [held_out(part, min_bytes=1000, max_bytes=2999) for part in rows.iter_slices(7)]
    assert pl.concat(parts).equals(out)
    assert not held_out(rows, seed=1)["held_out"].equals(held_out(rows)["held_out"])


@pytest.mark.parametrize(
    ("field", "value"), [("share", 0.0), ("share", 1.0), ("max_bytes", -1), ("per", ("a", "a")), ("per", ("",))]
)
def test_a_holdout_that_cannot_work_is_refused(field, value):
    with pytest.raises(ConfigError):
        Holdout(**{"share": 0.5, field: value}).validate()


def test_no_group_is_split_in_any_layout_and_the_share_is_met():
    sites = [f"site{i % 700}.org" for i in range(5000)]
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(5000)], "site": sites})
    out = held_out(rows, per="site")
    sides = rows.with_columns(out).group_by("site").agg(pl.col("held_out").n_unique())
    assert sides["held_out"].max() == 1
    assert abs(out["held_out"].mean() - 0.2) < 0.05
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)
    parts = pl.concat([held_out(part, per="site") for part in shuffled.iter_slices(13)])
    both = rows.with_columns(out).join(shuffled.with_columns(again=parts["held_out"]), on="doc_id")
    assert (both["held_out"] == both["again"]).all()
    assert not held_out(rows, per="site", salt="b").equals(out)
    numbers = rows.with_columns(site=pl.int_range(5000) % 700)
    assert held_out(numbers, per="site").with_columns(numbers["site"]).group_by("site").agg(
        pl.col("held_out").n_unique())["held_out"].max() == 1  # fmt: skip


def test_documents_without_a_group_are_drawn_by_themselves_or_stay():
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(2000)], "site": [None, "a"] * 1000})
    notes: dict[str, int] = {}
    (out,) = through(Holdout(share=0.2, per="site"), [rows], notes=notes)
    null = rows["site"].is_null()
    assert abs(out.filter(null)["held_out"].mean() - 0.2) < 0.05
    assert out.filter(null)["held_out"].equals(
        held_out(rows.with_columns(text_bytes=pl.lit(1, pl.Int64))).filter(null)["held_out"]
    )
    assert not held_out(rows, per="site", without_key="pool").filter(null)["held_out"].any()
    said = Holdout(share=0.2, per="site").remarks({"rows": 2000, "true:held_out": 400}, notes)
    assert said == ("1,000 of 2,000 rows (50.0%) have no 'site' and are drawn one by one",)


LINKS = st.lists(st.tuples(*[st.none() | st.integers(0, 9)] * 3), min_size=1, max_size=40)


def sides_by_hand(links) -> list[int]:
    """The group of every row, by joining sets until nothing changes."""
    groups: list[tuple[set[int], set[tuple[int, int]]]] = []
    for row, values in enumerate(links):
        members, held = {row}, {(at, value) for at, value in enumerate(values) if value is not None}
        for other in [g for g in groups if g[1] & held]:
            groups.remove(other)
            members, held = members | other[0], held | other[1]
        groups.append((members, held))
    of = {row: at for at, (members, _) in enumerate(groups) for row in members}
    return [of[row] for row in range(len(links))]


@settings(max_examples=60, deadline=None)
@given(links=LINKS, cuts=st.lists(st.integers(0, 40), max_size=3), seed=st.integers(0, 5))
def test_what_is_connected_by_any_column_is_one_group_however_the_rows_lie(links, cuts, seed):
    columns = {name: pl.Series([row[at] for row in links], dtype=pl.Int64) for at, name in enumerate("abc")}
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(len(links))], **columns})
    bounds = sorted({0, len(links), *(min(cut, len(links)) for cut in cuts)})
    parts = [rows[one:two] for one, two in itertools.pairwise(bounds)]
    holdout, notes = Holdout(share=0.5, per=("a", "b", "c")), {}
    (whole,) = through(holdout, [rows], seed=seed, notes=notes)
    assert pl.concat(through(holdout, parts, seed=seed)).equals(whole)
    assert pl.concat(through(holdout, parts[::-1], seed=seed)[::-1]).equals(whole)
    groups = sides_by_hand(links)
    alone = {g for g, values in zip(groups, links, strict=True) if set(values) == {None}}
    for group in set(groups):
        assert len({side for g, side in zip(groups, whole["held_out"], strict=True) if g == group}) == 1
    sizes = sorted((groups.count(g) for g in set(groups) - alone), reverse=True)
    assert (notes["groups"], notes["largest_groups"], notes["without_key"]) == (len(sizes), sizes[:20], len(alone))
    pooled = through(Holdout(share=0.5, per=("a", "b", "c"), without_key="pool"), [rows], seed=seed)[0]
    assert pooled.filter(pl.Series([g in alone for g in groups]))["kept"].all()


def test_groups_of_several_columns_are_drawn_at_the_share_and_large_ones_are_told():
    pairs = pl.DataFrame({"doc_id": [id_of(i) for i in range(6000)], "site": [f"s{i // 2}" for i in range(6000)],
                          "copy": [f"s{(i + 1) // 4}" if i % 4 == 1 else None for i in range(6000)]})  # fmt: skip
    notes: dict[str, object] = {}
    (out,) = through(Holdout(share=0.2, per=("site", "copy")), [pairs], notes=notes)
    assert abs(out["held_out"].mean() - 0.2) < 0.03
    assert notes["groups"] == 3000  # the same text in two columns is not one value
    assert "remarks" not in notes
    one = pairs.with_columns(copy=pl.when(pl.int_range(6000) < 3000).then(pl.lit("all")))
    notes = {}
    through(Holdout(share=0.2, per=("site", "copy")), [one], notes=notes)
    assert "one group holds more than the share (20.0%) by itself, 3,000 of 6,000 rows (50.0%)" in str(notes)


def test_a_share_that_large_groups_miss_is_told():
    said = Holdout(share=0.1, per="site").remarks({"rows": 1000, "true:held_out": 400}, {"without_key": 0})
    assert said[0].startswith("holds out 400 of 1,000 rows (40.0%) where `share` is 10.0%: whole groups of 'site'")
    assert Holdout(share=0.1, per="site").remarks({"rows": 1000, "true:held_out": 110}, {"without_key": 0}) == ()


@pytest.mark.parametrize(
    "fields", [{"per": "site", "max_bytes": 9}, {"per": "site", "min_bytes": 9}, {"without_key": "pool"}]
)
def test_fields_of_a_grouped_holdout_that_have_no_effect_are_refused(fields):
    with pytest.raises(ConfigError, match="has no effect"):
        build(Holdout, {"share": 0.1, **fields}, where="held")
    with pytest.raises(ConfigError, match="makes no groups"):
        Holdout(share=0.1, per="score").check_types({"score": pa.float64()})


def cleaned(pool: list[str | None], protected: list[str], **fields) -> pl.DataFrame:
    """The columns of `decontaminate` for a pool."""
    whole = Decontaminate(against="held", **fields)
    whole.validate()
    rows = pl.DataFrame({"doc_id": [id_of(t) for t in protected], "origin": protected, "text": protected})
    ctx = Context(seed=0, work=Path(), refs={"against": Source(rows)})
    batch = pa.record_batch({"text": pa.array(pool, pa.large_string())})
    matches = ProtectedMatches(**part_of(whole, Protection), against="held").open(ctx)(batch)
    verdict = Verdict(**part_of(whole, Protection), **part_of(whole, Tolerance), against="held")
    return verdict.decide(pl.from_arrow(matches), pl.DataFrame(), ctx)


def test_a_document_that_repeats_thirteen_words_is_dropped_whatever_the_case_and_punctuation():
    secret = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    out = cleaned(
        [
            "before " + secret.upper().replace(" ", ", ") + " after",
            " ".join(secret.split()[:12]),
            " ".join([*secret.split()[:6], "x", *secret.split()[6:]]),
            "", None,
            " ".join(secret.split()[:13]),
        ],
        [secret, "too short"], near=0,
    )  # fmt: skip
    assert out["contaminated_ngrams"].to_list() == [2, 0, 0, 0, None, 1]
    assert out["kept"].to_list() == [False, True, True, True, None, False]
    assert cleaned([secret], [secret], max_ngrams=2, near=0)["kept"].to_list() == [True]


WORDS = st.lists(st.sampled_from(["a", "b", "A-b", "ab"]), max_size=20).map(" ".join)


@settings(deadline=None, max_examples=60)
@given(st.lists(WORDS, min_size=1, max_size=6), WORDS)
def test_counts_are_those_of_a_plain_loop(pool, secret):
    def ngrams(text: str) -> list[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return [tuple(words[i : i + 3]) for i in range(len(words) - 2)]

    protected = set(ngrams(secret))
    if not protected:
        return
    expected = [sum(gram in protected for gram in ngrams(text)) for text in pool]
    assert cleaned(pool, [secret], ngram=3)["contaminated_ngrams"].to_list() == expected


def test_verdicts_do_not_depend_on_the_batch_or_on_where_it_begins():
    generator = np.random.Generator(np.random.Philox(key=1))
    texts = [" ".join(map(str, generator.integers(0, 4, 30))) for _ in range(50)]
    whole = cleaned(texts, texts[:1], ngram=5)
    assert whole["kept"].n_unique() == 2
    parts = [cleaned(texts[i : i + 7], texts[:1], ngram=5) for i in range(0, 50, 7)]
    assert pl.concat(parts).equals(whole)


def test_nothing_to_protect_is_an_error():
    with pytest.raises(DataError, match="no item has 5 words in a row"):
        cleaned(["a"], ["short"])
