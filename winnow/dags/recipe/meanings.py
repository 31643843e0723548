"""Columns whose names mean something to every stage: what they must hold where they are read as that."""

from __future__ import annotations

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Kind
from winnow.dags.recipe.nodes import Node, provided

TOKENS = "token_count"


def counts_tokens(node: Node) -> bool:
    """True where a stage's `token_count` is a number: a reader may call a text so."""
    return _is_number(node.outputs.get(TOKENS))


def tokenizer_of(operator: object) -> str:
    """`bytes/4`, `words`: what estimates the tokens of a counting stage; '' for a real tokenizer, and for others."""
    from winnow.pipeline.measure.count_tokens import CountTokens

    return operator.tokenizer if isinstance(operator, CountTokens) and operator.tokenizer != "file" else ""


def estimated_by(node: Node) -> str:
    """The estimate that a stage's `token_count` comes from; '' where a tokenizer, or a file, says it."""
    if TOKENS in node.outputs:
        return tokenizer_of(node.operator)
    number, column = node.columns.get(TOKENS, (-1, ""))
    return tokenizer_of(node.inputs[number].operator) if column == TOKENS else ""


def check_meanings(node: Node) -> None:
    """Check what a stage reads as a number of tokens, and what it adds as a decision.

    Raises:
        ConfigError: `token_count` is no number; `kept` is neither true nor false.
    """
    number, column = node.columns.get(TOKENS, (-1, ""))
    kind = provided(node.inputs[number])[column] if column else None
    said = [str(getattr(node.operator, field)) for field in node.operator.columns_from]
    if kind is not None and not _is_number(kind) and not any(TOKENS in text for text in said):
        raise ConfigError(
            f"`token_count` of stage {node.inputs[number].name!r} is {kind}, not a number of tokens", where=TOKENS,
            hint="give that column another name where it is read, and `count_tokens` counts",
        )  # fmt: skip
    decision = node.outputs.get("kept")
    if node.kind is Kind.COLUMNS and decision not in (None, pa.bool_()):
        raise ConfigError(f"`kept` is {decision}, and means a decision: true or false", where="columns.kept",
                          hint="give that column another name")  # fmt: skip


def _is_number(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_integer(kind) or pa.types.is_floating(kind))
