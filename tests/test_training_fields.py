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
from winnow.trainers.evaluate.distil_gpt import Distil
from winnow.trainers.evaluate.evaluate_gpt import Scoring
from winnow.trainers.model.recipe import SCHEDULE_FIELDS, Recipe
from winnow.trainers.model.shape import Size
from winnow.trainers.model.train_gpt import Train
from winnow.trainers.model.training import Training

FIELDS = {f.name: f for f in dataclasses.fields(Training)}
IDENTITY = [name for name, f in FIELDS.items() if f.metadata.get("identity", True)]
HINTS = typing.get_type_hints(Training)
CHOICES = {n: typing.get_args(h) for n, h in HINTS.items() if typing.get_origin(h) is typing.Literal}
NEEDED = {"arms": {"best": "best"}, "baseline": "plain", "eval": {"ref": "held"}}


def another(name: str) -> object:
    """A value of the field's type that is not its default and fits the defaults of the others."""
    default, hint = FIELDS[name].default, HINTS[name]
    if name in CHOICES:
        return next(value for value in CHOICES[name] if value != default)
    if hint is int:
        return default * 2
    assert hint is float or (isinstance(hint, types.UnionType) and float in typing.get_args(hint)), name
    return default / 2 if default else 0.1


def test_a_run_and_an_ablation_have_every_field_of_a_recipe_and_a_size():
    assert {f.name for part in (Recipe, Size) for f in dataclasses.fields(part)} <= FIELDS.keys()
    assert {"clip", "cooldown_share", "constant_lr", "final_lr", "packing"} <= set(IDENTITY)
    for stage in (Ablation, Train, Distil):
        own = {f.name: f.default for f in dataclasses.fields(stage)}
        assert {name: own[name] for name in FIELDS} == {name: f.default for name, f in FIELDS.items()}, stage


@pytest.mark.parametrize("name", IDENTITY)
def test_a_field_that_is_set_on_an_ablation_reaches_its_runs_and_is_their_identity(name):
    value = another(name)
    changed = build(Ablation, {**NEEDED, name: value}, where="stages.effect")
    assert getattr(changed, name) == dump(changed)[name] == value
    before, after = (expanded(seeds=1, **fields)["train_best_0"].operator for fields in ({}, {name: value}))
    assert getattr(after, name) == value
    assert fingerprint(operator_identity(before)) != fingerprint(operator_identity(after))
    part = after.shape() if name in {f.name for f in dataclasses.fields(Size)} else after.recipe()
    assert getattr(part, name, value) == value


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
    built = build(Ablation, {**NEEDED, name: value}, where="stages.effect")
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
