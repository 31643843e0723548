"""`salt`: for the first steps a smaller model's expectations are learned beside the tokens themselves.

small: {use: train, selection: plain, size: 0.5M}
effect: {use: ablation, baseline: plain, arms: {taught: {data: plain, policy: {use: salt, teacher: small}}}, ...}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators import port
from winnow.trainers.data.batches import Batch
from winnow.trainers.online.plain_policy import PlainPolicy
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.soft import Soft, check_softness
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class Salt(PlainPolicy):
    """Soft labels of a teacher for the first `until` of the steps, then the tokens alone.

    The loss of a token is (1 - share) x its own + share x the cross-entropy to softmax(teacher's logits / temperature);
    over the last `decay` of the taught steps the share falls linearly to 0. The teacher may be smaller than the model
    that is trained, or of its size, or larger (ordinary distillation, which is remarked); it reads the same ids.
    Losses that the run tells are of this mixture while it is taught. `share: 0` and `until: 0` train to the bits of a
    run without policy.

    Cost: one forward pass of the teacher per taught step: about N_teacher / (3 N_student) of it.
    Source: SALT (Rawat et al. 2024, A Little Help Goes a Long Way), two stages with hard and soft labels; default
    share, temperature and length as remembered of it, not checked. SALT_DS selects what is taught by `lm_nats` of an
    early checkpoint and an ordinary selector.
    """

    name: ClassVar[str] = "salt"
    seam: ClassVar[Seam] = "targets"
    models: ClassVar[tuple[str, ...]] = ("teacher",)

    teacher: str = port("ref")
    share: float = 0.667
    temperature: float = 1.0
    until: float = 0.17  # of the steps
    decay: float = 0.0  # of the taught steps

    def validate(self) -> None:
        """Raise ConfigError for a number out of its range."""
        check_softness(self.share, self.temperature)
        for name in ("until", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be in [0, 1]", where=name)

    def shares(self, steps: int) -> npt.NDArray[np.float64]:
        """Share of the soft labels at every step, f64[steps]."""
        taught = round(self.until * steps)
        falling = round(self.decay * taught)
        step = np.arange(steps)
        left = np.clip((taught - step) / (falling + 1), 0.0, 1.0)
        return np.where(step < taught, self.share * left, 0.0)

    def begin(self, told: Told) -> Acting:
        """The shares of all steps."""
        return Taught(policy=self, told=told)


class Taught(Acting):
    """Soft labels while they have a share."""

    def __init__(self, *, policy: Salt, told: Told) -> None:
        self._policy, self._shares, self._told = policy, policy.shares(told.steps), told

    def head_extra(self, step: int, rows: Batch, device: str) -> Any:
        """The teacher's labels at this step's share; None where it has none."""
        share = float(self._shares[step])
        return Soft(share=share, temperature=self._policy.temperature) if share > 0 else None

    def figures(self) -> dict[str, Any]:
        """Steps with soft labels, and the sizes of teacher and model where these are known."""
        return {"taught_steps": int((self._shares > 0).sum()), "steps": len(self._shares),
                "mean_share": float(self._shares.mean()) if len(self._shares) else 0.0}  # fmt: skip

    def remarks(self) -> tuple[str, ...]:
        """That no step was taught though one should have been."""
        if self._policy.share > 0 and self._policy.until > 0 and not (self._shares > 0).any():
            return (f"until {self._policy.until:g} of {len(self._shares)} steps is none: no step was taught; raise it",)
        return ()
