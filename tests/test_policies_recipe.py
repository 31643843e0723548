"""Policies in recipes: in place and by name, what they read, what does not go with them, and runs that are trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import plan_of, put_corpus, run
from test_ablation_run import result_of, sentences

from winnow.core.errors import ConfigError

pytest.importorskip("torch")
pytestmark = pytest.mark.train
TINY = "vocab: 320, width: 16, layers: 1, heads: 2, context: 32, batch: 4"
HEAD = """
seed: 1
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", columns: {good: float64}}
  held: {use: jsonl, files: "target/*.jsonl", source: held}
  other: {use: jsonl, files: "feedback/*.jsonl", source: other}
  best: {use: top_k, inputs: docs, by: good, budget: 4k tokens}
  plain: {use: random, inputs: docs, budget: 4k tokens}
  spread: {use: phases, inputs: docs, phases: [{name: a, select: kept_best, tokens: 800 tokens},
    {name: b, select: kept_plain, tokens: 700 tokens}]}
"""
MODULE = '''
import winnow


@winnow.policy("harder", needs=("good",))
def harder(seen, *, power=1.0, state):
    """More weight for higher losses and good documents."""
    state["steps"] = state.get("steps", 0) + 1
    return (seen.loss * (1 + seen.column("good"))) ** power


@winnow.policy("plainest")
def plainest(seen):
    """No columns."""
    return seen.loss
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    import random

    out, draw = tmp_path_factory.mktemp("acting"), random.Random(3)
    put_corpus(
        out / "raw", [{"text": sentences(draw, 9, shuffled=bool(i % 2)), "good": 1.0 - i % 2} for i in range(80)], 1
    )
    put_corpus(out / "target", [{"text": sentences(draw, 9, shuffled=False)} for _ in range(9)], 1)
    put_corpus(out / "feedback", [{"text": "quite another text " * 20 + str(i)} for i in range(9)], 1)
    (out / "mine.py").write_text(MODULE)
    return out


def effect(arms: str, more: str = "seeds: 1") -> str:
    return (f"{HEAD}  hard: {{use: quadratic, r: 0.5}}\n  effect: {{use: ablation, arms: {{{arms}}}, baseline: plain, "
            f"eval: {{target: held}}, may_overlap: [target], tokens: 1500, {TINY}, {more}}}\n")  # fmt: skip


def plan(recipe: str, folder: Path):
    return plan_of(recipe, folder)


def test_a_policy_in_place_and_one_by_name_are_one_run_and_no_control(folder):
    in_place = plan(effect("reweighted: {data: plain, policy: {use: quadratic, r: 0.5}}"), folder)
    by_name = plan(effect("reweighted: {data: plain, policy: hard}"), folder)
    spelled = plan(effect("reweighted: plain", "seeds: 1, policies: {reweighted: hard}"), folder)
    runs = [p.node("effect.train_reweighted_0") for p in (in_place, by_name, spelled)]
    assert len({r.fingerprint for r in runs}) == 1
    assert runs[0].fingerprint != in_place.node("effect.train_baseline_0").fingerprint
    assert runs[0].refs["selection"] is in_place.node("effect.train_baseline_0").refs["selection"]
    compare = in_place.node("effect").operator
    assert compare.controls == ("aa",)
    assert compare.arms == ("reweighted", "aa")
    assert in_place.node("effect_reweighted").implicit
    assert in_place.node("effect").policies == {"reweighted": "quadratic (r 0.5)"}
    renamed = plan(effect("other: {data: plain, policy: {use: quadratic, r: 0.5}}"), folder)
    assert renamed.node("effect.train_other_0").fingerprint == runs[0].fingerprint, "an arm's name trains nothing again"
    written = plan(effect("x: {data: plain, policy: {use: unimax, per: [good]}}"), folder).node("effect").policies
    assert written == {"x": "unimax (per good)"}, "as a recipe writes it"
    assert plan(effect("again: plain"), folder).node("effect").operator.controls == ("again",)


def test_another_field_is_another_run_and_the_plain_ones_stay(folder):
    one, two = (plan(effect(f"x: {{data: plain, policy: {{use: lin_upper, r: {r}}}}}"), folder) for r in (0.4, 0.5))
    assert one.node("effect.train_x_0").fingerprint != two.node("effect.train_x_0").fingerprint
    for name in ("effect.train_baseline_0", "effect.train_aa_0"):
        assert one.node(name).fingerprint == two.node(name).fingerprint


@pytest.mark.parametrize(
    ("arms", "where", "what"),
    [
        ("x: {data: plain, policy: {use: lin_upper, r: -1}}", "stages.effect.arms.x.policy.r", "must be above 0"),
        ("x: {data: plain, policy: {use: lin_uper}}", "stages.effect.arms.x.policy", "unknown operator 'lin_uper'"),
        ("x: {data: plain, policy: {use: lin_upper, R: 1}}", "stages.effect.arms.x.policy.R", "has no field 'R'"),
        ("x: {data: plain, policy: {r: 1}}", "stages.effect.arms.x.policy", "needs `use: POLICY`"),
        ("x: {data: plain}", "stages.effect.arms.x.policy", "the arm's policy is null"),
        ("x: {policy: hard}", "stages.effect.arms.x", "needs its data"),
        ("x: {data: plain, policy: hard, seed: 3}", "stages.effect.arms.x", "an arm has no 'seed'"),
        ("x: {data: plain, policy: best}", "stages.effect.arms.x.policy", r"'best' \(top_k\) is no policy"),
        ("x: {data: plain, policy: {use: 'mine:harder', powr: 1}}", "stages.effect.arms.x.policy.powr", "no option"),
        ("x: {data: plain, policy: {use: 'mine:harder', power: yes please}}", "stages.effect.arms.x.policy.power",
         "its default 1.0"),
        ("x: {data: spread, policy: {use: conditional, inputs: docs, score: good}}", "stages.effect.arms.x.policy",
         "phases or redraws"),
        ("x: {data: plain, policy: {use: top_k}}", "stages.effect.arms.x.policy.use", r"'top_k' \(selector\) is no policy"),
        ("x: {data: plain, policy: {use: lm_nats}}", "stages.effect.arms.x.policy.use", "is no policy"),
        ("x: {data: plain, policy: {use: salt, teacher: ./folder}}", "stages.effect.arms.x.policy.teacher",
         "'./folder' is a path, and teacher names a stage"),
        ("x: {data: plain, policy: {use: skill_it, per: good, graph: ./graph.json, feedback: {a: other}}}",
         "stages.effect.arms.x.policy.graph", "is a path"),
        ("x: {data: plain, policy: {use: rho_1, reference: plain}}", "stages.effect.arms.x.policy.reference",
         "holds no trained model"),
        ("x: {data: plain, policy: {use: skill_it, per: good, edges: {k: {b: 1}}, feedback: {a: other}}}",
         "stages.effect.arms.x.policy.edges.k.b", "an edge goes to 'b', and no text"),
        ("x: {data: plain, policy: {use: skill_it, per: good, edges: {k: {a: 1}}, feedback: {a: other, b: other}}}",
         "stages.effect.arms.x.policy.feedback.b", "no edge goes to the text 'b'"),
        ("x: {data: plain, policy: {use: ul2}}", "stages.effect.arms.x.policy", "'ul2' takes 103 of its ids"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_policy_is_told_where_it_is_written(folder, arms, where, what):
    with pytest.raises(ConfigError, match=what) as caught:
        plan(effect(arms), folder)
    assert caught.value.where.startswith(where)


@pytest.mark.parametrize(
    ("use", "named"),
    [("top_k", ("filtering", "rwr", "data: SELECTION")), ("doremi", ("doremi_proxy",)), ("lm_nats", ("rwr", "score")),
     ("train", ("salt", "teacher")), ("docs", ()), ("minhash", ("lin_upper",))],
)  # fmt: skip
def test_what_is_no_policy_is_told_with_the_nearest_ones_before_its_fields_are_asked_for(folder, use, named):
    with pytest.raises(ConfigError) as caught:
        plan(effect(f"x: {{data: plain, policy: {{use: {use}}}}}"), folder)
    assert "field" not in caught.value.what
    assert all(name in caught.value.hint for name in named)


def test_ids_that_a_control_takes_are_refused_while_planning_where_a_teacher_has_them(folder):
    arms = "x: {data: plain, policy: {use: salt, teacher: small}}, y: {data: plain, policy: {use: conditional, score: good}}"
    small = f"  small: {{use: train, selection: plain, tokens: 1000, {TINY}%s}}\n  effect:"
    with pytest.raises(
        ConfigError, match=r"'conditional' takes 2 ids for itself, and 'small\.tokenizer' leaves 0 of"
    ) as no:
        plan(effect(arms).replace("  effect:", small % ""), folder)
    assert no.value.where == "stages.effect.arms.y.policy"
    assert "the policy of 'x' brings a model" in no.value.what
    room = small % ", policy: {use: conditional, score: good}"
    assert plan(effect(arms).replace("  effect:", room), folder).node("effect.train_y_0")


def test_n_grams_count_what_a_policy_makes_of_documents_where_it_asks_no_model(folder):
    arms = "x: {data: plain, policy: {use: filtering, score: good, tau: 0.5}}, y: {data: plain, policy: hard}"
    found = plan(effect(arms), folder)
    plain, kept = (found.node(f"effect.ngram_{label}_0") for label in ("baseline", "x"))
    assert kept.fingerprint != plain.fingerprint
    assert "effect.ngram_y_0" not in {n.name for n in found.nodes}
    assert set(found.node("effect").refs["lexical"]) == {"baseline/0", "x/0", "aa/0"}
    assert found.node("effect").policies["x"] == "filtering (score good, tau 0.5)"


@pytest.mark.parametrize(
    ("more", "where"),
    [("policies: {baseline: hard}", "policies.baseline"), ("policies: {nobody: hard}", "policies"),
     ("soup: {mean: [x, baseline]}, policies: {mean: hard}", "policies.mean"),
     ("policies: {x: hard}", "policies")],
)  # fmt: skip
def test_what_does_not_go_with_policies_is_refused(folder, more, where):
    with pytest.raises(ConfigError) as caught:
        plan(effect("x: {data: plain, policy: {use: 'mine:harder'}}", f"seeds: 2, {more}"), folder)
    assert caught.value.where == f"stages.effect.{where}"


def test_a_policy_that_makes_other_rows_does_not_go_with_a_replay(folder):
    arms = "x: {data: plain, policy: {use: temperature, inputs: docs, per: [good]}}"
    with pytest.raises(ConfigError, match="'temperature' makes other rows of the documents") as caught:
        plan(effect(arms, "seeds: 2, replay: best, replay_share: 0.2"), folder)
    assert caught.value.where == "stages.effect.arms.x.policy"


@pytest.mark.parametrize("data", ["spread", "plain"])
def test_a_policy_that_weighs_goes_with_documents_of_several_sources(folder, data):
    aligned = "x: {data: DATA, policy: {use: value_alignment, inputs: docs, feedback: other, SCORES}}"
    more = "seeds: 1" if data == "spread" else "seeds: 1, start: one, replay: docs, replay_share: 0.2"
    one = f"  one: {{use: train, selection: plain, tokens: 1000, {TINY}}}\n  effect:"
    arms = aligned.replace("DATA", data)
    recipe = effect(arms.replace("SCORES", "every: 5"), more).replace("  effect:", one)
    assert plan(recipe, folder).node("effect.train_x_0").operator.policed["use"] == "value_alignment"
    scored = plan(effect(arms.replace("SCORES", "scores: [good]"), more).replace("  effect:", one), folder)
    assert scored.node("effect.train_x_0").operator.policed["scores"] == ["good"]


@pytest.mark.parametrize(
    "more",
    ["folds: true, seeds: 2", "seeds: 3, halving: {keep: 0.5, first: 2}", "seeds: 2, ensemble: true, distil: true",
     "tune: {learning_rate: [0.5, 1]}, tune_target: aside, eval: {target: held, aside: other}, seeds: 1",
     "seeds: 1, scales: [0.5M, 1M], vocab: 4096, width: 256",
     "seeds: 1, budgets: [1000, 1500, 2000, 3000, 4000]", "soup: {mean: [x, baseline]}, seeds: 2"],
    ids=lambda m: m.split(":")[0] + m[:24],
)  # fmt: skip
def test_what_goes_with_policies_is_planned(folder, more):
    recipe = effect("x: {data: plain, policy: {use: lin_upper, r: 0.4}}", more)
    for field in ("eval", "vocab", "width"):
        if f", {field}:" in more:  # given twice: the later one is meant
            import re

            recipe = re.sub(rf" {field}: (\{{[^}}]*\}}|\d+),", "", recipe, count=1)
    recipe = re_sizes(recipe) if "scales" in more else recipe
    found = plan(recipe, folder)
    trained = [n for n in found.nodes if getattr(n.operator, "policed", None)]
    assert trained
    assert all("_x_" in n.name for n in trained)


def re_sizes(recipe: str) -> str:
    """Without the five numbers, which `scales` names."""
    import re

    return re.sub(r" (vocab|width|layers|heads|context): \d+,?", "", recipe).replace(", }", "}")


def test_runs_with_policies_are_trained_and_told(folder, tmp_path):
    arms = ("reweighted: {data: plain, policy: {use: lin_upper, r: 0.3, warm_share: 0.2}}, "
            "mine: {data: plain, policy: {use: 'mine:harder', power: 2.0}}, "
            "kept: {data: plain, policy: {use: filtering, score: good, tau: 0.5}}")  # fmt: skip
    ran = run(effect(arms, "seeds: 1, save_every: 4"), folder, tmp_path / "root")
    plain, mine = (result_of(ran, f"effect.train_{label}_0") for label in ("baseline", "mine"))
    told = result_of(ran, "effect.train_reweighted_0")["policy"]
    assert told["said"] == "lin_upper (r 0.3, warm_share 0.2)"
    assert 0 < told["least_ess_share"] < told["mean_ess_share"] < 1
    assert told["first_plain_loss"] == pytest.approx(plain["first_loss"])
    assert mine["policy"]["said"] == "mine:harder (power 2.0)"
    assert mine["plan"] == plain["plan"]
    metrics = result_of(ran, "effect")
    assert set(metrics["arms"]) == {"reweighted", "mine", "kept"}
    assert set(metrics["aa"]) == {"aa"}
    assert any(note.startswith("reweighted: policy lin_upper (r 0.3") for note in metrics["notes"])
    kept = metrics["arms"]["kept"]
    share = kept["policy"]["left_out_share"]
    assert 0 < share < 1
    assert kept["unique_documents"] == [round(plain["unique_documents"] * (1 - share))]
    told_of = ["reweighted (weighed while training)", f"kept (by a threshold, {share:.1%} of the documents left out)"]
    (same,) = [note for note in metrics["notes"] if "select the same documents" in note]
    assert all(one in same for one in told_of)
    assert not any("train on the same documents" in note for note in metrics["notes"])
    grams = {label: arm["effects"]["target"]["ngram"] for label, arm in metrics["arms"].items()}
    assert grams["kept"]["mean_diff"] != 0, "of the documents that are kept"
    assert grams["reweighted"] is grams["mine"] is None
    assert any(note.startswith("no n-grams stand beside reweighted, mine: ") for note in metrics["notes"])
    files = {f.name for r in ran.manifest("effect.train_mine_0").receipts for f in r.files}
    assert {"policy.npz", "weights.npz", "losses.npy"} <= files


def test_a_train_stage_has_a_policy_too_and_says_it(folder, tmp_path):
    recipe = f"{HEAD}  one: {{use: train, selection: plain, tokens: 1000, policy: {{use: 'mine:plainest'}}, {TINY}}}\n"
    ran = run(recipe, folder, tmp_path / "root")
    told = result_of(ran, "one.run")
    assert np.isfinite(told["policy"]["last_plain_loss"])
    assert "policy mine:plainest, effective sample size" in ran.manifest("one").metrics["summary"]


def test_every_word_of_schema_and_list_knows_policies():
    from winnow.dags.before.catalogue import by_role, operators
    from winnow.dags.before.recipe_schema import recipe_schema

    listed = [o["name"] for o in by_role(operators()) if o["role"] == "policy"]
    assert {"lin_upper", "quadratic", "extremes", "upper"} <= set(listed)
    text = json.dumps(recipe_schema())
    assert '"policies"' in text
    assert '"policy"' in text


def test_user_code_is_identity_and_a_column_that_does_not_exist_is_told(folder, tmp_path):
    recipe = effect("x: {data: plain, policy: {use: 'mine:harder'}}")
    before = plan(recipe, folder).node("effect.train_x_0").fingerprint
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("raw", "target", "feedback"):
        (copy / name).symlink_to(folder / name)
    (copy / "mine.py").write_text(MODULE.replace("1 + seen", "2 + seen"))
    assert plan(recipe, copy).node("effect.train_x_0").fingerprint != before
    (copy / "mine.py").write_text(MODULE.replace('    """More weight', '    # a remark\n    """More weight'))
    assert plan(recipe, copy).node("effect.train_x_0").fingerprint == before
    (copy / "mine.py").write_text(MODULE.replace('"good",', '"goood",'))
    with pytest.raises(ConfigError, match="goood") as caught:
        plan(recipe, copy)
    assert caught.value.where.startswith("stages.effect.arms.x.policy")


def test_a_new_policy_works_as_it_stands_and_bad_ones_are_told(tmp_path, monkeypatch):
    from winnow.dags.before.checking import check_target
    from winnow.dags.before.scaffold import scaffold

    monkeypatch.chdir(tmp_path)
    made = scaffold("policy", "tilting")
    assert "policy: {use:" in made.line
    assert check_target("tilting:tilting") == {
        "target": "tilting:tilting", "kind": "operator", "ok": True, "errors": [], "findings": [],
    }  # fmt: skip
    (tmp_path / "badly.py").write_text(
        "import numpy as np\nimport winnow\n\n\n"
        "@winnow.policy('first')\ndef first(seen):\n    out = np.ones(len(seen.loss))\n    out[0] = 5\n    return out\n\n\n"
        "@winnow.policy('less')\ndef less(seen):\n    return -seen.loss\n"
    )
    assert [f["rule"] for f in check_target("badly:first")["findings"] if f["status"] == "broken"] == ["order"]
    (only,) = check_target("badly:less")["findings"]
    assert "weights that are negative" in only["message"]


def test_the_python_form_says_the_same(folder):
    import winnow as w
    from winnow.dags.python.rows import ablation

    docs = w.read(str(folder / "raw/*.jsonl"), columns={"good": "float64"})
    arms = {"plain": w.random(tokens=4000), "x": {"data": "plain", "policy": {"use": "lin_upper", "r": 0.4}}}
    made = ablation(docs, arms=arms, eval={"target": w.read(str(folder / "target/*.jsonl"), name="held")}, seeds=1)
    text = made.to_yaml()
    assert "x_policy: {use: lin_upper, r: 0.4}" in text
    assert "policies: {x: x_policy}" in text
    with pytest.raises(ConfigError, match="is no policy"):
        ablation(docs, arms={**arms, "x": {"data": "plain", "policy": 3}}, eval="x.jsonl")
    with pytest.raises(ConfigError, match="which is no arm"):
        ablation(docs, arms={**arms, "x": {"data": "plan", "policy": {"use": "upper"}}}, eval="x.jsonl")
