"""`token_losses`: the loss of every token of a pool under a trained model, stored once for the runs that weigh by it.

    known: {use: token_losses, inputs: docs, model: base}
    effect: {use: ablation, baseline: plain, arms: {tokens: {data: plain, policy: {use: rho_1, losses: known}}}, ...}

Sub-stages: `tokens` by the model's tokenizer, and `losses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.operators import Composite, Exactness, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.trainers.data.encoder import NARROW_VOCAB
from winnow.trainers.data.tokens import Tokens
from winnow.trainers.evaluate.gpt_token_losses import GptTokenLosses, Read, check_read
from winnow.trainers.model.held import Held, held


@dataclass(frozen=True, kw_only=True)
class TokenLosses(Read, Composite):
    """Loss in nats of every target of a pool under a trained model, for policies that compare a run with it (`rho_1`).

    Columns: `token_nats`, a loss (f32) for each of a document's tokens and its end mark, and `token_context`. A
    document is read from its beginning in windows of `context` targets, as a run of that context reads it with
    `packing: best_fit`; nothing before a window is seen. Null where the text is null.

    Raises: ConfigError where the stage holds no trained model.
    Cost: one forward pass over the pool; 4 bytes per target on disk.
    Source: reference losses of Rho-1 (Lin et al. 2024), section 2.2, computed once
    """

    name: ClassVar[str] = "token_losses"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")

    model: str = port("ref")

    def validate(self) -> None:
        """Raise ConfigError for a number out of its range."""
        check_read(self)

    def reference(self, stage: Sub, scope: Scope) -> Held:
        """Where the model's parts lie; `stage` is this one as it was declared."""
        return held(scope, stage.refs.get("model") or self.model, where="model")

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokens, and losses."""
        found = held(scope, self.model, where="model")
        wide = found.shape is None or found.shape.vocab > NARROW_VOCAB
        pool = scope.inputs[:1]
        return [
            Sub(name="tokens", operator=Tokens(wide=wide), inputs=pool, where=scope.where,
                refs={"tokenizer": found.tokenizer}),
            Sub(name="losses", operator=GptTokenLosses(**part_of(self, Read)), inputs=(*pool, ".tokens"),
                where=scope.where, refs={"run_of": found.model}),
        ]  # fmt: skip
