"""Denoisers: the counts of the field's definition, and sequences that come back exactly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support_policies import END, RECIPE, SHAPE, bits, varied

from winnow.core.errors import ConfigError
from winnow.trainers.online.policy_run import told_of
from winnow.trainers.online.targets.denoisers import MIXTURE, Denoiser, corrupted, noise_mask, restored
from winnow.trainers.online.targets.ul2 import Ul2


@pytest.mark.parametrize("denoiser", MIXTURE)
def test_noise_and_spans_are_as_many_as_defined_and_the_sequence_comes_back(denoiser: Denoiser) -> None:
    for length in (2, 3, 17, 64, 333, 512):
        tokens = np.random.default_rng(length).integers(0, 900, size=length)
        mask = noise_mask(length, denoiser, row=5, seed=2)
        noise, spans = denoiser.counts(length)
        assert int(mask.sum()) == noise == min(max(round(length * denoiser.rate), 1), length - 1)
        begins = int((mask & ~np.concatenate(([False], mask[:-1]))).sum())
        assert begins == spans
        if length > 60 and denoiser.mode != "S":
            assert spans == max(1, round(noise / denoiser.mean))
        read, target = corrupted(tokens, mask, 1000)
        assert len(read) + len(target) == length + 2 * spans
        for part in (read, target):
            assert part[part >= 1000].tolist() == list(range(1000, 1000 + spans)), "in order"
        assert restored(read, target, 1000, 2000).tolist() == tokens.tolist()
        if denoiser.mode == "S":
            assert mask.tolist() == [False] * (length - noise) + [True] * noise


def test_the_cuts_depend_on_row_and_seed_alone_and_are_even() -> None:
    one = Denoiser(mode="R", mean=3, rate=0.3)
    assert (noise_mask(100, one, row=4, seed=1) == noise_mask(100, one, row=4, seed=1)).all()
    assert (noise_mask(100, one, row=4, seed=1) != noise_mask(100, one, row=5, seed=1)).any()
    assert (noise_mask(100, one, row=4, seed=1) != noise_mask(100, one, row=4, seed=2)).any()
    often = np.mean([noise_mask(40, one, row=row, seed=0) for row in range(3000)], axis=0)
    assert often[0] == 0
    assert often[5:36].max() - often[5:36].min() < 0.12
    assert abs(often.mean() - 0.3) < 1e-9


def test_rows_are_puzzles_with_a_loss_on_their_targets_alone() -> None:
    data = varied(tokens=1200)
    policy = Ul2(sentinels=8)
    told = told_of(data, vocab=END + 1 + policy.reserved(), context=24, batch=4)
    data = dataclasses.replace(data, end=told.vocab - 1)
    made = policy.rewrite(data, told)
    first, modes = told.vocab - 1 - policy.reserved(), []
    for step in range(made.num_steps):
        plain, rows = data.batch(step), made.batch(step)
        assert made.step_tokens(step) == int((rows.weights > 0).sum())
        for rank in (0, 1):
            assert (made.batch(step, rank=rank, world=2).ids == rows.ids[rank::2]).all()
        for at in range(len(rows.ids)):
            own = plain.targets[at][plain.weights[at] > 0]
            if len(own) < 2:
                continue
            used = rows.segments[at] == 0
            whole, weights = rows.targets[at][used], rows.weights[at][used]
            assert rows.ids[at][used].tolist() == [told.vocab - 1, *whole[:-1].tolist()]
            modes.append(int(whole[0]) - first)
            cut = int(np.flatnonzero(weights)[0])
            assert (weights[cut:] == 1).all()
            back = restored(whole[1:cut], whole[cut:-1], first + 3, told.vocab - 2)
            assert back.tolist() == own[: len(back)].tolist()
            assert len(back) >= min(len(own), 10)
            assert whole[-1] == told.vocab - 1
    assert set(modes) == {0, 1, 2}


def test_no_share_is_the_plain_run_and_a_part_leaves_rows_alone() -> None:
    data = varied(tokens=1200)
    told = told_of(data, vocab=END + 1 + 11, context=24, batch=4)
    assert Ul2(share=0.0).rewrite(data, told) is data
    half = Ul2(share=0.5, sentinels=8).rewrite(data, told)
    same = [(half.batch(s).ids[r] == data.batch(s).ids[r]).all() for s in range(data.num_steps) for r in range(4)]
    assert 0.2 < np.mean(same) < 0.8


def test_a_model_trains_on_puzzles_alike_twice() -> None:
    pytest.importorskip("torch")
    from winnow.trainers.model import loop

    data, shape = varied(tokens=800), dataclasses.replace(SHAPE, vocab=END + 1 + 11)
    policy = Ul2(sentinels=8)
    data = dataclasses.replace(data, end=shape.vocab - 1)
    made = policy.rewrite(data, told_of(data, vocab=shape.vocab, context=24, batch=4))
    model, losses = loop.fit(made, shape, RECIPE, init_seed=1)
    assert np.isfinite(losses).all()
    assert bits(loop.fit(made, shape, RECIPE, init_seed=1)) == bits((model, losses))


@pytest.mark.parametrize(
    ("fields", "match"),
    [({"share": 2.0}, "share is 2"), ({"modes": ("Q",)}, "modes are Q"), ({"modes": ()}, "modes are none"),
     ({"sentinels": 0}, "sentinels is 0")],
)  # fmt: skip
def test_bad_fields_are_refused(fields: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Ul2(**fields).validate()


def test_a_vocabulary_without_free_ids_is_refused() -> None:
    data = varied(tokens=400)
    with pytest.raises(ConfigError, match="is to be one of 11 control tokens"):
        Ul2(sentinels=8).rewrite(data, told_of(data, vocab=END + 1, context=24, batch=4))
