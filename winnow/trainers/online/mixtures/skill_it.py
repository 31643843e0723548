"""Skills that are drawn by what they teach: a graph of skills, and losses on held-out texts along the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.numerics.shares import floored, tilted
from winnow.core.operators import port
from winnow.core.operators.contract import Meaning
from winnow.trainers.online.mixing import (
    Domains,
    Floats,
    Labels,
    Mixing,
    MixturePolicy,
    check_numbers,
    check_steps,
    text_loss,
)
from winnow.trainers.online.policy import Learner
from winnow.trainers.online.told import Told

Window = Literal["sum", "mean"]
Edges = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class SkillIt(MixturePolicy):
    """Shares of skills in proportion to exp(eta x A L): what lowers the losses L that are high now is read more.

    `A` says how much reading skill i (a value of `per`) helps text j of `feedback`: `graph` names a stage whose result
    holds it (`skill_graph`), `edges` gives it as {skill: {text: a}}, a missing entry being 0 and `{}` a graph without
    edges; the diagonal is given like any entry. L are the losses of the last `window` looks, added up or averaged
    (`over`); the first shares take every loss as 1. Texts of the skills' names are continued pre-training, one text is
    fine-tuning, others are out of domain: the graph's form says which.

    What differs from the authors' code: it adds the window up in continued pre-training and averages it in
    fine-tuning, which makes eta three times as large there, and here `over` says it; it sets edges of 1 between skills
    to 0.5, and here edges are what they are given as; losses over their first values are `normalise`, its other options
    are left out. A share is at least `p_min`, a tenth of an even one where nothing is given, so that no skill dies out.
    With a graph of equal rows, or `eta: 0`, shares stay even.

    Cost: one forward pass over all texts every `every` steps.
    Source: Skill-It (Chen et al., NeurIPS 2023, arXiv 2307.14430), section 4 and the code; `p_min` own.
    """

    name: ClassVar[str] = "skill_it"
    meaning: ClassVar[Mapping[str, Meaning]] = {"edges": "labels"}
    texts: ClassVar[tuple[str, ...]] = ("feedback",)
    results: ClassVar[tuple[str, ...]] = ("graph",)
    stage_only: ClassVar[Mapping[str, str]] = {
        "graph": "write the stage above that finds it: `{use: skill_graph, ...}` (or give `edges:`)",
    }

    feedback: Labels = port("refs")  # label -> held-out rows or a `target_file`
    graph: str = port("ref", default="")
    edges: Edges | None = None  # {}: none at all
    eta: float = 0.5
    every: int = 100  # steps between looks at the texts
    window: int = 3
    over: Window = "sum"
    normalise: bool = False  # losses over those before the first step: texts of different entropy count alike
    p_min: float | None = None  # least share of a skill; default: 1 / (10 skills)

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: there is no graph or there are two, or a number is out of its range.
        """
        super().validate()
        if bool(self.graph) == (self.edges is not None):
            what = "two graphs" if self.graph else "no graph"
            hint = "name a `skill_graph` stage, or give `edges: {skill: {text: a}}`; `edges: {}` has none"
            raise ConfigError(what, where="graph", hint=hint)
        labels = tuple(self.feedback)
        for skill, row in (self.edges or {}).items():
            for text, edge in row.items():
                if text not in labels:
                    raise ConfigError(f"an edge goes to {text!r}, and no text of `feedback` is called so",
                                      where=f"edges.{skill}.{text}", hint=did_you_mean(text, labels))  # fmt: skip
                if not 0 <= edge < float("inf"):
                    raise ConfigError(f"an edge is {edge}, and must be 0 or more", where=f"edges.{skill}.{text}")
        for text in labels if self.edges else ():
            if not any(text in row for row in (self.edges or {}).values()):
                raise ConfigError(f"no edge goes to the text {text!r}", where=f"feedback.{text}",
                                  hint="leave the text out, or give an edge of 0 to it")  # fmt: skip
        check_steps(self.every)
        check_numbers(self, eta=0.0, window=1)
        if self.p_min is not None and not 0 <= self.p_min < 1:
            raise ConfigError(f"p_min is {self.p_min}, not a share in [0, 1)", where="p_min")

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """The graph in the order of skills and texts.

        Raises:
            ConfigError, DataError: the graph is of other skills or texts.
        """
        texts = tuple(sorted(told.texts))
        none = {name: dict.fromkeys(texts, 0.0) for name in domains.names} if self.edges == {} else {}
        edges = none or self.edges or graph_of(told.results["graph"])
        return Skilled(
            told=told, domains=domains, policy=self, labels=texts, matrix=matrix_of(edges, domains.names, texts)
        )


@dataclass(kw_only=True)
class Skilled(Mixing):
    """Shares by the losses of the last looks."""

    policy: SkillIt
    labels: tuple[str, ...]
    matrix: Floats  # f64[skills, texts]
    begun: list[float] = field(default_factory=list)  # losses before the first step
    looks: list[list[float]] = field(default_factory=list)  # the last ones, the newest at the end
    course: list[dict[str, Any]] = field(default_factory=list)

    @property
    def looks_every(self) -> int:  # type: ignore[override]
        """As the policy says."""
        return self.policy.every

    def first(self) -> Floats:
        """Every loss taken as 1."""
        return self._moved(np.ones(len(self.labels)))

    def look(self, step: int, learner: Learner) -> None:
        """Losses of the texts, and the next shares; before the first step only what losses are normalised by."""
        if step == 0 and not self.policy.normalise:
            return
        losses = [text_loss(learner, self.told.texts[label]) for label in self.labels]
        if step == 0:
            self.begun = losses
            return
        if self.policy.normalise:
            losses = [loss / max(first, 1e-12) for loss, first in zip(losses, self.begun, strict=True)]
        self.looks = [*self.looks, losses][-self.policy.window :]
        seen = np.array(self.looks)
        self.p = self._moved(seen.sum(axis=0) if self.policy.over == "sum" else seen.mean(axis=0))
        self.course = thinned([*self.course, {"step": step, "losses": dict(zip(self.labels, losses, strict=True))}])

    def state(self) -> dict[str, Any]:
        """Shares and looks."""
        return {**super().state(), "begun": self.begun, "looks": self.looks, "course": self.course}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        super().restore(state)
        self.begun, self.looks, self.course = list(state["begun"]), list(state["looks"]), list(state["course"])

    def figures(self) -> dict[str, Any]:
        """With the graph, and the losses of the texts over time."""
        graph = {name: dict(zip(self.labels, row, strict=True))
                 for name, row in zip(self.domains.names, self.matrix.tolist(), strict=True)}  # fmt: skip
        return {**super().figures(), "graph": graph, "losses": self.course}

    def remarks(self) -> tuple[str, ...]:
        """A graph that tells no skills apart, and a run without a look."""
        out, every = list(super().remarks()), self.policy.every
        if (self.matrix == self.matrix[0]).all():
            out.append("the graph has no edges, or the same from every skill: shares stay even from the first step to "
                       "the last. Give edges, or train without the policy")  # fmt: skip
        elif not edges_between(self.matrix, self.domains.names, self.labels):
            out.append("the graph has no edges between skills: each share follows that skill's own loss alone")
        if self.told.steps <= every:
            out.append(f"shares never moved: the run has {self.told.steps:,} steps, and `every` is {every:,}")
        return tuple(out)

    def _moved(self, losses: Floats) -> Floats:
        even = np.full(len(self.matrix), 1.0 / len(self.matrix))
        least = self.policy.p_min if self.policy.p_min is not None else 0.1 / len(even)
        return floored(skill_shares(self.matrix, losses, eta=self.policy.eta), least)


def skill_shares(matrix: Floats, losses: Floats, *, eta: float) -> Floats:
    """Shares f64[skills] in proportion to exp(eta x A L), of a graph f64[skills, texts] and losses f64[texts]."""
    even = np.full(len(matrix), 1.0 / len(matrix))
    return tilted(even, eta * (matrix * losses).sum(axis=1))


def matrix_of(edges: Mapping[str, Mapping[str, float]], skills: tuple[str, ...], texts: tuple[str, ...]) -> Floats:
    """The graph as f64[skills, texts].

    Raises:
        ConfigError: it names a skill or a text that is not there, or misses one.
    """
    columns = sorted({text for row in edges.values() for text in row})
    for text in columns:
        if text not in texts:
            raise ConfigError(f"the graph has edges to {text!r}, and no text is called so", where="feedback",
                              hint=f"its texts are {', '.join(texts)}")  # fmt: skip
    for text in texts:
        if text not in columns:
            raise ConfigError(f"the graph has no edge to the text {text!r}", where=f"feedback.{text}",
                              hint="leave the text out, or give an edge of 0 to it")  # fmt: skip
    for skill in skills:
        if skill not in edges:
            raise ConfigError(f"the graph has no skill {skill!r}, which documents have", where="graph",
                              hint=f"it has {', '.join(sorted(edges))}")  # fmt: skip
    for skill in edges:
        if skill not in skills:
            raise ConfigError(f"no document of the selection has the skill {skill!r} of the graph", where="graph",
                              hint=f"there are {', '.join(skills)}")  # fmt: skip
    return np.array([[float(edges[skill].get(text, 0.0)) for text in texts] for skill in skills])


def graph_of(result: Mapping[str, Any]) -> Edges:
    """The graph in a stage's result.

    Raises:
        DataError: there is none.
    """
    found = result.get("graph")
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise DataError("the result has no graph", where="graph", hint="name a `skill_graph` stage")
    return {str(skill): {str(text): float(edge) for text, edge in row.items()} for skill, row in found.items()}


def edges_between(matrix: Floats, skills: tuple[str, ...], texts: tuple[str, ...]) -> bool:
    """Whether any skill helps a text that is not its own."""
    own = np.array([[skill == text for text in texts] for skill in skills])
    return bool((matrix[~own] != 0).any())


def thinned(course: list[dict[str, Any]], most: int = 64) -> list[dict[str, Any]]:
    """At most `most` points of a course: every other one goes where there are more."""
    return course if len(course) <= most else [*course[:-1:2], course[-1]]
