"""The contract of an operator, checked: `check_operator` finds what breaks it, `assert_operator` fails on it.

One answer to a corpus of nasty rows is the reference; the same operator is then run over other batches,
parts, bucket counts, merge orders, row orders and in a fresh process with another hash seed and without
AVX-512. Exact operators must give equal values everywhere, bounded ones values within their `atol`. What
could not be checked is said, never passed over.

Imports core and, of dags, the registry and the table of shapes; only tests and `winnow check` import it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import math
import os
import pickle
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from winnow.core.errors import ContractError, WinnowError
from winnow.core.operators import (
    Context,
    Fold,
    Kind,
    Operator,
    port_fields,
    source_of,
    summary_of,
)
from winnow.testing import answers, forked
from winnow.testing.by_shape import DRIVES, Answer, answer_of, fold_states, variants_of, why_no_rows
from winnow.testing.nasty_corpus import nasty_corpus
from winnow.testing.odd_numbers import odd_numbers
from winnow.testing.watched import watched

__all__ = ["HEAVY", "RULES", "Finding", "assert_operator", "check_operator", "nasty_corpus"]

RULES: dict[str, str] = {
    "docstring": "the docstring's first line says what comes out, and a `Source:` line says where it is from",
    "light import": "importing its module imports no heavy library",
    "pickle": "it pickles, and the copy is equal",
    "validate": "its field values are accepted by its own `validate`",
    "raises": "it answers every row: empty, null, huge and odd texts too",
    "empty batch": "it answers a batch without rows",
    "rows": "it gives one row per row",
    "columns": "it gives exactly the declared columns in the declared types",
    "finite": "scores are finite or null",
    "no value": "NaN in a column it reads is answered as null is",
    "numbers": "huge, infinite and extreme numbers are answered, or refused naming the column; -0.0 is 0.0",
    "input": "it does not change what it is given",
    "twice": "it gives the same answer twice, and `open` may be called twice",
    "order": "a row's answer does not depend on the order of the rows",
    "batch": "a row's answer does not depend on the batch",
    "layout": "answers do not depend on how rows are cut into parts",
    "merge": "summaries merge to equal bytes in any order and grouping",
    "buckets": "answers do not depend on the number of buckets",
    "notes": "what it notes is the same for any layout and order, and is JSON",
    "fresh process": "another process, hash seed and instruction set give the same answer",
}
HEAVY = (
    "torch",
    "ray",
    "fasttext",
    "faiss",
    "dask",
    "scipy",
    "sklearn",
    "tokenizers",
    "transformers",
    "numba",
)

_MERGE_ORDERS = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule of `RULES` that is broken, or could not be checked."""

    operator: str
    rule: str
    message: str
    status: Literal["broken", "not covered"] = "broken"

    def __str__(self) -> str:
        return f"{self.operator}: {self.status}: {self.rule}: {self.message}"


def assert_operator(op: Operator, corpus: pl.DataFrame | None = None, *, ctx: Context | None = None) -> None:
    """Raise ContractError listing every broken rule; what is not covered passes."""
    broken = [str(f) for f in check_operator(op, corpus, ctx=ctx) if f.status == "broken"]
    if broken:
        raise ContractError("\n".join(broken), hint="`winnow.testing.RULES` explains the rules")


def check_operator(op: Operator, corpus: pl.DataFrame | None = None, *, ctx: Context | None = None) -> list[Finding]:
    """Broken rules, and what could not be checked, in the order of `RULES`; empty where all hold.

    `corpus` holds doc_id and what the operator needs (default: `nasty_corpus()`); `ctx` holds references.
    Cost: some thirty runs over the corpus and one Python process of about two seconds.
    """
    rows = nasty_corpus() if corpus is None else corpus
    with tempfile.TemporaryDirectory() as folder:
        ctx = dataclasses.replace(ctx or Context(seed=7, work=Path(folder)), notes={})
        found = list(_findings(op, rows, ctx, Path(folder)))
    order = list(RULES)
    unique = list(dict.fromkeys(found))
    return sorted(unique, key=lambda finding: order.index(finding.rule))


def _findings(op: Operator, rows: pl.DataFrame, ctx: Context, folder: Path) -> Iterator[Finding]:
    yield from _described(op)
    blocked = _blocked(op, rows, ctx)
    if blocked:
        yield _finding(op, "raises", f"no rule about rows was checked: {blocked}", status="not covered")
        yield from _in_fresh_process(op, None, None, ctx, folder)
        return
    reference = _reference(op, rows, ctx)
    if isinstance(reference, list):
        yield from reference
        yield from _in_fresh_process(op, None, None, ctx, folder)
        return
    noted = dict(ctx.notes or {})
    yield from _well_formed(op, rows, reference, ctx)
    for rule, answer in _variants(op, rows, ctx):
        yield from _same(op, rule, reference, answer)
        yield from _same_notes(op, rule, noted, ctx.notes or {})
    if isinstance(op, Fold):
        yield from _merged(op, rows, ctx)
    for rule, message in odd_numbers(op, rows, ctx):
        yield _finding(op, rule, message)
    yield from _in_fresh_process(op, rows, reference, ctx, folder)


def _described(op: Operator) -> Iterator[Finding]:
    """Rules that need no rows."""
    generated = type(op).__name__ + "("  # what dataclasses write where there is no docstring
    if len(summary_of(type(op))) < 10 or summary_of(type(op)).startswith(generated):
        yield _finding(op, "docstring", "no first line that says what comes out")
    if not source_of(type(op)):
        yield _finding(op, "docstring", "no `Source:` line; write `Source: own.` where it is yours")
    try:
        if pickle.loads(pickle.dumps(op)) != op:  # noqa: S301 (our own bytes)
            yield _finding(op, "pickle", "the unpickled copy is not equal")
    except Exception as error:  # noqa: BLE001 (pickle raises anything)
        yield _finding(op, "pickle", _message(error))
    try:
        op.validate()
    except WinnowError as error:
        yield _finding(op, "validate", _message(error))


def _blocked(op: Operator, rows: pl.DataFrame, ctx: Context) -> str:
    """Why rows cannot be run through the operator here; '' where they can."""
    no_rows = why_no_rows(op)
    if no_rows:
        return f"a {op.shape_name} has no rows of its own ({no_rows})"
    unset = [name for name in port_fields(op) if getattr(op, name) and name not in ctx.refs]
    if unset:
        return f"the ports {unset} have no value; pass `ctx=Context(refs=...)`"
    missing = [name for name in op.needs() if name not in rows.columns]
    return f"the corpus lacks the columns {missing}; pass `corpus=`" if missing else ""


def _reference(op: Operator, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame | list[Finding]:
    """The answer that all others are compared with, or why there is none."""
    try:
        return answers.joined(op, [rows], answer_of(op, [rows], ctx))
    except answers.BrokenRuleError as broken:
        return [_finding(op, broken.rule, broken.message)]
    except Exception as error:  # noqa: BLE001 (operators raise anything)
        return [_finding(op, "raises", f"{_message(error)}{_culprits(op, rows, ctx)}")]


def _culprits(op: Operator, rows: pl.DataFrame, ctx: Context) -> str:
    """Which rows an operator fails on that answers each row by itself, by their `case`."""
    if not DRIVES[op.shape_name].by_row:
        return ""
    guilty = []
    for i in range(rows.height):
        try:
            answer_of(op, [rows[i : i + 1]], ctx)
        except Exception:  # noqa: BLE001 (counted)
            guilty.append(str(rows["case"][i]) if "case" in rows.columns else f"row {i}")
    return f" (alone, these rows fail: {', '.join(guilty[:5])})" if guilty else " (no single row fails alone)"


def _well_formed(op: Operator, rows: pl.DataFrame, reference: pl.DataFrame, ctx: Context) -> Iterator[Finding]:
    """Rules about one answer by itself."""
    for name, value in answers.not_finite(reference).items():
        if ctx.code is not None and math.isnan(value):  # a function of the user's: what it says is stored as null
            continue
        yield _finding(op, "finite", f"column {name!r} holds {value}")
    yield from _empty(op, rows.head(0), ctx)
    changed: list[str] = []
    with contextlib.suppress(Exception):  # what it raises the second time is a finding of `twice`
        answer_of(watched(op, changed), [rows], ctx)
    for method in dict.fromkeys(changed):
        yield _finding(op, "input", f"`{method}` changed its input")


def _empty(op: Operator, nothing: pl.DataFrame, ctx: Context) -> Iterator[Finding]:
    if DRIVES[op.shape_name].learns:
        return
    if op.shape_name in ("Whole", "Linked") and ctx.refs:
        yield _finding(op, "empty batch", "the references speak of rows", status="not covered")
        return
    try:
        answers.joined(op, [nothing], answer_of(op, [nothing], ctx))
    except Exception as error:  # noqa: BLE001 (operators raise anything)
        yield _finding(op, "empty batch", _message(error))


def _variants(op: Operator, rows: pl.DataFrame, ctx: Context) -> Iterator[tuple[str, Answer]]:
    """(rule, answer in the order of `rows`) for everything that must not matter."""
    yield from variants_of(op, rows, ctx)
    aligned = op.kind is Kind.COLUMNS
    yield "order", lambda: [_backwards(f) if aligned else f for f in answer_of(op, [_backwards(rows)], ctx)]


def _backwards(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows from the last to the first; `reverse` would lose the type of lists that are null in all rows."""
    return frame[list(range(frame.height - 1, -1, -1))]


def _same(op: Operator, rule: str, reference: pl.DataFrame, answer: Answer) -> Iterator[Finding]:
    """A finding where the answer differs from the reference by more than the operator's exactness allows."""
    try:
        found = pl.concat(answer())
        found = found.select(reference.columns)
    except Exception as error:  # noqa: BLE001 (operators raise anything)
        yield _finding(op, rule, _message(error))
        return
    message = answers.difference(reference, found, op.exactness.atol)
    if message:
        yield _finding(op, rule, message)


def _same_notes(op: Operator, rule: str, want: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Finding]:
    """A finding where another layout or order notes something else; bounded operators note the same names."""
    if not DRIVES[op.shape_name].notes:
        return
    names = sorted(want.keys() ^ found.keys())
    if op.exactness.atol is None:
        names = names or sorted(n for n in want if want[n] != found[n])
    if names:
        yield _finding(op, "notes", f"{rule}: {', '.join(names)} differ")


def _merged(op: Fold, rows: pl.DataFrame, ctx: Context) -> Iterator[Finding]:
    """Twenty random orders and groupings of merging seven parts, one of them empty."""
    state = fold_states(op, rows, ctx)
    want = state(None)
    for seed in range(_MERGE_ORDERS):
        shuffle = random.Random(seed)  # noqa: S311 (which orders are tried)

        def tree(fold: Fold, summaries: list[pl.DataFrame], shuffle: random.Random = shuffle) -> pl.DataFrame:
            pool = shuffle.sample(summaries, len(summaries))
            while len(pool) > 1:
                take = shuffle.randint(2, len(pool))
                pool = [*pool[take:], fold.merge(pool[:take])]
                shuffle.shuffle(pool)
            return fold.merge(pool)

        try:
            equal = state(tree) == want
        except Exception as error:  # noqa: BLE001 (operators raise anything)
            yield _finding(op, "merge", _message(error))
            return
        if not equal:
            yield _finding(op, "merge", f"order {seed} of merging the parts gives another state")
            return


def _in_fresh_process(
    op: Operator, rows: pl.DataFrame | None, reference: pl.DataFrame | None, ctx: Context, folder: Path
) -> Iterator[Finding]:
    """Import and answer in a process with another hash seed, one thread and no AVX-512."""
    try:
        job = pickle.dumps((op, rows, dataclasses.replace(ctx, work=folder, access=None, step=None, notes=None)))
    except Exception:  # noqa: BLE001 (already a finding of `pickle`)
        return
    (folder / "job.pickle").write_bytes(job)
    environ = os.environ | {"PYTHONHASHSEED": "12345", "POLARS_MAX_THREADS": "1"}
    environ.pop("PYTEST_CURRENT_TEST", None)  # another one in every test, and the process is kept while nothing changes
    environ |= {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX X86_V4"}
    words = folder / "words"
    apart = partial(forked.ask, environ, sys.path, words=words)
    code = apart("winnow.testing:light", "winnow.testing:import_heavy", type(op).__module__, str(folder))
    heavy = folder / "heavy.json"
    if heavy.exists() and json.loads(heavy.read_text()):
        yield _finding(op, "light import", f"importing {type(op).__module__} imports {json.loads(heavy.read_text())}")
    if not code:
        code = apart("winnow.testing:with_kernels", "winnow.testing:answer_as_child", str(folder))
    if code:
        last = (words.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
        yield _finding(op, "fresh process", f"it ended with {code}: {last}")
    elif reference is not None:
        frame = pl.read_ipc(folder / "answer.arrow")
        yield from _same(op, "fresh process", reference, lambda: [frame])


def light() -> None:
    """What the process that imports operators has imported before: this module."""


def with_kernels() -> None:
    """What the process that answers has ready before: numba, and the kernels that everybody needs."""
    import pyarrow as pa

    from winnow.core.words import hashing

    hashing.text_hash(pa.array(["a"], pa.large_string()))


def import_heavy(module: str, folder: str) -> None:
    """Import a module, and note what that brought in."""
    importlib.import_module(module)
    Path(folder, "heavy.json").write_text(json.dumps(sorted(set(sys.modules) & set(HEAVY))))


def answer_as_child(folder: str) -> None:
    """What the fresh process does with the job that lies there."""
    op, rows, ctx = pickle.loads(Path(folder, "job.pickle").read_bytes())  # noqa: S301 (written by our parent)
    if rows is not None:
        answers.joined(op, [rows], answer_of(op, [rows], ctx)).write_ipc(Path(folder, "answer.arrow"))


def _finding(op: Operator, rule: str, message: str, *, status: Literal["broken", "not covered"] = "broken") -> Finding:
    return Finding(operator=type(op).name, rule=rule, message=message, status=status)


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
