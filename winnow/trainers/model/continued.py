"""The fields of a run that continues a model, and old data mixed into the new."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, port
from winnow.trainers.data.in_parts import Fed
from winnow.trainers.data.numbering import numbering
from winnow.trainers.data.pack import Documents, documents_of
from winnow.trainers.data.sequences import Interleaved
from winnow.trainers.data.stability import stability_plan
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.start import Start, start_of, tokens_behind


@dataclass(frozen=True, kw_only=True)
class Continued:
    """What a run begins with, and what it replays. References: a trained model, a selection and its tokens."""

    replay_share: float = 0.0  # of the run's tokens, from the `replay` selection
    replay_weighted: bool = False
    curve: int = 0  # weights kept on the way, besides those before the first step: they are files of the run
    start: str = port("ref", default="")
    replay: str = port("ref", default="")
    replay_tokens: str = port("ref", default="")

    def begin(self, ctx: Context, shape: Shape) -> Start | None:
        """The weights to begin with; None: those of a seed.

        Raises:
            DataError: the start has no model, or one of another shape.
        """
        return start_of(ctx.ref("start"), shape) if "start" in ctx.refs else None

    def mixed(self, ctx: Context, own: Documents, fed: Fed, *, tokens: int) -> Interleaved:
        """Own rows and replayed ones, evenly spread: `tokens` predicted tokens in all, to the token."""
        columns = ("doc_id", "weight") if self.replay_weighted else ("doc_id",)
        selection = ctx.ref("replay").frame(*columns, where_kept=True)
        old = documents_of(selection, ctx.ref("replay_tokens").frame("doc_id", "tokens"))
        plan, by_row = stability_plan(tokens, epochs=1, replay={"old": self.replay_share}), replace(fed, batch=1)
        sources = (
            by_row.batches(own, tokens=plan.subset),
            by_row.batches(old, tokens=plan.replay["old"], label="replay"),
        )
        both = numbering([source.account for source in sources])
        return Interleaved(sources=sources, batch_rows=fed.batch, numbering=both)


def started(ctx: Context, start: Start | None) -> dict[str, Any]:
    """Metric `start`: digest of its weights, and the tokens it has read (null where nobody said); else nothing."""
    if start is None:
        return {}
    return {"start": {"digest": start.digest, "tokens": tokens_behind(ctx.ref("start").result())}}


def replayed(mixture: Interleaved, share: float) -> dict[str, Any]:
    """Metric `replay`: tokens, passes and size of what is replayed."""
    old = mixture.sources[1]
    return {"replay": {"share": share, "tokens": old.num_tokens, "epochs": old.epochs,
                       "own_tokens": mixture.sources[0].num_tokens}}  # fmt: skip


def check_share(share: float, *, where: str) -> None:
    """Check that a share leaves something of both.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ConfigError(f"a share of {share:g} is not above 0 and below 1", where=where,
                          hint="0.1 replays a tenth of all tokens")  # fmt: skip
