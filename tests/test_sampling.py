"""Text drawn from a model: what is drawn, what never is, and what does not change it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from winnow.core.errors import ConfigError
from winnow.core.numerics.rng import uniform
from winnow.trainers.evaluate.sampling import SALT, Draws, choose, drawn, expected_max
from winnow.trainers.model.initialise import build
from winnow.trainers.model.shape import Shape

SHAPE = Shape(vocab=40, width=16, layers=1, heads=2, context=12)


def test_tokens_come_as_often_as_their_shares_and_none_beyond_top_p() -> None:
    shares = np.array([0.1, 0.4, 0.2, 0.3])
    draws = (np.arange(10_000) + 0.5) / 10_000
    logits = np.broadcast_to(np.log(shares), (10_000, 4))
    found = np.bincount(choose(logits, draws, how=Draws(temperature=1.0, top_p=1.0)), minlength=4) / 10_000
    assert found == pytest.approx(shares, abs=2e-4)
    found = np.bincount(choose(logits, draws, how=Draws(temperature=1.0, top_p=0.6)), minlength=4) / 10_000
    assert found == pytest.approx([0, 4 / 7, 0, 3 / 7], abs=2e-4)
    found = np.bincount(choose(logits, draws, how=Draws(temperature=1.0, top_p=0.3)), minlength=4)
    assert found.tolist() == [0, 10_000, 0, 0]
    cold = np.bincount(choose(logits, draws, how=Draws(temperature=0.5, top_p=1.0)), minlength=4) / 10_000
    assert cold == pytest.approx(shares**2 / (shares**2).sum(), abs=2e-4)
    assert set(choose(logits, draws, how=Draws(temperature=0))) == {1}


def test_a_share_of_just_top_p_is_enough_and_equal_logits_come_in_the_order_of_their_ids() -> None:
    draws = (np.arange(300) + 0.5) / 300
    even = choose(np.zeros((300, 2)), draws, how=Draws(temperature=1.0, top_p=0.5))
    assert set(even.tolist()) == {0}
    every = choose(np.zeros((300, 300)), draws, how=Draws(temperature=1.0, top_p=1.0))
    assert every.tolist() == list(range(300))


def model():
    """A model that is no uniform guess."""
    import torch

    made = build(SHAPE, init_seed=3)
    with torch.no_grad():
        made.head.weight.normal_(0, 1.0, generator=torch.Generator().manual_seed(1))
    return made


def test_a_sample_depends_on_its_number_and_seed_alone_and_stops_at_the_end_mark() -> None:
    how, none = Draws(temperature=1.0, top_p=1.0, max_tokens=20), np.zeros(0, dtype=np.int64)
    fields = {"how": how, "banned": none, "precision": "fp32"}
    all_ = drawn(model(), [39], np.arange(30), seed=5, **fields)
    some = drawn(model(), [39], np.array([7, 29]), seed=5, **fields)
    assert [one.tolist() for one in some] == [all_[7].tolist(), all_[29].tolist()]
    assert [one.tolist() for one in drawn(model(), [39], np.arange(30), seed=6, **fields)] != [
        one.tolist() for one in all_
    ]
    assert all(39 not in one and len(one) <= 20 for one in all_)
    assert min(map(len, all_)) < 20 == max(map(len, all_)), "some end, and some go beyond the context"


def test_every_token_of_every_sample_has_a_draw_of_its_own() -> None:
    """A model that guesses evenly writes its uniform numbers: one for every (sample, position), none twice."""
    even, numbers = build(SHAPE, init_seed=0), np.array([0, 1, 7, 300])
    how = Draws(temperature=1.0, top_p=1.0, max_tokens=25)
    found = drawn(even, [39], numbers, how=how, seed=5, banned=np.zeros(0, dtype=np.int64), precision="fp32")
    places = np.stack(np.meshgrid(numbers, np.arange(25), indexing="ij"), axis=-1).reshape(-1, 2).astype(np.uint64)
    tokens = np.floor(40 * uniform(places, seed=5, salt=SALT)).astype(int).reshape(4, 25).tolist()
    assert [one.tolist() for one in found] == [row[: [*row, 39].index(39)] for row in tokens]
    assert len({tuple(row) for row in tokens}) == 4
    assert min(len(set(row)) for row in tokens) > 10, "positions differ"


def test_the_likeliest_tokens_are_those_of_the_model_given_as_many_tokens_as_it_takes(monkeypatch) -> None:
    import torch

    made, text = model(), [39]
    while len(text) < 40:
        with torch.no_grad():
            logits = made(torch.tensor([text[-SHAPE.context :]]))[0, -1]
        text.append(int(logits[:39].argmax()))
    how = Draws(temperature=0, max_tokens=39)
    monkeypatch.setattr("winnow.trainers.evaluate.sampling.AT_ONCE", 2)
    found = drawn(made, [39], np.arange(5), how=how, seed=1, banned=np.array([39]), precision="fp32")
    assert [one.tolist() for one in found] == [text[1:]] * 5


def test_samples_beyond_one_forward_pass_are_their_own(monkeypatch) -> None:
    fields = {"how": Draws(temperature=1.0, max_tokens=6), "seed": 5, "banned": np.array([39]), "precision": "fp32"}
    whole = drawn(model(), [39], np.arange(9), **fields)
    monkeypatch.setattr("winnow.trainers.evaluate.sampling.AT_ONCE", 4)
    assert [one.tolist() for one in drawn(model(), [39], np.arange(9), **fields)] == [one.tolist() for one in whole]


def test_banned_ids_never_come() -> None:
    how = Draws(temperature=1.5, top_p=1.0, max_tokens=15)
    free = np.concatenate(
        drawn(model(), [39], np.arange(60), how=how, seed=1, banned=np.zeros(0, dtype=np.int64), precision="fp32")
    )
    often = np.bincount(free, minlength=40).argsort()[-2:]
    held = np.concatenate(drawn(model(), [39], np.arange(60), how=how, seed=1, banned=often, precision="fp32"))
    assert np.isin(free, often).any()
    assert not np.isin(held, often).any()


def test_the_expected_max_is_the_mean_over_all_subsets() -> None:
    values = np.array([0.3, 0.9, 0.1, 0.5, 0.5, 0.2])
    for of in (1, 3, 6):
        assert expected_max(values, of) == pytest.approx(np.mean([max(c) for c in combinations(values, of)]))
    assert np.isnan(expected_max(values, 7))
    assert expected_max(np.arange(4096) / 4096, 25) == pytest.approx(25 / 26, abs=1e-3)


@pytest.mark.parametrize(
    ("fields", "match"),
    [({"temperature": -1}, "temperature is -1"), ({"top_p": 0}, "top_p is 0"), ({"max_tokens": 0}, "max_tokens")],
)
def test_bad_numbers_are_refused(fields: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Draws(**fields).check()
