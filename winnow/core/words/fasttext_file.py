"""A fastText classifier file (.bin, .ftz; version 12 or 11) as arrays, without the library.

The input matrix is mapped, not read, where its place in the file allows; a quantised one is in single precision.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MAGIC, VERSIONS = 793712314, (11, 12)
SUPERVISED = 3
CENTROIDS = 256  # per part of a product quantiser
MOST_NGRAMS = 64  # words or characters: no model in use has so many
MOST_BUCKETS = 1 << 26  # of a pruned model: 4 bytes each
MOST_DEQUANTISED = 1 << 28  # bytes that a quantised matrix may take in single precision
_ARGS = struct.Struct("<12i d")
_NAMES = ("dim", "ws", "epoch", "min_count", "neg", "ngrams", "loss", "model", "bucket", "minn", "maxn", "rate")

F32 = npt.NDArray[np.float32]


class UnreadableError(Exception):
    """Not a classifier that the kernels take; the message says why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FastTextFile:
    """The parts of a model that prediction needs."""

    args: dict[str, int]
    words: npt.NDArray[np.uint8]  # the file's bytes, in which `limits` are places
    limits: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int8]  # 0 word, 1 label
    nwords: int
    pruned: npt.NDArray[np.int32] | None  # bucket -> row behind the words, -1; None: every bucket has its own
    matrix: F32
    output: F32

    def number_of(self, word: bytes) -> int:
        """The number of a word; -1 where the dictionary has none."""
        places = np.flatnonzero(np.diff(self.limits.reshape(-1, 2)).ravel() == len(word))
        found = [
            at for at in places.tolist() if self.words[self.limits[2 * at] : self.limits[2 * at + 1]].tobytes() == word
        ]
        return found[-1] if found else -1

    @property
    def labels(self) -> list[str]:
        """The labels' names, in the order of the output's rows."""
        raw = [self.words[a:b].tobytes() for a, b in self.limits.reshape(-1, 2)[self.nwords :].tolist()]
        return [name.decode("utf-8") for name in raw]


class _Cursor:
    def __init__(self, raw: npt.NDArray[np.uint8]) -> None:
        self.raw, self.at = raw, 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize("<" + form)
        return struct.unpack("<" + form, self.bytes(size).tobytes())

    def bytes(self, size: int) -> npt.NDArray[np.uint8]:
        if size < 0 or self.at + size > len(self.raw):
            raise UnreadableError("the file ends early")
        self.at += size
        return self.raw[self.at - size : self.at]

    def array(self, kind: Any, count: int) -> npt.NDArray[Any]:
        """As mapped where it is aligned, else a copy."""
        found = self.bytes(count * np.dtype(kind).itemsize)
        return (found if found.ctypes.data % np.dtype(kind).itemsize == 0 else found.copy()).view(kind)


def read_fasttext(path: Path) -> FastTextFile:
    """The model at `path`. Raises: UnreadableError where it is none, or of a kind that is left to the library."""
    from winnow.core.words import fasttext_kernels as kernels

    empty = not path.stat().st_size  # cannot be mapped
    cursor = _Cursor(np.zeros(0, np.uint8) if empty else np.memmap(path, np.uint8, mode="r").view(np.ndarray))
    magic, version = cursor.numbers("2i")
    if magic != MAGIC or version not in VERSIONS:
        raise UnreadableError(f"magic {magic}, version {version}")
    args: dict[str, int] = dict(zip(_NAMES, _ARGS.unpack(cursor.bytes(_ARGS.size).tobytes())[:12], strict=True))
    if version == VERSIONS[0]:
        args["maxn"] = 0
    if args["model"] != SUPERVISED or args["loss"] not in (kernels.HS, kernels.NS, kernels.SOFTMAX, kernels.OVA):
        raise UnreadableError(f"model {args['model']}, loss {args['loss']}: no classifier")
    size, nwords, nlabels, _, prunes = cursor.numbers("3i2q")
    if size != nwords + nlabels or min(size, nwords, nlabels) < 0 or size > len(cursor.raw):
        raise UnreadableError(f"{size} words, {nwords} of them words and {nlabels} labels")
    limits, counts, kinds, cursor.at = kernels.read_entries(cursor.raw, cursor.at, size)
    if cursor.at < 0:
        raise UnreadableError("the dictionary ends early")
    pruned = _prunes(cursor, prunes, args["bucket"])
    matrix, quantised = _matrix(cursor)
    if _flag(cursor) and quantised:
        raise UnreadableError("its output is quantised")
    output = _dense(cursor)
    found = FastTextFile(args=args, words=cursor.raw, limits=limits, counts=counts, kinds=kinds, nwords=nwords,
                         pruned=pruned, matrix=matrix, output=output)  # fmt: skip
    _check(found, nlabels)
    return found


def _check(found: FastTextFile, nlabels: int) -> None:
    """No row that the kernels ask for lies outside of its matrix. Raises: UnreadableError."""
    args = found.args
    if args["dim"] < 1 or args["ngrams"] > MOST_NGRAMS or args["maxn"] > MOST_NGRAMS:
        raise UnreadableError(f"{args['dim']} dimensions, n-grams to {args['ngrams']} words, {args['maxn']} characters")
    hashes = args["ngrams"] > 1 or args["maxn"] > 0
    behind = (int(found.pruned.max(initial=-1)) + 1 if found.pruned is not None else args["bucket"]) if hashes else 0
    if (hashes and args["bucket"] < 1) or len(found.matrix) < found.nwords + behind:
        raise UnreadableError(f"{len(found.matrix)} rows for {found.nwords} words and {behind} n-grams")
    if found.output.shape != (nlabels, args["dim"]) or found.matrix.shape[1] != args["dim"] or nlabels < 1:
        raise UnreadableError(f"an output of {found.output.shape} for {nlabels} labels of {args['dim']} dimensions")
    if found.kinds[: found.nwords].any() or not found.kinds[found.nwords :].all():
        raise UnreadableError("words and labels are mixed")


def _flag(cursor: _Cursor) -> bool:
    return bool(cursor.bytes(1)[0])


def _prunes(cursor: _Cursor, size: int, bucket: int) -> npt.NDArray[np.int32] | None:
    if size < 0:
        return None
    if bucket > MOST_BUCKETS:
        raise UnreadableError(f"{bucket:,} buckets, {size:,} of them kept")
    pairs = cursor.array(np.int32, 2 * size).reshape(-1, 2)
    if size and not (int(pairs.min()) >= 0 and int(pairs[:, 0].max()) < bucket):
        raise UnreadableError("a pruned n-gram lies outside of the buckets")
    rows = np.full(max(bucket, 1), -1, dtype=np.int32)
    rows[pairs[:, 0]] = pairs[:, 1]
    return rows


def _matrix(cursor: _Cursor) -> tuple[F32, bool]:
    quantised = _flag(cursor)
    return (_quantised(cursor) if quantised else _dense(cursor)), quantised


def _dense(cursor: _Cursor) -> F32:
    rows, columns = cursor.numbers("2q")
    if min(rows, columns) < 0 or 4 * rows * columns > len(cursor.raw):
        raise UnreadableError("the file ends early")
    return cursor.array(np.float32, rows * columns).reshape(rows, columns)


def _quantised(cursor: _Cursor) -> F32:
    """A product-quantised matrix (Joulin et al. 2016, FastText.zip) in single precision, as its rows are added."""
    norms, rows, columns, size = cursor.numbers("?2qi")
    if min(rows, columns, size) < 0 or 4 * rows * columns > MOST_DEQUANTISED:
        raise UnreadableError(f"a quantised matrix of {rows:,} rows would take {4 * rows * columns:,} bytes")
    codes, parts = cursor.array(np.uint8, size), _centroids(cursor)
    if size != rows * len(parts):
        raise UnreadableError(f"{size:,} codes for {rows:,} rows of {len(parts)} parts")
    found = np.concatenate([part[codes.reshape(rows, -1)[:, n]] for n, part in enumerate(parts)], axis=1)
    if found.shape[1] != columns:
        raise UnreadableError(f"{found.shape[1]} columns of {columns}")
    if norms:
        lengths = cursor.array(np.uint8, rows)
        found *= _centroids(cursor)[0][lengths]
    return np.ascontiguousarray(found, dtype=np.float32)


def _centroids(cursor: _Cursor) -> list[F32]:
    """The centroids f32[256, width] of each part of a vector."""
    dim, parts, width, last = cursor.numbers("4i")
    if parts < 1 or width < 1 or last < 1 or (parts - 1) * width + last != dim:
        raise UnreadableError("its quantiser does not fit")
    flat = cursor.array(np.float32, dim * CENTROIDS)
    whole = flat[: (parts - 1) * CENTROIDS * width].reshape(parts - 1, CENTROIDS, width)
    return [*whole, flat[(parts - 1) * CENTROIDS * width :].reshape(CENTROIDS, last)]
