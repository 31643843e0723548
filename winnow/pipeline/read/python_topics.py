"""The Python language reference as documents, in halves that share almost no text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from winnow.core.operators import Bad, Derive, FileSlice, port
from winnow.core.operators.contract import Meaning
from winnow.pipeline.read.document import check_id

Half = Literal["a", "b", "all"]


@dataclass(frozen=True, kw_only=True)
class PythonTopics(Derive):
    """The Python language reference that ships with Python, in halves that share almost no text.

    Many topics repeat sections of others, so halves by name would leak. Paragraphs seen before are dropped
    first, the largest topic first; what is left of at least `min_bytes` is dealt to the lighter half, largest
    first. The file is parsed and never executed. `origin` is the topic.

    Source: own
    """

    name: ClassVar[str] = "python_topics"
    meaning: ClassVar[Mapping[str, Meaning]] = {"base": "free", "source": "free", "id": "closed"}

    files: tuple[str, ...] = port("files")
    base: str = ""
    source: str = ""
    id: str = "position"
    half: Half = "all"
    min_bytes: int = 200  # a topic that repeats others is a title and nothing else

    def validate(self) -> None:
        """Raises: ConfigError where documents cannot be named so."""
        check_id(self.id, fields=False)

    def read(self, unit: Sequence[FileSlice], bad: Callable[[Bad], None]) -> Iterator[pa.Table]:
        """One table per file, topics in order of their names."""
        for piece in unit:
            try:
                topics = topics_of(Path(piece.path).read_text("utf-8"))
            except (SyntaxError, ValueError) as error:
                bad(Bad(origin=piece.rel, error="not_topics", message=str(error)))
                continue
            fresh = without_repeats(topics)
            long = {name: text for name, text in fresh.items() if len(text.encode()) >= self.min_bytes}
            chosen = sorted(halves(long)[self.half].items())
            names = [name for name, _ in chosen]
            columns = {
                "text": [text for _, text in chosen],
                "origin": names,
                "locator": names,
                "rel": [piece.rel] * len(names),
            }
            yield pa.table({key: pa.array(value, pa.large_string()) for key, value in columns.items()})


def topics_of(source: str) -> dict[str, str]:
    """Topic -> text, from the source of `pydoc_data/topics.py`.

    Raises:
        ValueError: no dictionary of texts named `topics` is assigned; SyntaxError: this is not Python.
    """
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            names = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            names = [statement.target]
        else:
            continue
        if any(isinstance(name, ast.Name) and name.id == "topics" for name in names):
            topics = ast.literal_eval(statement.value or ast.Constant(None))
            if isinstance(topics, dict) and all(isinstance(text, str) for text in topics.values()):
                return topics
    raise ValueError("no dictionary of texts named `topics`")


def without_repeats(topics: dict[str, str]) -> dict[str, str]:
    """Topics without paragraphs that a larger topic has; emptied topics are gone."""
    seen: set[str] = set()
    out = {}
    for name, text in sorted(topics.items(), key=lambda item: (-len(item[1].encode()), item[0])):
        fresh = []
        for paragraph in text.split("\n\n"):
            words = " ".join(paragraph.split())
            if words and words not in seen:
                seen.add(words)
                fresh.append(paragraph.strip("\n"))
        if fresh:
            out[name] = "\n\n".join(fresh) + "\n"
    return out


def halves(topics: dict[str, str]) -> dict[str, dict[str, str]]:
    """{"a", "b", "all"} -> topics: dealt largest first to the half with fewer bytes so far, a on ties."""
    dealt: dict[str, dict[str, str]] = {"a": {}, "b": {}, "all": topics}
    held = {"a": 0, "b": 0}
    for name, text in sorted(topics.items(), key=lambda item: (-len(item[1].encode()), item[0])):
        half = "a" if held["a"] <= held["b"] else "b"
        dealt[half][name] = text
        held[half] += len(text.encode())
    return dealt
