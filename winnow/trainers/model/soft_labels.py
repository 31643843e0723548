"""Soft labels: what a teacher expects of every token, as a second target beside the true one, chunk by chunk.

No array of [tokens, vocabulary] is made: the teacher's output layer runs in chunks of its own two buffers, beside the
student's. Kept labels (`KeptLabels`) are the teacher's likeliest entries and the mass of all others: the tail's bucket.

Shape suffixes: N tokens of a forward pass, C tokens of a chunk, V vocabulary, D width, K entries that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from winnow.trainers.model.head import Workspace

LEAST_TAIL = 1e-20  # of the student's mass outside of the kept entries: below it the tail pulls no more


@dataclass(frozen=True, kw_only=True)
class SoftLabels:
    """The mean distribution of some teachers (implements `head.Extra`), each softened: softmax(logits / temperature).

    `hidden` are what each teacher's head reads, [N, D]; `heads` their weights [V, D].
    """

    share: float
    temperature: float
    hidden: Sequence[Any]
    heads: Sequence[Any]
    workspace: Workspace  # the teachers' own

    def soft(self, chunk: slice, logits_CV: Any, shares_CV: Any, log_total_C: Any, /) -> tuple[Any, Any]:
        """(cross-entropy to the teachers' mean in nats f32[C], that mean f32[C, V])."""
        labels_CV = self._mean(chunk)
        return log_total_C - self.workspace.dots(labels_CV, logits_CV), labels_CV

    def _mean(self, chunk: slice) -> Any:
        first, *others = zip(self.hidden, self.heads, strict=True)
        labels_CV = self._of(first, chunk)
        if not others:
            return labels_CV
        mean = labels_CV.clone()
        for other in others:
            mean.add_(self._of(other, chunk))
        return mean.div_(len(self.hidden))

    def _of(self, teacher: tuple[Any, Any], chunk: slice) -> Any:
        hidden_ND, head_VD = teacher
        return self.workspace.softmax(hidden_ND[chunk], head_VD, temperature=self.temperature)


@dataclass(frozen=True, kw_only=True)
class KeptLabels:
    """A teacher's kept entries and the mass of its tail (implements `head.Extra`).

    `ids` i64[N, K], distinct in a row, and `probabilities` f32[N, K], the rest to 1 being the tail's. A token without
    a label is in `unknown` bool[N]: it is learned from its true token alone, and what lies in its rows is not read.

    The loss is the cross-entropy over K + 1 outcomes, the last being "any other". Its gradient is the full one's at
    every kept entry and, summed, over the tail; within the tail it leaves the student's own proportions as they are.
    Dropping the tail instead would push the kept entries up by its mass.
    """

    share: float
    ids: Any
    probabilities: Any
    unknown: Any
    targets: Any

    def soft(self, chunk: slice, logits_CV: Any, shares_CV: Any, log_total_C: Any, /) -> tuple[Any, Any]:
        """(cross-entropy over kept entries and tail in nats f32[C], what it pulls to f32[C, V])."""
        ids, kept, unknown = self.ids[chunk], self.probabilities[chunk], self.unknown[chunk]
        pull = shares_CV.scatter(1, ids, 0.0)
        rest = pull.sum(dim=1).clamp_min_(LEAST_TAIL)  # added up, not 1 - the kept: a sure student has little of it
        tail = (1.0 - kept.sum(dim=1)).clamp_min_(0.0)
        nats = (kept * (log_total_C[:, None] - logits_CV.gather(1, ids).float())).sum(dim=1) - tail * rest.log()
        pull.mul_((tail / rest)[:, None]).scatter_add_(1, ids, kept)
        return self._true_where_unknown(chunk, unknown, nats, pull, logits_CV, log_total_C)

    def _true_where_unknown(
        self, chunk: slice, unknown: Any, nats: Any, pull: Any, logits_CV: Any, log_total_C: Any
    ) -> tuple[Any, Any]:
        if not bool(unknown.any()):
            return nats, pull
        target = self.targets[chunk]
        true = log_total_C - logits_CV.gather(1, target[:, None])[:, 0].float()
        pull[unknown] = 0.0
        pull[unknown, target[unknown]] = 1.0
        return true.where(unknown, nats), pull
