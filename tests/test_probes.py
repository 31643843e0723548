"""Probes on frozen features and flatness: convex fits with one answer, traces against the exact ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from test_evaluate import SHAPE, model_source, run_job, target_of, target_source, trained
from test_suites import bytes_of

from winnow.core.errors import DataError
from winnow.trainers.evaluate import evaluate, flatness, probes, suites
from winnow.trainers.model.initialise import build
from winnow.trainers.model.shape import Shape

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train


def labelled(texts: list[str], labels: list[int]) -> suites.Tokenised:
    size = len(texts)
    suite = suites.Suite(
        kind="labels",
        names=pl.Series([f"t:{i}" for i in range(size)]),
        first=np.arange(size + 1),
        gold=np.array(labels),
        chance=np.full(size, np.bincount(labels).max() / size),
        context=pl.Series([""] * size),
        scored=pl.Series(texts),
    )
    return suites.tokenise(suite, bytes_of)


def planted(size: int = 60) -> suites.Tokenised:
    """Two labels that use other letters more often."""
    draw = np.random.default_rng(0)
    letters = [
        draw.choice(list("abcdef"), 30, p=np.roll([0.3, 0.2, 0.2, 0.1, 0.1, 0.1], 3 * (i % 2))) for i in range(size)
    ]
    return labelled(["".join(row) for row in letters], [i % 2 for i in range(size)])


def noise(size: int = 200) -> suites.Tokenised:
    """Labels that the text does not know."""
    draw = np.random.default_rng(1)
    return labelled(["".join(draw.choice(list("abcdef"), 12)) for _ in range(size)], [i % 2 for i in range(size)])


def test_the_probe_is_where_the_loss_has_no_slope():
    draw = np.random.default_rng(2)
    x, gold = draw.normal(size=(80, 5)), draw.integers(0, 3, 80)
    weights, bias = probes.fit_probe(x, gold, num_labels=3)
    logits = x @ weights + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(80), gold] -= 1
    assert np.abs(x.T @ shares + probes.PENALTY * weights).max() < 1e-7
    assert np.abs(shares.sum(axis=0)).max() < 1e-7


def test_a_text_s_feature_is_the_mean_of_what_the_head_reads_over_all_its_tokens():
    model, target = trained(), labelled(["abc", "x", "a" * 40], [0, 1, 0])
    found = probes.features(model, SHAPE, target, precision="fp32")
    for row, text in enumerate(["abc", "x"]):
        ids = torch.tensor([[256, *text.encode()]])
        with torch.no_grad():
            expected = model.hidden(ids)[0, 1:].mean(dim=0).numpy()
        assert found[row] == pytest.approx(expected, abs=1e-5)
    assert np.isfinite(found).all()
    single = probes.features(model, SHAPE, labelled(["x"], [0]), precision="fp32")
    assert single[0] == pytest.approx(found[1], abs=1e-5)


def test_folds_hold_every_label_evenly_and_are_a_function_of_names():
    target = planted(53)
    fold = probes.folds(target)
    for label in (0, 1):
        counts = np.bincount(fold[target.gold == label], minlength=probes.FOLDS)
        assert counts.max() - counts.min() <= 1
    order = np.random.default_rng(0).permutation(53)
    shuffled = dataclasses.replace(target, names=target.names.gather(order), gold=target.gold[order])
    assert (probes.folds(shuffled) == fold[order]).all()


def test_a_label_that_the_text_shows_is_found_and_one_that_it_does_not_is_not():
    clear, blind = (evaluate.evaluate([trained()], SHAPE, t, precision="fp32") for t in (planted(), noise()))
    made = evaluate.summary(planted(), clear)
    assert made["measures"]["accuracy"] > 0.85
    assert made["measures"]["centred"] > 0.7
    assert made["facts"]["chance"] == 0.5
    assert "bits_per_byte" not in made["measures"]
    error = blind.correct.std(ddof=1) / np.sqrt(200)
    assert abs(blind.correct.mean() - 0.5) < 3 * error


def test_untrained_weights_against_untrained_weights_have_a_gap_around_zero():
    target = planted()
    gaps = []
    for seed in range(1, 7):
        made = evaluate.evaluate([build(SHAPE, init_seed=seed)], SHAPE, target, precision="fp32")
        gaps.append(float((made.correct - made.untrained).mean()))
    mean, error = np.mean(gaps), np.std(gaps, ddof=1) / np.sqrt(len(gaps))
    assert abs(mean) <= 2.571 * error + 1e-12, gaps  # t, 5 degrees of freedom, 95 %
    same = evaluate.evaluate([build(SHAPE, init_seed=probes.UNTRAINED_SEED)], SHAPE, target, precision="fp32")
    assert (same.correct == same.untrained).all()


def test_a_committee_of_equal_members_is_the_member():
    target, model = planted(), trained()
    one = evaluate.evaluate([model], SHAPE, target, precision="fp32")
    three = evaluate.evaluate([model] * 3, SHAPE, target, precision="fp32")
    assert np.array_equal(one.nats, three.nats)
    assert np.array_equal(one.correct, three.correct)
    tables = [np.log([[0.9, 0.1]]), np.log([[0.2, 0.8]])]
    mean = np.sqrt(np.array([0.9 * 0.2, 0.1 * 0.8]))
    assert np.exp(probes.committee(tables))[0] == pytest.approx(mean / mean.sum())


def test_a_probe_is_repeatable_and_too_few_items_are_refused():
    target = planted()
    runs = [evaluate.evaluate([trained()], SHAPE, target, precision="fp32") for _ in range(2)]
    assert np.array_equal(runs[0].nats, runs[1].nats)
    for labels in ([0] * 9, [0] * 6 + [1] * 3):
        with pytest.raises(DataError, match="two labels"):
            probes.folds(labelled(["a"] * 9, labels))


def test_labelled_texts_are_a_target_of_the_job(tmp_path):
    model = model_source(tmp_path / "m", 1)
    metrics, arrays = run_job(tmp_path / "w", {"m": model}, {"news": target_source(tmp_path / "t", planted())})
    assert set(arrays) == {"news.nats", "news.bytes", "news.correct", "news.untrained"}
    measures = metrics["targets"]["news"]["measures"]
    assert measures["gap"] == pytest.approx(measures["accuracy"] - measures["accuracy_untrained"])
    assert metrics["suite"]["core"] == measures["centred"]


def test_a_diagonal_hessian_gives_its_trace_with_every_vector():
    found = flatness.hutchinson(lambda v: np.array([1.0, 2.0, 3.0]) * v, 3, probes=20, seed=1)
    assert found.tolist() == [6.0] * 20


def test_rademacher_vectors_are_signs_keyed_by_seed_and_number():
    one = flatness.rademacher(1001, seed=1, number=0)
    assert set(one.tolist()) == {-1.0, 1.0}
    assert abs(one.mean()) < 0.1
    assert np.array_equal(one, flatness.rademacher(1001, seed=1, number=0))
    others = [flatness.rademacher(1001, seed=s, number=n) for s, n in ((1, 1), (2, 0))]
    assert all(abs((one * other).mean()) < 0.1 for other in others)


def test_the_estimate_of_an_anisotropic_matrix_is_within_three_standard_errors():
    draw = np.random.default_rng(5)
    turn = np.linalg.qr(draw.normal(size=(40, 40)))[0]
    matrix = turn * np.geomspace(1e-3, 1e2, 40) @ turn.T
    found = flatness.hutchinson(lambda v: matrix @ v, 40, probes=400, seed=3)
    assert abs(found.mean() - np.trace(matrix)) < 3 * found.std(ddof=1) / 20


TINY = Shape(vocab=7, width=4, layers=1, heads=1, context=5)


def tiny() -> tuple[object, np.ndarray, np.ndarray]:
    model = build(TINY, init_seed=1)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.5, generator=generator)
    inputs, answers = flatness.sample(target_of([(0, 9), (0, 3)], kind="documents", vocab=6), TINY, num_tokens=100)
    return model.double(), inputs, answers


def test_the_trace_of_a_tiny_model_is_the_exact_one():
    model, inputs, answers = tiny()
    weights = [w for _, w in sorted(model.named_parameters())]
    size = sum(w.numel() for w in weights)
    product = flatness.hessian_product(lambda: flatness.mean_loss(model, inputs, answers), weights)
    matrix = np.stack([product(np.eye(size)[i]) for i in range(size)])
    assert np.allclose(matrix, matrix.T, atol=1e-9)
    found = flatness.hessian_trace(model, inputs, answers, probes=60, seed=2)
    assert found["tokens"] == 12
    assert abs(found["trace"] - np.trace(matrix)) < 3 * found["standard_error"]
    vectors = [flatness.rademacher(size, seed=2, number=i) for i in range(60)]
    assert found["trace"] == pytest.approx(np.mean([v @ matrix @ v for v in vectors]), rel=1e-9)
    loss = flatness.mean_loss(model, inputs, answers).detach()
    step = 1e-4 * vectors[0]
    assert _moved(model, weights, step, inputs, answers) + _moved(model, weights, -step, inputs, answers) - 2 * float(
        loss
    ) == pytest.approx(step @ matrix @ step, rel=1e-3)


def _moved(model, weights, step, inputs, answers) -> float:
    at, before = 0, [w.detach().clone() for w in weights]
    with torch.no_grad():
        for weight in weights:
            weight += torch.from_numpy(step[at : at + weight.numel()]).view_as(weight)
            at += weight.numel()
        out = float(flatness.mean_loss(model, inputs, answers).detach())
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old)
    return out


class Softmax(torch.nn.Module):
    """Softmax regression on fixed features of a token."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.table = torch.randn(7, 3, generator=generator).double()
        self.head = torch.nn.Linear(3, 7, bias=False).double()
        torch.nn.init.normal_(self.head.weight, std=0.5, generator=generator)

    def hidden(self, ids, segments=None):
        return self.table[ids]


def test_the_fisher_trace_of_softmax_regression_is_the_exact_one():
    model, (_, inputs, answers) = Softmax(), tiny()
    x = model.hidden(torch.from_numpy(inputs))[torch.from_numpy(answers) >= 0]
    shares = torch.softmax(x @ model.head.weight.T, dim=1).detach()
    exact = float((x.square().sum(dim=1) * (1 - shares.square().sum(dim=1))).mean())  # of (diag p - p p') (x) x x'
    size = model.head.weight.numel()
    product = flatness.hessian_product(lambda: flatness.mean_loss(model, inputs, answers), [model.head.weight])
    assert sum(product(np.eye(size)[i])[i] for i in range(size)) == pytest.approx(exact, rel=1e-9)
    draws = flatness.fisher_trace(model, inputs, answers, draws=600, seed=1)
    assert abs(draws.mean() - exact) < 3 * draws.std(ddof=1) / np.sqrt(600)


def test_the_sample_for_flatness_is_the_first_windows():
    target = target_of([(0, 9), (0, 3), (0, 30)], kind="documents")
    inputs, answers = flatness.sample(target, TINY, num_tokens=12)
    assert (answers >= 0).sum() == 12
    assert sorted(answers[answers >= 0].tolist()) == list(range(12))
    assert inputs.shape == answers.shape
