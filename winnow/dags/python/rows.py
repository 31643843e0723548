"""The Python form: `w.read(...)`, operators by name, selections and ablations; nothing runs until `run` or `ablate`.

A `Rows` value is a row space, the stages written so far, and a population. An operator called on it, `rows.minhash()`,
adds one stage over the same row space and gives a new value; the old one stays as it was. How a chain is read:

* A stage that decides (adds `kept`: filter, exact, minhash, a selection) narrows the population of what follows. In
  YAML: `where: kept_STAGE` on the next stages; for selections and `write` that stage among their `inputs`. Since each
  deciding stage was itself narrowed, the last one stands for all before it. Other stages leave the population alone.
* `where=` narrows one stage further (`where: kept_STAGE and (...)`); `rows.widen()` takes the narrowing back.
* `concat` and `write` open a row space: columns of the old one are named no more, except those `write` carries.
* A name in a condition, in `by=` or in a function's `needs` means a column of this chain, found by the rules of
  recipes. Missing `token_count` is counted with the recipe's tokenizer; what a user's selector needs and its module has
  a scorer for is scored on the rows given to it.

Stages and fingerprints are those of the same recipe in YAML; `to_yaml()` prints it.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.core.errors import ConfigError, WinnowError, did_you_mean
from winnow.core.operators import Composite, Derive, Kind, Operator, Union, port_fields, sql
from winnow.core.operators.config import build
from winnow.core.operators.usercode import Selection, UserFunction
from winnow.dags.python.function import module_of
from winnow.dags.python.implied_steps import with_implied
from winnow.dags.python.policies import said_in_python, split_arms
from winnow.dags.python.recipe import Lazy, Made
from winnow.dags.python.signature import dressed
from winnow.dags.python.step import Step, Wish, budgeted, keys_of, make_step
from winnow.dags.recipe.registry import REGISTRY, function_named, known_names, operator_class, reader_of
from winnow.dags.recipe.yaml_recipe import condition_of
from winnow.scorers.function_scorer import FunctionScorer
from winnow.selectors.function_selector import FunctionSelector

if TYPE_CHECKING:
    from typing import Unpack

    import polars as pl

    from winnow.dags.looking.run import Result
    from winnow.dags.python.operators import (
        AblationFields,
        AblationStage,
        OperatorMethods,
        ReaderFields,
        RowKeys,
        StageKeys,
    )
else:
    OperatorMethods = object  # signatures for type checkers; `__getattr__` makes the methods

_KEYS = ("seed", "text", "max_bad_share", "strict", "timeout_s", "expect")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Rows(Lazy, OperatorMethods):
    """Documents to be: a row space, its stages so far, and the population that follows from them."""

    space: Step
    narrow: Step | None = None
    beside: tuple[Step, ...] = ()  # those of `steps` that references brought along: they run, their columns are unseen

    @property
    def chain(self) -> tuple[Step, ...]:
        """The stages whose columns later stages may name."""
        hidden = {s.key for s in self.beside}
        return tuple(s for s in self.steps if s.key not in hidden)

    def __repr__(self) -> str:
        names = " -> ".join(s.name for s in self.chain)
        return f"<lazy rows: {names}; population: {self.narrow.name if self.narrow else 'all rows'}>"

    def _repr_html_(self) -> str:
        """The same for a notebook; nothing in it is markup."""
        return f"<pre>{html.escape(repr(self))}</pre>"

    if not TYPE_CHECKING:  # type checkers read `OperatorMethods`, where a wrong name is an error

        def __getattr__(self, name: str) -> Callable[..., Any]:
            if name.startswith("_"):
                raise AttributeError(name)
            function = function_named(name)
            if function is not None:  # of a plug-in
                given = self.select if function.kind == "selector" else self.score
                return lambda **keys: (
                    given(function(**keys)) if function.kind == "selector" else given(function, **keys)
                )
            if name not in known_names():
                known = [*known_names(), *(n for n in dir(type(self)) if not n.startswith("_"))]
                raise AttributeError(f"no operator {name!r}; {did_you_mean(name, known)}")

            def apply(**fields: Any) -> Any:
                return _apply(self, name, operator_class(name), fields)

            return dressed(apply, operator_class(name), _KEYS)

    def __dir__(self) -> list[str]:
        return sorted([*object.__dir__(self), *known_names()])

    def score(self, scorer: UserFunction, **keys: Unpack[RowKeys]) -> Rows:
        """The rows with the column of a user's scorer.

        Raises: ConfigError where it is not a decorated function of a saved module.
        """
        if not isinstance(scorer, UserFunction) or scorer.kind != "scorer":
            raise ConfigError(f"{scorer!r} is not a scorer", hint="decorate it: `@w.scorer('name')`, in a saved module")
        return _rows(_apply(self, scorer, FunctionScorer, keys))

    def select(self, selection: Selection | UserFunction, **keys: Any) -> Rows:
        """The rows narrowed to what a selection keeps: `w.random(...)`, `w.top_k(...)`, or a user's selector."""
        if isinstance(selection, UserFunction) and selection.kind == "selector":
            selection = Selection(use=selection, fields={})
        if not isinstance(selection, Selection):
            raise ConfigError(
                f"{selection!r} is not a selection", hint="for example w.random(tokens='5M'), or calmest(tokens='5M')"
            )
        cls = operator_class(selection.use) if isinstance(selection.use, str) else FunctionSelector
        return _rows(_apply(self, selection.use, cls, {**selection.fields, **keys}))

    def head(self, n: int = 5) -> pl.DataFrame:
        """The first `n` documents of these rows' files, as their reader reads them; needs no run root, runs no stage.

        `run.head(stage)` of a run shows what stages add. Raises: ConfigError where the rows are not read from files.
        """
        from winnow.dags.python.peek import first_documents

        return first_documents(self.space, n)

    def widen(self) -> Rows:
        """The same rows and columns with every row in the population again."""
        return dataclasses.replace(self, narrow=None)


def read(*files: str | Path, reader: str = "", name: str = "", **fields: Unpack[ReaderFields]) -> Rows:
    """Documents of files (globs), by the reader that their suffix names or that `reader` says; lazy.

    Raises: ConfigError where no reader is known for the suffix.
    """
    use = reader or _reader_of([str(f) for f in files])
    cls = operator_class(use)
    if not issubclass(cls, Derive):
        raise ConfigError(f"{use!r} does not read files", where="reader", hint=did_you_mean(use, _readers()))
    keys, rest = _stage_keys(fields)
    given = {"files": [str(f) for f in files]} if files else {}
    step = make_step(Wish(use=use, fields=given | rest, name=name or "docs", given=bool(name), keys=keys), [], [], None)
    return Rows(steps=(step,), space=step)


def concat(*rows: Rows, name: str = "", **keys: Unpack[StageKeys]) -> Rows:
    """One row space over several, without a copy. Raises ConfigError where one of them is narrowed."""
    for each in rows:
        if each.narrow is not None:
            raise ConfigError(
                f"`concat` takes whole row spaces, and these rows are narrowed by {each.narrow.name!r}",
                hint="concat first and filter after, or `.write()` them and concat what was written",
            )  # fmt: skip
    chain = _joined(*(r.steps for r in rows))
    stage_keys, rest = _stage_keys(keys)
    wish = Wish(use="concat", fields=rest, name=name or "concat", given=bool(name), keys=stage_keys)
    step = make_step(wish, chain, [r.space for r in rows], None)
    return Rows(steps=(*chain, step), space=step)


def selection(use: str, **fields: Any) -> Selection:
    """A registered selector with its fields, for `pool.select` or an arm of `ablate`.

    Raises: ConfigError for an unknown selector or unusable fields.
    """
    cls = operator_class(use)
    if cls.role != "selector":
        raise ConfigError(f"{use!r} is a {cls.role}, not a selector", hint="call it on rows: rows." + use + "(...)")
    own = {k: v for k, v in budgeted(cls, fields).items() if k not in (*_KEYS, "name", "where")}
    build(cls, {k: use if isinstance(v, Lazy) else v for k, v in own.items()}, where=use)
    return Selection(use=use, fields=fields)


def random(**fields: Any) -> Selection:
    """A selection by lot up to a budget (`tokens="5M"`, `docs=`, `bytes=`, `share=`): the usual baseline."""
    return selection("random", **fields)


def top_k(**fields: Any) -> Selection:
    """The best rows by a column (`by=`) up to a budget (`tokens="5M"`, `docs=`, `bytes=`, `share=`)."""
    return selection("top_k", **fields)


def __getattr__(name: str) -> Callable[..., Selection]:
    """Every other registered selector by name, as `random` and `top_k` are."""
    if name.startswith("_") or name not in REGISTRY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    cls = operator_class(name)
    if cls.role != "selector":
        raise AttributeError(f"{name!r} is a {cls.role}, not a selector: call it on rows, rows.{name}(...)")

    def choose(**fields: Any) -> Selection:
        return selection(name, **fields)

    return dressed(choose, cls, _KEYS)


def ablation(
    pool: Rows, *, arms: Mapping[str, Any], eval: Any, baseline: Any = None,  # noqa: A002 (a port's name)
    **fields: Unpack[AblationStage],
) -> Made:  # fmt: skip
    """The comparison of `arms` (label -> selection, or rows a selection left) on `pool`; lazy.

    An arm with a policy is `{"data": selection, rows or another arm's label, "policy": {"use": "lin_upper", ...}}`.
    The baseline is `baseline` (a label of `arms`, a selection or rows), else the one arm that is `w.random(...)`.
    Raises: ConfigError where the baseline is not clear.
    """
    data, policies = split_arms(arms)
    chosen = {label: _arm(pool, label, arm) for label, arm in data.items() if not isinstance(arm, str)}
    chosen = {label: chosen[arm] if isinstance(arm, str) else chosen[label] for label, arm in data.items()}
    if baseline is None:
        plain = [(label, rows) for label, rows in chosen.items() if label not in policies]
        lots = [label for label, rows in plain if rows.narrow and rows.narrow.use == "random"]
        if len(lots) != 1:
            raise ConfigError(
                f"{len(lots)} arms are `w.random(...)`, so which one is the baseline is not clear",
                where="baseline", hint="say baseline='label', or baseline=w.random(tokens='5M')",
            )  # fmt: skip
        baseline = lots[0]
    if isinstance(baseline, str) and baseline not in chosen:
        raise ConfigError(f"no arm {baseline!r}", where="baseline", hint=did_you_mean(baseline, chosen))
    against = chosen.pop(baseline) if isinstance(baseline, str) else _arm(pool, "baseline", baseline)
    made = _apply(
        pool, "ablation", operator_class("ablation"),
        {"arms": chosen, "baseline": against, "eval": eval, "name": "effect", **fields,
         **({"policies": {k: _policy(pool, p, f"{k}_policy") for k, p in policies.items()}} if policies else {})},
    )  # fmt: skip
    assert isinstance(made, Made)
    return made


def ablate(
    pool: Rows, *, arms: Mapping[str, Any], eval: Any, run: str | Path, baseline: Any = None,  # noqa: A002 (a port's name)
    seed: int = 0, tokenizer: str = "bytes/4", engine: str = "auto", workers: int | None = None, progress: bool = True,
    **fields: Unpack[AblationFields],
) -> Result:  # fmt: skip
    """Train small models on each arm and compare them: runs everything that is not done; `str()` is the table.

    `run` is the run root. Other fields are those of the `ablation` operator (`seeds=`, `width=`, `tokens=` per run).
    Raises: ConfigError before anything has run; DataError, EngineError after everything else has run.
    """
    made = ablation(pool, arms=arms, eval=eval, baseline=baseline, **fields)
    opened = made.run(run, seed=seed, tokenizer=tokenizer, engine=engine, workers=workers, progress=progress)
    return opened.result(made.steps[-1].name)


def _policy(rows: Rows, said: Any, name: str) -> Made:
    """The stage of a policy: `{"use": name or function, ...}`, a function, or a stage as it is."""
    if isinstance(said, Lazy):
        return Made(steps=said.steps)
    use, fields = said_in_python(said)
    if isinstance(use, UserFunction):
        home = module_of(use)
        wish = Wish(use=home.target, fields=fields, name=name, folder=home.path.parent)
        over = [rows.space] if use.needs else []
    else:
        wish = Wish(use=use, fields=fields, name=name)
        over = [rows.space] if operator_class(use).kind is Kind.COLUMNS else []
    step = make_step(wish, rows.chain, over, None, beside=rows.beside)
    return Made(steps=(*rows.steps, step))


def _arm(pool: Rows, label: str, arm: Any) -> Rows:
    if isinstance(arm, Selection | UserFunction):
        named = isinstance(arm, Selection) and "name" in arm.fields
        free = label.isidentifier() and label not in {s.name for s in pool.steps}
        return pool.select(arm, **({"name": label} if free and not named else {}))
    if isinstance(arm, Rows):
        return arm
    raise ConfigError(f"arm {label!r} is {arm!r}", where="arms", hint="give a selection such as w.random(tokens='5M')")


def _apply(rows: Rows, use: str | UserFunction, cls: type[Operator], fields: Mapping[str, Any]) -> Lazy:
    """The rows (or what else the operator leaves) after one more stage."""
    if issubclass(cls, Derive | Union):
        raise ConfigError(f"{cls.name!r} opens rows of its own", hint="w.read(...) and w.concat(...) begin a chain")
    function = module_of(use) if isinstance(use, UserFunction) else None
    keys, rest = _stage_keys(fields)
    if isinstance(rest.get("policy"), Mapping | UserFunction) and port_fields(cls).get("policy") == "ref":
        rest["policy"] = _policy(rows, rest["policy"], f"{rest.get('name') or cls.name}_policy")
    condition = condition_of(rest.pop("where", None), where=f"{use}.where")
    given = str(rest.pop("name", "") or "")
    own = budgeted(cls, rest)
    default = function.name if function else cls.name
    wish = Wish(
        use=function.target if function else str(use), fields={}, name=given or default, given=bool(given),
        condition=condition, keys=keys, folder=function.path.parent if function else None,
    )  # fmt: skip
    ported, brought = _referenced(rows, own)
    needs = [*_plain_needs(cls, ported), *(sql.column_names(condition) if condition else [])]
    dialect = _dialect(cls, ported)
    rows, read = with_implied(rows, use, needs, condition, dialect)
    own_keys = {s.key for s in rows.chain}
    beside = tuple(s for s in _joined(rows.beside, brought) if s.key not in own_keys)
    step = make_step(
        dataclasses.replace(wish, fields=ported), rows.chain, [rows.space, *read], rows.narrow, beside=beside
    )
    steps = (*_joined(rows.steps, beside), step)
    if step.draft.kind is Kind.ROWS:
        return Rows(steps=steps, space=step, beside=beside)
    if step.draft.kind is Kind.COLUMNS:
        narrow = step if "kept" in step.draft.outputs else rows.narrow
        return Rows(steps=steps, space=rows.space, narrow=narrow, beside=beside)
    return Made(steps=steps)


def _referenced(rows: Rows, fields: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Step, ...]]:
    """The fields with lazy values as steps, and the steps that they bring along."""
    brought: list[tuple[Step, ...]] = []

    def step_of(value: Any) -> Any:
        if isinstance(value, Selection):
            value = rows.select(value)
        if not isinstance(value, Lazy):
            return value
        brought.append(value.steps)
        return (value.narrow or value.space) if isinstance(value, Rows) else value.steps[-1]

    out = {
        key: {str(k): step_of(v) for k, v in value.items()} if isinstance(value, Mapping) else step_of(value)
        for key, value in fields.items()
    }
    return out, _joined(*brought)


def _plain_needs(cls: type[Operator], fields: Mapping[str, Any]) -> list[str]:
    """What an operator needs, as far as that hangs on its plain fields; its errors are raised when its step is made."""
    if issubclass(cls, Composite):
        return ["token_count"] if "token" in str(fields.get("budget", "")) else []
    operator = _built(cls, fields)
    return [*operator.needs(), *operator.looks_up()] if operator else []


def _dialect(cls: type[Operator], fields: Mapping[str, Any]) -> str:
    """The dialect in which an operator means the columns that it reads; '' where any will do."""
    operator = None if issubclass(cls, Composite) else _built(cls, fields)
    return next(iter(operator.dialects().values()), "") if operator else ""


def _built(cls: type[Operator], fields: Mapping[str, Any]) -> Operator | None:
    try:
        return build(cls, {k: keys_of(v) for k, v in fields.items()}, where="")
    except WinnowError:
        return None


def _joined(*chains: tuple[Step, ...]) -> tuple[Step, ...]:
    """Every step once, in order; equal steps of two chains are one."""
    steps: dict[str, Step] = {}
    for chain in chains:
        for step in chain:
            steps.setdefault(step.key, step)
    return tuple(steps.values())


def _stage_keys(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {k: fields[k] for k in _KEYS if k in fields}, {k: v for k, v in fields.items() if k not in _KEYS}


def _rows(lazy: Lazy) -> Rows:
    assert isinstance(lazy, Rows)
    return lazy


def _readers() -> list[str]:
    return [n for n in REGISTRY if issubclass(operator_class(n), Derive)]


def _reader_of(files: list[str]) -> str:
    if not files:
        raise ConfigError("no files are named", where="read", hint='for example w.read("raw/*.jsonl.zst")')
    named = {reader_of(f) for f in files}
    if len(named) > 1 or "" in named:
        raise ConfigError(
            f"the suffix of {', '.join(files)} does not name one reader",
            where="read", hint="say reader=" + " or ".join(f"'{n}'" for n in _readers()),
        )  # fmt: skip
    return named.pop()
