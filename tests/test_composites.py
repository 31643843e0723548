"""A field that a composite shares with a stage it expands into is declared once: neither can drift from the other."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from dataclasses import dataclass

import pytest

from winnow.core.operators import Composite, Map, Operator
from winnow.core.operators.config import part_of
from winnow.dags.recipe.registry import REGISTRY, SUB_STAGES, class_at, operator_class

OWN = "winnow.trainers"  # stages of those that train, which have a test of their own: tests/test_training_fields.py
TRAIN = {"ablation", "train"}
COMPOSITES = [name for name in REGISTRY if issubclass(operator_class(name), Composite) and name not in TRAIN]
RESOLVED = {  # the composite's value decides the sub-stage's and is another: these may differ
    ("embed", "encoder_vectors"): {"dim", "pooling"},  # the model's dimensions; `auto` is what its folder says
    ("embed", "static_vectors"): {"table"},  # without a table, the one that `.fit` makes
    ("classifier", "fasttext_classifier"): {"top"},  # without a value, what the preset says
    ("classifier", "sequence_classifier"): {"top", "activation"},
    ("sample_text", "drawn_text"): {"model"},  # a stage, and the run behind it
    ("skill_graph", "skill_runs"): {"selection", "tokens"},  # a stage, and its tokens
    ("write_tokens", "tokenizer"): {"vocab"},  # of files for others, and of a measuring tokenizer
    ("write_tokens", "tokens"): {"tokenizer"},  # a given file, and the stage that it becomes
    ("write_tokens", "token_files"): {"selection", "tokenizer"},
}


def parts_of(whole: type[Operator]) -> list[type[Operator]]:
    """The sub-stages that a composite's file knows."""
    known = [thing for thing in vars(sys.modules[whole.__module__]).values() if isinstance(thing, type)]
    return [thing for thing in known if issubclass(thing, Operator) and thing.__dict__.get("name") in SUB_STAGES]


def declared_by(cls: type, field: str) -> type:
    """The class in whose body a field stands."""
    return next(base for base in cls.__mro__ if field in inspect.get_annotations(base))


def repeated(whole: type, part: type) -> set[str]:
    """Fields of both that are declared twice, so that type or default could drift."""
    shared = {f.name for f in dataclasses.fields(whole)} & {f.name for f in dataclasses.fields(part)}
    return {name for name in shared if declared_by(whole, name) is not declared_by(part, name)}


@pytest.mark.parametrize("name", COMPOSITES)
def test_shared_fields_are_declared_once(name):
    whole = operator_class(name)
    parts = parts_of(whole)
    assert parts, "a composite expands into something"
    found = {part.name: fields for part in parts if (fields := repeated(whole, part))}
    assert found == {part: fields for (of, part), fields in RESOLVED.items() if of == name}


@pytest.mark.parametrize("name", COMPOSITES)
def test_shared_fields_have_one_type_and_one_default(name):
    whole = operator_class(name)
    mine = {f.name: f for f in dataclasses.fields(whole)}
    for part in parts_of(whole):
        for theirs in dataclasses.fields(part):
            own = mine.get(theirs.name)
            if own is not None and theirs.name not in RESOLVED.get((name, part.name), ()):
                assert (own.type, own.default, own.metadata) == (theirs.type, theirs.default, theirs.metadata)


def test_a_repeated_field_is_seen():
    @dataclass(frozen=True, kw_only=True)
    class Sizes:
        dim: int = 8

    @dataclass(frozen=True, kw_only=True)
    class Whole(Sizes, Composite):
        lr: float = 0.1

    @dataclass(frozen=True, kw_only=True)
    class Part(Sizes, Map):
        lr: float = 0.1

    assert repeated(Whole, Part) == {"lr"}
    assert part_of(Whole(dim=3), Sizes) == {"dim": 3}


def test_every_sub_stage_has_a_whole():
    of_users = {"function_scorer", "function_selector"}
    used = {part.name for name in COMPOSITES for part in parts_of(operator_class(name))}
    own = {name for name, place in SUB_STAGES.items() if place.startswith(OWN)}
    assert SUB_STAGES.keys() - own == (used - own) | of_users
    assert used & own == {"causal_files", "causal_nats", "gpt_nats", "gpt_token_losses", "gpt_top_k", "nats_columns",
                          "feedback_columns", "ngram_nats", "drawn_text", "tokenizer", "tokenizer_file", "tokens", "token_files", "climb_step",
                          "domain_sizes", "drawn_mixture", "skill_runs", "target_tokens", "listed_mixture", "score_moments", "weighted_score"}  # fmt: skip
    assert all(class_at(place).name == name for name, place in SUB_STAGES.items())
