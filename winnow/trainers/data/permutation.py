"""Order as a pure function: where a keyed permutation puts a member, without holding the permutation.

Four to six rounds of a Feistel network are a good shuffle; cycle walking cuts it down to any count. A member of a
billion costs as much as one of ten, so a training run may begin anywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Permutation:
    """A permutation of [0, count) that (seed, salt) choose."""

    count: int
    seed: int
    salt: str

    def __call__(self, index: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Places i64[n] of the members `index` i64[n], each in [0, count)."""
        from winnow.trainers.data.packing_kernels import permuted

        keys = _keys(int(self.seed), self.salt, self.count)
        found: npt.NDArray[np.int64] = permuted(np.asarray(index, dtype=np.int64), self.count, keys)
        return found


@lru_cache(maxsize=1024)  # a mixture asks for those of every domain at every step
def _keys(seed: int, salt: str, count: int) -> npt.NDArray[np.uint64]:
    digest = hashlib.blake2b(f"{seed}\0{salt}\0{count}".encode(), digest_size=48).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)
