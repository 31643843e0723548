"""Weights in the Hugging Face Trainer: what it learns by, against the plain Trainer and gradients made by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.online.policy import Acting, Policy

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from winnow.trainers.hf.collators import PackingCollator, rows_collator  # noqa: E402
from winnow.trainers.hf.weighted_trainer import WeightedTrainer, weighted  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
VOCAB, LENGTH = 31, 12


def llama():
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCAB, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=64, use_cache=False, bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip


def texts(count: int, *, seed: int = 0, **more) -> list[dict]:
    """Samples as any Hugging Face data set has them: `labels` are still to be shifted."""
    draw = np.random.default_rng(seed)
    rows = draw.integers(0, VOCAB, (count, LENGTH)).tolist()
    return [{"input_ids": row, "labels": row, **{k: v[i] for k, v in more.items()}} for i, row in enumerate(rows)]


def train(folder, data, *, kind=WeightedTrainer, batch=4, accumulate=1, steps=3, resume=None, save=0, optimiser="adamw_torch",
          **more):  # fmt: skip
    """(trainer, losses of every step)."""
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=batch, learning_rate=1e-2,
        gradient_accumulation_steps=accumulate, logging_steps=1, lr_scheduler_type="constant", report_to=[], use_cpu=True,
        save_strategy="steps" if save else "no", save_steps=save or 500, disable_tqdm=True, optim=optimiser,
        dataloader_pin_memory=False, seed=0, max_grad_norm=0.0, per_device_eval_batch_size=batch,
        train_sampling_strategy="sequential",
    )  # fmt: skip
    trainer = kind(model=llama(), args=arguments, train_dataset=data, **more)
    trainer.train(resume_from_checkpoint=resume)
    return trainer, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def weights_of(trainer) -> np.ndarray:
    return np.concatenate([w.detach().numpy().ravel() for w in trainer.model.parameters()])


def logged(trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


@dataclass(frozen=True, kw_only=True)
class Tilt(Policy):
    """More weight for samples of high loss, and more at later steps."""

    name: ClassVar[str] = "tilt"
    seam: ClassVar = "weights"
    kind: ClassVar = None
    power: float = 1.0

    def begin(self, told):
        return Tilting(power=self.power, told=told)


class Tilting(Acting):
    weighs = True

    def __init__(self, *, power, told):
        self.power, self.told, self.steps = power, told, []

    def weigh(self, seen):
        self.steps.append(seen.step)
        if self.power == 0:
            return seen.rows.weights
        raised = (seen.loss - seen.loss.min()) * self.power * (1 + sum(self.steps))
        return seen.spread(np.exp(raised - raised.max()))

    def state(self):
        return {"steps": self.steps}

    def restore(self, state):
        self.steps = list(state["steps"])


def test_weights_of_one_are_the_plain_trainer(tmp_path):
    plain, losses = train(tmp_path / "a", texts(12), kind=transformers.Trainer)
    assert losses[-1] != losses[0]
    for more in ({}, {"weight": [1.0] * 12}, {"weights": [[1.0] * LENGTH] * 12}):
        own, found = train(tmp_path / "b", texts(12, **more))
        assert found == pytest.approx(losses, abs=1e-6)
        np.testing.assert_allclose(weights_of(own), weights_of(plain), atol=1e-6)
        assert logged(own, "unweighted_loss") == pytest.approx(losses, abs=1e-6)


def test_weights_of_zero_for_half_train_on_the_other_half(tmp_path):
    half = [sample for number, sample in enumerate(texts(12)) if number % 2]
    plain, losses = train(tmp_path / "a", half, kind=transformers.Trainer, batch=2)
    own, found = train(tmp_path / "b", texts(12, weight=[float(n % 2) for n in range(12)]))
    assert found == pytest.approx(losses, abs=1e-6)
    np.testing.assert_allclose(weights_of(own), weights_of(plain), atol=2e-6)
    whole, _ = train(tmp_path / "c", texts(12))
    assert np.abs(weights_of(own) - weights_of(whole)).max() > 1e-3


@pytest.mark.parametrize("policy", [None, Tilt(power=2.0)])
def test_two_micro_batches_of_two_are_one_of_four(tmp_path, policy):
    draw = np.random.default_rng(1)
    data = texts(12, weights=draw.uniform(0.2, 3, (12, LENGTH)).tolist())
    for number, sample in enumerate(data):  # the micro-batches have other numbers of targets
        sample["labels"] = [-100] * (number % 4 * 2) + sample["labels"][number % 4 * 2 :]
    one, losses = train(tmp_path / "a", data, batch=4, policy=policy, optimiser="sgd")
    two, found = train(tmp_path / "b", data, batch=2, accumulate=2, policy=policy, optimiser="sgd")
    assert found == pytest.approx(losses, abs=1e-6)
    np.testing.assert_allclose(weights_of(two), weights_of(one), atol=1e-7)
    assert logged(two, "unweighted_loss") == pytest.approx(logged(one, "unweighted_loss"), abs=1e-6)
    if policy is not None:
        plain, _ = train(tmp_path / "c", data, batch=4, optimiser="sgd")
        assert np.abs(weights_of(plain) - weights_of(one)).max() > 1e-4
        assert logged(two, "effective_share") == pytest.approx(logged(one, "effective_share"), abs=1e-5)
        assert max(logged(one, "effective_share")) < 0.999


def test_the_step_is_the_gradient_of_weight_times_nats_over_the_tokens(tmp_path):
    data = texts(4, weights=np.random.default_rng(1).uniform(0, 3, (4, LENGTH)).tolist())
    own, (loss,) = train(tmp_path, data, steps=1, optimiser="sgd")
    model = llama()
    ids = torch.tensor([sample["input_ids"] for sample in data])
    nats = torch.nn.functional.cross_entropy(
        model(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    weights = torch.tensor([sample["weights"] for sample in data])[:, :-1].flatten()  # of the target at each position
    whole = (nats * weights).sum() / (4 * (LENGTH - 1))
    whole.backward()
    assert loss == pytest.approx(float(whole.detach()), abs=1e-5)
    by_hand = np.concatenate([(w - 1e-2 * w.grad).detach().numpy().ravel() for w in model.parameters()])
    np.testing.assert_allclose(weights_of(own), by_hand, atol=1e-7)


def test_evaluation_is_not_weighted(tmp_path):
    held = texts(6, seed=5)
    weighed = texts(6, seed=5, weight=[0.0, 5.0, 1.0, 1.0, 0.5, 2.0])
    plain, _ = train(tmp_path / "a", texts(12), kind=transformers.Trainer)
    own, _ = train(tmp_path / "b", texts(12), policy=Tilt(power=0.0))
    expected = plain.evaluate(held)["eval_loss"]
    for data in (held, weighed):
        assert own.evaluate(data)["eval_loss"] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_array_equal(weights_of(own), weights_of(train(tmp_path / "c", texts(12))[0]))


def test_a_policy_s_state_lies_in_the_checkpoint_and_another_policy_is_refused(tmp_path):
    whole, losses = train(tmp_path / "a", texts(12), policy=Tilt(power=2.0), steps=3, save=2)
    at = tmp_path / "a" / "checkpoint-2"
    assert json.loads((at / "winnow_policy.json").read_text())["state"] == {"steps": [0, 1]}
    again, rest = train(tmp_path / "b", texts(12), policy=Tilt(power=2.0), steps=3, resume=str(at))
    assert again.policy.acting.steps == whole.policy.acting.steps == [0, 1, 2]
    assert rest == pytest.approx(losses, abs=1e-6)
    np.testing.assert_array_equal(weights_of(again), weights_of(whole))
    for other in (None, Tilt(power=1.0)):
        with pytest.raises(DataError, match=r"trained under tilt\(power=2.0\)"):
            train(tmp_path / "c", texts(12), policy=other, resume=str(at))


def test_documents_are_packed_and_masked(tmp_path):
    draw = np.random.default_rng(2)
    documents = [{"input_ids": draw.integers(0, VOCAB, n).tolist(), "weight": w}
                 for n, w in ((9, 1.0), (4, 0.5), (5, 2.0), (30, 1.0), (2, 0.0))]  # fmt: skip
    batch = PackingCollator(context=12)(documents)
    real = batch["segments"] >= 0
    assert int(real.sum()) == sum(len(d["input_ids"]) - 1 for d in documents) == int((batch["labels"] >= 0).sum())
    assert batch["input_ids"].shape == (4, 12)
    assert sorted({int(n) for n in batch["documents"][real]}) == [0, 1, 2, 3, 4]
    assert int(batch["segments"].max()) >= 1
    given = weighted(batch)
    model = llama().eval()
    total = 0.0
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits
        packed = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), given["shift_labels"].flatten(), reduction="none"
        )
        for document in documents:
            ids = torch.tensor(document["input_ids"])
            for at in range(0, len(ids) - 1, 12):
                inputs, targets = ids[:-1][at : at + 12], ids[1:][at : at + 12]
                nats = torch.nn.functional.cross_entropy(model(inputs[None]).logits[0], targets, reduction="sum")
                total += document["weight"] * float(nats)
    assert float((packed * given["weights"].flatten()).sum()) == pytest.approx(total, rel=1e-5)
    trainer, losses = train(
        tmp_path, [*documents, *documents], batch=5, steps=2, data_collator=PackingCollator(context=12)
    )
    assert len(losses) == 2
    assert trainer.args.remove_unused_columns, "and yet the collator gets the weights"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"weight": [1.0, -1.0, 1.0, 1.0]}, "12 of 48 weights are negative"), ({"weight": [float("nan")] * 4}, "no numbers"),
        ({"weights": [[1.0] * 5] * 4}, r"\[4, 5\] for targets of \[4, 12\]"),
    ],
)  # fmt: skip
def test_bad_weights_are_refused_with_their_number(tmp_path, change, what):
    with pytest.raises(DataError, match=what):
        train(tmp_path, texts(4, **change), steps=1)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(DataError, match="no 'ids'"):
        rows_collator([{"input_ids": torch.zeros(3), "targets": torch.zeros(3)}])
    with pytest.raises(DataError, match="neither `ids` nor `input_ids`"):
        PackingCollator(context=4)([{"text": "a"}])
    with pytest.raises(DataError, match="none of 1 documents"):
        PackingCollator(context=4)([{"input_ids": [3]}])
    with pytest.raises(DataError, match="document 0 of the batch has the weight -1"):
        PackingCollator(context=4)([{"input_ids": [3, 4], "weight": -1}])
    with pytest.raises(ConfigError, match="context is 0"):
        PackingCollator(context=0)
    with pytest.raises(ConfigError, match="the loss is made here"):
        train(tmp_path, texts(4), compute_loss_func=lambda *a, **k: 0)
    for wrong, what in (
        ({"seam": "mixture"}, "acts on mixture"),
        ({"texts": ("held",)}, "needs columns, texts or models"),
    ):
        kind = type("Other", (Tilt,), wrong)
        with pytest.raises(ConfigError, match=what):
            train(tmp_path, texts(4), policy=kind())
