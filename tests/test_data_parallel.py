"""One run on several processes is the run on one, up to the order of sums."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import polars as pl
import pytest

from winnow.core.errors import ConfigError, DataError, EngineError
from winnow.trainers.data import pack
from winnow.trainers.model import checkpoint, loop, parallel
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.loop import Recipe
from winnow.trainers.model.shape import Shape

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
SHAPE = Shape(vocab=60, width=16, layers=2, heads=2, context=24)
RECIPE = Recipe(precision="fp32")


def batches() -> pack.PackedBatches:
    """Rows of unequal numbers of tokens, five to a step: two ranks have unequal shares, and the last step few."""
    lengths = np.random.Generator(np.random.Philox(key=5)).integers(1, 30, size=70).tolist()
    ids = [np.random.Generator(np.random.Philox(key=i)).integers(0, 40, size=n).tolist() for i, n in enumerate(lengths)]
    names = [hashlib.blake2b(bytes([i]), digest_size=16).digest() for i in range(len(lengths))]
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series(ids, dtype=pl.List(pl.UInt16))})
    made = pack.documents_of(frame.select("doc_id"), frame)
    return pack.batches_of(made, context=SHAPE.context, batch=5, tokens=2500, end=59, seed=1)


def close(one, two) -> bool:
    return all(torch.allclose(a, b, atol=1e-4) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_two_processes_go_on_from_a_checkpoint_of_one_with_its_loss_curve(tmp_path):
    data, plan = batches(), Checkpoints(step=Folder(path=tmp_path / "run"), at=(2,))
    model, losses = loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=plan)
    both, curve = parallel.fit(batches, SHAPE, RECIPE, init_seed=1, workers=2, checkpoints=plan)
    assert len(curve) > 20
    assert np.abs(curve - losses).max() < 1e-5
    assert (curve[2:] != losses[2:]).any(), "sums in another order: two processes did train"
    assert close(model, both)


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one_and_one_goes_on_from_their_checkpoint(tmp_path):
    data, folder = batches(), Folder(path=tmp_path / "run")
    model, losses = loop.fit(data, SHAPE, RECIPE, init_seed=1)
    plan = Checkpoints(step=folder, at=(9,))
    both, curve = parallel.fit(batches, SHAPE, RECIPE, init_seed=1, workers=2, checkpoints=plan)
    assert np.abs(curve - losses).max() < 1e-5
    assert close(model, both)
    saved = checkpoint.read(folder.latest())
    assert saved.state["step"] == 9
    # one process goes on from what two have done
    assert np.abs(loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=plan)[1] - losses).max() < 1e-5


@pytest.mark.slow
def test_what_a_process_raises_is_raised_and_no_process_stays():
    diverging = dataclasses.replace(RECIPE, lr_embedding=1e38)
    with pytest.raises(DataError, match="at step"):
        parallel.fit(batches(), SHAPE, diverging, init_seed=1, workers=2)
    import multiprocessing

    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_process_that_ends_without_a_word_and_a_group_of_none_are_errors():
    with pytest.raises(EngineError, match="status 7"):
        parallel.fit(Ends(), SHAPE, RECIPE, init_seed=1, workers=1)
    with pytest.raises(ConfigError):
        parallel.fit(batches, SHAPE, RECIPE, init_seed=1, workers=0)


class Ends:
    """Opens in the process that asks first, and ends every other one."""

    def __init__(self) -> None:
        import os

        self.pid = os.getpid()

    def __call__(self) -> pack.PackedBatches:
        import os

        if os.getpid() != self.pid:
            os._exit(7)
        return batches()


@pytest.mark.slow
@pytest.mark.ray
def test_ray_train_has_the_loss_curve_of_one_process():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.train.torch", reason="needs ray[train]", exc_type=ImportError)
    model, losses = loop.fit(batches(), SHAPE, RECIPE, init_seed=1)
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        both, curve = parallel.fit(batches(), SHAPE, RECIPE, init_seed=1, workers=2, launcher="ray")
        assert np.abs(curve - losses).max() < 1e-5
        assert close(model, both)
        diverging = dataclasses.replace(RECIPE, lr_embedding=1e38)
        with pytest.raises(DataError, match="at step"):
            parallel.fit(batches(), SHAPE, diverging, init_seed=1, workers=2, launcher="ray")
    finally:
        ray.shutdown()
