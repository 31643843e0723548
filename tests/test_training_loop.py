"""The training step: masking, weights, accumulation, optimisers, checkpoints, branches, warm bodies."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data import pack
from winnow.trainers.data.sequences import Branch, Interleaved, PlainRows
from winnow.trainers.model import checkpoint, head, loop, warm
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.device import Machine
from winnow.trainers.model.initialise import build
from winnow.trainers.model.loop import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import shape_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
SHAPE = Shape(vocab=60, width=16, layers=2, heads=2, context=24)
RECIPE = Recipe(precision="fp32", batch=4)
END = SHAPE.vocab - 1


def id_of(name: object) -> bytes:
    return hashlib.blake2b(str(name).encode(), digest_size=16).digest()


def documents(lengths: list[int], *, seed: int = 1, weights: list[float] | None = None) -> pack.Documents:
    generator = np.random.Generator(np.random.Philox(key=seed))
    ids = [generator.integers(0, END, size=n).tolist() for n in lengths]
    frame = pl.DataFrame(
        {"doc_id": [id_of((seed, i)) for i in range(len(lengths))], "tokens": pl.Series(ids, dtype=pl.List(pl.UInt16))}
    )
    made = pack.documents_of(frame.select("doc_id"), frame)
    if weights is None:
        return made
    given = dict(zip(frame["doc_id"], weights, strict=True))
    return dataclasses.replace(made, weights=np.array([given[d] for d in made.doc_id]))


def packed(made: pack.Documents, *, tokens: int | None = None, batch: int = 4, seed: int = 0) -> pack.PackedBatches:
    tokens = made.num_tokens if tokens is None else tokens
    return pack.batches_of(made, context=SHAPE.context, batch=batch, tokens=tokens, end=END, seed=seed)


def varied(count: int = 60, **options) -> pack.PackedBatches:
    lengths = np.random.Generator(np.random.Philox(key=5)).integers(1, 30, size=count).tolist()
    return packed(documents(lengths), **options)


def plain(steps: int, *, seed: int = 1, most: int = 40, batch: int = 4) -> PlainRows:
    generator = np.random.Generator(np.random.Philox(key=seed))
    ids = generator.integers(0, most, size=(steps * batch, SHAPE.context + 1)).astype(np.uint16)
    return PlainRows(rows=ids, batch_rows=batch)


def equal(one, two) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def bits(fitted) -> tuple[bytes, bytes]:
    model, losses = fitted
    return b"".join(w.detach().numpy().tobytes() for w in model.parameters()), losses.tobytes()


def random_model(seed: int = 3):
    model = build(SHAPE, init_seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if name != "embedding.weight":
                weight.normal_(0.0, 0.2, generator=generator)
    return model


@pytest.mark.parametrize("way", ["written", "fused"])
def test_the_masked_loss_of_packed_documents_is_that_of_the_documents_alone(way):
    model, made = random_model(), documents([3, 9, 1, 20, 14, 6, 40, 23, 11])
    model.attention = way
    batches = packed(made, batch=3)
    assert any((batches.batch(step).segments > 0).any() for step in range(batches.num_steps))
    together = 0.0
    for step in range(batches.num_steps):
        rows = batches.batch(step)
        with torch.no_grad():
            logits = model(torch.from_numpy(rows.ids), torch.from_numpy(rows.segments)).flatten(0, 1)
        nats = torch.nn.functional.cross_entropy(logits, torch.from_numpy(rows.targets).flatten(), reduction="none")
        together += float((nats * torch.from_numpy(rows.weights).flatten()).double().sum())
    alone = 0.0
    for k in range(len(made.doc_id)):
        ids = [END, *made.tokens[made.offsets[k] : made.offsets[k + 1]].tolist(), END]
        for start in range(0, len(ids) - 1, SHAPE.context):  # a long document is cut into pieces of the context
            piece = torch.tensor([ids[start : start + SHAPE.context + 1]])
            with torch.no_grad():
                logits = model(piece[:, :-1])[0]
            alone += float(torch.nn.functional.cross_entropy(logits, piece[0, 1:], reduction="sum"))
    assert together / made.num_tokens == pytest.approx(alone / made.num_tokens, abs=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_both_ways_of_attention_give_equal_outputs_and_gradients(masked):
    rows = varied(batch=6).batch(0)
    segments = torch.from_numpy(rows.segments) if masked else None
    found = {}
    for way in ("written", "fused"):
        model = random_model()
        model.attention = way
        hidden = model.hidden(torch.from_numpy(rows.ids), segments)
        hidden.square().mean().backward()
        found[way] = (hidden.detach(), [w.grad for w in model.parameters() if w.grad is not None])
    assert torch.allclose(found["written"][0], found["fused"][0], atol=1e-5)
    for a, b in zip(found["written"][1], found["fused"][1], strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_a_document_does_not_see_its_neighbour_in_the_row():
    model, segments = random_model(), torch.tensor([[0] * 5 + [1] * 7 + [-1] * 4])
    ids = torch.randint(0, END, (1, 16), generator=torch.Generator().manual_seed(1))
    changed = ids.clone()
    changed[0, 2] = (ids[0, 2] + 1) % END
    with torch.no_grad():
        one, two = model(ids, segments), model(changed, segments)
        assert torch.equal(one[:, 5:], two[:, 5:])
        assert not torch.allclose(one[:, 2:5], two[:, 2:5])
        assert not torch.allclose(model(ids)[:, 5:], model(changed)[:, 5:])


def head_inputs(tokens: int = 200):
    generator = torch.Generator().manual_seed(1)
    x, weight = (torch.randn(n, 24, generator=generator).requires_grad_() for n in (tokens, 300))
    return x, weight, torch.randint(0, 300, (tokens,), generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_of_one_are_no_weights_bit_for_bit(dtype):
    x, weight, target = head_inputs()
    space = head.Workspace(300, dtype=dtype)
    without = head.head_loss(x, weight, target, workspace=space)
    ones = head.head_loss(x, weight, target, workspace=space, weights_N=torch.ones(200), num_tokens=200)
    assert torch.equal(without, ones)
    for a, b in zip(torch.autograd.grad(without, (x, weight)), torch.autograd.grad(ones, (x, weight)), strict=True):
        assert torch.equal(a, b)


def test_the_head_has_the_loss_and_gradients_of_weighted_cross_entropy_with_z_loss():
    x, weight, target = head_inputs()
    weights = torch.tensor([0.0, 50.0, 1.0, 0.25] * 50)
    space = head.Workspace(300, dtype=torch.float32)
    ours = head.head_loss(x, weight, target, workspace=space, weights_N=weights, num_tokens=150, z_loss=0.01)
    logits = x @ weight.T
    nats = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    assert ours.item() == pytest.approx(float((nats * weights).detach().sum() / 150), rel=1e-5)
    whole = ((nats + 0.01 * torch.logsumexp(logits, 1).square()) * weights).sum() / 150
    for a, b in zip(torch.autograd.grad(ours, (x, weight)), torch.autograd.grad(whole, (x, weight)), strict=True):
        assert torch.allclose(a, b, atol=1e-5, rtol=1e-4)


def gradients(batches, machine: Machine, *, step: int = 0) -> tuple[float, list]:
    shape = SHAPE
    with warm.body(shape, RECIPE, machine, init_seed=1) as body:
        with torch.no_grad():
            for mine, other in zip(body.model.parameters(), random_model().parameters(), strict=True):
                mine.copy_(other)
        run = loop.Run(data=batches, recipe=RECIPE, machine=machine, init_seed=1, body=body, step=step)
        loss = float(run._backward(None))
        return loss, [w.grad.clone() for w in body.model.parameters()]


def test_the_loop_trains_on_the_masked_and_weighted_loss():
    batches = Weighted(varied(batch=6), 3.0)
    rows, model = batches.batch(1), random_model()
    assert (rows.segments > 0).any()
    with torch.no_grad():
        logits = model(torch.from_numpy(rows.ids), torch.from_numpy(rows.segments)).flatten(0, 1)
    nats = torch.nn.functional.cross_entropy(logits, torch.from_numpy(rows.targets).flatten(), reduction="none")
    wanted = float((nats * torch.from_numpy(rows.weights).flatten()).sum()) / batches.step_tokens(1)
    assert gradients(batches, Machine(), step=1)[0] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("micro", [1, 2, 3])
def test_forward_passes_of_unequal_tokens_sum_to_the_gradient_of_one(micro):
    batches = varied(batch=7)
    last = batches.num_steps - 1
    real = (batches.batch(last).weights > 0).sum(axis=1)
    assert len(set(real.tolist())) > 1
    loss, whole = gradients(batches, Machine(), step=last)
    again, parts = gradients(batches, Machine(micro_rows=micro), step=last)
    assert again == pytest.approx(loss, rel=1e-6)
    for a, b in zip(whole, parts, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@dataclasses.dataclass
class Weighted:
    """Batches whose document 1 has a weight of its own."""

    inner: pack.PackedBatches
    weight: float

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def batch(self, step, **where):
        rows = self.inner.batch(step, **where)
        weights = np.where(rows.documents == 1, np.float32(self.weight), rows.weights) * (rows.weights > 0)
        return dataclasses.replace(rows, weights=weights.astype(np.float32))


def test_a_document_of_weight_zero_teaches_nothing_and_one_of_weight_fifty_fifty_times_as_much():
    batches = packed(documents([10, 12, 9, 15, 8]), batch=8)
    one, none, fifty = (gradients(Weighted(batches, weight), Machine())[1] for weight in (1.0, 0.0, 50.0))
    for a, b, c in zip(one, none, fifty, strict=True):
        assert torch.allclose(b + 50 * (a - b), c, atol=2e-5)
        assert not torch.allclose(a, b, atol=1e-6)
    assert gradients(batches, Machine())[1][0].equal(one[0])


def test_equal_weights_of_documents_are_no_weights_bit_for_bit():
    lengths = np.random.Generator(np.random.Philox(key=5)).integers(1, 30, size=40).tolist()
    found = {
        bits(loop.fit(packed(documents(lengths, weights=w)), SHAPE, RECIPE, init_seed=1))
        for w in (None, [1.0] * 40, [3.0] * 40)
    }
    assert len(found) == 1


def test_a_single_document_and_one_longer_than_the_context_train():
    for lengths in ([1], [200]):
        batches = packed(documents(lengths), tokens=300)
        losses = loop.fit(batches, SHAPE, RECIPE, init_seed=1)[1]
        assert len(losses) == batches.num_steps
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_weight_decay_pulls_hidden_weights_towards_zero(optimizer):
    norms = []
    for decay in (0.0, 3.0):
        recipe = dataclasses.replace(RECIPE, optimizer=optimizer, weight_decay=decay)
        model = loop.fit(plain(30), SHAPE, recipe, init_seed=1)[0]
        norms.append(
            float(sum(w.detach().square().sum() for n, w in model.named_parameters() if n.startswith("blocks.")))
        )
    assert norms[1] < 0.97 * norms[0]


def test_adamw_alone_takes_the_steps_of_torch_s():
    recipe = dataclasses.replace(RECIPE, optimizer="adamw", schedule="constant", warmup_share=0.0, clip=1e9)
    data, reference = plain(5), build(SHAPE, init_seed=1)
    adam = torch.optim.AdamW(reference.parameters(), lr=recipe.lr_adamw, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(5):
        rows = data.batch(step)
        logits = reference(torch.from_numpy(rows.ids)).flatten(0, 1)
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(rows.targets).flatten()).backward()
        adam.step()
        adam.zero_grad()
    model = loop.fit(data, SHAPE, recipe, init_seed=1)[0]
    for a, b in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-5)


def test_a_diverged_run_says_at_which_step_and_rate_and_the_next_one_is_not_harmed():
    good = bits(loop.fit(plain(20), SHAPE, RECIPE, init_seed=1))
    with pytest.raises(
        loop.DivergedError, match=r"the loss is (nan|inf) at step \d+ of 20, learning rate 0\.0"
    ) as told:
        loop.fit(plain(20), SHAPE, dataclasses.replace(RECIPE, lr_embedding=1e38), init_seed=1)
    assert "lower the learning rates" in told.value.hint
    assert bits(loop.fit(plain(20), SHAPE, RECIPE, init_seed=1)) == good


def test_a_used_body_trains_like_a_new_one():
    warm.forget()
    first = loop.fit(plain(20), SHAPE, RECIPE, init_seed=1)
    kept = bits(first)
    second = loop.fit(plain(20, seed=2), SHAPE, RECIPE, init_seed=2)
    assert bits(first) == kept, "a later run must not touch an earlier run's model"
    used = bits(loop.fit(plain(20), SHAPE, RECIPE, init_seed=1))
    warm.forget()
    assert used == kept
    assert bits(loop.fit(plain(20, seed=2), SHAPE, RECIPE, init_seed=2)) == bits(second)


def test_deterministic_mode_gives_the_same_bits():
    data = varied(tokens=2000)
    wanted = bits(loop.fit(data, SHAPE, RECIPE, init_seed=1))
    assert bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, machine=Machine(deterministic=True))) == wanted
    assert not torch.are_deterministic_algorithms_enabled()


class KilledError(Exception):
    """Stands for a kill."""


def killed_at(step: int):
    def watch(now: int, model: object) -> None:
        raise KilledError(now)

    return {"watch": watch, "watch_at": (step,)}


@pytest.mark.parametrize("options", [{}, {"optimizer": "adamw", "weight_decay": 0.1}, {"precision": "bf16"}])
def test_killed_at_five_points_a_run_goes_on_to_the_same_curve_and_weights(tmp_path, options):
    recipe, data = dataclasses.replace(RECIPE, **options), varied(count=80, tokens=2400)
    at = checkpoint.stops(data.num_steps, 5)
    wanted = bits(loop.fit(data, SHAPE, recipe, init_seed=1))
    folder = Folder(path=tmp_path / "run")
    for step in (0, 3, 7, 14, data.num_steps - 2):
        with pytest.raises(KilledError):
            loop.fit(data, SHAPE, recipe, init_seed=1, checkpoints=Checkpoints(step=folder, at=at), **killed_at(step))
        assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]
    trained = []
    fitted = loop.fit(
        data, SHAPE, recipe, init_seed=1, checkpoints=Checkpoints(step=folder, at=at),
        watch=lambda step, model: trained.append(step), watch_at=tuple(range(data.num_steps)),
    )  # fmt: skip
    assert bits(fitted) == wanted
    assert trained[0] == 5 * ((data.num_steps - 2) // 5)
    again = loop.fit(data, SHAPE, recipe, init_seed=1, checkpoints=Checkpoints(step=folder, at=at))
    assert bits(again) == wanted


@pytest.mark.slow
def test_a_killed_process_leaves_whole_checkpoints_and_the_rerun_has_the_same_bits(tmp_path):
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[3])
        import test_training_loop as t
        data = t.varied(count=80, tokens=2400)
        kill = int(sys.argv[2])
        watch = {"watch": lambda s, m: os.kill(os.getpid(), signal.SIGKILL), "watch_at": (kill,)} if kill >= 0 else {}
        plan = t.Checkpoints(step=t.Folder(path=Path(sys.argv[1])), at=t.checkpoint.stops(data.num_steps, 4))
        model, losses = t.loop.fit(data, t.SHAPE, t.RECIPE, init_seed=1, checkpoints=plan, **watch)
        print(losses.tobytes().hex())
        """
    )

    def start(kill: int) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "run"), str(kill), str(Path(__file__).parent)],
            capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip

    for kill in (2, 9, 13):
        assert start(kill).returncode == -signal.SIGKILL
    done = start(-1)
    assert done.returncode == 0, done.stderr
    wanted = loop.fit(varied(count=80, tokens=2400), SHAPE, RECIPE, init_seed=1)[1]
    assert done.stdout.strip() == wanted.tobytes().hex()


@pytest.fixture
def half_done(tmp_path):
    data, folder = plain(12), Folder(path=tmp_path / "run", keep=0)
    with pytest.raises(KilledError):
        loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=Checkpoints(step=folder, at=(4, 8, 12)), **killed_at(9))
    return data, folder


def test_a_checkpoint_holds_no_pickle(half_done):
    _, folder = half_done
    files = sorted(p.name for p in folder.latest().iterdir())
    assert files == ["optimizer.safetensors", "state.json", "weights.safetensors"]
    assert checkpoint.read_state(folder.latest())["step"] == 8


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["missing", "torn", "other"])
def test_a_missing_torn_or_changed_file_is_named_and_removing_the_checkpoint_helps(half_done, name, harm):
    data, folder = half_done
    path = folder.latest() / name
    raw = path.read_bytes()
    path.unlink()
    if harm != "missing":
        path.write_bytes(raw[: len(raw) // 2] if harm == "torn" else raw[:-9] + b"x" + raw[-8:])
    plan = Checkpoints(step=folder, at=(4, 8, 12))
    if (name, harm) == ("state.json", "other"):
        path.write_bytes(b'{"step": 8}')
    with pytest.raises(DataError) as told:
        loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=plan)
    assert name in told.value.what
    assert told.value.where == str(folder.path / "trained-00000008")
    shutil.rmtree(told.value.where)
    fitted = loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=plan)
    assert bits(fitted) == bits(loop.fit(data, SHAPE, RECIPE, init_seed=1))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": plain(12, seed=7)}, "its data are"),
        ({"recipe": dataclasses.replace(RECIPE, lr_hidden=0.03)}, "lr_hidden was 0.02, not 0.03"),
        ({"recipe": dataclasses.replace(RECIPE, optimizer="adamw")}, "optimizer was 'muon', not 'adamw'"),
        ({"recipe": dataclasses.replace(RECIPE, warmup_share=0.5)}, "learning rate at step 0"),
        ({"recipe": dataclasses.replace(RECIPE, schedule="constant")}, "learning rate at step 1"),
        ({"init_seed": 2}, "its seed differs"),
        ({"shape": dataclasses.replace(SHAPE, layers=1)}, "layers was 2, not 1"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(half_done, changed, said):
    data, folder = half_done
    given = {"data": data, "shape": SHAPE, "recipe": RECIPE, "init_seed": 1} | changed
    with pytest.raises(DataError, match=said):
        loop.fit(**given, checkpoints=Checkpoints(step=folder, at=(4, 8, 12)))


def test_a_checkpoint_is_of_a_run_whose_learning_rates_were_equal_up_to_its_last_step(tmp_path):
    data, at = plain(12), (4, 8, 12)
    steady = dataclasses.replace(RECIPE, schedule="constant")
    folder = Folder(path=tmp_path / "run", keep=0)
    with pytest.raises(KilledError):
        loop.fit(data, SHAPE, steady, init_seed=1, checkpoints=Checkpoints(step=folder, at=at), **killed_at(9))
    early, late = (dataclasses.replace(RECIPE, schedule="wsd", decay_share=steps / 12) for steps in (6, 5))
    with pytest.raises(DataError, match="learning rate at step 7"):  # of the eight that the checkpoint has behind it
        loop.fit(data, SHAPE, early, init_seed=1, checkpoints=Checkpoints(step=folder, at=at))
    fitted = loop.fit(data, SHAPE, late, init_seed=1, checkpoints=Checkpoints(step=folder, at=at))
    assert bits(fitted) == bits(loop.fit(data, SHAPE, late, init_seed=1))


def test_old_checkpoints_lose_their_tensors_and_are_still_known_as_done(tmp_path):
    data, folder = plain(12), Folder(path=tmp_path, keep=2)
    plan = Checkpoints(step=folder, at=checkpoint.stops(12, 2))
    fitted = loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=plan)
    whole = [p.name for p in sorted(tmp_path.iterdir()) if (p / "weights.safetensors").exists()]
    assert whole == ["trained-00000010", "trained-00000012"]
    assert bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=plan)) == bits(fitted)


@pytest.mark.parametrize("kind", ["wsd", "infinite"])
def test_branches_from_a_trunk_s_checkpoint_are_the_runs_from_scratch(tmp_path, kind):
    trunk_recipe = dataclasses.replace(RECIPE, schedule="constant" if kind == "wsd" else kind, final_lr=0.01)
    recipe = dataclasses.replace(trunk_recipe, schedule=kind)
    trunk, folder = plain(20), Folder(path=tmp_path, keep=0)
    loop.fit(trunk, SHAPE, trunk_recipe, init_seed=1, checkpoints=Checkpoints(step=folder, at=(8, 14)))
    curves = []
    for at, seed in ((8, 5), (14, 5), (14, 6)):
        branch = Branch(trunk=trunk, at=at, own=plain(6, seed=seed), decay=4)
        start = folder.path / f"trained-{at:08d}"
        trained = []
        fitted = loop.fit(
            branch, SHAPE, recipe, init_seed=1, checkpoints=Checkpoints(step=folder, start=start),
            watch=lambda step, model, trained=trained: trained.append(step), watch_at=tuple(range(30)),
        )  # fmt: skip
        assert trained == list(range(at, at + 7))
        assert bits(fitted) == bits(loop.fit(branch, SHAPE, recipe, init_seed=1))
        curves.append(fitted[1])
    assert np.array_equal(curves[1][:14], curves[2][:14])
    assert not np.array_equal(curves[1][15:], curves[2][15:])
    late = Branch(trunk=trunk, at=8, own=plain(12, seed=5))
    seen_more = Checkpoints(step=folder, start=folder.path / "trained-00000014")  # six steps that are not in `late`
    with pytest.raises(DataError, match="its data are"):
        loop.fit(late, SHAPE, recipe, init_seed=1, checkpoints=seen_more)


def test_a_job_s_committed_steps_are_checkpoints(tmp_path):
    """`Context.step` has the form that `Checkpoints.step` wants: make once, find again."""
    made = []

    def step(name, make):
        folder = tmp_path / name
        if not folder.exists():
            folder.mkdir()
            make(folder)
            made.append(name)
        return folder

    plan = Checkpoints(step=step, at=(4, 8))
    data = plain(12)
    with pytest.raises(KilledError):
        loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=plan, **killed_at(9))
    fitted = loop.fit(data, SHAPE, RECIPE, init_seed=1, checkpoints=plan)
    assert made == ["trained-00000004", "trained-00000008"]
    assert bits(fitted) == bits(loop.fit(data, SHAPE, RECIPE, init_seed=1))


def bigrams(count: int, *, turn: int, seed: int) -> PlainRows:
    """Single rows of a domain (marked by its first token) where `turn` x a + 1 mod 37 follows a, nine times of ten."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    ids = np.full((count, SHAPE.context + 1), 40 + turn, dtype=np.int64)
    ids[:, 1] = generator.integers(0, 37, count)
    for k in range(2, ids.shape[1]):
        lot = generator.random(count) < 0.1
        ids[:, k] = np.where(lot, generator.integers(0, 37, count), (turn * ids[:, k - 1] + 1) % 37)
    return PlainRows(rows=ids.astype(np.uint16), batch_rows=1)


def test_without_replay_the_old_domain_is_forgotten_and_with_it_it_is_kept():
    shape, recipe = (
        dataclasses.replace(SHAPE, width=32),
        dataclasses.replace(RECIPE, schedule="constant", lr_hidden=0.01),
    )
    old = Interleaved(sources=(bigrams(400, turn=2, seed=1), bigrams(400, turn=3, seed=4)), batch_rows=8)
    held = bigrams(32, turn=2, seed=9).rows.astype(np.int64)

    def old_loss(model) -> float:
        with torch.no_grad():
            logits = model(torch.from_numpy(held[:, :-1])).flatten(0, 1)
        return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(held[:, 1:]).flatten()))

    new, again = bigrams(160, turn=5, seed=2), bigrams(160, turn=2, seed=3)
    before, after = [], []
    for sources in ((new,), (new, again, bigrams(160, turn=3, seed=6))):
        branch = Branch(trunk=old, at=100, own=Interleaved(sources=sources, batch_rows=8), decay=0)
        watch = {"watch": lambda step, model: before.append(old_loss(model)), "watch_at": (100,)}
        after.append(old_loss(loop.fit(branch, shape, recipe, init_seed=1, **watch)[0]))
    assert before[0] == before[1] < 1.5
    assert after[0] > before[0] + 1
    assert after[1] < before[1] + 0.1


def test_settings_that_cannot_run_are_refused():
    for wrong in (Machine(threads=0), Machine(micro_rows=-1)):
        with pytest.raises(ConfigError):
            wrong.check()
    for field, value in (("z_loss", -1.0), ("weight_decay", -0.1), ("lr_adamw", 0.0), ("batch", 0), ("clip", 0.0)):
        with pytest.raises(ConfigError) as told:
            dataclasses.replace(RECIPE, **{field: value}).check()
        assert told.value.where == field
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no GPU"):
            loop.fit(plain(2), SHAPE, RECIPE, init_seed=1, machine=Machine(device="cuda"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself, while it compiles
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_run_agrees_with_a_plain_one_and_is_compiled_once(precision):
    if shutil.which("g++") is None and not torch.cuda.is_available():
        pytest.skip("torch.compile needs a C++ compiler")
    data, machine, recipe = (
        varied(tokens=1500),
        Machine(compiled=True),
        dataclasses.replace(RECIPE, precision=precision),
    )
    plain_losses = loop.fit(data, SHAPE, recipe, init_seed=1)[1]
    compiled = loop.fit(data, SHAPE, recipe, init_seed=1, machine=machine)
    assert compiled[1] == pytest.approx(plain_losses, abs=2e-3 if precision == "fp32" else 2e-2)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert bits(loop.fit(data, SHAPE, recipe, init_seed=1, machine=machine)) == bits(compiled)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision", "steps"),
    [("15M", "fp32", 3), ("30M", "fp32", 3), ("60M", "fp32", 3), ("60M", "bf16", 3), ("124M", "bf16", 3), ("350M", "bf16", 2)],
)  # fmt: skip
def test_every_large_size_trains_a_few_steps(tmp_path, name, precision, steps):
    """Named shapes above the screening size on short rows: both passes, both optimisers, and up to 60M a checkpoint."""
    shape = shape_of(name)
    draw = np.random.Generator(np.random.Philox(key=1))
    rows = np.tile(draw.integers(0, END, size=(1, 33)).astype(np.uint16), (2 * steps, 1))
    recipe = Recipe(batch=2, precision=precision, schedule="constant", warmup_share=0.0, lr_hidden=5e-3)
    plan = Checkpoints(step=Folder(path=tmp_path / "run"), at=(2,)) if steps == 3 and name != "124M" else None
    model, losses = loop.fit(rows, shape, recipe, init_seed=1, checkpoints=plan)
    assert losses[0] == pytest.approx(np.log(shape.vocab), rel=1e-2)
    assert losses[-1] < losses[0] - 0.5, "one row again and again is learned"
    assert sum(w.numel() for w in model.parameters()) == shape.parameters()[0]
    warm.forget()
    if plan is not None:
        assert (loop.fit(rows, shape, recipe, init_seed=1, checkpoints=plan)[1] == losses).all()
    warm.forget()
