"""Concepts are found as Aho-Corasick, a dictionary and regular expressions find them; MetaCLIP balances by them."""

import itertools
import random
import re
from collections import Counter

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import put_corpus, run, texts

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.pipeline.measure import concept_matcher
from winnow.pipeline.measure.concepts import Concepts
from winnow.selectors.balance.metaclip import MetaClip, p_to_t, t_to_p
from winnow.selectors.score.random_ import Random
from winnow.testing.in_memory import run_fold

ALPHABET = [
    "a",
    "b",
    "ab",
    "Ab",
    "é",
    "don't",
    "東",
    "京",
    "ก",
    ",",
    ".",
    "!",
    "—",
    " ",
    "  ",
    "\n",
    "\t",
    "\u3000",
    "x-y",
]
ONES = re.compile(r"[,.;:?!`\u2000-\u206f\u0e00-\u0fff\u3041-\u312f\u3400-\u9fff]")


def plain_tokens(text):
    return [t for t in re.split(r"[\t\n\v\f\r \u00a0\u3000]+", ONES.sub(lambda m: f" {m.group()} ", text)) if t]


def padded(text):
    return " " + " ".join(plain_tokens(text)) + " "


def found_in(entries, texts, **fields):
    found = concept_matcher.build(entries).match(pa.array(texts, pa.large_string()), **fields)
    rows = list(zip(found.starts[:-1], found.starts[1:], strict=True))
    return [dict(zip(found.ids[a:b].tolist(), found.hits[a:b].tolist(), strict=True)) for a, b in rows]


def first_ids(entries):
    ids = {}
    for number, entry in enumerate(entries):
        if plain_tokens(entry):
            ids.setdefault(padded(entry), number)
    return ids


def by_regex(entries, texts):
    ids = first_ids(entries)
    patterns = {number: re.compile("(?=" + re.escape(entry) + ")") for entry, number in ids.items()}
    return [{n: c for n, p in patterns.items() if (c := len(p.findall(padded(t))))} for t in texts]


def by_automaton(entries, texts):
    ahocorasick = pytest.importorskip("ahocorasick", reason="pyahocorasick is not installed")
    automaton = ahocorasick.Automaton()
    for entry, number in first_ids(entries).items():
        automaton.add_word(entry, number)
    automaton.make_automaton()
    return [dict(Counter(number for _, number in automaton.iter(padded(t)))) for t in texts]


def by_dictionary(entries, texts):
    ids = {tuple(entry.split()): number for entry, number in first_ids(entries).items()}
    longest = max(map(len, ids))
    out = []
    for text in texts:
        tokens = plain_tokens(text)
        grams = (tuple(tokens[i : i + n]) for n in range(1, longest + 1) for i in range(len(tokens) - n + 1))
        out.append(dict(Counter(ids[g] for g in grams if g in ids)))
    return out


PIECES = st.lists(st.sampled_from(ALPHABET), max_size=8).map("".join)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(PIECES, max_size=12), st.lists(st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join), max_size=4)
)
def test_automaton_dictionary_and_regular_expressions_agree_on_random_texts(entries, texts):
    entries = [*entries, "ab"]
    found = found_in(entries, texts)
    assert found == by_regex(entries, texts)
    assert found == by_dictionary(entries, texts)
    assert found == by_automaton(entries, texts)


def test_a_larger_dictionary_agrees_with_the_automaton():
    draw = random.Random(1)
    words = ["".join(draw.choices("etaoins", k=draw.randrange(1, 4))) for _ in range(300)]
    entries = [" ".join(draw.choices(words, k=draw.randrange(1, 4))) for _ in range(20_000)]
    texts = [" ".join(draw.choices([*words, ","], k=300)) for _ in range(40)]
    assert found_in(entries, texts) == by_automaton(entries, texts)


def test_tokens_whose_hashes_fall_into_one_slot_are_told_apart():
    entries = [f"w{i}" for i in range(5000)]
    found = found_in(entries, [" ".join(entries), "w5000 w5001", "w17w18 w19"])
    assert found == [dict.fromkeys(range(5000), 1), {}, {19: 1}]


def test_whole_tokens_only_and_case_counts():
    entries = ["hot dog", "dog", "The", "the", "東京", "U.S."]
    texts = ["hot dogs", "a hot dog.", "dog is hot", "The the", "in東京都 now", "U.S.", "hot\n\n dog"]
    names = [{entries[i] for i in row} for row in found_in(entries, texts)]
    assert names == [set(), {"hot dog", "dog"}, {"dog"}, {"The", "the"}, {"東京"}, {"U.S."}, {"hot dog", "dog"}]


def test_a_phrase_is_counted_apart_from_its_words():
    texts = ["hot dog", "dog is hot", "dog"]
    found = found_in(["hot dog", "hot", "dog"], texts)
    assert sum(0 in row for row in found) == 1
    assert sum(1 in row and 2 in row for row in found) == 2  # the intersection of its words counts one too many


def test_the_head_of_a_text_and_rows_without_text():
    found = concept_matcher.build(["a", "a b"]).match(pa.array(["b a b", None, "", "b b a"], pa.large_string()), head=2)
    assert found.starts.tolist() == [0, 1, 1, 1, 1]
    assert found.ids.tolist() == [0]


def test_an_empty_dictionary_is_refused(tmp_path):
    for lines in ("", "\n \n\t\n"):
        (tmp_path / "none.txt").write_text(lines)
        with pytest.raises(DataError, match="no concept"):
            concept_matcher.build(*concept_matcher.read_entries([tmp_path / "none.txt"]))


def test_lines_are_ids_and_tabs_separate_synonyms(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeffcar\tautomobile\n\ntree\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("sea\ncar\n", encoding="utf-8")
    entries, ids = concept_matcher.read_entries([tmp_path / "a.txt", tmp_path / "b.txt"])
    found = concept_matcher.build(entries, ids).match(
        pa.array(["the automobile by a tree", "sea car"], pa.large_string())
    )
    assert found.ids.tolist() == [0, 2, 0, 3]
    assert np.array_equal(found.hits, [1, 1, 1, 1])


def matched(lists, hits=None, seed=0):
    """Texts with these concepts, each naming them as often as `hits` says."""
    raw = np.random.default_rng(seed).bytes(16 * len(lists))
    hits = hits or [None if row is None else [1] * len(row) for row in lists]
    kind = pl.List(pl.Int32)
    ids = pl.Series([raw[16 * i : 16 * i + 16] for i in range(len(lists))], dtype=pl.Binary)
    return pl.DataFrame({"doc_id": ids}).with_columns(
        concepts=pl.Series(lists, dtype=kind), concept_hits=pl.Series(hits, dtype=kind)
    )


def kept_of(op, rows, parts=1, notes=None, seed=1):
    op.validate()
    cuts = np.linspace(0, rows.height, parts + 1).astype(int)
    pieces = [rows[a:b] for a, b in itertools.pairwise(cuts)]
    return rows.hstack(pl.concat(run_fold(op, pieces, Context(seed=seed, work=None, notes=notes))))


def test_odds_are_those_of_the_counts():
    lists = [[0, 1]] * 5 + [[0]] * 5 + [[1]] * 35 + [[]] * 3 + [None]
    found = kept_of(MetaClip(t=10), matched(lists))["metaclip_odds"].to_list()
    assert found == [1.0] * 10 + [0.25] * 35 + [0.0] * 4


def test_two_concepts_keep_a_text_more_often_than_one():
    lists = [[0, 1]] + [[0]] * 39 + [[1]] * 19  # p = .25 and .5 at t = 10
    for odds, want in (("any", 0.625), ("max", 0.5), ("mean", 0.375)):
        assert kept_of(MetaClip(t=10, odds=odds), matched(lists))["metaclip_odds"][0] == want


def test_t_and_the_tail_share_are_each_other_s_nearly():
    counts = np.array([1, 1, 2, 4, 8, 16])
    assert p_to_t(counts, 0.25) == 4
    assert t_to_p(counts, 4) == 0.125
    assert t_to_p(counts, 5) == 0.25
    assert p_to_t(np.array([], dtype=np.int64), 0.5) == 1
    notes = {}
    lists = [[number] for number, count in enumerate(counts) for _ in range(count)]
    found = kept_of(MetaClip(tail_share=0.25), matched(lists), notes=notes)
    assert (notes["t"], notes["tail_share"]) == (4, 0.125)
    assert found["metaclip_odds"].to_list() == [1.0] * 8 + [0.5] * 8 + [0.25] * 16


def test_kept_texts_of_one_concept_are_binomial():
    rows = matched([[7]] * 400)
    counts = [kept_of(MetaClip(t=100), rows, seed=seed)["kept"].sum() for seed in range(60)]
    assert np.mean(counts) == pytest.approx(100, abs=4 * np.sqrt(75 / 60))
    assert 0.4 * 75 < np.var(counts) < 2 * 75


def test_all_that_is_matched_is_kept_where_no_concept_is_above_t_and_nothing_else():
    draw = random.Random(2)
    lists = [sorted(draw.sample(range(20), k=draw.randrange(4))) for _ in range(100)]
    found = kept_of(MetaClip(t=1000), matched(lists))
    assert found["kept"].to_list() == [bool(row) for row in lists]
    assert kept_of(MetaClip(t=5), matched([[], None])).select(pl.col("kept").sum()).item() == 0
    assert kept_of(MetaClip(tail_share=0.1), matched([])).height == 0


def long_texts(num=300, seed=3):
    draw = np.random.default_rng(seed)
    shares = 1 / (1 + np.arange(50))
    lists = [np.sort(draw.choice(50, size=20, replace=False, p=shares / shares.sum())).tolist() for _ in range(num)]
    hits = [draw.integers(1, 6, size=20).tolist() for _ in range(num)]
    return matched(lists, hits, seed)


@pytest.mark.parametrize("more", [{"stop_share": 0.3}, {"top": 3}, {"odds": "mean"}, {"top": 4, "stop_share": 0.5}])
def test_what_helps_with_long_texts_helps_and_parts_do_not_matter(more):
    rows, notes = long_texts(), {}
    plain = kept_of(MetaClip(t=4), rows)["kept"].sum()
    found = kept_of(MetaClip(t=4, **more), rows, notes=notes)
    assert found["kept"].sum() < plain
    assert notes["kept"] == found["kept"].sum()
    assert kept_of(MetaClip(t=4, **more), rows, parts=7).equals(found)


def test_the_top_concepts_of_a_text_are_those_with_the_highest_hits_times_rarity():
    rows, notes = matched([[0, 1], [0, 1], [0, 2], [0], [0]], [[1, 9], [9, 1], [1, 1], [1], [1]]), {}
    kept_of(MetaClip(t=1, top=1), rows, notes=notes)
    assert {row["id"]: row["count"] for row in notes["most_frequent"]} == {0: 2, 1: 2, 2: 1}


def test_every_concept_is_expected_to_keep_its_count_or_t_and_frequent_ones_keep_more():
    rows, t, kept = long_texts(), 20, Counter()
    for seed in range(60):
        found = kept_of(MetaClip(t=t, odds="max"), rows, seed=seed)
        kept.update(c for row in found.filter("kept")["concepts"] for c in row)
    counts = Counter(c for row in rows["concepts"] for c in row)
    for concept, count in counts.items():
        least = min(count, t)
        assert kept[concept] / 60 >= least - 4 * np.sqrt(least / 60)
    assert kept[0] / 60 > 2 * t  # it stands beside rare ones


def test_a_concept_that_a_list_names_twice_counts_once():
    twice, once = matched([[0, 1, 0], [1, 1], [1]]), matched([[0, 1], [1], [1]])
    for fields in ({"t": 1}, {"t": 1, "top": 1}, {"t": 1, "odds": "mean"}):
        want = kept_of(MetaClip(**fields), once).drop("concepts", "concept_hits")
        assert kept_of(MetaClip(**fields), twice).drop("concepts", "concept_hits").equals(want)


def test_a_draw_by_lot_from_what_is_kept_favours_no_odds():
    rows = matched([[0]] * 1500 + [[1]] * 500)
    first = kept_of(MetaClip(t=500), rows).filter("kept")
    (found,) = run_fold(Random(budget=Budget(300, "docs")), [first.drop("kept", "weight")], Context(seed=1, work=None))
    common = (first["concepts"].list.first() == 0).to_numpy()
    drawn = common[found["kept"].to_numpy()].mean()
    assert abs(drawn - common.mean()) < 4 * 0.5 / np.sqrt(300)  # with the lots of `random` it would be near 1


def test_stopped_concepts_are_those_of_more_than_the_share_of_texts_or_tokens():
    rows = matched([[0, 1], [0], [0, 2], [1]]).with_columns(token_count=pl.Series([1, 1, 1, 97]))
    notes = {}
    found = kept_of(MetaClip(t=1, stop_share=0.5), rows, notes=notes)
    assert (notes["stopped"], notes["concepts"]) == (1, 2)
    assert found["metaclip_odds"].to_list() == [0.5, 0.0, 1.0, 0.5]
    kept_of(MetaClip(t=1, stop_share=0.5, count="tokens"), rows, notes=notes)
    assert {row["id"] for row in notes["most_frequent"]} == {0, 2}


def test_realised_counts_are_noted_and_at_least_about_t():
    rows, notes = long_texts(), {}
    found = kept_of(MetaClip(t=20), rows, notes=notes)
    of = Counter(c for row in found.filter("kept")["concepts"] for c in row)
    assert {row["id"]: row["kept"] for row in notes["most_frequent"]} == {
        row["id"]: of[row["id"]] for row in notes["most_frequent"]
    }
    assert all(row["kept"] >= min(row["count"], 20) / 2 for row in notes["most_frequent"])


def test_counts_of_tokens_weigh_texts_by_length():
    rows = matched([[0], [0], [1]]).with_columns(token_count=pl.Series([30, 10, 5]))
    found = kept_of(MetaClip(t=10, count="tokens"), rows)
    assert found["metaclip_odds"].to_list() == [0.25, 0.25, 1.0]
    lost = kept_of(MetaClip(t=10, count="tokens"), rows.with_columns(token_count=pl.Series([30, None, 5])))
    assert lost["metaclip_odds"].to_list() == pytest.approx([1 / 3, 0.0, 1.0])


def test_wrong_fields_and_columns_are_refused(tmp_path):
    for wrong in (
        {},
        {"t": 1, "tail_share": 0.1},
        {"t": 0},
        {"tail_share": 0.0},
        {"t": 1, "stop_share": 0},
        {"t": 1, "top": -1},
    ):
        with pytest.raises(ConfigError):
            MetaClip(**wrong).validate()
    rows = matched([[0], [1]])
    with pytest.raises(DataError, match="lists"):
        kept_of(MetaClip(t=1), rows.with_columns(concepts=pl.lit("a")))
    with pytest.raises(DataError, match="below 0"):
        kept_of(MetaClip(t=1), matched([[-2], [1]]))
    with pytest.raises(DataError, match="does not go with"):
        kept_of(MetaClip(t=1, top=1), rows.with_columns(concept_hits=pl.Series([[1, 1], [1]])))
    for wrong in ({"files": ()}, {"head": -1}, {"punctuation": " "}):
        with pytest.raises(ConfigError):
            Concepts(**({"files": ("x",)} | wrong)).validate()


RECIPE = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl"}
  named: {use: concepts, inputs: docs, files: words.txt, ignore_case: true}
  rare: {use: metaclip, inputs: named, tail_share: 0.1, top: 4}
"""


def test_every_layout_gives_the_same_concepts_and_texts(tmp_path):
    put_corpus(tmp_path / "raw", texts(60, seed=1), 2)
    (tmp_path / "words.txt").write_text("the\nwater\nof the\nTHING\nand to\n日本\nword\n")
    options = [{}, {"part_bytes": 2000, "batch_rows": 7}, {"part_bytes": 5000}]
    found = [run(RECIPE, tmp_path, tmp_path / f"out{i}", **o) for i, o in enumerate(options)]
    assert [[f.digests[n] for n in ("named", "rare")] for f in found[1:]] == [
        [found[0].digests[n] for n in ("named", "rare")]
    ] * 2
    assert 0 < found[0].metrics["rare"]["kept"] < 60
    ids = found[0].table("named", "concepts").column(0).to_pylist()
    assert any(5 in row for row in ids)
    assert run(RECIPE, tmp_path, tmp_path / "out0").computed == {}
