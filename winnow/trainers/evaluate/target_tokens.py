"""A target in the ids of the measuring tokenizer, for any number of models."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.operators import Context, Job, Kind, Resources, port
from winnow.core.words.token_ids import slow_remarks
from winnow.trainers.data.encoder import FILE, Encoder
from winnow.trainers.evaluate import suites
from winnow.trainers.evaluate.target_sample import within


@dataclass(frozen=True, kw_only=True)
class TargetTokens(Job):
    """A target in the measuring tokenizer's ids, made once for all models that are evaluated on it.

    Source: own
    """

    name: ClassVar[str] = "target_tokens"
    role: ClassVar[str] = "trainer"
    version: ClassVar[int] = 4  # 4: a tokenizer's own truncation, padding and dropout are not applied
    kind: ClassVar[Kind] = Kind.ARTEFACT
    texts_of: ClassVar[tuple[str, ...]] = ("target",)
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    most_bytes: int = 0  # a keyed sample of items that reads about so much text; 0: all
    target: str = port("ref", default="")  # rows, or a `target_file`
    tokenizer: str = port("ref", default="")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write target.npz; metrics: kind, items, tokens, bytes, digest.

        Raises:
            DataError: the target has no text.
        """
        suite = suites.suite_of(ctx.ref("target"))
        items = len(suite)
        if self.most_bytes:
            suite = suites.take(suite, within(suite, self.most_bytes))
        encode = Encoder(ctx.ref("tokenizer").files()[FILE])
        tokenised = suites.tokenise(suite, encode)
        for line in slow_remarks(encode.counted):
            ctx.remark(line)
        if len(suite) < items:
            tokenised = dataclasses.replace(tokenised, items_found=items)
        suites.save_tokens(tokenised, ctx.work / suites.TOKENS)
        return {
            "kind": tokenised.kind,
            "items": len(suite),
            "items_found": items,
            "requests": len(tokenised.context_tokens),
            "tokens": len(tokenised.ids),
            "scored_bytes": int(tokenised.num_bytes.sum()),
            "digest": tokenised.digest,
        }
