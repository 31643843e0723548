"""RegMix-D: a schedule of mixtures by regression on the losses along the runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.trainers.mixing.crossvalidate import Predictor, Quality, left_out, quality
from winnow.trainers.mixing.regmix import Searching, simulated
from winnow.trainers.mixing.share_fit import Asked, Floats, ShareFit


@dataclass(frozen=True, kw_only=True)
class RegMixD(Searching, ShareFit):
    """Shares of a mixture phase by phase: the result's `phases`, and `weights` of one `phase` or of all together.

    The runs' curves are cut into `phases` of equal numbers of points. For each phase, the change of each target's loss
    is regressed on the shares and, after the first, on all losses at its beginning. The schedule is made forward: the
    mean of the mixtures with the smallest predicted loss at the end of the phase is its mixture, and the losses that
    are predicted for it are where the next one begins. `phases` of the result has `tokens` (from, to), `weights` and
    `predicted`; a stage with `phase: 2` gives the weights of the second one to `mixture: {weights_from: ...}`, from
    which `phases` selects. Runs whose shares never change say little of a change: a schedule that is not predicted to
    end below the best constant mixture by more than the error is remarked.

    Raises:
        DataError: the runs have fewer points than phases (`mixture_runs: {curve: 8}`).
    Cost: `phases` x (`folds` + 1) fits per target.
    Source: RegMix-D (Zhao et al. 2026, arXiv 2606.18663): losses along the runs, mixtures per stage, its offline form;
    regression of changes per phase, and the remark, own
    """

    name: ClassVar[str] = "regmix_d"
    uses: ClassVar[tuple[str, ...]] = ("lightgbm", "scipy")

    phases: int = 3
    phase: int = 0  # whose weights are the result's: 1 is the first; 0: their mean

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        self.check_search()
        if self.phases < 2:
            raise ConfigError(f"{self.phases} phase is no schedule", where="phases", hint="2 or more, or use `regmix`")
        if not 0 <= self.phase <= self.phases:
            raise ConfigError(f"phase {self.phase} of {self.phases}", where="phase", hint="1 is the first, 0 means all")

    def fit_one(self, shares: Floats, losses: Floats) -> Predictor:
        """Boosted trees or a plane."""
        return self.regress(shares, losses)

    def asked(self, ctx: Context) -> Asked:
        """With curves. Raises DataError where they are too short."""
        asked = super().asked(ctx)
        points = int((asked.runs.points > 0).sum()) if asked.runs.curves.size else 0
        if points < self.phases:
            raise DataError(f"the runs have {points} points of loss on the way for {self.phases} phases", where="runs",
                            hint="`mixture_runs: {curve: 8}` measures 8")  # fmt: skip
        return asked

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: those of a fit, with `phases` [{tokens, weights, predicted, fit}]."""
        asked = self.asked(ctx)
        self.check_enough(asked)
        laws, fits, overall = self.fitted(asked)
        best, _ = self.choose(asked, laws)
        steps = self.schedule(asked)
        self.tell(ctx, asked, best, overall, laws)
        ends = steps[-1]["predicted"]
        constant, scheduled = (sum(w * of[name] for name, w in asked.weights.items())
                               for of in (self.predictions(asked, laws, best), ends))  # fmt: skip
        if overall.tells and scheduled > constant - overall.rmse:
            ctx.remark(f"the schedule is predicted to end at {scheduled:.4g}, the best constant mixture at "
                       f"{constant:.4g} (error {overall.rmse:.2g}): `regmix` is as good here")  # fmt: skip
        shares = np.asarray([step.pop("shares") for step in steps])
        lengths = np.asarray([step["tokens"][1] - step["tokens"][0] for step in steps], dtype=np.float64)
        mean = lengths @ shares / lengths.sum()
        used = (shares[self.phase - 1] if self.phase else mean) if overall.tells else asked.prior
        for step, one in zip(steps, shares, strict=True):
            step["weights"] = asked.named(one if overall.tells else asked.prior)
        ctx.note("summary", self.summary(asked, used, overall))
        told = {"fit": {name: q.row() for name, q in fits.items()}, "objective": overall.row(), "runs": len(asked.runs)}
        return {"weights": asked.named(used), "phases": steps, "constant": asked.named(best), "predicted": ends,
                "prior": asked.named(asked.prior), **told}  # fmt: skip

    def choose(self, asked: Asked, laws: Mapping[str, Predictor]) -> tuple[Floats, dict[str, Any]]:
        """The best constant mixture."""
        drawn = simulated(asked, self.simulated)
        return best_of(drawn, asked.objective(laws, drawn), self.best), {}

    def schedule(self, asked: Asked) -> list[dict[str, Any]]:
        """The phases: `tokens`, `shares`, `predicted` {target: loss at its end}, `fit` of runs left out."""
        at = [0, *(int(i) for i in np.linspace(0, len(asked.runs.points) - 1, self.phases + 1)[1:].round())]
        drawn, out = simulated(asked, self.simulated), list[dict[str, Any]]()
        state = asked.runs.curves[:, :, 0].mean(axis=0)
        for begin, end in itertools.pairwise(at):
            starts = asked.runs.curves[:, :, begin] if out else np.zeros((len(asked.runs), 0))
            laws, found = self._phase(asked, np.concatenate((asked.runs.shares, starts), axis=1), begin, end)
            here = state[None] if out else np.zeros((1, 0))
            candidates = np.concatenate((drawn, np.repeat(here, len(drawn), axis=0)), axis=1)
            shares = best_of(drawn, asked.objective(laws, candidates), self.best)
            change = [float(law(np.concatenate((shares[None], here), axis=1))[0]) for law in laws.values()]
            state = state + np.asarray(change)
            tokens = [int(asked.runs.points[point]) for point in (begin, end)]
            predicted = dict(zip(laws, state.tolist(), strict=True))
            out.append({"tokens": tokens, "shares": shares, "predicted": predicted, "fit": found.row()})
        return out

    def _phase(self, asked: Asked, known: Floats, begin: int, end: int) -> tuple[dict[str, Predictor], Quality]:
        """What predicts how every target's loss changes in a phase, and how well the loss at its end is predicted."""
        laws, told = {}, np.zeros((2, len(asked.runs)))
        changes = asked.runs.curves[:, :, end] - asked.runs.curves[:, :, begin]
        for name, change in zip(asked.runs.targets, changes.T, strict=True):
            laws[name] = self.fit_one(known, change)
            found = left_out(self.fit_one, known, change, folds=self.folds, seed=asked.seed)
            told += asked.weights[name] * np.stack(found)
        weights = np.asarray([asked.weights[name] for name in asked.runs.targets])
        start, stop = (asked.runs.curves[:, :, at] @ weights for at in (begin, end))
        return laws, quality(told[0] + start, stop, told[1] + start)


def best_of(drawn: Floats, predicted: Floats, best: int) -> Floats:
    """The mean of the mixtures with the smallest predictions."""
    return np.asarray(drawn[np.argsort(predicted, kind="stable")[:best]].mean(axis=0))
