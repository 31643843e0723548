"""A run in phases: every phase reads its own data at its own rates, and what `phases` notes is what is trained."""

import dataclasses

import numpy as np
import pytest
from support import put_corpus, texts
from support import run as run_recipe

from winnow.core.errors import ConfigError
from winnow.trainers.data.phases import Phased, Rates, curve
from winnow.trainers.data.sequences import PlainRows


def rows(num_steps, seed, batch=2, context=8):
    draw = np.random.default_rng(seed)
    return PlainRows(
        rows=draw.integers(0, 50, size=(num_steps * batch, context + 1)).astype(np.uint16), batch_rows=batch
    )


def test_rates_warm_up_from_0_and_go_from_one_number_to_the_other():
    one = Rates(schedule="linear", lr=1.0, lr_end=0.0, warmup_share=0.2)
    assert curve([one], [10]).tolist() == pytest.approx(
        [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )
    flat = Rates(lr=0.3)
    assert curve([flat], [3]).tolist() == [0.3] * 3
    wave = curve([Rates(schedule="cosine", lr=0.5, lr_end=0.1)], [400])
    assert wave[0] == 0.5
    assert wave[200] == pytest.approx(0.3)
    assert wave[-1] == pytest.approx(0.1, abs=1e-4)
    assert (np.diff(wave) < 0).all()
    both = curve([one, Rates(schedule="linear", lr=2.0, lr_end=0.0, warmup_share=0.5)], [10, 4])
    assert both[10:].tolist() == pytest.approx([1.0, 2.0, 2.0, 1.0])  # warmed up again
    assert (curve([one], [1]) > 0).all()


@pytest.mark.parametrize(
    "fields", [{"schedule": "steps"}, {"lr": -1.0}, {"lr_end": float("nan")}, {"warmup_share": 1.5}]
)
def test_rates_that_are_none_are_refused(fields):
    with pytest.raises(ConfigError):
        Rates(**fields)


def test_phases_follow_one_another_and_every_step_is_its_sources():
    sources = rows(3, 1), rows(5, 2)
    data = Phased(sources=sources, rates=(Rates(), Rates(lr=0.5)))
    assert (data.num_steps, data.num_tokens) == (8, sources[0].num_tokens + sources[1].num_tokens)
    for step in range(8):
        source, own = (sources[0], step) if step < 3 else (sources[1], step - 3)
        assert (data.batch(step).ids == source.batch(own).ids).all()
        assert data.step_tokens(step) == source.step_tokens(own)
        assert data.rate(step) == (1.0 if step < 3 else 0.5)
    assert (data.batch(4, rank=1, world=2).ids == sources[1].batch(1, rank=1, world=2).ids).all()
    digests = {data.digest, Phased(sources=sources[::-1], rates=data.rates).digest,
               Phased(sources=sources, rates=(Rates(), Rates(lr=0.25))).digest}  # fmt: skip
    assert len(digests) == 3
    with pytest.raises(ConfigError, match="step 8"):
        data.batch(8)
    for bad in ((), (Rates(),)):
        with pytest.raises(ConfigError, match="2 sources"):
            Phased(sources=sources, rates=bad)


RECIPE = """
seed: 3
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", id: content}
  tok: {use: count_tokens, inputs: docs}
  web: {use: random, inputs: docs, budget: 60%}
  best: {use: random, inputs: docs, budget: 30%, salt: b}
  plan:
    use: phases
    inputs: docs
    phases:
      - {name: general, select: kept_web, tokens: 1200 tokens}
      - {name: finish, select: [kept_best, kept_web], shares: [0.75, 0.25], tokens: 1600 tokens, repeats: 4,
         schedule: linear, lr_end: 0.0, warmup_share: 0.25}
  one: {use: write, inputs: [docs, plan], repeat: plan.weight_general, carry: [tok.token_count]}
  two: {use: write, inputs: [docs, plan], repeat: plan.weight_finish, carry: [tok.token_count]}
"""


def test_shards_of_a_phase_hold_the_tokens_that_it_sees(tmp_path):
    put_corpus(tmp_path / "raw", texts(200, seed=1), 2)
    found = run_recipe(RECIPE, tmp_path, tmp_path / "out")
    noted = found.metrics["plan"]["phases"]
    for stage, phase in zip(("one", "two"), noted, strict=True):
        written = found.table(stage, "tok_token_count", "doc_id")
        assert sum(written.column("tok_token_count").to_pylist()) == phase["seen_tokens"] > 0
        ids = written.column("doc_id").to_pylist()
        assert len(set(ids)) == len(ids)  # copies have ids of their own, and lie apart
    assert 0.8 * 1600 <= noted[1]["seen_tokens"] <= 1600
    assert [Rates.of(phase).factor(0, 8) for phase in noted] == [1.0, 0.5]


@pytest.mark.train
def test_a_run_in_phases_trains_with_their_rates_and_resumes_with_equal_bits(tmp_path):
    pytest.importorskip("torch")
    from winnow.trainers.model import loop
    from winnow.trainers.model.checkpoint import Checkpoints, Folder
    from winnow.trainers.model.shape import Shape

    shape, recipe = Shape(vocab=50, width=16, layers=1, heads=1, context=8), loop.Recipe(precision="fp32", batch=2)
    sources = rows(6, 1), rows(6, 2)
    flat = Phased(sources=sources, rates=(Rates(), Rates()))
    joined = PlainRows(rows=np.concatenate([s.rows for s in sources]), batch_rows=2)
    constant = dataclasses.replace(recipe, schedule="constant", warmup_share=0.0)
    _, want = loop.fit(joined, shape, constant, init_seed=1)
    _, same = loop.fit(flat, shape, recipe, init_seed=1)
    assert (same == want).all()
    still = Phased(
        sources=sources, rates=(Rates(lr=0.0), Rates(schedule="linear", lr=1.0, lr_end=0.0, warmup_share=0.5))
    )
    model, losses = loop.fit(still, shape, recipe, init_seed=1)
    assert losses[0] == want[0]
    assert losses[1] != want[1]  # nothing moved in the first phase
    saved = Checkpoints(step=Folder(path=tmp_path / "run", keep=0), at=(4, 8))
    loop.fit(still, shape, recipe, init_seed=1, checkpoints=saved)
    start = Checkpoints(step=Folder(path=tmp_path / "more"), start=next((tmp_path / "run").glob("*00000008")))
    again, last = loop.fit(still, shape, recipe, init_seed=1, checkpoints=start)
    assert (last == losses).all()
    assert all((a == b).all() for a, b in zip(model.parameters(), again.parameters(), strict=True))
