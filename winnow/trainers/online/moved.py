"""Whether a policy moved a run at all: what its weights and shares were beside those of a run without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.terminal import counted

ALIKE = 1e-4  # weights of tokens, relative to their own, or shares of domains that differ by less train alike


@dataclass(kw_only=True)
class Moved:
    """The extremes over all steps so far: of weights relative to the tokens' own, and of shares to those of sizes."""

    steps: int = 0  # that were weighed
    least: float = float("inf")
    most: float = 0.0
    domains: int = 0  # 0: this is no mixture
    apart: float = 0.0  # largest difference of a domain's share from its share of the tokens

    def weighed(self, own: npt.NDArray[np.float32], given: npt.NDArray[np.float32]) -> None:
        """One step's weights f32[B, T], before and after the policy."""
        self.steps += 1
        if given is own:
            self.least, self.most = min(self.least, 1.0), max(self.most, 1.0)
            return
        at = own > 0
        times = given[at] / own[at]
        self.least = min(self.least, float(times.min(initial=np.inf)))
        self.most = max(self.most, float(times.max(initial=0.0)))

    def shared(self, shares: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> None:
        """One step's shares of domains, and their sizes in tokens."""
        self.domains = len(sizes)
        self.apart = max(self.apart, float(np.abs(shares / shares.sum() - sizes / sizes.sum()).max()))

    @property
    def reweighed(self) -> bool:
        """Whether two tokens of the run had weights that differ."""
        return self.steps > 0 and self.most > self.least * (1 + ALIKE)

    def why_not(self, todo: str) -> str:
        """Why the policy cannot have changed what is learned of which document; "" where it may have."""
        if self.domains == 1:
            return f"all documents are of one domain, so that there is nothing to share out: {todo}"
        if self.domains:
            if self.apart > ALIKE:
                return ""
            return (f"the shares of its {counted(self.domains, 'domain')} were those of their tokens at every "
                    f"step, as without the policy: {todo}")  # fmt: skip
        if not self.steps or self.reweighed or self.least > self.most:
            return ""
        every = f"at all of {counted(self.steps, 'step')}"
        if abs(self.least - 1.0) <= ALIKE:
            return f"{every} each token counted as it does without the policy, up to {ALIKE:.0e} of its weight: {todo}"
        return (f"{every} each token's loss was multiplied by {self.least:.3g}, as by a learning rate, which tells "
                f"no document from another: {todo}")  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold, as JSON."""
        least = self.least if np.isfinite(self.least) else None
        return {
            "steps": self.steps,
            "least": least,
            "most": self.most,
            "domains": self.domains,
            "apart": self.apart,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.steps, self.domains = int(state["steps"]), int(state["domains"])
        self.least = float("inf") if state["least"] is None else float(state["least"])
        self.most, self.apart = float(state["most"]), float(state["apart"])
