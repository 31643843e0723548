"""The seam between policies and the training loop: whole steps, checks of answers, checkpoints, ranks, records."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from tests import support_policies as toys
from tests.support_policies import RECIPE, SHAPE, Drift, Same, bits, run_of, varied
from winnow.core.errors import ContractError, DataError
from winnow.trainers.data.batches import Batch
from winnow.trainers.model import checkpoint, loop, parallel
from winnow.trainers.model.check_policy import policy_findings
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.device import Machine
from winnow.trainers.model.usage import TOKENS, WEIGHT
from winnow.trainers.online.answers import effective_share, weights_of
from winnow.trainers.online.function_policy import FunctionColumnPolicy, FunctionPolicy
from winnow.trainers.online.plain_policy import PlainPolicy
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.weights.lin_upper import LinUpper

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train


def test_a_policy_that_changes_nothing_gives_the_same_bits_and_sees_the_losses_of_the_run():
    data = varied()
    wanted = loop.fit(data, SHAPE, RECIPE, init_seed=1)
    for micro in (0, 3):
        run, machine = run_of(Same(), data), Machine(micro_rows=micro)
        plain = wanted if not micro else loop.fit(data, SHAPE, RECIPE, init_seed=1, machine=machine)
        assert bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run, machine=machine)) == bits(plain)
        assert run.record.plain_losses == pytest.approx(plain[1], rel=1e-6)
        assert (run.record.ess == 1.0).all()


def test_passes_of_three_rows_train_as_one_pass_does():
    data, policy = varied(), LinUpper(r=0.4)
    one, run = run_of(policy, data), run_of(policy, data)
    model, losses = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=one)
    other, again = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run, machine=Machine(micro_rows=3))
    assert np.abs(losses - again).max() < 1e-5
    assert run.record.ess == pytest.approx(one.record.ess, rel=1e-4)
    assert (one.record.ess[1:] < 0.999).all()  # before the first step all losses are equal
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("workers", [2])
def test_two_processes_see_the_whole_step_and_keep_equal_states(workers):
    data = varied(tokens=900)
    run, both = run_of(Drift(every=2), data), run_of(Drift(every=2), data)
    _, losses = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    _, curve = parallel.fit(data, SHAPE, RECIPE, init_seed=1, workers=workers, policy=both)
    assert np.abs(curve - losses).max() < 1e-5
    assert both.record.plain_losses == pytest.approx(run.record.plain_losses, abs=1e-5)
    assert both.record.ess == pytest.approx(run.record.ess, abs=1e-5)
    assert both.record.columns[WEIGHT] == pytest.approx(run.record.columns[WEIGHT], rel=1e-4, nan_ok=True)
    assert np.nanstd(run.record.columns[WEIGHT]) > 0.01
    assert both.record.columns[TOKENS].tobytes() == run.record.columns[TOKENS].tobytes()
    assert both.record.figures["looked"] == run.record.figures["looked"] == list(range(0, data.num_steps, 2))


class KilledError(Exception):
    """Stands for a kill."""


def killed(step: int, model: object) -> None:
    raise KilledError(step)


def test_killed_at_five_points_a_run_with_a_policy_goes_on_to_the_same_bits_and_record(tmp_path):
    data, whole = varied(), run_of(Drift(), varied())
    wanted = bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=whole))
    folder, at = Folder(path=tmp_path / "run"), checkpoint.stops(data.num_steps, 5)
    plan = Checkpoints(step=folder, at=at)
    for step in (0, 3, 7, 14, data.num_steps - 2):
        with pytest.raises(KilledError):
            loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run_of(Drift(), data), checkpoints=plan, watch=killed,
                     watch_at=(step,))  # fmt: skip
    again = run_of(Drift(), data)
    assert bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=again, checkpoints=plan)) == wanted
    assert again.record.figures == whole.record.figures
    assert again.record.plain_losses.tobytes() == whole.record.plain_losses.tobytes()
    assert again.record.ess.tobytes() == whole.record.ess.tobytes()
    for name in (TOKENS, WEIGHT):
        assert again.record.columns[name].tobytes() == whole.record.columns[name].tobytes()
    state = checkpoint.read_state(folder.latest())
    assert state["policy"]["name"] == "drift"
    assert state["policy"]["steps"] == data.num_steps
    assert "policy.own.size" in checkpoint.read(folder.latest()).optimizer


def test_another_policy_field_step_count_seed_or_column_is_refused(tmp_path):
    data = varied()
    plan = Checkpoints(step=Folder(path=tmp_path / "run"), at=(5,))

    def fit(run: Any, data: Any = data) -> Any:
        return loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run, checkpoints=plan)

    fit(run_of(LinUpper(r=0.4), data, digests={"columns": "aa"}))
    for other in (
        run_of(LinUpper(r=0.5), data, digests={"columns": "aa"}), run_of(Drift(), data, digests={"columns": "aa"}),
        run_of(LinUpper(r=0.4), data, digests={"columns": "bb"}), None,
        run_of(LinUpper(r=0.4), data, digests={"columns": "aa"}, seed=1),
    ):  # fmt: skip
        with pytest.raises(DataError, match="its policy differs"):
            fit(other)
    longer = varied(tokens=3000)
    with pytest.raises(DataError, match="of another run"):
        fit(run_of(LinUpper(r=0.4), longer, digests={"columns": "aa"}), longer)
    fit(run_of(LinUpper(r=0.4), data, digests={"columns": "aa"}))


@dataclass(kw_only=True)
class Answers(Acting):
    """Gives a function's answer."""

    answer: Any
    signed: bool = False  # type: ignore[misc]
    weighs = True

    def weigh(self, seen: Seen) -> Any:
        """The answer."""
        return self.answer(seen)


@dataclass(frozen=True, kw_only=True)
class Fixed(PlainPolicy):
    """Answers what a test says."""

    name: ClassVar[str] = "fixed"
    seam: ClassVar[Seam] = "weights"
    answer: Any = None
    signed: bool = False

    def begin(self, told: Any) -> Acting:
        """Begin."""
        return Answers(answer=self.answer, signed=self.signed)


def seen_of(weights: np.ndarray, nats: np.ndarray | None = None) -> Seen:
    shape = weights.shape
    rows = Batch(ids=np.zeros(shape, dtype=np.int64), targets=np.zeros(shape, dtype=np.int64),
                 segments=np.zeros(shape, dtype=np.int32), documents=np.zeros(shape, dtype=np.int64),
                 weights=weights)  # fmt: skip
    told = run_of(Same(), varied()).told
    return Seen(step=3, rows=rows, nats=np.ones(shape, dtype=np.float32) if nats is None else nats, told=told)


def test_answers_are_looked_at():
    ones = np.ones((2, 3), dtype=np.float32)
    ones[1, 2] = 0
    seen = seen_of(ones)
    for answer, what in (
        (ones[:1], r"shape \[1, 3\], not \[2, 3\], tokens, or \[2\], samples"), (None, "a NoneType"),
        (ones * np.nan, "6 of 6 weights that are not finite"), (-ones, "5 of 6 weights that are negative"),
        (ones + 1, "1 of 6 weights that are not 0 on fill"), (ones * 0, "every token of the step the weight 0"),
        (np.zeros(2), "every token of the step the weight 0"), (np.array([1.0, -1.0]), "1 of 2 weights that are negative"),
        (np.array(["a", "b"]), "<U1 numbers"),
    ):  # fmt: skip
        with pytest.raises(ContractError, match=what) as caught:
            weights_of(Answers(answer=lambda seen, answer=answer: answer), seen, where="mine")
        assert caught.value.where == "mine"
        assert f"(step 3 of {seen.steps})" in caught.value.what
    assert weights_of(Answers(answer=lambda seen: ones * 0.5), seen, where="mine").sum() == 2.5
    assert weights_of(Answers(answer=lambda seen: -ones, signed=True), seen, where="mine").sum() == -5
    spread = weights_of(Answers(answer=lambda seen: np.array([3.0, 1.0])), seen, where="mine")
    assert spread.sum() == pytest.approx(5.0)
    assert spread[0, 0] == pytest.approx(3 * spread[1, 0])


def test_the_effective_sample_size_is_that_of_the_samples_whatever_their_length():
    ones = np.ones((2, 3), dtype=np.float32)
    ones[1, 2] = 0
    seen = seen_of(ones)
    assert effective_share(seen, ones) == 1.0
    assert effective_share(seen, (ones * 3).astype(np.float32)) == pytest.approx(1.0)
    half = ones.copy()
    half[1] = 0
    assert effective_share(seen, half) == pytest.approx(0.5)
    unequal = ones * np.array([[3.0], [1.0]], dtype=np.float32)
    assert effective_share(seen, unequal) == pytest.approx(16 / 10 / 2)


def test_a_policy_that_gives_everything_to_one_document_is_remarked():
    data = varied(count=200, longest=5, tokens=4000)
    one = run_of(LinUpper(r=0.4), data)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=one)
    assert one.record.remarks() == ()

    def only_the_first(seen: Seen) -> np.ndarray:
        out = np.zeros(len(seen.tokens))
        out[0] = 1.0
        return out

    few = run_of(Fixed(answer=only_the_first), data)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=few)
    (said,) = few.record.remarks()
    assert "over the last tenth of the steps the effective sample size is" in said
    assert few.record.facts()["last_ess_share"] < 0.1


def test_a_loss_that_is_no_number_ends_the_run_as_without_a_policy():
    data, broken = varied(), dataclasses.replace(RECIPE, lr_embedding=1e38)
    with pytest.raises(loop.DivergedError) as plain:
        loop.fit(data, SHAPE, broken, init_seed=1)
    with pytest.raises(loop.DivergedError) as told:
        loop.fit(data, SHAPE, broken, init_seed=1, policy=run_of(Same(), data))
    assert told.value.what == plain.value.what


class Looks(Acting):
    """Asks the learner everything, once."""

    looks_every = 3

    def __init__(self, data: Any) -> None:
        self.data, self.found = data, {}

    def look(self, step: int, learner: Any) -> None:
        """Ask."""
        rows = self.data.batch(0)
        nats = learner.nats(rows)
        gradient = learner.gradient(rows, rows.weights)
        up, down = (learner.shifted_nats(rows, gradient, scale) for scale in (1e-3, -1e-3))
        slope = ((up.astype(float) - down) * rows.weights).sum() / rows.weights.sum() / 2e-3
        squares = float(sum((g.double() ** 2).sum() for g in gradient.values()))
        again = learner.nats(rows)
        scaled = learner.preconditioned(gradient)
        self.found[step] = (slope, squares, (nats == again).all(), scaled, gradient)


@dataclass(frozen=True, kw_only=True)
class Looking(PlainPolicy):
    """Looks."""

    name: ClassVar[str] = "looking"
    seam: ClassVar[Seam] = "weights"

    def begin(self, told: Any) -> Acting:
        """Begin."""
        acting = Looks(toys.varied())
        type(self).last = acting  # type: ignore[attr-defined]
        return acting


@pytest.mark.parametrize("options", [{}, {"optimizer": "adamw"}])
def test_a_learner_answers_and_leaves_the_run_as_it_was(options):
    data, recipe = varied(tokens=1200), dataclasses.replace(RECIPE, **options)
    wanted = bits(loop.fit(data, SHAPE, recipe, init_seed=1))
    assert bits(loop.fit(data, SHAPE, recipe, init_seed=1, policy=run_of(Looking(), data))) == wanted
    found = Looking.last.found
    assert list(found) == [*range(0, data.num_steps, 3)]
    for step, (slope, squares, same, scaled, gradient) in found.items():
        assert slope == pytest.approx(squares, rel=0.03), "a step along the gradient changes the loss by its square"
        assert same, "weights come back to the bit"
        for name, value in scaled.items():
            kept = step > 0 and (options or not name.startswith("blocks."))
            assert torch.equal(value, gradient[name]) != bool(kept), (step, name)


@pytest.mark.parametrize("needs", ["", ", needs=('size',)"])
def test_errors_in_a_users_function_name_it_as_a_recipe_does(tmp_path, needs):
    """`module:name`, whatever winnow calls the operator behind it."""
    body = f"@winnow.policy('odd'{needs})\ndef odd(seen, *, more=1.0):\n    return -seen.loss\n"
    (tmp_path / "mine_odd.py").write_text(f"import winnow\n\n\n{body}")
    fields = {"target": "mine_odd:odd", "options": {"more": 2.0}}
    policy = FunctionColumnPolicy(columns=("size",), **fields) if needs else FunctionPolicy(**fields)
    assert (policy.called(), policy.said()) == ("mine_odd:odd", "mine_odd:odd (more 2.0)")
    data = varied(tokens=300)
    run = run_of(policy, data, code=tmp_path)
    with pytest.raises(ContractError, match="weights that are negative") as error:
        loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    assert error.value.where == "mine_odd:odd"
    (found,) = policy_findings(policy, code=tmp_path)
    assert "(mine_odd:odd)" in found.message
