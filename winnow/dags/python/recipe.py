"""From steps to a recipe: names, plan and run of the Python form."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from winnow.core.errors import ConfigError
from winnow.core.operators import CLEANING, Kind
from winnow.core.store.locations import open_store
from winnow.core.terminal import console_on, say
from winnow.dags.driver.session import Session, check_writable, entered, make_runner
from winnow.dags.python.step import TOKENIZER, Step, numbered, texts_said
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.populations import ALL, is_verdict
from winnow.dags.recipe.records import RUNS
from winnow.dags.recipe.text_versions import is_editor, text_of
from winnow.dags.recipe.yaml_recipe import Recipe, StageSpec, run_name
from winnow.dags.recipe.yaml_writer import yaml_of

if TYPE_CHECKING:
    from winnow.dags.looking.run import OpenedRun


class RecipeKeys(TypedDict, total=False):
    """Keys of a whole recipe: what a stage has not of its own."""

    seed: int
    tokenizer: str
    strict: bool
    expect: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lazy:
    """Stages to be, in the order of the data."""

    steps: tuple[Step, ...]

    def recipe(self, name: str = "python", **keys: Unpack[RecipeKeys]) -> Recipe:
        """The recipe of all stages so far. Raises ConfigError where two stages must have one name."""
        return recipe_of(self.steps, name=name, **keys)

    def to_yaml(self, name: str = "python", **keys: Unpack[RecipeKeys]) -> str:
        """The same recipe as YAML, with the same fingerprints. User modules are looked for beside the file."""
        return yaml_of(self.recipe(name, **keys))

    def plan(self, root: str | Path = "", *, name: str = "", **keys: Unpack[RecipeKeys]) -> Planned:
        """Plan a run into `root`; runs nothing. Raises ConfigError on anything that cannot work."""
        return Planned(session=_session(self.steps, root, name, keys, write=False))

    def run(
        self, root: str | Path, *, name: str = "", engine: str = "auto", workers: int | None = None,
        progress: bool = True, **keys: Unpack[RecipeKeys],
    ) -> OpenedRun:  # fmt: skip
        """Bring all stages up to date below `root`; finished ones are reused. The run has the root's name, or `name`.

        `progress`: bars, alarms and remarks on stderr; `print(run)` shows the remarks in any case.
        Raises: ConfigError before anything has run; DataError, EngineError after everything else has run.
        """
        from winnow.dags.before.remarks import before_lines
        from winnow.dags.driver.progress import watcher_for
        from winnow.dags.looking.run import OpenedRun
        from winnow.dags.looking.summary import print_told, summarise
        from winnow.dags.recipe.records import read_record

        session = _session(self.steps, root, name, keys, write=True)
        watcher = watcher_for(sys.stderr) if progress else None
        runner = make_runner(session, engine=engine, workers=workers, watcher=watcher)
        nodes = session.plan.nodes
        if progress:
            say(console_on(sys.stderr), before_lines(session.plan, nodes))
        try:
            with entered(watcher):
                runner.run(session.plan, nodes)
        finally:
            if progress and any(r.manifest for r in runner.runs):
                print_told(console_on(sys.stderr), summarise(session, runner.runs, nodes), runner.runs)
        return OpenedRun(record=read_record(session.store, session.name))


class Made(Lazy):
    """A stage to be that leaves no rows: a model, a table or metrics."""

    def __repr__(self) -> str:
        return f"<lazy {self.steps[-1].draft.kind.value}: {' -> '.join(s.name for s in self.steps)}>"


@dataclass(frozen=True, kw_only=True, repr=False)
class Planned:
    """A plan: `str()` is what `winnow plan` prints, `stages` what its `--json` says."""

    session: Session

    @property
    def stages(self) -> list[dict[str, Any]]:
        """One mapping per stage, in plan order: name, operator, fingerprint, state, inputs, ..."""
        from winnow.dags.before.plan_view import plan_json

        stages: list[dict[str, Any]] = plan_json(self.session, self.session.plan.nodes)["stages"]
        return stages

    @property
    def fingerprints(self) -> dict[str, str]:
        """Stage or sub-stage -> fingerprint, 32 hex digits."""
        return {n.name: n.fingerprint for n in self.session.plan.nodes}

    def __str__(self) -> str:
        from winnow.dags.before.plan_view import plan_json, plan_lines, plan_total

        view = plan_json(self.session, self.session.plan.nodes)
        return "\n".join([*(line for _, line in plan_lines(view, hidden=False)), plan_total(view)])

    __repr__ = __str__


def recipe_of(steps: Sequence[Step], *, name: str, **keys: Unpack[RecipeKeys]) -> Recipe:
    """The recipe of some steps, each under a name of its own.

    Raises: ConfigError where two stages were given one name, or a name in a condition would change its meaning.
    """
    names = _names(steps)
    folders = [s.folder for s in steps if s.folder]
    stages = tuple(
        dataclasses.replace(
            _spec(step, names, keys.get("tokenizer", "bytes/4"), widened=_widened(step, steps)),
            text=_texts(step, steps, names),
        )
        for step in steps
    )
    recipe = Recipe(name=name, folder=folders[0] if folders else Path.cwd(), stages=stages, **keys)
    return dataclasses.replace(recipe, text=yaml_of(recipe))


def _names(steps: Sequence[Step]) -> dict[str, str]:
    """Key of a step -> name of its stage: as wished, numbered where two branches wished the same."""
    out: dict[str, str] = {}
    given = {s.name: s for s in steps if s.given}
    for step in steps:
        other = given.get(step.name)
        if step.given and other is not None and other.key != step.key:
            raise ConfigError(f"two stages are called {step.name!r}", hint="give one of them another `name=`")
        free = step.given or (step.name not in given and step.name not in out.values())
        out[step.key] = step.name if free else numbered(step.name, {*given, *out.values()})
    for step in steps:
        for text, meant in step.mentions.items():
            if out[meant.key] != meant.name:
                raise ConfigError(
                    f"{text!r} in stage {step.name!r} means a stage {meant.name!r}, and there are two of that name",
                    where=f"stages.{step.name}", hint=f"give both a name: `.{meant.use}(..., name='...')`",
                )  # fmt: skip
    return out


def _widened(step: Step, steps: Sequence[Step]) -> bool:
    """Whether a stage is about all rows although cleaning decisions stand above it, and has to say so."""
    space = step.draft.space
    above = [s for s in steps[: steps.index(step)] if s.draft.space is space and is_verdict(s.draft)]
    cleaning = any(s.operator.role in CLEANING for s in above)
    if space is None or not cleaning or not step.operator.after_decisions() or step.operator.chosen_from():
        return False
    said = [s for s in step.inputs if s in above] if step.operator.population else []
    mentioned = [s for name, s in step.mentions.items() if s in above and step.condition and name in step.condition]
    return not (step.narrow or said or mentioned)


def _texts(step: Step, steps: Sequence[Step], names: Mapping[str, str]) -> tuple[str, ...]:
    """Whose text a stage has to say that it reads: of its chain, where the recipe has editors of other branches."""
    said = texts_said(step.keys)
    above = [s.draft for s in steps[: steps.index(step)]]
    if said or not any(is_editor(draft) for draft in above):
        return said
    called = {id(s.draft): names[s.key] for s in steps}
    referred = [r for v in step.refs.values() for r in (v.values() if isinstance(v, Mapping) else [v])]
    drafts = [r.draft for r in referred if isinstance(r, Step) and not is_editor(r.draft)]
    reading = [d for d in (step.draft, *drafts) if d is not step.draft or step.draft.reads_text]
    out = []
    for draft in reading:
        space = draft if draft.kind is Kind.ROWS else draft.space
        if space is None or not any(is_editor(d) and d.space is space for d in above):
            continue
        if _usual(space, above) is not draft.text:
            out.append(called[id(draft.text or space)])
    return tuple(dict.fromkeys(out))


def _usual(space: Node, above: Sequence[Node]) -> Node | None:
    """The text that a stage reads which says nothing; the rows' own stage where that is an error."""
    try:
        return text_of(space, above, (), where="")
    except ConfigError:
        return space


def _spec(step: Step, names: Mapping[str, str], tokenizer: str, *, widened: bool) -> StageSpec:
    where = step.condition
    if step.narrow:
        kept = f"kept_{names[step.narrow.key]}"
        where = f"{kept} and ({where})" if where else kept
    refs = {p: {k: _named(v, names) for k, v in r.items()} if isinstance(r, Mapping) else _named(r, names)
            for p, r in step.refs.items()}  # fmt: skip
    config = {k: tokenizer if v == TOKENIZER else v for k, v in step.config.items()}
    return StageSpec(
        name=names[step.key], use=step.use, inputs=tuple(names[s.key] for s in step.inputs), where=where,
        ignore=(ALL,) if widened else (), config={**config, **refs}, **step.keys,
    )  # fmt: skip


def _named(ref: Any, names: Mapping[str, str]) -> str:
    return names[ref.key] if isinstance(ref, Step) else str(ref)


def _session(steps: Sequence[Step], root: str | Path, name: str, keys: RecipeKeys, *, write: bool) -> Session:
    called = run_name(name or (Path(root).absolute().name if root else "python"), where="name")
    recipe = recipe_of(steps, name=called, **keys)
    store = open_store(root or RUNS / called)
    if write:
        check_writable(store)
    known = store if write or store.writable() else None
    return Session(name=called, store=store, plan=make_plan(recipe, known))
