"""Arms that are averages of others' models, and students of another size: what they are made of, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support import run
from test_ablation_grid import expanded
from test_ablation_run import result_of, sources, train, trained
from test_continued import STAGES, TINY, corpora  # noqa: F401 (a fixture)
from test_trainers import Source

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.operators.config import part_of
from winnow.trainers.ablation.averaging import Averaging
from winnow.trainers.compare.arms import Arm, check_equal
from winnow.trainers.compare.common_documents import Common
from winnow.trainers.compare.soups import fixed_soups, soup_notes, with_soups
from winnow.trainers.evaluate.distil_gpt import Distil
from winnow.trainers.evaluate.soup_gpt import Soup
from winnow.trainers.model.train_gpt import WEIGHTS, Train


def test_an_average_is_a_further_arm_at_every_seed_and_trains_nothing():
    few, many = expanded(), expanded(arms={"best": "best", "lucky": "lucky"}, soup={"both": ["best", "lucky"]})
    for seed in range(3):
        made = many[f"soup_both_{seed}"]
        assert made.refs["models"] == {m: f".train_{m}_{seed}" for m in ("best", "lucky")}
        assert many["compare"].refs["runs"][f"both/{seed}"] == f".soup_both_{seed}"
        assert many[f"score_both_{seed}_ref"].refs["models"] == {"model": f".soup_both_{seed}"}
    assert many["compare"].operator.arms == ("best", "lucky", "aa", "both")
    assert many["compare"].operator.fixed == ("best",), "an average with a drawn arm is drawn"
    assert all(many[name] == sub for name, sub in few.items() if name.startswith("train_"))
    assert "train_both_0" not in many
    fixed = expanded(arms={"best": "best", "top": "best"}, soup={"both": {"best": 3, "top": 1}})
    assert fixed["compare"].operator.fixed == ("best", "top", "both")
    assert fixed["soup_both_0"].operator.weights == {"best": 3.0, "top": 1.0}
    rated = expanded(
        arms={"best": "best", "lucky": "lucky"}, soup={"both": ["best", "lucky"]}, learning_rates=(1.0, 0.1)
    )
    assert rated["rate1_soup_both_1"].refs["models"]["lucky"] == ".rate1_train_lucky_1"


@pytest.mark.parametrize(
    ("fields", "where", "said"),
    [
        ({"soup": {"both": ["best"]}}, "soup.both", "two or more"),
        ({"soup": {"both": ["best", "best"]}}, "soup.both", "two or more"),
        ({"soup": {"both": "best"}}, "soup.both", "two or more"),
        ({"soup": {"both": {"best": 1, "baseline": 0}}}, "soup.both", "weight of 'baseline' is 0"),
        ({"soup": {"both": {"best": True, "baseline": 1}}}, "soup.both", "weight of 'best' is True"),
        ({"soup": {"both": ["best", "none"]}}, "soup.both", "'none' is no arm"),
        ({"soup": {"best": ["best", "baseline"]}}, "soup.best", "not free"),
        ({"soup": {"both": ["best", "baseline"]}, "starts": {"best": "trunk"}}, "soup.both", "best trunk, baseline from scratch"),
        ({"soup": {"aa": ["best", "baseline"]}}, "soup.aa", "not free"),
        ({"soup": {"both": ["best", "baseline"]}, "halving": {"keep": 0.5}}, "halving", "does not go with soup"),
        ({"soup": {"both": ["best", "baseline"]}, "ensemble": True, "distil": True}, "distil", "no documents"),
        ({"student_size": "0.5M"}, "student_size", "no students"),
        ({"student_size": "0.4M", "ensemble": True, "distil": True}, "size", "no model size"),
        ({"ensemble": True, "seeds": 1}, "ensemble", "its only model"),
    ],
)  # fmt: skip
def test_what_has_no_average_is_refused(fields, where, said):
    with pytest.raises(ConfigError, match=said) as caught:
        expanded(**fields)
    assert caught.value.where == where


def test_a_student_of_another_size_has_its_teachers_tokens():
    subs = expanded(ensemble=True, distil=True, student_size="0.5M", seeds=2)
    student, teacher = subs["distil_best_0"].operator, subs["train_best_0"].operator
    assert (student.width, student.layers, student.heads) == (72, 3, 3)
    assert (student.vocab, student.context, student.tokens_per_run) == (
        teacher.vocab,
        teacher.context,
        teacher.tokens_per_run,
    )
    assert expanded(ensemble=True, distil=True, seeds=2)["distil_best_0"].operator.shape() == teacher.shape()
    assert Averaging().soups() == {}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Source]:
    """Two runs of one beginning on other documents, one of another beginning, one of another size, one that failed."""
    pytest.importorskip("torch")
    place = tmp_path_factory.mktemp("models")
    made = {
        "one": (train(tokens_per_run=3200), [40] * 20), "two": (train(tokens_per_run=3200), [41] * 20),
        "other": (train(tokens_per_run=3200, init_seed=9), [40] * 20), "wide": (train(tokens_per_run=3200, width=28), [40] * 20),
    }  # fmt: skip
    out = {}
    for name, (operator, lengths) in made.items():
        told = trained(place, operator, sources(lengths, top=20), name=name)
        out[name] = Source(files={p.name: p for p in (place / name).iterdir()}, metrics=told)
    return out | {"broken": Source(files={}, metrics={"failed": "the loss is nan"})}


def souped(folder, models, names, **fields):
    folder.mkdir()
    told = Soup(**fields).run(Context(seed=0, work=folder, refs={"models": {n: models[n] for n in names}}))
    return told, folder / WEIGHTS


@pytest.mark.train
def test_the_average_of_models_is_that_of_their_weights_and_counts_what_was_trained(models, tmp_path):
    told, path = souped(tmp_path / "even", models, ["one", "two"])
    parts = [dict(np.load(models[n].files()[WEIGHTS])) for n in ("one", "two")]
    with np.load(path) as got:
        for name in got.files:
            assert got[name].dtype == np.float32
            np.testing.assert_array_equal(
                got[name], ((parts[0][name].astype(float) + parts[1][name]) / 2).astype(np.float32)
            )
    assert (told["tokens"], told["tokens_each"], told["steps"]) == (
        6400,
        3200,
        sum(models[n].result()["steps"] for n in ("one", "two")),
    )
    assert told["soup"] == {"one": 0.5, "two": 0.5}
    assert told["epochs"] == pytest.approx(told["tokens"] / told["selection_tokens"])
    same, twice = souped(tmp_path / "same", {"a": models["one"], "b": models["one"]}, ["a", "b"])[1], parts[0]
    with np.load(same) as got:
        assert all((got[name] == twice[name]).all() for name in got.files), "an average of equal models is that model"
    told, path = souped(tmp_path / "heavy", models, ["two", "one"], weights={"two": 1.0, "one": 3.0})
    assert told["soup"] == {"one": 0.75, "two": 0.25}
    heavy = dict(np.load(path))
    name = next(iter(heavy))
    np.testing.assert_allclose(heavy[name], 0.75 * parts[0][name] + 0.25 * parts[1][name], rtol=1e-6, atol=1e-9)


@pytest.mark.train
def test_models_without_a_common_beginning_or_shape_have_no_average(models, tmp_path):
    for name, said in (("other", "how they began"), ("wide", "shape")):
        with pytest.raises(DataError, match=f"differ in {said} have no average: one .*; {name} "):
            souped(tmp_path / name, models, ["one", name])
    told = models["two"].result()
    for start in ({"digest": "a", "tokens": 1}, {"digest": "b", "tokens": 1}):
        branch = Source(files=models["two"].files(), metrics={**told, "start": start})
        two = {"one": Source(files=models["one"].files(), metrics={**told, "start": {"digest": "a"}}), "two": branch}
        if start["digest"] == "a":
            assert souped(tmp_path / "a", two, ["one", "two"])[0]["start"]["digest"] == "a"
        else:
            with pytest.raises(DataError, match="how they began have no average: one start a; two start b"):
                souped(tmp_path / "b", two, ["one", "two"])
    told, path = souped(tmp_path / "broken", models, ["one", "broken"])
    assert told == {"failed": "no average: without a model of broken"}
    assert not path.exists()


@pytest.mark.train
def test_a_smaller_student_learns_from_larger_teachers_of_the_same_tokens_only(models, tmp_path):
    fields = part_of(train(tokens_per_run=4000, init_seed=9), Train)
    refs = {**sources([40] * 20, top=20), "teachers": {n: models[n] for n in ("one", "two")}}
    told = trained(tmp_path, Distil(**{**fields, "width": 12, "heads": 1}), refs, name="small")
    assert told["parameters"] < models["one"].result()["parameters"]
    assert told["last_loss"] < told["first_loss"] - 0.05
    for other in ({"vocab": 310}, {"context": 8}):
        with pytest.raises(DataError, match="the teachers are"):
            trained(tmp_path, Distil(**{**fields, **other}), refs, name=next(iter(other)))


def test_an_average_of_equal_runs_may_be_compared_and_tells_its_tokens():
    run = {"tokens": 640, "parameters": 100}
    arm = Arm(label="one", runs=[run], scores=[{}], files=[{}])
    average = dataclasses.replace(arm, label="both", runs=[{**run, "tokens": 1280, "tokens_each": 640}])
    check_equal([arm, average])
    with pytest.raises(DataError, match="both 1,280"):
        check_equal([arm, dataclasses.replace(average, runs=[{**run, "tokens": 1280}])])
    facts = {"soup": {"one": 0.75, "two": 0.25}, "tokens": 1280, "tokens_each": 640}
    (line,) = soup_notes({"arms": {"both": facts, "one": run}})
    assert line == (
        "both: the average of the weights of one (75%), two (25%) at each seed; 1,280 tokens were trained for it, "
        "2.0 times those of another arm"
    )


def test_what_an_average_has_in_common_follows_from_its_arms():
    labels = ("baseline", "one", "two", "fixed")
    places = {f"{label}/{s}": 2 * i + s for i, label in enumerate(labels) for s in range(2)}
    shares = np.eye(8)
    shares[6:, 6:] = 1.0
    shares[2, 4] = shares[4, 2] = 0.5  # one and two at the first seed
    common = Common(places=places, shares=shares)
    got = with_soups(common, {"both": {"one": 3.0, "two": 1.0}, "same": {"fixed": 3.0}}, seeds=2)
    assert (got.shares[:8, :8] == shares).all()
    assert (got.shares == got.shares.T).all()
    assert (np.diagonal(got.shares) == 1).all()
    own = 0.75**2 + 0.25**2  # of a draw's variance, where the arms have nothing in common
    assert got.between("both", "one", seeds=2)[0, 0] == pytest.approx(0.875 / np.sqrt(own + 0.75 * 0.25))
    assert got.between("both", "one", seeds=2)[1, 1] == pytest.approx(0.75 / np.sqrt(own))
    assert got.between("both", "two", seeds=2)[1, 1] == pytest.approx(0.25 / np.sqrt(own))
    assert (got.between("same", "fixed", seeds=2) == 1.0).all()
    assert not got.same("both", "one", seeds=2)
    assert fixed_soups({"both": {"one": 1.0, "fixed": 1.0}, "same": {"fixed": 3.0}}, ("fixed",)) == ["same"]


@pytest.mark.train
def test_branches_of_one_trunk_are_averaged_and_the_average_may_be_continued(corpora, tmp_path):  # noqa: F811
    again = (
        "\n  later: {use: ablation, arms: {newer: newer}, baseline: new, eval: {code: held_code}, seeds: 1, "
        f"start: effect.soup_both_0, may_overlap: [code], {TINY}}}\n"
    )
    more = "may_overlap: [code, web], start: first.train_baseline_0, soup: {both: {newer: 3, baseline: 1}}"
    first = "eval: {web: held_web}"
    watched = "eval: {web: held_web, code: held_code}, may_overlap: [web, code]"
    recipe = STAGES.format(tiny=TINY, more=more).replace(first, watched)
    ran = run(recipe + again, corpora, tmp_path)
    both, one = result_of(ran, "effect.soup_both_0"), result_of(ran, "effect.train_newer_0")
    assert (both["tokens"], both["tokens_each"], both["start"]) == (6000, 3000, one["start"])
    assert both["soup"] == {"baseline": 0.25, "newer": 0.75}
    metrics = result_of(ran, "effect")
    scores = {k: v["scores"] for k, v in {**metrics["arms"], "baseline": metrics["baseline"]}.items()}
    trunk = result_of(ran, "first")["baseline"]["scores"]
    learned = {k: trunk["code"][0] - scores[k]["code"][0] for k in ("both", "newer", "baseline")}
    assert min(learned["newer"], learned["baseline"]) > 0.5, "the branches learned something"
    assert learned["both"] > 0.95 * min(learned["newer"], learned["baseline"]), "one basin: the average knows it too"
    assert scores["both"]["web"][0] < max(scores[k]["web"][0] for k in ("newer", "baseline"))
    assert any(note.startswith("both: continues model") and "6,000 new ones" in note for note in metrics["notes"])
    assert result_of(ran, "later.train_newer_0")["start"]["tokens"] == 3000 + 6000
