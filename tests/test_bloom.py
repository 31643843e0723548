"""`ngram_bloom`, `repeated_ngrams`, `lsh_bloom`: what goes is what sets of n-grams say; filters keep the stated rate."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from support import lines_of, put_file, run

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.core.words.hashing import text_hash
from winnow.core.words.segments import segments
from winnow.dags.driver.remarks import remarks_of
from winnow.pipeline.dedup import bloom, bloom_kernels, minhash_kernels
from winnow.pipeline.dedup.bloom import size_for
from winnow.pipeline.dedup.locate import addresses
from winnow.pipeline.dedup.lsh_bloom import LshBloom
from winnow.pipeline.dedup.lsh_keys import LshKeys
from winnow.pipeline.dedup.lsh_seen import LshSeen
from winnow.pipeline.dedup.minhash_signatures import Signatures
from winnow.pipeline.dedup.ngram_bloom import NgramBloom
from winnow.pipeline.dedup.ngram_keys import NgramKeys
from winnow.pipeline.dedup.ngram_seen import NgramSeen
from winnow.pipeline.dedup.repeated_ngrams import RepeatedNgrams
from winnow.testing.in_memory import MemoryRows, run_map, run_whole

WORDS = ["a", "b", "Ω", "straße", "x", "STRASSE", "ﬁn"]
RARE = 1e-9  # of such a rate nothing is expected in a test


def ids(rows: int) -> pl.Series:
    return pl.Series("doc_id", text_hash(pa.array([f"d{n}" for n in range(rows)], pa.large_string())), dtype=pl.Binary)


def grams(text: str, n: int, least: int) -> list[tuple[str, ...]]:
    folded = {"Ω": "ω", "STRASSE": "strasse", "straße": "strasse", "ﬁn": "fin"}
    words = [folded.get(w, w) for w in text.split()]
    if len(words) < n:
        return [tuple(words)] if len(words) >= max(least, 1) else []
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def by_sets(texts, places, groups, n, least, share, lines):
    """What goes, as BFF says it, with a set per group: texts, or (text, line)."""
    gone, seen = set(), {}
    for doc in sorted(range(len(texts)), key=lambda d: places[d]):
        if groups is not None and groups[doc] is None:
            continue
        known = seen.setdefault(groups[doc] if groups is not None else "", set())
        for number, piece in enumerate(texts[doc].split("\n") if lines else [texts[doc]]):
            found = grams(piece, n, least)
            if found and sum(g in known for g in found) > share * len(found):
                gone.add((doc, number) if lines else doc)
            else:
                known.update(found)
    return gone


def solved(op, keys, rows, parts):
    """The answers of a pass over parts of the rows, and what it noted."""
    cuts = [rows[at::parts] for at in range(parts)]
    made = [run_map(keys, cut, Context(seed=0, work=Path())).with_columns(cut["doc_id"]) for cut in cuts]
    made = [pl.concat([one, cut.drop("text", "doc_id")], how="horizontal") for one, cut in zip(made, cuts, strict=True)]
    notes: dict = {}
    ctx = Context(seed=0, work=Path(), access=MemoryRows(parts=made), notes=notes)
    answers = run_whole(op, made, ctx)
    found = pl.concat([a.with_columns(c["doc_id"]) for a, c in zip(answers, cuts, strict=True)])
    return rows.select("doc_id").join(found, on="doc_id", how="left", maintain_order="left"), notes


@st.composite
def corpora(draw):
    line = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
    kinds = draw(st.lists(st.lists(line, min_size=1, max_size=3).map("\n".join), min_size=1, max_size=4))
    return draw(st.lists(st.sampled_from(kinds) | line, min_size=1, max_size=14))


@settings(max_examples=60, deadline=None)
@given(texts=corpora(), n=st.integers(1, 5), least=st.integers(1, 5), share=st.sampled_from([0.0, 0.5, 0.8, 0.99]),
       lines=st.booleans(), ordered=st.booleans(), grouped=st.booleans(), parts=st.integers(1, 3))  # fmt: skip
def test_what_goes_is_what_sets_of_ngrams_say(texts, n, least, share, lines, ordered, grouped, parts):
    least = min(least, n)
    rng = random.Random(len(texts))
    doc_id = ids(len(texts))
    rank = [rng.randrange(3) for _ in texts]
    groups = [rng.choice([b"a" * 16, b"b" * 16, None]) for _ in texts]
    rows = pl.DataFrame({"doc_id": doc_id, "text": texts})
    if ordered:
        rows = rows.with_columns(keeper_order=pl.Series([bytes([r]) for r in rank]))
    if grouped:
        rows = rows.with_columns(per_hash=pl.Series(groups, dtype=pl.Binary))
    op = NgramSeen(share=share, pieces=lines, false_positive_rate=RARE, capacity=5000,
                   keeper="rank" if ordered else "smallest_id", per=("site",) if grouped else ())  # fmt: skip
    keys = NgramKeys(ngram=n, min_words=least, pieces="lines" if lines else None)
    found, notes = solved(op, keys, rows, parts)
    places = [(rank[d] if ordered else 0, doc_id[d]) for d in range(len(texts))]
    # a line that holds no word belongs to a neighbour, as `segments` cuts; it has no n-gram either way
    want = by_sets(texts, places, groups if grouped else None, n, least, share, lines)
    if lines:
        got = set()
        for doc, (starts, stops) in enumerate(found.select("repeated_starts", "repeated_stops").rows()):
            ends = np.cumsum([len(piece.encode()) + 1 for piece in texts[doc].split("\n")])
            for start, stop in zip(starts or [], stops or [], strict=True):
                got |= {(doc, line) for line in range(len(ends)) if start < ends[line] - 1 <= stop
                        and texts[doc].split("\n")[line].strip()}  # fmt: skip
        assert got == want
    else:
        assert {doc for doc, kept in enumerate(found["kept"]) if not kept} == want
    stays = notes["bloom_filter"]
    assert stays["capacity"] == 5000
    assert stays["keys"] <= sum(len(grams(p, n, least)) for t in texts for p in (t.split("\n") if lines else [t]))


def test_the_share_seen_is_that_of_the_ngrams_and_null_where_nothing_is_compared():
    texts = ["one two three four", "one two three five", "one", None, "one two three four"]
    rows = pl.DataFrame({"doc_id": ids(5).sort(), "text": pl.Series(texts, dtype=pl.String)})
    found, notes = solved(NgramSeen(share=0.6, false_positive_rate=RARE), NgramKeys(ngram=2), rows, 2)
    assert found["seen_share"].to_list() == [0.0, 2 / 3, None, None, 1.0]
    assert found["kept"].to_list() == [True, False, True, True, False]
    assert notes["too_short"] == {"of": 5, "documents": 2}
    assert notes["bloom_filter"]["keys"] == 3
    assert notes["bloom_filter"]["capacity"] == 9


@njit
def fill(words, keys, probes):
    for key in keys:
        bloom_kernels.put(words, key, probes)


@njit
def found_of(words, keys, probes):
    found = 0
    for key in keys:
        found += bloom_kernels.holds(words, key, probes)
    return found


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01, 1e-3, 1e-5])
@pytest.mark.parametrize("capacity", [300, 100_000])
def test_a_full_filter_holds_all_that_it_was_given_and_of_other_keys_the_stated_share(rate, capacity):
    rng = np.random.default_rng(7)
    size = size_for(capacity, rate)
    inside, outside = (rng.integers(0, 2**64, n, dtype=np.uint64) for n in (capacity, 1_000_000))
    words = size.words()
    assert found_of(words, outside, size.probes) == 0
    fill(words, inside, size.probes)
    assert found_of(words, inside, size.probes) == capacity
    wrong = found_of(words, outside, size.probes)
    _, told = bloom.measured(words, size)
    spread = (len(outside) * told) ** 0.5
    assert abs(wrong - len(outside) * told) < 5 * spread + 3
    assert told < (1.2 if capacity > 1000 else 1.6) * rate  # blocks are unequal, most of all where there are few


def test_keys_that_differ_in_their_lower_bits_alone_have_other_bits():
    size = size_for(5000, 1e-4)
    words = size.words()
    some = (np.uint64(77) << np.uint64(32)) + np.arange(40, dtype=np.uint64)
    fill(words, some[:20], size.probes)
    assert found_of(words, some[20:], size.probes) == 0


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01, 1e-4, 1e-9])
def test_sizes_grow_with_what_is_asked_and_are_little_above_one_large_filter_at_usual_rates(rate):
    ideal = -np.log(rate) / np.log(2) ** 2
    size = size_for(10**6, rate)
    assert ideal * 0.99 < size.bytes * 8 / 10**6 < ideal * (1.06 if rate > 1e-3 else 1.9)
    assert size_for(2 * 10**6, rate).blocks >= 2 * size.blocks - 1
    assert size_for(1, rate).blocks == 1


def test_lsh_keeps_the_first_of_those_that_share_a_band_with_one_that_is_kept():
    rng = random.Random(3)
    base = [[f"w{rng.randrange(400)}" for _ in range(60)] for _ in range(30)]
    texts: list[str | None] = [None, "", "!"]
    for n in range(150):
        words = list(base[n % 30])
        for _ in range(rng.randrange(12)):
            words[rng.randrange(60)] = f"y{rng.randrange(999)}"
        texts.append(" ".join(words))
    doc_id = ids(len(texts))
    rows = pl.DataFrame({"doc_id": doc_id, "text": pl.Series(texts, dtype=pl.String)})
    op = LshSeen(num_bands=5, rows_per_band=4, false_positive_rate=RARE)
    signed = run_map(Signatures(ngram=2, num_hashes=20), rows, Context(seed=0, work=Path()))
    order = sorted(range(len(texts)), key=lambda d: doc_id[d])
    kept: dict[int, set] = {}
    expected = {}
    for doc in order:
        raw = signed["signature"][doc]
        bands = set() if raw is None else {(b, raw[16 * b : 16 * b + 16]) for b in range(5)}
        common = bands & set().union(*kept.values())
        expected[doc] = len(common) if bands else None
        if not common:
            kept[doc] = bands
    assert 30 < len(kept) < 150
    for parts in (1, 4):
        found, notes = solved(op, LshKeys(ngram=2, num_bands=5, rows_per_band=4), rows, parts)
        assert [d for d, stays in enumerate(found["kept"]) if stays] == sorted(kept)
        assert found["seen_bands"].to_list() == [expected[d] for d in range(len(texts))]
        assert notes["bloom_filter"]["keys"] == sum(len(bands) for bands in kept.values())


def test_the_keys_of_bands_are_those_by_which_minhash_proposes_pairs():
    rows = pl.DataFrame({"doc_id": ids(3), "text": ["one two three", None, "four five six seven"]})
    ctx = Context(seed=0, work=Path())
    keys = run_map(LshKeys(ngram=2, num_bands=3, rows_per_band=2), rows, ctx)["band_keys"]
    signed = run_map(Signatures(ngram=2, num_hashes=6), rows, ctx)["signature"].drop_nulls()
    held = addresses(signed.to_arrow(), np.arange(2))
    want = minhash_kernels.band_keys(held.address, 3, 2)
    assert keys[1] is None
    assert [np.frombuffer(keys[at], np.uint64).tolist() for at in (0, 2)] == want.tolist()


RECIPE = """
stages:
  docs:  {{use: jsonl, files: "raw*.jsonl", id: "field:id", columns: {{id: string, q: float64, site: string}}}}
  near:  {{use: {use}, inputs: docs, keeper: q desc{more}}}
"""


@pytest.mark.parametrize(("use", "more", "columns"), [
    ("ngram_bloom", ", ngram: 3", ("kept", "seen_share")),
    ("ngram_bloom", ", ngram: 3, per: [site], capacity: 9, false_positive_rate: 0.2", ("kept", "seen_share")),
    ("lsh_bloom", ", ngram: 2, rows_per_band: 2", ("kept", "seen_bands")),
    ("repeated_ngrams", ", ngram: 3", ("text_hash", "repeated_spans", "repeated_share")),
])  # fmt: skip
def test_the_same_goes_for_any_files(tmp_path, use, more, columns):
    rng = random.Random(5)
    docs = []
    for n in range(90):
        lines = [" ".join(rng.choice("abcdefgh") for _ in range(rng.randrange(12))) for _ in range(3)]
        text = rng.choice(docs)["text"] if docs and n % 3 == 0 else "\n".join(lines)
        docs.append({"id": str(n), "text": text, "q": rng.choice([None, 1.0, 2.0]), "site": rng.choice(["a", "b"])})
    shown = []
    for files in (1, 4):
        for n in range(files):
            put_file(tmp_path / str(files) / f"raw{n}.jsonl", lines_of(docs[n::files]))
        ran = run(RECIPE.format(use=use, more=more), tmp_path / str(files), tmp_path / f"root{files}")
        ids_of = pl.DataFrame(ran.table("docs", "doc_id", "id"))
        shown.append(pl.DataFrame(ran.table("near", "doc_id", *columns)).join(ids_of, on="doc_id").sort("id"))
    assert shown[0].equals(shown[1])
    assert 0 < shown[0][columns[-1]].fill_null(0).gt(0).sum() < 90


def test_a_filter_that_is_too_small_and_texts_that_are_too_short_are_remarked_with_figures(tmp_path):
    put_file(tmp_path / "raw.jsonl", lines_of([{"id": str(n), "text": f"one two {n} three"} for n in range(60)]))
    said = []
    for use, more in (("ngram_bloom", ", ngram: 2, capacity: 5"), ("ngram_bloom", ""), ("lsh_bloom", ", capacity: 3"),
                      ("repeated_ngrams", "")):  # fmt: skip
        recipe = (
            RECIPE.format(use=use, more=more).replace(", keeper: q desc", "").replace(", q: float64, site: string", "")
        )
        ran = run(recipe, tmp_path, tmp_path / "root")
        said.append([text for stage in ran.runs for text in remarks_of(stage.node.operator, stage.manifest)])
    assert any("are in a filter for 5: a look-up is wrong with probability" in text for text in said[0])
    assert any("60 of 60 documents (100.0%) have too few words for an n-gram" in text for text in said[1])
    assert any("leave `capacity` out, and it is made for all 840" in text for text in said[2])
    assert any("60 of 60 pieces (100.0%) have too few words for an n-gram" in text for text in said[3])


@pytest.mark.parametrize(("make", "wrong"), [
    (NgramBloom, {"share": 1.0}), (NgramBloom, {"ngram": 0}), (NgramBloom, {"min_words": 14}),
    (NgramBloom, {"capacity": 0}), (RepeatedNgrams, {"false_positive_rate": 0.0}), (RepeatedNgrams, {"share": -0.1}),
    (LshBloom, {"num_bands": 0}), (LshBloom, {"keeper": "longest"}), (LshBloom, {"false_positive_rate": 0.6}),
    (RepeatedNgrams, {"keeper": "q,"}), (RepeatedNgrams, {"min_words": 0}),
])  # fmt: skip
def test_what_cannot_be_is_refused(make, wrong):
    with pytest.raises(ConfigError):
        make(**wrong).validate()


def test_lines_are_those_of_segments():
    """The test above names lines by `split`; that is what `segments` cuts where each holds a word."""
    found = segments(pa.array(["a b\nc d\ne"], pa.large_string()), by="lines")
    assert found.ends.tolist() == [4, 8, 9]
