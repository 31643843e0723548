"""Pairs of documents that a model compares, and strengths from who was preferred."""

import json

import numpy as np
import pytest
from endpoint_server import endpoint
from support import put_corpus, run

from winnow.core.errors import ConfigError, WinnowError
from winnow.scorers.bradley_terry import PRIOR, pairs_of, strengths

DOCS = [{"text": f"number {n:02d} " + "q" * n} for n in range(1, 41)]


def recipe(url, **more):
    fields = {
        "use": "llm_compare",
        "inputs": "docs",
        "endpoint": url,
        "known_as": "judge",
        "model": "j",
        "rubric": "pairs.txt",
        "documents": 24,
        "comparisons": 6,
        **more,
    }
    return (
        f"seed: 3\nstages:\n  docs: {{use: jsonl, files: raw/*.jsonl, id: content}}\n  better: {json.dumps(fields)}\n"
    )


@pytest.fixture
def corpus(tmp_path):
    put_corpus(tmp_path / "raw", DOCS, files=3)
    (tmp_path / "pairs.txt").write_text("PREFER one:\n[A]{{a}}[/A]\n[B]{{b}}[/B]")
    return tmp_path


def test_strengths_are_in_the_order_of_the_model_whatever_the_layout(corpus, tmp_path):
    with endpoint(tmp_path) as server:
        ran = run(recipe(server.url), corpus, tmp_path / "root")
        assert len(server.lines()) == 24 * 6
        again = run(recipe(server.url), corpus, tmp_path / "other", part_bytes=400)
        assert again.digests["better.score"] == ran.digests["better.score"]
        assert len({line["digest"] for line in server.lines()}) == 24 * 6
    held = {**ran.table("better", "score", "comparisons").to_pydict(), **ran.table("docs", "text").to_pydict()}
    known = [
        (text.count("q"), score) for text, score in zip(held["text"], held["score"], strict=True) if score is not None
    ]
    assert len(known) == 24
    assert np.corrcoef(np.array(sorted(known)).argsort(axis=0).T)[0, 1] > 0.9
    assert {c for c in held["comparisons"] if c is not None} == {6}
    assert abs(sum(score for _, score in known)) < 1e-6


def test_a_model_that_goes_by_place_is_remarked_and_tells_nothing(corpus, tmp_path):
    with endpoint(tmp_path, [{"kind": "text", "text": '{"better": "A"}'}]) as server:
        ran = run(recipe(server.url), corpus, tmp_path / "root")
    scores = [score for score in ran.table("better", "score")["score"].to_pylist() if score is not None]
    assert np.abs(scores).max() < 1e-9
    fit = next(r for r in ran.runs if r.node.name == "better.fit")
    assert any("the model goes by place" in told for told in fit.manifest.metrics["remarks"])


def test_answers_that_cannot_be_used_count_for_nothing_and_none_at_all_is_an_error(corpus, tmp_path):
    with endpoint(tmp_path, [{"kind": "text", "text": "both", "times": 20}]) as server:
        ran = run(recipe(server.url), corpus, tmp_path / "root")
        fit = next(r for r in ran.runs if r.node.name == "better.fit")
        assert 10 <= fit.manifest.named("artefact")["all"].extra["metrics"]["pairs_without_answer"] <= 20
    wrong = endpoint(tmp_path, [{"kind": "text", "text": '{"better": "C"}'}])
    with wrong as server, pytest.raises(WinnowError, match="none of 72 pairs has an answer"):
        run(recipe(server.url), corpus, tmp_path / "none")


def test_what_cannot_be_compared_is_refused(corpus, tmp_path):
    for field, value in (("documents", 2), ("comparisons", 1), ("max_chars", 9)):
        with pytest.raises(ConfigError, match=f"{field} is {value}"):
            run(recipe("http://127.0.0.1:1/v1", **{field: value}), corpus, tmp_path / "root")
    (corpus / "pairs.txt").write_text("{{a}}")
    with pytest.raises(ConfigError, match=r"\{\{b\}\} does not occur"):
        run(recipe("http://127.0.0.1:1/v1"), corpus, tmp_path / "root")


# -- the model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("documents", [3, 4, 5, 8, 9, 30, 101])
@pytest.mark.parametrize("each", [2, 3, 8, 200])
def test_every_document_is_in_so_many_pairs_each_once_and_all_are_connected(documents, each):
    draw = np.random.default_rng(documents).random(documents)
    pairs = pairs_of(documents, each, draw)
    assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == len(pairs)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    counts = np.bincount(pairs.ravel(), minlength=documents)
    assert len(set(counts.tolist())) == 1
    assert counts[0] == min(each + each % 2, 2 * max(1, (documents - 1) // 2))
    reached = {0}
    for _ in range(documents):
        reached |= {b for a, b in [*pairs.tolist(), *pairs[:, ::-1].tolist()] if a in reached}
    assert len(reached) == documents
    assert (pairs_of(documents, each, draw * 0.5) == pairs).all()


def test_strengths_are_where_the_likelihood_is_greatest():
    from scipy.optimize import minimize

    rng = np.random.default_rng(4)
    pairs = pairs_of(12, 6, rng.random(12))
    won = rng.integers(0, 3, len(pairs)) / 2

    def loss(logs):
        gap = logs[pairs[:, 0]] - logs[pairs[:, 1]]
        prior = PRIOR * (np.logaddexp(0, -logs) + np.logaddexp(0, logs)).sum()
        return (won * np.logaddexp(0, -gap) + (1 - won) * np.logaddexp(0, gap)).sum() + prior

    best = minimize(loss, np.zeros(12), method="BFGS", options={"gtol": 1e-9}).x
    assert np.abs(strengths(pairs, won, 12) - (best - best.mean())).max() < 1e-4


def test_strengths_that_made_the_answers_are_found_again():
    rng = np.random.default_rng(5)
    true = rng.normal(0, 1, 200)
    pairs = pairs_of(200, 60, rng.random(200))
    won = (rng.random(len(pairs)) < 1 / (1 + np.exp(true[pairs[:, 1]] - true[pairs[:, 0]]))).astype(float)
    assert np.corrcoef(strengths(pairs, won, 200), true)[0, 1] > 0.93
