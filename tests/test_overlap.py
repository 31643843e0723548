"""Overlap of arms with their evaluation targets: found by word n-grams, refused, the items named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_suites import lines, parsed

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Kind
from winnow.testing import check_operator, nasty_corpus
from winnow.testing.in_memory import MemorySource, run_map
from winnow.trainers.ablation.arms_overlap import ArmsOverlap
from winnow.trainers.ablation.target_overlap import TargetOverlap, marked_in, overlap_of
from winnow.trainers.evaluate import suites
from winnow.trainers.evaluate.target_file import TargetFile

LONG = "the quick brown fox jumps over the lazy dog while seventeen quiet owls watch from above"  # 16 words
SHORT = "nine words of a rather short item stand here"
TINY = "too short to tell"


def source_of(folder, *texts: str) -> MemorySource:
    """A target of continuations: the first half is the context."""
    folder.mkdir()
    cut = [len(text.split()) // 2 for text in texts]
    records = [
        {"context": " ".join(t.split()[:c]), "continuation": " ".join(t.split()[c:])}
        for t, c in zip(texts, cut, strict=True)
    ]
    path = lines(folder, *records)
    TargetFile(files=(str(path),)).run(Context(seed=0, work=folder, refs={"files": [str(path)]}))
    files = {p.name: p for p in folder.iterdir() if p.suffix == ".arrow"}
    return MemorySource(paths=files, kind=Kind.ARTEFACT)


def pool_of(*texts: str | None) -> pl.DataFrame:
    sizes = [len(text or "") for text in texts]
    return pl.DataFrame({"doc_id": [bytes([i] * 16) for i in range(len(texts))], "text": texts, "text_bytes": sizes})


def marks_of(pool: pl.DataFrame, target: MemorySource, **fields) -> pl.DataFrame:
    return run_map(TargetOverlap(target="t", **fields), pool, Context(seed=0, work=Path(), refs={"target": target}))


def test_runs_of_thirteen_words_and_whole_shorter_items_are_found(tmp_path):
    target = source_of(tmp_path / "t", LONG, SHORT, TINY)
    words = LONG.split()
    pool = pool_of(
        f"Before. {LONG.upper()}! After.",
        " ".join(words[2:15]) + " and on",
        " ".join(words[:12]) + " and on",
        f"x {SHORT} y",
        TINY,
        f"{SHORT} {LONG}",
        None,
        "",
    )
    made = marks_of(pool, target)
    assert made["overlap_items"].to_list() == [[0], [0], [0], [1], [], [0, 1], None, []]  # the third is a near copy
    assert made["overlap_ngrams"].to_list() == [4, 1, 0, 1, 0, 5, None, 0]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_marks_do_not_depend_on_the_batch(tmp_path, size):
    target = source_of(tmp_path / "t", LONG, SHORT)
    pool = pool_of(LONG, "other", SHORT, None, f"{SHORT} {LONG}")
    ctx = Context(seed=0, work=tmp_path, refs={"target": target})
    assert run_map(TargetOverlap(), pool, ctx, size).equals(run_map(TargetOverlap(), pool, ctx))


def test_the_marks_keep_the_contract(tmp_path):
    ctx = Context(seed=7, work=tmp_path, refs={"target": source_of(tmp_path / "t", LONG)})
    assert check_operator(TargetOverlap(target="t"), nasty_corpus(), ctx=ctx) == []


def test_marks_equal_those_of_every_n_gram_compared(tmp_path):
    draw = np.random.default_rng(3)
    texts = [" ".join(draw.choice(list("abc"), 40)) for _ in range(60)]
    target = source_of(tmp_path / "t", *texts[:20])
    made = marks_of(pool_of(*texts[20:]), target, ngram=9, shortest=9, near=0.0)
    items = [text.split() for text in texts[:20]]
    grams = {tuple(item[i : i + 9]) for item in items for i in range(32)}
    expected = []
    for text in texts[20:]:
        words = text.split()
        expected.append(sum(tuple(words[i : i + 9]) in grams for i in range(32)))
    assert made["overlap_ngrams"].to_list() == expected
    assert sum(expected) > 0


def arm_of(pool: pl.DataFrame, *kept: bool) -> MemorySource:
    return MemorySource(rows=pool.with_columns(kept=pl.Series(kept)))


def checked(tmp_path, selections: dict[str, MemorySource], target: MemorySource, pool: pl.DataFrame, **fields):
    marks = pl.concat([pool, marks_of(pool, target)], how="horizontal").with_columns(kept=True)
    refs = {"selections": selections, "overlaps": {"quiz": MemorySource(rows=marks)}, "targets": {"quiz": target}}
    return ArmsOverlap(**fields).run(Context(seed=0, work=tmp_path, refs=refs))["targets"]["quiz"]


def test_an_arm_that_holds_items_of_its_target_is_refused_and_the_items_are_named(tmp_path):
    target, pool = source_of(tmp_path / "t", LONG, TINY, SHORT), pool_of(LONG, "other", SHORT)
    with pytest.raises(DataError, match=r"2 items of .*'quiz' in 2 documents: target.jsonl:1, target.jsonl:3") as error:
        checked(tmp_path, {"best": arm_of(pool, True, True, True)}, target, pool)
    assert error.value.where == "arm 'best'"
    assert "decontaminate" in error.value.hint
    arms = {"clean": arm_of(pool, False, True, False), "best/0": arm_of(pool, False, True, True)}
    with pytest.raises(DataError, match=r"1 items of .* documents: target\.jsonl:3\n") as error:
        checked(tmp_path, arms, target, pool)
    assert error.value.where == "arm 'best/0'"


def test_an_arm_without_them_passes_and_what_could_not_be_checked_is_counted(tmp_path):
    target, pool = source_of(tmp_path / "t", LONG, TINY, SHORT), pool_of(LONG, "other", SHORT)
    clean = {"documents": 0, "items": 0, "names": [], "items_unchecked": 1, "first_document": None}
    found = checked(tmp_path, {"best": arm_of(pool, False, True, False)}, target, pool)
    assert {key: found[key] for key in clean} == clean
    told = checked(tmp_path, {"best": arm_of(pool, True, True, True)}, target, pool, reported=("quiz",))
    assert (told["documents"], told["items"], told["names"]) == (2, 2, ["target.jsonl:1", "target.jsonl:3"])
    assert told["first_document"] == "00" * 16


def test_rows_are_targets_too_and_are_named_by_their_ids(tmp_path):
    rows = MemorySource(rows=pool_of(LONG).with_columns(kept=True))
    ctx = Context(seed=0, work=tmp_path, refs={"target": rows})
    assert run_map(TargetOverlap(), pool_of("x " + LONG), ctx)["overlap_items"].to_list() == [[0]]
    marks = MemorySource(rows=pl.concat([pool_of("x " + LONG), marks_of(pool_of("x " + LONG), rows)], how="horizontal"))
    found = overlap_of(pool_of("x " + LONG), marked_in(marks), suites.suite_of(rows))
    assert (found["items"], found["names"]) == (1, ["00" * 16])


def test_a_target_of_which_nothing_can_be_found_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no item has 5 words"):
        marks_of(pool_of("a"), source_of(tmp_path / "t", TINY))


def test_the_answer_is_protected_with_its_context_and_wrong_answers_are_not(tmp_path):
    suite = parsed(tmp_path, {"query": " ".join("abcdefghijklm"[:12]), "choices": ["m", "z"], "gold": 0})
    folder = tmp_path / "s"
    folder.mkdir()
    suites.save_suite(suite, folder)
    target = MemorySource(paths={p.name: p for p in folder.iterdir()}, kind=Kind.ARTEFACT)
    made = marks_of(pool_of("a b c d e f g h i j k l m", "a b c d e f g h i j k l z"), target)
    assert made["overlap_ngrams"].to_list() == [1, 0]  # the second is a near copy, by its question


def test_sizes_that_cannot_work_are_refused():
    for shortest in (0, 14):
        with pytest.raises(ConfigError, match="shortest"):
            dataclasses.replace(TargetOverlap(), shortest=shortest).validate()
