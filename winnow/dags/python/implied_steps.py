"""Steps that a chain need not say: the stages that the next step needs and nobody wrote."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from winnow.core.operators import sql
from winnow.core.operators.usercode import UserFunction
from winnow.dags.python.function import scorers_beside
from winnow.dags.python.step import TOKENIZER, Step, Wish, has_column, make_step
from winnow.dags.recipe.implied import IMPLIED, makers
from winnow.dags.recipe.registry import operator_class

if TYPE_CHECKING:
    from winnow.dags.python.rows import Rows


def with_implied(
    rows: Rows, use: str | UserFunction, names: Sequence[str], condition: str | None, dialect: str = ""
) -> tuple[Rows, list[Step]]:
    """The rows after what the next step needs: tokens, signals, vectors, graphs, scorers; and the steps to name in it.

    A scorer in the function's own file comes first. A step is named where several measure what is needed, in other
    dialects or groups.
    """
    scorers = scorers_beside(use) if isinstance(use, UserFunction) else {}
    needs = [*(use.needs if isinstance(use, UserFunction) else ()), *names]
    for need in needs:
        if has_column(rows.chain, rows.space, need):
            continue
        if need in scorers:  # before a column of ours that has the same name
            rows = rows.score(scorers[need])
        elif need in makers():
            lacking = [
                n for n in needs
                if makers().get(n) == makers()[need] and n not in scorers and not has_column(rows.chain, rows.space, n)
            ]  # fmt: skip
            rows = _made(rows, makers()[need], lacking, condition, dialect)
    return rows, _to_name(rows, [n for n in needs if n not in scorers], dialect)


def _to_name(rows: Rows, needs: Iterable[str], dialect: str) -> list[Step]:
    """Of several implied steps of one operator the one that has all that is needed, in the dialect that is meant."""
    out = []
    for use in dict.fromkeys(makers()[n] for n in needs if n in makers()):
        wanted = {n for n in needs if makers().get(n) == use}
        there = [s for s in rows.chain if s.use == use and not s.given and s.draft.space is rows.space.draft]
        usual = str(getattr(operator_class(use), "dialect", ""))
        having = [s for s in there if wanted <= {*s.draft.outputs}]
        alike = [s for s in having if getattr(s.operator, "dialect", usual) == (dialect or usual)]
        out += (alike or having)[-1:] if len(there) > 1 else []
    return out


def _made(rows: Rows, use: str, columns: Sequence[str], condition: str | None, dialect: str) -> Rows:
    """The rows after an implied stage: over the rows that the next one considers where it looks at all at once."""
    cls = operator_class(use)
    operator, whole = cls(), cls.shape_name == "Whole"
    asked = sql.column_names(condition) if whole and condition else []
    rows, _ = with_implied(rows, use, [*operator.needs(), *operator.looks_up(), *asked], None)
    fields = {"tokenizer": TOKENIZER} if use == "count_tokens" else {}
    wish = Wish(
        use=use, fields=fields | cls.implied_fields(columns, dialect), name=IMPLIED[use],
        condition=condition if whole else None,
    )  # fmt: skip
    step = make_step(wish, rows.chain, [rows.space], rows.narrow if whole else None, beside=rows.beside)
    return dataclasses.replace(rows, steps=(*rows.steps, step))
