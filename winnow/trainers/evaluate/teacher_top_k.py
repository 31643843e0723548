"""`teacher_top_k`: what a teacher expects of every token of a pool, its likeliest entries, for runs that learn of it.

    labels: {use: teacher_top_k, inputs: docs, model: small, k: 16}
    effect: {use: ablation, baseline: plain, arms: {taught: {data: plain, policy: {use: salt, labels: labels}}}, ...}

Sub-stages: `tokens` by the teacher's tokenizer, and `labels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from winnow.core.operators import Composite, Exactness, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.trainers.data.encoder import NARROW_VOCAB
from winnow.trainers.data.tokens import Tokens
from winnow.trainers.evaluate.gpt_top_k import Entries, GptTopK, check_entries
from winnow.trainers.model.held import Held, held
from winnow.trainers.online.policy import MODEL


@dataclass(frozen=True, kw_only=True)
class TeacherTopK(Entries, Composite):
    """Soft labels of a pool: of every target the teacher's `k` likeliest entries, their probabilities, the tail's mass.

    Columns: `label_ids` (k ids per target, likeliest first), `label_probabilities` (f16) as many, `label_tail` (f16)
    one per target; targets are a document's tokens and its end mark. Probabilities are softmax(logits / temperature).
    A document is read from its beginning in windows of `context`, later ones behind `context - stride` of its tokens:
    other documents are never seen, and the windows do not depend on how a run packs. Null where the text is null.

    Raises: ConfigError where the stage holds no trained model, or `k` is more than its ids.
    Cost: one forward pass over the pool; 4 k + 2 bytes per target on disk (6 k + 2 above 65,536 ids).
    Source: stored top-k labels of Rawat et al. 2024 (SALT), with the tail kept as one bucket; own layout
    """

    name: ClassVar[str] = "teacher_top_k"
    stage_only: ClassVar[Mapping[str, str]] = {"model": MODEL}
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")

    model: str = port("ref")

    def validate(self) -> None:
        """Raise ConfigError for a number out of its range."""
        check_entries(self)

    def teacher(self, stage: Sub, scope: Scope) -> Held:
        """Where the teacher's parts lie; `stage` is this one as it was declared."""
        return held(scope, stage.refs.get("model") or self.model, where="model")

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokens, and labels."""
        found = held(scope, self.model, where="model")
        wide = found.shape is None or found.shape.vocab > NARROW_VOCAB
        pool = scope.inputs[:1]
        return [
            Sub(name="tokens", operator=Tokens(wide=wide), inputs=pool, where=scope.where,
                refs={"tokenizer": found.tokenizer}),
            Sub(name="labels", operator=GptTopK(wide=wide, **part_of(self, Entries)), inputs=(*pool, ".tokens"),
                where=scope.where, refs={"run_of": found.model}),
        ]  # fmt: skip
