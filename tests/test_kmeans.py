"""Spherical k-means on the integer grid: equal clusters everywhere, as good as the libraries', and no empty ones."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from winnow.core.numerics import knn, spherical_kmeans


def directions(count, dim=32, *, clusters=20, noise=0.5, seed=0):
    draw = np.random.default_rng(seed)
    homes = draw.integers(clusters, size=count)
    reals = draw.normal(size=(clusters, dim))[homes] + noise * draw.normal(size=(count, dim))
    return knn.to_grid(pa.FixedSizeListArray.from_arrays(pa.array(reals.ravel()), dim))[0], homes


def shuffled(count, seed=0):
    return np.random.default_rng(seed).permutation(count)


@pytest.mark.parametrize("block", [50, 4096])  # the equals lie in one block of centres or in two
def test_a_row_belongs_to_the_most_similar_centre_the_first_of_equals(monkeypatch, block):
    monkeypatch.setattr(knn, "_CENTRE_BLOCK", block)
    grid, _ = directions(3000)
    centres = directions(150, seed=1)[0]
    centres[77] = centres[3]
    products = grid.astype(np.int64) @ centres.astype(np.int64).T
    found = spherical_kmeans.assign(grid, centres)
    assert np.array_equal(found.home, products.argmax(axis=1))
    assert np.array_equal(found.similarity, products.max(axis=1))
    assert 77 not in found.home


def test_clusters_do_not_depend_on_blocks(monkeypatch):
    grid, _ = directions(1500)
    order = shuffled(1500)
    want = spherical_kmeans.fit(grid, 40, order=order)
    for rows, columns in ((7, 33), (64, 5)):
        monkeypatch.setattr(knn, "_ROW_BLOCK", rows)
        monkeypatch.setattr(knn, "_CENTRE_BLOCK", columns)
        found = spherical_kmeans.fit(grid, 40, order=order)
        assert np.array_equal(found.grid, want.grid)
        assert found.objective == want.objective


_PROGRAM = """
import sys; import numpy as np; from winnow.core.numerics import spherical_kmeans
grid = np.load(sys.argv[1])
found = spherical_kmeans.fit(grid, 30, order=np.random.default_rng(1).permutation(len(grid)))
np.save(sys.argv[2], found.grid)
"""


def test_clusters_do_not_depend_on_threads_or_the_processor(tmp_path):
    np.save(tmp_path / "grid.npy", directions(4000)[0])
    answers = []
    for threads, core in (("1", "Haswell"), ("2", "")):
        environ = os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
        environ |= {"OPENBLAS_CORETYPE": core} if core else {}
        out = tmp_path / f"{threads}.npy"
        subprocess.run([sys.executable, "-c", _PROGRAM, str(tmp_path / "grid.npy"), str(out)], env=environ, check=True)
        answers.append(np.load(out))
    assert np.array_equal(*answers)


def test_separate_clusters_are_found_and_the_objective_grows():
    grid, homes = directions(2000, clusters=12, noise=0.2)
    found = spherical_kmeans.fit(grid, 40, order=shuffled(2000), iterations=30)
    home = spherical_kmeans.assign(grid, found.grid).home
    mixed = [len(set(homes[home == c])) for c in range(40)]
    assert np.mean([m == 1 for m in mixed]) > 0.9
    assert found.objective[-1] > found.objective[0]
    steps = np.diff(found.objective)
    assert (steps >= -1e-4 * found.objective[-1]).all()  # up to the rounding of the centres


@pytest.mark.slow
def test_the_objective_is_that_of_sklearn_and_faiss():
    import faiss
    from sklearn.cluster import KMeans

    grid, _ = directions(4000, clusters=60, noise=0.9)
    unit = (grid / np.linalg.norm(grid, axis=1, keepdims=True)).astype(np.float32)
    ours = spherical_kmeans.fit(grid, 60, order=shuffled(4000), iterations=25)
    value = spherical_kmeans.assign(grid, ours.grid).similarity.mean() / knn.ONE
    sk = KMeans(60, init=unit[shuffled(4000)[:60]], n_init=1, max_iter=25, random_state=0).fit(unit)
    centres = sk.cluster_centers_ / np.linalg.norm(sk.cluster_centers_, axis=1, keepdims=True)
    theirs = (unit @ centres.T).max(axis=1).mean()
    index = faiss.Kmeans(32, 60, niter=25, spherical=True, seed=1, max_points_per_centroid=10**6)
    index.train(unit)
    faiss_value = index.index.search(unit, 1)[0].mean()
    assert value == pytest.approx(theirs, rel=1e-3)  # the same first centres
    assert value > 0.97 * faiss_value  # others


def test_no_centre_stays_empty_while_rows_are_far_from_theirs():
    one, _ = directions(1, dim=8)
    far, _ = directions(30, dim=8, clusters=30, seed=3)
    grid = np.concatenate([np.repeat(one, 500, axis=0), far])  # a giant cluster of copies
    found = spherical_kmeans.fit(grid, 20, order=np.arange(530), iterations=30)
    sizes = spherical_kmeans.assign(grid, found.grid).sizes(len(found.grid))
    assert len(found.grid) == 20
    assert (sizes > 0).all()


def test_fewer_directions_than_centres_give_fewer_centres():
    grid = np.repeat(directions(3)[0], 5, axis=0)
    found = spherical_kmeans.fit(grid, 10, order=shuffled(15))
    assert len(found.grid) == 3
    clusters = spherical_kmeans.assign(grid, found.grid)
    assert sorted(clusters.sizes(3).tolist()) == [5, 5, 5]
    groups = spherical_kmeans.members(clusters.home, 3)
    assert sorted(np.concatenate(groups).tolist()) == list(range(15))
    assert all((np.diff(g) > 0).all() for g in groups)


def test_zero_rows_belong_nowhere_and_nothing_gives_nothing():
    grid, _ = directions(50)
    grid[[4, 9]] = 0
    found = spherical_kmeans.fit(grid, 5, order=np.concatenate([[4, 9], np.delete(np.arange(50), [4, 9])]))
    assert len(found.grid) == 5
    clusters = spherical_kmeans.assign(grid, found.grid)
    assert np.flatnonzero(clusters.home < 0).tolist() == [4, 9]
    assert clusters.sizes(5).sum() == 48
    assert sum(len(g) for g in spherical_kmeans.members(clusters.home, 5)) == 48
    nothing = spherical_kmeans.fit(grid[:0], 5, order=np.arange(0))
    assert nothing.grid.shape == (0, 32)
    assert spherical_kmeans.assign(grid, nothing.grid).home.max() == -1


def test_a_sample_is_the_head_of_the_order():
    grid, _ = directions(1000)
    order = shuffled(1000)
    found = spherical_kmeans.fit(grid, 5, order=order, rows_per_centre=20)
    alone = spherical_kmeans.fit(grid[np.sort(order[:100])], 5, order=rank_of(order[:100]), rows_per_centre=20)
    assert np.array_equal(found.grid, alone.grid)


def rank_of(head):
    """`head` as positions in its sorted self."""
    return np.searchsorted(np.sort(head), head)
