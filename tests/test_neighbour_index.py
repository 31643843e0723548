"""Indexes that `knn_graph` leaves: they open in faiss, find what the graph says, and are the same anywhere."""

import os
import random
import signal
import subprocess
import sys

import faiss
import numpy as np
import polars as pl
import pytest
from support import put_corpus, run, texts
from support_kill import Killer
from test_vectors import brute_force, ctx, directions, ids, rows_of

from winnow.cli import main
from winnow.core.errors import ConfigError, DataError, StoreError
from winnow.core.numerics import knn
from winnow.core.operators.fingerprint import fingerprint, operator_identity
from winnow.dags.looking.run import open as open_run
from winnow.pipeline.measure import neighbour_index
from winnow.pipeline.measure.knn_graph import KnnGraph
from winnow.testing.in_memory import run_whole

SEARCHES = ("exact", "ivf", "hnsw")


def left(tmp_path, rows, **fields):
    """(the graph, its notes, the index, its ids, its mean)."""
    notes = {}
    (out,) = run_whole(KnnGraph(**fields), rows, ctx(tmp_path, notes=notes))
    folder = tmp_path / "index"
    index = faiss.read_index(str(folder / "index.faiss"))
    return out, notes, index, np.load(folder / "ids.npy"), np.load(folder / "mean.npy")


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("index", SEARCHES)
def test_the_index_opens_in_faiss_and_finds_what_the_graph_says(tmp_path, index, center):
    grid, missing = directions(900, clusters=900), {0, 5, 899}
    more = {"num_lists": 20, "num_probes": 5} if index == "ivf" else {}
    out, notes, opened, names, mean = left(
        tmp_path, rows_of(grid, missing), k=6, center=center, index=index, min_recall=0 if more else 0.8, **more
    )
    some = np.asarray([i for i in range(900) if i not in missing])
    assert opened.ntotal == len(some) == len(names)
    assert [bytes(name) for name in names] == ids(900).gather(some).to_list()
    want = knn.centred(grid[some]) if center else grid[some]
    raw = grid[some].astype(np.float64) - mean
    raw *= 2048 / np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(raw - want).max() < 0.51  # as the docstring tells a reader to make a query
    near, found = opened.search(want.astype(np.float32), 7)
    lists, similar = (out[name].drop_nulls().to_list() for name in ("neighbors", "similarities"))
    for row in range(len(some)):
        pairs = [(-int(s), int(i)) for s, i in zip(near[row], found[row], strict=True) if i >= 0 and i != row]
        sims = [min(-s, knn.ONE) for s, _ in sorted(pairs)[:6]]
        assert similar[row] == sims
        cut = sims[-1]  # equal similarities at the end may be cut either way
        assert {i for i, s in zip(lists[row], similar[row], strict=True) if s > cut} == {
            i for s, i in pairs if min(-s, knn.ONE) > cut
        }
    truth, _ = brute_force(want, 6)
    share = np.mean([len(set(a) & set(b.tolist())) / 6 for a, b in zip(lists, truth, strict=True)])
    assert notes["search"] == {"ivf": "pruned"}.get(index, index)
    assert abs(notes["recall"] - share) < 0.05
    assert share == 1 if index == "exact" else share < 1 if index == "ivf" else share > 0.9
    assert "index.faiss" in notes["summary"]


def test_the_inverted_file_in_faiss_has_the_lists_of_the_graph(tmp_path):
    grid = directions(1500)
    lists = knn.inverted(grid, order=np.arange(1500), num_lists=30, num_probes=4)
    neighbour_index.write(neighbour_index.inverted_file(grid, lists), tmp_path / "i")
    opened = faiss.read_index(str(tmp_path / "i"))
    assert (opened.nlist, opened.nprobe, opened.ntotal, opened.d) == (30, 4, 1500, 64)
    for number, inside in enumerate(lists.members):
        size = opened.invlists.list_size(number)
        got = faiss.rev_swig_ptr(opened.invlists.get_ids(number), size) if size else []
        assert list(got) == inside.tolist()
    found = neighbour_index.search(opened, grid, 5)
    want = knn.search(grid, 5, lists)
    assert np.array_equal(found.similarities, want.similarities)


def test_hnsw_finds_what_brute_force_finds(tmp_path):
    grid = directions(3000, noise=1.0)
    index = neighbour_index.hnsw(grid, m=32, ef_construction=40, ef_search=200)
    found = neighbour_index.search(index, grid, 8)
    _, similarities = brute_force(grid, 8)
    hits = (found.similarities >= similarities[:, -1:]).mean()
    assert hits > 0.97
    source = np.repeat(np.arange(3000), 8).reshape(3000, 8)
    real = found.ids != knn.EMPTY
    exact = (grid[source[real]].astype(np.int64) * grid[found.ids[real]].astype(np.int64)).sum(axis=1)
    assert np.array_equal(found.similarities[real], np.minimum(exact, knn.ONE))
    assert not (found.ids == source).any()
    assert (np.diff(found.similarities.astype(np.int64), axis=1)[real[:, 1:]] <= 0).all()


def test_lists_are_short_where_there_are_few_rows(tmp_path):
    for rows in (1, 2, 5):
        for name in SEARCHES:
            out, _, opened, _, _ = left(tmp_path, rows_of(directions(rows)), k=8, center=False, index=name)
            assert opened.ntotal == rows
            assert out["neighbors"].list.len().to_list() == [rows - 1] * rows


def test_without_any_vector_no_index_is_left_and_that_is_said(tmp_path):
    notes = {}
    rows = rows_of(directions(3), missing={0, 1, 2})
    (out,) = run_whole(KnnGraph(index="hnsw"), rows, ctx(tmp_path, notes=notes))
    assert out["node"].null_count() == 3
    assert [p.name for p in sorted((tmp_path / "index").iterdir())] == ["ids.npy", "mean.npy"]
    assert any("no row has a vector" in line for line in notes["remarks"])


CODE = """
import sys, hashlib, os; import numpy as np, faiss
from winnow.core.numerics import knn
from winnow.pipeline.measure import neighbour_index as ni
grid = np.load(sys.argv[1])
faiss.omp_set_num_threads(int(sys.argv[2]))
for number, index in enumerate((ni.flat(grid), ni.hnsw(grid, m=8, ef_construction=20, ef_search=16),
              ni.inverted_file(grid, knn.inverted(grid, order=np.arange(len(grid)), num_lists=20, num_probes=4)))):
    ni.write(index, sys.argv[3])
    found = ni.search(index, grid, 8)
    print(hashlib.sha256(open(sys.argv[3], "rb").read() + found.ids.tobytes() + found.similarities.tobytes()).hexdigest())
assert faiss.omp_get_max_threads() == int(sys.argv[2])
"""


def test_an_index_has_the_same_bytes_with_any_threads_and_instructions(tmp_path, monkeypatch):
    np.save(tmp_path / "grid.npy", directions(3000, dim=48, noise=0.8))
    said = set()
    for threads, level in ((1, ""), (2, ""), (2, "generic"), (1, "avx2")):
        env = {**os.environ, **({"FAISS_OPT_LEVEL": level} if level else {})}
        command = [sys.executable, "-c", CODE, str(tmp_path / "grid.npy"), str(threads), str(tmp_path / "i")]
        said.add(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)
    assert len(said) == 1
    assert len(set(said.pop().split())) == 3


@pytest.mark.parametrize("index", SEARCHES)
def test_graph_and_index_do_not_depend_on_how_rows_are_cut(tmp_path, index):
    rows = rows_of(directions(400), missing={3})
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    (want,) = run_whole(KnnGraph(k=5, index=index), rows, ctx(one))
    shuffled = rows.with_columns(want).sample(fraction=1.0, shuffle=True, seed=1)
    parts = [p.select("doc_id", "vector") for p in (shuffled[:10], shuffled[10:11], shuffled[11:])]
    found = pl.concat(run_whole(KnnGraph(k=5, index=index), parts, ctx(two)))
    assert found.equals(shuffled.select(found.columns))
    for name in ("index.faiss", "ids.npy", "mean.npy"):
        assert (one / "index" / name).read_bytes() == (two / "index" / name).read_bytes()


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"index": "hnsw", "m": 2, "ef_construction": 1, "ef_search": 1}, "`ef_search`"),
        ({"index": "ivf", "num_lists": 60, "num_probes": 1}, "`num_probes`"),
    ],
)
def test_a_recall_that_is_too_low_is_an_error_before_the_long_search(tmp_path, monkeypatch, fields, names):
    asked = []
    for module in (knn, neighbour_index):
        whole = module.search
        monkeypatch.setattr(module, "search", lambda *given, whole=whole: asked.append(given[3]) or whole(*given))
    with pytest.raises(DataError, match=r"below min_recall 1\.0") as error:
        run_whole(KnnGraph(k=8, min_recall=1.0, **fields), rows_of(directions(2000, noise=2.0)), ctx(tmp_path))
    assert names in str(error.value.hint)
    assert [len(rows) for rows in asked] == [512]


def test_recipes_without_an_index_keep_their_identity():
    assert fingerprint(operator_identity(KnnGraph())) == "a3f3c26d91a1db691b4a737af7596acb"
    assert not {"index", "m", "ef_search"} & operator_identity(KnnGraph())["config"].keys()
    known = {fingerprint(operator_identity(KnnGraph(index=name))) for name in ("auto", *SEARCHES)}
    known |= {
        fingerprint(operator_identity(KnnGraph(index="hnsw", **{name: 17})))
        for name in ("m", "ef_construction", "ef_search")
    }
    assert len(known) == 7


@pytest.mark.parametrize("fields", [{"m": 1}, {"m": 513}, {"ef_search": 0}, {"ef_construction": 0}])
def test_sizes_that_cannot_work_are_refused(fields):
    with pytest.raises(ConfigError):
        KnnGraph(index="hnsw", **fields).validate()


RECIPE = """
stages:
  docs: {use: jsonl, files: "raw/*", id: content}
  vec:  {use: ngram_vectors, inputs: docs, dim: 32}
  flat: {use: knn_graph, inputs: vec, k: 5, index: exact}
  near: {use: knn_graph, inputs: vec, k: 5, index: hnsw, m: 8}
  cells: {use: knn_graph, inputs: vec, k: 5, index: ivf, num_lists: 9, num_probes: 4, min_recall: 0.3}
"""
GRAPHS = ("flat", "near", "cells")
FILES = ("ids.npy", "index.faiss", "mean.npy")


def files_of(folder):
    """Name -> bytes of what a stage left for faiss."""
    return {path.name: path.read_bytes() for path in sorted((folder / "index").iterdir())}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    put_corpus(folder / "raw", texts(120, seed=5), 1)  # two have no vector
    return folder, run(RECIPE, folder, folder / "plain")


@pytest.mark.parametrize(("part_bytes", "workers"), [(2000, 0), (900, 2), (10**6, 2)])
def test_any_layout_and_any_number_of_workers_leave_the_same_files(plain, tmp_path, part_bytes, workers):
    folder, first = plain
    found = run(RECIPE, folder, tmp_path / "out", part_bytes=part_bytes, batch_rows=7, workers=workers)
    assert (len(found.of("docs").parts) > 1) == (part_bytes < 10**6)
    assert found.digests == first.digests
    for name in GRAPHS:
        files = files_of(found.folder(name))
        assert tuple(files) == FILES
        assert files == files_of(first.folder(name))


def test_what_is_not_asked_for_leaves_nothing(plain, tmp_path):
    found = run(RECIPE.replace(", index: exact", ""), plain[0], tmp_path / "out", until="flat")
    assert not (found.folder("flat") / "index").exists()
    assert found.digests["flat"] == plain[1].digests["flat"]


def test_a_run_says_where_it_is_and_garbage_collection_leaves_it(plain, tmp_path, capsys):
    (plain[0] / "r.yaml").write_text(RECIPE)
    assert main(["run", str(plain[0] / "r.yaml"), "--out", str(tmp_path), "--workers", "0"]) == 0
    screen = " ".join("".join(capsys.readouterr()).split())
    assert all(f"{kind} in index/index.faiss" in screen for kind in SEARCHES)
    assert main(["gc", str(tmp_path)]) == 0
    assert [faiss.read_index(str(path)).ntotal for path in tmp_path.glob("knn*/index/index.faiss")] == [118] * 3
    assert main(["run", str(plain[0] / "r.yaml"), "--out", str(tmp_path), "--workers", "0"]) == 0  # nothing is missed
    assert "computed" not in capsys.readouterr().err
    assert sorted(p.name for p in open_run(tmp_path).shards("near").iterdir()) == list(FILES)


def test_killed_at_random_moments_the_graphs_go_on_and_an_index_is_built_once(plain, tmp_path):
    folder, first = plain
    want = {name: files_of(first.folder(name)) for name in GRAPHS}
    killer, draw = Killer(), random.Random(3)

    def attempt(root, **more):
        return killer(folder=str(folder), root=str(root), out=f"{root}.json", recipe=RECIPE, **more)

    try:
        whole = attempt(tmp_path / "whole", names=True)
        kept = [at for at, name in enumerate(whole["names"], 1) if "/receipts/" in name and "index" in name]
        assert len(kept) >= len(GRAPHS)  # the moments around each index's receipt, and others
        for at in sorted({*draw.sample(range(2, whole["ticks"]), 3), *(at + 1 for at in kept)}):
            root = tmp_path / str(at)
            assert attempt(root, kill_at=at) == {"killed": signal.SIGKILL}
            before = {p: p.stat().st_mtime_ns for p in root.glob("*/_data/*index.faiss")}
            again = attempt(root)
            assert again["digests"] == whole["digests"], again
            assert again["metrics"] == whole["metrics"]
            assert {
                name: files_of(next(root.glob(f"knn_graph-{first.folder(name).name[-20:]}"))) for name in GRAPHS
            } == want
            assert {p: p.stat().st_mtime_ns for p in before} == before
    finally:
        killer.close()


def test_a_lost_name_is_published_again_and_a_changed_file_is_refused(plain, tmp_path):
    folder, first = plain
    found = run(RECIPE, folder, tmp_path / "out")
    for path in (found.folder("near") / "index").iterdir():
        path.unlink()
    again = run(RECIPE, folder, tmp_path / "out")
    assert not any(again.computed.values())
    assert files_of(again.folder("near")) == files_of(first.folder("near"))
    (data,) = found.folder("near").glob("_data/step/*index-faiss*")
    data.chmod(0o644)
    data.write_bytes(data.read_bytes()[:-8])
    with pytest.raises(StoreError, match="index-faiss"):
        run(RECIPE, folder, tmp_path / "out").raise_failures()


def test_one_thread_works_and_equals_are_listed_by_number():
    faiss.omp_set_num_threads(2)
    with neighbour_index.one_thread() as module:
        assert module.omp_get_max_threads() == 1
    assert faiss.omp_get_max_threads() == 2
    grid = np.repeat(directions(6, clusters=6), 5, axis=0)
    found = neighbour_index.search(neighbour_index.flat(grid), grid, 29)
    want = knn.exact(grid, 29)
    assert np.array_equal(found.ids, want.ids)
    assert np.array_equal(found.similarities, want.similarities)


def test_parts_without_their_index_are_answered_again(plain, tmp_path):
    folder, first = plain
    killer, root, name = Killer(), tmp_path / "root", first.folder("near").name
    command = {"folder": str(folder), "out": f"{root}.json", "recipe": RECIPE}
    try:
        whole = killer(**command, root=str(tmp_path / "whole"), names=True)
        at = max(n for n, told in enumerate(whole["names"], 1) if f"{name}/receipts/part" in told) + 1
        assert killer(**command, root=str(root), kill_at=at) == {"killed": signal.SIGKILL}
        lost = [path for path in root.glob(f"{name}/receipts/step*/**/*") if path.is_file()]
        assert lost
        for path in lost:
            path.unlink()
        again = killer(**command, root=str(root))
        assert again["digests"] == whole["digests"], again
        assert files_of(root / name) == files_of(first.folder("near"))
    finally:
        killer.close()
