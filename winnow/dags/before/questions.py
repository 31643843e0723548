"""What stages that ask an endpoint are going to ask: how many questions, about how many tokens, what that may cost.

`winnow plan --json` has it under `questions`: stage -> {"model", "tries", "documents", "known" (whether the documents
can be counted already), "questions", "tokens_in", "tokens_out" (the most), "cost" (at most; null without prices),
"token_cap", "cost_cap", "used" (tokens that the model has used in this root)} of the stages that are not committed.
Where the documents are not read yet, all is said of 1,000 of them with 4,000 bytes each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.core.endpoint.asking import scope_of
from winnow.core.endpoint.ledger import Ledger
from winnow.core.endpoint.settings import Asks
from winnow.core.operators import Kind
from winnow.core.store.parts import committed
from winnow.core.store.small_records import StoreRecords
from winnow.core.store.store import Store
from winnow.dags.driver.session import shown_name
from winnow.dags.recipe.nodes import Node

ASSUMED, ASSUMED_BYTES = 1000, 4000.0


def questions(nodes: Sequence[Node], store: Store) -> dict[str, dict[str, Any]]:
    """Stage -> what it is going to ask; see the module."""
    out = {}
    for node in nodes:
        if isinstance(node.operator, Asks) and not store.exists(f"{node.folder}/manifest.json"):
            out[shown_name(node)] = _of(node.operator, _documents(node, store), store)
    return out


def _of(asks: Asks, held: tuple[int, float] | None, store: Store) -> dict[str, Any]:
    documents, text_bytes = held or (ASSUMED, ASSUMED_BYTES)
    documents = asks.asked_about(documents)
    each, tokens = asks.per_document(text_bytes)
    tokens_in, tokens_out = round(documents * tokens), documents * each * asks.max_tokens
    used = Ledger(records=StoreRecords(store), scope=scope_of(asks), me="").total()
    return {
        "model": asks.model, "tries": getattr(asks, "tries", 1),
        "documents": documents, "known": held is not None, "questions": documents * each,
        "tokens_in": tokens_in, "tokens_out": tokens_out,
        "cost": asks.cost(tokens_in, tokens_out) if asks.price_out else None,
        "token_cap": asks.token_cap, "cost_cap": asks.cost_cap, "used": list(used),
    }  # fmt: skip


def _documents(node: Node, store: Store) -> tuple[int, float] | None:
    """(documents that the stage is about at most, bytes of one) where they are counted already."""
    verdicts = [*node.population, *node.where_columns.values()]
    above = [node.inputs[number] for number, column in verdicts if column == "kept"]
    space = node.space
    if space is None or not all(store.exists(f"{n.folder}/manifest.json") for n in (space, *above)):
        return None
    counts = committed(store, space.folder).counts
    rows = counts.get("rows", 0)
    kept = [committed(store, n.folder).counts.get("kept", rows) for n in above if n.kind is Kind.COLUMNS]
    mean = counts["text_bytes"] / rows if rows and "text_bytes" in counts else ASSUMED_BYTES
    return min([rows, *kept]), mean


def question_lines(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(style, line) of what is going to be asked, for a console."""
    return [("", f"{stage}: {_line(one)}") for stage, one in found.items()]


def _line(one: Mapping[str, Any]) -> str:
    every = "" if one["known"] else "every "
    line = f"asks {one['model']} about {every}{one['documents']:,} documents: {one['questions']:,} questions, "
    line += f"about {one['tokens_in']:,} tokens in and at most {one['tokens_out']:,} out, "
    line += f"up to {one['tries']} times where an answer does not fit" if one["tries"] > 1 else "once each"
    line += "" if one["cost"] is None else f"; at most {one['cost']:,.4g} by its prices"
    names = [name for name in ("token_cap", "cost_cap") if one[name] is not None]
    caps = [f"{name.replace('_', ' ')} {one[name]:,.10g}" for name in names]
    used = f", {sum(one['used']):,} tokens used in this root" if sum(one["used"]) else ""
    line += f"; {' and '.join(caps) or 'no cap'}{used}; kept answers are not asked for"
    return line if one["known"] else f"{line} (how many documents is known once they are read: `--until` their stage)"
