"""How much of its targets an ablation reads: by default as much as costs a tenth of a run's time.

A target is text that every model reads once, forward: `FORWARD` of what training on as many tokens costs. What is read
follows from the fields alone (never from a clock), so it is the same on every machine; a target that is read in part is
a keyed sample of its items, whose noise the intervals hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from winnow.core.errors import ConfigError

FORWARD = 1 / 3  # operations of reading a token beside training on it; measured 0.28 to 0.38 (bench_evaluation.py)
TOKEN_BYTES = 3  # of text, fewer than a tokenizer of some thousand tokens has on prose
LEAST_BYTES = 50_000  # of a target: fewer items say too little of their own spread
DEFAULT_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How much of every target a model is judged on."""

    eval_bytes: int = 0  # of each target: a keyed sample of its items; 0: as much as `eval_share` allows
    eval_share: float = DEFAULT_SHARE  # of a run's time that reading all targets may take; 1: they are read whole

    def check_reading(self) -> None:
        """Raise ConfigError where the amounts cannot be, or one is not read."""
        if self.eval_bytes < 0:
            raise ConfigError(f"eval_bytes is {self.eval_bytes}, and must be at least 0", where="eval_bytes")
        if not 0 < self.eval_share <= 1:
            raise ConfigError(f"eval_share is {self.eval_share}, not in (0, 1]", where="eval_share",
                              hint="0.1 is a tenth of a run's time; 1 reads the targets whole")  # fmt: skip
        if self.eval_bytes and self.eval_share not in (DEFAULT_SHARE, 1):
            raise ConfigError("eval_share is not read beside `eval_bytes`", where="eval_share", hint="leave one out")

    def bytes_of_each(self, *, targets: int, tokens: int, passes: float) -> int:
        """Bytes of each target that are read; 0: all. `passes`: how often one model reads it, on the way too.

        One target has half of the share, so that a second one scores no model again.
        """
        if self.eval_bytes or self.eval_share == 1:
            return self.eval_bytes
        trained = self.eval_share / (1 - self.eval_share) * tokens / FORWARD
        return max(LEAST_BYTES, int(TOKEN_BYTES * trained / passes / max(targets, 2)))
