"""The typed face of the Python form: signatures of all operators, made from their fields for type checkers.

`python docs/hooks/stubs.py` (or `make stubs`) writes `winnow/dags/python/operators.pyi` anew.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import winnow
from winnow.core.operators import Composite, Derive, Kind, Operator, Union, port_fields, summary_of
from winnow.core.operators.budget import Budget
from winnow.dags.python.rows import Rows, read
from winnow.dags.python.step import BUDGET_UNITS
from winnow.dags.recipe.adds import stand_in
from winnow.dags.recipe.input_files import Identity
from winnow.dags.recipe.registry import REGISTRY, operator_class

STUB = Path(winnow.__file__).parent / "dags" / "python" / "operators.pyi"
WIDTH = 116
HEAD = '''"""Signatures of all operators, for type checkers alone: methods of `Rows`, selections, fields of `read` and `ablate`.

Made from the operators by `make stubs`; nothing here is written by hand, and a test compares.
"""

# fmt: off

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypedDict, Unpack

from winnow.core.operators.budget import Budget
from winnow.core.operators.usercode import Selection
from winnow.dags.python.recipe import Lazy, Made

__all__ = {selectors}

Whole: TypeAlias = int | str  # a whole number; "250k" and "5M" too
Wholes: TypeAlias = Whole | list[Whole] | tuple[Whole, ...]
Floats: TypeAlias = float | list[float] | tuple[float, ...]
Texts: TypeAlias = str | list[str] | tuple[str, ...]
Values: TypeAlias = list[Any] | tuple[Any, ...]
Amount: TypeAlias = float | str  # 300, or "5M", "20GB", "10%"
Files: TypeAlias = str | Path | list[str] | list[Path] | list[str | Path] | tuple[str | Path, ...]  # paths and globs
Ref: TypeAlias = Lazy | Selection | str | Path  # rows, a stage to be, a selection, or files
Refs: TypeAlias = Mapping[str, Ref] | Ref | list[str] | tuple[str, ...]  # by label

class Expect(TypedDict, total=False):
    """What is expected of a stage; checked when it is complete."""

    kept_share: float | list[float] | tuple[float, float]
    answered_share: float | list[float] | tuple[float, float]
    budget_filled: float | list[float] | tuple[float, float]
    max_items_found: float
    min_rows: int
    max_rows: int
    min_tokens: int
    max_tokens: int
    no_nulls: Texts
    unique: Texts
    between: Mapping[str, Floats]

class StageKeys(TypedDict, total=False):
    """Keys of every stage."""

    seed: int
    text: Texts
    max_bad_share: float
    strict: bool
    timeout_s: float
    expect: Expect

class RowKeys(StageKeys, total=False):
    """Keys of a stage over rows."""

    name: str
    where: str | None
'''
LISTS = {"Whole": "Wholes", "float": "Floats", "str": "Texts", "Any": "Values"}
GIVEN = {  # values where those made from the types alone are refused
    "classifier": {"model": "model.bin", "label": "__label__hq"},
    "named_entities": {"engine": "spacy", "model": "ner"},
    "llm_compare": {"endpoint": "http://127.0.0.1:9/v1", "model": "judge", "rubric": "pairs.txt"},
    "rewrite": {"endpoint": "http://127.0.0.1:9/v1", "model": "writer"},
    "llm_annotate": {
        "endpoint": "http://127.0.0.1:9/v1",
        "model": "judge",
        "rubric": "r.txt",
        "answer": {"score": {"type": "integer"}},
    },
    "ngram_lm": {"model_file": "model.arpa"},
    "meta_rater": {"selection": "best", "eval": "held", "scores": {"words": "word_count", "bytes": "text_bytes"}},
    "skill_graph": {"selection": "stage", "feedback": {"a": "stage"}, "per": "origin"},
    "join": {"files": "notes.jsonl", "key": "id", "columns": {"grade": "float64"}},
    "url_lists": {"lists": "blocked.txt", "column": "origin"},
    "url_score": {"positive": "word_count > 3", "column": "origin"},
    "limits": {"per": "origin", "most": {"word_count": "tail 0.1"}},
}


def stub() -> str:
    """The text of the stub: shared keys, what `read` and `ablate` take, a method per operator, a function per selector."""
    classes = {name: operator_class(name) for name in sorted(REGISTRY)}
    on_rows = {name: cls for name, cls in classes.items() if not issubclass(cls, Derive | Union)}
    readers = [cls for cls in classes.values() if issubclass(cls, Derive)]
    selectors = [name for name, cls in classes.items() if cls.role == "selector"]
    head = HEAD.replace("{selectors}", "[" + "".join(f"\n    {name!r}," for name in selectors) + "\n]")
    lines = [head, *reader_fields(readers), *ablation_fields(classes["ablation"])]
    lines += ["class OperatorMethods:", '    """One method per operator that reads rows: the stage it adds."""']
    for name, cls in on_rows.items():
        lines += ["", *method(name, cls)]
    for name in selectors:
        lines += ["", *selection(name, classes[name])]
    return "\n".join(lines) + "\n"


def method(name: str, cls: type[Operator]) -> list[str]:
    """The method of `Rows` for an operator."""
    back = "Self" if leaves(name, cls) in (Kind.ROWS, Kind.COLUMNS) else "Made"
    return function(name, ["self", *keywords(cls), "**stage: Unpack[RowKeys]"], back, summary_of(cls), "    ")


def selection(name: str, cls: type[Operator]) -> list[str]:
    """The function that makes a selection, for `select` and for arms."""
    return function(name, [*keywords(cls), "**stage: Unpack[RowKeys]"], "Selection", summary_of(cls), "")


def function(name: str, parameters: list[str], back: str, about: str, pad: str) -> list[str]:
    """A signature with a docstring, on lines of bounded width."""
    line = f"{pad}def {name}({', '.join(parameters)}) -> {back}:"
    if len(line) > WIDTH:
        rows = [""]
        for parameter in parameters:
            longer = f"{rows[-1]} {parameter},".strip()
            rows = [*rows, f"{parameter},"] if len(longer) > WIDTH - len(pad) - 4 else [*rows[:-1], longer]
        line = "\n".join([f"{pad}def {name}(", *(f"{pad}    {row}" for row in rows), f"{pad}) -> {back}:"])
    mark = "r" if "\\" in about else ""
    return [line, f'{pad}    {mark}"""{about}"""']


def keywords(cls: type[Operator]) -> list[str]:
    """The fields of an operator as keyword parameters after a star; a budget also as `tokens=`, `docs=`, ..."""
    out = [f"{name}: {kind}{f' = {default}' if default else ''}" for name, (kind, default) in parameters(cls).items()]
    return ["*", *out] if out else []


def parameters(cls: type[Operator]) -> dict[str, tuple[str, str]]:
    """Field -> (type as the Python form takes it, its default as code; "" where the field must be given)."""
    hints, ports = typing.get_type_hints(cls), port_fields(cls)
    fields = [f for f in dataclasses.fields(cls) if not f.name.startswith("_")]
    out = {f.name: (accepted(hints[f.name], ports.get(f.name, "")), default_of(f)) for f in fields}
    if "budget" in out:
        out["budget"] = (out["budget"][0], out["budget"][1] or "...")
        out |= {unit: ("Amount", "...") for unit in BUDGET_UNITS if unit not in out}
    if "files" in ports.values():
        out["identity"] = (accepted(Identity), repr(typing.get_args(Identity)[0]))
    return out


def accepted(hint: Any, port: str = "") -> str:
    """A field's type as a caller may write it: what `config.coerce` takes for it."""
    if port:
        kind = {"ref": "Ref", "refs": "Refs", "files": "Files", "secret": "str"}[port]
        return f"{kind} | None" if type(None) in typing.get_args(hint) else kind
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(part for a in args for part in accepted(a).split(" | ")))
    if origin in (tuple, list):
        one = accepted(args[0])
        return LISTS.get(one) or f"{one} | list[{one}] | tuple[{one}, ...]"
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return f"Mapping[str, {accepted(args[1])}]"
    known = {int: "Whole", Budget: "Budget | str", type(None): "None", Any: "Any"}
    return known.get(hint) or str(hint.__name__)


def default_of(field: dataclasses.Field[Any]) -> str:
    """A default as code; `...` where it is not a plain value, "" where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return "..."
    if field.default is dataclasses.MISSING:
        return ""
    plain = field.default is None or isinstance(field.default, bool | int | str) or field.default == ()
    return repr(field.default) if plain or isinstance(field.default, float) else "..."


def leaves(name: str, cls: type[Operator]) -> Kind:
    """What a stage of the operator leaves; a composite is applied to rows to see it.

    Raises: an error of the operator where `GIVEN` lacks the fields that it needs.
    """
    if not issubclass(cls, Composite):
        return cls.kind
    rows = read("docs.jsonl").signals().random(docs=1)
    given = GIVEN.get(name) or {name: getattr(stand_in(cls), name) for name in needed(cls)}
    ports = port_fields(cls)
    given |= {p: {"arm": rows} if ports[p] == "refs" else rows for p in given if ports.get(p) in ("ref", "refs")}
    if name in ("lm_nats", "sample_text", "teacher_top_k", "token_losses"):
        given["model"] = rows.train(selection=rows)
    if name == "meta_rater":
        given["selection"] = rows.top_k(by="word_count", budget="10 docs")
    if "mixture" in given:
        given["mixture"] = rows.mixture(per="word_count", budget="10 tokens")
    if name == "dedup_index":
        given["of"] = rows.minhash()
    if name == "training_feedback":
        given["run"] = rows.train(selection=rows, loss_at=[0])
    made = getattr(rows, name)(**given)
    return Kind.ROWS if isinstance(made, Rows) else made.steps[-1].draft.kind


def needed(cls: type[Operator]) -> set[str]:
    """Fields that have no default."""
    return {f.name for f in dataclasses.fields(cls)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING}  # fmt: skip


def reader_fields(readers: list[type[Operator]]) -> list[str]:
    """What `read` takes: the fields of all readers."""
    kinds: dict[str, dict[str, None]] = {}
    for cls in readers:
        for name, (kind, _) in parameters(cls).items():
            kinds.setdefault(name, {})[kind] = None
    del kinds["files"]  # read(*files)
    body = {name: " | ".join(dict.fromkeys(p for k in found for p in k.split(" | "))) for name, found in kinds.items()}
    return ["", *typed_dict("ReaderFields", "StageKeys", "Fields of the readers, for `read`.", body)]


def ablation_fields(cls: type[Operator]) -> list[str]:
    """What `ablate` takes beside its own parameters, and what `ablation` takes."""
    own = needed(cls) & port_fields(cls).keys()
    body = {name: kind for name, (kind, _) in parameters(cls).items() if name not in own}
    body |= {
        "name": "str",
        "where": "str | None",
        "max_bad_share": "float",
        "strict": "bool",
        "timeout_s": "float",
        "expect": "Expect",
    }
    return [
        "", *typed_dict("AblationFields", "TypedDict", "Fields of `ablation`, for `ablate`.", body),
        "", *typed_dict("AblationStage", "AblationFields", "Fields and keys of `ablation`.", {"seed": "int"}), "",
    ]  # fmt: skip


def typed_dict(name: str, base: str, about: str, body: Mapping[str, str]) -> list[str]:
    """A TypedDict whose keys may all be left out."""
    keys = [f"    {key}: {kind}" for key, kind in body.items()]
    return [f"class {name}({base}, total=False):", f'    """{about}"""', "", *keys]


if __name__ == "__main__":
    STUB.write_text(stub(), "utf-8")
