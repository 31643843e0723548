"""Protected items are found in runs, whole and in near copies; what cannot be looked for is told."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import lines_of, put_file, run, texts

from winnow.core.errors import ConfigError
from winnow.core.words import protected as module
from winnow.core.words.protected import Protected, Protection, facts_of
from winnow.dags.driver.remarks import remarks_of

RECIPE = """
stages:
  docs: {use: jsonl, files: a.jsonl, columns: {uid: string}}
  dec: {use: decontaminate, inputs: docs, against: ev.jsonl}
  corpus: {use: write, inputs: [docs, dec], format: jsonl.zst, carry: [uid]}
"""
NAURU = "What is the capital of the small island country Nauru in the Pacific Ocean and who rules it today"
TOWER = "\u57c3\u83f2\u5c14\u94c1\u5854\u4f4d\u4e8e\u54ea\u4e2a\u57ce\u5e02\u5b83\u7684\u9ad8\u5ea6\u662f\u591a\u5c11\u7c73\u5efa\u4e8e\u54ea\u4e00\u5e74\u7531\u8c01\u8bbe\u8ba1"
PAGES = {
    "c1": f"Trivia page. {NAURU} ? Answer follows.",
    "c2": "page: short item five words here",
    "c3": f"\u95ee\u7b54\uff1a{TOWER}\u3002\u7b54\u6848\u5982\u4e0b",
    "c4": f"Trivia page. {NAURU.upper()} ? Answer",
    "c5": "Trivia. " + NAURU.replace(" ", "\n"),
    "c6": "Trivia. " + NAURU.replace("capital", "c\u00e1pital"),
    "ok": "Nothing to see here, a normal clean page about gardens and trees that grow in the park near town.",
}


def put(folder: Path, items: list[str], pages: dict[str, str]) -> None:
    put_file(folder / "a.jsonl", lines_of([{"uid": name, "text": text} for name, text in pages.items()]))
    put_file(folder / "ev.jsonl", lines_of(items))


def test_every_page_that_repeats_an_item_goes_and_an_empty_item_is_told(tmp_path):
    put(tmp_path, [NAURU, "short item five words here", TOWER, ""], PAGES)
    ran = run(RECIPE, tmp_path, tmp_path / "root")
    kept = ran.table("dec", "kept", "uid").to_pylist()
    assert {row["uid"] for row in kept if row["kept"]} == {"ok"}
    metrics = ran.manifest("dec").metrics
    assert metrics["items"] == {"items": 4, "items_whole": 1, "items_too_short": 0, "items_empty": 1, "items_found": 3}
    assert sorted(metrics["found"].values()) == [1, 1, 4]
    assert any("ev.jsonl#0" in name and documents == 4 for name, documents in metrics["found"].items())
    (remark,) = remarks_of(ran.plan.node("dec").operator, ran.manifest("dec"))
    assert "1 of 4 items of `against` are without a word" in remark


def test_items_too_short_to_look_for_are_told_with_what_to_do(tmp_path):
    put(tmp_path, [NAURU, "four words of it", "yes"], PAGES)
    ran = run(RECIPE, tmp_path, tmp_path / "root")
    (remark,) = remarks_of(ran.plan.node("dec").operator, ran.manifest("dec"))
    assert "2 of 3 items of `against` have fewer than 5 words" in remark
    assert "`shortest`" in remark
    shorter = RECIPE.replace("against: ev.jsonl", "against: ev.jsonl, shortest: 1")
    assert run(shorter, tmp_path, tmp_path / "root").manifest("dec").metrics["items"]["items_too_short"] == 0


@pytest.mark.parametrize("part_bytes", [None, 60])
def test_a_question_with_its_right_answer_is_an_item(tmp_path, part_bytes):
    quiz = {"question": "Who wrote the book of the sea?", "choices": ["Ann Smith", "Bo Young"], "answer": 1}
    put_file(tmp_path / "quiz.jsonl", lines_of([quiz]))
    pages = {"right": "Who wrote the book of the sea? Bo Young!", "wrong": "Who wrote the book of the sea? Ann Smith!"}
    put(tmp_path, ["x"], pages)
    recipe = RECIPE.replace("ev.jsonl", "quiz").replace(
        "stages:", "stages:\n  quiz: {use: target_file, files: quiz.jsonl}"
    )
    ran = run(recipe, tmp_path, tmp_path / "root", part_bytes=part_bytes)
    kept = {row["uid"]: row["kept"] for row in ran.table("dec", "kept", "uid").to_pylist()}
    assert kept == {"right": False, "wrong": True}
    assert sum(ran.manifest("dec").metrics["found"].values()) == 1


def changed(text: str, draw: random.Random, every: int = 10) -> str:
    """The text with every tenth word another one."""
    first = draw.randrange(every)
    return " ".join(f"zq{draw.randrange(10**6)}" if i % every == first else w for i, w in enumerate(text.split()))


def prose(words: int, draw: random.Random) -> str:
    return " ".join(f"w{draw.randrange(2000)}" for _ in range(words))


def found_in(items: list[str], pages: list[str], **fields) -> list[list[int]]:
    found = Protected(items=pl.Series(items), protection=Protection(**fields)).find(pa.array(pages, pa.large_string()))
    return [found.items[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


@pytest.mark.parametrize("words", [16, 30, 60, 400])
def test_near_copies_with_every_tenth_word_changed_are_found_and_strangers_are_not(words):
    draw = random.Random(words)
    items = [prose(words, draw) for _ in range(20)]
    copies = [f"{prose(80, draw)} {changed(item, draw)} {prose(80, draw)}" for item in items]
    strangers = [prose(500, draw) for _ in range(200)]
    found = found_in(items, copies + strangers)
    assert found[:20] == [[i] for i in range(20)]
    assert found[20:] == [[]] * 200
    assert not any(found_in(items, copies, near=0.0))


def test_a_near_copy_of_one_passage_of_a_long_item_is_found():
    draw = random.Random(4)
    book = prose(3000, draw)
    passage = " ".join(book.split()[1234:1314])
    assert found_in([book], [f"{prose(300, draw)} {changed(passage, draw)}", prose(300, draw)]) == [[0], []]


def test_near_copies_of_text_without_spaces_are_found():
    draw = random.Random(5)
    han = "".join(chr(draw.randrange(0x4E00, 0x9000)) for _ in range(60))
    copy = "".join("\u9f98" if i % 10 == 3 else c for i, c in enumerate(han))
    other = "".join(chr(draw.randrange(0x4E00, 0x9000)) for _ in range(60))
    assert found_in([han], [copy, other]) == [[0], []]


def test_a_phrase_of_many_items_makes_no_near_copy_of_any():
    draw = random.Random(6)
    common = "which of the following statements about this is the one that is true"
    items = [f"{common} {prose(4, draw)}" for _ in range(100)]
    words = common.split()
    assert found_in(items, [" ".join(words[:12]) + " and so on"]) == [[]]
    assert found_in(items[:2], [" ".join(words[:12]) + " and so on"]) == [
        [0, 1]
    ]  # of two items it is a part that tells


def brute(items: list[str], page: str, protection: Protection) -> list[int]:
    """The items found in a page, by the rules written down once more."""

    def grams(words: list[str], n: int) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    there, out = page.split(), []
    split = [item.split() for item in items]
    owners: dict[tuple[str, ...], int] = {}
    for words in split:
        for gram in grams(words, 5) if len(words) >= protection.ngram else ():
            owners[gram] = owners.get(gram, 0) + 1
    for number, words in enumerate(split):
        n = min(len(words), protection.ngram)
        if n < protection.shortest:
            continue
        told = (
            {g for g in grams(words, 5) if owners.get(g, 0) <= module.MOST_OWNERS}
            if len(words) >= protection.ngram
            else set()
        )
        need = max(int(np.ceil(len(told) * protection.near - 1e-9)), module.LEAST)
        near = protection.near and len(words) >= max(protection.ngram, 9) and len(told & grams(there, 5)) >= need
        if grams(words, n) & grams(there, n) or near:
            out.append(number)
    return out


def test_what_is_found_is_what_a_plain_search_finds():
    draw = random.Random(7)
    protection = Protection(ngram=8, shortest=5, near=0.2)
    letters = list("abcd")
    items = [" ".join(draw.choices(letters, k=draw.randrange(3, 40))) for _ in range(12)]
    pages = [" ".join(draw.choices(letters, k=draw.randrange(0, 200))) for _ in range(120)]
    exact = [brute(items, page, Protection(ngram=8, shortest=5, near=0.0)) for page in pages]
    found = Protected(items=pl.Series(items), protection=protection).find(pa.array(pages, pa.large_string()))
    bare = Protected(items=pl.Series(items), protection=Protection(ngram=8, shortest=5, near=0.0)).find(
        pa.array(pages, pa.large_string())
    )
    first = [bare.items[a:b].tolist() for a, b in zip(bare.offsets[:-1], bare.offsets[1:], strict=True)]
    # an n-gram of several items counts for the first of them: whether there is one is the same
    assert [bool(a) for a in first] == [bool(b) for b in exact]
    near = [found.items[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]
    assert [bool(a) for a in near] == [bool(brute(items, page, protection)) for page in pages]
    assert 0 < sum(map(bool, first)) < sum(map(bool, near)) < len(pages)


def test_matches_do_not_depend_on_the_batch():
    pool = texts(200, seed=3)
    items = [t for t in texts(40, seed=3) if t]
    whole = found_in(items, pool)
    assert whole == [one for i in range(0, 200, 7) for one in found_in(items, pool[i : i + 7])]
    assert any(whole)


def test_facts_count_every_item_once():
    items = pl.Series(["", "a", "a b c d e", " ".join("abcdefghijklm"), "!"])
    facts = facts_of(items, Protection())
    assert facts == {"items": 5, "items_whole": 1, "items_too_short": 1, "items_empty": 2}


@pytest.mark.parametrize("fields", [{"ngram": 0}, {"shortest": 0}, {"near": -0.1}, {"near": 1.1}])
def test_numbers_that_cannot_work_are_refused(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Protection(**fields).check()


def test_the_figures_of_the_documentation_can_be_made_anew(tmp_path):
    script = Path(__file__).parents[1] / "benchmarks" / "bench_decontaminate.py"
    done = subprocess.run(
        [sys.executable, script, "--items", "20", "--mb", "0.5"], capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout)["near"]
    assert {row["near"] for row in rows} >= {0.2, 0.35, 0.5}
    best = next(row for row in rows if row["near"] == 0.35)
    assert best["near_copies_found"] >= 0.8
    assert best["unrelated_dropped"] == 0
