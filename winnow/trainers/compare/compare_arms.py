"""The comparison of all runs of an ablation: the metrics that the report and the terminal show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from winnow.core.errors import DataError
from winnow.core.operators import Context, Exactness, Job, Source, port
from winnow.trainers.compare import effects_table, ensembles, intervals, lexical, power, shares
from winnow.trainers.compare.arms import BASELINE, MAIN, UNITS, Arm, check_equal, open_arm, secondary_measures
from winnow.trainers.compare.common_documents import Common, common_of
from winnow.trainers.compare.comparison_text import notes
from winnow.trainers.compare.curves import Curved, curve_metrics
from winnow.trainers.compare.decision import scale_agreement
from winnow.trainers.compare.equal_arms import draws_of, equal_arms, fixed_by
from winnow.trainers.compare.fold_lines import Folded, fold_facts
from winnow.trainers.compare.inference import Pool
from winnow.trainers.compare.phase_lines import phases_of_runs
from winnow.trainers.compare.policy_lines import policy_of_runs
from winnow.trainers.compare.question import Asked
from winnow.trainers.compare.repetition import exposure
from winnow.trainers.compare.soups import fixed_soups, soup_of_runs, with_soups
from winnow.trainers.compare.starts_text import start_facts, starts_of
from winnow.trainers.compare.tuning_text import at_choices, tuning_metrics
from winnow.trainers.compare.verdict_text import sentences

Pools = Mapping[tuple[str, str], Pool]
SCREENING_BELOW = 15_000_000  # parameters: rankings of smaller models often differ from those of large ones


@dataclass(frozen=True, kw_only=True)
class Compare(Asked, Folded, Curved, Job):
    """Differences to the baseline per arm and target, with interval, verdict and an A/A row.

    Two questions have an answer each: is this selection better, and is the method that made it (`inference`).

    References: `runs` {label/seed}, `scores` {label/seed/target}; where they are part of the ablation, comparisons at
    other learning rates (`rates`) and of other sizes (`scales`), the token `multiplier`, scores of `ensembles`
    {label/whole and label/without-seed}, `lexical` {label/seed: n-gram models of the run's tokens}, the choices of a
    `tuning` grid {label}, and overlap `checks`, which refuse by failing.

    Source: as variance_components, dunnett and item_noise; Holm 1979 for further targets; Fieller 1954 for shares; own
    """

    name: ClassVar[str] = "compare_arms"
    role: ClassVar[str] = "trainer"
    in_comparison: ClassVar[str] = "comparison"
    version: ClassVar[int] = 9  # 9: where one label hardly varies, the noise of the draw is not taken for none
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("scipy",)
    former: ClassVar[Mapping[str, str]] = {"oracle": "reference"}

    arms: tuple[str, ...]
    controls: tuple[str, ...]  # arms that repeat the baseline
    fixed: tuple[str, ...]  # arms whose selection is the same for every seed
    baseline_fixed: bool
    targets: tuple[str, ...]  # the first is the declared primary one
    seeds: int
    soups: dict[str, dict[str, float]] | None = None  # arms that are averages of others: label -> arm -> its weight
    reference: str = ""
    wanted: float = 0.0  # a difference that should be found; 0: none was named
    scale: str = ""  # the name of this model's size, where others are compared with it
    proxy: tuple[str, ...] = ()  # the proxy's name, where one was given, and what other fields change of it
    runs: dict[str, str] | None = port("refs", default=None)
    scores: dict[str, str] | None = port("refs", default=None)
    rates: dict[str, str] | None = port("refs", default=None)
    scales: dict[str, str] | None = port("refs", default=None)
    ensembles: dict[str, str] | None = port("refs", default=None)
    checks: dict[str, str] | None = port("refs", default=None)
    lexical: dict[str, str] | None = port("refs", default=None)
    tuning: dict[str, str] | None = port("refs", default=None)
    multiplier: str = port("ref", default="")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics of the comparison; `render` prints them.

        Raises:
            DataError: runs differ in tokens or held-out items, so that they cannot be compared, or the baseline failed.
        """
        checked = list(_checked(ctx).values())
        draws = draws_of(checked, self._all_fixed())
        metrics = self._with_fixed(draws)._metrics(ctx, checked) | {"draws": draws, **fold_facts(self, checked)}
        metrics["verdicts"] = sentences(metrics)
        metrics["notes"] = notes(metrics)
        return metrics

    def _with_fixed(self, draws: Mapping[str, Mapping[str, Any]]) -> Self:
        """The comparison with those arms `fixed` whose seeds select the same documents, whatever was declared."""
        soups = self.soups or {}
        fixed = [label for label in fixed_by(draws, self._all_fixed()) if label not in soups]
        fixed += fixed_soups(soups, fixed)
        return dataclasses.replace(
            self, fixed=tuple(n for n in fixed if n != BASELINE), baseline_fixed=BASELINE in fixed
        )

    def _all_fixed(self) -> tuple[str, ...]:
        return (*self.fixed, *([BASELINE] if self.baseline_fixed else []))

    def _metrics(self, ctx: Context, checked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        baseline, others = self._open(ctx)
        soups = self.soups or {}
        labels = [label for label in (BASELINE, *self.arms) if label not in soups]
        common = common_of(checked, labels, seeds=self.seeds, fixed=self._all_fixed())
        common = with_soups(common, soups, seeds=self.seeds) if soups else common
        metrics = self._compared(baseline, others, common)
        self._share(metrics, metrics["arms"])
        metrics["noise"] = self._noise(metrics)
        metrics["proxy"] = list(self.proxy)
        lexical.add(metrics, ctx.refs.get("lexical", {}))
        metrics |= self._parts(ctx, metrics)
        if "curves" in ctx.refs:
            metrics |= curve_metrics(self, ctx.refs["curves"], starts_of(metrics))
        metrics |= equal_arms(checked, {label: arm.runs for label, arm in {BASELINE: baseline, **others}.items()})
        return metrics

    def _open(self, ctx: Context) -> tuple[Arm, dict[str, Arm]]:
        runs, scores = ctx.refs["runs"], ctx.refs["scores"]
        opened = {label: open_arm(label, self.seeds, runs, scores, self.targets) for label in (BASELINE, *self.arms)}
        check_equal(list(opened.values()))
        baseline = opened.pop(BASELINE)
        if baseline.failed:
            raise DataError(f"the baseline has a failed run: {baseline.failed['why']}",
                            where=f"seed {baseline.failed['seed']}", hint="lower the learning rates")  # fmt: skip
        return baseline, opened

    def _compared(self, baseline: Arm, others: Mapping[str, Arm], common: Common) -> dict[str, Any]:
        """Rows of all arms that were trained to the end; the others apart, with the reason."""
        failed = {label: arm.failed for label, arm in others.items() if arm.failed}
        stopped = {label: arm for label, arm in others.items() if arm.stopped and label not in failed}
        whole = {label: arm for label, arm in others.items() if label not in failed and label not in stopped}
        able = [baseline, *whole.values(), *stopped.values()]
        pools = effects_table.pools(
            able, self.targets, common, fixed=frozenset(self._all_fixed()), folds=self.folds,
            apart=frozenset(self.soups or {}),
        )  # fmt: skip
        effects = {label: self._effects(pools, arm, baseline) for label, arm in whole.items()}
        measures = {label: self._measures(pools, arm, baseline) for label, arm in whole.items()}
        shown = [label for label in whole if label not in self.controls]
        effects_table.adjust(effects, measures, primary=self.targets[0], shown=shown, started=self._started())

        def row_of(label: str) -> dict[str, Any]:
            return {**self._facts(whole[label]), "effects": effects[label], "measures": measures[label]}

        first = baseline.runs[0]
        return {
            "primary": self.targets[0],
            "targets": {t: self._target(t, baseline) for t in self.targets},
            "arms": {label: row_of(label) for label in shown},
            "aa": {label: row_of(label) for label in whole if label in self.controls},
            "baseline": {**self._facts(baseline), "effects": {}, "measures": {}},
            "failed": failed,
            "stopped": {label: self._stopped(pools, arm, baseline) for label, arm in stopped.items()},
            "seeds": self.seeds,
            "components": {t: pools[t, ""].summary() for t in self.targets},
            "question": self.question,
            "alpha": intervals.ALPHA,
            "power": intervals.POWER,
            **{key: first[key] for key in ("parameters", "hidden_parameters", "tokens", "steps")},
            "precision": sorted({r["precision"] for a in (baseline, *whole.values()) for r in a.runs}),
            "screening_only": first["parameters"] < SCREENING_BELOW,
        }

    def _effects(self, pools: Pools, arm: Arm, baseline: Arm) -> effects_table.Rows:
        seeds = min(arm.trained, self.seeds)
        return {
            t: effects_table.effect(pools[t, ""], arm, baseline, t, seeds=seeds, question=self.question)
            for t in self.targets
        }

    def _measures(self, pools: Pools, arm: Arm, baseline: Arm) -> effects_table.Rows:
        return {
            f"{t} {name}": effects_table.measured(
                pools[t, name], arm, baseline, t, name, seeds=self.seeds, question=self.question
            )
            for t, name in secondary_measures(baseline, self.targets)
        }

    def _stopped(self, pools: Pools, arm: Arm, baseline: Arm) -> dict[str, Any]:
        """A stopped arm's interval over the seeds it had: reported, and never a verdict."""
        rows = self._effects(pools, arm, baseline)
        for row in rows.values():
            row |= {"verdict": "stopped", "p_adjusted": None, "primary": False}
        return {**(arm.stopped or {}), "effects": rows}

    def _facts(self, arm: Arm) -> dict[str, Any]:
        runs = arm.runs[: arm.trained]
        flat = [scores[self.targets[0]].get("flatness") for scores in arm.scores[: arm.trained]]
        return {
            "flatness": _mean_flatness([row for row in flat if row]),
            "scores": {t: arm.measure(t) for t in self.targets},  # of each seed, in the target's measure
            "tokens": runs[0]["tokens"],
            "operations": runs[0]["operations"],
            "fixed_selection": self.baseline_fixed if arm.label == BASELINE else arm.label in self.fixed,
            **exposure(runs),
            **phases_of_runs(runs),
            **policy_of_runs(runs),
            **soup_of_runs(runs),
            **start_facts(runs),
            **{k: [run[k] for run in runs] for k in ("steps", "selection_documents", "selection_tokens")},
        }

    def _target(self, target: str, baseline: Arm) -> dict[str, Any]:
        row = baseline.scores[0][target]
        measure = MAIN[row["kind"]]
        facts = {"kind": row["kind"], "measure": measure, "unit": UNITS[measure], "documents": row["facts"]["items"]}
        return {**facts, **row["facts"]}

    def _share(self, metrics: dict[str, Any], arms: Mapping[str, Any]) -> None:
        """Add `reference_share` per target to every other arm's row, where a reference is declared and did not fail."""
        metrics["reference"] = self.reference or None
        if self.reference not in arms:
            return
        for label, arm in arms.items():
            for target, row in arm["effects"].items():
                gains = arms[self.reference]["effects"][target]["differences"]
                row["reference_share"] = (
                    None if label == self.reference else shares.share_row(row["differences"], gains)
                )

    def _noise(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """What this comparison's own noise lets be found, for the next one."""
        target = self.targets[0]
        noise = power.own_noise(metrics["components"][target], unit=metrics["targets"][target]["unit"])
        found = noise or power.pooled_noise([], target, tokens=metrics["tokens"])
        return power.forecast(found, seeds=self.seeds, wanted=self.wanted or None, labels=power.Labels.of(self))

    def _started(self) -> int:
        """Arms that were to be compared: those that were stopped or failed count too."""
        return len(set(self.arms) - set(self.controls))

    def _parts(self, ctx: Context, metrics: dict[str, Any]) -> dict[str, Any]:
        rates = _results(ctx.refs.get("rates"))
        rows = {label: arm["effects"] for part in ("arms", "aa") for label, arm in metrics[part].items()}
        effects_table.mark_fragile(rows, rates)
        parts: dict[str, Any] = {"learning_rates": ["1", *rates]}
        lexical.add_variants(metrics, {"rates": rates, "scales": _results(ctx.refs.get("scales"))})
        if "tuning" in ctx.refs:
            parts["tuning"] = tuning_metrics(_results(ctx.refs["tuning"]))
        if "multiplier" in ctx.refs:
            parts["multiplier"] = ctx.ref("multiplier").result()
        if "scales" in ctx.refs:
            parts["scales"] = self._scales(metrics, _results(ctx.refs["scales"]))
        if "ensembles" in ctx.refs:
            labels = [*metrics["arms"], *metrics["aa"]]
            parts["ensembles"] = ensembles.rows(ctx.refs["ensembles"], labels, self.targets, self.seeds)
            ensembles.name_selections(parts["ensembles"], self.fixed)
        if "checks" in ctx.refs:
            checked = _checked(ctx)
            parts["overlap"] = {arm: found["targets"] for arm, found in checked.items()}
            parts |= same_selections([found.get("digests", {}) for found in checked.values()])
        return parts

    def _scales(self, metrics: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Decision accuracy per target between the sizes, and every size's effects on the primary target."""
        everything = {**others, self.scale: metrics}
        arms = [BASELINE, *metrics["arms"]]
        agreement = {
            t: scale_agreement({
                size: {a: _arm(m, a)["scores"][t] for a in arms if _arm(m, a)} for size, m in everything.items()
            })
            for t in self.targets
        }  # fmt: skip
        effects = {
            size: {a: m["arms"][a]["effects"][self.targets[0]] for a in m["arms"]} for size, m in everything.items()
        }
        return {"sizes": {s: m["parameters"] for s, m in everything.items()}, "agreement": agreement,
                "tokens": {s: m["tokens"] for s, m in everything.items()}, "effects": effects}  # fmt: skip


def same_selections(digests: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """`different_baselines` (how many of the baseline's selections differ from one another) and `same_as_baseline`
    {arm: at how many seeds it selects exactly the baseline's documents}, from digests by label/seed.
    """
    known = {key: digest for found in digests for key, digest in found.items()}
    own = {key: known[key] for key in known if key.rpartition("/")[0] == BASELINE}
    same: dict[str, int] = {}
    for key, digest in known.items():
        label, _, seed = key.rpartition("/")
        if label != BASELINE and digest == own.get(f"{BASELINE}/{seed}"):
            same[label] = same.get(label, 0) + 1
    return {"different_baselines": len(set(own.values())), "same_as_baseline": same}


def _mean_flatness(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Mean trace and loss over seeds; None where nothing was asked for."""
    if not rows:
        return None
    means = {key: sum(row[key] for row in rows) / len(rows) for key in ("trace", "loss")}
    return {**means, "traces": [row["trace"] for row in rows], "probes": rows[0]["probes"]}


def _arm(metrics: Mapping[str, Any], label: str) -> dict[str, Any]:
    found: dict[str, Any] = metrics["baseline"] if label == BASELINE else metrics["arms"].get(label, {})
    return found


def _checked(ctx: Context) -> dict[str, dict[str, Any]]:
    """What the overlap jobs found, with a tuning grid that of each label's chosen selections."""
    choices = _results(ctx.refs.get("tuning"))
    return {name: at_choices(found, choices) for name, found in _results(ctx.refs.get("checks")).items()}


def _results(sources: Mapping[str, Source] | None) -> dict[str, dict[str, Any]]:
    return {label: source.result() for label, source in (sources or {}).items()}
