"""The recipe `annotate_distil`, and the agreement of a score with grades."""

import json
import random

import numpy as np
import polars as pl
import pytest
from cli_runs import winnow_process
from endpoint_server import endpoint
from support import put_corpus

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.scorers.agreement import Agreement, auc_of, ranks
from winnow.testing.in_memory import MemorySource


def test_a_classifier_learns_what_a_model_grades_and_is_measured_on_what_it_has_not_seen(tmp_path):
    rng = random.Random(3)
    plain, taught = (
        ["garden", "river", "stone", "window", "market", "letter", "winter", "table"],
        ["leaf", "light", "cell", "water", "sugar", "carbon"],
    )
    docs = []
    for n in range(300):
        words = [rng.choice(plain) for _ in range(40)] + (
            [*rng.choices(taught, k=12), "photosynthesis"] if n % 3 == 0 else []
        )
        docs.append({"text": f"{n} " + " ".join(rng.sample(words, len(words)))})
    put_corpus(tmp_path / "docs", docs, files=2)
    (tmp_path / "rubric.txt").write_text("How much does this teach?\n<text>{{text}}</text>")
    with endpoint(tmp_path) as server:
        done = winnow_process(
            "run",
            "annotate_distil",
            "--set",
            f"endpoint={server.url}",
            "--set",
            "graded=200 docs",
            "--out",
            "root",
            "--json",
            cwd=tmp_path,
        )
        assert done.code == 0, done.err
        assert len(server.lines()) == 200
    told = json.loads(done.out.splitlines()[-1])["stages"]["told"]["metrics"]
    assert told["documents"] == 40
    assert told["auc"] > 0.95
    assert told["low"] <= told["auc"] <= told["high"] <= 1
    assert "AUC" in done.err


# -- figures ------------------------------------------------------------------------------------------------


def pairs_won(good, other):
    return np.mean([(g > o) + 0.5 * (g == o) for g in good for o in other])


@pytest.mark.parametrize("seed", range(20))
def test_the_area_is_the_share_of_pairs_won(seed):
    rng = np.random.default_rng(seed)
    good, other = (rng.integers(0, 6, size=rng.integers(2, 30)).astype(float) for _ in range(2))
    auc, low, high = auc_of(good, other)
    assert auc == pytest.approx(pairs_won(good, other), abs=1e-12)
    assert 0 <= low <= auc <= high <= 1
    assert auc_of(other, good)[0] == pytest.approx(1 - auc)


def test_the_interval_holds_the_true_area_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    true = 0.7602499389065233  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
    held = [
        low <= true <= high
        for low, high in (auc_of(rng.normal(1, 1, 60), rng.normal(0, 1, 80))[1:] for _ in range(1000))
    ]
    assert 0.925 < np.mean(held) < 0.975


def test_the_variance_is_delongs_by_brute_force():
    rng = np.random.default_rng(2)
    good, other = rng.integers(0, 5, 12).astype(float), rng.integers(0, 4, 9).astype(float)
    wins = np.array([[(g > o) + 0.5 * (g == o) for o in other] for g in good])
    variance = wins.mean(axis=1).var(ddof=1) / 12 + wins.mean(axis=0).var(ddof=1) / 9
    auc, low, _ = auc_of(good, other)
    assert (auc - low) / 1.959963984540054 == pytest.approx(np.sqrt(variance))
    assert ranks(np.array([3.0, 1.0, 3.0])).tolist() == [2.5, 1, 2.5]


def run(label, score, kept=None, **fields):
    ids = [bytes([n]) * 16 for n in range(len(label))]
    rows = {"doc_id": ids}
    refs = {
        "labels": MemorySource(rows=pl.DataFrame({**rows, "grade": label})),
        "scores": MemorySource(rows=pl.DataFrame({**rows, "score": score})),
    }
    if kept is not None:
        refs["on"] = MemorySource(rows=pl.DataFrame({**rows, "kept": kept}))
    op = Agreement(
        **{
            "scores": "s",
            "labels": "l",
            "label": "grade",
            "at_least": 3,
            "on": "o" if kept is not None else "",
            **fields,
        }
    )
    op.validate()
    notes = {}
    return op.run(Context(seed=7, work=None, refs=refs, notes=notes)), notes


def test_documents_without_a_grade_a_score_or_not_asked_about_do_not_count():
    found, notes = run([5, 4, None, 1, 0, 3], [0.9, None, 0.1, 0.2, 0.3, float("nan")])
    assert (found["documents"], found["good"], found["without_score"], found["auc"]) == (3, 1, 2, 1)
    assert found["agreement"].startswith("AUC 1.000")
    assert "only 1 documents" in notes["remarks"][0]
    found, _ = run([5, 4, 1, 1], [0.1, 0.9, 0.5, 0.4], kept=[True, False, True, None])
    assert (found["documents"], found["auc"]) == (2, 0)


def test_grades_of_one_side_alone_are_an_error():
    with pytest.raises(DataError, match="0 of 2 graded documents have grade 3 or more"):
        run([1, 2], [0.1, 0.2])
    with pytest.raises(ConfigError, match="at_least"):
        run([1, 4], [0.1, 0.2], at_least=float("inf"))
    assert run([1, 4], [0.5, 0.5])[0]["spearman"] == 0
