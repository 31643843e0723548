"""CLIMB: mixtures, runs, a predictor, and again from what it finds best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Resources, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.trainers.ablation.grid import Runs, derived_seed
from winnow.trainers.mixing.climb_step import ClimbStep
from winnow.trainers.mixing.drawn_mixture import Drawing
from winnow.trainers.mixing.listed_mixture import ListedMixture
from winnow.trainers.mixing.mixture_runs import MixtureGrid
from winnow.trainers.mixing.proxies import Proxies
from winnow.trainers.mixing.regmix import RegMix, Searching


@dataclass(frozen=True, kw_only=True)
class Climb(Searching, Drawing, Proxies):
    """Shares of a mixture by iterated runs: the result's `weights`, adding up to 1, for `mixture: {weights_from: ...}`.

    `mixture` names a `mixture` stage, as for `mixture_runs`; the values of its `per` are usually clusters. The first of
    `iterations` trains on drawn mixtures; each further one on some of those that a regression on all runs before it
    predicts to be best, of fewer and fewer. The weights are those of `regmix` on all runs.

    Cost: the sum of `iterations` trainings, each iteration after the one before.
    Source: CLIMB (Diao et al. 2025, arXiv 2504.13161): 64, 32 and 16 runs, LightGBM; kept shares own
    """

    name: ClassVar[str] = "climb"
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers", "lightgbm", "scipy")
    takes: ClassVar[tuple[str, ...]] = ("mixture",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    mixture: str = port("ref")
    iterations: tuple[int, ...] = (32, 16, 8)  # runs of each
    keep: float = 0.1  # of the simulated mixtures after the first iteration, its square after the second, ...

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range, or two fields do not go together.
        """
        if len(self.iterations) < 2 or min(self.iterations) < 1:
            raise ConfigError(f"iterations is {list(self.iterations)}", where="iterations",
                              hint="two or more: [32, 16, 8]; for one, `mixture_runs` and `regmix`")  # fmt: skip
        if not 0 < self.keep < 1:
            raise ConfigError(f"keep is {self.keep}, and lies in (0, 1)", where="keep")
        if self.frozen:
            raise ConfigError("frozen values are not narrowed", where="frozen", hint="`swarm` knows them")
        self.check_drawing()
        self.check_search()
        self.check_runs(sum(self.iterations))
        for number, num in enumerate(self.iterations[1:]):
            ClimbStep(**part_of(self, Searching), runs="", num=num, share_left=self.keep ** (number + 1)).validate()

    def like(self) -> str:
        """The mixture."""
        return self.mixture

    def expand(self, scope: Scope) -> list[Sub]:
        """Iteration by iteration the mixtures, their runs and the table; then the fit."""
        everything = [f"m{number}" for number in range(sum(self.iterations))]
        grid = MixtureGrid(self, scope, everything)
        grid.refuse_unit("tokens")
        seed = derived_seed(scope.seed, "climb", 0)
        runs, done, table = Runs(), 0, ""
        for iteration, num in enumerate(self.iterations):
            labels = everything[done : done + num]
            step = ""
            if iteration:
                operator = ClimbStep(
                    **part_of(self, Searching), **grid.capped(), num=num, share_left=self.keep**iteration
                )
                step = grid.add(Sub(name=f"step_{iteration}", operator=operator, refs={"runs": table}, seed=seed))
            for number, label in enumerate(labels):
                grid.mix(label, self._weights(grid, step, number, label))
            runs = runs.merged(grid.trained(labels))
            done += num
            table = grid.collected(f"table_{iteration}", runs, grid.mixed(everything[:done]))
        fit = RegMix(**part_of(self, Searching), **grid.capped())
        return [*grid.subs.values(), Sub(name="fit", operator=fit, refs={"runs": table}, seed=seed)]

    def _weights(self, grid: MixtureGrid, step: str, number: int, label: str) -> str:
        """The stage with the shares of a run: by lot, or one of those that the step before found."""
        if not step:
            return grid.draw(part_of(self, Drawing), number, label)
        return grid.add(Sub(name=f"draw_{label}", operator=ListedMixture(number=number, step=""), refs={"step": step}))
