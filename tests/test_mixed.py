"""Mixtures of domains as training data: draws, cursors, caps, the budget, and the plain run as the limit."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data import pack
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.mixed import Mixed, drawn_by, mixed_of, occurrence

END = 60_000


def id_of(name: object) -> bytes:
    return hashlib.blake2b(str(name).encode(), digest_size=16).digest()


def documents_of(lengths, weights=None) -> pack.Documents:
    """Documents of these lengths, numbered by ascending id; token ids count up through all of them."""
    ids = sorted(id_of(i) for i in range(len(lengths)))
    rows = pl.DataFrame({"doc_id": ids}, schema={"doc_id": pl.Binary})
    starts = np.cumsum([0, *lengths])
    texts = [[t % 50_000 for t in range(s, s + n)] for s, n in zip(starts, lengths, strict=False)]
    tokens = rows.with_columns(pl.Series("tokens", texts, dtype=pl.List(pl.UInt16)))
    if weights is not None:
        rows = rows.with_columns(pl.Series("weight", weights, dtype=pl.Float64))
    return pack.documents_of(rows, tokens)


def lengths_of(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(1, 40, count).tolist()


def packed(documents, *, batch=4, context=16, tokens=None, seed=0, packing="best_fit") -> pack.PackedBatches:
    tokens = documents.num_tokens if tokens is None else tokens
    return pack.batches_of(
        documents, context=context, batch=batch, tokens=tokens, end=END, seed=seed, packing=packing
    )  # fmt: skip


def mixture(lengths, domain, names, *, max_repeats=4.0, **how) -> Mixed:
    return mixed_of(packed(documents_of(lengths), **how), np.asarray(domain), names, max_repeats=max_repeats)


def same(a: Batch, b: Batch) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Batch))


def moving(step: int, many: int) -> np.ndarray:
    """Shares that change at every step."""
    raw = 1 + np.sin(step / 3 + np.arange(many)) * 0.9
    return raw / raw.sum()


def hashes(data: Mixed, *, world: int = 1, until: int | None = None) -> list[str]:
    """Digest of every step's rows in their order, read by `world` ranks."""
    out = []
    for step in range(data.step, data.num_steps if until is None else until):
        data.take(step, moving(step, len(data.names)))
        parts = [data.batch(step, rank=r, world=world) for r in range(world)]
        digest = hashlib.blake2b(digest_size=8)
        for name in (f.name for f in dataclasses.fields(Batch)):
            rows = sum(len(part.ids) for part in parts)
            whole = np.empty((rows, *getattr(parts[0], name).shape[1:]), dtype=getattr(parts[0], name).dtype)
            for r, part in enumerate(parts):
                whole[r::world] = getattr(part, name)
            digest.update(whole.tobytes())
        out.append(digest.hexdigest())
    return out


@pytest.mark.parametrize("packing", ["best_fit", "concat"])
@pytest.mark.parametrize("epochs", [0.3, 1.0, 2.7, 6.0])
def test_one_domain_is_the_plain_run_to_the_bit(packing, epochs):
    lengths, weights = lengths_of(60), np.linspace(0.0, 2.0, 60)
    documents = documents_of(lengths, weights)
    plain = packed(documents, tokens=int(documents.num_tokens * epochs), seed=3, packing=packing)
    one = mixed_of(plain, np.zeros(60, dtype=np.int64), ["all"])
    assert one.sources[0].plan.digest == plain.plan.digest
    assert (one.num_steps, one.num_tokens, one.epochs) == (plain.num_steps, plain.num_tokens, plain.epochs)
    for step in range(plain.num_steps):
        one.take(step, np.ones(1))
        assert one.step_tokens(step) == plain.step_tokens(step)
        for rank in range(2):
            assert same(one.batch(step, rank=rank, world=2), plain.batch(step, rank=rank, world=2)), step


def test_stream_is_equal_at_1_2_and_4_ranks_and_after_kills_anywhere():
    lengths, domain = lengths_of(200), np.arange(200) % 3
    whole = hashes(mixture(lengths, domain, "abc"))
    for world in (2, 4):
        assert hashes(mixture(lengths, domain, "abc"), world=world) == whole
    rng = np.random.default_rng(7)
    for _ in range(5):
        cuts = sorted(rng.integers(1, len(whole), 2).tolist())
        got, state = [], None
        for cut in (*cuts, len(whole)):
            data = mixture(lengths, domain, "abc")  # a new process
            if state is not None:
                data.restore(json.loads(state))
            got += hashes(data, world=int(rng.choice([1, 2, 4])), until=cut)
            state = json.dumps(data.state())
        assert got == whole
        assert data.state() == mixture_after(lengths, domain).state()
        assert data.figures() == mixture_after(lengths, domain).figures()


def mixture_after(lengths, domain) -> Mixed:
    data = mixture(lengths, domain, "abc")
    hashes(data)
    return data


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), min_size=8, max_size=60), st.integers(1, 4),
    st.integers(4, 24), st.floats(0.2, 3.0), st.integers(0, 3),
)  # fmt: skip
def test_the_budget_is_exact_whatever_the_shares_and_no_step_is_empty(pairs, batch, context, epochs, seed):
    lengths, domain = [n for n, _ in pairs], np.array([d for _, d in pairs])
    present = np.unique(domain)
    number = np.searchsorted(present, domain)
    total = sum(lengths) + len(lengths)
    data = mixture(lengths, number, [f"d{k}" for k in present], batch=batch, context=context, seed=seed,
                   tokens=max(batch * context, int(total * epochs)), max_repeats=50)  # fmt: skip
    read, rng = 0, np.random.default_rng(seed)
    for step in range(data.num_steps):
        data.take(step, rng.dirichlet(np.ones(len(present)) * 0.3))
        rows = data.batch(step)
        counted = int((rows.weights > 0).sum())
        assert counted == data.step_tokens(step) > 0
        assert (number[rows.documents[rows.documents >= 0]] < len(present)).all()
        read += counted
    assert read == data.num_tokens == int(data.tokens.sum())


def test_each_domain_reads_every_document_once_per_pass_in_an_order_that_other_domains_do_not_change():
    lengths, domain = lengths_of(120), np.arange(120) % 2
    data = mixture(lengths, domain, ["a", "b"], tokens=4 * sum(lengths))
    alone = data.sources[0]
    seen = []
    for step in range(data.num_steps):
        data.take(step, np.array([0.8, 0.2]))
        rows = data.batch(step)
        for b in range(len(rows.ids)):
            here = np.unique(rows.documents[b][rows.documents[b] >= 0])
            if len(here) and domain[here[0]] == 0:
                assert (domain[here] == 0).all(), "a row is of one domain"
                seen.append(tuple(rows.ids[b]))
    first = alone.filled(alone.plan_rows(np.arange(alone.plan.num_rows)), np.full(alone.plan.num_rows, 16))
    assert seen[: alone.plan.num_rows] == [tuple(row) for row in first.ids]


def test_a_hundred_thousand_draws_are_as_the_shares_say():
    from scipy.stats import chisquare

    shares = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    data = mixture(
        [15] * 5000, np.arange(5000) % 5, "abcde", batch=500, context=16, tokens=16 * 100_000, max_repeats=90
    )
    for step in range(data.num_steps):
        data.take(step, shares)
    assert data.cursors.sum() == 100_000
    assert data.cursors[4] == 0
    assert chisquare(data.cursors[:4], shares[:4] * 100_000).pvalue > 1e-3
    domains = drawn_by(shares, np.linspace(1e-9, 1 - 1e-9, 1001))
    assert domains.max() == 3
    assert (np.diff(domains) >= 0).all()


def test_steps_keep_the_pace_of_the_plain_run():
    lengths = [15] * 300 + [9] * 300  # rows of 16: full, and 10 of 16 at best
    data = mixture(lengths, np.repeat([0, 1], 300), ["full", "loose"], batch=8)
    behind = 0
    for step in range(data.num_steps - 1):
        data.take(step, np.array([0.02, 0.98]) if step < 30 else np.array([0.98, 0.02]))
        behind = max(behind, abs(data.ahead))
    assert 0 < behind < 8 * 16
    assert max(np.abs(data.ahead), 0) < 8 * 16


def test_a_domain_that_runs_out_gives_its_share_to_the_others():
    lengths, domain = [15] * 110, np.repeat([0, 1, 2], [10, 50, 50])
    data = mixture(lengths, domain, ["small", "b", "c"], tokens=16 * 200, max_repeats=3)
    for step in range(data.num_steps):
        data.take(step, np.array([0.8, 0.1, 0.1]))
    told = data.figures()
    assert data.cursors[0] == 30
    assert told["domains"]["small"]["epochs"] == 3.0
    assert 50 < data.cursors[1] < 120
    assert 50 < data.cursors[2] < 120
    assert int(data.tokens.sum()) == 3200
    assert list(told["over_cap"]) == ["small"]
    assert told["over_cap"]["small"] > 0
    (remark,) = data.remarks()
    assert "'small' was read 3 times by step" in remark
    assert "`max_repeats` allows more" in remark


def test_shares_of_used_up_domains_alone_go_to_all_others():
    data = mixture([15] * 40, np.repeat([0, 1], [4, 36]), ["small", "large"], tokens=16 * 40, max_repeats=2)
    for step in range(data.num_steps):
        data.take(step, np.array([1.0, 0.0]))
    assert data.cursors.tolist() == [8, 32]


def test_a_budget_that_no_cap_allows_is_refused_with_its_figures():
    with pytest.raises(ConfigError, match=r"passes over all domains, and max_repeats is 4") as error:
        mixture([15] * 20, np.arange(20) % 2, ["a", "b"], tokens=16 * 100)
    assert error.value.where == "max_repeats"
    assert "5.00" in error.value.hint


def test_an_empty_domain_is_refused_with_those_that_there_are():
    with pytest.raises(DataError, match="no document of the selection is of the domain 'law'") as error:
        mixture([15] * 20, np.arange(20) % 2, ["code", "news", "law"])
    assert "'code', 'news'" in error.value.hint


def test_documents_of_no_domain_are_not_read_and_the_steps_stay_those_of_the_plain_run():
    domain = np.where(np.arange(90) % 3 == 2, -1, np.arange(90) % 3)
    data = mixture([15] * 90, domain, ["a", "b"])
    assert data.num_steps == data.pace.num_steps
    assert data.epochs == pytest.approx(1.5)
    for step in range(data.num_steps):
        data.take(step, np.ones(2))
        documents = data.batch(step).documents
        assert (domain[documents[documents >= 0]] >= 0).all()


def test_steps_are_taken_in_order_with_shares_that_are_shares():
    data = mixture([15] * 40, np.arange(40) % 2, ["a", "b"])
    with pytest.raises(ConfigError, match="step 1 is asked for, and step 0 of"):
        data.take(1, np.ones(2))
    with pytest.raises(ConfigError, match="step 0 is not the one that was taken last"):
        data.batch(0)
    with pytest.raises(ConfigError, match="step 0 was not taken"):
        data.step_tokens(0)
    for bad in ([1.0], [0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0]):
        with pytest.raises(ConfigError, match="no shares of 2 domains"):
            data.take(0, np.array(bad))
    data.take(0, np.array([3.0, 1.0]))
    with pytest.raises(ConfigError, match="rank 4 of 5"):
        data.batch(0, rank=4, world=5)
    with pytest.raises(DataError, match="of 3 domains, and there are 2"):
        data.restore({"cursors": [1, 2, 3]})
    data.take(1, None)
    assert data.step_tokens(0) > 0
    assert data.shares.tolist() == data.points[0][1] == data.points[1][1] == [0.75, 0.25]


def test_digest_is_of_documents_domains_names_seed_and_cap():
    lengths, domain = [15] * 40, np.arange(40) % 2
    own = mixture(lengths, domain, ["a", "b"]).digest
    assert mixture(lengths, domain, ["a", "b"]).digest == own
    others = [
        mixture(lengths, domain, ["a", "c"]), mixture(lengths, 1 - domain, ["a", "b"]),
        mixture(lengths, domain, ["a", "b"], seed=1), mixture(lengths, domain, ["a", "b"], max_repeats=5),
        mixture([*lengths[:-1], 16], domain, ["a", "b"]),
    ]  # fmt: skip
    assert len({own, *(other.digest for other in others)}) == 6


def test_the_record_of_shares_is_bounded():
    data = mixture([15] * 2000, np.arange(2000) % 2, ["a", "b"], batch=2)
    for step in range(data.num_steps):
        data.take(step, moving(step, 2))
    steps = [point["step"] for point in data.figures()["shares"]]
    assert data.num_steps == 1000
    assert len(steps) <= 65
    assert steps[0] == 0
    assert steps[-1] == 999


def test_probes_are_rows_of_their_domain_and_move_nothing():
    domain = np.arange(60) % 2
    data = mixture([15] * 60, domain, ["a", "b"])
    rows = data.probe(1, 7, 50)
    assert (domain[rows.documents] == 1).all()
    assert len(np.unique(rows.documents[:, 0])) > 15
    assert same(rows, data.probe(1, 7, 50))
    assert not same(rows, data.probe(1, 8, 50))
    assert data.cursors.sum() == 0


def test_occurrence_counts_equal_values_before():
    assert occurrence(np.array([2, 0, 2, 2, 0]), 3).tolist() == [0, 0, 1, 2, 1]
