"""Packing and the order of training: every token once per epoch, batch k a pure function of (seed, k)."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import random
import time

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import ConfigError, DataError, StoreError
from winnow.trainers.data import pack
from winnow.trainers.data.packing import Plan, make_plan
from winnow.trainers.data.packing_kernels import best_fit, by_row
from winnow.trainers.data.permutation import Permutation

END = 60_000
PACKINGS = ("best_fit", "concat")


def id_of(name: object) -> bytes:
    return hashlib.blake2b(str(name).encode(), digest_size=16).digest()


def selected(lengths, weights=None, dtype=pl.UInt16) -> pack.Documents:
    """Documents of these lengths; token ids count up through all of them, so each is known by its id."""
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(len(lengths))]}, schema={"doc_id": pl.Binary})
    starts = np.cumsum([0, *lengths])
    ids = [list(range(s, s + n)) for s, n in zip(starts, lengths, strict=False)]
    tokens = rows.with_columns(pl.Series("tokens", ids, dtype=pl.List(dtype)))
    if weights is not None:
        rows = rows.with_columns(pl.Series("weight", weights, dtype=pl.Float64))
    return pack.documents_of(rows, tokens)


def text_of(documents: pack.Documents, number: int) -> list[int]:
    return documents.tokens[documents.offsets[number] : documents.offsets[number + 1]].tolist()


def batches(documents, *, context=16, batch=4, tokens=None, seed=0, **more) -> pack.PackedBatches:
    tokens = documents.num_tokens if tokens is None else tokens
    return pack.batches_of(documents, context=context, batch=batch, tokens=tokens, end=END, seed=seed, **more)


def fewest_rows(lengths: list[int], capacity: int) -> int:
    """The optimum, by a table over all subsets: (rows, fill of the last row) of each."""
    best = {0: (1, 0)}
    for subset in range(1, 1 << len(lengths)):
        options = []
        for i, n in enumerate(lengths):
            if subset >> i & 1:
                rows, used = best[subset & ~(1 << i)]
                options.append((rows, used + n) if used + n <= capacity else (rows + 1, n))
        best[subset] = min(options)
    return best[(1 << len(lengths)) - 1][0]


def plain_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """The rule in its slowest form; among equal rows the one touched last."""
    free: list[int] = []
    touched: list[int] = []
    out = []
    for time_, n in enumerate(lengths):
        fitting = [(free[r], -touched[r], r) for r in range(len(free)) if free[r] >= n]
        if fitting:
            row = min(fitting)[2]
        else:
            row = len(free)
            free.append(capacity)
            touched.append(0)
        free[row] -= n
        touched[row] = time_
        out.append(row)
    return out


def test_the_published_example_takes_two_rows():
    row_of, rows = best_fit(np.array([5, 3, 3, 2, 2, 1]), 8)
    assert rows == 2
    order, offsets = by_row(row_of, rows)
    packed = [np.array([5, 3, 3, 2, 2, 1])[order[a:b]].tolist() for a, b in itertools.pairwise(offsets)]
    assert packed == [[5, 3], [3, 2, 2, 1]]


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 70).flatmap(lambda c: st.tuples(st.just(c), st.lists(st.integers(1, c), min_size=1, max_size=40)))
)
def test_the_kernel_is_best_fit(case):
    capacity, lengths = case
    lengths = sorted(lengths, reverse=True)
    row_of, rows = best_fit(np.array(lengths), capacity)
    assert row_of.tolist() == plain_best_fit(lengths, capacity)
    assert rows == max(row_of) + 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=9))
def test_rows_stay_within_eleven_ninths_of_the_optimum(lengths):
    _, rows = best_fit(np.array(sorted(lengths, reverse=True)), 30)
    assert rows <= 11 / 9 * fewest_rows(lengths, 30) + 6 / 9


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=14), st.integers(1, 20), st.sampled_from(PACKINGS), st.integers(0, 3)
)  # fmt: skip
def test_an_epoch_predicts_every_token_and_every_end_once_after_what_comes_before_it(lengths, context, packing, seed):
    if not sum(lengths):
        lengths = [*lengths, 1]
    documents = selected(lengths)
    data = batches(documents, context=context, batch=3, seed=seed, packing=packing)
    assert data.plan.num_tokens == data.num_tokens == documents.num_tokens
    seen = {d: [] for d in range(len(lengths))}
    for step in range(data.num_steps):
        b = data.batch(step)
        for row, at in zip(*np.nonzero(b.weights), strict=True):
            seen[int(b.documents[row, at])].append((int(b.ids[row, at]), int(b.targets[row, at])))
        assert ((b.weights > 0) == (b.segments >= 0)).all()
        assert ((b.documents >= 0) == (b.segments >= 0)).all()
        assert (b.ids[b.segments < 0] == END).all()
    for number, pairs in seen.items():
        text = text_of(documents, number)
        assert sorted(pairs) == sorted(zip([END, *text], [*text, END], strict=True))


def test_pieces_are_whole_rows_and_a_rest_and_never_see_one_another():
    documents = selected([40, 3, 7])
    data = batches(documents, context=16, batch=8)
    b = data.batch(0)
    for row in range(4):
        for segment in range(int(b.segments[row].max()) + 1):
            where = b.segments[row] == segment
            text = [END, *text_of(documents, int(b.documents[row][where][0])), END]
            start = text.index(int(b.ids[row][where][0])) if b.ids[row][where][0] != END else 0
            assert start % 16 == 0, "cut at whole contexts"
            assert b.ids[row][where].tolist() == text[start : start + where.sum()]
            assert b.targets[row][where].tolist() == text[start + 1 : start + 1 + where.sum()]
            assert b.positions[row][where].tolist() == list(range(where.sum()))
    cut = data.plan.report()
    assert (cut["rows"], cut["documents"], cut["documents_cut"], cut["tokens"]) == (4, 3, 1, 53)
    assert cut["utilisation"] == pytest.approx(53 / 64)


def test_concat_is_one_stream_of_all_documents_without_fill_or_masks():
    documents = selected([30, 45, 25, 9])
    data = batches(documents, context=16, packing="concat", seed=5)
    plan = data.plan
    rows = [data.plan.document[a:b] for a, b in itertools.pairwise(plan.row_offsets)]
    order = [d for d, _ in itertools.groupby(np.concatenate(rows).tolist())]
    assert sorted(order) == [0, 1, 2, 3], "every document once, in one piece of the stream"
    assert plan.utilisation == pytest.approx(113 / 128)
    b = data.batch(0)
    assert set(np.unique(b.segments)) <= {-1, 0}
    orders = {tuple(batches(documents, packing="concat", seed=s).plan.document.tolist()) for s in range(5)}
    assert len(orders) > 1, "the stream's order is keyed by the seed"


def one_stream(data: pack.PackedBatches, steps, *, world: int = 1) -> str:
    """Digest of the batches of `steps`, whatever number of ranks they are dealt to."""
    digest = hashlib.sha256()
    for step in steps:
        parts = [data.batch(step, rank=r, world=world) for r in range(world)]
        for name in ("ids", "targets", "segments", "documents", "weights"):
            whole = np.stack([getattr(parts[i % world], name)[i // world] for i in range(data.batch_rows)])
            digest.update(np.ascontiguousarray(whole).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("packing", PACKINGS)
def test_killed_and_resumed_anywhere_at_any_world_size_the_stream_is_one(packing):
    documents = selected([(i * 37) % 90 for i in range(50)])
    make = lambda: batches(documents, batch=8, tokens=5000, seed=3, packing=packing)  # noqa: E731
    data = make()
    whole = one_stream(data, range(data.num_steps))
    draw = random.Random(1)
    for world in (1, 2, 4):
        kills = sorted(draw.sample(range(data.num_steps), 4))
        digest = hashlib.sha256()
        for start, stop in itertools.pairwise([0, *kills, data.num_steps]):
            fresh = make()  # nothing but the step is carried over
            assert fresh.digest == data.digest
            assert one_stream(fresh, range(start, stop), world=world) == one_stream(data, range(start, stop))
            digest.update(one_stream(fresh, range(start, stop), world=world).encode())
        assert one_stream(make(), range(data.num_steps), world=world) == whole
    assert one_stream(batches(documents, batch=8, tokens=5000, seed=4, packing=packing), range(data.num_steps)) != whole


def test_runs_of_other_lengths_agree_as_far_as_both_go():
    documents = selected([50] * 20)
    short, long = batches(documents, tokens=300), batches(documents, tokens=3000)
    assert one_stream(short, range(short.num_steps - 1)) == one_stream(long, range(short.num_steps - 1))


def test_neighbouring_rows_of_a_batch_come_from_different_places():
    data = batches(selected([1599]), context=8, batch=200, tokens=1600)
    first = data.batch(0).ids[:, 1]
    assert sorted(first.tolist()) == list(range(0, 1600, 8))
    assert (np.abs(np.diff(first)) <= 16).mean() < 0.1


def test_the_order_of_rows_in_the_selection_does_not_matter():
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(9)]}, schema={"doc_id": pl.Binary})
    tokens = rows.with_columns(tokens=pl.Series([[i] * 9 for i in range(9)], dtype=pl.List(pl.UInt16)))
    made = [batches(pack.documents_of(s, t)) for s, t in ((rows, tokens), (rows.reverse(), tokens.sort("doc_id")))]
    assert made[0].digest == made[1].digest


def test_every_epoch_has_every_row_once_in_an_order_of_its_own():
    documents = selected([15] * 64)  # one row each, always full
    data = batches(documents, batch=8, tokens=3 * documents.num_tokens)
    assert data.num_steps == 24
    epochs = [[d for s in range(8 * e, 8 * e + 8) for d in data.batch(s).documents[:, 0].tolist()] for e in range(3)]
    assert [sorted(e) for e in epochs] == [list(range(64))] * 3
    assert len({tuple(e) for e in epochs}) == 3


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 3000), st.integers(0, 9))
def test_the_keyed_permutation_is_one(count, seed):
    places = Permutation(count=count, seed=seed, salt="x")(np.arange(count))
    assert np.array_equal(np.sort(places), np.arange(count))
    some = np.array([0, count - 1, count // 2])
    assert np.array_equal(Permutation(count=count, seed=seed, salt="x")(some), places[some])


def test_the_permutation_has_the_mean_displacement_of_a_shuffle_and_no_pattern():
    n = 1 << 14
    places = Permutation(count=n - 5, seed=1, salt="x")(np.arange(n - 5))
    assert abs(np.abs(places - np.arange(n - 5)).mean() / n - 1 / 3) < 0.01
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.03


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=10), st.integers(1, 700), st.sampled_from(PACKINGS))
def test_a_budget_is_met_to_the_token(lengths, tokens, packing):
    documents = selected([*lengths, 2])
    data = batches(documents, context=8, batch=3, tokens=tokens, packing=packing)
    counts = [int((data.batch(s).weights > 0).sum()) for s in range(data.num_steps)]
    assert counts == [data.step_tokens(s) for s in range(data.num_steps)]
    assert sum(counts) == tokens == data.num_tokens
    assert min(counts) > 0
    assert data.epochs == pytest.approx(tokens / documents.num_tokens)
    with pytest.raises(ConfigError, match="is not in"):
        data.batch(data.num_steps)


def test_arms_of_very_different_documents_train_on_equally_many_tokens():
    arms = [selected([5] * 400), selected([2000]), selected([i % 100 for i in range(60)])]
    made = [batches(d, context=32, batch=4, tokens=10_000) for d in arms]
    assert {sum(d.step_tokens(s) for s in range(d.num_steps)) for d in made} == {10_000}


def test_weights_multiply_the_loss_with_mean_one_and_zero_leaves_a_document_out():
    documents = selected([10, 20, 30, 40], weights=[1.0, 0.0, 50.0, 2.0])
    data = batches(documents, tokens=11 + 31 + 41)
    found = {}
    for step in range(data.num_steps):
        b = data.batch(step)
        for d in np.unique(b.documents[b.documents >= 0]):
            found.setdefault(int(d), set()).update(b.weights[b.documents == d].tolist())
    numbers = {i: int(np.flatnonzero(documents.doc_id.to_numpy() == id_of(i))[0]) for i in range(4)}
    assert set(found) == {numbers[0], numbers[2], numbers[3]}
    assert all(len(v) == 1 for v in found.values())
    one, fifty, two = (found[numbers[i]].pop() for i in (0, 2, 3))
    assert fifty / one == pytest.approx(50)
    assert two / one == pytest.approx(2)
    assert one * 11 + fifty * 31 + two * 41 == pytest.approx(83)


def test_weights_may_be_repeats_and_the_rest_is_drawn_by_document():
    lengths, weights = [15] * 300, [0.0, 1.0, 50.0] + [2.5] * 297
    documents = selected(lengths, weights=weights)
    plan = pack.plan_of(documents, context=16, weighting="repeat")
    copies = np.bincount(plan.document, minlength=300)
    by_weight = {w: copies[documents.weights == w] for w in set(weights)}
    assert [int(by_weight[w].sum()) for w in (0.0, 1.0, 50.0)] == [0, 1, 50]
    assert set(by_weight[2.5]) == {2, 3}
    assert 110 < (by_weight[2.5] == 3).sum() < 190
    data = batches(documents, tokens=100, weighting="repeat")
    assert set(np.unique(data.batch(0).weights)) <= {0.0, 1.0}


@pytest.mark.parametrize("packing", PACKINGS)
def test_unique_tokens_and_documents_count_copies_once_and_leave_out_what_has_no_weight(packing):
    lengths = [40, 9, 3, 0]
    once = sum(lengths[:3]) + 3
    few, many = (batches(selected(lengths), tokens=n, packing=packing) for n in (20, 500))
    assert (few.unique_tokens, many.unique_tokens) == (20, once + 1)
    assert (few.unique_documents, many.unique_documents) == (4, 4)
    weighted = selected(lengths, weights=[3.0, 1.0, 2.0, 0.0])
    repeated = batches(weighted, tokens=500, packing=packing, weighting="repeat")
    assert (repeated.unique_tokens, repeated.unique_documents) == (once, 3)
    assert repeated.epochs == 500 / (3 * 41 + 10 + 2 * 4)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf"), None])
def test_what_is_no_weight_is_refused_with_its_document(bad):
    with pytest.raises(DataError, match="null, negative or infinite") as caught:
        selected([3, 4], weights=[1.0, bad])
    assert id_of(1).hex() in str(caught.value)
    with pytest.raises(DataError, match="all weights are 0"):
        selected([3, 4], weights=[0.0, 0.0])


def test_one_document_is_enough_and_empty_ones_are_their_end():
    single = batches(selected([100]), context=16, batch=2, tokens=101)
    assert sum(single.step_tokens(s) for s in range(single.num_steps)) == 101
    tiny = batches(selected([1, 0]), context=16, batch=2, tokens=3)
    b = tiny.batch(0)
    assert (b.weights > 0).sum() == 3
    assert (b.targets[b.weights > 0] == END).sum() == 2
    assert batches(selected([3]), context=4, batch=1, tokens=40).num_steps == 10


def test_ids_above_sixteen_bits_are_kept():
    documents = selected([70_000], dtype=pl.UInt32)
    assert documents.tokens.dtype == np.uint32
    data = batches(documents, context=1000, batch=100, tokens=70_001)
    assert data.batch(0).ids.max() == 69_999


def test_a_plan_is_stored_as_arrow_and_mapped(tmp_path):
    plan = make_plan(np.array([40, 3, 7, 0, 100]), context=16, source="abc")
    path = tmp_path / "plan.arrow"
    with path.open("wb") as sink:
        plan.write(sink)
    again = Plan.read(pa.memory_map(str(path)))
    assert again.digest == plan.digest
    assert (again.context, again.packing, again.source) == (16, "best_fit", "abc")
    pieces = pa.ipc.open_file(str(path)).read_all().column("pieces").to_pylist()
    assert len(pieces) == plan.num_rows
    assert sum(p["length"] for row in pieces for p in row) == 155
    assert plan.digest != make_plan(np.array([40, 3, 7, 0, 101]), context=16, source="abc").digest
    assert plan.digest != make_plan(np.array([40, 3, 7, 0, 100]), context=16, source="abd").digest
    with pytest.raises(StoreError, match="no packing plan"):
        Plan.read(pa.BufferReader(b"something else"))


def test_the_digest_of_batches_knows_every_part():
    documents = selected([30, 40, 50], weights=[1.0, 2.0, 3.0])
    base = batches(documents, tokens=100).digest
    others = [
        batches(documents, tokens=101), batches(documents, tokens=100, seed=1), batches(documents, tokens=100, batch=5),
        batches(documents, tokens=100, context=17), batches(documents, tokens=100, packing="concat"),
        batches(selected([30, 40, 50], weights=[1.0, 2.0, 4.0]), tokens=100),
        batches(selected([30, 40, 51], weights=[1.0, 2.0, 3.0]), tokens=100),
    ]  # fmt: skip
    assert len({base, *(o.digest for o in others)}) == 8
    assert batches(documents, tokens=100).digest == base
    data = batches(documents, tokens=100)
    assert dataclasses.replace(data, loss=data.loss * 2).digest != base


def test_what_cannot_be_is_refused_with_numbers():
    documents = selected([30])
    for wrong in ({"tokens": 0}, {"batch": 0}, {"context": 0}):
        with pytest.raises(ConfigError, match="is 0, and must be at least 1"):
            batches(documents, **wrong)
    with pytest.raises(ConfigError, match="rank 0 of 9 has no rows of a batch of 4"):
        batches(documents).batch(0, rank=0, world=9)


def test_a_million_documents_are_packed_in_seconds_over_99_percent_full():
    lengths = np.clip(np.random.default_rng(0).lognormal(6, 1.2, 1_000_000), 1, 1e6).astype(np.int64)
    make_plan(lengths[:100], context=2048)
    start = time.perf_counter()
    plan = make_plan(lengths, context=2048)
    assert time.perf_counter() - start < 10
    assert plan.num_tokens == lengths.sum() + len(lengths)
    assert plan.utilisation > 0.999


def test_the_plan_file_is_a_function_of_the_plan():
    def body() -> bytes:
        sink = io.BytesIO()
        make_plan(np.arange(200), context=64).write(sink)
        return sink.getvalue()

    assert body() == body()
