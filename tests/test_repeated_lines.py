"""`repeated_lines`: what goes is what plain Python finds, for any layout; what stays is the copy that it says."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import lines_of, put_file, run

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.core.words.hashing import text_hash
from winnow.core.words.segments import segments
from winnow.core.words.splice import united
from winnow.dags.before.remarks import plan_remarks
from winnow.dags.driver.remarks import remarks_of
from winnow.pipeline.dedup import repeated_kernels as kernels
from winnow.pipeline.dedup.forms import in_form
from winnow.pipeline.dedup.repeated_lines import RepeatedLines
from winnow.pipeline.dedup.repeated_lines_found import Found, repeats
from winnow.testing.in_memory import run_group

CONTEXT = Context(seed=0, work=Path())
LINES = [
    "All rights reserved.",
    "all RIGHTS  reserved",
    "Tides.",
    "",
    "  ",
    "Über uns.",
    "Read more",
    "x",
    "One. Two! Three?",
]


def corpus(rows: int = 120, seed: int = 1) -> pl.DataFrame:
    rng = random.Random(seed)
    texts: list[str | None] = [None, "", "\n\n"]
    while len(texts) < rows:
        some = [rng.choice([*LINES, f"unique {rng.randrange(40)}."]) for _ in range(rng.randrange(6))]
        texts.append("".join(line + rng.choice(["\n", "\n\n", "\r\n", " "]) for line in some))
    rng.shuffle(texts)
    doc_id = text_hash(pa.array([f"d{n}" for n in range(rows)], pa.large_string()))
    return pl.DataFrame(
        {"doc_id": pl.Series(doc_id.cast(pa.large_binary())), "text": pl.Series(texts, dtype=pl.String),
         "q": [rng.choice([None, 1, 2, 3]) for _ in texts], "site": [rng.choice(["a", "b", None]) for _ in texts]},
    )  # fmt: skip


def expected(rows: pl.DataFrame, op: Found) -> dict[bytes, list[tuple[int, int]]]:
    """The spans that go of every document, by dictionaries of texts."""
    units = []
    for doc, text, q, site in rows.rows():
        found = segments(pa.array([text], pa.large_string()), by=op.by)
        raw = (text or "").encode()
        pieces = [(int(a), int(b), raw[a:b].decode()) for a, b in zip(found.starts, found.ends, strict=True)]
        formed = in_form(pa.array([p[2] for p in pieces], pa.large_string()), op.form).to_pylist()
        keys = [k.strip(" \t\n\r\v\f") for k in formed]
        place = (q is None, -(q or 0), doc) if op.keeper == "q desc" else doc
        for at in range(len(pieces) - op.run + 1):
            some = keys[at : at + op.run]
            if all(len(k.encode()) >= op.min_bytes for k in some) and not (op.per and site is None):
                key = (tuple(some), site if op.per else None)
                units.append((place, pieces[at][0], pieces[at + op.run - 1][1], key, doc))
    copies, seen, out = Counter(u[3] for u in units), set(), {}
    for _, start, stop, key, doc in sorted(units, key=lambda u: (u[0], u[1])):
        if copies[key] > op.most and (op.keep == "none" or key in seen):
            out.setdefault(doc, []).append((start, stop))
        seen.add(key)
    return {doc: merged(spans) for doc, spans in out.items()}


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(stop, out[-1][1]))
        else:
            out.append((start, stop))
    return out


CASES = [{}, {"by": "sentences", "run": 3}, {"by": "paragraphs"}, {"form": "words"}, {"keep": "none"}, {"most": 4},
         {"keeper": "q desc"}, {"per": ("site",)}, {"run": 2, "min_bytes": 6, "keep": "none", "keeper": "q desc"}]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("parts", [1, 5])
def test_what_goes_is_what_dictionaries_of_texts_say(case, parts):
    op = Found(**{"min_bytes": 1, **case})
    rows = corpus()
    want = expected(rows, op)
    assert want
    mixed = rows.sample(fraction=1.0, shuffle=True, seed=parts)
    cuts = [mixed.slice(n * 120 // parts, 120 // parts) for n in range(parts)]
    found = {}
    for cut, answer in zip(cuts, run_group(op, cuts, 2 * parts, CONTEXT), strict=True):
        for doc, starts, stops in zip(cut["doc_id"], answer["repeated_starts"], answer["repeated_stops"], strict=True):
            if starts is not None:
                found[doc] = list(zip(starts.to_list(), stops.to_list(), strict=True))
    assert found == want


def test_a_half_hash_in_common_is_no_repetition():
    rows = pl.DataFrame({
        "key": pl.Series([5, 5, 5, 6], dtype=pl.UInt64), "low": pl.Series([1, 2, 1, 1], dtype=pl.UInt64),
        "doc_id": [b"a", b"b", b"c", b"d"], "_part": [0, 0, 1, 1], "start": [0, 0, 0, 0], "stop": [1, 1, 1, 1],
    })  # fmt: skip
    assert repeats(rows, most=1, keep_first=True)["doc_id"].to_list() == [b"c"]
    assert repeats(rows, most=1, keep_first=False)["doc_id"].to_list() == [b"a", b"c"]
    assert repeats(rows.clear(), most=1, keep_first=True).height == 0


def test_the_first_copy_within_a_document_is_that_of_the_first_byte_whatever_the_order_of_rows():
    starts = [70, 10, 30, 90, 50]
    rows = pl.DataFrame({
        "key": pl.Series([5] * 5, dtype=pl.UInt64), "low": pl.Series([1] * 5, dtype=pl.UInt64), "doc_id": [b"a"] * 5,
        "_part": [0] * 5, "start": starts, "stop": [at + 9 for at in starts],
    })  # fmt: skip
    assert repeats(rows, most=1, keep_first=True)["start"].to_list() == [30, 50, 70, 90]


def test_spans_are_united_row_by_row():
    rng = random.Random(2)
    spans = [(rng.randrange(5), a := rng.randrange(40), a + rng.randrange(1, 9)) for _ in range(60)]
    row, starts, stops = united(*(np.array(x, dtype=np.int64) for x in zip(*spans, strict=True)))
    want = [(r, a, b) for r in range(5) for a, b in merged([(a, b) for s, a, b in spans if s == r])]
    assert list(zip(row.tolist(), starts.tolist(), stops.tolist(), strict=True)) == want


def test_white_space_behind_a_first_span_goes_up_to_the_next_span_and_no_further():
    texts = ["foot\n\n  foot\nx", "foot\n \tx", "x foot\n\n", "foot  ", "foot\n"]
    spans = [[(0, 5), (6, 13)], [(0, 5)], [(2, 7)], [(0, 4)], []]
    offsets = np.cumsum([0, *map(len, texts)])
    rows = np.cumsum([0, *map(len, spans)])
    starts, stops = (np.array([one[k] for some in spans for one in some], dtype=np.int64) for k in (0, 1))
    kernels.without_blank_start(offsets, np.frombuffer("".join(texts).encode(), np.uint8), rows, starts, stops)
    assert starts.tolist() == [0, 6, 0, 2, 0]
    assert stops.tolist() == [6, 13, 7, 7, 6]


@pytest.mark.parametrize("wrong", [{"run": 0}, {"most": 0}, {"min_bytes": 0}, {"keeper": "longest"}, {"keeper": "q,"}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError):
        RepeatedLines(**wrong).validate()


def test_a_run_takes_repeated_lines_out_and_what_is_below_reads_the_rest(tmp_path):
    foot = "All rights reserved by the harbour office."
    texts = {"1": f"Tide is high today at noon.\n{foot}\nBoats go out at one.", "2": f"Fish is sold at the pier.\n{foot}",
             "3": foot, "4": f"{foot}\n\nA text that nobody has read."}  # fmt: skip
    quality = {"1": 0.1, "2": 0.9, "3": 0.3, "4": None}
    docs = [{"id": i, "text": t, "q": quality[i]} for i, t in texts.items()]
    recipe = """
stages:
  docs:  {use: jsonl, files: "raw*.jsonl", id: "field:id", columns: {id: string, q: float64}}
  lines: {use: repeated_lines, inputs: docs, keeper: q desc}
  sig:   {use: signals, inputs: docs}
  out:   {use: write, inputs: docs, format: jsonl, order: source, carry: [id, repeated_spans, repeated_share, line_count]}
"""
    shown = []
    for files in (1, 3):
        for n in range(files):
            put_file(tmp_path / str(files) / f"raw{n}.jsonl", lines_of(docs[n::files]))
        ran = run(recipe, tmp_path / str(files), tmp_path / f"root{files}")
        shown.append(
            pl.DataFrame(ran.table("out", "id", "text", "repeated_spans", "repeated_share", "line_count")).sort("id")
        )
        assert ran.counts("lines")["emptied"] == 1
    assert shown[0].equals(shown[1])
    assert shown[0]["text"].to_list() == [
        "Tide is high today at noon.\nBoats go out at one.", texts["2"], "", "A text that nobody has read.",
    ]  # fmt: skip
    assert shown[0]["repeated_spans"].to_list() == [1, 0, 1, 1]
    assert shown[0]["line_count"].to_list() == [2, 2, 0, 1]
    assert shown[0]["repeated_share"][3] == 1 - len("A text that nobody has read.") / len(texts["4"])


@pytest.mark.parametrize("use", ["repeated_lines", "repeated_substrings"])
def test_at_the_end_of_a_recipe_and_where_little_repeats_nothing_false_is_remarked(tmp_path, use):
    """Its own parts are no readers of another text, and a document without a repetition is answered."""
    put_file(
        tmp_path / "docs.jsonl",
        lines_of(f"A line of its own, number {i}, says something else {i * i}." for i in range(9)),
    )
    recipe = f"stages:\n  docs: {{use: jsonl, files: docs.jsonl}}\n  cut: {{use: {use}, inputs: docs}}\n"
    ran = run(recipe, tmp_path, tmp_path / "root")
    said = [remark.text for remark in plan_remarks(ran.plan.nodes)]
    said += [text for stage in ran.runs for text in remarks_of(stage.node.operator, stage.manifest)]
    assert not [text for text in said if "no stage reads" in text or "no answer" in text]


@pytest.mark.parametrize("use", ["repeated_lines", "repeated_substrings, min_bytes: 20"])
def test_documents_without_a_group_are_compared_with_none_and_counted(tmp_path, use):
    text = "A line that stands in every one of these documents."
    put_file(tmp_path / "docs.jsonl", lines_of([{"text": text, "site": site} for site in ("a", "a", None, None)]))
    recipe = "stages:\n  docs: {use: jsonl, files: docs.jsonl, columns: {site: string}}\n"
    ran = run(recipe + f"  cut: {{use: {use}, inputs: docs, per: [site]}}\n", tmp_path, tmp_path / "root")
    said = [text for stage in ran.runs for text in remarks_of(stage.node.operator, stage.manifest)]
    alone = [text for text in said if "2 of 4 documents (50.0%) have no value of `site`" in text]
    assert len(alone) == 1
    assert ran.counts("cut")["emptied"] == 1
