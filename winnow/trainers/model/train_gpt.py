"""One training run: a selection and two seeds in, weights and a loss curve out.

It knows nothing of targets and of other arms, so a new target or a new arm trains nothing again. A run whose loss
is no number does not stop the others: it is committed as failed, with the step, and its arm is reported so.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.operators import Context, Exactness, Job, Kind, Resources, Scope, Sub, port
from winnow.trainers.data import in_parts, pack
from winnow.trainers.data.batches import Batches
from winnow.trainers.data.mixed import Mixed
from winnow.trainers.data.pack import Documents, PackedBatches
from winnow.trainers.data.phases import Phased
from winnow.trainers.data.sequences import Interleaved
from winnow.trainers.model import loop, parallel
from winnow.trainers.model.chosen import Chosen
from winnow.trainers.model.continued import Continued, replayed, started
from winnow.trainers.model.device import resolve_device, resolve_precision
from winnow.trainers.model.distributed import Distributed
from winnow.trainers.model.held import Held
from winnow.trainers.model.milestones import Milestones, milestones
from winnow.trainers.model.policed import Policed, Teller, forget_labels, tell_documents, told_back
from winnow.trainers.model.start import WEIGHTS, Start
from winnow.trainers.model.training import Training
from winnow.trainers.online.policy_run import PolicyRun

__all__ = ["LOSSES", "WEIGHTS", "Train"]

LOSSES = "losses.npy"


@dataclass(frozen=True, kw_only=True)
class Train(Training, Continued, Chosen, Distributed, Policed, Job):
    """A small GPT trained on a selection.

    Files: weights.npz, losses.npy (nats per token of every step), point-000.npz, ... (weights along the way, as many as
    `curve` asks for). None of them is a pickle. `weighted` reads the
    selection's `weight`; `parts` train it in turn, each from a column of its own (phases, redraws); `gate`
    names a halving decision that may say that `arm` is not trained any more; `choice` one that says
    which of `cells` the run is, and so on which of `selections` it trains. With a `start` the first weights are
    those of a trained model and `init_seed` is not used; the optimiser is new, and the schedule is that of any run.
    With a `policy`, also policy.npz (per step: losses without its weights, effective sample sizes as shares) and, where
    it gives values of documents, weighs or mixes them, feedback.arrow; that is there with `loss_at` as well, with it
    step-00000100.npz, ... (weights at those steps).

    Source: own; model and optimizer after modded-nanogpt (RoPE, QK-norm, ReLU^2, Muon)
    """

    name: ClassVar[str] = "train_gpt"
    role: ClassVar[str] = "trainer"
    in_comparison: ClassVar[str] = "run"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    version: ClassVar[int] = 5
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)

    init_seed: int
    order_seed: int
    tokens_per_run: int
    weighted: bool = False
    parts: tuple[dict[str, Any], ...] = ()  # the fields of the selection's `TrainingPart`s; (): all of it is one
    arm: str = ""  # only where there is a gate
    selection: str = port("ref", default="")
    tokens: str = port("ref", default="")
    gate: str = port("ref", default="")

    def __post_init__(self) -> None:
        if self.workers > 1:  # what a task asks of a machine is said by its class, and this is a matter of a field
            asked = Resources(cpus=self.workers, memory_gb=1.5 * self.workers)
            object.__setattr__(self, "resources", asked)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: shape, steps, tokens, epochs, packing, size of the selection, losses; or why it was not trained.

        Raises:
            DataError: there is nothing to train on, or a checkpoint is broken or of other data.
        """
        if "gate" in ctx.refs and self.arm in ctx.ref("gate").result()["stopped"]:
            return {"stopped": ctx.ref("gate").result()["stopped"][self.arm]}
        if "choice" in ctx.refs:
            found = ctx.ref("choice").result()
            if found["chosen"] is None:
                return {"failed": found["why"]}
            run, at = self.chosen(ctx)
            return {**run.run(at), "cell": found["chosen"]}
        own, start = self.batches(ctx), self.begin(ctx, self.shape())
        batches, policy = self._policed(ctx, own)
        facts = {**self.facts(own), "plan": batches.digest, **started(ctx, start)}
        steps, every = batches.num_steps, self.save_every
        with milestones(ctx, steps, curve=self.curve, save_every=every, loss_at=self.loss_at) as saved:
            try:
                model, losses = self._trained(batches, start, saved, policy)
            except loop.DivergedError as error:
                return {**facts, "failed": error.what}
            finally:
                forget_labels(ctx)
            facts |= saved.keep(ctx.work, batches, self.shape(), init_seed=self.init_seed, start=start)
        if policy is not None and policy.record is not None:
            facts |= told_back(ctx, policy.policy, policy.record, policy.told.doc_id)
        facts |= batches.read() if isinstance(batches, Mixed) else {}
        record = None if policy is None else policy.record
        tell_documents(ctx, batches, record, asked=bool(self.loss_at))
        loop.save(model, ctx.work / WEIGHTS)
        np.save(ctx.work / LOSSES, losses, allow_pickle=False)
        return {**facts, "first_loss": float(losses[0]), "last_loss": float(losses[-min(len(losses), 20) :].mean())}

    def _trained(
        self, batches: Batches, start: Start | None, saved: Milestones, policy: PolicyRun | None
    ) -> tuple[Any, np.ndarray[Any, np.dtype[np.float64]]]:
        """The model and its losses: here, or on several processes."""
        how: dict[str, Any] = {"init_seed": self.init_seed, "machine": self.machine(), "start": start,
                               "checkpoints": saved.checkpoints(), "policy": policy}  # fmt: skip
        if self.workers == 1:
            return loop.fit(batches, self.shape(), self.recipe(), **how)
        return parallel.fit(batches, self.shape(), self.recipe(), workers=self.workers, launcher=self.launcher, **how)

    def held(self, stage: Sub, scope: Scope) -> Held:
        """Where the parts of its model lie."""
        tokens = scope.lookup(stage.refs["tokens"])
        read = stage.refs.get("selections") or {"": stage.refs["selection"]}
        return Held(model=stage.name, tokenizer=tokens.refs["tokenizer"], shape=self.shape(),
                    selections=tuple(dict.fromkeys(read.values())))  # fmt: skip

    def batches(self, ctx: Context) -> PackedBatches | Phased | Interleaved:
        """The selection in training order, in the parts that it is trained in, or mixed with what is replayed."""
        parts = in_parts.parts_of(self.parts)
        columns = in_parts.columns_of(parts) if parts else ("weight",) if self.weighted else ()
        selection = ctx.ref("selection").frame("doc_id", *columns, where_kept=True)
        tokens = ctx.ref("tokens").frame("doc_id", "tokens")
        fed = in_parts.Fed(
            context=self.context, batch=self.batch, end=self.vocab - 1, seed=self.order_seed, packing=self.packing,
            weighting=self.weighting,
        )  # fmt: skip
        if parts:
            return in_parts.phased(parts, selection, tokens, total=self.tokens_per_run, fed=fed)
        documents = pack.documents_of(selection, tokens)
        if "replay" in ctx.refs:
            return self.mixed(ctx, documents, fed, tokens=self.tokens_per_run)
        return fed.batches(self._fed(ctx, documents), tokens=self.tokens_per_run)

    def _teller(self, ctx: Context) -> Teller | None:
        policy = self.acts()
        if policy is None:
            return None
        return Teller(ctx=ctx, policy=policy, seed=self.order_seed, vocab=self.vocab, context=self.context,
                      batch=self.batch, parameters=self.shape().parameters()[0], precision=self.precision)  # fmt: skip

    def _fed(self, ctx: Context, documents: Documents) -> Documents:
        """The documents as the policy has them packed."""
        teller = self._teller(ctx)
        if teller is None or not teller.policy.feeds:
            return documents
        return teller.policy.feed(documents, teller.told(documents, steps=0))

    def _policed(self, ctx: Context, own: PackedBatches | Phased | Interleaved) -> tuple[Batches, PolicyRun | None]:
        """What is trained on, and the policy that acts on it."""
        teller = self._teller(ctx)
        return (own, None) if teller is None else teller.run(own)

    def facts(self, batches: PackedBatches | Phased | Interleaved) -> dict[str, Any]:
        """Metrics that are known before the first step; epochs, packing and selection are those of its own data."""
        parameters, hidden = self.shape().parameters()
        own = batches.sources[0] if isinstance(batches, Interleaved) else batches
        assert isinstance(own, PackedBatches | Phased)
        return {
            "shape": dataclasses.asdict(self.shape()),
            "parameters": parameters,
            "hidden_parameters": hidden,
            "operations": self.shape().operations(batches.num_tokens),
            "precision": resolve_precision(self.precision, device=resolve_device(self.device)),
            "steps": batches.num_steps,
            "tokens": batches.num_tokens,
            **in_parts.facts(own, in_parts.parts_of(self.parts)),
            **(replayed(batches, self.replay_share) if isinstance(batches, Interleaved) else {}),
            "plan": batches.digest,
            "init_seed": self.init_seed,
        }
