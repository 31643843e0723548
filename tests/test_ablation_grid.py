"""What an ablation expands into: who is drawn, trained and scored, and what a change of the recipe leaves alone."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pyarrow as pa
import pytest

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Map, Scope, Sub
from winnow.core.operators.budget import Budget
from winnow.trainers.ablation.ablation import Ablation
from winnow.trainers.ablation.grid import derived_seed
from winnow.trainers.compare.halving import Halving, rung_of
from winnow.trainers.compare.halving_rung import survivors
from winnow.trainers.model.sizes import shape_of

SOME = Budget(300_000, "tokens")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lot(Map):
    """Keeps documents by lot."""

    name: ClassVar[str] = "test_lot"
    role: ClassVar[str] = "selector"
    seeded: ClassVar[bool] = True
    share: float = 0.5

    def outputs(self):
        return {"kept": pa.bool_()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best(Lot):
    """Keeps the same documents every time."""

    name: ClassVar[str] = "test_best"
    seeded: ClassVar[bool] = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokens(Lot):
    """Keeps documents by lot up to a budget, with weights."""

    name: ClassVar[str] = "test_tokens"
    budget: Budget = SOME

    def outputs(self):
        return {"kept": pa.bool_(), "weight": pa.float64()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair(Composite):
    """A selection by lot in two stages, the second of which reads the first."""

    name: ClassVar[str] = "test_pair"
    role: ClassVar[str] = "selector"
    seeded: ClassVar[bool] = True

    def outputs(self):
        return {"kept": pa.bool_()}

    def expand(self, scope):
        rows = {"inputs": scope.inputs, "where": scope.where}
        return [
            Sub(name="first", operator=Lot(), **rows),
            Sub(name="second", operator=Lot(share=0.1), **rows, refs={"like": ".first", "target": "held"}),
        ]


DECLARED = {
    "pair": Sub(name="pair", operator=Pair(), inputs=("docs",), where="kept_docs"),
    "tokens": Sub(name="tokens", operator=Tokens(), inputs=("docs",)),
    "plain": Sub(name="plain", operator=Lot(), inputs=("docs", "unique"), where="kept_unique"),
    "best": Sub(name="best", operator=Best(), inputs=("docs",)),
    "lucky": Sub(name="lucky", operator=Lot(share=0.25), inputs=("docs",), seed=11),
    "docs": Sub(name="docs", operator=Best()),
}


def scope(seed: int = 7, spaces: dict[str, str] | None = None) -> Scope:
    where = dict.fromkeys(DECLARED, "docs") | (spaces or {})
    return Scope(stage="effect", inputs=(), where=None, seed=seed, lookup=DECLARED.__getitem__, space=where.__getitem__)


def expanded(*, seed: int = 7, **fields) -> dict[str, Sub]:
    fields = {"arms": {"best": "best"}, "baseline": "plain", "eval": {"ref": "held"}, "seeds": 3, **fields}
    operator = Ablation(**fields)
    operator.validate()
    return {sub.name: sub for sub in operator.expand(scope(seed))}


def test_arms_share_all_but_their_selection():
    subs = expanded()
    for s in range(3):
        runs = [subs[f"train_{arm}_{s}"] for arm in ("baseline", "best", "aa")]
        assert len({repr(run.operator) for run in runs}) == 1
        assert len({run.refs["selection"] for run in runs}) == 3
    assert subs["train_best_0"].operator != subs["train_best_1"].operator


def test_the_baseline_is_drawn_anew_for_every_seed_and_the_control_differs_from_it():
    subs = expanded()
    seeds = [subs[f"{kind}_plain_{s}"].seed for kind in ("draw", "redraw") for s in range(3)]
    assert len(set(seeds)) == 6
    clone = subs["draw_plain_2"]
    assert (clone.operator, clone.inputs, clone.where) == (Lot(), ("docs", "unique"), "kept_unique")
    assert subs["train_baseline_2"].refs["selection"] == ".draw_plain_2"
    assert subs["train_aa_2"].refs["selection"] == ".redraw_plain_2"


def test_a_fixed_selection_is_used_as_it_is_and_says_so():
    subs = expanded(arms={"best": "best", "lucky": "lucky"})
    assert {subs[f"train_best_{s}"].refs["selection"] for s in range(3)} == {"best"}
    assert len({subs[f"train_lucky_{s}"].refs["selection"] for s in range(3)}) == 3
    assert subs["compare"].operator.fixed == ("best",)


def test_a_selection_of_several_stages_is_drawn_anew_as_a_whole():
    subs = expanded(arms={"pair": "pair"})
    for s in range(3):
        first, second = subs[f"draw_pair_{s}_first"], subs[f"draw_pair_{s}"]
        assert second.refs == {"like": f".draw_pair_{s}_first", "target": "held"}
        assert first.inputs == second.inputs == ("docs",)
        assert first.where == second.where == "kept_docs"
        assert first.seed == second.seed
        assert subs[f"train_pair_{s}"].refs["selection"] == f".draw_pair_{s}"
    assert len({subs[f"draw_pair_{s}"].seed for s in range(3)}) == 3


def test_a_new_arm_changes_no_other_run():
    few, many = expanded(), expanded(arms={"lucky": "lucky", "best": "best"})
    for name, sub in few.items():
        assert name in ("compare", "overlap") or many[name] == sub


def test_a_new_target_trains_nothing_and_scores_no_model_again():
    few, many = expanded(), expanded(eval={"ref": "held", "code": "held"})
    for name, sub in few.items():
        counts = name.startswith("ngram_")  # counted anew: half a second each, one job for all targets
        assert name in ("compare", "overlap") or counts or many[name] == sub
    assert {n for n in many if n.startswith("train_")} == {n for n in few if n.startswith("train_")}
    assert set(many) - set(few) == {
        "target_code", "overlap_code", *(f"score_{a}_{s}_code" for a in ("baseline", "best", "aa") for s in range(3))
    }  # fmt: skip


def test_every_seed_has_a_random_subset_of_its_own_so_three_seeds_give_three_baselines():
    subs = expanded(seeds=3)
    selections = [subs[f"train_baseline_{s}"].refs["selection"] for s in range(3)]
    assert len({subs[s[1:]].seed for s in selections}) == 3


def test_every_selection_is_checked_against_every_target_once():
    subs = expanded(eval={"ref": "held", "code": "held"}, may_overlap=("code",))
    check = subs["overlap"]
    assert sorted(check.refs["selections"].values()) == sorted(
        ["best", *(f".{kind}_plain_{s}" for kind in ("draw", "redraw") for s in range(3))]
    )
    assert check.refs["overlaps"] == {"ref": ".overlap_ref", "code": ".overlap_code"}
    assert check.operator.reported == ("code",)
    assert subs["compare"].refs["checks"] == {"arms": ".overlap"}
    assert {sub.after for name, sub in subs.items() if name.startswith("train_")} == {(".overlap",)}
    many = expanded(budgets=(62_500, 125_000, 500_000, 1_000_000), tokens=250_000, baseline="tokens")
    assert many["overlap"].refs["selections"]["baseline@1000000/2"] == ".draw_tokens_2_x4"
    assert many["budget3_train_baseline@1000000_2"].after == (".overlap",)


def test_n_grams_are_counted_once_per_run_on_the_very_data_of_the_run():
    subs = expanded(learning_rates=(0.5, 1.0, 2.0), batch=4, packing="concat")
    assert {n for n in subs if n.startswith("ngram_")} == {
        f"ngram_{label}_{s}" for label in ("baseline", "best", "aa") for s in range(3)
    }, "another learning rate sees the same tokens"
    for s in range(3):
        run, count = subs[f"train_best_{s}"], subs[f"ngram_best_{s}"]
        assert {port: count.refs[port] for port in ("selection", "tokens")} == run.refs
        for name in ("order_seed", "tokens_per_run", "vocab", "context", "batch", "packing", "weighting", "weighted"):
            assert getattr(count.operator, name) == getattr(run.operator, name)
        assert count.operator.lr_hidden == Ablation.lr_hidden, "what decides no data is no identity"
    assert subs["compare"].refs["lexical"]["aa/2"] == ".ngram_aa_2"
    assert subs["rate0_compare"].refs["lexical"] == {f"baseline/{s}": f".ngram_baseline_{s}" for s in range(3)}
    sizes = expanded(scales=("0.5M", "1M"))
    assert sizes["size0_compare"].refs["lexical"]["baseline/1"] == ".size0_ngram_baseline_1"
    assert sizes["size0_ngram_baseline_1"].operator.vocab == shape_of("0.5M").vocab


def test_points_of_a_curve_are_kept_by_the_verdict_s_runs_alone():
    subs = expanded(curve=4, learning_rates=(1.0, 0.5))
    assert {name.partition("_")[0]: sub.operator.curve for name, sub in subs.items() if "train_" in name} == {
        "train": 4, "rate1": 0
    }  # fmt: skip


def test_a_control_replays_what_the_baseline_does():
    subs = expanded(replay="plain", replay_share={"baseline": 0.25})
    control, baseline, arm = (subs[f"train_{label}_1"] for label in ("aa", "baseline", "best"))
    for port in ("replay", "replay_tokens"):
        assert control.refs[port] == baseline.refs[port] != ""
        assert port not in arm.refs
    assert (control.operator.replay_share, arm.operator.replay_share) == (0.25, 0.0)
    weighted = expanded(replay="tokens", replay_share=0.25)["train_best_1"].operator.replay_weighted
    assert (weighted, control.operator.replay_weighted) == (True, False), (
        "of `tokens` and `plain`, the former has weights"
    )


def test_two_learning_rates_train_the_whole_grid_at_both():
    one, two = expanded(), expanded(learning_rates=(1.0, 0.5))
    assert all(two[name] == sub for name, sub in one.items() if name != "compare")
    slow, fast = two["rate1_train_best_0"].operator, two["train_best_0"].operator
    for name in ("lr_hidden", "lr_embedding", "lr_head", "lr_adamw"):
        assert getattr(slow, name) == pytest.approx(0.5 * getattr(fast, name))
    assert slow.init_seed == fast.init_seed
    assert two["rate1_train_best_0"].refs == two["train_best_0"].refs
    assert two["compare"].refs["rates"] == {"0.5": ".rate1_compare"}
    assert len([n for n in two if n.startswith("rate1_train_")]) == 9


def test_budgets_train_the_baseline_alone_and_draw_more_where_more_is_trained_on():
    subs = expanded(budgets=(62_500, 125_000, 500_000, 1_000_000), tokens=250_000, baseline="tokens")
    runs = {n: s for n, s in subs.items() if n.startswith("budget")}
    assert {n for n in runs if "train" in n and n.endswith("_0")} == {
        "budget0_train_baseline@62500_0", "budget1_train_baseline@125000_0", "budget2_train_baseline@500000_0",
        "budget3_train_baseline@1000000_0",
    }  # fmt: skip
    assert runs["budget0_train_baseline@62500_0"].refs["selection"] == ".draw_tokens_0"
    large = runs["budget3_train_baseline@1000000_0"]
    assert large.operator.tokens_per_run == 1_000_000
    drawn = subs[large.refs["selection"][1:]]
    assert drawn.operator.budget == Budget(1_200_000, "tokens")
    assert drawn.seed == subs["draw_tokens_0"].seed, "the same lots, so a superset"
    job = subs["multiplier"].operator
    assert job.budgets == (62_500, 125_000, 250_000, 500_000, 1_000_000)
    assert subs["compare"].refs["multiplier"] == ".multiplier"


def test_scales_train_the_grid_at_every_size_with_a_tokenizer_of_its_own_vocabulary():
    subs = expanded(scales=("0.5M", "2M"))
    assert subs["train_best_0"].operator.width == 128
    small = subs["size0_train_best_0"]
    assert (small.operator.width, small.operator.vocab) == (72, 2048)
    assert small.refs["tokens"] == ".tokens_2048"
    assert subs["tokens_2048"].refs == {"tokenizer": ".tokenizer_2048"}
    assert subs["compare"].refs["scales"] == {"0.5M": ".size0_compare"}
    assert subs["compare"].operator.scale == "2M"
    share = shape_of("0.5M").parameters()[0] / shape_of("2M").parameters()[0]
    assert small.operator.tokens_per_run == round(share * Ablation.tokens), "equal tokens per weight"
    assert subs["train_best_0"].operator.tokens_per_run == Ablation.tokens
    equal = expanded(scales=("0.5M", "2M"), scale_tokens="equal")
    assert equal["size0_train_best_0"].operator.tokens_per_run == Ablation.tokens
    with pytest.raises(ConfigError, match="less than one batch"):
        expanded(scales=("0.5M", "15M"), tokens=20_000)


def test_a_large_target_is_sampled_by_its_bytes():
    assert expanded(eval_bytes=5000)["target_ref"].operator.most_bytes == 5000
    whole = expanded(eval_share=1)["target_ref"].operator
    assert whole.most_bytes == 0
    targets = [n for n in expanded() if n.startswith("target_")]
    each = expanded()[targets[0]].operator.most_bytes
    assert each == Ablation.tokens // 2, "a tenth of the time: a byte of targets per token of training"
    assert expanded(tokens=20_000)[targets[0]].operator.most_bytes == 50_000, "never so few that nothing is said"
    half = expanded(tokens=2_000_000, eval_share=0.05)[targets[0]].operator.most_bytes
    assert half == int(2_000_000 * 9 * 0.05 / 0.95) // 2
    assert expanded(tokens=2_000_000, curve=3)[targets[0]].operator.most_bytes == 2_000_000 // 4 // 2
    for wrong in ({"eval_share": 0}, {"eval_share": 1.5}, {"eval_share": 0.2, "eval_bytes": 5}, {"eval_bytes": -1}):
        with pytest.raises(ConfigError, match="eval_"):
            expanded(**wrong)


def test_the_stride_reaches_every_evaluation_and_flatness_the_primary_target_of_single_models():
    subs = expanded(eval={"ref": "held", "code": "held"}, stride=32, flatness_probes=4, ensemble=True)
    scores = {name: sub.operator for name, sub in subs.items() if name.startswith("score_")}
    assert {op.stride for op in scores.values()} == {32}
    flat = {name for name, op in scores.items() if op.flatness_probes}
    assert flat == {f"score_{a}_{s}_ref" for a in ("baseline", "best", "aa") for s in range(3)}
    assert {scores[name].flatness_probes for name in flat} == {4}


def test_an_ensemble_is_scored_whole_and_without_each_seed():
    subs = expanded(ensemble=True, distil=True)
    students = [subs[f"distil_best_{k}"] for k in range(3)]
    assert [s.refs["teachers"] for s in students] == [{str(s): f".train_best_{s}" for s in range(3)}] * 3
    assert len({s.operator.init_seed for s in students}) == 3
    assert [s.operator for s in students] == [subs[f"distil_baseline_{k}"].operator for k in range(3)], "paired"
    assert subs["compare"].refs["ensembles"]["best/student-1"] == ".score_student_best_1"
    found = {n for n in subs if n.startswith("score_ensemble_best")}
    assert found == {f"score_ensemble_best_{n}" for n in ("whole", "without-0", "without-1", "without-2")}
    assert subs["score_ensemble_best_without-1"].refs["models"] == {"0": ".train_best_0", "2": ".train_best_2"}


def test_with_halving_later_seeds_wait_for_the_decision_and_the_baseline_does_not():
    subs = expanded(arms={"best": "best", "lucky": "lucky"}, seeds=6, halving={"keep": 0.5, "first": 2})
    assert [n for n in subs if n.startswith("halving")] == ["halving_2", "halving_4"]
    assert "gate" not in subs["train_best_1"].refs
    assert subs["train_best_2"].refs["gate"] == subs["train_best_3"].refs["gate"] == ".halving_2"
    assert subs["train_best_5"].refs["gate"] == ".halving_4"
    assert subs["train_best_5"].operator.arm == "best"
    assert all("gate" not in subs[f"train_{arm}_5"].refs for arm in ("baseline", "aa"))
    assert subs["halving_4"].refs["before"] == ".halving_2"
    assert set(subs["halving_2"].refs["runs"]) == {f"{a}/{s}" for a in ("best", "lucky") for s in range(2)}


def test_halving_keeps_the_better_half_rounded_up_and_ties_go_to_the_earlier():
    plan = Halving.of({"keep": 0.5, "first": 2})
    assert plan.rungs(12) == [2, 4, 8]
    assert plan.rungs(2) == []
    assert [rung_of([2, 4], s) for s in range(6)] == [None, None, 0, 0, 1, 1]
    assert survivors({"a": [2.0], "b": [1.0], "c": [1.5]}, keep=0.5) == ["b", "c"]
    assert survivors({"a": [1.0], "b": [1.0], "c": [1.0], "d": [1.0]}, keep=0.5) == ["a", "b"]


def test_the_seed_of_the_recipe_reaches_every_draw():
    one, two = expanded(seed=7), expanded(seed=8)
    assert all(one[n].seed != two[n].seed for n in one if n.startswith(("draw", "redraw")))
    assert one["train_best_0"].operator != two["train_best_0"].operator


def test_a_declared_arm_on_the_baseline_is_the_control():
    subs = expanded(arms={"again": "plain", "best": "best"})
    assert subs["compare"].operator.controls == ("again",)
    assert "train_aa_0" not in subs
    assert subs["train_again_0"].refs["selection"] == ".redraw_plain_0"
    assert "train_aa_0" not in expanded(aa=False)


def test_the_control_of_a_fixed_baseline_has_other_training_seeds():
    subs = expanded(baseline="best", arms={"plain": "plain"})
    assert subs["compare"].operator.baseline_fixed
    assert subs["train_aa_0"].refs == subs["train_baseline_0"].refs
    seeds = range(subs["compare"].operator.seeds)
    for field in ("init_seed", "order_seed"):
        own, other = ({getattr(subs[f"train_{arm}_{s}"].operator, field) for s in seeds} for arm in ("aa", "baseline"))
        assert len(own | other) == 2 * len(seeds), "no run of the control is a run of the baseline at another seed"


def test_arms_of_another_row_space_are_refused():
    operator = Ablation(arms={"best": "best"}, baseline="plain", eval={"ref": "held"})
    with pytest.raises(ConfigError, match="selects from 'elsewhere'"):
        operator.expand(scope(spaces={"best": "elsewhere"}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arms", {}), ("eval", {}), ("seeds", 0), ("vocab", 100), ("heads", 5), ("tokens", 10), ("batch", 0),
        ("lr_head", 0.0), ("warmup_share", 1.0), ("arms", {"baseline": "best"}), ("arms", {"aa": "best"}),
        ("reference", "nobody"), ("may_overlap", ("nothing",)), ("learning_rates", (0.1,)), ("learning_rates", (1.0, -1.0)),
        ("budgets", (1000,)), ("budgets", (10, 20_000, 30_000, 40_000)), ("halving", {"keep": 2.0}),
        ("halving", {"leave": 1.0}), ("size", "7B"), ("scales", ("2M", "7B")),
        ("eval_bytes", -1), ("stride", -1), ("stride", 1000), ("flatness_probes", -1),
    ],
)  # fmt: skip
def test_fields_that_cannot_work_are_refused_before_anything_runs(field, value):
    fields = {"arms": {"best": "best"}, "baseline": "plain", "eval": {"ref": "held"}, field: value}
    with pytest.raises(ConfigError) as error:
        Ablation(**fields).validate()
    assert error.value.where == field


def test_derived_seeds_differ_by_purpose_and_number():
    seeds = {derived_seed(s, p, n) for s in range(5) for p in ("init", "order", "draw") for n in range(20)}
    assert len(seeds) == 300


def test_halving_is_not_combined_with_what_needs_all_runs():
    fields = {"arms": {"best": "best"}, "baseline": "plain", "eval": {"ref": "held"}, "halving": {"keep": 0.5}}
    for more in ({"learning_rates": (1.0, 0.5)}, {"scales": ("0.5M", "2M")}, {"ensemble": True}):
        with pytest.raises(ConfigError, match="halving does not go with"):
            Ablation(**fields, **more).validate()


def test_a_selection_with_weights_is_trained_with_them():
    subs = expanded(arms={"tokens": "tokens"})
    assert subs["train_tokens_0"].operator.weighted
    assert not subs["train_baseline_0"].operator.weighted
