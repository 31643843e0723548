"""The tuning grid: what is trained, what chooses, what the verdict reads of it, and what it says."""

from __future__ import annotations

import dataclasses
import math
import random
import shutil

import numpy as np
import pytest
from support import plan_of, put_corpus, run
from test_ablation_compare import World, bits, run_of, score_of
from test_ablation_grid import DECLARED, expanded
from test_ablation_run import result_of, sentences, sources, train
from test_trainers import Source

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Sub
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import build
from winnow.core.store.locations import open_store
from winnow.dags.before.price import price_text, prices
from winnow.dags.looking.selection_cost import machine_time, selection_costs
from winnow.trainers.ablation.ablation import Ablation
from winnow.trainers.compare import comparison_text, intervals
from winnow.trainers.compare.tuning_choice import TuningChoice, best_of, edges, epochs_got, spent_at

GRID = {"weight_decay": (0.0, 3.0), "epochs": (1.0, 4.0)}
FIELDS = {"arms": {"tokens": "tokens"}, "baseline": "tokens2", "eval": {"ref": "held"}}
NAMES = [f"weight_decay {d}, epochs {e}" for d in (0, 3) for e in (1, 4)]


@pytest.fixture(autouse=True)
def a_second_selection_with_a_budget(monkeypatch):
    two = dataclasses.replace(DECLARED["tokens"], name="tokens2", seed=5)
    fixed = dataclasses.replace(DECLARED["tokens"], name="top", operator=Top())
    monkeypatch.setitem(DECLARED, "tokens2", two)
    monkeypatch.setitem(DECLARED, "top", fixed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Top(type(DECLARED["tokens"].operator)):
    """Keeps the same documents up to a budget every time."""

    name = "test_top"
    seeded = False


def tuned(**fields) -> dict[str, Sub]:
    return expanded(**{**FIELDS, "tune": GRID, **fields})


def seeds_of(sub: Sub) -> tuple[int, int]:
    return sub.operator.init_seed, sub.operator.order_seed


def test_every_label_but_the_control_is_trained_at_every_cell_on_seeds_that_no_verdict_uses():
    subs = tuned(seeds=3, tune_seeds=2)
    runs = {name: sub for name, sub in subs.items() if "train_" in name and name.startswith("tune")}
    labels = ("baseline", "tokens")
    assert set(runs) == {f"tune{c}_train_{a}_{s}" for c in range(4) for a in labels for s in range(2)}
    assert [runs[f"tune{c}_train_tokens_0"].operator.weight_decay for c in range(4)] == [0.0, 0.0, 3.0, 3.0]
    verdict = {name: sub for name, sub in subs.items() if name.startswith("train_")}
    for part in (0, 1):
        assert not {seeds_of(r)[part] for r in runs.values()} & {seeds_of(v)[part] for v in verdict.values()}
    drawn = {subs[r.refs["selection"][1:]].seed for r in runs.values()}
    own = {subs[s[1:]].seed for v in verdict.values() for s in v.refs["selections"].values()}
    assert not drawn & own, "nor a draw"
    assert {
        len({subs[f"tune{c}_train_{a}_{s}"].operator.init_seed for a in labels for c in range(4)}) for s in (0, 1)
    } == {1}


def test_epochs_widen_and_narrow_the_selection_and_leave_the_tokens_of_a_run_alone():
    subs = tuned(arms={"top": "top"}, tokens=300_000)
    for cell, budget in enumerate((300_000, 75_000, 300_000, 75_000)):
        run = subs[f"tune{cell}_train_baseline_0"]
        assert run.operator.tokens_per_run == 300_000
        assert subs[run.refs["selection"][1:]].operator.budget == Budget(budget, "tokens")
    assert [subs[f"tune{c}_train_top_1"].refs["selection"] for c in range(4)] == ["top", ".top_x0.25"] * 2
    assert subs["top_x0.25"].operator.budget == Budget(75_000, "tokens")
    chosen = subs["train_top_2"].refs["selections"]
    assert chosen == dict(zip(NAMES, ["top", ".top_x0.25"] * 2, strict=True))


def test_a_verdict_s_run_reads_the_choice_of_its_own_label_and_the_control_that_of_the_baseline():
    subs = tuned()
    assert subs["train_tokens_2"].refs["choice"] == ".choice_tokens"
    assert subs["train_baseline_2"].refs["choice"] == subs["train_aa_2"].refs["choice"] == ".choice_baseline"
    assert subs["train_aa_1"].refs["selections"][NAMES[1]].startswith(".redraw_tokens2_1_x")
    assert "selection" not in subs["train_aa_1"].refs
    assert subs["train_tokens_0"].operator.cells == {
        NAMES[0]: {}, NAMES[1]: {}, NAMES[2]: {"weight_decay": 3.0}, NAMES[3]: {"weight_decay": 3.0}
    }  # fmt: skip
    choice = subs["choice_tokens"]
    assert choice.operator.cells == tuple(NAMES)
    assert set(choice.refs["runs"]) == {f"{cell}/{s}" for cell in NAMES for s in range(2)}
    assert choice.refs["scores"][f"{NAMES[3]}/1/ref"] == ".tune3_score_tokens_1_ref"
    assert subs["compare"].refs["tuning"] == {"baseline": ".choice_baseline", "tokens": ".choice_tokens"}


def test_a_new_arm_trains_only_itself_and_without_a_grid_nothing_of_it_is_there():
    few, many = tuned(), tuned(arms={"top": "top", "tokens": "tokens"})
    for name, sub in few.items():
        assert name in ("compare", "overlap") or many[name] == sub
    plain, same = expanded(**FIELDS), expanded(**FIELDS, tune=None)
    assert plain == same
    assert not any("tune" in name or "choice" in name for name in plain)


def test_tuning_runs_are_scored_on_one_target_alone_and_that_may_be_another_than_the_primary():
    subs = tuned(eval={"ref": "held", "code": "held"}, tune_target="code", flatness_probes=2)
    scored = {name for name in subs if name.startswith("tune") and "_score_" in name}
    assert scored == {f"tune{c}_score_{a}_{s}_code" for c in range(4) for a in ("baseline", "tokens") for s in (0, 1)}
    assert subs["choice_tokens"].operator.target == "code"
    assert {subs[name].operator.flatness_probes for name in scored} == {0}
    first = tuned(eval={"ref": "held", "code": "held"})
    assert first["choice_tokens"].operator.target == "ref"


def test_learning_rates_of_the_grid_are_factors_on_all_rates():
    subs = tuned(tune={"learning_rate": (1.0, 0.5)})
    one, half = (subs[f"tune{c}_train_tokens_0"].operator for c in (0, 1))
    for name in ("lr_hidden", "lr_embedding", "lr_head", "lr_adamw"):
        assert getattr(half, name) == getattr(one, name) / 2
        assert subs["train_tokens_0"].operator.cells["learning_rate 0.5"][name] == getattr(half, name)
    assert subs["train_tokens_0"].refs["selections"]["learning_rate 0.5"] == ".draw_tokens_0", "its own budget"


def test_every_selection_that_may_be_trained_on_is_checked_against_the_targets():
    subs = tuned(arms={"top": "top"})
    checked = set(subs["overlap"].refs["selections"].values())
    for name, sub in subs.items():
        if "train_" in name:
            used = sub.refs.get("selections") or {"": sub.refs["selection"]}
            assert set(used.values()) <= checked, name
            assert sub.after == (".overlap",)


def test_the_cell_as_declared_is_known_where_the_grid_has_it():
    assert tuned(tokens=300_000)["choice_tokens"].operator.declared == NAMES[0], "a budget of one epoch"
    assert tuned(tokens=1_200_000)["choice_tokens"].operator.declared == NAMES[1]
    assert tuned(tokens=600_000)["choice_tokens"].operator.declared == ""
    assert tuned(tokens=300_000, weight_decay=3.0)["choice_tokens"].operator.declared == NAMES[2]
    assert (
        tuned(tune={"weight_decay": (0.0, 1.0)}, weight_decay=1.0)["choice_tokens"].operator.declared
        == "weight_decay 1"
    )


@pytest.mark.parametrize(
    ("fields", "where", "what"),
    [
        ({"tune": {"decay": (0.0, 1.0)}}, "tune", "no 'decay'"),
        ({"tune": {"weight_decay": (1.0,)}}, "tune", "one cell"),
        ({"tune": {}}, "tune", "one cell"),
        ({"tune": {"weight_decay": ()}}, "tune.weight_decay", "give values"),
        ({"tune": {"weight_decay": (1.0, 1.0)}}, "tune.weight_decay", "differ"),
        ({"tune": {"weight_decay": (-1.0, 1.0)}}, "tune.weight_decay", "at least 0"),
        ({"tune": {"epochs": (0.0, 1.0)}}, "tune.epochs", "above 0"),
        ({"tune": {"learning_rate": (0.0, 1.0)}}, "tune.learning_rate", "above 0"),
        ({"tune": {"weight_decay": (0.0, 80.0)}}, "weight_decay", "leaves nothing"),
        ({"tune": GRID, "tune_seeds": 0}, "tune_seeds", "at least 1"),
        ({"tune": GRID, "tune_target": "code"}, "tune_target", "none of ref"),
        ({"tune_seeds": 3}, "tune_seeds", "nothing is tuned"),
        ({"tune_target": "ref"}, "tune_target", "nothing is tuned"),
        ({"tune": GRID, "learning_rates": (1.0, 0.5)}, "tune", "learning_rates"),
        ({"tune": GRID, "scales": ("0.5M", "2M")}, "tune", "scales"),
        ({"tune": GRID, "budgets": (62_500, 125_000, 500_000, 1_000_000)}, "tune", "budgets"),
        ({"tune": GRID, "ensemble": True, "distil": True}, "tune", "distil"),
        ({"tune": GRID, "folds": True}, "tune", "folds"),
        ({"tune": GRID, "replay": "tokens", "replay_share": 0.1}, "tune", "replay"),
    ],
)  # fmt: skip
def test_a_grid_that_cannot_work_is_refused_with_its_place(fields, where, what):
    with pytest.raises(ConfigError) as error:
        Ablation(**FIELDS, **fields).validate()
    assert error.value.where == where
    assert what in f"{error.value.what} {error.value.hint}"


@pytest.mark.parametrize(("stage", "what"), [("best", "no budget"), ("docs10", "a budget of 10%")])
def test_epochs_of_a_selection_that_cannot_be_narrowed_are_refused(monkeypatch, stage, what):
    share = dataclasses.replace(DECLARED["tokens"].operator, budget=Budget(0.1, "share"))
    monkeypatch.setitem(DECLARED, "docs10", Sub(name="docs10", operator=share, inputs=("docs",)))
    with pytest.raises(ConfigError, match=what) as error:
        tuned(arms={"other": stage})
    assert error.value.where == "tune.epochs"
    assert expanded(**{**FIELDS, "arms": {"other": stage}}, tune={"weight_decay": (0.0, 1.0)}), "decays can be chosen"


def test_a_grid_comes_from_a_recipe_and_its_order_is_that_of_its_values():
    fields = {**FIELDS, "tune": {"epochs": [4, 1], "weight_decay": 0.5}}
    assert list(build(Ablation, fields, where="x").tuning_cells()) == [
        "weight_decay 0.5, epochs 4",
        "weight_decay 0.5, epochs 1",
    ]


def test_halving_and_ensembles_go_with_a_grid():
    subs = tuned(arms={"top": "top", "tokens": "tokens"}, seeds=4, halving={"keep": 0.5, "first": 2})
    assert {"gate", "choice"} <= subs["train_top_3"].refs.keys()
    assert subs["halving_2"].refs["runs"]["top/1"] == ".train_top_1"
    whole = tuned(ensemble=True)["score_ensemble_tokens_whole"].refs["models"]
    assert whole == {str(s): f".train_tokens_{s}" for s in range(3)}


# --- the choice


class Grid:
    """Runs and scores of cells, each with a mean."""

    def __init__(self, folder, means: dict[str, float], *, seeds: int = 2, epochs: dict[str, float] | None = None):
        self.means, self.seeds, self.folder = means, seeds, folder
        self.values = {cell: {"weight_decay": float(cell.split()[1])} for cell in means}
        self.runs = {f"{c}/{s}": run_of(epochs=(epochs or {}).get(c, 1.0)) for c in means for s in range(seeds)}
        self.scores = {
            f"{c}/{s}/ref": score_of(folder, f"{c}-{s}".replace(" ", "_"), "ref", mean + 0.01 * (-1) ** s)
            for c, mean in means.items() for s in range(seeds)
        }  # fmt: skip

    def chosen(self, **fields) -> dict:
        job = TuningChoice(
            **{"cells": tuple(self.means), "values": self.values, "seeds": self.seeds, "target": "ref", **fields}
        )
        return job.run(Context(seed=0, work=self.folder, refs={"runs": self.runs, "scores": self.scores}))


def test_the_cell_with_the_lowest_mean_is_chosen_and_ties_go_to_the_earlier(tmp_path):
    grid = Grid(tmp_path, {"decay 0": 2.5, "decay 1": 2.3, "decay 3": 2.3})
    told = grid.chosen()
    assert told["chosen"] == "decay 1"
    assert told["cells"]["decay 0"]["mean"] == pytest.approx(2.5)
    assert told["cells"]["decay 0"]["scores"] == pytest.approx([2.51, 2.49])
    assert told["cells"]["decay 0"]["unique_tokens"] == [900, 900]
    assert grid.chosen(cells=("decay 3", "decay 1", "decay 0"))["chosen"] == "decay 3"
    assert best_of({"a": 2.0, "b": 1.0}) == "b"


def test_a_cell_that_diverged_is_out_and_where_all_did_the_arm_fails_and_says_so(tmp_path):
    grid = Grid(tmp_path, {"decay 0": 2.5, "decay 1": 2.3})
    grid.runs["decay 1/1"] = run_of(failed="the loss is nan at step 3 of 9")
    told = grid.chosen()
    assert told["chosen"] == "decay 0"
    assert told["cells"]["decay 1"] == {
        "values": {"weight_decay": 1.0}, "mean": None, "scores": [],
        "failed": {"seed": 1, "why": "the loss is nan at step 3 of 9"},
    }  # fmt: skip
    grid.runs["decay 0/0"] = run_of(failed="the loss is inf at step 1 of 9")
    none = grid.chosen()
    assert (none["chosen"], none["edges"]) == (None, [])
    run = train(cells={"decay 0": {}, "decay 1": {"weight_decay": 1.0}})
    assert run.run(Context(seed=0, work=tmp_path, refs={"choice": Source(metrics=none)})) == {
        "failed": "every cell of the grid failed: the loss is inf at step 1 of 9"
    }


def test_ends_of_the_grid_are_told_with_the_next_value():
    cells = [{"weight_decay": d, "epochs": e} for d in (0.0, 0.1, 3.0) for e in (1.0, 4.0)]
    assert edges(cells, {"weight_decay": 3.0, "epochs": 4.0}, []) == [
        {"axis": "weight_decay", "value": 3.0, "next": 12.0}, {"axis": "epochs", "value": 4.0, "next": 16.0}
    ]  # fmt: skip
    assert edges(cells, {"weight_decay": 0.1, "epochs": 1.0}, []) == [{"axis": "epochs", "value": 1.0, "next": 0.25}]
    assert edges(cells, {"weight_decay": 0.0, "epochs": 1.0}, [1.0]) == [], "no decay below 0, no pool below an epoch"
    assert edges([{"weight_decay": 1.0}], {"weight_decay": 1.0}, []) == []


def test_epochs_that_the_pool_cannot_give_are_found():
    assert spent_at({1.0: 0.7, 4.0: 3.1}) == [], "tokens of another tokenizer"
    assert spent_at({0.5: 1.4, 1.0: 1.4, 4.0: 2.9}) == [0.5, 1.0]
    assert spent_at({1.0: 10.0, 4.0: 10.0}) == [1.0, 4.0]
    assert spent_at({1.0: 1.8, 2.0: 2.6}) == [1.0], "whatever the next cell says, no tokenizer makes 1.8 of 1"
    assert spent_at({}) == []
    cells = {"a": {"values": {"epochs": 1.0}, "mean": 2.0, "epochs": [0.7, 0.9]},
             "b": {"values": {"epochs": 1.0}, "mean": None, "failed": {}}}  # fmt: skip
    assert epochs_got(cells) == {1.0: pytest.approx(0.8)}, "a cell that failed says nothing"


# --- the run at its choice


def test_a_run_at_its_choice_is_the_run_that_was_declared_so(tmp_path):
    wide, small = sources([40] * 20), sources([40] * 3)
    plain = train(weight_decay=2.0)
    own = plain.run(context(tmp_path / "plain", small))
    cells = {"a": {}, "b": {"weight_decay": 2.0}}
    refs = {"tokens": wide["tokens"], "selections": {"a": wide["selection"], "b": small["selection"]}}
    at = train(cells=cells).run(context(tmp_path / "at", {**refs, "choice": Source(metrics={"chosen": "b"})}))
    assert at == {**own, "cell": "b"}
    assert (tmp_path / "at" / "weights.npz").read_bytes() == (tmp_path / "plain" / "weights.npz").read_bytes()
    with pytest.raises(DataError, match="the choice is 'c', and this run has the cells a, b"):
        train(cells=cells).run(context(tmp_path / "no", {**refs, "choice": Source(metrics={"chosen": "c"})}))


def context(work, refs) -> Context:
    work.mkdir()
    return Context(seed=0, work=work, refs=refs)


# --- trained

REPEATED = """
seed: 1
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{good: float64}}}}
  held: {{use: jsonl, files: "target/*.jsonl"}}
  few: {{use: top_k, inputs: docs, by: good, budget: 12k tokens}}
  effect:
    {{use: ablation, arms: {{again: few}}, baseline: few, eval: {{target: held}}, seeds: 1, tokens: 12000,
     tune: {{weight_decay: [0, 10], epochs: {epochs}}}, tune_seeds: 1, may_overlap: [target],
     vocab: 320, width: 48, layers: 1, heads: 2, context: 32, batch: 4}}
"""


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """A pool and a target of shuffled words: there is little to learn, and much to learn by heart."""
    folder, draw = tmp_path_factory.mktemp("repeated"), random.Random(3)
    pool = [{"text": sentences(draw, 12, shuffled=True), "good": float(i)} for i in range(160)]
    put_corpus(folder / "raw", pool, 1)
    put_corpus(folder / "target", [{"text": sentences(draw, 12, shuffled=True)} for _ in range(20)], 1)
    return folder


def test_a_small_set_that_is_repeated_is_trained_with_the_decay_that_it_wants_and_again_after_a_loss(
    repeated, tmp_path
):
    ran = run(REPEATED.format(epochs="16"), repeated, tmp_path)
    metrics = result_of(ran, "effect")
    none, large = (metrics["tuning"]["labels"]["baseline"]["cells"][f"weight_decay {d}, epochs 16"] for d in (0, 10))
    assert large["mean"] < none["mean"] - 0.03, "learned by heart without decay"
    assert none["epochs"][0] > 16, "each read more than 16 times"
    verdict = result_of(ran, "effect.train_baseline_0")
    assert verdict["cell"] == metrics["tuning"]["labels"]["baseline"]["chosen"] == "weight_decay 10, epochs 16"
    assert metrics["baseline"]["unique_tokens"] == large["unique_tokens"] == [verdict["unique_tokens"]]
    spent = machine_time(open_store(tmp_path), ran.plan.node("effect").folder)
    assert spent["tuning_seconds"] > 0
    assert selection_costs(open_store(tmp_path), ran.plan.node("effect").folder)["baseline"]["training_seconds"] > 0
    for name in ("effect.choice_baseline", "effect.train_baseline_0", "effect"):
        shutil.rmtree(tmp_path / ran.plan.node(name).folder)
    again = run(REPEATED.format(epochs="16"), repeated, tmp_path)
    assert result_of(again, "effect") == metrics, "what is lost is chosen and trained again"


def test_the_plan_says_what_tuning_will_cost(repeated, tmp_path):
    plan = plan_of(REPEATED.format(epochs="[1, 16]"), repeated, tmp_path)
    found = prices(plan.nodes, open_store(tmp_path))
    assert (found["effect"]["runs"], found["effect"]["tuning_runs"]) == (6, 4)
    assert "effect: 6 runs (4 of them for tuning) of" in price_text(found)[0][1]


@pytest.mark.slow
def test_the_same_set_wants_no_decay_where_it_is_read_once(repeated, tmp_path):
    cells = result_of(run(REPEATED.format(epochs="[1, 16]"), repeated, tmp_path), "effect")["tuning"]["labels"][
        "baseline"
    ]
    means = {(d, e): cells["cells"][f"weight_decay {d}, epochs {e}"]["mean"] for d in (0, 10) for e in (1, 16)}
    assert means[0, 1] < means[10, 1] - 0.01
    assert means[10, 16] < means[0, 16] - 0.03
    assert cells["chosen"] == "weight_decay 0, epochs 1"


# --- what is told


def choice_of(chosen: str, means: dict[str, float | None], **more) -> Source:
    cells = {
        name: {"values": dict(zip(("weight_decay", "epochs"), map(float, name.split()[1:4:2]), strict=True)),
               "mean": mean, "scores": [], "epochs": [0.0], "unique_tokens": [0], "unique_documents": [1],
               **({"failed": {"seed": 0, "why": "the loss is nan"}} if mean is None else {})}
        for name, mean in means.items()
    }  # fmt: skip
    for row in cells.values():
        row["epochs"] = [0.7 * row["values"]["epochs"]]
    return Source(metrics={"chosen": chosen, "cells": cells, "declared": None, "target": "ref", "seeds": 2, "edges": [],
                           "order": list(means),
                           "spent": [], **more})  # fmt: skip


CELLS = ["decay 0 epochs 1", "decay 3 epochs 1", "decay 3 epochs 4"]


def test_the_table_of_cells_the_price_and_the_remarks_are_told(tmp_path):
    best = choice_of(CELLS[2], dict(zip(CELLS, (2.40, None, 2.30), strict=True)), declared=CELLS[0],
                     edges=[{"axis": "epochs", "value": 4.0, "next": 16.0}])  # fmt: skip
    base = choice_of(CELLS[1], dict(zip(CELLS, (2.60, 2.55, 2.70), strict=True)), declared=CELLS[0])
    metrics = World(tmp_path, bits).compared(refs={"tuning": {"baseline": base, "best": best}})
    tuning = metrics["tuning"]
    assert (tuning["runs"], tuning["seeds"], tuning["target"]) == (12, 2, "ref")
    assert tuning["declared"]["best"] == {"declared": pytest.approx(-0.2), "chosen": pytest.approx(-0.25)}
    text = "\n".join(comparison_text.render(metrics))
    assert "its best of 3 cells, chosen by bits per byte on ref over 2 seeds" in text
    assert [line.split()[4:] for line in text.splitlines() if line.strip() in text and line.startswith("  decay")] == [
        ["2.600", "2.400"], ["2.550*", "failed"], ["2.700", "2.300*"]
    ]  # fmt: skip
    assert "best minus baseline on the tuning seeds: -0.200 as declared, -0.250 at the chosen cells" in text
    assert "best: the best cell lies at an end of the grid, widen it: epochs 4 (next: 16)" in text
    assert "best: decay 3 epochs 1 is out of the grid, seed 0: the loss is nan" in text
    assert "baseline: epochs 1, 4 asked for, 0.70, 2.80 got" in text
    assert "ask for 1.43, 5.71 to get them" in text
    assert "best: draws no lots" in text
    assert "one learning rate" in text
    assert "tuning" not in World(tmp_path, bits).compared()


def test_selections_are_compared_as_they_were_trained_on(tmp_path):
    """Digests of all cells are known; what is remarked is that of the chosen ones."""
    base = choice_of(CELLS[1], dict.fromkeys(CELLS, 2.5))
    best = choice_of(CELLS[2], dict.fromkeys(CELLS, 2.5))
    digests = {f"baseline at 1 epochs/{s}": f"{s}" for s in range(4)} | {
        f"baseline at 4 epochs/{s}": "x" for s in range(4)
    }
    digests |= {f"best at 4 epochs/{s}": f"{s}" for s in (0, 1)} | {f"best at 1 epochs/{s}": f"{s}" for s in range(4)}
    digests |= {"best at 4 epochs, tuning/0": "0"}
    refs = {
        "tuning": {"baseline": base, "best": best},
        "checks": {"arms": Source(metrics={"targets": {}, "digests": digests})},
    }
    metrics = World(tmp_path, bits).compared(refs=refs)
    assert metrics["different_baselines"] == 4
    assert metrics["same_as_baseline"] == {"best": 2}


# --- the claim


def test_choosing_on_seeds_of_its_own_keeps_the_level_and_choosing_on_those_of_the_verdict_does_not():
    """An arm of six cells and a baseline of one, all of equal truth: false verdicts of 4,000 comparisons each."""
    worlds, cells, seeds = 4000, 6, 6
    draw = np.random.Generator(np.random.Philox(key=11))
    verdict = draw.normal(0, 1, (worlds, cells, seeds)) - draw.normal(0, 1, (worlds, 1, seeds))
    own = draw.normal(0, 1, (worlds, cells, 2)).mean(axis=2)

    def false_verdicts(scores):
        picked = [best_of({str(c): value for c, value in enumerate(row)}) for row in scores]
        rows = verdict[np.arange(worlds), [int(cell) for cell in picked]]
        mean, _, half = intervals.t_intervals(rows)
        return float((np.abs(mean) > half).mean()), float(mean.mean())

    level, bias = false_verdicts(own)
    assert level == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / worlds))
    assert bias == pytest.approx(0.0, abs=3 * math.sqrt(2 / seeds / worlds))
    level, bias = false_verdicts(verdict.mean(axis=2))
    assert level > 0.08, "a cell that was chosen for the seeds that judge it"
    assert bias < -0.4
