"""Pieces solved apart give what one task over all rows gives: random graphs, chains, one giant piece; any cut, any kill."""

import itertools
import random

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import own_operators, put_corpus, run

from winnow.core.errors import DataError
from winnow.core.numerics.components import components, named_components
from winnow.core.operators import Context
from winnow.dags.recipe.registry import SUB_STAGES
from winnow.pipeline.dedup.minhash_clusters import Clusters
from winnow.testing.in_memory import MemoryRows, MemorySource, run_linked

WORDS = [f"{a}{b}{c}" for a, b, c in itertools.product("bdfgklmnprst", "aeiou", "bdgklmnst")]


@st.composite
def graphs(draw):
    """(rows, pairs as row numbers): sparse, dense, chains, stars and one giant piece."""
    number = draw(st.integers(1, 40))
    row = st.integers(0, number - 1)
    kind = draw(st.sampled_from(["sparse", "dense", "chain", "star"]))
    if kind == "chain":
        pairs = [(i, i + 1) for i in range(number - 1)]
    elif kind == "star":
        pairs = [(0, i) for i in range(1, number)]
    else:
        pairs = draw(st.lists(st.tuples(row, row), max_size=number // 2 if kind == "sparse" else 3 * number))
    pairs = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    sets = draw(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True), min_size=number,
                         max_size=number))  # fmt: skip
    return [sorted(s) for s in sets], pairs


def frames(sets):
    ids = [i.to_bytes(16, "big") for i in random.Random(len(sets)).sample(range(2**62), len(sets))]
    return pl.DataFrame({
        "doc_id": pl.Series(sorted(ids), dtype=pl.Binary),
        "num_shingles": pl.Series(list(map(len, sets)), dtype=pl.Int64),
        "shingles": pl.Series([np.array(s, dtype="<u4").tobytes() for s in sets], dtype=pl.Binary),
    })  # fmt: skip


def at_once(op, rows, pairs):
    """What one task over all rows answers."""
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    located = rows.with_columns(_part=pl.lit(0, pl.UInt32)).with_row_index("_row")
    return op.solve(located, left, right, Context(seed=0, work=None, access=MemoryRows(parts=[rows]), notes={}))


@settings(max_examples=150, deadline=None)
@given(graph=graphs(), linkage=st.sampled_from(["leader", "components"]), keeper=st.sampled_from(["longest", "smallest_id"]),
       contained=st.sampled_from([None, 0.6]), threshold=st.sampled_from([0.3, 0.7]), parts=st.integers(1, 4))  # fmt: skip
def test_pieces_apart_give_what_all_rows_at_once_give(graph, linkage, keeper, contained, threshold, parts):
    sets, pairs = graph
    rows = frames(sets)
    op = Clusters(linkage=linkage, keeper=keeper, contained=contained if linkage == "leader" else None,
                  threshold=threshold, pairs="pairs")  # fmt: skip
    edges = pl.DataFrame({e: rows["doc_id"].gather([p[n] for p in pairs]) for n, e in enumerate("ab")})
    cuts = [rows.height * at // parts for at in range(parts + 1)]
    context = Context(seed=0, work=None, refs={"pairs": MemorySource(rows=edges)})
    found = run_linked(op, [rows[a:b] for a, b in itertools.pairwise(cuts)], context)
    assert pl.concat(found).equals(at_once(op, rows, pairs))


@settings(max_examples=150, deadline=None)
@given(graph=graphs(), chunk=st.integers(1, 9), salt=st.integers(1, 2**63))
def test_components_of_named_rows_are_those_of_row_numbers(graph, chunk, salt):
    sets, pairs = graph
    names = np.array(random.Random(salt).sample(range(2**62), len(sets)), dtype=np.uint64)
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    found, root = named_components(
        lambda: ((names[left[a : a + chunk]], names[right[a : a + chunk]]) for a in range(0, len(left), chunk))
    )
    label = dict(zip(found.tolist(), found[root].tolist(), strict=True))
    wanted = components(len(sets), left, right)
    assert label.keys() == {int(names[i]) for i in (*left, *right)}
    for one, two in itertools.combinations(sorted({*left.tolist(), *right.tolist()}), 2):
        assert (label[int(names[one])] == label[int(names[two])]) == (wanted[one] == wanted[two])
    assert all(label[name] <= name and label[label[name]] == label[name] for name in label)


def copied(number, seed):
    """Documents in families of 1 to 12 near-copies, and one chain of 60 in which only neighbours resemble each other."""
    rng = random.Random(seed)
    out = []
    while len(out) < number:
        words = [rng.choice(WORDS) for _ in range(80)]
        for _ in range(rng.choice([1, 1, 1, 2, 3, 12])):
            out.append(" ".join(w if rng.random() > 0.01 else rng.choice(WORDS) for w in words))
    words = [rng.choice(WORDS) for _ in range(80)]
    for _ in range(60):
        words = [*words[4:], *(rng.choice(WORDS) for _ in range(4))]
        out.append(" ".join(words))
    rng.shuffle(out)
    return out


RECIPE = """
seed: 3
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl"}
  few:    {use: filter, inputs: docs, keep: {some: "text NOT LIKE 'b%'"}}
  unique: {use: minhash, inputs: docs, threshold: 0.6, linkage: LINKAGE}
"""


@pytest.mark.parametrize("linkage", ["leader", "components"])
def test_a_run_by_pieces_is_one_task_over_all_rows_for_any_cut(tmp_path, linkage):
    put_corpus(tmp_path / "raw", copied(300, 5), 3)
    recipe = RECIPE.replace("LINKAGE", linkage)
    layouts = [{"part_bytes": 10**6, "buckets": 1}, {"part_bytes": 15_000, "buckets": 7},
               {"part_bytes": 9_000, "buckets": 5, "pieces": 1}]  # fmt: skip
    ran = [run(recipe, tmp_path, tmp_path / f"out{n}", **layout) for n, layout in enumerate(layouts)]
    assert len({r.digests["unique.clusters"] for r in ran}) == 1
    assert len({str(sorted(r.metrics["unique.clusters"].items())) for r in ran}) == 1
    counts = ran[0].of("unique.clusters").manifest.counts
    assert counts["masked"] > 20
    assert 60 < counts["kept"] < counts["rows"] - counts["masked"] - 60
    assert int(max(ran[0].metrics["unique.clusters"]["cluster_sizes"], key=int)) >= (5 if linkage == "leader" else 40)


def test_places_of_another_cut_are_refused_and_not_read(tmp_path):
    """The table is as it was, and the rows are no longer where its places say: an error that says what to do."""
    put_corpus(tmp_path / "raw", copied(60, 7), 1)
    recipe = RECIPE.replace("LINKAGE", "leader")
    ran = run(recipe, tmp_path, tmp_path / "out", part_bytes=10**6, until="unique.pairs")
    manifest = ran.of("unique.pairs").manifest
    for receipt in manifest.receipts:
        path = tmp_path / "out" / receipt.files[1].key
        table = pa.ipc.open_file(path).read_all()
        if not table.num_rows:
            continue
        moved = pa.table(
            {n: pa.array(np.asarray(table.column(n)) ^ np.uint64(1), pa.uint64()) for n in table.column_names}
        )
        with pa.ipc.new_file(path, moved.schema) as writer:
            writer.write_table(moved)
    from winnow.dags.shapes import linked

    def unchecked(work, file):
        return pa.ipc.open_file(tmp_path / "out" / file[0]).read_all()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linked, "_read", unchecked)
        patch.setattr("winnow.dags.shapes.stage_run.check_unchanged", lambda *a, **k: None)
        with pytest.raises(DataError, match="cut anew"):
            run(recipe, tmp_path, tmp_path / "out", part_bytes=10**6)


def test_a_pair_of_a_row_that_the_stage_is_not_asked_about_is_an_error(tmp_path):
    put_corpus(tmp_path / "raw", copied(60, 7), 2)
    recipe = """
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl"}
  sig:    {use: minhash_signatures, inputs: docs}
  pairs:  {use: minhash_pairs, inputs: sig, threshold: 0.6}
  unique: {use: minhash_clusters, inputs: [docs, sig], pairs: pairs, threshold: 0.6, where: "text NOT LIKE 'b%'"}
"""
    found = {name: SUB_STAGES[name] for name in ("minhash_signatures", "minhash_pairs", "minhash_clusters")}
    with own_operators(**found), pytest.raises(DataError, match="which is not among the rows"):
        run(recipe, tmp_path, tmp_path / "out", part_bytes=15_000)
