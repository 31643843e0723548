"""Arms that are more than a set of documents: phases and redraws are trained as they say, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import plan_of, put_corpus, run, texts
from test_ablation_run import result_of, train, trained
from test_contract import EXAMPLES
from test_trainers import Source, id_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import TrainingPart
from winnow.core.operators.budget import Budget
from winnow.core.operators.training_part import COURSES, check_parts
from winnow.core.store.locations import open_store
from winnow.dags.looking.selection_cost import selection_costs
from winnow.dags.recipe.registry import operator_class
from winnow.trainers.ablation.scaling import scaled
from winnow.trainers.compare.phase_lines import phase_lines, phases_of_runs
from winnow.trainers.data import in_parts
from winnow.trainers.data.in_parts import Fed
from winnow.trainers.data.pack import documents_of
from winnow.trainers.data.phases import Phased, Rates
from winnow.trainers.model.checkpoint import Folder
from winnow.trainers.model.train_gpt import LOSSES, WEIGHTS

FED = Fed(context=16, batch=4, end=299, seed=2)


def corpus(count: int = 60, seed: int = 5) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A selection with a weight per part and redraws, and its tokens."""
    draw = np.random.default_rng(seed)
    ids = [id_of(i) for i in range(count)]
    tokens = pl.Series(
        [draw.integers(0, 299, n).tolist() for n in draw.integers(5, 40, count)], dtype=pl.List(pl.UInt16)
    )
    first = np.arange(count) < count // 2
    columns = {
        "doc_id": ids, "weight_a": first * 1.0, "weight_b": ~first * 3.0, "weight_none": first * 0.0,
        "weight_mixed": first + 1.0, "drawn": [[n for n in range(3) if i % 3 != n] for i in range(count)],
    }  # fmt: skip
    return pl.DataFrame(columns, schema_overrides={"drawn": pl.List(pl.UInt16)}), pl.DataFrame(
        {"doc_id": ids, "tokens": tokens}
    )


A = TrainingPart(label="a", column="weight_a", tokens=3000, schedule="constant")
B = TrainingPart(label="b", column="weight_b", tokens=1000, repeats=3.0, schedule="linear", lr_end=0.0)


def phased(*parts: TrainingPart, total: int = 2000, fed: Fed = FED) -> Phased:
    return in_parts.phased(parts, *corpus(), total=total, fed=fed)


def test_every_part_reads_its_own_documents_for_its_share_and_the_run_has_all_its_tokens():
    data = phased(A, B)
    assert data.num_tokens == 2000
    assert [source.num_tokens for source in data.sources] == pytest.approx([1500, 500], abs=FED.context * FED.batch / 2)
    selection, tokens = corpus()
    for source, column in zip(data.sources, ("weight_a", "weight_b"), strict=True):
        mine = selection.filter(pl.col(column) > 0)["doc_id"]
        assert source.data.doc_id.to_list() == mine.sort().to_list()
    full = [data.step_tokens(step) for step in range(data.starts[1])]
    alone = FED.batches(
        documents_of(selection.filter(pl.col("weight_a") > 0).select("doc_id"), tokens), tokens=9000, label="a"
    )
    assert full == [alone.step_tokens(step) for step in range(data.starts[1])], "no step before the end is a rest"
    assert sum(data.step_tokens(step) for step in range(data.num_steps)) == 2000


def test_parts_in_another_order_or_at_other_rates_are_another_run_and_equal_ones_the_same():
    one = phased(A, B)
    assert phased(A, B).digest == one.digest
    others = [phased(B, A), phased(A, dataclasses.replace(B, lr_end=0.5)), phased(A, dataclasses.replace(B, label="c"))]
    assert len({one.digest, *(other.digest for other in others)}) == 4
    rows = [{tuple(map(tuple, data.sources[i].batch(0).ids.tolist()))} for data, i in ((one, 0), (others[0], 1))]
    assert rows[0] == rows[1], "a part reads the same rows wherever it stands"


def test_a_document_of_two_selections_weighs_twice_and_equal_weights_are_none():
    mixed = dataclasses.replace(A, column="weight_mixed")
    data = phased(mixed, B)
    weights = data.sources[0].loss
    assert sorted(np.unique(weights / weights.min()).round(5)) == [1.0, 2.0]
    again = phased(mixed, B, fed=dataclasses.replace(FED, weighting="repeat"))
    assert again.sources[0].plan.num_tokens > data.sources[0].plan.num_tokens
    assert (data.sources[1].loss == 1).all()
    assert data.sources[1].data.weights is None
    with pytest.raises(DataError, match="no document is in part 'a'"):
        phased(dataclasses.replace(A, column="weight_none"), B)


def test_a_run_in_parts_says_its_size_and_epochs_over_all_that_is_selected_once():
    parts = (dataclasses.replace(A, column="weight_mixed"), B)
    told = in_parts.facts(phased(*parts), parts)
    selection, tokens = corpus()
    whole = in_parts.facts(FED.batches(documents_of(selection.select("doc_id"), tokens), tokens=2000), ())
    for name in ("selection_tokens", "selection_documents"):
        assert told[name] == whole[name], "what is in both parts is one document"
    assert told["epochs"] == pytest.approx(whole["epochs"])
    assert told["unique_tokens"] <= told["selection_tokens"]


def test_redraws_change_the_documents_at_equal_parts_under_one_schedule():
    parts = operator_class("ingenious")(
        budget=EXAMPLES["ingenious"](operator_class("ingenious")).budget, redraws=3
    ).training_parts()
    assert [(p.column, p.number, p.schedule) for p in parts] == [("drawn", n, "run") for n in range(3)]
    data = phased(*parts)
    assert [source.num_tokens for source in data.sources] == pytest.approx([2000 / 3] * 3, abs=64)
    selection, _ = corpus()
    for number, source in enumerate(data.sources):
        drawn = [i for i, listed in zip(selection["doc_id"], selection["drawn"], strict=True) if number in listed]
        assert source.data.doc_id.to_list() == sorted(drawn)
    assert [data.rate(step, of_run=0.25) for step in (0, data.num_steps - 1)] == [0.25, 0.25]
    assert (
        operator_class("ingenious")(budget=EXAMPLES["ingenious"](operator_class("ingenious")).budget).training_parts()
        == ()
    )


def test_rates_of_the_run_go_on_and_those_of_a_phase_take_their_place():
    data = Phased(sources=phased(A, B).sources, rates=(Rates(schedule="run", lr=0.5), Rates(lr=0.5)))
    assert (data.rate(0, of_run=0.2), data.rate(data.num_steps - 1, of_run=0.2)) == (0.1, 0.5)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((A, A), "not different"),
        ((dataclasses.replace(A, column="nothing"),), "names the column 'nothing'"),
        ((dataclasses.replace(A, schedule="steps"),), "no schedule 'steps'"),
        ((dataclasses.replace(A, tokens=0.0),), "0.0 tokens"),
        ((A, dataclasses.replace(B, tokens=50)), r"'b' gets 1\.64% of 2,000 training tokens, which is 33, less than one step of 64"),
    ],
)  # fmt: skip
def test_parts_that_cannot_be_trained_are_refused_with_figures(parts, said):
    check_parts((A, B), corpus()[0].schema, tokens=2000, step_tokens=64)
    with pytest.raises(ConfigError, match=said):
        check_parts(parts, corpus()[0].schema, tokens=2000, step_tokens=64)


DECIDES = [name for name, make in EXAMPLES.items() if "kept" in make(operator_class(name)).outputs()]
SELECTORS = [n for n in DECIDES if "weight" in EXAMPLES[n](operator_class(n)).outputs()]


@pytest.mark.parametrize("name", SELECTORS)
def test_what_a_selection_says_is_trained_on_or_declared_as_information(name):
    operator = EXAMPLES[name](operator_class(name))
    columns = set(operator.outputs())
    read = {part.column for part in operator.training_parts()}
    check_parts(operator.training_parts(), operator.outputs(), tokens=10**9, step_tokens=1)
    assert set(operator.informs) <= columns - read - {"kept", "weight"}, "what is read is no mere information"
    assert columns - {"kept", "weight"} - set(operator.informs) == read, "a column that training ignores"


def test_all_selectors_are_looked_at():
    roles = {name for name, make in EXAMPLES.items() if make(operator_class(name)).role == "selector"}
    assert roles <= set(SELECTORS)
    assert len(SELECTORS) >= 30
    assert set(COURSES) == {"run", "constant", "linear", "cosine"}


RECIPE = """
seed: 3
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", columns: {good: float64}}
  held: {use: jsonl, files: "target/*.jsonl"}
  web: {use: top_k, inputs: docs, by: good, budget: 50%}
  rest: {use: difference, inputs: docs, of: [kept_all, kept_web]}
  plain: {use: random, inputs: docs, budget: 9k tokens}
""".replace("  web:", "  all: {use: random, inputs: docs, budget: 100%}\n  web:")
TINY = "vocab: 320, width: 24, layers: 1, heads: 2, context: 32, batch: 4, tokens: 3000, seeds: 1, aa: false"
FIRST = "{name: first, select: kept_web, tokens: 4000 tokens}"
LAST = "{name: last, select: kept_rest, tokens: 2000 tokens, repeats: 2, schedule: linear, lr_end: 0.0}"
IN_PHASES = f"  ab: {{use: phases, inputs: docs, phases: [{FIRST}, {LAST}]}}\n"


def recipe(stages: str, arms: str, more: str = "") -> str:
    """The stages above, some more, and an ablation of the arms."""
    effect = f"  effect: {{use: ablation, arms: {{{arms}}}, baseline: plain, eval: {{target: held}}, {TINY}{more}}}\n"
    return f"{RECIPE}{stages}{effect}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("parts")
    put_corpus(place / "raw", [{"text": text, "good": float(i % 7)} for i, text in enumerate(texts(120, seed=1))], 1)
    put_corpus(place / "target", texts(12, seed=9), 1)
    return place


@pytest.mark.train
def test_arms_of_opposite_order_or_other_rates_have_other_losses(folder, tmp_path):
    pytest.importorskip("torch")
    flat = LAST.replace("lr_end: 0.0", "lr_end: 0.9")
    stages = "".join(
        f"  {name}: {{use: phases, inputs: docs, phases: [{', '.join(phases)}]}}\n"
        for name, phases in {"ab": (FIRST, LAST), "ba": (LAST, FIRST), "flat": (FIRST, flat)}.items()
    )
    stages += (
        "  vec: {use: ngram_vectors, inputs: docs}\n  near: {use: knn_graph, inputs: [docs, vec], k: 4}\n"
        "  redrawn: {use: ingenious, inputs: [docs, near], budget: 3k tokens, redraws: 3}\n"
    )
    more = ", may_overlap: [target], soup: {mean: [ab, ba]}"
    ran = run(recipe(stages, "ab: ab, ba: ba, flat: flat, redrawn: redrawn", more), folder, tmp_path)
    metrics = result_of(ran, "effect")
    compared = next(n.folder for n in ran.plan.nodes if n.operator.name == "compare_arms")
    assert len({arm["scores"]["target"][0] for arm in metrics["arms"].values()}) == 5
    assert (metrics["arms"]["mean"]["tokens"], metrics["arms"]["mean"]["soup"]) == (6000, {"ab": 0.5, "ba": 0.5})
    assert any(note.startswith("mean: the average of the weights of ab, ba") for note in metrics["notes"])
    assert [p["name"] for p in metrics["arms"]["redrawn"]["phases"]] == ["redraw_0", "redraw_1", "redraw_2"]
    assert len(selection_costs(open_store(tmp_path), compared)) == 5, "of the baseline and the arms with runs"
    phases = metrics["arms"]["ab"]["phases"]
    assert [p["name"] for p in phases] == ["first", "last"]
    assert [p["name"] for p in metrics["arms"]["ba"]["phases"]] == ["last", "first"]
    assert sum(p["tokens"] for p in phases) == 3000
    assert phases[0]["tokens"] == pytest.approx(2000, abs=64)
    assert [p["declared_epochs"] for p in phases] == [1.0, 2.0]
    lines = list(phase_lines(metrics))
    assert len(lines) == 4
    assert "epochs (its selection: 2), linear from 1 to 0 of the peak" in lines[0]
    assert "the run's schedule" in lines[0]


def test_epochs_of_a_part_are_the_mean_of_all_runs():
    runs = [
        {"phases": [{"name": n, "epochs": e + s, "packing": {}} for n, e in (("a", 1.0), ("b", 2.0))]} for s in (0, 1)
    ]
    assert phases_of_runs(runs) == {"phases": [{"name": "a", "epochs": 1.5}, {"name": "b", "epochs": 2.5}]}
    assert phases_of_runs([{}]) == {}


@pytest.mark.train
def test_a_run_in_phases_resumes_in_the_second_with_equal_bits_and_under_no_other_order(tmp_path):
    pytest.importorskip("torch")
    selection, tokens = corpus()
    refs = {"selection": Source(selection), "tokens": Source(tokens)}
    parts = tuple(dataclasses.asdict(part) for part in (A, B))
    operator, step = train(parts=parts, save_every=5), Folder(path=tmp_path / "steps", keep=0)
    first = trained(tmp_path, operator, refs, step=step, name="first")
    steps = [phase["steps"] for phase in first["phases"]]
    folders = sorted((tmp_path / "steps").iterdir())
    within = [folder for folder in folders if steps[0] < int(folder.name[-8:]) < sum(steps)]
    for folder in folders[folders.index(within[0]) + 1 :]:
        folder.rename(tmp_path / folder.name)
    again = trained(tmp_path, operator, refs, step=step, name="again")
    fresh = trained(tmp_path, operator, refs, name="fresh")
    for name in ("again", "fresh"):
        for file in (LOSSES, WEIGHTS):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "first" / file).read_bytes()
    assert again == first == fresh
    turned = trained(tmp_path, train(parts=parts[::-1]), refs, name="turned")
    assert turned["last_loss"] != first["last_loss"]
    for folder in sorted((tmp_path / "steps").iterdir())[-2:]:
        folder.rename(tmp_path / f"{folder.name}-gone")
    for name, other in {"turned round": parts[::-1], "slower": (parts[0], {**parts[1], "lr_end": 0.5})}.items():
        with pytest.raises(DataError, match="its data are"):
            trained(tmp_path, train(parts=other, save_every=5), refs, step=step, name=name)


@pytest.mark.parametrize(
    ("stages", "arms", "said", "where"),
    [
        ("  sig: {use: signals, inputs: docs}\n", "best: sig", "has no `kept`", "stages.effect.arms.best"),
        (
            f"{IN_PHASES}  one: {{use: union, inputs: docs, of: [kept_ab, kept_web]}}\n  two: {{use: intersect, inputs: docs, of: [kept_one, kept_all]}}\n",
            "best: two", "made of 'ab', whose phases", "stages.effect.arms.best",
        ),
        (
            IN_PHASES.replace("2000", "100"),
            "ab: ab", "'last' gets 2.44% of 3,000 training tokens", "stages.effect.arms.ab",
        ),
    ],
)  # fmt: skip
def test_what_an_arm_cannot_express_is_refused_with_its_place(folder, tmp_path, stages, arms, said, where):
    with pytest.raises(ConfigError, match=said) as caught:
        plan_of(recipe(stages, arms), folder, tmp_path)
    assert caught.value.where == where
    assert caught.value.hint


def test_a_size_at_which_a_phase_has_no_step_is_refused_before_anything_runs(folder, tmp_path):
    tiny = recipe(IN_PHASES, "ab: ab").replace("vocab: 320, width: 24, layers: 1, heads: 2, context: 32, ", "")
    scaled = tiny.replace("tokens: 3000", "tokens: 12000, scales: [0.5M, 2M]")
    with pytest.raises(ConfigError, match=r"'last' gets 33\.33% of 2,844"):
        plan_of(scaled.replace("batch: 4", "batch: 12"), folder, tmp_path)


def test_a_baseline_in_phases_draws_more_for_a_larger_budget_and_a_fold_s_share_in_a_fold(folder, tmp_path):
    budgets = recipe(IN_PHASES, "best: web", ", budgets: [1000, 2000, 4000, 6000]").replace(
        "baseline: plain", "baseline: ab"
    )
    nodes = {n.name: n for n in plan_of(budgets.replace("context: 32", "context: 16"), folder, tmp_path).nodes}
    tokens = {
        name: [p["tokens"] for p in n.operator.phases] for name, n in nodes.items() if n.operator.name == "phases"
    }
    assert tokens["ab"] == tokens["effect.draw_ab_0"] == ["4000 tokens", "2000 tokens"]
    assert [Budget.parse(text).amount for text in tokens["effect.draw_ab_0_x2"]] == [8000, 4000]
    assert scaled(operator_class("top_k")(by="good", budget=Budget(10, "docs")), 2.0).budget == Budget(20, "docs")
    folded = recipe(IN_PHASES, "ab: ab", ", folds: true").replace("seeds: 1", "seeds: 2")
    nodes = {n.name: n for n in plan_of(folded, folder, tmp_path).nodes}
    drawn = [n.operator for n in nodes.values() if n.operator.name == "phases" and n.name != "ab"]
    assert {tuple(Budget.parse(p["tokens"]).amount for p in op.phases) for op in drawn} == {(2000, 1000)}
    parts = nodes["effect.train_ab_1"].operator.parts
    assert [part["tokens"] for part in parts] == [4000, 2000], "what a part is beside the others stays"


def test_phases_and_sets_are_drawn_anew_with_what_they_are_made_of(folder, tmp_path):
    stages = (
        "  lots: {use: random, inputs: docs, budget: 50%, salt: x}\n"
        "  sum: {use: union, inputs: [docs, lots], of: [kept_lots, kept_web]}\n"
        "  fixed: {use: union, inputs: docs, of: [kept_web, kept_web2]}\n"
        "  plan: {use: phases, inputs: docs, phases: [{name: a, select: [kept_sum, kept_web], tokens: 2000 tokens, by: good}]}\n"
    ).replace("  fixed:", "  web2: {use: top_k, inputs: docs, by: good, budget: 60%}\n  fixed:")
    text = recipe(stages, "plan: plan, sum: sum, fixed: fixed").replace("seeds: 1", "seeds: 2")
    nodes = {n.name: n for n in plan_of(text, folder, tmp_path).nodes}
    for seed in range(2):
        drawn = nodes[f"effect.draw_plan_{seed}"]
        assert {n.name for n in drawn.inputs} == {"docs", "web", f"effect.draw_sum_{seed}", *tokens_of(drawn)}
        assert f"effect.draw_lots_{seed}" in {n.name for n in nodes[f"effect.draw_sum_{seed}"].inputs}
    assert nodes["effect.draw_lots_0"].seed != nodes["effect.draw_lots_1"].seed != nodes["lots"].seed
    assert len({nodes[f"effect.draw_sum_{seed}"].fingerprint for seed in range(2)} | {nodes["sum"].fingerprint}) == 3
    assert not [name for name in nodes if "draw_fixed" in name or "draw_web" in name]
    assert nodes["effect.compare"].operator.fixed == ("fixed",)


def tokens_of(node) -> set[str]:
    """The stage that counts tokens, among a stage's inputs."""
    return {n.name for n in node.inputs if n.operator.name == "count_tokens"}
