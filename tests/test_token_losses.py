"""Stored token losses: what they are, runs that weigh by them instead of asking the model, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support import Ran, plan_of, put_letters, run
from test_teacher_top_k import files, losses

from tests.support_policies import SHAPE, documents, run_of, varied
from winnow.core.errors import ConfigError, DataError, WinnowError
from winnow.trainers.data.pack import batches_of
from winnow.trainers.data.stored_losses import CONTEXT, NATS, stored_losses
from winnow.trainers.model.usage import WEIGHT
from winnow.trainers.online.weights.rho_1 import Rho1

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
TINY = "vocab: 300, width: 16, layers: 1, heads: 2, context: 24, batch: 4, tokens: 2400, precision: fp32"
FORM = f"""
seed: 1
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{good: float64}}}}
  all: {{use: random, inputs: docs, budget: 100%}}
  base: {{use: train, selection: all, {TINY}}}
  known: {{use: token_losses, inputs: docs, model: base, precision: fp32}}
  live: {{use: train, selection: all, {TINY}, policy: {{use: rho_1, reference: base, keep: 0.6}}}}
  kept: {{use: train, selection: all, {TINY}, policy: {{use: rho_1, losses: known, keep: 0.6}}}}
  nll: {{use: lm_nats, inputs: docs, model: base, precision: fp32, measures: [nll, scored_tokens]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_letters(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def ran(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(FORM, folder, tmp_path_factory.mktemp("root"))


def frame(ran: Ran, stage: str, *columns: str) -> pl.DataFrame:
    found = pl.from_arrow(ran.table(stage, *columns))
    assert isinstance(found, pl.DataFrame)
    return found


def test_a_loss_for_every_token_and_the_end_mark(ran: Ran) -> None:
    found, nll = frame(ran, "known", NATS, CONTEXT), frame(ran, "nll", "nll", "scored_tokens")
    lengths = found[NATS].list.len()
    assert (lengths == nll["scored_tokens"].fill_null(0) + 1).all()
    own = found.select(pl.col(NATS).list.head(pl.col(NATS).list.len() - 1).list.sum())[NATS]
    np.testing.assert_allclose(own.to_numpy(), nll["nll"].fill_null(0).to_numpy(), rtol=1e-5, atol=1e-4)
    assert set(found[CONTEXT].to_list()) == {24}
    assert lengths.max() > 25, "a document of several windows is among them"


def test_a_run_that_reads_them_weighs_as_one_that_asks_the_model(ran: Ran) -> None:
    """Step by step: equal losses mean equal weights, as the kept tokens of a step decide the next one."""
    np.testing.assert_allclose(losses(ran, "kept"), losses(ran, "live"), rtol=1e-5)
    live, kept = (pl.read_ipc(files(ran, name)["feedback.arrow"]) for name in ("live", "kept"))
    assert live["doc_id"].to_list() == kept["doc_id"].to_list()
    assert live[WEIGHT].to_numpy() == pytest.approx(kept[WEIGHT].to_numpy(), rel=1e-6, nan_ok=True)
    assert live[WEIGHT].std() > 0.05
    assert not [name for name in files(ran, "kept") if name.startswith("reference_")], "the run's copy is gone"


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ("", "a reference model or its stored losses"),
        (", reference: base, losses: known", "a reference model or its stored losses"),
        (", losses: all", "'all' .*holds no losses of tokens"),
    ],
)
def test_one_reference_is_needed(folder: Path, more: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        plan_of(FORM + f"  bad: {{use: train, selection: all, {TINY}, policy: {{use: rho_1{more}}}}}\n", folder)


@pytest.mark.parametrize(
    ("tiny", "match"),
    [
        (TINY.replace("context: 24", "context: 16"), "read windows of 24 tokens, and this run reads 16"),
        (f"{TINY}, packing: concat", "with packing 'concat' a run does not"),
        (TINY.replace("vocab: 300", "vocab: 320"), "has 300 tokens, and this run 320"),
    ],
)
def test_other_windows_packing_or_tokenizers_are_refused_while_planning(folder: Path, tiny: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        plan_of(
            FORM + f"  bad: {{use: train, selection: all, {tiny}, policy: {{use: rho_1, losses: known}}}}\n", folder
        )


def test_losses_of_two_tokenizers_in_one_comparison_are_refused(folder: Path) -> None:
    other = f"""
  more: {{use: train, selection: all, {TINY}, tokenizer_bytes: 900}}
  theirs: {{use: token_losses, inputs: docs, model: more}}
  effect: {{use: ablation, baseline: all, arms: {{a: {{data: all, policy: {{use: rho_1, losses: known}}}},
            b: {{data: all, policy: {{use: rho_1, losses: theirs}}}}}}, eval: {{t: docs}}, may_overlap: [t], {TINY}}}
"""
    with pytest.raises(ConfigError, match="have two tokenizers"):
        plan_of(FORM + other, folder)


@pytest.mark.parametrize("policy", ["{use: rho_1, losses: known}", "{use: salt, teacher: base}"])
def test_a_run_has_the_tokenizer_of_the_model_that_its_policy_learns_from(folder: Path, policy: str) -> None:
    (folder / "tokenizer.json").write_text("{}")
    line = f"  bad: {{use: train, selection: all, {TINY}, tokenizer: tokenizer.json, policy: {policy}}}\n"
    with pytest.raises(ConfigError, match="the tokenizer is that of the model that the policy reads"):
        plan_of(FORM + line, folder)


def test_a_document_without_losses_is_refused_by_number_and_name(folder: Path, ran: Ran) -> None:
    some = """
  some: {use: token_losses, inputs: docs, where: "good > 0", model: base, precision: fp32}
  bad: {use: train, selection: all, TINY, policy: {use: rho_1, losses: some}}
""".replace("TINY", TINY)
    with pytest.raises(WinnowError, match="30 of 61 documents of the run have no stored losses"):
        run(FORM + some, folder, ran.store.location, until="bad")


def stored(tmp_path: Path, lists: list[list[float]], *, context: int = 24) -> Any:
    made = documents([3, 5])
    table = pl.DataFrame({"doc_id": made.doc_id, NATS: pl.Series(lists, dtype=pl.List(pl.Float32)),
                          CONTEXT: pl.Series([context] * 2, dtype=pl.Int32)})  # fmt: skip
    return stored_losses([table], made, tmp_path / "x.bin", context=24, where="policy.losses")


def test_losses_of_other_tokens_or_windows_are_refused_while_running(tmp_path: Path) -> None:
    lengths = [int(n) + 1 for n in np.diff(documents([3, 5]).offsets)]
    good = [[float(10 * d + k) for k in range(n)] for d, n in enumerate(lengths)]
    found = stored(tmp_path, good)
    data = batches_of(documents([3, 5]), context=SHAPE.context, batch=2, tokens=10, end=59, seed=0)
    rows = data.batch(0)
    nats = found.nats(rows)
    assert (nats[rows.documents < 0] == 0).all()
    real = rows.documents >= 0
    assert (nats[real] == 10 * rows.documents[real] + rows.places[real]).all()
    with pytest.raises(DataError, match="2 documents have other targets than losses"):
        stored(tmp_path, [row[:-1] for row in good])
    with pytest.raises(DataError, match="in windows of 16 tokens, and the run reads 24"):
        stored(tmp_path, good, context=16)


def test_a_policy_of_stored_losses_needs_them_from_its_run() -> None:
    with pytest.raises(ConfigError, match="no trained model to ask"):
        Rho1(losses="known").begin(run_of(Rho1(losses="known"), varied()).told)
