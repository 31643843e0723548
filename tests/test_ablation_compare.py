"""What a comparison says of runs: verdicts, what it cannot claim, and the runs that it refuses or leaves out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from test_trainers import Source

from winnow.core.errors import DataError
from winnow.core.operators import Context
from winnow.dags.looking.selection_cost import machine_lines
from winnow.trainers.compare import comparison_text, dunnett, ensembles, intervals
from winnow.trainers.compare.compare_arms import Compare
from winnow.trainers.compare.halving_rung import Rung
from winnow.trainers.compare.target_base_rate import base_rate
from winnow.trainers.compare.token_multiplier import TokenMultiplier

NOISE = (0.01, -0.02, 0.015, -0.005, 0.012, -0.012)
SHAPE = {"vocab": 300, "width": 24, "layers": 1, "heads": 2, "context": 16}


def run_of(**changed) -> Source:
    return Source(metrics={
        "shape": SHAPE, "parameters": 1000, "hidden_parameters": 500, "operations": 6e6, "precision": "fp32",
        "steps": 9, "tokens": 900, "epochs": 0.5, "selection_documents": 3, "selection_tokens": 1800,
        "unique_tokens": 900, "unique_documents": 3, **changed,
    })  # fmt: skip


def score_of(
    folder: Path, name: str, target: str, value: float, *, accuracy: float | None = None, items: int = 4
) -> Source:
    path = folder / f"{name.replace('/', '-')}-{target}.npz"
    np.savez(
        path, **{f"{target}.bytes": np.full(items, 100), f"{target}.nats": np.full(items, value * 100 * math.log(2))}
    )
    measures = {"bits_per_byte": value} | ({} if accuracy is None else {"accuracy": accuracy, "centred": 0.0})
    row = {
        "kind": "choices" if accuracy else "documents",
        "measures": measures,
        "facts": {"items": items, "bytes": 100 * items},
    }
    return Source(files={"documents.npz": path}, metrics={"targets": {target: row}})


class World:
    """Runs and scores of arms whose bits per byte are given by a function of (arm, target, noise of the seed)."""

    def __init__(self, folder: Path, bits, *, arms=("best", "aa"), seeds=4, targets=("ref", "code"), accuracy=None):
        self.folder, self.arms, self.seeds, self.targets = folder, arms, seeds, targets
        self.runs, self.scores = {}, {}
        for label in ("baseline", *arms):
            for s in range(seeds):
                self.runs[f"{label}/{s}"] = run_of()
                for t in targets:
                    key = f"{label}/{s}/{t}"
                    good = None if accuracy is None else accuracy(label, NOISE[s])
                    self.scores[key] = score_of(folder, key, t, bits(label, t, NOISE[s]), accuracy=good)

    def compared(self, *, refs=None, **fields):
        operator = Compare(
            **{"arms": self.arms, "controls": tuple(a for a in self.arms if a == "aa"), "fixed": ("best",),
               "baseline_fixed": False, "targets": self.targets, "seeds": self.seeds, **fields},
        )  # fmt: skip
        refs = {"runs": self.runs, "scores": self.scores, **(refs or {})}
        return operator.run(Context(seed=0, work=self.folder, refs=refs))


def bits(label: str, target: str, e: float) -> float:
    if label == "best":
        return {"ref": 2.4 + e / 2, "code": 2.3 + e}[target]
    if label == "aa":
        return {"ref": 2.6 - e, "code": 2.0 + e}[target]
    return {"ref": 2.6 + e, "code": 2.0}[target]


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path, bits)


def test_the_comparison_says_better_worse_and_cannot_tell(world):
    metrics = world.compared()
    effects = metrics["arms"]["best"]["effects"]
    assert effects["ref"]["verdict"] == "better"
    assert effects["ref"]["mean_diff"] == pytest.approx(-0.2, abs=1e-3)
    assert effects["ref"]["low"] < effects["ref"]["mean_diff"] < effects["ref"]["high"] < 0
    assert effects["code"]["verdict"] == "worse"
    assert metrics["aa"]["aa"]["effects"]["ref"]["verdict"] == "cannot tell"
    assert metrics["primary"] == "ref"
    assert effects["ref"]["p_adjusted"] >= effects["ref"]["p"]
    assert effects["ref"]["p_sign_flip"] == pytest.approx(2 / 16)
    assert metrics["aa"]["aa"]["effects"]["ref"]["p_adjusted"] is None


def test_the_comparison_says_what_it_cannot_claim(world):
    metrics = world.compared(wanted=0.001)
    assert metrics["screening_only"]
    assert metrics["arms"]["best"]["effects"]["ref"]["fixed_selection"]
    text = "\n".join(comparison_text.render(metrics))
    for words in ("aa (A/A)", "better", "worse", "cannot tell", "screening only", "ref*", "one selection at all seeds",
                  "one learning rate", "4 seeds find a difference of", "the wanted 0.001 needs"):  # fmt: skip
        assert words in text


def test_a_sample_of_a_target_is_told(world):
    for source in world.scores.values():
        for row in source.result()["targets"].values():
            row["facts"]["items_found"] = 9 if row["facts"]["items"] else 0
    text = "\n".join(world.compared()["notes"])
    assert "ref: a keyed sample, 4 of 9 items" in text
    assert not any("keyed sample" in note for note in World(world.folder, bits).compared()["notes"])


def test_the_largest_overlap_of_all_selections_is_told():
    found = {label: {"ref": {"items": items}} for label, items in (("baseline", 2), ("best", 5), ("top", 0))}
    (line,) = comparison_text._overlap({"targets": ["ref", "code"], "overlap": found})
    assert line.startswith("up to 5 items of ref")


def test_the_share_of_looking_is_told_and_above_a_tenth_what_would_lower_it():
    metrics = {"targets": {
        "long": {"kind": "documents", "bytes": 1_000_000}, "short": {"kind": "documents", "bytes": 20_000},
    }}  # fmt: skip
    spent = {"training_seconds": 900.0, "evaluation_seconds": 1020.0, "comparison_seconds": 2.0}
    lines = machine_lines({**spent, "looking_share": 1022 / 1922}, metrics)
    assert "evaluation and comparison: 53% of the machine time" in lines[0]
    assert "`eval_bytes: 78000`" in lines[1], "98 of 1,020 s are left, so 98 kB: 20 of the short target, 78 of the long"
    few = {**spent, "evaluation_seconds": 50.0, "looking_share": 52 / 952}
    assert len(machine_lines(few, metrics)) == 1
    metrics["targets"]["short"]["kind"] = "choices"
    assert "`eval_bytes` reads" in machine_lines({**spent, "looking_share": 0.5}, metrics)[1]
    assert machine_lines({}, metrics) == []


def test_differences_without_any_spread_are_no_certainty(tmp_path):
    """An accuracy over few items can be off by the same amount at every seed: that is no noise of zero."""
    row = {}
    for seeds in (4, 6):
        world = World(tmp_path, bits, seeds=seeds, accuracy=lambda label, e: 0.5 if label == "best" else 0.25)
        row[seeds] = world.compared()["arms"]["best"]["measures"]["ref accuracy"]
        assert row[seeds]["p"] == pytest.approx(2 / 2**seeds)
        assert row[seeds]["verdict"] == "cannot tell"
    one = intervals.paired_effect([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3])
    assert one.p == pytest.approx(2 / 64), "nor are differences that rounding alone tells apart"
    assert intervals.paired_effect([0.0] * 6).p == 1.0


@pytest.mark.parametrize("controls", [(), ("aa",)])
def test_arms_that_were_stopped_or_failed_count_among_those_that_were_looked_at(tmp_path, controls):
    names = tuple(f"arm{i}" for i in range(6))

    def small(label, target, e):
        return 2.6 - (0.02 + 1.1 * e if label in names else e / 9 if label in controls else 0.0)

    world = World(tmp_path, small, arms=(*names, *controls), seeds=6)
    for s in range(2, 6):
        for label in names[2:]:
            world.runs[f"{label}/{s}"] = run_of(stopped={"seeds": 2, "why": "others were better"})
    world.runs["arm1/5"] = run_of(failed="the loss is nan at step 3 of 9")
    metrics = world.compared(fixed=())
    effect = metrics["arms"]["arm0"]["effects"]
    assert list(metrics["arms"]) == ["arm0"]
    p, part = effect["ref"]["p"], effect["ref"]["baseline_part"]
    assert effect["ref"]["p_adjusted"] == dunnett.adjusted(p, effect["ref"]["df"], [part], apart=5)
    assert effect["ref"]["p_adjusted"] > 4 * p
    assert effect["code"]["p_adjusted"] == pytest.approx(6 * effect["code"]["p"])
    assert metrics["noise"]["arms"] == 6
    assert sum(note.startswith("halving:") for note in metrics["notes"]) == 1


def test_halving_leaves_false_alarms_of_a_family_below_5_percent():
    """Eight arms equal to the baseline; two of them, the best after two seeds, are trained to the end."""
    draw = np.random.Generator(np.random.Philox(key=5)).normal(0, 0.05, (4000, 8, 6))
    kept = np.argsort(draw[:, :, :2].mean(axis=2), axis=1)[:, :2]
    values = np.take_along_axis(draw, kept[:, :, None], axis=1).reshape(8000, 6)
    mean, sd, half = intervals.t_intervals(values)
    assert mean.mean() / 0.05 == pytest.approx(-0.27, abs=0.02), "the documents say: by a quarter of the spread"
    assert (np.abs(mean) <= half).mean() == pytest.approx(0.93, abs=0.01), "and what the intervals cover"
    p = np.array([intervals._p_value(m, s, 6) for m, s in zip(mean, sd, strict=True)]).reshape(4000, 2)
    alarms = {
        others: np.mean([min(intervals.holm({"a": a, "b": b}, others=others).values()) < 0.05 for a, b in p])
        for others in (0, 6)
    }
    assert alarms[6] < 0.05 + 0.01
    assert alarms[0] > 0.065, "counting the survivors alone would forget how they were found"


def test_a_target_of_one_item_has_no_interval_over_items(tmp_path):
    world = World(tmp_path, bits)
    for key in world.scores:
        label, seed, target = key.split("/")
        value = bits(label, target, NOISE[int(seed)])
        world.scores[key] = score_of(tmp_path, f"one-{key}", target, value, items=1)
    row = world.compared()["arms"]["best"]["effects"]["ref"]
    assert (row["documents_low"], row["documents_high"]) == (None, None)
    assert row["verdict"] == "better", "the interval over seeds needs no second item"


def test_a_score_that_is_no_number_is_refused(tmp_path):
    world = World(tmp_path, bits)
    world.scores["best/1/ref"] = score_of(tmp_path, "nan", "ref", math.nan)
    with pytest.raises(DataError, match="pair 1 is no number"):
        world.compared()


def test_baselines_that_do_not_differ_and_arms_that_are_the_baseline_are_told(world):
    def checked(**digests):
        return {"checks": {"arms": Source(metrics={"targets": {}, "digests": digests})}}

    one = {f"baseline/{s}": "a" for s in range(4)} | {"best/0": "b", "aa/0": "a"}
    text = "\n".join(world.compared(refs=checked(**one))["notes"])
    assert "the baseline's 4 draws are one selection" in text
    assert "exactly the baseline's documents" not in text, "a control is not a finding"
    own = {f"baseline/{s}": f"{s}" for s in range(4)} | {f"best/{s}": f"{s}" for s in (0, 1)} | {"best/2": "0"}
    text = "\n".join(world.compared(refs=checked(**own))["notes"])
    assert "different selections" not in text
    assert "best: exactly the baseline's documents at 2 of 4 seeds" in text
    metrics = world.compared(refs=checked(**own))
    assert (metrics["different_baselines"], metrics["same_as_baseline"]) == (4, {"best": 2})


def test_several_arms_are_adjusted_together_on_the_primary_target(tmp_path):
    """Differences that one arm alone would be called better for, and one of six is not."""
    names = tuple(f"arm{i}" for i in range(6))

    def small(label, target, e):
        return 2.6 + e - (0.021 + 2 * e if label in names else 0.0)

    one = World(tmp_path, small, arms=("arm0",), seeds=6).compared(fixed=())
    six = World(tmp_path, small, arms=names, seeds=6).compared(fixed=())
    assert one["arms"]["arm0"]["effects"]["ref"]["verdict"] == "better"
    assert six["arms"]["arm0"]["effects"]["ref"]["verdict"] == "cannot tell"
    row = six["arms"]["arm0"]["effects"]["ref"]
    assert one["arms"]["arm0"]["effects"]["ref"]["p"] > row["p"], "six arms show more of the noise than one"
    assert 3 * row["p"] < row["p_adjusted"] < 6 * row["p"], "all share the baseline, so Holm would take too much"
    told = [row["method"][key] for key in ("p", "p_adjusted", "verdict")]
    assert told == [row[key] for key in ("p", "p_adjusted", "verdict")], "an answer is adjusted as what was asked for"


def test_of_accuracies_more_is_better(tmp_path):
    world = World(tmp_path, bits, accuracy=lambda label, e: 0.6 + e / 10 if label == "best" else 0.3)
    row = world.compared()["arms"]["best"]["measures"]["ref accuracy"]
    assert row["mean_diff"] == pytest.approx(0.3, abs=1e-3)
    assert row["verdict"] == "better"
    assert row["p_adjusted"] is not None
    assert "ref accuracy" in "\n".join(comparison_text.render(world.compared()))


def test_arms_of_unequal_tokens_are_refused_with_the_numbers(world):
    world.runs["best/3"] = run_of(tokens=901)
    with pytest.raises(DataError, match="runs differ in tokens: baseline 900; best 900, 901; aa 900"):
        world.compared()
    world.runs["best/3"] = run_of(parameters=1)
    with pytest.raises(DataError, match="runs differ in parameters"):
        world.compared()


def test_runs_scored_on_other_items_are_refused(world, tmp_path):
    world.scores["best/1/code"] = score_of(tmp_path, "other", "code", 2.0, items=5)
    with pytest.raises(DataError, match="different items"):
        world.compared()


def test_an_arm_whose_loss_is_no_number_fails_alone_and_is_reported(tmp_path):
    world = World(
        tmp_path, lambda label, t, e: bits("best" if label == "other" else label, t, e), arms=("best", "other", "aa")
    )
    world.runs["other/2"] = run_of(failed="the loss is nan at step 7")
    metrics = world.compared()
    assert list(metrics["arms"]) == ["best"]
    assert metrics["arms"]["best"]["effects"]["ref"]["verdict"] == "better"
    assert metrics["failed"] == {"other": {"seed": 2, "why": "the loss is nan at step 7"}}
    assert "other: no verdict, seed 2 failed: the loss is nan at step 7" in comparison_text.render(metrics)
    world.runs["baseline/0"] = run_of(failed="the loss is nan at step 1")
    with pytest.raises(DataError, match="the baseline has a failed run"):
        world.compared()


def test_a_stopped_arm_shows_its_interval_and_is_never_called_worse(tmp_path):
    world = World(tmp_path, lambda label, t, e: bits(label, t, e) + (1.0 if label == "bad" else 0), arms=("best", "bad", "aa"),
                  targets=("code",))  # fmt: skip
    for s in (2, 3):
        world.runs[f"bad/{s}"] = Source(metrics={"stopped": {"seeds": 2, "why": "1 of 2 arms went on"}})
        del world.scores[f"bad/{s}/code"]
    metrics = world.compared(fixed=())
    row = metrics["stopped"]["bad"]["effects"]["code"]
    assert (row["verdict"], row["n"]) == ("stopped", 2)
    assert row["low"] is not None
    assert "bad" not in metrics["arms"]
    assert any("bad: stopped after 2 seeds" in line for line in comparison_text.render(metrics))


def test_a_rung_stops_the_worse_half_and_remembers_those_stopped_before(tmp_path):
    level = {"a": 2.1, "b": 2.0, "c": 2.3, "d": 2.2}
    world = World(tmp_path, lambda label, t, e: level.get(label, 2.5) + e, arms=tuple(level), seeds=2, targets=("ref",))
    refs = {"runs": world.runs, "scores": world.scores}
    rung = Rung(arms=tuple(level), seeds=2, keep=0.5, target="ref")
    first = rung.run(Context(seed=0, work=tmp_path, refs=refs))
    assert first["kept"] == ["a", "b"]
    assert first["stopped"]["c"] == {"seeds": 2, "why": "2 of 4 arms with a lower mean on ref went on"}
    refs["before"] = Source(metrics=first)
    assert set(rung.run(Context(seed=0, work=tmp_path, refs=refs))["stopped"]) == {"c", "d", "a"}
    spared = Rung(arms=tuple(level), always=("c",), seeds=2, keep=0.5, target="ref")
    del refs["before"]
    assert set(spared.run(Context(seed=0, work=tmp_path, refs=refs))["stopped"]) == {"d"}


def test_a_sign_that_flips_with_the_learning_rate_is_fragile(world, tmp_path):
    (tmp_path / "low").mkdir()
    other = World(
        tmp_path / "low", lambda label, t, e: bits(label, t, e) + (0.5 if label == "best" and t == "ref" else 0)
    )
    rates = {"0.1": Source(metrics=other.compared())}
    metrics = world.compared(refs={"rates": rates})
    ref, code = (metrics["arms"]["best"]["effects"][t] for t in ("ref", "code"))
    assert (ref["fragile"], ref["verdict"]) == (True, "fragile")
    assert ref["rates"] == {"1": pytest.approx(-0.2, abs=1e-2), "0.1": pytest.approx(0.3, abs=1e-2)}
    assert (code["fragile"], code["verdict"]) == (False, "worse")
    text = "\n".join(comparison_text.render(metrics))
    assert "best is fragile on ref" in text
    assert "one learning rate" not in text


def test_arms_are_told_as_a_share_of_the_reference_s_gain(tmp_path):
    def half(label, target, e):
        return 2.6 + e - {"reference": 0.4, "half": 0.2}.get(label, 0.0) + (e / 3 if label == "half" else 0)

    metrics = World(tmp_path, half, arms=("half", "reference"), seeds=6).compared(fixed=(), reference="reference")
    share = metrics["arms"]["half"]["effects"]["ref"]["reference_share"]
    assert share["share"] == pytest.approx(0.5, abs=0.02)
    assert share["low"] < 0.5 < share["high"]
    assert metrics["arms"]["reference"]["effects"]["ref"]["reference_share"] is None
    assert any("share of the gain of reference" in line for line in comparison_text.render(metrics))


def test_a_declared_primary_target_decides_by_its_interval_and_its_own_family(world):
    metrics = world.compared()
    assert metrics["arms"]["best"]["effects"]["ref"]["primary"]
    assert not metrics["arms"]["best"]["effects"]["code"]["primary"]
    assert metrics["arms"]["best"]["effects"]["ref"]["p_adjusted"] == metrics["arms"]["best"]["effects"]["ref"]["p"]


def test_the_own_noise_says_what_the_next_comparison_can_find(world):
    noise = world.compared()["noise"]
    assert noise["origin"] == "this comparison"
    assert noise["df"] == 6, "the baseline and its control"
    assert noise["mde"] > 0


def test_unique_tokens_documents_and_epochs_of_every_label_are_always_told(world):
    for seed in range(4):
        world.runs[f"best/{seed}"] = run_of(unique_tokens=250 + seed, unique_documents=2, epochs=3.6)
    lines = comparison_text.render(world.compared())
    at = next(i for i, line in enumerate(lines) if "unique tokens, documents, epochs" in line)
    told = [line.split() for line in lines[at + 1 : at + 4]]
    assert told == [
        ["baseline", "900", "3", "0.50"], ["best", "250", "..", "253", "2", "3.60"], ["aa", "900", "3", "0.50"]
    ]  # fmt: skip


def test_an_ensemble_has_an_interval_from_leaving_seeds_out():
    assert list(ensembles.members(3)) == ["whole", "without-0", "without-1", "without-2"]
    assert list(ensembles.members(2)) == ["whole"]
    values = np.array([0.1, 0.4, 0.3, 0.2])
    without = [(values.sum() - v) / 3 for v in values]
    assert ensembles.pseudo_values(values.mean(), without) == pytest.approx(list(values)), "of a mean: the values"


def test_students_have_the_noise_of_their_teachers_and_their_own():
    """400 worlds of 6 members and 3 students: the interval covers the planted effect at its level."""
    draw = np.random.Generator(np.random.Philox(key=8))
    hits, shy = 0, 0
    for _ in range(400):
        members = draw.normal(-0.1, 0.04, 6)  # the ensembles' difference: here the mean of the members'
        pseudo = ensembles.pseudo_values(members.mean(), [(members.sum() - m) / 5 for m in members])
        gaps = members.mean() + draw.normal(0, 0.01, 3)
        row = ensembles.student_effect(gaps, pseudo)
        hits += row["low"] <= -0.1 <= row["high"]
        alone = intervals.paired_effect(gaps)
        shy += alone.low <= -0.1 <= alone.high
    assert 0.925 <= hits / 400 <= 0.98
    assert shy / 400 < 0.9, "the spread of the students alone is not enough"
    assert ensembles.student_effect([-0.1], [-0.1] * 4)["low"] is None
    assert ensembles.student_effect([-0.1] * 3, [-0.1] * 4)["verdict"] == "better"


def test_an_ensemble_and_its_students_are_told_with_their_intervals():
    scores = {}
    for label, level in (("baseline", 2.0), ("best", 1.8)):
        for name in ensembles.members(4):
            shift = 0.01 * (len(name) % 3 + ord(name[-1]) % 4)
            scores[f"{label}/{name}"] = Source(
                metrics={
                    "targets": {
                        "ref": {"kind": "documents", "measures": {"bits_per_byte": level + shift * (label == "best")}}
                    }
                }
            )
        for k in range(3):
            row = {"kind": "documents", "measures": {"bits_per_byte": level + 0.05 + 0.01 * k * (label == "best")}}
            scores[f"{label}/student-{k}"] = Source(metrics={"targets": {"ref": row}})
    table = ensembles.rows(scores, ["best"], ["ref"], 4)
    student = table["best"]["ref"]["student"]
    assert (student["students"], student["score"]) == (3, pytest.approx(1.86))
    assert student["low"] < student["mean_diff"] < student["high"]
    assert "mean_diff" not in table["baseline"]["ref"]["student"]
    text = "\n".join(
        comparison_text.details(
            {"arms": {}, "aa": {}, "primary": "ref", "seeds": 4, "ensembles": table, "baseline": {}}
        )
    )
    assert "3 students 1.860: -0.190" in text
    ensembles.name_selections(table, ["best", "absent"])
    assert table["best"]["ref"]["student"]["verdict"] == "this selection better"


def test_a_target_of_labels_is_told_in_its_own_unit(tmp_path):
    world = World(tmp_path, bits)
    for label in ("baseline", "best", "aa"):
        for s in range(4):
            row = world.scores[f"{label}/{s}/code"].result()["targets"]["code"]
            row["kind"], row["measures"] = "labels", {"log_loss": bits(label, "code", NOISE[s])}
    metrics = world.compared()
    assert metrics["targets"]["code"]["unit"] == "nats per text (log loss)"
    assert metrics["arms"]["best"]["scores"]["code"] == [bits("best", "code", e) for e in NOISE[:4]]
    head = comparison_text.render(metrics)[0]
    assert "ref: bits per byte; code: nats per text (log loss)" in head
    primary = world.compared(targets=("code", "ref"))
    assert "nats per text" in "\n".join(primary["notes"]), "of the power"


def test_flatness_is_told_per_arm_with_its_loss(tmp_path):
    world = World(tmp_path, bits)
    for label, trace in (("baseline", 100.0), ("best", 50.0), ("aa", 99.0)):
        for s in range(4):
            world.scores[f"{label}/{s}/ref"].result()["targets"]["ref"]["flatness"] = {
                "trace": trace + s, "loss": 3.0, "standard_error": 1.0, "probes": 4, "tokens": 99,
            }  # fmt: skip
    metrics = world.compared()
    assert metrics["arms"]["best"]["flatness"]["trace"] == pytest.approx(51.5)
    assert any("51.5  at 3.000 nats per token" in line for line in comparison_text.details(metrics))
    assert World(tmp_path, bits).compared()["baseline"]["flatness"] is None


def test_the_multiplier_of_runs_is_that_of_their_scores(tmp_path):
    budgets = (225, 450, 900, 1800, 3600)
    runs, scores = {}, {}

    def put(label, tokens, offset):
        for s in range(4):
            runs[f"{label}/{s}"] = run_of(tokens=tokens, epochs=tokens / 1800)
            value = 1.5 + 30 * tokens**-0.6 + offset + NOISE[s] / 10
            scores[f"{label}/{s}/ref"] = score_of(tmp_path, f"{label}/{s}", "ref", value)

    for b in budgets:
        put("baseline" if b == 900 else f"baseline@{b}", b, 0.0)
    put("best", 900, 30 * (1800.0**-0.6 - 900.0**-0.6))
    job = TokenMultiplier(
        arms=("best",), budgets=budgets, tokens=900, seeds=4, target="ref", selection_flops={"best": 5.4e6}
    )
    told = job.run(Context(seed=0, work=tmp_path, refs={"runs": runs, "scores": scores}))
    row = told["arms"]["best"]
    assert row["multiplier"] == pytest.approx(2.0, rel=0.05)
    assert row["low"] < 2 < row["high"]
    assert row["compute_multiplier"] == pytest.approx(row["multiplier"] / 2), "selection cost as much as training"
    assert (row["epochs"], row["unique_tokens"]) == (0.5, 1800)
    assert [b["epochs"] for b in told["budgets"]] == [b / 1800 for b in budgets]


def test_the_base_rate_is_the_share_of_tokens_that_look_like_the_target():
    draw = np.random.Generator(np.random.Philox(key=3))

    def texts(kinds, low):
        ids = [draw.integers(low if k else 0, low + 40 if k else 40, 200) for k in kinds]
        return np.concatenate(ids), np.arange(len(kinds) + 1) * 200

    share, documents = base_rate(texts([True] * 30 + [False] * 70, 40), texts([True] * 20, 40), vocab=100)
    assert share == pytest.approx(0.3, abs=0.03)
    assert documents == pytest.approx(share)
    assert base_rate(texts([False] * 50, 40), texts([True] * 20, 40), vocab=100)[0] == 0.0


def test_an_ensemble_of_two_seeds_has_no_interval_and_says_so_with_one_dash():
    row = {"mean_diff": -0.1, "low": None, "high": None, "verdict": "cannot tell", "student": None, "score": 2.0}
    found = list(comparison_text._ensembles({"seeds": 2, "ensembles": {"best": {"ref": row}}}))
    assert found[1].split() == ["best", "ref", "-0.100", "-", "cannot", "tell"]
