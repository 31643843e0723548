"""The benchmark's own arithmetic: truth against brute force, scores by hand, planted copies; peers if asked for."""

from __future__ import annotations

import json
import re
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    """The benchmark's modules, importable as their drivers import them."""
    before = list(sys.path)
    sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "peers")]
    import bench_peers
    import common
    import corpus
    import scoring
    import truth

    yield {"main": bench_peers, "common": common, "corpus": corpus, "scoring": scoring, "truth": truth}
    sys.path[:] = before
    for name in ("bench_peers", "common", "corpus", "scoring", "truth"):
        del sys.modules[name]


def plain_sets(texts, n=5):
    out = []
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        if len(words) < n:
            out.append({tuple(words)} if words else set())
        else:
            out.append({tuple(words[i : i + n]) for i in range(len(words) - n + 1)})
    return out


def brute_force(texts, floor):
    sets = plain_sets(texts)
    found = {}
    for a, b in combinations(range(len(texts)), 2):
        both = len(sets[a] | sets[b])
        if both and len(sets[a] & sets[b]) / both >= floor:
            found[a, b] = len(sets[a] & sets[b]) / both
    return found


def noisy_copies(seed, count=90):
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(40)] + ["Größe", "a_b", "don't", "naïve", "日本語"]
    texts = ["", "one", "One!", "one two three four", "  ...  "]
    while len(texts) < count:
        if len(texts) > 10 and rng.random() < 0.6:
            old = texts[rng.integers(5, len(texts))].split(" ")
            share = rng.choice([0.0, 0.01, 0.05, 0.2])
            texts.append(" ".join(words[rng.integers(len(words))] if rng.random() < share else w for w in old))
        else:
            texts.append(" ".join(words[i] for i in rng.integers(len(words), size=rng.integers(1, 120))))
    return texts


@pytest.mark.parametrize("floor", [0.1, 0.4, 0.75, 1.0])
def test_truth_is_every_pair_that_brute_force_finds(bench, floor):
    texts = noisy_copies(3)
    offsets, grams = bench["truth"].shingles(texts)
    left, right, score = bench["truth"].similar_pairs(offsets, grams, floor)
    found = dict(zip(zip(left.tolist(), right.tolist(), strict=True), score.tolist(), strict=True))
    expected = brute_force(texts, floor)
    assert len(expected) > 15
    assert found == expected


def test_shingles_are_the_distinct_word_5_grams(bench):
    texts = noisy_copies(4)
    offsets, _ = bench["truth"].shingles(texts)
    assert np.diff(offsets).tolist() == [len(s) for s in plain_sets(texts)]
    assert [len(bench["common"].shingle_set(t)) for t in texts] == np.diff(offsets).tolist()


def test_truth_of_nothing_is_nothing(bench):
    for texts in ([], [""], ["", ""]):
        offsets, grams = bench["truth"].shingles(texts)
        assert len(bench["truth"].similar_pairs(offsets, grams, 0.5)[0]) == 0


def test_pairs_count_once_whatever_their_order(bench):
    truth = {("a", "b"): 0.9, ("a", "c"): 0.8, ("b", "c"): 0.5}
    score = bench["scoring"].score_pairs([("b", "a"), ("a", "b"), ("c", "b"), ("c", "c")], truth, 0.75)
    assert (score["reported"], score["right"], score["wanted"]) == (2, 1, 2)
    assert score["f1"] == pytest.approx(0.5)


def test_a_removal_needs_a_kept_document_that_is_near(bench):
    chain = {("a", "b"): 0.9, ("b", "c"): 0.9}  # a and c are far apart
    removals = bench["scoring"].score_removals
    assert removals(["a", "b", "c"], ["b", "c"], chain, 0.75)["precision"] == 0.5  # c's only neighbour is gone
    assert removals(["a", "b", "c"], ["b"], chain, 0.75)["f1"] == 1.0
    assert removals(["a", "b", "c"], ["a", "b"], chain, 0.75)["right"] == 1
    both = removals(["a", "b"], ["a", "b"], {("a", "b"): 1.0}, 0.75)
    assert (both["precision"], both["right"]) == (0.0, 0), "removing every member loses the text"


def test_which_member_is_kept_does_not_matter(bench):
    truth = {("a", "b"): 0.9, ("a", "c"): 0.9, ("b", "c"): 0.9}
    scores = [bench["scoring"].score_removals(list("abc"), set("abc") - {kept}, truth, 0.75) for kept in "abc"]
    assert scores[0] == scores[1] == scores[2]
    assert scores[0]["f1"] == 1.0


def test_what_is_left_behind_is_missed_once_per_superfluous_document(bench):
    truth = {("a", "b"): 0.9, ("a", "c"): 0.9, ("b", "c"): 0.9, ("d", "e"): 0.8, ("e", "f"): 0.6}
    score = bench["scoring"].score_removals(list("abcdef"), ["c"], truth, 0.75)
    assert (score["right"], score["missed"]) == (1, 2)
    assert score["recall"] == pytest.approx(1 / 3)


def test_what_one_more_pass_would_remove_keeps_nobody_else_out(bench):
    chain = {("d", "e"): 0.8, ("e", "f"): 0.8}  # e goes for d, then f has no near neighbour left
    assert bench["scoring"].score_removals(list("def"), [], chain, 0.75)["missed"] == 1


def test_an_unknown_removed_id_is_an_error(bench):
    with pytest.raises(ValueError, match="not in the input"):
        bench["scoring"].score_removals(["a"], ["x"], {}, 0.75)


@pytest.mark.parametrize("level", [0.5, 0.75, 0.9])
def test_planted_copies_have_the_stated_similarity_on_average(bench, level):
    corpus = bench["corpus"]
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(5000)]
    got = []
    for _ in range(20):
        text = " ".join(words[i] for i in rng.integers(len(words), size=1500))
        a, b = plain_sets([text, corpus.altered(text, corpus.replacement_share(level), words, rng)])
        got.append(len(a & b) / len(a | b))
    assert np.mean(got) == pytest.approx(level, abs=0.02)


def test_altering_keeps_all_that_is_between_words(bench):
    text = "a,b;\n  c(d) -- e"
    changed = bench["corpus"].altered(text, 1.0, ["zz"], np.random.default_rng(0))
    assert changed == "zz,zz;\n  zz(zz) -- zz"
    assert bench["corpus"].altered(text, 0.0, ["zz"], np.random.default_rng(0)) == text


def test_the_corpus_is_the_same_every_time_and_has_the_stated_size(bench, tmp_path):
    planted = bench["corpus"].build(1, tmp_path / "a.jsonl")
    assert bench["corpus"].build(1, tmp_path / "b.jsonl") == planted
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    names = {json.loads(line)["name"] for line in (tmp_path / "a.jsonl").open()}
    assert {p.copy for p in planted} | {p.original for p in planted} <= names
    assert 0.8e6 < (tmp_path / "a.jsonl").stat().st_size < 1.6e6


def test_a_corpus_that_the_machine_does_not_hold_is_refused(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(bench["corpus"], "pool_files", list)
    with pytest.raises(SystemExit, match="holds 0 MB"):
        bench["corpus"].build(1, tmp_path / "a.jsonl")


def test_a_peer_that_fails_has_a_row_that_says_why(bench):
    main = bench["main"]
    row = {"label": "x", "note": "", "error": "exit 1: a | b"}
    assert "not measured: exit 1: a / b" in main.dedup_line(row, 1.0)
    assert "not measured: exit 1: a / b" in main.filter_lines(row)[0]
    assert main.dedup_line(row, 1.0).count("|") == 10
    assert main.filter_lines(row)[0].count("|") == 8


def test_cpu_and_memory_include_children_of_the_measured_process(bench, tmp_path):
    busy = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    child = f"x = bytearray(80 << 20)\n{busy}"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    found = bench["main"].timed([sys.executable, "-c", code], core=None, log=tmp_path / "log", limit_s=60)
    assert found["code"] == 0
    assert found["cpu_s"] >= 0.4
    assert 80 < found["peak_mb"] < 400


def test_a_process_past_its_limit_is_ended(bench, tmp_path):
    code = "import time; time.sleep(60)"
    found = bench["main"].timed([sys.executable, "-c", code], core=None, log=tmp_path / "log", limit_s=0.2)
    assert found["code"] == -9


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("peer", ["rensa", "datasketch", "datatrove", "text-dedup", "data-juicer"])
def test_peers_that_are_installed_run(bench, peer, tmp_path):
    main = bench["main"]
    if not (main.ENVS / peer / ".requirements").is_file():
        pytest.skip(f"no environment for {peer}: benchmarks/bench_peers.py makes it")
    out = tmp_path / "report.json"
    sizes = ["--megabytes", "1", "--filters-mb", "0.5", "--work", str(tmp_path)]
    main.main([*sizes, "--tasks", "dedup", "--only", peer, "--json", str(out)])
    rows = json.loads(out.read_text())["dedup"]
    assert [row.get("error") for row in rows] == [None] * len(rows)
    assert all(0 <= row["removals"]["0.75"]["f1"] <= 1 for row in rows)
