"""What a plan says of itself before anything runs: remarks, each a sentence with what to do next.

A remark is about what a recipe leaves unsaid and a person may not have meant; nothing has gone wrong. `strict: true`
makes those of a stage, or of the whole recipe, errors of configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from winnow.core.errors import ConfigError
from winnow.dags.recipe.mixed_texts import alternatives, mixed_texts, unread_texts
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.read_as_pages import read_as_pages
from winnow.dags.recipe.unrespected import taken_apart, unrespected

STRICT = "`strict: true` makes a remark an error"


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One sentence about one stage."""

    stage: str
    text: str

    @property
    def line(self) -> str:
        """As a person reads it."""
        return f"! {self.stage}: {self.text}"


def plan_remarks(nodes: Sequence[Node]) -> list[Remark]:
    """All remarks about the stages of a plan, in plan order."""
    place = {node.spoken: i for i, node in reversed(list(enumerate(nodes)))}
    found = [Remark(stage=stage, text=text) for source in SOURCES for stage, text in source(nodes)]
    return sorted(found, key=lambda remark: place.get(remark.stage, len(place)))


def refuse_remarks(remarks: Sequence[Remark], nodes: Sequence[Node]) -> None:
    """Raise ConfigError for the first remark that `strict: true` (of the recipe, or of the remark's stage) forbids."""
    wrong = strict_ones(remarks, nodes)
    if wrong:
        more = f"; and {len(wrong) - 1} more (`winnow check` lists them)" if len(wrong) > 1 else ""
        raise ConfigError(f"{wrong[0].text}{more}", where=f"stages.{wrong[0].stage}", hint=STRICT)


def strict_ones(remarks: Sequence[Remark], nodes: Sequence[Node]) -> list[Remark]:
    """The remarks that `strict: true` makes errors."""
    stages = {node.spoken for node in nodes if node.strict}
    return [remark for remark in remarks if remark.stage in stages]


def told_of_files(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """(stage, sentence) of what readers passed over or share."""
    return ((node.spoken, text) for node in nodes for text in node.told)


SOURCES = (
    told_of_files,
    unrespected,
    taken_apart,
    unread_texts,
    mixed_texts,
    read_as_pages,
    alternatives,
)  # each: nodes of a plan -> (stage, text) of its remarks
