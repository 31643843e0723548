"""The model, its optimizer and its evaluation; a planted better arm is found."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from test_trainers import Source, id_of

from winnow.core.operators import Context, Fit, Job, Map, Scope, Sub
from winnow.core.rng import uniform
from winnow.trainers import evaluate, head, loop, muon
from winnow.trainers.ablation import Ablation
from winnow.trainers.loop import Recipe
from winnow.trainers.model import Shape, build

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
SHAPE = Shape(vocab=300, width=24, layers=2, heads=2, context=16)


def rows_of(count: int, *, seed: int = 1) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=seed))
    return generator.integers(0, 40, size=(count, SHAPE.context + 1)).astype(np.uint16)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_runs_give_the_same_bits_and_another_seed_other_ones(precision, tmp_path):
    recipe, files = Recipe(precision=precision), []
    for k, seed in enumerate((4, 4, 5)):
        model, losses = loop.fit(rows_of(80), SHAPE, recipe, init_seed=seed)
        loop.save(model, tmp_path / f"{k}.npz")
        files.append(((tmp_path / f"{k}.npz").read_bytes(), losses.tobytes()))
    assert files[0] == files[1]
    assert files[0][0] != files[2][0]


def test_the_number_of_threads_comes_back_and_does_not_matter():
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with loop.one_thread():
                assert torch.get_num_threads() == 1
            results.append(loop.fit(rows_of(24), SHAPE, Recipe(precision="fp32"), init_seed=1)[1])
            assert torch.get_num_threads() == threads
        assert np.array_equal(*results)
    finally:
        torch.set_num_threads(before)


def test_training_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    loop.fit(rows_of(16), SHAPE, Recipe(), init_seed=1)
    assert torch.equal(state, torch.random.get_rng_state())


def trained() -> object:
    return loop.fit(rows_of(400), SHAPE, Recipe(precision="fp32"), init_seed=2)[0]


def test_a_later_token_does_not_change_earlier_logits():
    model = trained()
    ids = torch.from_numpy(rows_of(3)[:, :-1].astype(np.int64))
    changed = ids.clone()
    changed[:, 9] = 250
    with torch.no_grad():
        one, two = model(ids), model(changed)
    assert torch.equal(one[:, :9], two[:, :9])
    assert not torch.allclose(one[:, 9:], two[:, 9:])


def test_position_matters_and_short_rows_work():
    model = trained()
    with torch.no_grad():
        logits = model(torch.full((1, 5), 7))
    assert logits.shape == (1, 5, SHAPE.vocab)
    with torch.no_grad():
        assert not torch.allclose(model(torch.tensor([[1, 2, 3]]))[0, 2], model(torch.tensor([[2, 1, 3]]))[0, 2])


def test_the_first_loss_is_that_of_a_uniform_guess_and_it_falls():
    _, losses = loop.fit(rows_of(800), SHAPE, Recipe(), init_seed=2)
    assert losses[0] == pytest.approx(math.log(SHAPE.vocab), abs=1e-4)
    assert losses[-10:].mean() < math.log(40) + 0.1


def test_the_stated_number_of_parameters_is_the_model_s():
    model = build(SHAPE, init_seed=0)
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    hidden = sum(n for name, n in sizes.items() if name.startswith("blocks."))
    assert SHAPE.parameters() == (sum(sizes.values()), hidden)
    assert Shape().parameters() == (1_118_208, 331_776)


@pytest.mark.parametrize("tokens", [1, 127, 128, 300])
def test_the_chunked_loss_has_the_loss_and_gradients_of_cross_entropy(tokens):
    generator = torch.Generator().manual_seed(1)
    x, weight = (torch.randn(n, 24, generator=generator).requires_grad_() for n in (tokens, 300))
    target = torch.randint(0, 300, (tokens,), generator=generator)
    workspace = head.Workspace(300, dtype=torch.float32)
    loss = head.head_loss(x, weight, target, workspace=workspace)
    expected = torch.nn.functional.cross_entropy(x @ weight.T, target)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    ours = torch.autograd.grad(loss * 3, (x, weight))
    theirs = torch.autograd.grad(expected * 3, (x, weight))
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    nats = head.token_nats(x, weight, target, workspace=workspace)
    assert float(nats.mean()) == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 96, 24), (2, 24, 96)])
def test_muon_makes_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(muon.orthogonal(matrix))
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    aligned = (left @ right * muon.orthogonal(matrix)).sum(dim=(-2, -1)) / min(shape[1:])
    assert (aligned > 0.8).all()


def test_muon_treats_query_key_and_value_as_three_matrices():
    weights = [torch.zeros(72, 24, requires_grad=True), torch.zeros(24, 24, requires_grad=True)]
    gradient = torch.randn(72, 24, generator=torch.Generator().manual_seed(1))
    gradient[24:48] *= 1e-3
    weights[0].grad, weights[1].grad = gradient, gradient[:24].clone()
    muon.Muon(weights, dtype=torch.float32).step(0.1)
    parts = weights[0].detach().split(24)
    assert torch.allclose(parts[0], weights[1].detach(), atol=1e-6)
    assert 0.5 < float(parts[1].norm() / parts[0].norm()) < 2


def test_the_schedule_warms_up_decays_to_zero_and_is_a_function_of_the_step():
    factors = [loop.scale(k, steps=200, warmup_share=0.05) for k in range(200)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9]
    assert factors[-1] == pytest.approx(1 / 200)


def held(lengths: list[int]) -> evaluate.Held:
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    ids = np.arange(offsets[-1]).astype(np.uint16) % 200
    names = pl.Series([id_of(i) for i in range(len(lengths))])
    return evaluate.Held(doc_id=names, ids=ids, offsets=offsets, num_bytes=np.array([3 * n for n in lengths]))


def test_a_uniform_model_costs_log2_of_the_vocabulary_per_token():
    documents = held([1, 15, 16, 17, 100])
    nats = evaluate.document_nats(build(SHAPE, init_seed=0), SHAPE, documents, precision="fp32")
    bits = evaluate.bits_per_byte(nats, documents.num_bytes)
    assert bits == pytest.approx(math.log2(SHAPE.vocab) * 149 / (149 * 3), rel=1e-6)


def test_windows_score_every_token_once_from_the_tokens_before_it():
    documents = held([1, 15, 16, 17, 100])
    windows = evaluate.windows_of(documents, context=16, end=299)
    scored = windows.targets >= 0
    assert windows.targets[scored].tolist() == documents.ids.tolist()
    before = np.concatenate(([299], documents.ids[:-1]))
    before[documents.offsets[:-1]] = 299
    assert windows.inputs[scored].tolist() == before.tolist()
    assert (
        np.repeat(windows.document, 16)[scored.ravel()].tolist() == np.repeat(range(5), [1, 15, 16, 17, 100]).tolist()
    )


def test_a_document_s_loss_does_not_depend_on_its_neighbours():
    model, documents = trained(), held([40, 17, 90])
    together = evaluate.document_nats(model, SHAPE, documents, precision="fp32")
    alone = evaluate.document_nats(model, SHAPE, held([40]), precision="fp32")
    assert alone[0] == pytest.approx(together[0], rel=1e-5)


def test_saved_weights_give_the_same_model_and_hold_no_pickle(tmp_path):
    model, ids = trained(), torch.from_numpy(rows_of(2)[:, :-1].astype(np.int64))
    loop.save(model, tmp_path / "weights.npz")
    with torch.no_grad():
        assert torch.equal(loop.load(tmp_path / "weights.npz", SHAPE)(ids), model(ids))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lot(Map):
    """Keeps documents by lot, of those that `tag` allows."""

    name: ClassVar[str] = "test_lot"
    role: ClassVar[str] = "selector"
    seeded: ClassVar[bool] = True
    good_only: bool = False

    def open(self, ctx):
        def columns(rows):
            drawn = uniform(rows["doc_id"], seed=ctx.seed, salt="lot") < (0.8 if self.good_only else 0.4)
            return pl.DataFrame({"kept": pl.Series(drawn) & (rows["good"] | (not self.good_only))})

        return columns


def corpus(count: int, *, seed: int) -> pl.DataFrame:
    """Half the documents use one vocabulary of words, half another."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    words = [[a + b + c for b in "aeiou" for c in "nrst"] for a in ("k", "wh")]
    texts = [
        " ".join(words[i % 2][j] for j in np.minimum(generator.geometric(0.15, 150), 20) - 1) for i in range(count)
    ]
    frame = pl.DataFrame({"doc_id": [id_of((seed, i)) for i in range(count)], "text": texts})
    return frame.with_columns(good=pl.Series([i % 2 == 0 for i in range(count)])).sort("doc_id")


def run_all(subs: list[Sub], outer: dict[str, Source], folder: Path, *, seed: int) -> dict[str, Source]:
    """A runner in twenty lines: every sub-stage in order, in this process."""
    local: dict[str, Source] = {}

    def find(name):
        return {k: find(v) for k, v in name.items()} if isinstance(name, dict) else local.get(name[1:]) or outer[name]

    for sub in subs:
        work = folder / sub.name
        work.mkdir()
        refs = {port: find(name) for port, name in sub.refs.items()}
        ctx = Context(seed=seed if sub.seed is None else sub.seed, work=work, refs=refs)
        if isinstance(sub.operator, Job):
            metrics = sub.operator.run(ctx)
            local[sub.name] = Source(files={p.name: p for p in work.iterdir()}, metrics=metrics)
            continue
        rows = outer[sub.inputs[0]].rows
        if isinstance(sub.operator, Fit):
            metrics = sub.operator.fit(sub.operator.sample(rows, ctx), ctx)
            local[sub.name] = Source(files={p.name: p for p in work.iterdir()}, metrics=metrics)
        else:
            local[sub.name] = Source(rows.hstack(sub.operator.open(ctx)(rows)))
    return local


def test_a_planted_better_arm_is_found_and_the_control_is_not(tmp_path):
    declared = {
        "plain": Sub(name="plain", operator=Lot(), inputs=("docs",)),
        "good": Sub(name="good", operator=Lot(good_only=True), inputs=("docs",)),
    }
    operator = Ablation(
        arms={"good": "good"}, baseline="plain", eval={"target": "target", "other": "other"}, seeds=3,
        tokens=10_000,         vocab=320, width=24, layers=1, heads=2, context=32, batch=4,
    )  # fmt: skip
    operator.validate()
    scope = Scope(stage="effect", inputs=(), where=None, seed=1, lookup=declared.__getitem__, space=lambda name: "docs")
    pages = corpus(40, seed=2)
    outer = {
        "docs": Source(corpus(120, seed=1)),
        "target": Source(pages.filter("good")),
        "other": Source(pages.filter(~pl.col("good"))),
    }
    done = run_all(operator.expand(scope), outer, tmp_path, seed=1)
    metrics = done["compare"].result()
    effects = metrics["arms"]["good"]["effects"]
    assert effects["target"]["verdict"] == "better"
    assert effects["other"]["verdict"] == "worse"
    assert not effects["target"]["fixed_selection"]
    assert metrics["aa"]["aa"]["effects"]["target"]["verdict"] == "cannot tell"
    runs = [done[n].result() for n in done if n.startswith("train_")]
    assert len(runs) == 9
    assert {run["tokens"] for run in runs} == {78 * 4 * 32}
    assert len({run["selection_documents"] for run in runs}) > 1
