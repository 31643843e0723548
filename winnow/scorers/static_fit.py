"""Static embeddings trained on the corpus: hashed words and word pairs, a truncated SVD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError
from winnow.core.numerics import rng
from winnow.core.operators import Context, Exactness, Fit
from winnow.core.words.hashing import ngram_hashes

TABLE = "table.npy"
ORDERS = (1, 2)
COMMON = 1e-3  # share of all n-grams at which a bucket counts half
POWER_ITERATIONS = 4
OVERSAMPLE = 16
HEAD_CHARS = 20_000  # of a sampled document
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class VectorSize:
    """Numbers per vector."""

    dim: int = 128  # of the static table; a model has its own


@dataclass(frozen=True, kw_only=True)
class TableSizes(VectorSize):
    """How large a static table is, and what it is fitted on."""

    num_buckets: int = 32_768
    sample_documents: int = 20_000


@dataclass(frozen=True, kw_only=True)
class StaticFit(TableSizes, Fit):
    """A table of hashed n-grams, `table.npy` i16[num_buckets, dim]: right singular vectors of a document sample.

    Counts of words and word pairs per document, each bucket weighed by a / (a + its share), documents at unit
    length; the leading `dim` right singular vectors by subspace iteration, signs fixed. The table holds weight
    times vector, scaled to 16 bits.

    Source: latent semantic analysis (Deerwester et al. 1990); bucket weights after Arora et al. 2017 (SIF);
    subspace iteration after Halko et al. 2011.
    """

    name: ClassVar[str] = "static_fit"
    version: ClassVar[int] = 2  # 2: words in normal form
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("numpy", "scipy")

    def needs(self) -> tuple[str, ...]:
        """The id, which decides whether a document is sampled, and the text."""
        return ("doc_id", "text")

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The documents of the smallest keys of a part: doc_id, key, head of the text."""
        worded = rows.filter(pl.col("text").str.contains(r"\S"))
        keys = rng.keys(worded["doc_id"], seed=ctx.seed, salt="static_fit")
        chosen = np.sort(np.argsort(keys, kind="stable")[: self.sample_documents])
        heads = worded[chosen].select("doc_id", text=pl.col("text").str.head(HEAD_CHARS))
        return heads.with_columns(key=pl.Series(keys[chosen], dtype=pl.UInt64))

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write `table.npy`; metrics: documents, share of the squared length that the dimensions hold.

        Raises: DataError where no sampled document has a word.
        """
        texts = sample.sort("key", "doc_id").head(self.sample_documents).sort("doc_id")["text"]
        counts = ngram_counts(texts, self.num_buckets)
        if not counts.nnz:
            raise DataError("no sampled document has a word", where="embed.fit", hint="check `where:` and the input")
        share = np.asarray(counts.sum(axis=0)).ravel() / counts.sum()
        weight = COMMON / (COMMON + share)
        matrix = unit_rows(counts.multiply(weight[None, :]).tocsr())
        vectors, values = right_vectors(matrix, self.dim, seed=ctx.seed)
        table = weight[:, None] * vectors
        scaled = np.rint(table * (32_767 / max(float(np.abs(table).max()), 1e-12))).astype(np.int16)
        np.save(ctx.work / TABLE, scaled, allow_pickle=False)
        held = float((values**2).sum() / matrix.shape[0])
        return {"documents": len(texts), "buckets": int((share > 0).sum()), "held_share": round(held, 4)}


def ngram_counts(texts: pl.Series, num_buckets: int) -> Any:
    """Counts of every document's buckets, sparse [documents, num_buckets]."""
    from scipy import sparse

    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    rows, buckets = [], []
    for order in ORDERS:
        starts, hashes = ngram_hashes(array, order)
        rows.append(np.repeat(np.arange(len(texts)), np.diff(starts)))
        buckets.append((hashes.astype(np.uint64) * np.uint64(num_buckets)) >> np.uint64(32))
    place = (np.concatenate(rows), np.concatenate(buckets).astype(np.int64))
    return sparse.csr_matrix((np.ones(len(place[0])), place), shape=(len(texts), num_buckets))


def unit_rows(matrix: Any) -> Any:
    """The rows of a sparse matrix at unit length; a zero row stays zero."""
    from scipy import sparse

    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sparse.diags(1.0 / np.where(norm > 0, norm, 1.0)) @ matrix).tocsr()


def right_vectors(matrix: Any, dim: int, *, seed: int) -> tuple[Floats, Floats]:
    """(vectors f64[columns, dim], singular values f64[dim]); what the rank does not fill is zero."""
    wide = min(dim + OVERSAMPLE, *matrix.shape)
    start = np.random.default_rng(seed % 2**32).standard_normal((matrix.shape[1], wide))
    left, _ = np.linalg.qr(matrix @ start)
    for _ in range(POWER_ITERATIONS):
        right, _ = np.linalg.qr(matrix.T @ left)
        left, _ = np.linalg.qr(matrix @ right)
    _, values, rows = np.linalg.svd((matrix.T @ left).T, full_matrices=False)
    keep = min(dim, len(values))
    vectors = rows[:keep].T
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(keep)])
    out = np.zeros((matrix.shape[1], dim))
    out[:, :keep] = vectors * np.where(signs == 0, 1.0, signs)
    return out, values[:keep]
