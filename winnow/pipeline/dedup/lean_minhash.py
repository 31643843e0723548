"""MinHash signatures as the bytes of datasketch's `LeanMinHash`: what its `serialize` writes and `deserialize` reads.

Little-endian: the seed (8 bytes), the number of values (4), the values (4 each). A negative number is followed by a
byte for the scheme of permutations, as datasketch writes since 2.0 (and by three more where it aligns). Nothing is
unpickled.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.words.text import utf8_buffers

WINNOW_SEED = 0x77696E6E6F77  # signatures of winnow, as against those of datasketch, whose seed is 1
HEADS = (12, 13, 16)  # bytes before the values
SCHEMES = {0: "legacy", 1: "affine32"}
Slots = npt.NDArray[np.uint32]


def to_bytes(slots: Slots, seed: int = WINNOW_SEED) -> pa.Array:
    """The signatures u32[rows, hashes] as `LeanMinHash` of the scheme "legacy", large_binary."""
    rows, hashes = slots.shape
    head = np.zeros(1, dtype=[("seed", "<i8"), ("number", "<i4")])
    head["seed"], head["number"] = seed, hashes
    out = np.empty((rows, 12 + 4 * hashes), dtype=np.uint8)
    out[:, :12] = np.frombuffer(head.tobytes(), dtype=np.uint8)
    out[:, 12:] = np.ascontiguousarray(slots).view(np.uint8).reshape(rows, -1)
    ends = pa.py_buffer(np.arange(rows + 1, dtype=np.int64) * out.shape[1])
    return pa.Array.from_buffers(pa.large_binary(), rows, [None, ends, pa.py_buffer(out)])


def from_bytes(values: pa.Array, hashes: int, where: str) -> tuple[str, Slots]:
    """(whose they are: "winnow", or "datasketch SCHEME SEED"; signatures u32[rows, hashes]).

    Raises: DataError where a value is null or no LeanMinHash, has another number of values or 64-bit ones, or where
    they are of two seeds or schemes.
    """
    if values.null_count:
        raise DataError("a signature is null", where=where, hint="leave such rows out")
    offsets, data = utf8_buffers(values.cast(pa.large_binary()))
    sizes = np.diff(offsets)
    if not len(sizes):
        return "winnow", np.empty((0, hashes), dtype=np.uint32)
    size = int(sizes[0])
    head = size - 4 * hashes
    if (sizes != size).any() or head not in HEADS:
        odd = int(sizes[np.flatnonzero(sizes != 12 + 4 * hashes)[0]])
        told = f"a signature has {odd} bytes; a LeanMinHash of {hashes} values has {4 * hashes} and 12, 13 or 16"
        raise DataError(told, where=where, hint="num_bands * rows_per_band is the number of values (num_perm)")
    table = data[offsets[0] : offsets[-1]].reshape(len(sizes), size)
    seeds = np.ascontiguousarray(table[:, :8]).view("<i8").reshape(-1)
    numbers = np.ascontiguousarray(table[:, 8:12]).view("<i4").reshape(-1)
    schemes = np.zeros(len(sizes), dtype=np.uint8) if head == 12 else table[:, 12]
    if (
        (numbers != (hashes if head == 12 else -hashes)).any()
        or (schemes != schemes[0]).any()
        or (seeds != seeds[0]).any()
    ):
        raise DataError("the signatures are not all LeanMinHash of one seed, scheme and length", where=where,
                        hint="`lean.serialize(buf)` of datasketch writes them; pickles are not read")  # fmt: skip
    scheme = SCHEMES.get(int(schemes[0]), "")
    if not scheme:
        raise DataError(f"the scheme of permutations is {schemes[0]}", where=where, hint="legacy and affine32 are read")
    slots = np.ascontiguousarray(table[:, head:]).view(np.uint32).reshape(len(sizes), hashes)
    return ("winnow" if seeds[0] == WINNOW_SEED else f"datasketch {scheme} {seeds[0]}"), slots


def sketched_as(kind: str, texts: pa.Array, ngram: int, hashes: int) -> Slots:
    """Signatures as datasketch makes them, u32[rows, hashes]: `kind` is datasketch_affine32 or datasketch_legacy.

    Tokens are the runs of `ngram` words between white space, as they stand, joined by one space, in UTF-8; a text of
    fewer words is one token. `hashfunc` and seed are the library's defaults (SHA-1, 1).

    Cost: that of the library, row by row.
    """
    from datasketch import MinHash

    out = np.zeros((len(texts), hashes), dtype=np.uint32)
    scheme = kind.removeprefix("datasketch_")
    for row, text in enumerate(texts.to_pylist()):
        words = (text or "").split()
        if words:
            made = MinHash(num_perm=hashes, scheme=scheme)
            starts = range(max(1, len(words) - ngram + 1))
            made.update_batch({" ".join(words[at : at + ngram]).encode() for at in starts})
            out[row] = made.hashvalues.astype(np.uint32)
    return out
