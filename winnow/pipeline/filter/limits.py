"""The `limits` operator: thresholds of every group from the group's own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Composite, Schema, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.pipeline.filter.limit_rules import LimitSettings
from winnow.pipeline.filter.limits_fit import LimitsFit
from winnow.pipeline.filter.limits_of import LimitsOf

_GOPHER = {  # FineWeb's limits for English of the columns whose limits FineWeb2 has for each language
    "dup_line_share": 0.3,
    "top_2gram_char_share": 0.2,
    "top_3gram_char_share": 0.18,
    "top_4gram_char_share": 0.16,
    **{f"dup_{n}gram_char_share": round(0.2 - n / 100, 2) for n in range(5, 11)},
}
_MOST = {**_GOPHER, "list_ratio": 0.3, "mean_word_length": 10}
_LEAST = {"line_punct_ratio": 0.12, "mean_word_length": 3, "alpha_word_share": 0.8}


def _carried(how: str) -> dict[str, Any]:
    """The limits for English, carried over to each group by one rule."""
    most, least = ({c: f"{how} {limit}" for c, limit in side.items()} for side in (_MOST, _LEAST))
    return {"most": most, "least": least, "base": "en"}


@dataclass(frozen=True, kw_only=True)
class Limits(LimitSettings, Composite):
    """Limits for every document from the numbers of its group, such as its language: `most_COLUMN`, `least_COLUMN`.

    A limit made for English is another filter in Finnish, whose words are longer. `most` and `least` name columns, each
    with a rule for how its limit follows from the numbers of the group:

    * `tail 0.1`: the value beyond which a tenth of the group's documents lie;
    * `quantile 0.3`: beyond which as large a share lies as lies beyond 0.3 in the group `base`;
    * `std 0.3`: as many standard deviations from the group's mean as 0.3 is from that of `base`;
    * `median 0.3`: 0.3 times the group's median over that of `base`;
    * `spread 0.3 0.9`: the median and one standard deviation (for `least` less one), at least 0.3 and at most 0.9;
    * `fixed 0.3`, or 0.3: 0.3 for every group.

    The numbers are those of `docs` documents of each group at most, drawn by a keyed hash, from the stages of
    `reference` (good text of known languages, say), else from the pool. A clause compares: `dup_line_share <=
    most_dup_line_share`; the preset `fineweb2` has FineWeb2's. Groups of fewer than `min_docs` documents, groups that
    the reference lacks and documents without a group get the limits of all sampled documents together, which a remark
    counts.

    Raises: ConfigError for what is no rule; DataError where the numbers of the base group carry no limit over.
    Cost: one pass over the columns; memory for `docs` numbers of each group and column.
    Source: Penedo et al. 2025 (FineWeb2), the five ways to carry thresholds over (there English, 10Tail, Quantile,
    MeanStd, MedianRatio) and the limits of language scores; sampling and what small groups get are own.
    """

    name: ClassVar[str] = "limits"
    role: ClassVar[str] = "signal"
    seeded: ClassVar[bool] = True
    meaning: ClassVar[Mapping[str, Meaning]] = {"base": "labels", "preset": "closed"}
    columns_from: ClassVar[tuple[str, ...]] = ("per", "most", "least")

    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "preset": {
            **{f"fineweb2_{how}": _carried(how) for how in ("std", "quantile")},
            "fineweb2_tail": {"most": dict.fromkeys(_MOST, "tail 0.1"), "least": dict.fromkeys(_LEAST, "tail 0.1")},
        }
    }

    preset: str = ""  # the rules of FineWeb2's columns: fineweb2_std, fineweb2_quantile (base: en), fineweb2_tail
    reference: tuple[str, ...] = port("refs", default=())  # stages of the rows to learn from; () = the pool itself

    def validate(self) -> None:
        """Raise ConfigError for a preset that is none, and for rules that are none."""
        if self.preset and self.preset not in self.presets["preset"]:
            hint = did_you_mean(self.preset, self.presets["preset"])
            raise ConfigError(f"no preset {self.preset!r}", where="preset", hint=hint)
        super().validate()

    def needs(self) -> tuple[str, ...]:
        """The group, and of a pool that is its own reference the columns."""
        return (self.per,) if self.reference else (self.per, *self.measured())

    def after_decisions(self) -> bool:
        """True where the pool is looked at."""
        return not self.reference

    def outputs(self) -> Schema:
        """The limits, f64."""
        return self.limits()

    def expand(self, scope: Scope) -> list[Sub]:
        """`fit` (the limits of the groups) and `of` (those of each document)."""
        named = self.reference.values() if isinstance(self.reference, dict) else self.reference
        settings = part_of(self, LimitSettings)
        fit = LimitsFit(**settings)
        of = LimitsOf(per=self.per, most=self.most, least=self.least, fitted=".fit")
        return [
            Sub(name="fit", operator=fit, inputs=tuple(named) or scope.inputs,
                where=None if self.reference else scope.where),
            Sub(name="of", operator=of, inputs=scope.inputs, refs={"fitted": ".fit"}),
        ]  # fmt: skip
