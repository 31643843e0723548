"""The model, its optimizer and its evaluation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from winnow.core.errors import ConfigError
from winnow.trainers.model import head, loop, muon
from winnow.trainers.model.device import Machine, computing
from winnow.trainers.model.initialise import build, reset
from winnow.trainers.model.loop import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import SIZES, TOLERANCE, named_weights, shape_of, weights_text

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


def test_the_allocator_is_tuned_while_a_cpu_trains_and_only_then(monkeypatch):
    from winnow.trainers.model import allocator

    calls: list = []

    class Libc:
        def mallopt(self, name, value):
            calls.append((name, value))

        def malloc_trim(self, pad):
            calls.append("trim")

    monkeypatch.setattr(allocator, "glibc", Libc)
    with computing(Machine(device="cpu")), allocator.roomy():
        assert calls == list(allocator.KEEP.items()), "once, however deep"
    assert calls[3:] == [*allocator.LEAVE.items(), "trim"]
    monkeypatch.setattr(allocator, "glibc", lambda: None)
    with allocator.roomy():
        assert len(calls) == 7


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


@pytest.mark.parametrize("name", SIZES)
def test_a_size_has_as_many_weights_as_its_name_says(name):
    shape = shape_of(name)
    shape.check()
    assert abs(shape.parameters()[0] / named_weights(name) - 1) < TOLERANCE


def test_small_sizes_are_built_with_the_stated_weights_and_an_unknown_size_is_named():
    for name in ("0.5M", "2M", "5M"):
        model = build(shape_of(name), init_seed=1)
        assert sum(weight.numel() for weight in model.parameters()) == shape_of(name).parameters()[0]
    with pytest.raises(ConfigError, match="124M"):
        shape_of("huge")


def test_building_equals_setting_the_weights_of_a_used_model_and_draws_nothing_global():
    state = torch.random.get_rng_state()
    used = trained()
    fresh = build(SHAPE, init_seed=9)
    reset(used, init_seed=9)
    assert all(torch.equal(a, b) for a, b in zip(used.parameters(), fresh.parameters(), strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


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


@pytest.mark.parametrize("vocab", [1, 63, 64, 300, 4096])
def test_the_compiled_normaliser_of_bfloat16_logits_is_that_of_double_precision(vocab):
    from winnow.trainers.model.head_kernels import log_sums

    generator = torch.Generator().manual_seed(vocab)
    for size in (0.0, 0.1, 3.0, 100.0, 3e37):
        logits = (size * torch.randn(20, vocab, generator=generator)).bfloat16()
        logits[3] = -logits[3].abs()
        found = log_sums(logits.view(torch.int16).numpy().view(np.uint16))
        expected = torch.logsumexp(logits.double(), 1).numpy()
        assert np.allclose(found, expected, rtol=1e-6, atol=3e-6)
    for bad in (0x7FC0, 0xFFC0, 0x7F80, 0xFFFF):
        bits = np.full((2, vocab), 0x3F80, dtype=np.uint16)
        bits[1, vocab // 2] = bad
        assert np.isnan(log_sums(bits)).tolist() == [False, True], "a NaN of either sign, or an infinite logit"
    bits[1, vocab // 2] = 0xFF80
    assert np.isnan(log_sums(bits)[1]) == (vocab == 1), "minus infinity has no share"


def test_losses_without_a_gradient_are_those_that_training_computes():
    generator = torch.Generator().manual_seed(1)
    x, weight = (torch.randn(n, 24, generator=generator) for n in (300, 513))
    target = torch.randint(0, 513, (300,), generator=generator)
    for kind in (torch.float32, torch.bfloat16):
        workspace = head.Workspace(513, dtype=kind)
        nats = head.token_nats(x, weight, target, workspace=workspace)
        trained_on = workspace.score(x[:128].to(kind), weight.to(kind), target[:128])[0]
        assert nats.dtype == torch.float32
        assert torch.allclose(nats[:128], trained_on, rtol=2e-6, atol=2e-6)


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


def test_muon_gives_the_same_weights_however_many_matrices_it_stacks(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    found = []
    gradients = [torch.randn(size, 24, generator=generator) for size in (72, 24, 96, 24, 96)]
    for most in (1 << 23, 2 * 24 * 24, 1):
        monkeypatch.setattr(muon, "MOST_STACKED", most)
        weights = [torch.zeros(gradient.shape, requires_grad=True) for gradient in gradients]
        optimizer = muon.Muon(weights, weight_decay=0.1, dtype=torch.float32)
        for lr in (0.1, 0.05):
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient * lr
            optimizer.step(lr)
        found.append(torch.cat([weight.detach().flatten() for weight in weights]))
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert torch.allclose(found[0], found[2], atol=1e-6)


def test_saved_weights_give_the_same_model_and_hold_no_pickle(tmp_path):
    model, ids = trained(), torch.from_numpy(rows_of(2)[:, :-1].astype(np.int64))
    loop.save(model, tmp_path / "weights.npz")
    with torch.no_grad():
        assert torch.equal(loop.load(tmp_path / "weights.npz", SHAPE)(ids), model(ids))


def test_the_number_of_weights_is_told_in_thousands_or_millions():
    assert [weights_text(n) for n in (1_400, 45_100, 99_999, 100_000, 1_099_000, 123_600_000)] == [
        "1k", "45k", "100k", "0.1M", "1.1M", "123.6M"
    ]  # fmt: skip
