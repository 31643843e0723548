"""Recipes as YAML: a thin face over stages. YAML 1.2 scalars, no duplicate or unknown keys, `${vars}`."""

from __future__ import annotations

import itertools
import re
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.store.locations import refuse_scheme
from winnow.dags.recipe.registry import target_of

STAGE_KEYS = ("use", "inputs", "where", "ignore", "text", "seed", "max_bad_share", "strict", "timeout_s", "expect")
TOP_KEYS = ("name", "seed", "tokenizer", "vars", "stages", "max_bad_share", "strict", "expect", "about")
MAX_BAD_SHARE = 0.001  # where a recipe says nothing
SETTABLE = ("seed", "tokenizer", "name", "max_bad_share", "strict")  # top-level keys that `--set` may give
RECIPES = Path(__file__).parent / "recipes"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_TWICE = re.compile(r'found duplicate key "(.*?)" with value')
_RUN_NAME = re.compile(r"[^./\\:\x00-\x1f\x7f\ud800-\udfff][^/\\:\x00-\x1f\x7f\ud800-\udfff]*\Z")
MOST_BYTES, MOST_DEPTH, MOST_VALUES = 16 << 20, 50, 200_000  # of a recipe, aliases written out
MOST_NAME_BYTES, MOST_BITS = 200, 1024


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One stage as written: operator name, inputs, stage-level keys, and the operator's own fields."""

    name: str
    use: str
    inputs: tuple[str, ...] = ()
    where: str | None = None
    ignore: tuple[str, ...] = ()  # cleaning decisions above that the stage does not respect; ("all",): none of them
    text: tuple[str, ...] = ()  # whose text it reads, one stage per row space; of others the newest that stands above
    seed: int | None = None
    max_bad_share: float | None = None
    strict: bool | None = None  # None: as the recipe says
    timeout_s: float = 300.0
    expect: Mapping[str, Any] | None = None  # as written; what it may say is in `expectations`
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole DAG as written, in the order of the data."""

    name: str
    folder: Path  # where user modules and relative files are looked for
    stages: tuple[StageSpec, ...]
    seed: int = 0
    tokenizer: str = "bytes/4"
    max_bad_share: float = MAX_BAD_SHARE
    strict: bool = False  # remarks fail the run, and no bad row is let pass
    expect: Mapping[str, Any] | None = None  # of the run's end points
    text: str = field(default="", compare=False)  # as written, for the record of a run


def load_recipe(source: str, *, sets: Mapping[str, str] | None = None) -> Recipe:
    """The recipe at a path or of a built-in name, with `--set` values applied.

    Raises ConfigError on anything that is not exactly a recipe.
    """
    path = find_recipe(source)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path.stat().st_size:,} bytes are no recipe", where=str(path), hint="name a .yaml file")
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        what = f"the recipe is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        raise ConfigError(what, where=str(path), hint="save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot read the recipe: {error.strerror}", where=str(path)) from error
    folder = Path.cwd() if path.parent == RECIPES else path.parent.resolve()  # paths of a built-in one are the user's
    return parse_recipe(text, name=path.stem, folder=folder, sets=sets, where=str(path))


def find_recipe(source: str) -> Path:
    """Path of a recipe given as a file or by built-in name."""
    refuse_scheme(source, where="recipe")
    path = Path(source)
    if path.is_file():
        return path
    known = {p.stem: p for p in sorted(RECIPES.glob("*.yaml"))}
    if source in known:
        return known[source]
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in (".yaml", ".yml"))
        hint = f"name a recipe in it: {', '.join(inside[:5])}" if inside else "name a recipe: a .yaml file"
        raise ConfigError(f"{source!r} is a folder, not a recipe", hint=hint)
    if path.suffix in (".yaml", ".yml") or "/" in source:
        raise ConfigError(f"no recipe at {source!r}", hint="check the path, or name a built-in: " + ", ".join(known))
    raise ConfigError(f"unknown recipe {source!r}", hint=did_you_mean(source, known))


def parse_recipe(
    text: str, *, name: str, folder: Path, sets: Mapping[str, str] | None = None, where: str = ""
) -> Recipe:
    """The recipe in a YAML text; `where` names it in errors (default: its name)."""
    where = where or name
    raw = _load(text, where)
    if not isinstance(raw, dict) or not isinstance(raw.get("stages"), dict) or not raw["stages"]:
        hint = "for example `stages: {docs: {use: jsonl, files: raw/*.jsonl}}`"
        raise ConfigError("a recipe needs `stages:` with at least one stage", where=where, hint=hint)
    _known_keys(raw, TOP_KEYS, where=where)
    if not isinstance(raw.get("vars") or {}, dict):
        raise ConfigError("`vars` gives names to values", where=f"{where}.vars", hint="for example `vars: {words: 40}`")
    variables = _builtin_variables(folder) | dict(raw.get("vars") or {})
    overrides = {k: scalar(v) for k, v in (sets or {}).items()}
    for key, value in overrides.items():
        _apply(raw, variables, key, value)
    filled = _fill({k: v for k, v in raw.items() if k != "vars"}, variables, where=where)
    stages = tuple(_stage(key, value) for key, value in filled["stages"].items())
    return Recipe(
        name=run_name(filled.get("name", name), where="name"),
        folder=folder,
        stages=stages,
        seed=_whole(filled.get("seed", 0), "seed"),
        tokenizer=str(filled.get("tokenizer", "bytes/4")),
        max_bad_share=_share(filled.get("max_bad_share", MAX_BAD_SHARE), "max_bad_share"),
        strict=_flag(filled.get("strict", False), "strict"),
        expect=filled.get("expect"),
        text="".join(f"# --set {k}={v}\n" for k, v in (sets or {}).items()) + text,
    )


def _load(text: str, name: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return _unfolded(YAML(typ="safe", pure=True).load(text), name, itertools.count())
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:  # a tag that does not fit
        what = "nested too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())[:200]
        hint = "is a `!!tag` or a number what it says?"
        raise ConfigError(f"this is not YAML: {what}", where=name, hint=hint) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error).strip().splitlines()[0]
        twice = _TWICE.match(problem)
        if twice:
            wrong = ConfigError(
                f"the key {twice[1]!r} stands twice", where=f"{name}{line}", hint="rename or remove one"
            )
        else:
            wrong = ConfigError(f"this is not YAML: {problem}", where=f"{name}{line}", hint=_yaml_hint(problem))
        raise wrong from error


def _unfolded(value: Any, name: str, count: Iterator[int], depth: int = 0) -> Any:
    """The same value, aliases written out. Raises ConfigError where that is deeper or larger than any recipe."""
    seen = next(count)
    huge = isinstance(value, int) and value.bit_length() > MOST_BITS
    if huge or depth > MOST_DEPTH or seen > MOST_VALUES:
        what = f"nested more than {MOST_DEPTH} deep" if depth > MOST_DEPTH else f"more than {MOST_VALUES:,} values"
        what = f"a number of {value.bit_length():,} bits" if huge else what
        raise ConfigError(f"this is no recipe: {what}", where=name, hint="does an alias (`*name`) hold itself?")
    if isinstance(value, dict):
        return {k: _unfolded(v, name, count, depth + 1) for k, v in value.items()}
    return [_unfolded(v, name, count, depth + 1) for v in value] if isinstance(value, list) else value


def _yaml_hint(problem: str) -> str:
    """What usually is behind a YAML error."""
    if "\\t" in problem or "tab" in problem:
        return "indent with spaces, not tabs"
    if "<scalar>" in problem:
        return (
            'a text ends at its next quote: write "lang = \'en\'"; in \'...\' a quote is doubled, in "..." it is `\\"`'
        )
    return "quote texts that hold `: `, `#`, `{`, `[`, `*` or `%`; brackets must be closed"


def scalar(value: str) -> Any:
    """The value that a text means in YAML. Raises ConfigError where it is none."""
    return _load(value, f"--set value {value!r}") if isinstance(value, str) else value


def _apply(raw: dict[str, Any], variables: dict[str, Any], key: str, value: Any) -> None:
    """One `--set`: a variable, a top-level key, `stage.field[.key]`, or `stages.stage`, a stage as a whole."""
    whole = key.startswith("stages.") and "stages" not in raw["stages"]
    key = key.removeprefix("stages.") if whole else key
    head, _, rest = key.partition(".")
    if not rest and not whole:
        if key in variables:
            variables[key] = value
        elif key in SETTABLE:
            raw[key] = value
        else:
            raise ConfigError(
                f"--set {key}: neither a variable of the recipe nor a top-level key",
                hint=did_you_mean(key, [*variables, *SETTABLE]),
            )
        return
    if head not in raw["stages"]:
        raise ConfigError(f"--set {key}: no stage {head!r}", hint=did_you_mean(head, raw["stages"]))
    target = raw["stages"]
    *inner, last = key.split(".")
    for step in inner:
        target = target.setdefault(step, {})
        if not isinstance(target, dict):
            raise ConfigError(f"--set {key}: {step!r} is not a mapping")
    target[last] = value


def _builtin_variables(folder: Path) -> dict[str, Any]:
    paths = sysconfig.get_paths()
    return {"stdlib": paths["stdlib"], "site_packages": paths["purelib"], "recipe_dir": str(folder)}


def _fill(value: Any, variables: Mapping[str, Any], *, where: str) -> Any:
    if isinstance(value, dict):
        filled = {_key(k): _fill(v, variables, where=f"{where}.{_key(k)}") for k, v in value.items()}
        if len(filled) < len(value):
            raise ConfigError("two keys are the same text", where=where, hint=f"of {', '.join(map(repr, value))}")
        return filled
    if isinstance(value, list):
        return [_fill(v, variables, where=where) for v in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    for name in _VARIABLE.findall(value):
        if name not in variables:
            raise ConfigError(f"no variable ${{{name}}}", where=where, hint=did_you_mean(name, variables))
    whole = _VARIABLE.fullmatch(value)
    if whole:
        return variables[whole.group(1)]
    return _VARIABLE.sub(lambda m: str(variables[m.group(1)]), value)


def _key(key: Any) -> str:
    """A key as it is written: a truth value and null too, which are labels of documents."""
    return {True: "true", False: "false", None: "null"}[key] if key is None or isinstance(key, bool) else str(key)


def is_stage_name(name: str) -> bool:
    """True for letters, digits and _ after a letter."""
    return _NAME.match(name) is not None


def run_name(value: Any, *, where: str) -> str:
    """A name that runs, and the folder of their root, may have. Raises ConfigError."""
    if not isinstance(value, str) or not _RUN_NAME.match(value) or len(value.encode()) > MOST_NAME_BYTES:
        raise ConfigError(f"{value!r} cannot name a run", where=where, hint="letters, digits, - and _")
    return value


def _stage(name: str, raw: Any) -> StageSpec:
    where = f"stages.{name}"
    if not is_stage_name(name):
        raise ConfigError(f"{name!r} is not a stage name", where=where, hint="letters, digits and _")
    if not isinstance(raw, dict) or not isinstance(raw.get("use"), str):
        raise ConfigError("a stage needs `use: OPERATOR`", where=where, hint="`winnow list` prints the operators")
    inputs = raw.get("inputs", [])
    inputs = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(inputs, list) or not all(isinstance(i, str) for i in inputs):
        raise ConfigError("`inputs` names one stage or a list of stages", where=where)
    condition = condition_of(raw.get("where"), where=where)
    seed = raw.get("seed")
    bad = raw.get("max_bad_share")
    return StageSpec(
        name=name,
        use=target_of(raw["use"]),
        inputs=tuple(inputs),
        where=condition,
        ignore=_named(
            raw.get("ignore"), where=f"{where}.ignore", hint="for example `ignore: [clean]`, or `ignore: all`"
        ),
        text=_named(raw.get("text"), where=f"{where}.text", hint="the stage whose text is read: `text: docs`"),
        seed=None if seed is None else _whole(seed, f"{where}.seed"),
        max_bad_share=None if bad is None else _share(bad, f"{where}.max_bad_share"),
        strict=None if raw.get("strict") is None else _flag(raw["strict"], f"{where}.strict"),
        timeout_s=_seconds(raw.get("timeout_s", 300.0), f"{where}.timeout_s"),
        expect=raw.get("expect"),
        config={k: v for k, v in raw.items() if k not in STAGE_KEYS},
    )


def _named(value: Any, *, where: str, hint: str) -> tuple[str, ...]:
    """The names of stages above that a key of a stage holds: one, or a list."""
    names = [value] if isinstance(value, str) else [] if value is None else value
    if value is not None and not (isinstance(names, list) and names and all(isinstance(n, str) for n in names)):
        key, what = where.rpartition(".")[2], "deciding stages" if where.endswith(".ignore") else "stages"
        raise ConfigError(f"`{key}` names {what} above, found {value!r}", where=where, hint=hint)
    return tuple(names)


def condition_of(value: Any, *, where: str) -> str | None:
    """A stage's `where`: SQL, or None where there is none. Raises ConfigError for anything else."""
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise ConfigError(f"`where` is SQL over columns, found {value!r}", where=where)


def _known_keys(raw: Mapping[str, Any], known: tuple[str, ...], *, where: str) -> None:
    for key in raw:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}", where=where, hint=did_you_mean(str(key), known))


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ConfigError(f"expected a whole number, found {value!r}", where=where)
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"expected true or false, found {value!r}", where=where)
    return value


def _seconds(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigError(f"expected seconds above 0, found {value!r}", where=where)
    return float(value)


def _share(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"expected a share in [0, 1], found {value!r}", where=where)
    return float(value)
