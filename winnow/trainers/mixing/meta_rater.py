"""Meta-rater: one score of many, weighed by what runs on random weightings reach."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Kind, Schema, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.trainers.ablation.grid import derived_seed
from winnow.trainers.mixing.drawn_mixture import DrawnMixture
from winnow.trainers.mixing.proxies import Proxies, ProxyGrid
from winnow.trainers.mixing.regmix import RegMix, Searching
from winnow.trainers.mixing.score_moments import Scored, ScoreMoments
from winnow.trainers.mixing.weighted_score import WeightedScore

COLUMN = "meta_rater"
FREE = 10**9  # repeats: weights of scores have no cap


@dataclass(frozen=True, kw_only=True)
class MetaRater(Searching, Scored, Proxies):
    """A weighted sum of scores, `meta_rater`, whose weights are those that proxy runs predict to be best.

    `scores` {name: column} are standardised; `runs` weightings are drawn (even Dirichlet), each makes a score, the
    selector that `selection` names (one with `by`, as `top_k`) selects by it, and a small model is trained and scored
    on `eval`. Losses are regressed on weights as by `regmix`; the weights are the result of `STAGE.fit`. Where left-out
    runs are not predicted better than by their mean, all scores weigh the same, which is remarked there.

    Cost: `runs` trainings.
    Source: Meta-rater (Zhuang et al. 2025, arXiv 2504.14194): 256 runs on 25 scores there
    """

    name: ClassVar[str] = "meta_rater"
    kind: ClassVar[Kind] = Kind.COLUMNS
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers", "lightgbm", "scipy")
    takes: ClassVar[tuple[str, ...]] = ("selection",)
    columns_from: ClassVar[tuple[str, ...]] = ("scores",)

    selection: str = port("ref")
    runs: int = 64

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: there are fewer than two scores, or a number is out of its range.
        """
        if len(self.scores) < 2:
            raise ConfigError(f"{len(self.scores)} score is weighed against nothing", where="scores",
                              hint="give two or more: `{edu: edu_score, clean: cleanliness}`")  # fmt: skip
        self.check_search()
        self.check_runs(self.runs)

    def outputs(self) -> Schema:
        """`meta_rater`."""
        return WeightedScore(scores=self.scores, moments="", weights="").outputs()

    def like(self) -> str:
        """The selection."""
        return self.selection

    def expand(self, scope: Scope) -> list[Sub]:
        """Moments; weights, score, selection and run per number; the fit; the score."""
        declared = scope.lookup(self.selection)
        if not getattr(declared.operator, "by", None):
            raise ConfigError(f"{self.selection!r} ({declared.operator.name}) selects by no score",
                              where=f"stages.{scope.stage}.selection", hint="name a `top_k` or `sample`")  # fmt: skip
        labels = [f"m{number}" for number in range(self.runs)]
        grid = ProxyGrid(self, scope, labels)
        moments = grid.add(Sub(name="moments", operator=ScoreMoments(scores=self.scores), inputs=grid.inputs,
                               where=scope.where))  # fmt: skip
        seed, drawn = derived_seed(scope.seed, "weightings", 0), {}
        for number, label in enumerate(labels):
            draw = DrawnMixture(number=number, budget=1, max_repeats=FREE, sizes="", temperature=0.0, min_share=0.0,
                                strength=(len(self.scores), len(self.scores)))  # fmt: skip
            drawn[label] = grid.add(Sub(name=f"draw_{label}", operator=draw, refs={"sizes": moments}, seed=seed))
            made = grid.add(self._score(grid, f"score_of_{label}", moments, drawn[label]))
            grid.made[label] = grid.add(self._selected(scope, declared, label, made))
        table = grid.collected("table", grid.trained(labels), {"drawn": drawn})
        operator = RegMix(**part_of(self, Searching), runs="", prior=dict.fromkeys(self.scores, 1.0))
        fit = grid.add(Sub(name="fit", operator=operator, refs={"runs": table}, seed=seed))
        face = self._score(grid, "score", moments, fit)
        return [*grid.subs.values(), face]

    def _score(self, grid: ProxyGrid, name: str, moments: str, weights: str) -> Sub:
        """The score of some weights."""
        operator = WeightedScore(scores=self.scores, moments="", weights="")
        return Sub(name=name, operator=operator, inputs=grid.inputs, where=grid.scope.where,
                   refs={"moments": moments, "weights": weights})  # fmt: skip

    def _selected(self, scope: Scope, declared: Sub, label: str, score: str) -> Sub:
        """The selection by a score."""
        operator: Any = declared.operator
        return dataclasses.replace(
            declared, name=f"select_{label}", operator=dataclasses.replace(operator, by=COLUMN),
            inputs=(*declared.inputs, score), seed=scope.seed if declared.seed is None else declared.seed,
            repeats=self.selection,
        )  # fmt: skip
