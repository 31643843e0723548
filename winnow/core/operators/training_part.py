"""What a selection says of the order of training: parts of a run, one after the other, each with documents of its own.

A selection that says nothing is trained on as a whole, in an order of the run's own. One that has parts says for each
which of its columns names the documents, how long the part is beside the others, and how the learning rate moves in it:
`training_parts` of the contract. Trainers read this and nothing else of a selector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from winnow.core.errors import ConfigError
from winnow.core.terminal import percent

Course = Literal["run", "constant", "linear", "cosine"]
COURSES: tuple[str, ...] = get_args(Course)


@dataclass(frozen=True, kw_only=True)
class TrainingPart:
    """One part of a training run: its documents, its length, and its learning rate relative to the run's peak.

    `column` is a column of the selection: a weight per document (0: not in this part), or, with a `number`, a list of
    the numbers of the parts that the document is in.
    """

    label: str
    column: str
    number: int | None = None
    tokens: float = 1.0  # relative to those of the other parts
    repeats: float | None = None  # how often the selection means a document to be read; None: it does not say
    schedule: str = "run"  # of `COURSES`; run: the schedule of the whole run goes on
    lr: float = 1.0
    lr_end: float = 1.0
    warmup_share: float = 0.0  # of the part's steps

    def check(self, columns: Mapping[str, Any]) -> None:
        """Check that a run can be trained so, where `columns` are those of the selection.

        Raises:
            ConfigError: there is no such column or schedule, or a number is out of its range.
        """
        if self.column not in columns:
            raise ConfigError(f"part {self.label!r} names the column {self.column!r}", hint=", ".join(columns))
        if self.schedule not in COURSES:
            raise ConfigError(f"part {self.label!r} has no schedule {self.schedule!r}", hint=", ".join(COURSES))
        if not (math.isfinite(self.tokens) and self.tokens > 0):
            raise ConfigError(f"part {self.label!r} has {self.tokens} tokens", hint="a number above 0")


def token_shares(parts: Sequence[TrainingPart]) -> list[float]:
    """Each part's share of a run's tokens, in (0, 1]; they sum to 1."""
    total = sum(part.tokens for part in parts)
    return [part.tokens / total for part in parts]


def check_parts(parts: Sequence[TrainingPart], columns: Mapping[str, Any], *, tokens: int, step_tokens: int) -> None:
    """Check that a run of `tokens` can be trained in these parts, with at least one step of `step_tokens` for each.

    Raises:
        ConfigError: two parts have one label, a part cannot be (`TrainingPart.check`), or is shorter than one step.
    """
    labels = [part.label for part in parts]
    if len(set(labels)) < len(labels):
        raise ConfigError(f"{labels} are not different parts")
    for part in parts:
        part.check(columns)
    for part, share in zip(parts, token_shares(parts), strict=True):
        if share * tokens < step_tokens:
            raise ConfigError(
                f"{part.label!r} gets {percent(share, 2)} of {tokens:,} training tokens, which is "
                f"{share * tokens:,.0f}, less than one step of {step_tokens:,}",
                hint=f"at least {math.ceil(step_tokens / share):,} tokens, or a smaller batch, or fewer parts",
            )
