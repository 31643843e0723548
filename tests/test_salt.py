"""Soft labels of a teacher in a training run: shares, limits to the bit, gradients, resuming, ranks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support_policies import RECIPE, SHAPE, bits, run_of, varied

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data.stored_labels import StoredLabels
from winnow.trainers.model import checkpoint, loop, parallel
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.shape import Shape
from winnow.trainers.online.targets.salt import Salt, weights_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
SMALL = dataclasses.replace(SHAPE, width=8, layers=1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller model that has learned these data."""
    model, _ = loop.fit(varied(), SMALL, RECIPE, init_seed=4)
    path = tmp_path_factory.mktemp("teacher") / "weights.npz"
    loop.save(model, path)
    return path


def taught(policy: Salt, data: Any, teacher: Path, shape: Shape = SMALL) -> Any:
    return run_of(policy, data, models={"teacher": teacher}, shapes={"teacher": dataclasses.asdict(shape)})


def test_the_share_is_constant_then_falls_then_none() -> None:
    assert Salt(teacher="t", share=0.6, until=0.5).shares(10).tolist() == [0.6] * 5 + [0.0] * 5
    falling = Salt(teacher="t", share=0.6, until=0.8, decay=0.5).shares(10)
    assert falling == pytest.approx([0.6] * 4 + [0.48, 0.36, 0.24, 0.12] + [0.0] * 2)
    assert (np.diff(Salt(teacher="t", share=1.0, until=1.0, decay=1.0).shares(50)) < 0).sum() == 49


def test_a_step_has_the_share_and_temperature_that_were_asked_and_no_teacher_without_a_share() -> None:
    told = SimpleNamespace(steps=10, labels={}, shapes={}, parameters=0)
    acting = Salt(teacher="t", share=0.6, until=0.5, temperature=0.25).begin(told)
    found = [acting.head_extra(step, None, "cpu") for step in range(10)]
    assert found[5:] == [None] * 5, "its forward pass would cost, and change nothing"
    assert [(extra.share, extra.temperature) for extra in found[:5]] == [(0.6, 0.25)] * 5
    assert (acting.figures()["taught_steps"], acting.figures()["mean_share"]) == (5, pytest.approx(0.3))


def test_without_a_share_or_a_step_the_run_has_the_bits_of_a_plain_one(teacher: Path) -> None:
    data = varied(tokens=1200)
    plain = bits(loop.fit(data, SHAPE, RECIPE, init_seed=1))
    for policy in (Salt(teacher="t", share=0.0, until=1.0), Salt(teacher="t", until=0.0)):
        assert bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(policy, data, teacher))) == plain
    half = Salt(teacher="t", share=0.5, until=0.5)
    assert bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(half, data, teacher))) != plain


def test_the_first_step_is_that_of_the_mixed_labels_by_torch_alone(teacher: Path) -> None:
    data = varied(tokens=1200)
    policy = Salt(teacher="t", share=0.7, until=1.0, temperature=0.5)
    _, losses = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(policy, data, teacher))
    student, small, rows = loop.build(SHAPE, init_seed=1), loop.load(teacher, SMALL), data.batch(0)
    ids, segments = torch.from_numpy(rows.ids), torch.from_numpy(rows.segments)
    with torch.no_grad():
        logs = torch.log_softmax(student(ids, segments), dim=2)
        soft = torch.softmax(small(ids, segments) / 0.5, dim=2)
    hard = -logs.gather(2, torch.from_numpy(rows.targets)[..., None])[..., 0]
    mixed = 0.3 * hard - 0.7 * (soft * logs).sum(2)
    expected = (mixed * torch.from_numpy(rows.weights)).sum() / data.step_tokens(0)
    assert losses[0] == pytest.approx(float(expected), rel=1e-5)


def test_a_teacher_that_knows_the_data_helps_at_equal_steps(teacher: Path) -> None:
    data = varied(tokens=1500)
    taught_, _ = loop.fit(data, SHAPE, RECIPE, init_seed=1,
                          policy=taught(Salt(teacher="t", share=1.0, until=1.0), data, teacher))  # fmt: skip
    plain, _ = loop.fit(data, SHAPE, RECIPE, init_seed=1)
    small, rows = loop.load(teacher, SMALL), data.batch(0)
    ids, segments = torch.from_numpy(rows.ids), torch.from_numpy(rows.segments)
    real = torch.from_numpy(rows.weights) > 0

    def apart(model: Any) -> float:
        with torch.no_grad():
            logs = torch.log_softmax(model(ids, segments), dim=2)[real]
            other = torch.log_softmax(small(ids, segments), dim=2)[real]
        return float((other.exp() * (other - logs)).sum(1).mean())

    assert apart(taught_) < 0.8 * apart(plain), "it predicts as its teacher does"


def test_resumed_at_every_stage_it_ends_with_the_same_bits_and_no_other_policy_may_resume(
    teacher: Path, tmp_path: Path
) -> None:
    data, policy = varied(tokens=1200), Salt(teacher="t", share=0.6, until=0.6, decay=0.5)
    whole = bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(policy, data, teacher)))
    for at in (1, 4, data.num_steps * 3 // 5, data.num_steps - 1):
        saved = Checkpoints(step=Folder(path=tmp_path / str(at)), at=(at,))
        loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(policy, data, teacher), checkpoints=saved)
        start = next(iter((tmp_path / str(at)).iterdir()))
        assert int(checkpoint.read_state(start)["step"]) == at
        again = Checkpoints(step=Folder(path=tmp_path / f"{at}again"), start=start)
        resumed = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(policy, data, teacher), checkpoints=again)
        assert bits(resumed) == whole
    other = dataclasses.replace(policy, share=0.5)
    with pytest.raises(DataError, match="of another run: its policy differs"):
        loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(other, data, teacher),
                 checkpoints=Checkpoints(step=Folder(path=tmp_path / "other"), start=start))  # fmt: skip


def test_passes_do_not_change_the_losses(teacher: Path) -> None:
    data, policy = varied(tokens=600), Salt(teacher="t", share=0.6, until=1.0)
    whole = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(policy, data, teacher))[1]
    cut = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(policy, data, teacher),
                   machine=loop.Machine(micro_rows=1))[1]  # fmt: skip
    assert abs(whole - cut).max() < 1e-5


@pytest.mark.slow
def test_two_ranks_are_one(teacher: Path) -> None:
    data, policy = varied(tokens=600), Salt(teacher="t", share=0.6, until=1.0)
    whole = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=taught(policy, data, teacher))[1]
    two = parallel.fit(data, SHAPE, RECIPE, init_seed=1, workers=2, policy=taught(policy, data, teacher))[1]
    assert abs(whole - two).max() < 1e-5


def test_a_teacher_of_other_ids_or_a_shorter_context_is_refused(teacher: Path) -> None:
    data, policy = varied(tokens=600), Salt(teacher="t", until=1.0)
    for other in ({"vocab": 61}, {"context": 16}):
        run = taught(policy, data, teacher, dataclasses.replace(SMALL, **other))
        with pytest.raises(ConfigError, match=r"the teacher has 6[01] ids and (16|24) positions, the model 60 and 24"):
            loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)


def test_a_run_tells_how_much_was_taught_and_that_nothing_was(teacher: Path) -> None:
    data = varied(tokens=600)
    run = taught(Salt(teacher="t", share=0.5, until=0.5), data, teacher)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    assert run.record.figures["taught_steps"] == round(data.num_steps / 2)
    none = Salt(teacher="t", until=0.001).begin(run.told)
    assert "no step was taught" in none.idle()
    assert "share 0 until 0.17" in Salt(teacher="t", share=0.0).begin(run.told).idle()


def test_a_larger_teacher_and_documents_without_labels_are_remarked_with_their_numbers() -> None:
    data = varied(tokens=600)
    for width, count in ((8, 0), (16, 0), (32, 1)):  # below the model's size, its size, above
        shape = dataclasses.replace(SHAPE, width=width)
        weights = shape.parameters()[0]
        assert weights_of(dataclasses.asdict(shape)) == weights
        told = run_of(Salt(teacher="t"), data, models={}, shapes={"teacher": dataclasses.asdict(shape)},
                      parameters=SHAPE.parameters()[0]).told  # fmt: skip
        acting = Salt(teacher="t").begin(told)
        assert acting.figures()["teacher_parameters"] == weights
        assert len(acting.remarks()) == count
    assert f"the teacher has {weights:,} weights and the model {SHAPE.parameters()[0]:,}" in acting.remarks()[0]
    labels = StoredLabels(path=Path("none"), k=4, first=np.array([0, -1, 9]))
    stored = Salt(labels="l").begin(run_of(Salt(labels="l"), data, labels={"labels": labels}).told)
    (said,) = stored.remarks()
    assert said.startswith("1 of 3 documents have no stored labels and were learned from their tokens alone; label")


@pytest.mark.slow
def test_two_ranks_tell_the_loss_of_the_tokens_alone_as_one_does(teacher: Path) -> None:
    data, policy = varied(tokens=600), Salt(teacher="t", share=0.6, until=0.5)
    one, two = taught(policy, data, teacher), taught(policy, data, teacher)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=one)
    parallel.fit(data, SHAPE, RECIPE, init_seed=1, workers=2, policy=two)
    assert abs(one.record.plain_losses - two.record.plain_losses).max() < 1e-5


@pytest.mark.parametrize(
    ("fields", "match"),
    [({"share": 1.2}, "share is 1.2"), ({"temperature": 0.0}, "temperature is 0.0"), ({"until": -0.1}, "until is -0.1"),
     ({"decay": 2.0}, "decay is 2.0")],
)  # fmt: skip
def test_bad_numbers_are_refused(fields: dict[str, float], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Salt(teacher="t", **fields).validate()
