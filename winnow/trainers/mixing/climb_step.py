"""One narrowing of CLIMB: the next mixtures, from those that the runs so far predict to be best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.numerics import rng
from winnow.core.operators import Context
from winnow.trainers.mixing.regmix import RegMix, simulated


@dataclass(frozen=True, kw_only=True)
class ClimbStep(RegMix):
    """Mixtures to train next: the result's `mixtures`, a list of {value: share}.

    Mixtures are drawn around the prior; those with the smallest predicted loss, `share_left` of them, are left of the
    search, and the next ones are taken from these by lot. Where the runs so far predict nothing, all are left.

    Source: CLIMB (Diao et al. 2025, arXiv 2504.13161); lots within the kept ones own
    """

    name: ClassVar[str] = "climb_step"

    num: int
    share_left: float  # share of the simulated mixtures

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: fewer mixtures are left than are to be taken.
        """
        super().validate()
        if self.share_left * self.simulated < self.num:
            raise ConfigError(f"{self.share_left:g} of {self.simulated:,} simulated mixtures are fewer than {self.num}",
                              where="simulated", hint="simulate more, or keep more")  # fmt: skip

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `mixtures`, `left`, and of the fit `objective`."""
        asked = self.asked(ctx)
        self.check_enough(asked)
        laws, _, overall = self.fitted(asked)
        drawn = simulated(asked, self.simulated)
        left = int(self.share_left * self.simulated) if overall.tells else self.simulated
        order = np.argsort(asked.objective(laws, drawn), kind="stable")[:left]
        lanes = np.zeros((left, 2), dtype=np.uint64)
        lanes[:, 0] = np.arange(left)
        lots = np.argsort(rng.keys(lanes, seed=ctx.seed, salt="climb"), kind="stable")[: self.num]
        if not overall.tells:
            ctx.remark(f"{len(asked.runs)} runs do not predict left-out ones better than their mean, and the search is "
                       "not narrowed: more runs in the iteration before, or longer ones")  # fmt: skip
        return {"mixtures": [asked.named(drawn[i]) for i in order[np.sort(lots)]], "left": left,
                "objective": overall.row()}  # fmt: skip
