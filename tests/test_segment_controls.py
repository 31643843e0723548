"""Control tokens before sentences and lines: as labels, as tokens of a run, in written text and in files of ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import Ran, lines_of, plan_of, put_file, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.words.segments import segments
from winnow.pipeline.write.segment_controls import with_controls
from winnow.trainers.data.controls import Controls
from winnow.trainers.data.pack import Documents, batches_of
from winnow.trainers.data.segment_controls import placed, with_segment_controls
from winnow.trainers.online.targets.conditional import Conditional
from winnow.trainers.online.told import Spelt, Told

TEXTS = ["Call 555-1234 now. It is fine.\n\nAgain 555-1234!", "One line.", "", "é ü. Ö 555-1234 ß.  Ende"]
STAGES = """
seed: 1
stages:
  docs: {use: jsonl, files: "raw.jsonl", source: docs}
  marks: {use: segment_scores, inputs: docs, by: sentences, hits: ["[0-9]{3}-[0-9]{4}"]}
  tags: {use: conditional, inputs: docs, per: sentence, score: marks.segment_scores, at: 0, drop: 0}
  all: {use: random, inputs: docs, budget: 100%}
"""
WRITTEN = """
  out: {use: write, inputs: docs, control: tags.control, control_ends: tags.control_ends, order: source, format: jsonl}
  ids: {use: write_tokens, selection: all, control: tags, form: parquet, vocab: 300}
  whole: {use: conditional, inputs: docs, score: text_bytes, at: 20, drop: 0}
  plain_ids: {use: write_tokens, selection: all, control: whole, form: parquet, vocab: 300}
"""


def ids(count: int) -> pl.Series:
    return pl.Series([number.to_bytes(16, "big") for number in range(count)], dtype=pl.Binary)


def tagged(texts: list[str | None], scores: list[list[float | None] | None], **fields: Any) -> pl.DataFrame:
    operator = Conditional(per="sentence", score="marks.segment_scores", at=0.0, **{"drop": 0.0, **fields})
    rows = pl.DataFrame({"doc_id": ids(len(texts)), "text": texts, "marks.segment_scores": scores},
                        schema_overrides={"text": pl.String, "marks.segment_scores": pl.List(pl.Float64)})  # fmt: skip
    return operator.open(Context(seed=0, work=Path()))(rows)


def test_each_sentence_has_a_label_by_its_own_score() -> None:
    found = tagged([*TEXTS[:3], None, "A. Bc def."], [[0.1, 0.0, 0.2], [None], [], None, None])
    assert found["control"].to_list() == [["misaligned", "aligned", "misaligned"], [None], [], None, None]
    assert found["control_ends"].to_list()[:3] == [[18, 30, len(TEXTS[0])], [9], []]
    with pytest.raises(DataError, match="1 documents have other scores than sentences: 2 and 3") as caught:
        tagged(TEXTS[:1], [[0.0, 1.0]])
    assert "by: sentences" in str(caught.value.hint)


def test_lots_are_drawn_for_every_segment_whatever_the_batch() -> None:
    texts = [" ".join(["A sentence."] * 50)] * 40
    scores = [[0.0] * 50] * 40
    found = tagged(texts, scores, drop=0.2)["control"].explode()
    assert 0.17 < (found == "").mean() < 0.23
    assert len({str(one) for one in tagged(texts, scores, drop=0.2)["control"].to_list()}) == 40, (
        "not document by document"
    )
    operator = Conditional(per="sentence", score="s", drop=0.2)
    rows = pl.DataFrame({"doc_id": ids(40), "text": texts, "s": scores})
    ctx = Context(seed=0, work=Path())
    assert operator.open(ctx)(rows[7:9])["control"].to_list() == operator.open(ctx)(rows)["control"].to_list()[7:9]
    assert set(tagged(texts, scores, drop=1.0)["control"].explode()) == {""}


@pytest.mark.parametrize(
    ("fields", "match"),
    [({"score": "1 - marks.segment_scores"}, "need a column of lists"), ({"label": ("source",)}, "need a column of lists"),
     ({"score": "bad", "per": "word"}, "per")],
)  # fmt: skip
def test_what_cannot_score_a_segment_is_refused(fields: dict[str, Any], match: str, tmp_path: Path) -> None:
    told = json.dumps({"use": "conditional", "inputs": "docs", "per": "line", **fields})
    put_file(tmp_path / "raw.jsonl", lines_of([{"text": "x"}]))
    with pytest.raises(ConfigError, match=match):
        plan_of(STAGES + f"  bad: {told}\n", tmp_path)


def test_a_column_of_single_numbers_is_no_list_of_scores(tmp_path: Path) -> None:
    put_file(tmp_path / "raw.jsonl", lines_of([{"text": "x"}]))
    with pytest.raises(ConfigError, match=r"'marks.segment_worst' is double, not lists of numbers"):
        plan_of(STAGES + "  bad: {use: conditional, inputs: docs, per: line, score: marks.segment_worst}\n", tmp_path)


def spelt(text: str, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that spell so many bytes each: the id is the size."""
    assert sum(sizes) == len(text.encode())
    return np.array(sizes, dtype=np.uint16), np.arange(40)


def of_sizes(texts: list[str], sizes: list[list[int]]) -> tuple[Documents, np.ndarray]:
    flat, table = np.concatenate([spelt(t, s)[0] for t, s in zip(texts, sizes, strict=True)]), np.arange(40)
    offsets = np.concatenate(([0], np.cumsum([len(s) for s in sizes])))
    return Documents(doc_id=ids(len(texts)), tokens=flat.astype(np.uint16), offsets=offsets), table


def test_a_control_stands_before_the_first_token_that_begins_in_its_segment() -> None:
    texts = ["ab. cd. ef.", "", "x"]
    documents, table = of_sizes(
        texts, [[2, 1, 5, 1, 2], [], [1]]
    )  # the third token reaches over all of " cd." into " ef."
    known = Controls(labels=("aligned", "misaligned"), first=50)
    labels = pl.Series([["aligned", "misaligned", "aligned"], [], ["misaligned"]])
    ends = pl.Series([[3, 7, 11], [], [1]], dtype=pl.List(pl.Int64))
    found = placed(labels, ends, known, documents=documents, token_bytes=table)
    fed = with_segment_controls(documents, found)
    assert found.without == 0
    assert fed.tokens.tolist() == [50, 2, 1, 51, 5, 50, 1, 2, 51, 1]
    assert fed.offsets.tolist() == [0, 8, 8, 10]
    swallowed, table = of_sizes(texts, [[2, 6, 1, 2], [], [1]])
    found = placed(labels, ends, known, documents=swallowed, token_bytes=table)
    assert found.without == 1, "no token begins in ' cd.'"
    assert with_segment_controls(swallowed, found).tokens.tolist() == [50, 2, 6, 50, 1, 2, 51, 1]
    nothing = placed(pl.Series([["", None, ""], [], None], dtype=pl.List(pl.String)), ends, known, documents=documents,
                     token_bytes=table)  # fmt: skip
    assert with_segment_controls(documents, nothing) is documents
    with pytest.raises(DataError, match="end elsewhere than their tokens: byte 10 and 11"):
        placed(labels, pl.Series([[3, 7, 10], [], [1]]), known, documents=documents, token_bytes=table)
    with pytest.raises(DataError, match="2 ends and 3 labels"):
        placed(labels, pl.Series([[3, 11], [], [1]]), known, documents=documents, token_bytes=table)


def test_a_run_reads_controls_within_documents_and_tells_how_many() -> None:
    texts = ["ab. cd. ef.", "", "x"]
    documents, _ = of_sizes(texts, [[2, 6, 1, 2], [], [1]])
    policy = Conditional(per="sentence", score="s", drop=0.0)
    columns = {"control": pl.Series([["aligned", "misaligned", "aligned"], [], ["misaligned"]]),
               "control_ends": pl.Series([[3, 7, 11], [], [1]], dtype=pl.List(pl.Int64))}  # fmt: skip

    def told(of: Documents, **more: Any) -> Told:
        spelling = Spelt(ids=of.tokens, offsets=of.offsets, bytes=np.where(np.arange(64) < 40, np.arange(64), 0))
        return Told(steps=0, seed=0, vocab=64, context=8, batch=1, doc_id=of.doc_id, columns={**columns, **more},
                    spelling=spelling)  # fmt: skip

    fed = policy.feed(documents, told(documents))
    assert (fed.tokens >= 61).sum() == 3
    acting = policy.begin(told(fed))
    assert acting.figures()["segments"] == {"aligned": 2, "misaligned": 2}
    assert acting.figures()["without_token"] == 1
    assert acting.figures()["control_share"] == pytest.approx(3 / (8 + 3))
    assert acting.remarks()[0].startswith("1 segment of 4 have no token") or "1 segment of 4" in acting.remarks()[0]
    dropped = told(documents, control=pl.Series([["", "", ""], [], [""]]))
    plain = policy.feed(documents, dropped)
    how: dict[str, Any] = {"context": 8, "batch": 1, "tokens": 8, "end": 63, "seed": 0}
    assert batches_of(plain, **how).digest == batches_of(documents, **how).digest, "drop: 1 is the plain run"
    assert "`drop` took all of them" in policy.begin(dropped).idle()


def test_segments_of_a_text_are_written_with_their_controls() -> None:
    text = pa.array([*TEXTS, None], type=pa.large_string())
    found = segments(text, by="sentences")
    labels = [["a" if i % 2 else "b" for i in range(n)] for n in np.diff(found.rows)]
    labels[1], labels[-1] = [None], None  # type: ignore[list-item, call-overload]
    ends = found.lists(found.ends, np.ones(5, dtype=bool))
    written = with_controls(
        text, pa.array(labels, type=pa.large_list(pa.large_string())), ends, form="<|{}|>"
    ).to_pylist()
    assert written[0] == "<|b|>Call 555-1234 now.<|a|> It is fine.<|b|>\n\nAgain 555-1234!"
    assert written[1:3] == ["One line.", ""]
    assert written[3].replace("<|a|>", "").replace("<|b|>", "") == TEXTS[3]
    assert written[4] is None
    again = pa.array([written[0]], type=pa.large_string())
    cut = pa.array([[23, 40, len(written[0])]], type=pa.large_list(pa.int64()))
    three = pa.array([["b", "a", "b"]], type=pa.large_list(pa.large_string()))
    with pytest.raises(DataError, match="3 of 3 segments begin with their control already"):
        with_controls(again, three, cut, form="<|{}|>")
    for wrong, match in (([[5, 2, len(written[0])]], "not those of their text"), ([[5, 9, 12]], "the last at byte 12 of 6"),
                         ([[len(written[0])]], "3 labels, 1 ends")):  # fmt: skip
        with pytest.raises(DataError, match=match):
            with_controls(again, three, pa.array(wrong, type=pa.large_list(pa.int64())), form="<|{}|>")
    with pytest.raises(DataError, match="within a character"):
        with_controls(
            pa.array(["éé"], type=pa.large_string()), pa.array([["a", "b"]]), pa.array([[1, 4]]), form="<|{}|>"
        )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    pytest.importorskip("tokenizers")
    out = tmp_path_factory.mktemp("texts")
    put_file(out / "raw.jsonl", lines_of([{"text": text} for text in (TEXTS[0], TEXTS[1], TEXTS[3])]))
    return run(STAGES + WRITTEN, out, tmp_path_factory.mktemp("root"), workers=0)


def test_a_recipe_writes_sentences_with_their_controls(ran: Ran) -> None:
    files = sorted((ran.folder("out") / "shards").glob("*.jsonl"))
    texts = {json.loads(line)["text"] for file in files for line in file.read_text("utf-8").splitlines()}
    assert "<|misaligned|>Call 555-1234 now.<|aligned|> It is fine.<|misaligned|>\n\nAgain 555-1234!" in texts
    assert "<|aligned|>One line." in texts


@pytest.mark.parametrize("stage", ["ids", "plain_ids"])
def test_files_of_ids_hold_controls_that_their_tokenizer_spells(ran: Ran, stage: str) -> None:
    from tokenizers import Tokenizer

    folder = ran.folder(stage).parent / ran.plan.node(f"{stage}.files").folder / "files"
    folder = next(p for p in [ran.folder(stage) / "files", folder] if p.exists())
    about = folder.parent / "files.meta"
    index = json.loads((about / "index.json").read_text())
    tokenizer = Tokenizer.from_file(str(about / "tokenizer.json"))
    assert index["controls"] == {"aligned": index["vocab"] - 2, "misaligned": index["vocab"] - 1}
    assert tokenizer.get_vocab_size() == index["vocab"], "a model sized by the tokenizer has a row for every id"
    rows = pl.read_parquet(sorted(folder.glob("*.parquet")))
    texts = {tokenizer.decode(one[:-1], skip_special_tokens=False) for one in rows["input_ids"].to_list()}
    assert all(one[-1] == index["end"] for one in rows["input_ids"].to_list())
    if stage == "ids":
        assert "<|misaligned|>Call 555-1234 now.<|aligned|> It is fine.<|misaligned|>\n\nAgain 555-1234!" in texts
    else:
        assert f"<|misaligned|>{TEXTS[0]}" in texts
    assert f"<|aligned|>{TEXTS[1]}" in texts
    for one in rows["input_ids"].to_list():
        text = tokenizer.decode(one[:-1], skip_special_tokens=False)
        assert tokenizer.encode(text).ids == one[:-1], "the trainer's own tokenizer reads the same ids"


def test_a_stage_without_controls_is_refused(tmp_path: Path) -> None:
    put_file(tmp_path / "raw.jsonl", lines_of([{"text": "x"}]))
    for line, match in (("{use: write_tokens, selection: all, control: marks}", "'marks' .*has no control tokens"),
                        ("{use: write, inputs: docs, control: tags.control}", "is large_list"),
                        ("{use: write, inputs: docs, control: origin, control_ends: tags.control_ends}", "no list")):  # fmt: skip
        with pytest.raises(ConfigError, match=match):
            plan_of(STAGES + f"  bad: {line}\n", tmp_path)
