"""The `url_score` operator: what a document is worth, by its address alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from winnow.core.operators import Composite, Schema, Scope, Sub, sql
from winnow.core.operators.config import part_of
from winnow.scorers.url_score_apply import UrlScoreApply
from winnow.scorers.url_score_fit import UrlColumnOf, UrlScoreFit, UrlScoreSettings


@dataclass(frozen=True, kw_only=True)
class UrlScore(UrlScoreSettings, Composite):
    """Probability in [0, 1] that an address is like those of documents for which `positive` is true, not false.

    A linear classifier over the character n-grams and the words of the address, so that a page can be judged before it
    is fetched or read. `positive` is SQL over columns: a verdict (`kept_best`), a label, a score with a limit; rows for
    which it is null are scored and not fitted on. `fit` sets at most `most` addresses of each side against each other,
    the smaller side repeated; `apply` scores every row, null where there is no address. Pages of one site are alike:
    judge it on sites that it was not fitted on.

    Raises: ConfigError for numbers that cannot work; DataError where a side has no address.

    Source: own; pages classified by their address as in Kan and Thi 2005 and Baykan et al. 2009 (all n-grams of 4 to 8
    characters), here 3 to 6, hashed, by fastText (Joulin et al. 2017)
    """

    name: ClassVar[str] = "url_score"
    role: ClassVar[str] = "scorer"
    columns_from: ClassVar[tuple[str, ...]] = ("column", "positive")
    seeded: ClassVar[bool] = True

    def needs(self) -> tuple[str, ...]:
        """The address, and what tells the sides apart."""
        return tuple(dict.fromkeys((self.column, *sql.column_names(self.positive))))

    def after_decisions(self) -> bool:
        """True: the classifier is fitted against the pool."""
        return True

    def outputs(self) -> Schema:
        """`score`, the probability of the positive class."""
        return {"score": pa.float64()}

    def expand(self, scope: Scope) -> list[Sub]:
        """`fit` (the model) and `apply` (the column), so that scoring more documents does not refit."""
        inputs, where = scope.inputs, scope.where
        fit = UrlScoreFit(**part_of(self, UrlScoreSettings))
        apply = UrlScoreApply(model=".fit", **part_of(self, UrlColumnOf))
        return [
            Sub(name="fit", operator=fit, inputs=inputs, where=where),
            Sub(name="apply", operator=apply, inputs=inputs, where=where, refs={"model": ".fit"}),
        ]
