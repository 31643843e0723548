"""Evaluation files as items, what is found of them by task, and the gate that stops a run."""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from support import lines_of, put_file, run

from winnow.core.errors import DataError
from winnow.core.operators import Context
from winnow.core.words.protected import Protected, Protection
from winnow.dags.driver.remarks import remarks_of
from winnow.pipeline.filter.eval_records import item_of, records_of
from winnow.pipeline.filter.eval_tasks import EvalTasks, task_names

SEA = "Which of these writers published the long novel about a whale and a captain in the year 1851"
MATHS = "A farmer sells forty two baskets of apples on Monday and half as many on Tuesday so how many baskets in all"
CODE = "def separate(text):\n    # split the given text into groups of balanced brackets and return them in a list"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"query": "Q?", "choices": ["a", "bee"], "gold": 1}, "Q?\nbee"),
        ({"question": "Q?", "choices": {"text": ["a", "bee"], "label": ["A", "B"]}, "answerKey": "B"}, "Q?\nbee"),
        ({"question": "Q?", "choices": [{"text": "a", "label": "1"}, {"text": "bee"}], "answer": "B"}, "Q?\nbee"),
        ({"question": "Q?", "choices": ["a", "bee"], "label": 7}, "Q?"),
        ({"context": "C.", "question": "Q?", "answers": {"text": ["x"]}}, "C.\nQ?"),
        ({"passage": "P.", "query": "Q?", "answer": "yes"}, "P.\nQ?\nyes"),
        ({"prompt": "def f():", "canonical_solution": " return 1"}, "def f():\n return 1"),
        ({"context_options": ["x so x", "x so y"], "continuation": "ran.", "gold": 1}, "x so x\nx so y\nran."),
        ({"ctx": "He", "endings": ["a", "bee"], "label": "1"}, "He\nbee"),
        ({"sentence_good": "Good one.", "sentence_bad": "Bad."}, "Good one."),
    ],
)  # fmt: skip
def test_an_item_is_the_question_with_its_right_answer(record, text):
    assert item_of(record, ())[0] == text
    assert item_of({"x": 1, **record}, ("x",))[0] == ""


def evals(folder: Path) -> None:
    """Four tasks in as many forms."""
    put_file(
        folder / "evals" / "sea.jsonl", lines_of([{"question": SEA, "choices": ["Austen", "Melville"], "answer": 1}])
    )
    put_file(
        folder / "evals" / "maths" / "one.json",
        json.dumps({"data": [{"doc": {"question": MATHS, "answer": "63"}}]}).encode(),
    )
    put_file(folder / "evals" / "maths" / "two.csv", b"question,answer\nHow much is seven and eight together,15\n")
    put_file(folder / "evals" / "code.jsonl.zst", lines_of([{"prompt": CODE}, {"blob": "odd " * 20}]))
    pl.DataFrame({"text": ["a labelled text of a task that nobody ever repeats in the pool"]}).write_parquet(
        folder / "evals" / "labels.parquet")  # fmt: skip
    put_file(folder / "evals" / "README.md", b"about")


RECIPE = """
stages:
  docs: {use: jsonl, files: a.jsonl, columns: {uid: string}}
  tasks: {use: eval_tasks, files: evals}
  dec: {use: decontaminate, inputs: docs, against: tasks}
  corpus: {use: write, inputs: [docs, dec], format: jsonl.zst, carry: [uid]}
"""
FILLER = " ".join(f"word{i}" for i in range(80))
PAGES = {
    "sea": f"{FILLER} {SEA} Melville {FILLER}", "both": f"{SEA} Melville. {MATHS} 63", "clean": f"{FILLER} nothing at all",
    "short": "How much is seven and eight together 15", "near": " ".join(
        f"zq{i}" if i == 9 else w for i, w in enumerate(MATHS.split())),
}  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evals")
    evals(folder)
    put_file(folder / "a.jsonl", lines_of([{"uid": name, "text": text} for name, text in PAGES.items()]))
    return run(RECIPE, folder, folder / "root")


def test_documents_say_task_longest_match_and_share(ran):
    uid = ran.table("docs", "uid")["uid"].to_pylist()
    rows = ran.table("dec", "kept", "contaminated_tasks", "contaminated_words", "contaminated_share").to_pylist()
    found = dict(zip(uid, rows, strict=True))
    assert {u: r["contaminated_tasks"] for u, r in found.items()} == {
        "sea": ["sea"], "both": ["maths", "sea"], "clean": [], "short": ["maths"], "near": ["maths"]}  # fmt: skip
    assert [u for u, r in found.items() if r["kept"]] == ["clean"]
    words = len(SEA.split()) + 1
    assert found["sea"]["contaminated_words"] == words
    assert found["sea"]["contaminated_share"] == pytest.approx(words / (words + 160))
    assert (found["both"]["contaminated_share"], found["both"]["contaminated_words"]) == (
        1.0,
        words + len(MATHS.split()) + 1,
    )
    assert (found["short"]["contaminated_words"], found["short"]["contaminated_share"]) == (8, 1.0)
    assert 5 <= found["near"]["contaminated_words"] < 13
    assert (found["clean"]["contaminated_words"], found["clean"]["contaminated_share"]) == (0, 0.0)


def test_what_is_found_of_each_task_is_told(ran):
    tasks = ran.manifest("dec").metrics["tasks"]
    assert tasks == {"maths": {"items": 2, "found": 2}, "sea": {"items": 1, "found": 1}, "code": {"items": 2, "found": 0},
                     "labels": {"items": 1, "found": 0}}  # fmt: skip
    said = " ".join(remarks_of(ran.plan.node("tasks").operator, ran.manifest("tasks")))
    assert "passed over 1 files that hold no records: README.md" in said
    assert "1 records of 1 tasks have no field known for a question" in said


@pytest.mark.parametrize("limit", [0.5, 1.0])
def test_a_pool_that_holds_too_much_of_a_task_stops_the_run(ran, tmp_path, limit):
    evals(tmp_path)
    put_file(tmp_path / "a.jsonl", lines_of([{"uid": name, "text": text} for name, text in PAGES.items()]))
    gate = RECIPE.replace("against: tasks", f"against: tasks, expect: {{max_items_found: {limit}}}")
    if limit == 1.0:
        assert run(gate, tmp_path, tmp_path / "root").table("corpus", "uid").num_rows == 1
        return
    with pytest.raises(DataError) as error:
        run(gate, tmp_path, tmp_path / "root")
    assert "found 2 of 2 items (100.0 %) of maths, 1 of 1 items (100.0 %) of sea" in str(error.value)
    assert "expected at most 50 % of the items of any task" in str(error.value)


def test_extent_agrees_with_words_marked_one_by_one():
    draw = random.Random(5)
    vocabulary = [f"w{i}" for i in range(12)]
    items = [" ".join(draw.choices(vocabulary, k=draw.choice([3, 4, 6, 9]))) for _ in range(30)]
    texts = [" ".join(draw.choices(vocabulary, k=draw.randrange(60))) for _ in range(300)]
    found = Protected(items=pl.Series(items), protection=Protection(ngram=4, shortest=3, near=0.0)).find(
        pa.array(texts, pa.large_string()))  # fmt: skip
    grams = {tuple(i.split()[at : at + 4]) for i in items for at in range(len(i.split()) - 3)}
    grams |= {tuple(i.split()) for i in items if len(i.split()) == 3}
    for text, longest, share in zip(texts, found.longest, found.share, strict=True):
        words = text.split()
        marks = [False] * len(words)
        for n in (3, 4):
            for at in range(len(words) - n + 1):
                if tuple(words[at : at + n]) in grams:
                    marks[at : at + n] = [True] * n
        runs = "".join("x" if m else " " for m in marks).split()
        assert (longest, share) == (max(map(len, runs), default=0), sum(marks) / max(len(words), 1))
    assert (found.longest > 4).any()


def test_names_of_tasks_and_bad_files(tmp_path):
    paths = [Path(p) for p in ("/e/arc.jsonl", "/e/mmlu/a.csv", "/e/mmlu/b/c.csv")]
    assert task_names(paths) == ["arc", "mmlu", "mmlu"]
    assert task_names(paths[:1]) == ["arc"]
    for name, data in {
        "a.jsonl": b"{broken\n",
        "b.jsonl": b"[1]\n",
        "c.parquet": b"PAR1",
        "d.jsonl.gz": b"\x1f\x8b\x08no",
    }.items():
        put_file(tmp_path / name, data)
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            list(records_of(tmp_path / name))
    put_file(tmp_path / "ok.jsonl", lines_of([{"question": "q"}]))
    operator = EvalTasks(files=("ok.jsonl",), fields=("quastion",))
    with pytest.raises(DataError, match=r"no record of ok\.jsonl has 'quastion'"):
        operator.run(Context(seed=0, work=tmp_path, refs={"files": [tmp_path / "ok.jsonl"]}))
