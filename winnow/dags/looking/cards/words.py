"""Sentences that several cards say."""

from __future__ import annotations

from collections.abc import Iterator

from winnow.core.terminal import counted, percent, tokens_text
from winnow.dags.looking.cards.facts import Facts

UNKNOWN = "unknown"
NO_TOKENS = "unknown: no stage counts them (`carry: [token_count]` in `write`, or a stage `count_tokens`)"


def described(facts: Facts) -> str:
    """What a person says of the set, and its size in one sentence."""
    size = f"{counted(facts.documents, 'document')}, {facts.text_bytes:,} bytes of text, {tokens(facts)}"
    made = f"made by winnow from {counted(len(facts.readers), 'reader')} with recipe {facts.recipe or facts.run}"
    licence = "" if licence_names(facts) else " Its licence is unknown."
    sentence = f"{size}; {made}.{licence}"
    return f"{facts.told.description} {sentence}" if facts.told.description else sentence


def tokens(facts: Facts) -> str:
    """'4,951 tokens', 'about 4,951 tokens (bytes/4)', or that nobody counted them."""
    found = facts.written.tokens
    return "an unknown number of tokens" if found is None else tokens_text(found, facts.written.tokens_by)


def licence_names(facts: Facts) -> list[str]:
    """Those that a person told, else those that the documents name."""
    return list(facts.told.licences) or [one.name for one in facts.written.groups["licence"] or () if one.name]


def share(part: int, whole: int) -> str:
    """A share as a percentage; '-' of nothing."""
    return percent(part / whole) if whole else "-"


def preprocessing(facts: Facts) -> Iterator[str]:
    """What was done to the documents, a sentence each, in order."""
    for funnel in facts.funnels:
        for step in funnel.steps:
            kept = f"{step.name} ({step.operator}): kept {step.kept:,} of {step.asked:,} documents"
            rules = "; ".join(f"{c.name}: {c.rule}" for c in step.clauses if c.rule)
            yield f"{kept}: {rules}" if rules else kept
    for one in facts.masked:
        found = ", ".join(f"{number:,} {kind}" for kind, number in one.found.items() if number) or "nothing"
        yield f"{one.stage}: masked personal data in {one.edited:,} of {one.documents:,} documents ({found})"
