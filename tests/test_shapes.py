"""Shapes: each is registered once, with both halves and its tasks, and tasks survive the way to a worker."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import subprocess
import sys

import pytest
from support import own_operators, put_corpus, run, texts

from winnow.core.errors import EngineError
from winnow.core.operators import Composite, Operator, shapes
from winnow.dags.engines.base import MAX_TASK_BYTES, WORK
from winnow.dags.shapes.map import MapTask
from winnow.dags.shapes.stage_run import StageRun
from winnow.dags.shapes.table import SHAPES, shape_of, task_class
from winnow.dags.shapes.unit_task import UnitTask, from_wire, to_wire
from winnow.dags.shapes.worker import execute
from winnow.testing.by_shape import DRIVES

CLASSES = [c for _, c in inspect.getmembers(shapes, inspect.isclass)
           if issubclass(c, Operator) and c.__module__ == shapes.__name__]  # fmt: skip
TASKS = [(shape.name, task) for shape in SHAPES.values() for task in shape.tasks]
VALUES = {"str": "x", "int": 7, "bool": True, "float": 0.5, "Piece": ("state-00", "all", "k"),
          "Piece | None": ("state-00", "all", "k"), "tuple[Piece, ...]": (("a", "b", "c"), ("d", "e", "f")),
          "tuple[str, int, str]": ("a/b.unit", 7, "1" * 32), "tuple[str, int]": ("a/b.unit", 7),
          "tuple[str, ...]": ("1" * 32, "2" * 32), "Mapping[str, tuple[str, ...]]": {"evals": ("a.jsonl", "b.jsonl")},
          "Mapping[str, Sequence[str | int]]": {"a.jsonl": ("1" * 32, 7)}}  # fmt: skip


def filled(cls, **given):
    """A task with a value in every field that is not a default."""
    values = {f.name: VALUES[f.type] for f in dataclasses.fields(cls) if f.name != cls.nested}
    return cls(**{**values, **given})


def is_of(shape, cls):
    """In the file of the shape, or in one that is named after it: `fold_at_once.py`."""
    home = f"winnow.dags.shapes.{shape.lower()}"
    return cls.__module__ == home or cls.__module__.startswith(f"{home}_")


def over_the_wire(task):
    body = json.loads(json.dumps(to_wire(task)))
    return from_wire(body, task_class(body["do"]))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_shape_of_operator_is_registered(cls):
    if cls is Composite:
        assert cls.shape_name not in SHAPES  # gone when a plan is made
        return
    assert issubclass(shape_of(cls).run_class(), StageRun)
    assert shape_of(cls).name == ("Map" if cls.__name__ == "MapArrow" else cls.__name__)


def test_every_line_of_the_table_is_a_shape():
    assert {c.shape_name for c in CLASSES} - {"Composite"} == set(SHAPES)


def test_the_contract_suite_drives_every_shape_that_answers_rows():
    assert set(DRIVES) == {name for name, shape in SHAPES.items() if not shape.no_rows}


@pytest.mark.parametrize("shape", SHAPES)
def test_all_tasks_in_the_file_of_a_shape_are_registered(shape):
    home = importlib.import_module(f"winnow.dags.shapes.{shape.lower()}")
    held = {n for n, c in inspect.getmembers(home, inspect.isclass) if issubclass(c, UnitTask) and is_of(shape, c)}
    assert held == set(SHAPES[shape].tasks)


@pytest.mark.parametrize(("shape", "name"), TASKS)
def test_a_task_comes_over_the_wire_as_it_was(shape, name):
    cls = task_class(name)
    assert is_of(shape, cls)
    full = filled(cls)
    assert over_the_wire(full) == full
    plain = filled(cls, batch_rows=1024, inputs=(), consumed=(), files={})
    assert over_the_wire(plain) == plain
    assert "files" not in to_wire(plain)


@pytest.mark.parametrize(("shape", "name"), TASKS)
def test_a_field_that_is_missing_or_unknown_is_named(shape, name):
    wire = to_wire(filled(task_class(name)))
    with pytest.raises(EngineError, match="'colour'"):
        from_wire({**wire, "colour": "red"}, task_class(name))
    for required in ("root", "key"):
        with pytest.raises(EngineError, match=repr(required)):
            from_wire({n: v for n, v in wire.items() if n != required}, task_class(name))


def test_a_task_that_no_shape_has_is_refused_by_the_work_function():
    for payload in ({"do": "UnitTask"}, {"do": "os"}, {}):
        with pytest.raises(EngineError, match="no shape has a task"):
            execute(payload)
    assert f"{execute.__module__}:{execute.__name__}" == WORK


def test_siblings_share_what_they_have_in_common_on_the_wire():
    first = filled(MapTask, unit="00001.000")
    others = [dataclasses.replace(first, folder="b", key="y"),
              dataclasses.replace(first, folder="c", inputs=("9",), files={}, batch_rows=1024)]  # fmt: skip
    fused = first.together_with(others)
    assert to_wire(fused)["siblings"] == [
        {"folder": "b", "key": "y"},
        {"folder": "c", "inputs": ("9",), "files": {}, "batch_rows": 1024},
    ]
    assert over_the_wire(fused) == fused
    assert over_the_wire(fused).siblings == tuple(others)


def test_eight_siblings_with_many_inputs_fit_into_one_task():
    many = tuple(f"{n:032x}" for n in range(12))
    tasks = [filled(MapTask, root="r" * 120, folder=f"{n}" * 60, key="f" * 32, inputs=many, consumed=many)
             for n in range(8)]  # fmt: skip
    assert len(json.dumps(to_wire(tasks[0].together_with(tasks[1:])))) < MAX_TASK_BYTES // 2


RECIPE = """
stages:
  docs:   {use: jsonl, files: "raw/*", source: a, id: content}
  more:   {use: jsonl, files: "more/*", source: b}
  all:    {use: concat, inputs: [docs, more]}
  toks:   {use: count_tokens, inputs: all}
  exact:  {use: exact, inputs: all}
  near:   {use: minhash, inputs: all}
  half:   {use: halves, inputs: [all, exact]}
  rank:   {use: ranked, inputs: all}
  typ:    {use: typical, inputs: all}
  most:   {use: top_k, inputs: all, by: token_count, budget: 50%}
  corpus: {use: write, inputs: [all, half]}
  told:   {use: summary, of: corpus}
"""


def test_every_shape_and_every_task_runs_through_driver_and_worker(tmp_path, monkeypatch):
    done = set()
    put_corpus(tmp_path / "raw", texts(40, seed=3), 3)
    put_corpus(tmp_path / "more", texts(40, seed=3), 3)
    monkeypatch.setattr("winnow.dags.shapes.worker.task_class", lambda name: done.add(name) or task_class(name))
    own = {name: f"support_ops:{name.title()}" for name in ("typical", "halves", "ranked", "summary")}
    with own_operators(**own):
        run(RECIPE, tmp_path, tmp_path / "small", part_bytes=1500, until="docs")  # ids by one task, below in buckets
        found = run(RECIPE, tmp_path, tmp_path / "out", part_bytes=1500, buckets=5, pieces=1)
    assert all(stage.manifest for stage in found.runs)
    assert {stage.node.operator.shape_name for stage in found.runs} == set(SHAPES)
    in_a_child = {"IsolatedMapTask", "AnswerRangeTask"}  # for parts that lose their worker: tests/test_bad_runs.py
    assert done == {name for _, name in TASKS} - in_a_child


def test_the_table_is_cheap_to_read():
    code = (
        "import sys, winnow.dags.shapes.table as t; t.SHAPES['Map']; "
        "print([m for m in sys.modules if m.startswith(('winnow.dags.engines', 'polars', 'pyarrow')) or m.endswith('.work')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
