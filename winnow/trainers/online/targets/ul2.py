"""`ul2`: rows become puzzles of a mixture of denoisers, for a decoder: what is read, then what is to be restored."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.numerics.rng import uniform
from winnow.core.operators.contract import Meaning
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.controls import check_free
from winnow.trainers.data.numbering import Account
from winnow.trainers.data.pack import PackedBatches
from winnow.trainers.online.plain_policy import PlainPolicy
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.targets.denoisers import MIXTURE, MODES, Denoiser, Ints, corrupted, noise_mask
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class Ul2(PlainPolicy):
    """Rows as [mode] input target, with a loss on the target alone: regular (R), sequential (S), extreme (X) denoisers.

    A `share` of the rows, drawn by (seed, row), is denoised, each by one of seven denoisers of `modes` (all equally
    likely); the others stay as they are. A row is one sequence, whatever documents it holds, and is cut where sentinels
    make it longer than the context. Steps and rows are those of the plain run, predicted tokens fewer: a step's loss
    is over its targets. `sentinels` + 3 ids below the end mark are taken. `share: 0` trains to the bits of a plain run.

    Raises: ConfigError where the tokenizer does not leave the ids free.
    Source: UL2 (Tay et al. 2022), section 3.1.2, in the decoder-only form; research tier: no claim for small models.
    """

    name: ClassVar[str] = "ul2"
    does: ClassVar[str] = "as puzzles"
    blind: ClassVar[bool] = True
    seam: ClassVar[Seam] = "targets"
    rewrites: ClassVar[bool] = True
    meaning: ClassVar[Mapping[str, Meaning]] = {"modes": "closed"}

    share: float = 1.0
    modes: tuple[str, ...] = MODES
    sentinels: int = 100

    def validate(self) -> None:
        """Raise ConfigError for an unknown mode, or a number out of its range."""
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share is {self.share}, and must be in [0, 1]", where="share")
        wrong = [mode for mode in self.modes if mode not in MODES]
        if wrong or not self.modes:
            raise ConfigError(f"modes are {', '.join(self.modes) or 'none'}", where="modes", hint="some of R, S and X")
        if self.sentinels < 1:
            raise ConfigError(f"sentinels is {self.sentinels}, and must be at least 1", where="sentinels")

    def reserved(self) -> int:
        """Modes and sentinels."""
        return self.sentinels + len(MODES)

    def rewrite(self, batches: PackedBatches, told: Told) -> Batches:
        """The rows as puzzles."""
        if self.share == 0:
            return batches
        first = told.vocab - 1 - self.reserved()
        check_free(batches.data, first=first, count=self.reserved())
        mixture = tuple(one for one in MIXTURE if one.mode in self.modes)
        return Denoised(data=batches, mixture=mixture, share=self.share, first=first, sentinels=self.sentinels)

    def begin(self, told: Told) -> Acting:
        """Nothing acts step by step."""
        return Puzzling(share=self.share)


@dataclass(kw_only=True)
class Puzzling(Acting):
    """A run on puzzles: the rows say it all."""

    share: float

    def idle(self) -> str:
        """That no row becomes one."""
        return "" if self.share else "`share` is 0, so that no row is denoised: raise it, or leave it out"


@dataclass(frozen=True, kw_only=True, eq=False)
class Denoised:
    """Batches whose rows are puzzles (implements `batches.Batches`); `first` is the id of the first mode."""

    data: PackedBatches
    mixture: tuple[Denoiser, ...]
    share: float
    first: int
    sentinels: int

    @property
    def num_steps(self) -> int:
        """Those of the data."""
        return self.data.num_steps

    @property
    def num_tokens(self) -> int:
        """Those of the data, which are read or restored."""
        return self.data.num_tokens

    @property
    def epochs(self) -> float:
        """Those of the data."""
        return self.data.epochs

    @property
    def account(self) -> Account:
        """Those of the data: a puzzle has fewer targets than the pass that it is made of."""
        return self.data.account

    @property
    def digest(self) -> str:
        """That of the data, the share and the ids."""
        told = f"{self.share.hex()} {self.first} {self.sentinels} {''.join(one.mode for one in self.mixture)}"
        return f"{self.data.digest} {told}"

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of a whole step: those of targets, and of rows that stay as they are."""
        return _weighed(self, step)

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows rank::world of one step."""
        rows = self.data.batch(step, rank=rank, world=world)
        number = step * self.data.batch_rows + np.arange(rank, self.data.batch_rows, world)[: len(rows.ids)]
        out = {
            name: getattr(rows, name).copy()
            for name in ("ids", "targets", "segments", "documents", "weights", "places")
        }
        for at, row in enumerate(number.tolist()):
            self._puzzle(out, at, row)
        return replace(rows, **out)

    def _puzzle(self, out: dict[str, npt.NDArray[np.generic]], at: int, row: int) -> None:
        """Make row `at` of a batch, number `row` of the run, a puzzle where it is drawn to be one."""
        lot, which = uniform(
            np.array([[row, 0], [row, 1]], dtype=np.uint64), seed=self.data.seed, salt="winnow.ul2.row"
        )
        real = out["weights"][at] > 0
        tokens, context, end = out["targets"][at][real], real.size, self.data.end
        number = int(which * len(self.mixture))
        denoiser = self.mixture[number]
        length = self._fitting(denoiser, len(tokens), context)
        if lot >= self.share or length < 2:
            return
        noise = noise_mask(length, denoiser, row=row, seed=self.data.seed)
        read, target = corrupted(tokens[:length].astype(np.int64), noise, self.first + len(MODES))
        whole = np.concatenate(([self.first + MODES.index(denoiser.mode)], read, target, [end]))
        document = self._documents(out["documents"][at][real][:length], noise)
        for name, fill in (
            ("ids", end),
            ("targets", end),
            ("segments", -1),
            ("documents", -1),
            ("weights", 0),
            ("places", 0),
        ):
            out[name][at] = fill
        used = slice(0, len(whole))
        out["ids"][at][used] = np.concatenate(([end], whole[:-1]))
        out["targets"][at][used], out["segments"][at][used] = whole, 0
        out["documents"][at][used], out["places"][at][used] = document, np.arange(len(whole))
        out["weights"][at][1 + len(read) : len(whole)] = 1

    def _documents(self, documents: Ints, noise: npt.NDArray[np.bool_]) -> Ints:
        """Whose each position of a puzzle is, i64[n]: a sentinel is its span's first token's, the mode the first's."""
        count, begins = len(documents), np.flatnonzero(noise & ~np.concatenate(([False], noise[:-1])))
        places = np.concatenate((np.arange(count), begins))  # of tokens, then of sentinels
        read, target = corrupted(np.arange(count), noise, count)
        return documents[places[np.concatenate(([0], read, target, [count - 1]))]]

    def _fitting(self, denoiser: Denoiser, length: int, context: int) -> int:
        """The most tokens, of `length`, that fit the context with their sentinels, mode and end."""
        length = min(length, context - 2)
        while length >= 2:
            spans = denoiser.counts(length)[1]
            over = length + 2 * spans + 2 - context
            if over <= 0 and spans <= self.sentinels:
                break
            length -= max(1, over // 2)
        return length


@functools.lru_cache(maxsize=2)
def _weighed(data: Denoised, step: int) -> int:
    return int((data.batch(step).weights > 0).sum())
