"""The whole comparison on simulated runs of arms that differ in nothing: how many families have a false verdict.

Scores are drawn as the noise model says (`variance_components`), half of the families with selections that are drawn anew
at every seed, half with one selection each; everything from there on is the comparison's own code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_ablation_compare import run_of
from test_trainers import Source

from winnow.core.operators import Context
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.compare_arms import Compare

ARMS = tuple(f"arm{i}" for i in range(12))
SEEDS = 4
TRAINING, DRAW = 0.02, 0.04  # sd of one run, bits per byte


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> Path:
    """Arrays per item, the same for all runs: the scores below are the target's."""
    path = tmp_path_factory.mktemp("null") / "items.npz"
    np.savez(path, **{"t.bytes": np.full(2, 100), "t.nats": np.full(2, 100.0)})
    return path


def scored(value: float, items: Path) -> Source:
    row = {"kind": "documents", "measures": {"bits_per_byte": value}, "facts": {"items": 2, "bytes": 200}}
    return Source(files={"documents.npz": items}, metrics={"targets": {"t": row}})


def family(rng: np.random.Generator, items: Path, *, fixed: bool, draw: float = DRAW):
    """The metrics of one baseline, drawn, and twelve arms like it: drawn too, or one draw each for all seeds."""
    labels = (BASELINE, *ARMS)
    kept = {label: fixed and label != BASELINE for label in labels}
    drawn = {label: rng.normal(0, draw, 1 if kept[label] else SEEDS) for label in labels}
    scores = {f"{label}/{s}/t": scored(2.5 + drawn[label][0 if kept[label] else s] + rng.normal(0, TRAINING), items)
              for label in labels for s in range(SEEDS)}  # fmt: skip
    keys = [f"{label}/{s}" for label in labels for s in range(SEEDS)]
    own = np.array([label if kept[label] else f"{label}/{s}" for label in labels for s in range(SEEDS)])
    checks = {"arms": Source(metrics={
        "targets": {}, "digests": dict(zip(keys, own.tolist(), strict=True)),
        "common": {"keys": keys, "shares": (own[:, None] == own[None, :]).astype(float).tolist()},
    })}  # fmt: skip
    operator = Compare(
        arms=ARMS, controls=(), fixed=ARMS if fixed else (), baseline_fixed=False, targets=("t",), seeds=SEEDS
    )
    refs = {"runs": {key: run_of() for key in keys}, "scores": scores, "checks": checks}
    return operator.run(Context(seed=0, work=items.parent, refs=refs))["arms"]


def answers(found, question):
    return [arm["effects"]["t"][question] for arm in found.values()]


def census(items, *, families):
    """Answers to both questions: {(fixed, question): list of families}."""
    rng = np.random.default_rng(20)
    out = {}
    for fixed in (False, True):
        found = [family(rng, items, fixed=fixed) for _ in range(families)]
        for question in ("method", "selection"):
            out[fixed, question] = [answers(arms, question) for arms in found]
    return out


def off_zero(families):
    return np.mean([row["p"] < 0.05 for rows in families for row in rows])


def false_families(families):
    return np.mean([any(row["verdict"] != "cannot tell" for row in rows) for rows in families])


def test_of_arms_that_differ_in_nothing_few_are_told_apart(items):
    found = census(items, families=12)
    assert false_families(found[False, "method"]) <= 1 / 12
    assert false_families(found[True, "method"]) <= 1 / 12
    assert off_zero(found[False, "method"]) < 0.09
    assert off_zero(found[True, "method"]) < 0.09
    assert off_zero(found[True, "selection"]) > 0.15  # a selection is no method: this is what reading it so would cost
    assert all(row["p"] is None and row["why"] for rows in found[False, "selection"] for row in rows)


@pytest.mark.slow
def test_at_most_one_family_in_twenty_has_a_false_verdict_over_thousands_of_comparisons(items):
    """Rates of an exact rule lie on both sides of its level: the bound is 5 % and 1.65 standard errors of 200 families."""
    found = census(items, families=200)
    assert sum(len(rows) for fixed in (False, True) for rows in found[fixed, "method"]) == 4800
    assert false_families(found[False, "method"]) <= 0.05 + 1.65 * np.sqrt(0.05 * 0.95 / 200)
    assert false_families(found[True, "method"]) <= 0.05
    assert 0.03 < off_zero(found[False, "method"]) < 0.07
    assert off_zero(found[True, "method"]) < 0.06
    assert off_zero(found[True, "selection"]) > 0.2
