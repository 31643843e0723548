"""Vectors on an integer grid and the neighbour graph over them: exact, and the same however they are computed."""

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import put_corpus, run, texts

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn
from winnow.core.operators import Context
from winnow.core.words.hashing import ngram_hashes
from winnow.pipeline.measure.knn_graph import KnnGraph
from winnow.pipeline.measure.ngram_vectors import NgramVectors
from winnow.testing.in_memory import run_map, run_whole

TEXTS = (
    "the miller ground the wheat and the baker baked the bread",
    "the miller ground the rye and the baker baked the bread",
    "import numpy as np\nfor i in range(10): print(np.sqrt(i))",
    "import numpy as np\nfor j in range(20): print(np.exp(j))",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit",
)


def ctx(tmp_path, **more):
    return Context(seed=7, work=tmp_path, **more)


def ids(count):
    return pl.Series([bytes([i // 256, i % 256]) + bytes(14) for i in range(count)], dtype=pl.Binary)


def rows_of(grid, missing=()):
    cells = [None if i in missing else row.astype("<i2").tobytes() for i, row in enumerate(grid)]
    return pl.DataFrame({"doc_id": ids(len(grid)), "vector": pl.Series(cells, dtype=pl.Binary)})


def directions(count, dim=64, *, clusters=20, noise=0.5, seed=0):
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(clusters, dim))
    reals = centres[draw.integers(clusters, size=count)] + noise * draw.normal(size=(count, dim))
    return knn.to_grid(pa.FixedSizeListArray.from_arrays(pa.array(reals.ravel()), dim))[0]


def brute_force(grid, k):
    """(ids, similarities) by 64-bit integers and a full sort by (similarity down, id up)."""
    products = np.minimum(grid.astype(np.int64) @ grid.astype(np.int64).T, knn.ONE)
    np.fill_diagonal(products, -(2**40))
    everyone = np.broadcast_to(np.arange(len(grid)), products.shape)
    order = np.lexsort((everyone, -products), axis=1)[:, : min(k, len(grid) - 1)]
    return order, np.take_along_axis(products, order, 1)


def vectors_of(texts, tmp_path, **fields):
    return run_map(NgramVectors(**fields), pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}), ctx(tmp_path))


def test_a_vector_is_the_signed_roots_of_hashed_words_and_pairs(tmp_path):
    cells = vectors_of(TEXTS, tmp_path, dim=64)["vector"]
    array = pa.array(TEXTS, pa.large_string())
    for row, cell in enumerate(cells):
        counts = np.zeros(64)
        for n in (1, 2):
            starts, hashes = ngram_hashes(array, n)
            for word in hashes[starts[row] : starts[row + 1]].tolist():
                counts[(word >> 1) % 64] += 1 if word & 1 else -1
        roots = np.sign(counts) * np.sqrt(np.abs(counts))
        want = np.rint(2048 * roots / np.linalg.norm(roots))
        assert np.abs(np.frombuffer(cell, "<i2") - want).max() <= 1  # the reference rounds once more
        assert abs(np.linalg.norm(np.frombuffer(cell, "<i2") / 2048) - 1) < 0.01


def test_similar_texts_have_similar_vectors(tmp_path):
    grid, _ = knn.to_grid(vectors_of(TEXTS, tmp_path)["vector"].to_arrow())
    cosine = (grid.astype(np.int64) @ grid.astype(np.int64).T) / knn.ONE
    assert cosine[0, 1] > 0.7
    assert cosine[2, 3] > 0.4
    assert np.abs(cosine[:2, 2:]).max() < 0.25


def test_texts_without_a_word_have_no_vector(tmp_path):
    cells = vectors_of([None, "", " .,; ", "word"], tmp_path)["vector"]
    assert cells.is_null().to_list() == [True, True, True, False]
    assert cells.dtype == pl.Binary
    assert len(cells[3]) == 1024


@pytest.mark.parametrize("dim", [1, 512, knn.MAX_DIM])
def test_float_products_of_the_longest_vectors_are_exact_integers(dim):
    draw = np.random.default_rng(dim)
    even = np.full((3, dim), 2048 / np.sqrt(dim))
    spiky = np.zeros((3, dim))
    spiky[:, 0] = 2048
    mixed = draw.normal(size=(40, dim))
    mixed *= 2048 / np.linalg.norm(mixed, axis=1, keepdims=True)
    grid = np.ceil(np.concatenate([even, spiky, mixed])).astype(np.int16)  # as long as rounding can make them
    limit = (knn.UNIT + np.sqrt(dim)) ** 2
    assert (knn.UNIT + np.sqrt(knn.MAX_DIM) / 2) ** 2 < 2**24
    products = grid.astype(np.float32) @ grid.astype(np.float32).T
    assert np.array_equal(products.astype(np.int64), grid.astype(np.int64) @ grid.astype(np.int64).T)
    assert products.max() <= limit


@pytest.mark.parametrize(("count", "k"), [(300, 8), (1500, 16), (1, 3), (5, 9), (0, 2)])
def test_exact_neighbours_are_those_of_brute_force(count, k):
    grid = directions(max(count, 1))[:count]
    grid[count // 2 :] = grid[: count - count // 2]  # every row has a copy: ties everywhere
    found = knn.exact(grid, k)
    want, similarities = brute_force(grid, k)
    assert np.array_equal(found.ids[:, : want.shape[1]], want)
    assert np.array_equal(found.similarities[:, : want.shape[1]], similarities)
    assert (found.ids[:, want.shape[1] :] == knn.EMPTY).all()


def test_neighbours_do_not_depend_on_the_size_of_blocks(monkeypatch):
    grid = directions(700)
    want = knn.exact(grid, 10)
    near = knn.nearest(grid, grid[:9], 3)
    for block in (33, 256):
        monkeypatch.setattr(knn, "BLOCK", block)
        found = knn.exact(grid, 10)
        assert np.array_equal(found.ids, want.ids)
        assert np.array_equal(found.similarities, want.similarities)
        assert np.array_equal(knn.nearest(grid, grid[:9], 3), near)


_PROGRAM = """
import sys; import numpy as np; from winnow.core.numerics import knn
grid = np.load(sys.argv[1]); order = np.random.default_rng(1).permutation(len(grid))
a, b = knn.exact(knn.centred(grid), 8), knn.pruned(grid, 8, order=order, num_lists=20, num_probes=4)
np.savez(sys.argv[2], a.ids, a.similarities, b.ids, b.similarities)
"""


def test_neighbours_do_not_depend_on_the_number_of_threads_or_the_processor(tmp_path):
    np.save(tmp_path / "grid.npy", directions(2500, 256))
    answers = []
    for threads, core in (("1", "Haswell"), ("2", "")):
        environ = os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
        environ |= {"OPENBLAS_CORETYPE": core} if core else {}
        out = tmp_path / f"{threads}.npz"
        command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "grid.npy"), str(out)]
        subprocess.run(command, env=environ, check=True)
        answers.append(dict(np.load(out)))
    for name, value in answers[0].items():
        assert np.array_equal(value, answers[1][name]), name


def test_probing_every_list_gives_the_exact_neighbours():
    corners = np.random.default_rng(3).integers(-1, 2, size=(900, 6)) + np.eye(6)[np.arange(900) % 6] * 4
    grid, _ = knn.to_grid(pa.FixedSizeListArray.from_arrays(pa.array(corners.ravel().astype(float)), 6))
    # few different similarities: at the end of a list the smaller number wins, in whatever order they are met
    order = np.random.default_rng(2).permutation(900)
    found = knn.pruned(grid, 6, order=order, num_lists=12, num_probes=12)
    assert np.array_equal(found.ids, knn.exact(grid, 6).ids)


def test_the_nearest_centres_are_those_of_brute_force_and_the_first_of_equals():
    grid, centres = directions(300, noise=3.0), directions(20, noise=3.0, seed=1)
    centres[13] = centres[4]
    products = grid.astype(np.int64) @ centres.astype(np.int64).T
    want = np.argsort(-products, axis=1, kind="stable")[:, :7]
    assert np.array_equal(knn.nearest(grid, centres, 7), want)


def test_the_pruned_search_says_what_it_missed_before_it_starts(tmp_path, monkeypatch):
    grid = directions(3000, clusters=60, noise=1.2)
    truth, _ = brute_force(knn.centred(grid), 8)
    op = KnnGraph(k=8, exact_rows=1000, num_lists=60, num_probes=3, min_recall=0.0)
    notes = {}
    (out,) = run_whole(op, rows_of(grid), ctx(tmp_path, notes=notes))
    lists = np.stack(out["neighbors"].to_list())
    share = np.array([len(set(a) & set(b)) / 8 for a, b in zip(lists.tolist(), truth.tolist(), strict=True)])
    checked = out["recall"].is_not_null().to_numpy()
    assert checked.sum() == 512
    assert np.array_equal(out["recall"].drop_nulls().to_numpy(), share[checked])
    assert 0.3 < share.mean() < 1
    assert notes["search"] == "pruned"
    assert notes["recall"] == share[checked].mean()
    assert abs(share[checked].mean() - share.mean()) < 0.05  # the sample speaks for all
    asked = []
    search = knn.search
    monkeypatch.setattr(knn, "search", lambda *given: asked.append(given[3:]) or search(*given))
    with pytest.raises(DataError, match="min_recall"):
        run_whole(
            KnnGraph(k=8, exact_rows=1000, num_lists=60, num_probes=3, min_recall=1.0), rows_of(grid), ctx(tmp_path)
        )
    assert [len(rows) for (rows,) in asked] == [512]  # refused before all rows were searched


def test_a_graph_asks_for_the_memory_of_its_rows(tmp_path, monkeypatch):
    from winnow.dags.driver import runner

    tasks, made = [], runner._task
    monkeypatch.setattr(runner, "_task", lambda name, items: tasks.append(made(name, items)) or tasks[-1])
    monkeypatch.setattr(KnnGraph, "memory_gb", lambda self, rows, width: 0.25 * rows + width / 1024)
    put_corpus(tmp_path / "raw", texts(40, seed=1), 2)
    stages = (
        'docs: {use: jsonl, files: "raw/*"}\n  v: {use: ngram_vectors, inputs: docs}\n  g: {use: knn_graph, inputs: v}'
    )
    run(f"stages:\n  {stages}", tmp_path, tmp_path / "out")
    asked = {task.payload["do"]: task.resources.memory_gb for task in tasks}
    assert asked["SolveTask"] == 11  # 40 rows, and 1,024 bytes of each vector
    assert asked["MapTask"] == 1


def test_similarities_in_pruned_lists_are_exact(tmp_path):
    grid = directions(2000)
    found = knn.pruned(grid, 5, order=np.arange(2000), num_lists=30, num_probes=3)
    real = found.ids != knn.EMPTY
    source = np.nonzero(real)[0]
    want = (grid[source].astype(np.int64) * grid[found.ids[real]].astype(np.int64)).sum(axis=1)
    assert np.array_equal(found.similarities[real], np.minimum(want, knn.ONE))
    assert (np.diff(found.similarities.astype(np.int64), axis=1)[real[:, 1:]] <= 0).all()


def test_nodes_are_numbered_by_doc_id_among_the_rows_that_have_a_vector(tmp_path):
    grid = directions(40)
    rows = rows_of(grid, missing={0, 7, 39})
    (out,) = run_whole(KnnGraph(k=4, center=False), rows, ctx(tmp_path))
    some = out["node"].is_not_null()
    assert out["node"].drop_nulls().to_list() == list(range(37))
    assert out["neighbors"].is_not_null().to_list() == some.to_list()
    place = np.flatnonzero(some.to_numpy())
    want, similarities = brute_force(grid[place], 4)
    assert np.array_equal(np.stack(out["neighbors"].drop_nulls().to_list()), want)
    assert np.array_equal(np.stack(out["similarities"].drop_nulls().to_list()), similarities)
    assert set(out["recall"].drop_nulls().to_list()) == {1.0}


def test_the_graph_does_not_depend_on_how_rows_are_cut(tmp_path):
    rows = rows_of(directions(90), missing={3})
    (want,) = run_whole(KnnGraph(k=5), rows, ctx(tmp_path))
    shuffled = rows.with_columns(want).sample(fraction=1.0, shuffle=True, seed=1)
    parts = [shuffled[:10], shuffled[10:11], shuffled[11:]]
    found = pl.concat(run_whole(KnnGraph(k=5), [p.select("doc_id", "vector") for p in parts], ctx(tmp_path)))
    assert found.equals(shuffled.select(found.columns))


def test_centring_removes_what_all_rows_share():
    grid = directions(500, clusters=500)
    shared = knn.to_grid(pa.FixedSizeListArray.from_arrays(pa.array((grid + 3000.0).ravel()), 64))[0]
    before = (shared.astype(np.int64) @ shared.astype(np.int64).T) / knn.ONE
    after = knn.centred(shared).astype(np.int64)
    assert before.min() > 0.9
    assert abs(((after @ after.T) / knn.ONE).mean()) < 0.01
    order = np.random.default_rng(0).permutation(500)
    assert np.array_equal(knn.centred(shared[order]), knn.centred(shared)[order])
    copies = np.repeat(shared[:1], 4, axis=0)
    assert np.array_equal(knn.centred(copies), copies)  # copies of one text are their mean: nothing else is left
    assert not knn.centred(np.concatenate([copies, -copies, copies[:1] * 0]))[-1].any()
    assert knn.centred(copies[:0]).shape == (0, 64)


def test_lists_of_floats_are_vectors_too():
    reals = [[3.0, 4.0], None, [0.0, 0.0], [-1e-200, 1e-200]]
    for kind in (pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_(pa.float64(), 2)):
        grid, some = knn.to_grid(pa.array(reals, kind))
        assert some.tolist() == [True, False, False, True]
        assert grid.tolist() == [[1229, 1638], [0, 0], [0, 0], [-1448, 1448]]
    half = pa.FixedSizeListArray.from_arrays(pa.array(np.array([3.0, 4.0, 0.0, 0.0], dtype=np.float16)), 2)
    grid, some = knn.to_grid(half)
    assert some.tolist() == [True, False]
    assert grid[0].tolist() == [1229, 1638]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.array([b"1234", b"12"]), "lengths 2 to 4"),
        (pa.array([b"123"]), "3 bytes"),
        (pa.array([[1.0, float("nan")]]), "NaN"),
        (pa.array([[1.0], [1.0, 2.0]]), "lengths 1 to 2"),
        (pa.array(["text"]), "string"),
        (pa.array([[0.5] * (knn.MAX_DIM + 1)]), "dimensions"),
    ],
)
def test_what_is_no_vector_is_refused(column, says):
    with pytest.raises(DataError, match=says):
        knn.to_grid(column)


def test_parts_with_vectors_of_two_lengths_are_refused(tmp_path):
    two = [rows_of(directions(5, 8)), rows_of(directions(5, 16)).with_columns(doc_id=ids(10)[5:])]
    with pytest.raises(DataError, match=r"\[8, 16\] dimensions"):
        run_whole(KnnGraph(k=2), two, ctx(tmp_path))


@pytest.mark.parametrize("op", [NgramVectors(dim=4), KnnGraph(k=0), KnnGraph(num_probes=0), KnnGraph(min_recall=2.0)])
def test_fields_that_cannot_work_are_refused(op):
    with pytest.raises(ConfigError):
        op.validate()
