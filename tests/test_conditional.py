"""Control tokens before documents: which, where their ids lie, what a run reads, and what a model learns of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.trainers.data.controls import Controls, check_free, controlled, labels_of
from winnow.trainers.data.pack import Documents, batches_of
from winnow.trainers.online.targets.conditional import Conditional
from winnow.trainers.online.told import Told

VOCAB = 64


def ids(count: int) -> pl.Series:
    return pl.Series([number.to_bytes(16, "big") for number in range(count)], dtype=pl.Binary)


def documents(count: int = 40, *, most: int = 50) -> Documents:
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 12, size=count)
    lengths[1] = 0  # an empty document
    return Documents(doc_id=ids(count), tokens=rng.integers(0, most, size=lengths.sum()).astype(np.uint16),
                     offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))  # fmt: skip


def told(control: list[str | None], **more: Any) -> Told:
    fields: dict[str, Any] = {"steps": 0, "seed": 0, "vocab": VOCAB, "context": 16, "batch": 2}
    return Told(**{**fields, "doc_id": ids(len(control)), **more},
                columns={"control": pl.Series("control", control, dtype=pl.String)})  # fmt: skip


def labels(operator: Conditional, rows: pl.DataFrame) -> list[str | None]:
    return operator.open(Context(seed=0, work=Path()))(rows)["control"].to_list()


def test_a_score_is_aligned_up_to_its_threshold_and_null_has_no_label() -> None:
    rows = pl.DataFrame({"doc_id": ids(5), "toxicity": [0.0, 0.3, 0.31, None, float("nan")]})
    found = labels(Conditional(score="toxicity", at=0.3, drop=0.0), rows)
    assert found == ["aligned", "aligned", "misaligned", None, None]
    assert labels(Conditional(score="1 - toxicity", at=0.7, drop=0.0), rows)[:3] == ["misaligned", "aligned", "aligned"]


def test_a_share_is_drawn_by_doc_id_to_have_no_control() -> None:
    rows = pl.DataFrame({"doc_id": ids(20_000), "t": np.zeros(20_000)})
    operator = Conditional(score="t", drop=0.1)
    found = labels(operator, rows)
    assert 0.09 < found.count("") / len(found) < 0.11
    assert labels(operator, rows[7_000:7_100]) == found[7_000:7_100], "whatever the batch"
    assert labels(Conditional(score="t", drop=0.1, salt="other"), rows) != found
    assert set(labels(Conditional(score="t", drop=1.0), rows)) == {""}
    assert set(labels(Conditional(score="t", drop=0.0), rows)) == {"aligned"}


def test_labels_of_columns_become_controls_in_order_and_too_many_are_refused() -> None:
    rows = pl.DataFrame({"doc_id": ids(3), "source": ["web", None, "books"], "bucket": [10, 2, 1]})
    assert labels(Conditional(label=("source",), drop=0.0), rows) == ["web", None, "books"]
    assert labels(Conditional(label=("source", "bucket"), drop=0.0), rows) == ["web | 10", None, "books | 1"]
    assert labels_of(pl.Series(["10", "2", "", None, "2"]), most=2) == ("2", "10"), "numbers as numbers"
    thousand = pl.Series([f"host{n}" for n in range(1_000)])
    with pytest.raises(ConfigError, match="1,000 labels want as many control tokens, and 16 are reserved"):
        Conditional(label=("host",)).feed(documents(1_000), told(thousand.to_list()))


def test_controls_stand_before_their_documents_and_count_as_tokens() -> None:
    plain = documents()
    control = [["aligned", "misaligned", "", None][n % 4] for n in range(40)]
    operator = Conditional(score="t", drop=0.0)
    fed = operator.feed(plain, told(control))
    first = VOCAB - 3
    assert operator.controls_of(told(control)) == Controls(labels=("aligned", "misaligned"), first=first)
    assert fed.num_tokens == plain.num_tokens + 20
    for n, label in enumerate(control):
        own = plain.tokens[plain.offsets[n] : plain.offsets[n + 1]].tolist()
        ahead = {"aligned": [first], "misaligned": [first + 1]}.get(label or "", [])
        assert fed.tokens[fed.offsets[n] : fed.offsets[n + 1]].tolist() == ahead + own
    assert fed.digest != plain.digest


def test_with_all_controls_dropped_the_stream_is_that_of_the_plain_run() -> None:
    plain = documents()
    fed = Conditional(score="t", drop=1.0).feed(plain, told([""] * 40))
    how: dict[str, Any] = {"context": 16, "batch": 2, "tokens": 200, "end": VOCAB - 1, "seed": 3}
    assert batches_of(fed, **how).digest == batches_of(plain, **how).digest


def test_a_batch_reads_the_end_mark_then_the_control_and_may_leave_its_loss_out() -> None:
    plain, control = documents(), told(["misaligned"] * 40)
    how: dict[str, Any] = {"context": 16, "batch": 2, "tokens": 300, "end": VOCAB - 1, "seed": 3}
    learned, unlearned = Conditional(score="t"), Conditional(score="t", learn_controls=False)
    batches = batches_of(learned.feed(plain, control), **how)
    assert learned.rewrite(batches, control) is batches
    masked = unlearned.rewrite(batches, control)
    assert masked.digest != batches.digest
    seen = 0
    for step in range(batches.num_steps):
        rows, without = batches.batch(step), masked.batch(step)
        at = (rows.targets == VOCAB - 2) & (rows.weights > 0)
        seen += int(at.sum())
        assert (rows.ids[at] == VOCAB - 1).all()
        assert (without.weights[at] == 0).all()
        assert (without.weights[~at] == rows.weights[~at]).all()
        assert masked.step_tokens(step) == batches.step_tokens(step)
    assert seen >= 30


def test_a_run_tells_its_controls_and_how_many_documents_have_which() -> None:
    facts = Conditional(score="t").begin(told(["aligned"] * 3 + [""] + [None])).figures()
    assert facts == {"controls": {"aligned": VOCAB - 3, "misaligned": VOCAB - 2}, "ask_for": ["aligned"],
                     "documents": {"null": 1, "none": 1, "aligned": 3}}  # fmt: skip
    asked = Conditional(label=("s",), ask_for=("web",), controls=4).begin(told(["web", "books"]))
    assert asked.figures()["controls"] == {"books": VOCAB - 5, "web": VOCAB - 4}
    with pytest.raises(ConfigError, match="no document has the label 'wbe'"):
        Conditional(label=("s",), ask_for=("wbe",)).begin(told(["web", "books"]))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="a score or a label"):
        Conditional().validate()
    with pytest.raises(ConfigError, match="a score or a label"):
        Conditional(score="t", label=("s",)).validate()
    with pytest.raises(ConfigError, match=r"drop is 1\.5"):
        Conditional(score="t", drop=1.5).validate()
    with pytest.raises(ConfigError, match="controls is 300"):
        Conditional(label=("s",), controls=300).validate()
    with pytest.raises(ConfigError, match="id 61 of the tokenizer is to be one of 2 control tokens"):
        Conditional(score="t").feed(documents(most=62), told(["aligned"] * 40))
    check_free(documents(most=61), first=61, count=2)
    with pytest.raises(DataError, match="none of 40 documents has a label"):
        Conditional(score="t").feed(documents(), told([None] * 40))
    with pytest.raises(DataError, match="'odd' is none of the labels"):
        Controls(labels=("even",), first=1).of(pl.Series(["even", "odd"]))


def test_no_control_changes_no_document() -> None:
    plain = documents()
    assert controlled(plain, np.full(40, -1)) is plain
