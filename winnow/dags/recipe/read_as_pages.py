"""Stages that read web pages as if they were text: nothing above them takes the text out. Remarks of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from winnow.core.operators import Derive
from winnow.core.operators.retext import Retext
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.resolve import readers_of

WRITES = "writer"  # pages may be written as they are


def read_as_pages(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """(stage, what to do) for the first stage of each row space that reads HTML, with all others that do.

    Not told of extractors and what stands below one on the same rows (`text` says there whose text is meant), of
    writers, of what looks at markup, and of functions of the user's, which may be meant for pages.
    """
    extracted: set[Node] = set()
    found: dict[Node, list[str]] = {}
    for node in nodes:
        space = node.space
        if space is None:
            continue
        if isinstance(node.operator, Retext) and node.operator.whole:
            extracted.add(space)
        elif "text" in node.columns and not _meant_for_pages(node):
            found.setdefault(space, []).extend([node.spoken] if space not in extracted and is_pages(space) else [])
    for space, names in ((space, names) for space, names in found.items() if names):
        named = list(dict.fromkeys(names))
        read = "reads" if len(named) == 1 else f"and {', '.join(named[1:])} read"
        line = f"main: {{use: main_text, inputs: {space.spoken}}}"
        yield named[0], f"{read} HTML, no extractor above: `{line}` takes the text out of the pages"


def _meant_for_pages(node: Node) -> bool:
    return node.operator.role == WRITES or node.user is not None or node.operator.of_pages


def is_pages(space: Node) -> bool:
    """Whether the documents of a row space are web pages, all of them."""
    readers = readers_of(space)
    return bool(readers) and all(isinstance(n.operator, Derive) and n.operator.opens_pages() for n in readers)
