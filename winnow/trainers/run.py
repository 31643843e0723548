"""One training run: a selection and two seeds in, weights and bits per byte of held-out documents out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.ids import id_hex
from winnow.core.operators import Context, Exactness, Job, Kind, Resources, Source, port
from winnow.trainers import evaluate, loop, pack
from winnow.trainers.loop import Precision, Recipe
from winnow.trainers.model import Shape
from winnow.trainers.tokens import FILE, Encoder

WEIGHTS = "weights.npz"
LOSSES = "losses.npy"
DOCUMENTS = "documents.npz"


@dataclass(frozen=True, kw_only=True)
class Train(Job):
    """A small GPT trained on a selection, and its bits per byte on every target.

    Files: weights.npz, losses.npy (nats per token of every step), documents.npz (nats and bytes per held-out
    document, `{target}.nats` and `{target}.bytes`, in ascending doc_id). None of them is a pickle.

    Source: own; model and optimizer after modded-nanogpt (RoPE, QK-norm, ReLU^2, Muon)
    """

    name: ClassVar[str] = "train_gpt"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)

    init_seed: int
    order_seed: int
    tokens_per_run: int
    vocab: int
    width: int
    layers: int
    heads: int
    context: int
    batch: int
    lr_hidden: float
    lr_embedding: float
    lr_head: float
    warmup_share: float
    precision: Precision = "auto"
    selection: str = port("ref", default="")
    tokens: str = port("ref", default="")
    tokenizer: str = port("ref", default="")
    eval: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: steps, tokens, epochs, size of the selection, losses, and bits per byte per target."""
        shape, recipe = self._shape(), self._recipe()
        packed, documents = self._packed(ctx)
        model, losses = loop.fit(packed.rows, shape, recipe, init_seed=self.init_seed)
        loop.save(model, ctx.work / WEIGHTS)
        np.save(ctx.work / LOSSES, losses, allow_pickle=False)
        targets, arrays = self._evaluate(ctx, model)
        np.savez(ctx.work / DOCUMENTS, allow_pickle=False, **arrays)
        parameters, hidden = shape.parameters()
        return {
            "parameters": parameters,
            "hidden_parameters": hidden,
            "precision": loop.resolve_precision(self.precision),
            "steps": len(losses),
            "tokens": packed.num_tokens,
            "epochs": packed.epochs,
            "selection_documents": len(documents.doc_id),
            "selection_tokens": documents.num_tokens,
            "first_loss": float(losses[0]),
            "last_loss": float(losses[-min(len(losses), 20) :].mean()),
            "targets": targets,
        }

    def _packed(self, ctx: Context) -> tuple[pack.Packed, pack.Documents]:
        selection = ctx.ref("selection").frame("doc_id", where_kept=True)
        documents = pack.documents_of(selection, ctx.ref("tokens").frame("doc_id", "tokens"))
        steps = pack.steps_of(self.tokens_per_run, context=self.context, batch=self.batch)
        packed = pack.pack(
            documents,
            num_rows=steps * self.batch,
            context=self.context,
            end=self.vocab - 1,
            order_seed=self.order_seed,
        )
        return packed, documents

    def _evaluate(self, ctx: Context, model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """(metrics per target, arrays per document)."""
        encode = Encoder(ctx.ref("tokenizer").files()[FILE])
        targets: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        held_out: dict[str, Source] = ctx.refs["eval"]
        for label, source in held_out.items():
            held = evaluate.held_of(source.frame("doc_id", "text", where_kept=True), encode, target=label)
            nats = evaluate.document_nats(model, self._shape(), held, precision=self.precision)
            targets[label] = {
                "bits_per_byte": evaluate.bits_per_byte(nats, held.num_bytes),
                "documents": len(nats),
                "bytes": int(held.num_bytes.sum()),
                "tokens": len(held.ids),
                "first_document": id_hex(held.doc_id[0]),
            }
            arrays |= {f"{label}.nats": nats, f"{label}.bytes": held.num_bytes}
        return targets, arrays

    def _shape(self) -> Shape:
        return Shape(vocab=self.vocab, width=self.width, layers=self.layers, heads=self.heads, context=self.context)

    def _recipe(self) -> Recipe:
        return Recipe(
            batch=self.batch,
            lr_hidden=self.lr_hidden,
            lr_embedding=self.lr_embedding,
            lr_head=self.lr_head,
            warmup_share=self.warmup_share,
            precision=self.precision,
        )
