"""Steps: stages of the Python form before anything is planned.

A step knows its operator, the steps it reads and the columns it adds, so that a wrong field or an unknown column is
an error on the line that wrote it. Columns are looked up by the rules of recipes (`dags.resolve`), but only among the
steps of the step's own chain: another branch of the same program never changes what a name means. What a name means is
written into `inputs`, so a step alone, in company, and in its YAML has one fingerprint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError, WinnowError, did_you_mean
from winnow.core.operators import (
    ROW_COLUMNS,
    Composite,
    Kind,
    Operator,
    Rewrite,
    Schema,
    Scope,
    Sub,
    Union,
    port_fields,
    sql,
)
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import build
from winnow.dags.recipe.names import spellings
from winnow.dags.recipe.nodes import Node, carried_types, provided
from winnow.dags.recipe.registry import operator_class
from winnow.dags.recipe.resolve import resolve_columns, settle
from winnow.dags.recipe.text_versions import chosen_from, needs_text, text_of
from winnow.dags.recipe.user_operators import is_user_target, user_operator
from winnow.dags.recipe.yaml_recipe import is_stage_name

TOKENIZER = "(the recipe's tokenizer)"  # stands in a step's config until the recipe is made
BUDGET_UNITS = ("tokens", "docs", "bytes", "share")  # `tokens="5M"` for `budget: 5M tokens`


@dataclass(kw_only=True, eq=False)
class Draft(Node):
    """A step as `dags.resolve` looks at it: a node without files and fingerprints."""

    shape: Kind
    reads_text: bool = False  # it, or one of its sub-stages

    @property
    def kind(self) -> Kind:
        """What the stage leaves on disk (a composite: its last sub-stage)."""
        return self.shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One stage to be; equal `key` means the same stage."""

    name: str
    given: bool  # the user chose the name: it is never changed
    use: str
    operator: Operator  # as declared: of a composite the composite
    config: Mapping[str, Any]  # fields as a recipe writes them, without `refs`
    refs: Mapping[str, Any]  # port -> Step, or {label: Step or glob}
    inputs: tuple[Step, ...]
    narrow: Step | None  # `where: kept_{narrow}`
    condition: str | None
    keys: Mapping[str, Any]  # seed, max_bad_share, strict, timeout_s, expect
    named: tuple[Step, ...]  # read through names alone: `stage.column`, the needs of sub-stages
    mentions: Mapping[str, Step]  # names in the fields that contain a stage's name
    draft: Draft
    folder: Path | None  # of the user's module
    key: str


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the user asked for: an operator by name or `module:name`, its fields, and the stage's own keys."""

    use: str
    fields: Mapping[str, Any]
    name: str
    given: bool = False
    condition: str | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def make_step(
    wish: Wish, chain: Sequence[Step], inputs: Sequence[Step], narrow: Step | None, *, beside: Sequence[Step] = ()
) -> Step:
    """The step of a wish after `chain`, over the rows of `inputs[0]` that `narrow` keeps.

    `beside` are steps of other branches that the references bring along: their names are taken, their columns unseen.

    Raises: ConfigError on unknown or unusable fields, and on columns that no step of the chain has.
    """
    name = _free_name(wish, [*chain, *beside])
    where = f"stages.{name}"
    config, refs = _split_refs(wish, where)
    try:
        operator = _operator(wish, config, refs, where)
        draft, subs = _draft(name, operator, wish, inputs, narrow, [*chain, *beside])
        draft.text = _text(draft, subs, wish, chain)
        settle(draft, [s.draft for s in chain])
        narrowed = narrow if draft.space and not (operator.population or isinstance(operator, Union)) else None
        bare, named, mentions = _resolved(draft, subs, wish, [s for s in chain if s not in inputs], inputs)
    except WinnowError as error:
        raise error.at(where) from error
    listed = [*inputs, *([narrow] if narrow and operator.population else []), *bare]
    step = Step(
        name=name, given=wish.given, use=wish.use, operator=operator, config=config, refs=refs,
        inputs=tuple(dict.fromkeys(listed)), narrow=narrowed, condition=wish.condition, keys=wish.keys, named=named,
        mentions=mentions, draft=draft, folder=wish.folder, key="",
    )  # fmt: skip
    return dataclasses.replace(step, key=_key(step))


def has_column(chain: Iterable[Step], space: Step, name: str) -> bool:
    """True where a step of these rows adds a column that `name` means."""
    drafts = [s.draft for s in chain if (s.draft if s.draft.kind is Kind.ROWS else s.draft.space) is space.draft]
    return name in ROW_COLUMNS or any(name in provided(d) or name in spellings(d) for d in drafts)


def budgeted(cls: type[Operator], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with `tokens="5M"`, `docs=`, `bytes=` or `share=` as the `budget` they mean, where `cls` has one.

    Raises: ConfigError for two budgets, or one that does not parse.
    """
    known = {f.name for f in dataclasses.fields(cls)}
    short = [k for k in BUDGET_UNITS if k in fields and k not in known]
    if "budget" not in known or not short:
        return dict(fields)
    if len(short) + ("budget" in fields) > 1:
        raise ConfigError("two budgets", where=", ".join([*short, *(["budget"] if "budget" in fields else [])]))
    rest = {k: v for k, v in fields.items() if k != short[0]}
    return {**rest, "budget": str(_budget(short[0], fields[short[0]]))}


def _budget(unit: str, value: Any) -> Budget:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Budget(value, unit)  # type: ignore[arg-type]
    text = str(value)
    for written in (text, f"{text} {unit}"):
        try:
            budget = Budget.parse(written)
        except ConfigError:
            continue
        if budget.unit == unit:
            return budget
    hint = {"tokens": "5M", "docs": "300", "bytes": "20GB", "share": "10%"}[unit]
    raise ConfigError(f"cannot read {value!r} as a budget in {unit}", where=unit, hint=f"for example {unit}={hint!r}")


def _free_name(wish: Wish, chain: Sequence[Step]) -> str:
    if not is_stage_name(wish.name):
        raise ConfigError(f"{wish.name!r} is not a stage name", where="name", hint="letters, digits and _")
    taken = {s.name for s in chain}
    if wish.given and wish.name in taken:
        raise ConfigError(f"two stages are called {wish.name!r}", where="name", hint="give one of them another name")
    return numbered(wish.name, taken)


def numbered(name: str, taken: Iterable[str]) -> str:
    """`name`, or `name_2`, `name_3`, ...: the first that is not taken."""
    used = set(taken)
    names = (name if n == 1 else f"{name}_{n}" for n in range(1, len(used) + 2))
    return next(n for n in names if n not in used)


def _split_refs(wish: Wish, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(fields as plain values, references that are steps)."""
    config: dict[str, Any] = {}
    refs: dict[str, Any] = {}
    for key, value in wish.fields.items():
        mixed = isinstance(value, Mapping) and any(isinstance(v, Step) for v in value.values())
        if isinstance(value, Step) or mixed:
            labelled = value.items() if isinstance(value, Mapping) else ()
            refs[key] = {k: v if isinstance(v, Step) else str(v) for k, v in labelled} or value
        else:
            config[key] = plain(value, where=f"{where}.{key}")
    return config, refs


def plain(value: Any, *, where: str) -> Any:
    """A field's value as YAML holds it. Raises ConfigError for anything that no recipe can say."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path | Budget):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v, where=f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, where=f"{where}[{i}]") for i, v in enumerate(value)]
    raise ConfigError(f"a {type(value).__name__} cannot be a field of a stage", where=where, hint="use plain values")


def _operator(wish: Wish, config: Mapping[str, Any], refs: Mapping[str, Any], where: str) -> Operator:
    """The operator itself, with the keys of steps where a recipe has names of stages."""
    if is_user_target(wish.use):
        assert wish.folder is not None
        return user_operator(wish.use, config, wish.folder, where=where)[0]
    cls = operator_class(wish.use)
    ports = port_fields(cls)
    for key in refs:
        if ports.get(key) not in ("ref", "refs"):
            hint = did_you_mean(key, [p for p, kind in ports.items() if kind in ("ref", "refs")])
            raise ConfigError(f"{wish.use!r} takes no rows or stage as {key!r}", where=f"{where}.{key}", hint=hint)
    values = {k: "bytes/4" if v == TOKENIZER else v for k, v in config.items() if k != "identity"}
    return build(cls, values | {p: keys_of(v) for p, v in refs.items()}, where=where)


def keys_of(value: Any) -> Any:
    """A field's value with every step as its key."""
    if isinstance(value, Mapping):
        return {k: keys_of(v) for k, v in value.items()}
    return value.key if isinstance(value, Step) else value


def _draft(
    name: str, operator: Operator, wish: Wish, inputs: Sequence[Step], narrow: Step | None, known: Sequence[Step]
) -> tuple[Draft, list[Sub]]:
    """The draft of a step and, of a composite, its sub-stages."""
    subs: list[Sub] = []
    face = operator
    if isinstance(operator, Composite):
        subs = operator.expand(_scope(name, inputs, known, wish))
        face = subs[-1].operator
    outputs: Schema = face.outputs()
    if isinstance(operator, Union):
        outputs = {k: v for s in inputs for k, v in s.draft.outputs.items()}
    space = inputs[0].draft if inputs and not isinstance(operator, Union) else None
    draft = Draft(name=name, operator=face, outputs=dict(outputs), space=space, shape=face.kind)
    draft.inputs = [*(s.draft for s in inputs), *([narrow.draft] if narrow and operator.population else [])]
    return draft, subs


def _text(draft: Draft, subs: Sequence[Sub], wish: Wish, chain: Sequence[Step]) -> Node | None:
    """The editor of the step's own chain whose text counts. Raises ConfigError where it reads one of two."""
    said = texts_said(wish.keys)
    draft.reads_text = any(needs_text(op, wish.condition) for op in (draft.operator, *(s.operator for s in subs)))
    try:
        return text_of(draft.space, [s.draft for s in chain], said, where="")
    except ConfigError:
        if draft.reads_text:
            raise
        return None


def texts_said(keys: Mapping[str, Any]) -> tuple[str, ...]:
    """The stages that a step names as those whose text it reads."""
    said = keys.get("text") or ()
    return (said,) if isinstance(said, str) else tuple(said)


def _scope(name: str, inputs: Sequence[Step], known: Sequence[Step], wish: Wish) -> Scope:
    by_key = {s.key: s for s in [*known, *inputs]}

    def lookup(key: str) -> Sub:
        step = _known(by_key, key)
        below = tuple(s.key for s in step.inputs)
        return Sub(name=step.key, operator=step.operator, inputs=below, seed=step.keys.get("seed"))

    def space(key: str) -> str:
        draft = _known(by_key, key).draft
        rows = draft if draft.kind is Kind.ROWS else draft.space
        return next((s.key for s in by_key.values() if s.draft is rows), key)

    seed = int(wish.keys.get("seed") or 0)
    return Scope(
        stage=name, inputs=tuple(s.key for s in inputs), where=wish.condition, seed=seed, lookup=lookup, space=space
    )


def _known(by_key: Mapping[str, Step], key: str) -> Step:
    if key not in by_key:
        raise ConfigError(f"{key!r} is not a selection", hint="give the rows that a selection left, or a selector")
    return by_key[key]


def _resolved(
    draft: Draft, subs: Sequence[Sub], wish: Wish, chain: Sequence[Step], inputs: Sequence[Step]
) -> tuple[list[Step], tuple[Step, ...], dict[str, Step]]:
    """(steps to be listed as inputs, steps read through names alone, names that contain a stage's name)."""
    if draft.space is None:
        return [], (), {}
    steps = [*inputs, *chain]
    earlier = [s.draft for s in steps]
    wheres = sql.column_names(wish.condition) if wish.condition else []
    names = [*_needs(draft.operator), *wheres] if not subs else [*_outer_needs(subs, inputs), *wheres]
    columns = resolve_columns(draft, list(dict.fromkeys(names)), earlier)
    draft.chosen_from = chosen_from(draft.operator, columns, draft.inputs) if not subs else []
    of = {id(s.draft): s for s in steps}
    owners = {n: of[id(draft.inputs[i])] for n, (i, _) in columns.items() if id(draft.inputs[i]) in of}
    mentions = {n: s for n, s in owners.items() if n not in ROW_COLUMNS and n not in s.draft.outputs}
    bare = [] if subs else [s for n, s in owners.items() if n not in ROW_COLUMNS and n not in mentions]
    if isinstance(draft.operator, Rewrite):
        draft.columns = columns
        draft.outputs |= carried_types(draft)
    return bare, tuple(dict.fromkeys([*mentions.values(), *owners.values()])), mentions


def _needs(operator: Operator) -> list[str]:
    return [*operator.needs(), *operator.looks_up()]


def _outer_needs(subs: Sequence[Sub], inputs: Sequence[Step]) -> list[str]:
    """Columns that the sub-stages of a composite read from its inputs and none of them adds."""
    given = {s.key for s in inputs}
    own = {name for sub in subs for c in sub.operator.outputs() for name in (c, f"{sub.name}.{c}")}
    reading = [s for s in subs if s.inputs and {i for i in s.inputs if not i.startswith(".")} <= given]
    return [n for sub in reading for n in _needs(sub.operator) if n not in own]


def _key(step: Step) -> str:
    """Name and digest of everything the step is, as far as the program says it."""
    reads = [[s.key for s in step.inputs], step.narrow.key if step.narrow else None, [s.key for s in step.named]]
    body = [step.use, step.config, keys_of(step.refs), reads, step.condition, step.keys, str(step.folder or "")]
    text = json.dumps(body, sort_keys=True, default=str)
    return f"{step.name}@{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
