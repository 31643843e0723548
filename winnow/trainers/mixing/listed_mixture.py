"""One mixture of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.operators import Context, Job, port


@dataclass(frozen=True, kw_only=True)
class ListedMixture(Job):
    """A mixture by its number in another stage's `mixtures`: the result's `weights`.

    Source: own
    """

    name: ClassVar[str] = "listed_mixture"
    role: ClassVar[str] = "trainer"

    number: int
    step: str = port("ref")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `weights`."""
        return {"weights": ctx.ref("step").result()["mixtures"][self.number]}
