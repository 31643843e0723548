"""User functions that are wrong: told before or during the run, with figures, file and line, and exit 3."""

from __future__ import annotations

import dataclasses
import json
from typing import ClassVar

import numpy as np
import pytest
from support import run

from winnow.core.errors import ConfigError, ContractError, DataError
from winnow.core.operators import Map
from winnow.core.operators.config import dump
from winnow.dags.before.checking import check_target
from winnow.dags.shapes import stage_file

SEL = '''
import numpy as np
import polars as pl
import winnow


@winnow.selector("greedy", needs=("token_count",))
def greedy(rows: pl.DataFrame, budget: int) -> pl.Series:
    """Everything."""
    return pl.Series([1.0] * rows.height)


@winnow.selector("frame", needs=("token_count",))
def frame(rows: pl.DataFrame, budget: int) -> pl.DataFrame:
    """A table in place of weights."""
    return rows.filter(pl.col("token_count") >= 0)


@winnow.selector("nofield", needs=())
def nofield(rows: pl.DataFrame, budget: int) -> pl.Series:
    """A column that was not asked for."""
    return rows["token_count"] * 1.0


@winnow.selector("twice", needs=("token_count",))
def twice(rows: pl.DataFrame, budget: int) -> pl.Series:
    """Within the budget once, and used twice."""
    return ((rows["token_count"].cum_sum() <= budget) * 2.0).cast(pl.Float64)


@winnow.selector("negative", needs=())
def negative(rows: pl.DataFrame, budget: int) -> pl.Series:
    return pl.Series([0.0, -1.0] + [0.0] * (rows.height - 2))


@winnow.selector("undefined", needs=())
def undefined(rows: pl.DataFrame, budget: int) -> np.ndarray:
    return np.full(rows.height, np.nan)


@winnow.selector("endless", needs=())
def endless(rows: pl.DataFrame, budget: int) -> np.ndarray:
    return np.full(rows.height, np.inf)


@winnow.selector("missing", needs=())
def missing(rows: pl.DataFrame, budget: int) -> list:
    return [None] * rows.height


@winnow.selector("short", needs=())
def short(rows: pl.DataFrame, budget: int) -> list:
    return [0.0]


@winnow.selector("words", needs=())
def words(rows: pl.DataFrame, budget: int) -> pl.Series:
    return pl.Series(["yes"] * rows.height)


@winnow.selector("one", needs=())
def one(rows: pl.DataFrame, budget: int) -> float:
    return 1.0


@winnow.selector("shy", needs=("token_count",))
def shy(rows: pl.DataFrame, budget: int) -> pl.Series:
    """Half of what it may."""
    return (rows["token_count"].cum_sum() <= budget // 2).cast(pl.Float64)


@winnow.selector("whole", needs=())
def whole(rows: pl.DataFrame) -> pl.Series:
    """No budget."""
    return pl.Series([1.0] * rows.height)


@winnow.scorer("table")
def table(text: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"a": text.str.len_chars()})


@winnow.scorer("letters")
def letters(text: pl.Series) -> pl.Series:
    return text


@winnow.scorer("ratio")
def ratio(text: str) -> float:
    """Written for one text."""
    return sum(c.isupper() for c in text) / max(len(text), 1)


@winnow.scorer("length")
def length(text: str) -> int:
    """Written for one text, and its answer to a Series is a number too."""
    return len(text)


@winnow.scorer("caps", per_document=True)
def caps(text: str) -> float:
    return sum(c.isupper() for c in text) / max(len(text), 1)


@winnow.scorer("caps_of_many")
def caps_of_many(text: pl.Series) -> pl.Series:
    return text.str.count_matches(r"[A-Z]") / text.str.len_chars().clip(1)


@winnow.scorer("name", per_document=True)
def name(text: str) -> str:
    return text[:3]


@winnow.scorer("fragile", per_document=True)
def fragile(text: str) -> float:
    return 1 / (len(text) - 16)
'''
DOCS = "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    texts = [f"A text of Words, number {i} of {'many ' * (i % 7)}" for i in range(60)]
    (tmp_path / "docs.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
    (tmp_path / "sel.py").write_text(SEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def go(folder, stage: str):
    return run(f"{DOCS}  a: {stage}\n", folder, folder / "out")


WRONG = {
    "greedy": r"keeps \d{3} tokens of a budget of 200 \(sel.py:\d+\)",
    "frame": r"returned DataFrame of 60 rows and 1 columns, not a series of weights",
    "nofield": r"ColumnNotFoundError: .*token_count.* \(sel.py:\d+\)",
    "twice": r"keeps 3\d\d tokens of a budget of 200",
    "negative": r"returned 1 weight that is negative \(the first in row 1; sel.py:\d+\)",
    "undefined": r"60 weights that are NaN",
    "endless": r"60 weights that are infinite",
    "missing": r"60 weights that are null",
    "short": r"returned 1 weights for 60 rows",
    "words": r"returned String, not numbers",
    "one": r"returned float, not a series of weights",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_selector_that_is_wrong_ends_the_run_with_exit_3_its_file_and_its_line(folder, name):
    with pytest.raises(ContractError, match=WRONG[name]) as caught:
        go(folder, f"{{use: 'sel:{name}', inputs: docs, budget: 200 tokens}}")
    assert caught.value.exit_code == 3
    assert f"sel:{name}" in caught.value.where or "stages.a" in caught.value.where or "a" in caught.value.where
    assert "sel.py:" in str(caught.value)


def test_the_line_is_the_one_that_failed(folder):
    line = 1 + SEL[: SEL.index('    return rows["token_count"] * 1.0')].count("\n")
    with pytest.raises(ContractError, match=rf"\(sel.py:{line}\)") as caught:
        go(folder, "{use: 'sel:nofield', inputs: docs, budget: 200 tokens}")
    assert "needs=" in caught.value.hint


@pytest.mark.parametrize("name", ["greedy", "frame", "nofield", "twice", "negative", "undefined", "short", "words"])
def test_check_finds_it_before_a_run(folder, name):
    answer = check_target(f"sel:{name}")
    assert not answer["ok"]
    assert any(f["rule"] == "raises" and f["status"] == "broken" for f in answer["findings"])


def test_check_passes_selectors_that_keep_to_their_budget(folder):
    assert check_target("sel:shy")["ok"]
    assert check_target("sel:whole")["ok"]


def test_a_selector_that_takes_less_than_it_may_says_so(folder):
    ran = go(folder, "{use: 'sel:shy', inputs: docs, budget: 200 tokens}")
    metrics = ran.manifest("a").metrics
    assert 0.4 < metrics["filled"] <= 0.5
    assert "took no more, though more would fit" in metrics["remarks"][0]


def test_a_selector_and_its_stage_agree_on_the_budget_while_planning(folder):
    with pytest.raises(ConfigError, match=r"shy\(\) takes a budget, and the stage gives none \(sel.py:"):
        go(folder, "{use: 'sel:shy', inputs: docs}")
    with pytest.raises(ConfigError, match=r"whole\(\) takes no budget, and the stage gives one"):
        go(folder, "{use: 'sel:whole', inputs: docs, budget: 200 tokens}")


@pytest.mark.parametrize(
    ("name", "what"),
    [("table", "returned DataFrame of"), ("letters", "returned String, not numbers"),
     ("name", "returned str for one document")],
)  # fmt: skip
def test_a_scorer_that_answers_no_numbers_is_told(folder, name, what):
    with pytest.raises(ContractError, match=what) as caught:
        go(folder, f"{{use: 'sel:{name}', inputs: docs}}")
    assert "sel.py:" in str(caught.value)
    assert not check_target(f"sel:{name}")["ok"]


@pytest.mark.parametrize("name", ["ratio", "length"])
def test_a_scorer_that_was_written_for_one_text_is_told_how_to_say_so(folder, name):
    with pytest.raises(ContractError, match=rf"'{name}' takes the values of one document.*\(sel.py:\d+\)") as caught:
        go(folder, f"{{use: 'sel:{name}', inputs: docs}}")
    assert f"@winnow.scorer('{name}', per_document=True)" in caught.value.hint


def test_a_function_per_document_scores_as_one_of_series_does(folder):
    ran = run(f"{DOCS}  a: {{use: 'sel:caps', inputs: docs}}\n  b: {{use: 'sel:caps_of_many', inputs: docs}}\n",
              folder, folder / "out")  # fmt: skip
    one, many = ran.table("a", "caps").column("caps"), ran.table("b", "caps_of_many").column("caps_of_many")
    assert np.allclose(one.to_numpy(), many.to_numpy())
    assert check_target("sel:caps")["ok"]


def test_how_a_function_is_called_is_part_of_its_identity(folder):
    stage = "{use: 'sel:caps', inputs: docs}"
    first = go(folder, stage).manifest("a").fingerprint
    (folder / "sel.py").write_text(SEL.replace('("caps", per_document=True)', '("caps", per_document=1)'))
    assert go(folder, stage).manifest("a").fingerprint != first


def test_exceptions_of_a_function_per_document_are_of_that_document(folder):
    (folder / "docs.jsonl").write_text("\n".join(json.dumps({"text": "x" * (10 + i)}) for i in range(9)))
    with pytest.raises(DataError, match=r"sel.py:\d+") as caught:
        go(folder, "{use: 'sel:fragile', inputs: docs, max_bad_share: 0, strict: true}")
    assert "ZeroDivisionError" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "what", "line"),
    [
        ("x = 1\ny = x / 0\n", "ZeroDivisionError", ":2"),
        ("def half(x):\n    return 1 / x\n\ny = half(0)\n", "ZeroDivisionError", ":2"),  # the innermost
        ("\n\n@winnow.selector('f')\ndef f(rows): return 1\n", "needs", ":4"),
        ("import nowhere_at_all\n", "nowhere_at_all", ":2"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_its_line(folder, body, what, line):
    (folder / "broken.py").write_text("import winnow\n" * (what != "ZeroDivisionError") + body)
    with pytest.raises(ConfigError, match=what) as caught:
        go(folder, "{use: 'broken:f', inputs: docs}")
    assert caught.value.where.endswith(f"broken.py{line}")
    assert "python broken.py" in caught.value.hint


def test_a_function_without_a_decorator_is_told_which_it_lacks(folder):
    (folder / "plain.py").write_text("def caps(text):\n    return text\n")
    with pytest.raises(ConfigError, match=r"'caps' in plain\.py is a plain function") as caught:
        go(folder, "{use: 'plain:caps', inputs: docs}")
    assert "@winnow.scorer('caps')" in caught.value.hint


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cut(Map):
    """Bytes of a text, at most so many."""

    name: ClassVar[str] = "cut"
    most: int | None = 12  # null: all


@pytest.mark.parametrize("most", [12, 20, None])
def test_a_field_that_is_null_is_null_where_the_work_is_done(folder, monkeypatch, most):
    ran = go(folder, "{use: 'sel:caps', inputs: docs}")
    monkeypatch.setattr(stage_file, "class_named", lambda _: Cut)
    stage = stage_file.read_stage(ran.store.location, ran.of("a").node.folder)
    assert dataclasses.replace(stage, config=dump(Cut(most=most))).operator == Cut(most=most)
