"""Skill-It on chains of variables: with its graph it learns the middle skills before random sampling does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests import support_lego as lego
from winnow.trainers.model import loop
from winnow.trainers.model.loop import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.online.mixing import text_loss
from winnow.trainers.online.mixtures.skill_it import SkillIt
from winnow.trainers.online.mixtures.temperature import Temperature
from winnow.trainers.online.policy_run import PolicyRun, told_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
CHAIN, BATCH = 4, 48
NAMES = [f"skill{k}" for k in range(CHAIN)]
SELF = {name: {other: float(name == other) for other in NAMES} for name in NAMES}
NEXT = {name: {**SELF[name], **({NAMES[k + 1]: 0.5} if k + 1 < CHAIN else {})} for k, name in enumerate(NAMES)}


def arm(edges: dict[str, dict[str, float]] | None) -> SkillIt | Temperature:
    """Skill-It with a graph, or random sampling."""
    if edges is None:
        return Temperature(per=("skill",), temperature=float("inf"), max_repeats=1000)
    return SkillIt(per=("skill",), feedback={n: n for n in NAMES}, edges=edges, eta=1.0, every=30, max_repeats=1000)


def held_out(edges: dict[str, dict[str, float]] | None, *, seed: int, steps: int) -> dict[str, float]:
    """Nats of the held-out answers of every skill after a run."""
    shape = Shape(vocab=lego.VOCAB, width=64, layers=2, heads=4, context=3 * CHAIN + 3)
    texts = lego.texts(chain=CHAIN, count=128, seed=999)
    plain, skill = lego.packed(
        list(range(CHAIN)), count=4000, chain=CHAIN, seed=1, batch=BATCH, steps=steps, order_seed=seed
    )
    policy, out = arm(edges), {}
    told = told_of(plain, vocab=shape.vocab, context=shape.context, batch=BATCH, columns={"per": skill}, texts=texts)
    data = policy.rewrite(plain, told)
    run = PolicyRun(policy=policy, told=dataclasses.replace(told, steps=data.num_steps))

    def watch(step: int, model: object) -> None:
        class Still:
            """The model as a learner that is only looked at."""

            def nats(self, rows):
                with torch.no_grad():
                    logits = model.hidden(torch.from_numpy(rows.ids), None) @ model.head.weight.T
                    nats = torch.nn.functional.cross_entropy(
                        logits.flatten(0, 1).float(), torch.from_numpy(rows.targets).flatten(), reduction="none"
                    )
                return nats.view(rows.ids.shape).numpy()

        out.update({name: text_loss(Still(), rows) for name, rows in texts.items()})

    loop.fit(data, shape, Recipe(precision="fp32", batch=BATCH), init_seed=seed, policy=run, watch=watch,
             watch_at=(data.num_steps,))  # fmt: skip
    return out


def test_chains_are_what_they_say():
    rows = lego.chains(2, count=200, chain=4, seed=0)
    for row in rows:
        clauses = row[:12].reshape(4, 3)
        told = {int(name): (int(op), int(source)) for name, op, source in clauses}
        assert set(told) == {0, 1, 2, 3}
        value = told[0][1] - lego.ZERO
        assert told[0][0] == lego.SAME
        for name in (1, 2):
            assert told[name][1] == name - 1
            value ^= int(told[name][0] == lego.NOT)
        assert row[12] == 2
        assert row[13] == lego.ZERO + value
    assert len(np.unique(rows[:, :12:3], axis=0)) > 20, "clauses are shuffled"
    plain, skill = lego.packed([0, 3], count=50, chain=4, seed=0, batch=4)
    batch = plain.batch(0)
    assert ((batch.weights > 0).sum(axis=1) == 1).all()
    assert set(batch.targets[batch.weights > 0]) <= {lego.ZERO, lego.ONE}
    assert set(skill) == {"skill0", "skill3"}


@pytest.mark.slow
def test_with_its_graph_skill_it_learns_the_middle_skills_before_random_sampling_does():
    gained = []
    for seed in range(3):
        random, graph = held_out(None, seed=seed, steps=240), held_out(NEXT, seed=seed, steps=240)
        gained.append(np.mean([random[name] - graph[name] for name in ("skill1", "skill2")]))
    assert min(gained) > 0.05
    assert np.mean(gained) > 0.3


@pytest.mark.slow
def test_without_edges_it_is_random_sampling_to_the_bit():
    none = {name: dict.fromkeys(NAMES, 0.0) for name in NAMES}
    assert held_out(none, seed=0, steps=40) == held_out(None, seed=0, steps=40)
