"""Fields of a training run are declared once: each can be set on `ablation` and arrives in every run."""

from __future__ import annotations

import dataclasses
import types
import typing

import pytest
from test_ablation_grid import expanded

from winnow.core.errors import ConfigError
from winnow.core.operators.config import build, dump, part_of
from winnow.core.operators.fingerprint import fingerprint, operator_identity
from winnow.trainers.ablation.ablation import Ablation
from winnow.trainers.ablation.train import TrainModel
from winnow.trainers.evaluate.distil_gpt import Distil
from winnow.trainers.evaluate.evaluate_gpt import Scoring
from winnow.trainers.model.recipe import SCHEDULE_FIELDS, Recipe
from winnow.trainers.model.shape import Size
from winnow.trainers.model.train_gpt import Train
from winnow.trainers.model.training import Training
from winnow.trainers.model.without_effect import READ_AT

FIELDS = {f.name: f for f in dataclasses.fields(Training)}
IDENTITY = [name for name, f in FIELDS.items() if f.metadata.get("identity", True)]
HINTS = typing.get_type_hints(Training)
CHOICES = {n: typing.get_args(h) for n, h in HINTS.items() if typing.get_origin(h) is typing.Literal}
DIFFER = {"eval", "replay_share"}  # a single model may go without a target; shares of several arms go by label
NEEDED = {"arms": {"best": "best"}, "baseline": "plain", "eval": {"ref": "held"}}


def another(name: str) -> object:
    """A value of the field's type that is not its default and fits the defaults of the others."""
    default, hint = FIELDS[name].default, HINTS[name]
    if name in CHOICES:
        return next(value for value in CHOICES[name] if value != default)
    if hint is int:
        return default * 2
    if hint == tuple[int, ...]:
        return (*default, 1)
    assert hint is float or (isinstance(hint, types.UnionType) and float in typing.get_args(hint)), name
    return default / 2 if default else 0.1


def beside(name: str) -> dict[str, object]:
    """The field that decides whether another one is read, at a value at which it is; none where it always is."""
    decides, values = READ_AT.get(name, ("", ()))
    return {decides: values[0]} if values and FIELDS[decides].default not in values else {}


def test_a_run_and_an_ablation_have_every_field_of_a_recipe_and_a_size():
    assert {f.name for part in (Recipe, Size) for f in dataclasses.fields(part)} <= FIELDS.keys()
    assert {"clip", "cooldown_share", "constant_lr", "final_lr", "packing"} <= set(IDENTITY)
    for stage in (Ablation, TrainModel, Train, Distil):
        own = {f.name: f.default for f in dataclasses.fields(stage)}
        assert {name: own[name] for name in FIELDS} == {name: f.default for name, f in FIELDS.items()}, stage


@pytest.mark.parametrize("name", IDENTITY)
def test_a_field_that_is_set_on_an_ablation_reaches_its_runs_and_is_their_identity(name):
    value = another(name)
    more = beside(name)
    changed = build(Ablation, {**NEEDED, name: value, **more}, where="stages.effect")
    assert getattr(changed, name) == value
    assert dump(changed)[name] == (list(value) if isinstance(value, tuple) else value)
    before, after = (expanded(seeds=1, **more, **own)["train_best_0"].operator for own in ({}, {name: value}))
    assert getattr(after, name) == value
    assert fingerprint(operator_identity(before)) != fingerprint(operator_identity(after))
    part = after.shape() if name in {f.name for f in dataclasses.fields(Size)} else after.recipe()
    assert getattr(part, name, value) == value


@pytest.mark.parametrize("name", IDENTITY)
def test_a_field_that_is_set_on_a_train_is_that_of_its_run(name):
    value, more = another(name), beside(name)
    stage = build(TrainModel, {"selection": "best", name: value, **more}, where="stages.base")
    assert getattr(stage.design(), name) == value


def test_an_ablation_and_a_train_share_types_and_defaults():
    ablation, train = (
        {f.name: (f.type, f.default, f.metadata) for f in dataclasses.fields(c)} for c in (Ablation, TrainModel)
    )
    assert {name for name in ablation.keys() & train.keys() if ablation[name] != train[name]} == DIFFER


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Scoring)])
def test_how_models_are_scored_reaches_every_evaluation(name):
    before, after = (expanded(seeds=1, **fields)["score_best_0_ref"].operator for fields in ({}, {name: 12}))
    assert (getattr(before, name), getattr(after, name)) == (getattr(Scoring(), name), 12)
    assert fingerprint(operator_identity(before)) != fingerprint(operator_identity(after))


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - set(IDENTITY)))
def test_where_a_run_is_computed_reaches_it_and_is_no_identity(name):
    value = "cpu" if name == "device" else another(name) if FIELDS[name].default else type(FIELDS[name].default)(7)
    before, after = (expanded(seeds=1, **fields)["train_best_0"].operator for fields in ({}, {name: value}))
    assert getattr(after, name) == value
    assert operator_identity(before) == operator_identity(after)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in CHOICES.items() for v in values])
def test_every_documented_value_is_accepted_alone(name, value):
    built = build(Ablation, {**NEEDED, name: value, **beside(name)}, where="stages.effect")
    assert getattr(built, name) == value
    assert part_of(built, Recipe) == dataclasses.asdict(built.recipe())


def test_an_infinite_schedule_ends_at_a_tenth_of_its_constant_part_where_nothing_else_is_said():
    assert Recipe(schedule="infinite", constant_lr=0.2).schedule_of().final == pytest.approx(0.02)
    assert Recipe(schedule="infinite", final_lr=0.01).schedule_of().final == 0.01
    assert Recipe(schedule="cosine").schedule_of().final == 0.0


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"schedule": "infinite", "final_lr": 0.0}, "final_lr"),
        ({"constant_lr": 1.5}, "constant_lr"),
        ({"schedule": "infinite", "cooldown_share": 0.9}, "decay_share"),
        ({"schedule": "infinite", "final_lr": 0.9}, "final_lr"),
        ({"final_lr": -1.0}, "final_lr"),
        ({"clip": 0.0}, "clip"),
    ],
)
def test_a_number_out_of_range_is_named_as_the_person_wrote_it(fields, where):
    with pytest.raises(ConfigError) as caught:
        build(Ablation, {**NEEDED, **fields}, where="stages.effect")
    assert caught.value.where == f"stages.effect.{where}"
    named = caught.value.what.split()[0]
    assert named == where or named not in SCHEDULE_FIELDS.values(), "the message names a field that nobody wrote"


UNREAD = [
    {"decay_share": 0.5}, {"schedule": "infinite", "decay_shape": "sqrt"}, {"cooldown_share": 0.5}, {"constant_lr": 0.3},
    {"final_lr": 0.5}, {"lr_adamw": 0.5}, {"optimizer": "adamw", "lr_head": 0.5}, {"size": "1M", "width": 32},
    {"size": "1M", "context": 64},
]  # fmt: skip
OF_AN_ABLATION = [
    {"scales": ("0.5M", "1M"), "layers": 1}, {"scale_tokens": "equal"}, {"selection_flops": {"best": 1e12}},
    {"budgets": (200_000, 300_000, 400_000, 500_000, 600_000), "selection_flops": {"bets": 1e12}},
    {"folds": True, "question": "selection"}, {"start": "run", "tokenizer_bytes": 5_000}, {"seeds": 2, "halving": {"keep": 0.5}},
]  # fmt: skip


@pytest.mark.parametrize("fields", UNREAD, ids=str)
@pytest.mark.parametrize("stage", [(Ablation, NEEDED), (TrainModel, {"selection": "best"})], ids=["ablation", "train"])
def test_a_field_that_another_one_leaves_without_effect_is_refused_with_what_to_do(stage, fields):
    kind, needed = stage
    with pytest.raises(ConfigError) as refused:
        kind(**needed, **fields).validate()
    assert refused.value.where == list(fields)[-1]
    assert refused.value.hint
    kind(**needed, **dict(list(fields.items())[:-1])).validate()


@pytest.mark.parametrize("fields", OF_AN_ABLATION, ids=str)
def test_what_an_ablation_would_pass_over_is_refused_with_what_to_do(fields):
    with pytest.raises(ConfigError) as refused:
        Ablation(**NEEDED, **fields).validate()
    assert refused.value.where == list(fields)[-1]
    assert refused.value.hint


def test_numbers_that_say_what_the_name_of_a_size_says_go_with_it():
    Ablation(**NEEDED, size="1M", width=96, layers=2).validate()
