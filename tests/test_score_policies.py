"""Policies that read a column: the numbers of their papers, uniform limits, and what they do with bad input."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators.config import build
from winnow.core.operators.contract import Context
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.pack import Documents
from winnow.trainers.model.head import Workspace, head_loss
from winnow.trainers.online.by_score import advantage_weights
from winnow.trainers.online.excess import best
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told
from winnow.trainers.online.value_head import BETAS, ValueHead
from winnow.trainers.online.weights.awr import Awr
from winnow.trainers.online.weights.filtering import Filtering
from winnow.trainers.online.weights.group_dro import GroupDro, raised
from winnow.trainers.online.weights.rho import Rho
from winnow.trainers.online.weights.rho_1 import Rho1
from winnow.trainers.online.weights.rwr import Rwr
from winnow.trainers.online.weights.unlikelihood import Unlikelihood, Unlikeness

VOCAB = 50
NAN = float("nan")


def told(documents: int = 4, **columns) -> Told:
    """A run over some documents with these columns."""
    ids = pl.Series("doc_id", [bytes([i]) * 16 for i in range(documents)], dtype=pl.Binary)
    made = {name: pl.Series(name, values, strict=False) for name, values in columns.items()}
    return Told(steps=10, seed=0, vocab=VOCAB, context=3, batch=2, doc_id=ids, columns=made)


def rows(documents: list[list[int]], weights: list[list[float]] | None = None) -> Batch:
    """Rows whose tokens belong to these documents; -1 is fill."""
    own = np.array(documents)
    segments = np.where(own >= 0, np.cumsum(np.diff(own, axis=1, prepend=own[:, :1]) != 0, axis=1), -1)
    given = (own >= 0).astype(np.float32) if weights is None else np.array(weights, dtype=np.float32)
    ids = np.arange(own.size).reshape(own.shape) % VOCAB
    return Batch(ids=ids, targets=(ids + 1) % VOCAB, segments=segments.astype(np.int32), documents=own, weights=given)


def seen(batch: Batch, nats: list[list[float]], known: Told, step: int = 0, **more) -> Seen:
    """A step."""
    return Seen(step=step, rows=batch, nats=np.array(nats, dtype=np.float32), told=known, **more)


FOUR = rows([[0, 0, 1, 1], [2, 2, 3, 3]])
SAMPLES = [[3, 3, 2.5, 2.5], [4, 4, 1, 1]]


def test_advantage_weights_are_those_of_the_paper():
    assert advantage_weights(np.array([-0.2 + 0.1]), beta=0.1)[0] == pytest.approx(0.367879, abs=5e-7)
    assert advantage_weights(np.array([-0.2]), beta=10)[0] == pytest.approx(0.980199, abs=5e-7)
    assert advantage_weights(np.array([1e6, NAN]), beta=10).tolist() == [1000, 1]
    assert advantage_weights(np.array([-1e6]), beta=0.1)[0] > 0


def test_rwr_multiplies_the_loss_of_a_document_by_its_weight():
    known = told(score=[0.2, None, 0.0, 5.0])
    acting = Rwr(score="tox", beta=0.1).begin(known)
    weights = acting.weigh(seen(FOUR, SAMPLES, known))
    assert weights.tolist()[0] == pytest.approx([math.exp(-2), math.exp(-2), 1, 1])
    assert weights.tolist()[1] == pytest.approx([1, 1, math.exp(-50), math.exp(-50)])
    assert acting.figures() | {"least_weight": 0} == {"documents": 4, "without_value": 1, "treated": "they have the weight 1",
                                "least_weight": 0, "largest_weight": 1.0, "capped": 0}  # fmt: skip
    assert "1 of 4 documents have no `score`" in acting.remarks()[0]
    kept = Rwr(score="tox", beta=0.1, keep_sum=True).begin(known).weigh(seen(FOUR, SAMPLES, known))
    assert kept.sum() == pytest.approx(8)
    assert kept / kept[0, 2] == pytest.approx(weights)
    capped = Rwr(score="tox", beta=0.1).begin(told(score=[-5.0, 0, 0, 0]))
    assert capped.weights.tolist() == [1000, 1, 1, 1]
    assert capped.figures()["capped"] == 1


@pytest.mark.parametrize("beta", [math.inf, 10.0])
def test_rwr_without_differences_gives_the_rows_own_weights(beta):
    scores = [0.5, 2, NAN, 7] if beta == math.inf else [0.0, 0, NAN, 0]
    batch = rows([[0, 0, 1, 1], [2, 2, 3, -1]], [[1, 1, 0.3, 0.3], [1, 1, 0.7, 0]])
    known = told(score=scores)
    assert Rwr(score="s", beta=beta).begin(known).weigh(seen(batch, SAMPLES, known)) is batch.weights
    assert Rwr(score="s", beta=beta, keep_sum=True).begin(known).weigh(seen(batch, SAMPLES, known)) is batch.weights


def columns(policy, **given) -> pl.DataFrame:
    """What the stage answers."""
    out = policy.open(Context(seed=7, work=Path(), refs={}))(pl.DataFrame(given))
    assert out.columns == list(policy.outputs())
    return out


def test_static_forms_are_columns_of_the_same_numbers():
    scores = [0.2, None, 0.0, NAN, 1e9]
    out = columns(Rwr(score="tox * 2", beta=0.1), tox=scores)
    assert out["score"].to_list() == [0.4, None, 0, None, 2e9]
    assert out["kept"].to_list() == [True] * 5
    run = Rwr(score="tox", beta=0.1).begin(told(5, score=out["score"].to_list()))
    assert out["weight"].to_list() == run.weights.tolist()
    out = columns(Filtering(score="tox", tau=0.2), tox=scores)
    assert out["kept"].to_list() == [True, False, True, False, False]
    assert out["weight"].to_list() == [1, 0, 1, 0, 0]
    assert columns(Rwr(score="tox * 0 + 1"), tox=[1.0, 2.0]).height == 2


def documents(weights: list[float] | None = None) -> Documents:
    """Four documents of two tokens."""
    given = None if weights is None else np.array(weights)
    return Documents(
        doc_id=told().doc_id, tokens=np.arange(8, dtype=np.uint16), offsets=np.arange(0, 10, 2), weights=given
    )


def test_filtering_leaves_documents_out_of_the_data():
    known = told(score=[0.1, 0.3, None, 0.2])
    policy = Filtering(score="tox", tau=0.2)
    assert policy.feed(documents(), known).weights.tolist() == [1, 0, 0, 1]
    assert policy.feed(documents([2.0, 1, 1, 0.5]), known).weights.tolist() == [2, 0, 0, 0.5]
    acting = policy.begin(known)
    assert acting.figures()["left_out"] == 2
    assert "1 of 4 documents" in acting.remarks()[0]
    same = documents()
    assert Filtering(score="tox", tau=math.inf).feed(same, told(score=[0.1, 0.3, 9, 0.2])) is same
    with pytest.raises(DataError, match=r"up to 0\.05: the least is 0\.1"):
        Filtering(score="tox", tau=0.05).feed(documents(), known)


def test_presets_are_the_published_numbers():
    def made(cls, task, **fields):
        return build(cls, {"score": "s", "task": task, **fields}, where="x")

    assert [made(Filtering, t).tau for t in ("toxicity", "pii", "pep8")] == [7.8e-4, 2.86e-4, 2.361e-3]
    assert [(u.tau, u.alpha) for u in (made(Unlikelihood, t) for t in ("toxicity", "pii", "pep8"))] == [
        (7.8e-4, 1), (0, 1), (0, 0.01)]  # fmt: skip
    assert [(a.alpha, a.beta) for a in (made(Awr, t) for t in ("toxicity", "pii", "pep8"))] == [
        (0.5, 10), (0.5, 0.1), (0.05, 1)]  # fmt: skip
    assert [made(Rwr, t).beta for t in ("toxicity", "pii", "pep8")] == [10, 10, 10]
    assert made(Filtering, "pii", tau=0.5).tau == 0.5
    with pytest.raises(ConfigError, match="no threshold"):
        build(Filtering, {"score": "s"}, where="x")


# --- unlikelihood


def literal(logits, targets, above, alpha):
    """The loss as it is written, by autograd."""
    import torch

    p = torch.softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]
    return torch.where(above, -alpha * torch.log(torch.clamp(1 - p, min=1e-20)), -torch.log(p))


def head(above, alpha: float, *, weights=None, scale: float = 1.0):
    """(loss, gradients) of the head with the policy's extra, and of the literal loss in f64."""
    import torch

    torch.manual_seed(3)
    n, width = len(above), 8
    x, w = torch.randn(n, width) * scale, torch.randn(VOCAB, width)
    targets = torch.arange(n) % VOCAB
    given = torch.ones(n) if weights is None else torch.tensor(weights)
    mine = [x.clone().requires_grad_(), w.clone().requires_grad_()]
    extra = Unlikeness(above=above, targets=targets, alpha=alpha)
    loss = head_loss(
        *mine, targets, workspace=Workspace(VOCAB, dtype=torch.float32), weights_N=given, num_tokens=n, extra=extra
    )
    loss.backward()
    other = [x.double().requires_grad_(), w.double().requires_grad_()]
    want = (literal(other[0] @ other[1].T, targets, above, alpha) * given.double()).sum() / n
    want.backward()
    return loss, [m.grad for m in mine], want, [o.grad for o in other]


@pytest.mark.parametrize("alpha", [1.0, 0.01, 0.0])
def test_unlikelihood_is_the_literal_loss_and_its_gradient(alpha):
    import torch

    above = torch.arange(300) % 3 == 0  # several chunks
    loss, grads, want, other = head(above, alpha, weights=[0.5 + (i % 4) / 2 for i in range(300)])
    assert float(loss.detach()) == pytest.approx(float(want.detach()), rel=1e-6)
    for mine, its in zip(grads, other, strict=True):
        assert (mine.double() - its).abs().max() < 1e-6 * max(1.0, float(its.abs().max()))


def test_unlikelihood_of_two_tokens_is_that_of_the_paper():
    import torch

    p = torch.tensor([0.5, 0.9])
    logits = torch.stack([p.log(), (1 - p).log()], dim=1)
    extra = Unlikeness(above=torch.tensor([False, True]), targets=torch.tensor([0, 0]), alpha=1.0)
    nats, pull = extra.soft(slice(0, 2), logits, torch.softmax(logits, 1), torch.zeros(2))
    assert nats.tolist() == pytest.approx([0.693147, 2.302585], abs=5e-7)
    assert float(nats.mean()) == pytest.approx(1.497866, abs=5e-7)
    assert (torch.softmax(logits, 1) - pull)[1].tolist() == pytest.approx([0.9, -0.9])


def test_a_sure_model_gets_a_bounded_gradient():
    import torch

    logits = torch.zeros(3, VOCAB)
    logits[:, 0] = torch.tensor([15.0, 30.0, 200.0])
    shares = torch.softmax(logits, 1)
    extra = Unlikeness(above=torch.ones(3, dtype=torch.bool), targets=torch.zeros(3, dtype=torch.int64), alpha=2.0)
    nats, pull = extra.soft(slice(0, 3), logits, shares, torch.logsumexp(logits, 1))
    gradient = shares - pull
    assert torch.isfinite(nats).all()
    assert gradient[0, 0].item() == pytest.approx(2, rel=1e-4)
    assert gradient[:2].sum(dim=1).abs().max() < 1e-5
    assert nats[1].item() == pytest.approx(
        2 * (30 - math.log(VOCAB - 1)), rel=1e-5
    )  # log(1 - p) far below what 1 - p in f32 has
    assert gradient[2].abs().sum() == 0  # 1 - p is clamped: nothing to learn
    assert nats[2].item() == pytest.approx(-2 * math.log(1e-20))


def test_unlikelihood_of_aligned_text_changes_nothing():
    known = told(score=[0.1, None, 0.2, 0.0])
    acting = Unlikelihood(score="tox", tau=0.2, alpha=0.0).begin(known)
    assert acting.head_extra(0, FOUR, "cpu") is None
    assert acting.weigh(seen(FOUR, SAMPLES, known)) is FOUR.weights
    assert "none of 8 tokens" in acting.idle()
    acting = Unlikelihood(score="tox", tau=0.1).begin(known)
    assert acting.head_extra(0, FOUR, "cpu").above.tolist() == [False] * 4 + [True, True, False, False]
    acting.weigh(seen(FOUR, SAMPLES, known))
    assert acting.figures()["misaligned_share"] == 0.25


# --- rho, rho_1


def test_rho_takes_the_largest_excess():
    loss, il = np.array([3, 2.5, 4]), np.array([2, 2.4, 3.9])
    assert (loss - il).tolist() == pytest.approx([1, 0.1, 0.1])
    assert best(loss - il, 0.1).tolist() == [1, 0, 0]
    assert best(np.array([1.0, 1, 1]), 0.5).tolist() == [1, 1, 0]
    assert best(np.zeros(0), 0.5).tolist() == []
    assert best(np.arange(10.0), 0.3).tolist() == [0] * 7 + [1] * 3  # 0.3 x 10 is 3, whatever its last digit
    known = told(reference=[2, 2.4, 3.9, 0.95])
    acting = Rho(reference="r.n", keep=0.25).begin(known)
    assert acting.weigh(seen(FOUR, SAMPLES, known)).tolist() == [[4, 4, 0, 0], [0] * 4]
    assert acting.figures()["mean_excess"] == pytest.approx((1 + 0.1 + 0.1 + 0.05) / 4)


def test_rho_by_temperature_weighs_all():
    known = told(reference=[2, 2.4, 3.9, 0.95])
    weights = Rho(reference="r", temperature=0.5).begin(known).weigh(seen(FOUR, SAMPLES, known))
    raw = np.exp(np.array([1, 0.1, 0.1, 0.05]) / 0.5)
    assert weights.ravel()[::2] == pytest.approx(raw / raw.mean(), rel=1e-5)
    assert weights.sum() == pytest.approx(8)


LIMITS = [
    Rho(reference="r", keep=1.0), Rho(reference="r", temperature=math.inf), Rho(reference="r", temperature=1e300),
    GroupDro(per=("g",)), GroupDro(per=("g",), adjustment=2.0),
]  # fmt: skip


@pytest.mark.parametrize("policy", LIMITS, ids=lambda p: f"{p.name} {dict(list(vars(p).items())[1:])}")
def test_uniform_limits_have_the_rows_own_bits(policy):
    batch = rows([[0, 0, 1, 1], [2, 2, 3, -1]], [[1, 1, 0.3, 0.3], [1, 1, 0.7, 0]])
    known = told(reference=[2, 2.4, 3.9, 9.0], group=["one"] * 4)
    acting = policy.begin(known)
    for step in range(3):
        assert acting.weigh(seen(batch, SAMPLES, known, step)) is batch.weights


def test_samples_without_a_reference_stand_at_the_median():
    known = told(reference=[2, None, NAN, 0.95])  # excess 1, ?, ?, .05
    acting = Rho(reference="r", temperature=1.0).begin(known)
    weights = acting.weigh(seen(FOUR, SAMPLES, known))
    excess = np.array([1, 0.525, 0.525, 0.05])
    assert weights.ravel()[::2] == pytest.approx(np.exp(excess) / np.exp(excess).mean(), rel=1e-5)
    assert "2 of 4 documents have no `reference`" in acting.remarks()[0]
    nothing = told(reference=[None] * 4)
    assert Rho(reference="r").begin(nothing).weigh(seen(FOUR, SAMPLES, nothing)) is FOUR.weights


def test_a_reference_in_another_unit_is_remarked():
    acting = Rho(reference="r").begin(told(reference=[200.0, 300, 250, 100]))
    assert "225 nats per token, above the 3.91" in acting.remarks()[0]
    assert Rho(reference="r").begin(told(reference=[2.0, 3, 2, 1])).remarks() == ()


@dataclasses.dataclass
class Fixed:
    """A reference whose losses are given."""

    values: list[list[float]]

    def nats(self, rows: Batch) -> np.ndarray:
        """The losses."""
        return np.array(self.values, dtype=np.float32)


def selecting(policy: Rho1, values: list[list[float]]):
    """The policy with this reference."""
    return policy.begin(dataclasses.replace(told(), references={"reference": Fixed(values)}))


def test_rho_1_takes_tokens():
    batch = rows([[0, 0, 0, -1], [1, 1, 2, 2]], [[1, 1, 2, 0], [1, 1, 1, 1]])
    nats, other = [[3, 2, 5, 99], [1, 1, 4, 6]], [[1, 2.5, 1, 0], [1, 0.5, 1, 2]]  # excess 2, -.5, 4, -, 0, .5, 3, 4
    acting = selecting(Rho1(reference="m", keep=0.4), other)
    weights = acting.weigh(seen(batch, nats, told()))
    assert weights.tolist() == [[0, 0, 4, 0], [0, 0, 2, 2]]  # 3 of 7; 8 in all, in proportion to the own 2, 1, 1
    assert acting.figures() == {
        "tokens": 7,
        "mean_nats": pytest.approx(22 / 7),
        "mean_reference_nats": pytest.approx(9 / 7),
    }
    again = selecting(Rho1(reference="m", keep=0.4), other)
    again.restore(acting.state())
    assert again.figures() == acting.figures()
    by_heat = selecting(Rho1(reference="m", temperature=2.0), other).weigh(seen(batch, nats, told()))
    assert by_heat[1, 3] / by_heat[1, 2] == pytest.approx(math.exp(0.5), rel=1e-5)
    assert by_heat[0, 2] / by_heat[1, 3] == pytest.approx(2)
    for same in (Rho1(reference="m", keep=1.0), Rho1(reference="m", temperature=math.inf)):
        assert selecting(same, other).weigh(seen(batch, nats, told())) is batch.weights
    with pytest.raises(ConfigError, match="no trained model"):
        Rho1(reference="m").begin(told())


# --- group_dro


def test_group_shares_follow_the_exponentiated_gradient():
    both = np.arange(2)
    got = raised(np.array([0.5, 0.5]), np.array([2.0, 3.0]), both, step_size=0.5)
    assert got == pytest.approx(np.exp([1, 1.5]) / np.exp([1, 1.5]).sum())
    adjusted = raised(
        np.array([0.5, 0.5]), np.array([2.0, 2.0]), both, step_size=1.0, adjustment=3.0, sizes=np.array([9, 4])
    )
    assert adjusted == pytest.approx(np.exp([1, 1.5]) / np.exp([1, 1.5]).sum())
    absent = raised(np.array([0.2, 0.5, 0.3]), np.array([1.0, NAN, 1.0]), np.array([0, 2]), step_size=9.0)
    assert absent.tolist() == pytest.approx([0.2, 0.5, 0.3])
    wild = raised(np.array([0.5, 0.5]), np.array([1e6, 1.0]), both, step_size=0.01)
    assert wild[1] == pytest.approx(1e-6, rel=1e-3)  # it can come back


def test_group_dro_weighs_the_mean_loss_of_each_group_by_its_share():
    batch = rows([[0, 0, 0, 0], [1, 1, 2, 3]])
    known = told(group=["a", "a", "b", None])
    acting = GroupDro(per=("g",), step_size=0.5).begin(known)
    nats = [[2, 2, 2, 2], [2, 2, 3, 7]]
    weights = acting.weigh(seen(batch, nats, known))
    q = np.exp([1, 1.5]) / np.exp([1, 1.5]).sum()
    assert acting.shares == pytest.approx(q)
    assert weights[0, 0] * 6 == pytest.approx(q[0] * 7)
    assert weights[1, 2] == pytest.approx(q[1] * 7)
    assert weights[1, 3] == 1  # no group: its own
    assert weights.sum() == pytest.approx(8)
    loss = (weights * np.array(nats))[weights != 1].sum() / 7
    assert loss == pytest.approx(q @ [2, 3])
    again = GroupDro(per=("g",), step_size=0.5).begin(known)
    again.restore(acting.state())
    assert again.weigh(seen(batch, nats, known, 1)).tolist() == acting.weigh(seen(batch, nats, known, 1)).tolist()
    assert "1 of 4 documents have no group" in acting.remarks()[0]


def test_a_group_that_no_step_has_is_remarked():
    known = told(group=["a", "b", "c", "b"])
    acting = GroupDro(per=("g",)).begin(known)
    acting.weigh(seen(rows([[0, 0], [1, 3]]), [[1, 1], [2, 2]], known))
    assert acting.figures()["not_seen"] == ["c"]
    assert "1 of 3 groups (c) were in no step" in acting.remarks()[0]
    assert acting.shares[2] == pytest.approx(1 / 3)
    with pytest.raises(DataError, match="none of 4"):
        GroupDro(per=("g",)).begin(told(group=pl.Series([None] * 4, dtype=pl.String)))
    alone = GroupDro(per=("g",)).begin(told(group=["x"] * 4))
    alone.weigh(seen(FOUR, SAMPLES, known))
    assert "'x' is the only group, of 4 documents" in alone.idle()


# --- bad input, all of them

ALL = {
    "rwr": Rwr(score="s", beta=0.1), "rwr sum": Rwr(score="s", beta=0.1, keep_sum=True),
    "awr": Awr(score="s", alpha=1.0, beta=0.1), "rho": Rho(reference="r"), "rho soft": Rho(reference="r", temperature=0.1),
    "rho sample": Rho(reference="r", per="sample"), "group_dro": GroupDro(per=("g",), step_size=1.0),
    "unlikelihood": Unlikelihood(score="s", tau=0.5),
    "rho_1": Rho1(reference="m"), "rho_1 soft": Rho1(reference="m", temperature=0.1),
}  # fmt: skip
CASES = {
    "one document": ([[0, 0, 0], [0, 0, -1]], [[1, 2, 3], [4, 5, 6]]),
    "one token": ([[0, -1, -1], [-1, -1, -1]], [[1, 2, 3], [4, 5, 6]]),
    "equal losses": ([[0, 1, 1], [2, 3, -1]], [[2, 2, 2], [2, 2, 2]]),
    "a loss of a million": ([[0, 1, 1], [2, 3, -1]], [[2, 1e6, 2], [2, 2, 2]]),
    "nothing but fill": ([[-1, -1, -1], [-1, -1, -1]], [[1, 2, 3], [4, 5, 6]]),
    "no loss": ([[0, 1, 1], [2, 3, -1]], [[0, 0, 0], [0, 0, 0]]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ALL)
def test_odd_steps_get_weights_that_can_be_trained_with(name, case):
    batch = rows(CASES[case][0])
    known = told(score=[0.1, 0.9, None, 1e5], reference=[1.0, 2, NAN, 1e5], group=["a", "b", None, "c"])
    known = dataclasses.replace(known, references={"reference": Fixed([[1, 1, 1], [1, 1, 1]])})
    step = seen(batch, CASES[case][1], known)
    weights = np.asarray(ALL[name].begin(known).weigh(step))
    weights = weights if weights.ndim == 2 else step.spread(weights)
    assert weights.shape == batch.weights.shape
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert (weights[batch.weights == 0] == 0).all()
    assert weights.any() == batch.weights.any()
    ALL[name].begin(known).figures()


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (Rwr, {"score": "s", "beta": 0}), (Rwr, {"score": "s", "most": math.inf}), (Rwr, {"score": "s", "task": "x"}),
        (Awr, {"score": "s", "alpha": 0}), (Awr, {"score": "s", "alpha": 1.5}), (Awr, {"score": "s", "value_lr": 0}),
        (Rho, {"reference": "r", "keep": 0}), (Rho, {"reference": "r", "temperature": -1}),
        (Rho, {"reference": "r", "keep": 0.5, "temperature": 1.0}), (Rho1, {"reference": "m", "keep": 2}),
        (GroupDro, {"per": []}), (GroupDro, {"per": "g", "step_size": -1}), (Unlikelihood, {"tau": 1.0}),
        (Unlikelihood, {"tau": 1.0, "score": "s", "segment_scores": "x", "segment_ends": "y"}),
        (Unlikelihood, {"tau": 1.0, "segment_scores": "x"}), (Unlikelihood, {"score": "s"}),
        (Unlikelihood, {"score": "s", "tau": 1, "alpha": -1}), (Filtering, {"score": "s", "tau": NAN}),
    ],
)  # fmt: skip
def test_fields_that_cannot_work_are_refused(cls, fields):
    with pytest.raises(ConfigError):
        build(cls, fields, where="policy")


@pytest.mark.parametrize("policy", [Rwr(score="s"), Rho(reference="r"), GroupDro(per=("g",)), Awr(score="s")])
def test_documents_of_several_sources_are_refused(policy):
    with pytest.raises(ConfigError, match="several sources"):
        policy.begin(dataclasses.replace(told(score=[1.0] * 4), doc_id=None))


def test_a_sigmoid_refuses_scores_that_it_cannot_reach():
    with pytest.raises(ConfigError, match=r"\[-1, 3\]"):
        Awr(score="s").begin(told(score=[-1.0, 3, 0, None]))
    Awr(score="s", value="linear").begin(told(score=[-1.0, 3, 0, None]))


def test_the_value_moves_as_adamw_would_move_it_and_goes_on_from_its_tensors():
    import torch

    torch.manual_seed(0)
    hidden, reward = torch.randn(12, 5), np.linspace(-1, 0, 12)
    head, vector = ValueHead(sigmoid=True, rate=0.1), torch.zeros(5, requires_grad=True)
    adam = torch.optim.AdamW([vector], lr=0.1, betas=BETAS, eps=1e-8, weight_decay=0.0)
    for step in range(6):
        if step == 3:
            kept, head = head, ValueHead(sigmoid=True, rate=0.1, steps=head.steps)
            head.restore(kept.tensors())
        head.error(hidden, reward, np.full(12, 1 / 12)).backward()
        head.step(0.5)
        ((torch.from_numpy(reward).float() + torch.sigmoid(hidden @ vector)) ** 2).mean().backward()
        adam.param_groups[0]["lr"] = 0.05
        adam.step()
        adam.zero_grad()
        assert torch.allclose(head.vector, vector, atol=1e-6), step
