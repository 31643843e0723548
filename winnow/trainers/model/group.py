"""The ranks that share the rows of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Group(Protocol):
    """The ranks that share the rows of a step."""

    @property
    def rank(self) -> int:
        """This process, counted from 0."""

    @property
    def world(self) -> int:
        """Number of processes."""

    def add_up(self, tensors: list[Any]) -> None:
        """Put the sum over all ranks into each tensor."""


@dataclass(frozen=True)
class Alone:
    """A group of one."""

    rank: int = 0
    world: int = 1

    def add_up(self, tensors: list[Any]) -> None:
        """Leave the tensors as they are: the sum over one rank."""
