"""What a run says it made of each document, for every kind of arm, against a count of its batches by hand."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.support_mixtures import labels, mixing
from tests.support_policies import END, RECIPE, SHAPE, documents, run_of, varied
from winnow.trainers.data import pack
from winnow.trainers.data.numbering import account_of, numbering
from winnow.trainers.data.phases import Phased, Rates
from winnow.trainers.data.sequences import Interleaved
from winnow.trainers.model import loop
from winnow.trainers.model.usage import TOKENS, WEIGHT, usage_of
from winnow.trainers.online.mixtures.temperature import Temperature
from winnow.trainers.online.targets.conditional import Conditional, Unlearned
from winnow.trainers.online.targets.ul2 import Ul2
from winnow.trainers.online.weights.lin_upper import LinUpper

pytest.importorskip("torch")
pytestmark = pytest.mark.train


def packed(made: pack.Documents, tokens: int, *, batch: int = 4, **more: Any) -> pack.PackedBatches:
    return pack.batches_of(made, context=SHAPE.context, batch=batch, tokens=tokens, end=END, seed=3, **more)


def two() -> tuple[pack.Documents, pack.Documents]:
    """Two selections that have twelve documents in common."""
    whole = documents([*range(3, 33), 40, 60])
    frame = pl.DataFrame({"doc_id": whole.doc_id, "tokens": [whole.tokens[a:b].tolist() for a, b in zip(
        whole.offsets[:-1], whole.offsets[1:], strict=True)]}, schema_overrides={"tokens": pl.List(pl.UInt16)})  # fmt: skip
    first, second = frame[:22], frame[10:]
    return pack.documents_of(first.select("doc_id"), first), pack.documents_of(second.select("doc_id"), second)


def weighted(values: list[float]) -> pack.Documents:
    made = documents([5, 9, 30, 12, 7, 3])
    return dataclasses.replace(made, weights=np.array(values))


def by_hand(sources: list[tuple[pack.PackedBatches, int]]) -> Counter[bytes]:
    """Tokens of each document in the first `steps` steps of every source, found by what the source calls it."""
    out: Counter[bytes] = Counter()
    for source, steps in sources:
        for step in range(steps):
            rows = source.batch(step)
            out.update(source.data.doc_id[int(d)] for d in rows.documents[rows.weights > 0])
    return out


def used(data: Any) -> dict[bytes, float]:
    account = account_of(data)
    assert account is not None
    found = usage_of(data, len(account.doc_id)).columns()
    assert found[TOKENS].sum() == data.num_tokens, "every predicted token is some document's"
    assert (np.isnan(found[WEIGHT]) == (found[TOKENS] == 0)).all()
    return {doc: n for doc, n in zip(account.doc_id, found[TOKENS].tolist(), strict=True) if n}


def test_phases_and_replay_count_a_document_of_two_sources_once():
    one, other = two()
    rates = (Rates(), Rates())
    sources = (packed(one, 4 * 24 * 3), packed(other, 900))
    phased = Phased(sources=sources, rates=rates, numbering=numbering([s.account for s in sources]))
    assert used(phased) == by_hand([(s, s.num_steps) for s in sources])
    rows = (packed(one, 700, batch=1), packed(other, 200, batch=1))
    spread = Interleaved(sources=rows, batch_rows=4, numbering=numbering([s.account for s in rows]))
    assert used(spread) == by_hand([(s, s.num_steps) for s in rows])
    account = account_of(phased)
    assert account is not None
    assert account.doc_id.is_sorted()
    assert len(account.doc_id) == 32
    lengths = {d: int(n) for d, n in zip(account.doc_id, account.targets, strict=True)}
    for made in (one, other):
        assert [lengths[d] for d in made.doc_id] == (np.diff(made.offsets) + 1).tolist()


def test_a_numbering_changes_nothing_but_the_numbers_of_documents():
    one, other = two()
    sources = (packed(one, 288), packed(other, 300))
    plain = Phased(sources=sources, rates=(Rates(), Rates()))
    numbered = dataclasses.replace(plain, numbering=numbering([s.account for s in sources]))
    assert plain.digest == numbered.digest
    assert account_of(plain) is None, "without one nobody can say whose a number is"
    for step in (0, plain.num_steps - 1):
        a, b = plain.batch(step, rank=1, world=2), numbered.batch(step, rank=1, world=2)
        for name in ("ids", "targets", "segments", "weights", "places"):
            assert (getattr(a, name) == getattr(b, name)).all()
        assert ((a.documents < 0) == (b.documents < 0)).all()


@pytest.mark.parametrize("weighting", ["loss", "repeat"])
def test_documents_that_are_left_out_or_repeated(weighting):
    made = weighted([0.0, 1.0, 2.0, 1.0, 3.0, 0.0])
    lengths = np.diff(made.offsets) + 1
    data = packed(made, 68 if weighting == "loss" else int(made.weights @ lengths), weighting=weighting)
    tokens = used(data)
    assert made.doc_id[0] not in tokens
    assert made.doc_id[5] not in tokens
    if weighting == "repeat":
        assert (tokens[made.doc_id[4]], tokens[made.doc_id[3]]) == (3 * lengths[4], lengths[3])
    else:
        found = usage_of(data, 6).columns()[WEIGHT]
        assert found[4] == pytest.approx(3 * found[1])


def test_controls_that_are_not_learned_are_no_part_of_a_pass():
    made = documents([6, 10, 24])
    fed = pack.Documents(doc_id=made.doc_id, tokens=np.insert(np.minimum(made.tokens, 50), made.offsets[:-1], 57),
                         offsets=made.offsets + np.arange(4))  # fmt: skip
    data = Unlearned(data=packed(fed, 43 + 3), first=57, last=58)
    account = account_of(data)
    assert account is not None
    assert sorted(account.targets.tolist()) == sorted((np.diff(made.offsets) + 1).tolist())
    found = usage_of(data, 3).columns()[TOKENS]
    assert (found == account.targets).all(), "one pass, without the controls"
    assert Conditional(score="x", learn_controls=True).rewrite(data.data, told_of_controls(data.data)) is data.data


def told_of_controls(data: Any) -> Any:
    return run_of(Conditional(score="x"), data).told


def test_targets_of_a_puzzle_are_those_of_the_documents_they_came_from():
    made = documents([5, 6, 7, 4, 9, 8, 11, 3])
    made = dataclasses.replace(made, tokens=np.arange(len(made.tokens), dtype=np.uint16) % 40)
    data = packed(made, 183)
    policy = Ul2(sentinels=8, modes=("X",))
    puzzles = policy.rewrite(data, run_of(policy, data).told)
    seen = 0
    for step in range(puzzles.num_steps):
        whole, rows = data.batch(step), puzzles.batch(step)
        for at in range(len(rows.ids)):
            owner = {(t, d) for t, d in zip(whole.targets[at], whole.documents[at], strict=True)}
            puzzle = rows.weights[at] > 0
            for target, document in zip(rows.targets[at][puzzle], rows.documents[at][puzzle], strict=True):
                if target < 40:
                    assert (target, document) in owner
                    seen += 1
    assert seen > 10
    assert len(np.unique(rows.documents)) > 1


def test_a_mixture_counts_what_it_drew():
    data, run = mixing(Temperature(per=("kind",), temperature=3.0), varied(count=40, tokens=1200),
                       columns={"per": labels(40)})  # fmt: skip
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    assert run.record is not None
    tokens = run.record.columns[TOKENS]
    assert tokens.sum() == 1200
    domains = run.record.figures["domains"]
    for k, name in enumerate("abc"):
        assert tokens[k::3].sum() == domains[name]["tokens"]
    assert (run.record.columns[WEIGHT][tokens > 0] == 1.0).all()


def test_a_policy_weighs_documents_of_two_phases_under_one_number():
    one, other = two()
    sources = (packed(one, 288), packed(other, 300))
    data = Phased(sources=sources, rates=(Rates(), Rates()), numbering=numbering([s.account for s in sources]))
    run = run_of(LinUpper(r=0.4), data)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    assert run.record is not None
    found = run.record.columns
    plain = usage_of(data, 32).columns()
    assert (found[TOKENS] == plain[TOKENS]).all()
    assert np.nansum(found[WEIGHT] * found[TOKENS]) == pytest.approx(588, rel=1e-6), "weights keep the steps' sums"
    assert np.nanstd(found[WEIGHT]) > 0.01
