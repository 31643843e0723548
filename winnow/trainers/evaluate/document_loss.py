"""`document_loss`: what a trained model makes of every document of a pool, as a column that selectors can rank by.

Sub-stages: `tokens` (in the ids of the model's tokenizer; those of its own pool are made once) and `losses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.operators import Composite, Exactness, Scope, Sub, port
from winnow.trainers.data.encoder import NARROW_VOCAB
from winnow.trainers.data.tokens import Tokens
from winnow.trainers.evaluate.document_losses import DocumentLosses, Measured
from winnow.trainers.model.held import held


@dataclass(frozen=True, kw_only=True)
class DocumentLoss(Measured, Composite):
    """Loss of each document under a trained model: `nats_per_token` (at least 0) or `bits_per_byte`; less is likelier.

    `model` is a `train` stage, a `model_file`, or a run of an ablation. Null for rows that `where` leaves out, and
    where a document has no text.

    Cost: one forward pass over the text.
    Source: own
    """

    name: ClassVar[str] = "document_loss"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")

    model: str = port("ref")

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokens, losses."""
        found = held(scope, self.model, where="model")
        wide = found.shape is None or found.shape.vocab > NARROW_VOCAB
        pool = scope.inputs[:1]
        tokens = Sub(name="tokens", operator=Tokens(wide=wide), inputs=pool, where=scope.where,
                     refs={"tokenizer": found.tokenizer})  # fmt: skip
        losses = DocumentLosses(measure=self.measure, precision=self.precision, device=self.device)
        return [
            tokens,
            Sub(name="losses", operator=losses, inputs=(*pool, ".tokens"), where=scope.where,
                refs={"run_of": found.model}),
        ]  # fmt: skip
