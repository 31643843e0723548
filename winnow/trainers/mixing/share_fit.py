"""What every fit of shares on runs has in common: which losses count, the prior, caps, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.operators import Context, Exactness, Job, port
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given
from winnow.core.terminal import percent
from winnow.trainers.mixing import runs as tables
from winnow.trainers.mixing.crossvalidate import Predictor, Quality, left_out, quality
from winnow.trainers.mixing.hull import beyond
from winnow.trainers.mixing.runs import Runs
from winnow.trainers.mixing.simplex import check_caps, within

Floats = npt.NDArray[np.float64]
AT_CAP = 1e-3  # a share this near to its cap, relatively, is at it
FROZEN = "(frozen)"  # the value that stands for all frozen ones
OUTSIDE = 0.01  # total variation between a mixture and the nearest one within the sampled hull


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a fit: the runs, what to minimise, where to stay near, and within which caps."""

    runs: Runs
    weights: Mapping[str, float]  # target -> its weight in what is minimised
    prior: Floats
    caps: Floats
    budget: int  # tokens; 0: none was said
    sizes: Mapping[str, float] | None  # tokens of every value
    seed: int
    frozen: Mapping[str, float] = field(default_factory=dict)  # values behind the value FROZEN, with their proportions

    def named(self, shares: Floats) -> dict[str, float]:
        """{value: share}, what is frozen value by value."""
        found = {value: float(share) for value, share in zip(self.runs.values, shares, strict=True)}
        whole = found.pop(FROZEN, 0.0) if self.frozen else 0.0
        return found | {value: whole * part for value, part in self.frozen.items()}

    @cached_property
    def losses(self) -> Floats:
        """What is minimised, of every run, f64[runs]."""
        return np.asarray(self.runs.losses @ np.asarray(list(self.weights.values())))

    def objective(self, laws: Mapping[str, Predictor], shares: Floats) -> Floats:
        """What is minimised, as it is predicted for shares f64[n, values]."""
        return np.asarray(sum(weight * laws[name](shares) for name, weight in self.weights.items()))


@dataclass(frozen=True, kw_only=True)
class ShareFit(Job):
    """Fields and answer of a fit of shares on runs; its kinds say `fit_one` and `choose`."""

    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("scipy",)
    seeded: ClassVar[bool] = True
    meaning: ClassVar[Mapping[str, Meaning]] = {"targets": "labels", "prior": "labels", "sizes": "labels"}
    read_at: ClassVar[ReadAt] = {"max_repeats": ("budget", given), "sizes": ("budget", given)}

    runs: str = port("ref")  # `mixture_runs`, or `runs_table`
    targets: dict[str, float] | tuple[str, ...] = ()  # losses to minimise, with weights; default: all alike
    prior: dict[str, float] | None = None  # shares to begin from; default: those of the pool, else the runs' mean
    budget: Budget | None = None  # tokens of the run that the shares are for: caps what a value can give
    sizes: dict[str, float] | None = None  # value -> its tokens; default: those of the runs' pool
    max_repeats: float = 4.0  # epochs of a value at most
    folds: int = 5  # of the runs, to say how well what was not seen is predicted

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        if self.folds < 2:
            raise ConfigError(f"{self.folds} folds leave nothing out", where="folds", hint="2 or more")
        if self.max_repeats <= 0:
            raise ConfigError(f"max_repeats is {self.max_repeats}, and must be above 0", where="max_repeats")
        if self.budget is not None and self.budget.unit != "tokens":
            raise ConfigError(f"a budget of {self.budget}", where="budget", hint="in tokens: shares are of tokens")
        if isinstance(self.targets, dict) and not any(self.targets.values()):
            raise ConfigError("no target has a weight", where="targets", hint="give `target: weight`")
        for name in ("prior", "sizes", "targets"):
            held = getattr(self, name)
            if isinstance(held, dict) and held and min(held.values()) < 0:
                raise ConfigError(f"{name} has {min(held.values())}", where=name, hint="0 or more each")
        if self.prior is not None and not any(self.prior.values()):
            raise ConfigError("all shares are 0", where="prior")

    def fit_one(self, shares: Floats, losses: Floats) -> Predictor:
        """What predicts one target's loss, from the `features` of runs."""
        raise NotImplementedError

    def choose(self, asked: Asked, laws: Mapping[str, Predictor]) -> tuple[Floats, dict[str, Any]]:
        """The best shares, and what is told of the search."""
        raise NotImplementedError

    def least_runs(self, values: int) -> int:
        """How many runs the fit needs."""
        return values + 1

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `weights` {value: share}, `predicted` and `predicted_prior` losses, `fit` {target: of runs left out,
        Spearman's rho and errors}, `chosen` {value: share} where the weights are the prior's instead.

        Raises:
            DataError: the table cannot be used: the message names run and column.
        """
        asked = self.asked(ctx)
        self.check_enough(asked)
        laws, fits, overall = self.fitted(asked)
        found, search = self.choose(asked, laws)
        told = {"fit": {n: q.row() for n, q in fits.items()}, "objective": overall.row(), "runs": len(asked.runs)}
        used = found if overall.tells else asked.prior
        self.tell(ctx, asked, found, overall, laws)
        answer = {
            "weights": asked.named(used), **told, **search,
            "predicted": self.predictions(asked, laws, used),
            "predicted_prior": self.predictions(asked, laws, asked.prior),
            "prior": asked.named(asked.prior),
        }  # fmt: skip
        answer |= {} if overall.tells else {"chosen": asked.named(found)}
        answer |= {"epochs": self.epochs(asked, used)} if asked.sizes is not None and asked.budget else {}
        ctx.note("summary", self.summary(asked, used, overall))
        return answer

    def asked(self, ctx: Context) -> Asked:
        """The table with what its stage says of the pool. Raises DataError where it cannot be used."""
        source = ctx.ref("runs")
        table, about = tables.checked(tables.load(source.files()[tables.FILE])), source.result()
        weights = tables.weights_of(self.targets, table)
        table = table.of(list(weights))
        for name, losses in zip(table.targets, table.losses.T, strict=True):
            if np.ptp(losses) == 0:
                raise DataError(f"the loss on {name!r} is {losses[0]:g} in all {len(table)} runs", where="runs",
                                hint="leave the target out: nothing depends on the shares")  # fmt: skip
        prior = self._per_value(self.prior or about.get("prior"), table.values, "prior")
        if prior is None or not prior.sum() > 0:
            prior = table.shares.mean(axis=0)
            ctx.note("prior_from", "the mean of the runs: no `prior:` was given and their stage knows no pool")
        sizes = self._sizes(about)
        caps = self._caps(sizes, table.values)
        return Asked(runs=table, weights=weights, prior=within(prior / prior.sum(), caps), caps=caps, sizes=sizes,
                     budget=int(self.budget.amount) if self.budget else 0, seed=ctx.seed)  # fmt: skip

    def _sizes(self, about: Mapping[str, Any]) -> Mapping[str, float] | None:
        """Tokens of every value; None where there is no budget to compare them with.

        Raises:
            ConfigError: there is one, and nothing says them.
        """
        if self.budget is None:
            return None
        found = self.sizes or (about.get("sizes") if about.get("unit") == "tokens" else None)
        if not found:
            raise ConfigError("a budget caps nothing without the tokens of every value", where="sizes",
                              hint="add `sizes: {value: tokens}`, or leave out `budget`")  # fmt: skip
        return dict(found)

    def _caps(self, sizes: Mapping[str, float] | None, values: Sequence[str]) -> Floats:
        """The largest share of every value."""
        held = self._per_value(sizes, values, "sizes")
        if held is None or self.budget is None:
            return np.ones(len(values))
        caps = np.minimum(1.0, self.max_repeats * held / self.budget.amount)
        check_caps(caps)
        return caps

    def check_enough(self, asked: Asked) -> None:
        """Raise DataError where there are fewer runs than the fit needs."""
        runs, values = len(asked.runs), len(asked.runs.values)
        need = self.least_runs(values)
        if runs < need:
            raise DataError(f"{runs} runs for {values} values: {self.name} needs {need}", where="runs",
                            hint="more runs, or fewer values: `mixture: {least: ...}`")  # fmt: skip

    @staticmethod
    def _per_value(given: Mapping[str, float] | None, values: Sequence[str], where: str) -> Floats | None:
        if given is None:
            return None
        for name in given:
            if name not in values:
                raise DataError(f"the runs have no share of {name!r}", where=where, hint=did_you_mean(name, values))
        return np.asarray([float(given.get(name, 0.0)) for name in values])

    def features(self, asked: Asked) -> Floats:
        """What is known of every run for the fit, f64[runs, features]: its shares."""
        return asked.runs.shares

    def at(self, asked: Asked, shares: Floats) -> Floats:
        """The same of mixtures f64[n, values], for the run that they are for."""
        return shares

    def fitted(self, asked: Asked) -> tuple[dict[str, Predictor], dict[str, Quality], Quality]:
        """Of every target what predicts its loss and how well on runs left out; and how well what is minimised is."""
        laws, fits, total = {}, {}, np.zeros((2, len(asked.runs)))
        known = self.features(asked)
        for name, losses in zip(asked.runs.targets, asked.runs.losses.T, strict=True):
            laws[name] = self.fit_one(known, losses)
            found = left_out(self.fit_one, known, losses, folds=self.folds, seed=asked.seed)
            fits[name] = quality(found[0], losses, found[1])
            total += asked.weights[name] * np.stack(found)
        return laws, fits, quality(total[0], asked.losses, total[1])

    def predictions(self, asked: Asked, laws: Mapping[str, Predictor], shares: Floats) -> dict[str, float]:
        """Target -> its predicted loss at one mixture."""
        return {name: float(law(self.at(asked, shares[None]))[0]) for name, law in laws.items()}

    def tell(self, ctx: Context, asked: Asked, found: Floats, overall: Quality, laws: Mapping[str, Predictor]) -> None:
        """Remark a fit that knows nothing, an extrapolation, and shares at their caps."""
        if not overall.tells:
            rho = "none" if overall.spearman is None else f"{overall.spearman:.2f}"
            ctx.remark(f"left-out runs are predicted no better than by their mean (error {overall.rmse:.4g} against "
                       f"{overall.rmse_of_mean:.4g}, rank correlation {rho} over {overall.runs} runs), so the weights "
                       "are the prior's: train more or longer runs, or runs further apart")  # fmt: skip
            return
        away = beyond(found, asked.runs.shares)
        if away > OUTSIDE:
            ctx.remark(f"the chosen mixture lies outside of the sampled ones ({percent(away)} of it would "
                       "have to move), where its prediction is an extrapolation: train runs near it")  # fmt: skip
        full = [
            v for v, s, c in zip(asked.runs.values, found, asked.caps, strict=True) if c < 1 and s >= c * (1 - AT_CAP)
        ]
        if full:
            names = ", ".join(full[:3]) + (" ..." if len(full) > 3 else "")
            ctx.remark(f"{names}: at the cap of {self.max_repeats:g} epochs in {asked.budget:,} tokens; more would be "
                       "taken: raise `max_repeats`, or add data")  # fmt: skip

    @staticmethod
    def epochs(asked: Asked, shares: Floats) -> dict[str, float | None]:
        """Value -> its epochs within the budget; None where it holds nothing."""
        sizes = asked.sizes or {}
        return {value: share * asked.budget / sizes[value] if sizes.get(value) else None
                for value, share in asked.named(shares).items()}  # fmt: skip

    @staticmethod
    def summary(asked: Asked, shares: Floats, overall: Quality) -> str:
        """The stage's line in a terminal."""
        top = sorted(((share, value) for value, share in asked.named(shares).items()), reverse=True)[:3]
        rho = "none" if overall.spearman is None else f"{overall.spearman:.2f}"
        shown = ", ".join(f"{value} {percent(share, 0)}" for share, value in top)
        return f"{shown}; rank correlation of left-out runs {rho} ({overall.runs} runs)"
