"""One mixture drawn around a pool's own shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.numerics import rng
from winnow.core.operators import Context, Exactness, Job, port
from winnow.core.operators.contract import Meaning
from winnow.trainers.mixing.share_fit import FROZEN
from winnow.trainers.mixing.simplex import check_caps, dirichlet, within

Floats = npt.NDArray[np.float64]
STRENGTHS = 15  # between the smallest and the largest, evenly in logs
CANDIDATES = 256  # drawn for one mixture; the first within the caps is it


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How mixtures are drawn."""

    meaning: ClassVar[Mapping[str, Meaning]] = {"frozen": "labels"}

    temperature: float = 0.5  # exponent of the pool's shares, around which is drawn: 1 as they are, 0 even
    strength: tuple[float, ...] = (0.1, 5.0)  # of the Dirichlet distributions: small ones give mixtures of few values
    min_share: float = 0.002  # a smaller share becomes 0
    frozen: dict[str, float] | None = None  # values that keep these proportions, and are drawn as one

    def check_drawing(self) -> None:
        """Raise ConfigError where a number is out of its range."""
        if not 0 <= self.temperature <= 1:
            raise ConfigError(f"temperature is {self.temperature}, and lies in [0, 1]", where="temperature")
        if len(self.strength) != 2 or not 0 < self.strength[0] <= self.strength[1] < float("inf"):
            raise ConfigError(
                f"strength is {list(self.strength)}", where="strength", hint="[smallest, largest]: [0.1, 5]"
            )
        if not 0 <= self.min_share < 0.5:
            raise ConfigError(f"min_share is {self.min_share}, and lies in [0, 0.5)", where="min_share")
        if self.frozen is not None and (len(self.frozen) < 2 or min(self.frozen.values()) <= 0):
            raise ConfigError(f"frozen is {self.frozen}", where="frozen", hint="two values or more, each above 0")


@dataclass(frozen=True, kw_only=True)
class DrawnMixture(Drawing, Job):
    """A mixture by lot: the result's `weights` {value: share}, which depend on its number, the seed and the sizes.

    Dirichlet(strength x shares^temperature), at one of 15 strengths. Draws in which a value would be used more than
    `max_repeats` times are drawn again; after 256 of them one is moved to the nearest mixture within the caps
    (`moved`).

    Source: RegMix (Liu et al. 2024, arXiv 2407.01492); `min_share` 0.0002 of 1B tokens there, the move own
    """

    name: ClassVar[str] = "drawn_mixture"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-9)
    uses: ClassVar[tuple[str, ...]] = ("scipy",)
    seeded: ClassVar[bool] = True

    number: int
    budget: int  # in the unit of the sizes
    max_repeats: float
    sizes: str = port("ref")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `weights`, `moved`.

        Raises:
            DataError: all data with their repeats are less than the budget, or a frozen value holds nothing.
        """
        sizes = {str(v): float(s) for v, s in ctx.ref("sizes").result()["sizes"].items()}
        pool = merged_sizes(sizes, self.frozen)
        names, held = list(pool), np.asarray([size for size, _ in pool.values()])
        caps = np.minimum(1.0, self.max_repeats * np.asarray([most for _, most in pool.values()]) / self.budget)
        check_caps(caps)
        drawn = self._candidates(names, held, ctx.seed)
        fits = (drawn <= caps).all(axis=1)
        shares = drawn[int(fits.argmax())] if fits.any() else within(drawn[0], caps)
        found = dict(zip(names, shares.tolist(), strict=True))
        whole = found.pop(FROZEN, 0.0)
        total = sum((self.frozen or {}).values())
        found |= {name: whole * part / total for name, part in (self.frozen or {}).items()}
        return {"weights": {name: found[name] for name in sizes}, "moved": not fits.any()}

    def _candidates(self, names: list[str], held: Floats, seed: int) -> Floats:
        """Draws f64[CANDIDATES, values] without shares below the least."""
        lanes = np.zeros((CANDIDATES, 2), dtype=np.uint64)
        first = self.number * CANDIDATES
        lanes[:, 0] = np.arange(first, first + CANDIDATES)
        at = rng.uniform(lanes, seed=seed, salt="strength") * STRENGTHS
        levels = np.geomspace(self.strength[0], self.strength[1], STRENGTHS)
        tempered = (held / held.sum()) ** self.temperature
        alpha = levels[at.astype(np.int64)][:, None] * (tempered / tempered.sum())
        drawn = dirichlet(alpha, names, first=first, count=CANDIDATES, seed=seed, salt="mixture")
        cut = np.where(drawn < self.min_share, 0.0, drawn)
        return np.asarray(cut / cut.sum(axis=1, keepdims=True))


def merged_sizes(sizes: Mapping[str, float], frozen: Mapping[str, float] | None) -> dict[str, tuple[float, float]]:
    """Value -> (what it holds, what its share may use of that): the frozen ones as one, which the scarcest one limits.

    Raises:
        DataError: a frozen value holds nothing.
    """
    if not frozen:
        return {name: (size, size) for name, size in sizes.items()}
    for name in frozen:
        if name not in sizes:
            raise DataError(f"no document has the value {name!r}", where="frozen", hint=did_you_mean(name, sizes))
    total = sum(frozen.values())
    most = min(sizes[name] * total / part for name, part in frozen.items())
    rest = {name: (size, size) for name, size in sizes.items() if name not in frozen}
    return {**rest, FROZEN: (sum(sizes[name] for name in frozen), most)}
