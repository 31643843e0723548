"""Ids that depend on all records are the same by one task and in buckets, for any cut; repeated ones are told the same."""

import random

import pytest
from support import lines_of, put_file, run

from winnow.core.errors import DataError
from winnow.core.store.committed_stage import CommittedStage

RECIPE = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", id: ID}
"""
LAYOUTS = [{"part_bytes": 4000, "buckets": 1}, {"part_bytes": 900, "buckets": 7}, {"part_bytes": 300, "buckets": 30}]


def put(folder, records, files=3):
    for number in range(files):
        put_file(folder / "raw" / f"{number}.jsonl", lines_of(records[number::files]))


def records(number, seed):
    """Texts of which most occur several times, within parts and across them; ids that do not."""
    rng = random.Random(seed)
    texts = [f"text {n} " + "word " * rng.randrange(12) for n in range(number // 3)]
    return [{"text": rng.choice(texts), "uid": f"u{n}"} for n in range(number)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", ["content", "field:uid"])
def test_ids_found_in_buckets_are_those_of_one_task(tmp_path, rule, layout):
    put(tmp_path, records(400, 3))
    recipe = RECIPE.replace("ID", rule)
    one, apart = (run(recipe, tmp_path, tmp_path / name, **layout, **more)
                  for name, more in (("one", {}), ("apart", {"pieces": 1})))  # fmt: skip
    assert apart.digests == one.digests
    phases = {task.name for task in (tmp_path / "apart").glob("jsonl-*/_data/*")}
    assert phases == {"raw", "part"}  # what numbering needed is gone
    folder = one.plan.node("docs").folder
    assert CommittedStage(apart.store, folder, "rows", folder).frame("doc_id")["doc_id"].n_unique() == 400


def test_repeated_ids_are_told_as_one_task_tells_them(tmp_path):
    held = records(300, 4)
    for at, like in ((50, 7), (120, 7), (200, 199)):
        held[at]["uid"] = held[like]["uid"]
    put(tmp_path, held)
    told = []
    for name, more in (("one", {}), ("apart", {"pieces": 1})):
        with pytest.raises(DataError, match="3 records repeat an id") as refused:
            run(RECIPE.replace("ID", "field:uid"), tmp_path, tmp_path / name, part_bytes=900, buckets=7, **more)
        told.append((refused.value.what, refused.value.hint))
    assert told[0] == told[1]
