"""Stored soft labels: what a pool's labels are, runs that read them, and how they stand to a teacher that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support import Ran, plan_of, put_letters, run
from support_policies import RECIPE, SHAPE, bits, run_of, varied
from test_ablation_run import result_of

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data.stored_labels import IDS, PROBABILITIES, TAIL, stored
from winnow.trainers.evaluate.gpt_top_k import Entries, GptTopK, check_entries
from winnow.trainers.model import loop
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.shape import Shape
from winnow.trainers.online.targets.salt import Salt

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
TINY = "vocab: 300, width: 16, layers: 1, heads: 2, context: 24, batch: 4, tokens: 2400, precision: fp32"
FORM = f"""
seed: 1
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{good: float64}}}}
  all: {{use: random, inputs: docs, budget: 100%}}
  base: {{use: train, selection: all, {TINY}}}
  whole: {{use: teacher_top_k, inputs: docs, model: base, k: 300, precision: fp32}}
  some: {{use: teacher_top_k, inputs: docs, where: "good > 0", model: base, k: 4, precision: fp32}}
  live: {{use: train, selection: all, {TINY}, policy: {{use: salt, teacher: base, share: 0.5, until: 0.5}}}}
  kept: {{use: train, selection: all, {TINY}, policy: {{use: salt, labels: whole, share: 0.5, until: 0.5}}}}
  part: {{use: train, selection: all, {TINY}, policy: {{use: salt, labels: some, share: 0.5, until: 0.5}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_letters(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def ran(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(FORM, folder, tmp_path_factory.mktemp("root"))


def files(ran: Ran, name: str) -> dict[str, Path]:
    (receipt,) = ran.manifest(f"{name}.run").named("artefact").values()
    return {ref.name: ran.store.local_copy(ref.key) for ref in receipt.files}


def losses(ran: Ran, name: str) -> np.ndarray:
    return np.load(files(ran, name)["losses.npy"])


def test_stored_labels_of_all_entries_train_as_the_teacher_that_runs(ran: Ran) -> None:
    live, kept = losses(ran, "live"), losses(ran, "kept")
    # f16 rounds a probability by 2^-11 of itself, or by 2^-25 below 6e-5, and all are then scaled to add up to 1: in nats
    # at most 2^-10 of the cross-entropy and 300 x 2^-25 of a token's largest loss, halved by the share
    bound = 0.5 * (2.0**-10 * live.max() + 300 * 2.0**-25 * 20)
    assert abs(live - kept).max() < bound
    assert abs(live - losses(ran, "base"))[1:].min() > 0, "and it teaches"
    assert int(ran.table("whole", TAIL)[TAIL].combine_chunks().value_lengths().to_numpy().max()) > 24 + 1


def test_labels_are_aligned_with_tokens_and_end_and_stand_by_their_likelihood(ran: Ran) -> None:
    some = pl.from_arrow(ran.table("some", "doc_id", IDS, PROBABILITIES, TAIL))
    tokens = pl.from_arrow(ran.table("some.tokens", "doc_id", "tokens"))
    assert isinstance(some, pl.DataFrame)
    assert isinstance(tokens, pl.DataFrame)
    assert some["doc_id"].to_list() == tokens["doc_id"].to_list()
    assert some[TAIL].null_count() == 30, "what `where` leaves out"
    seen = 0
    shape = Shape(**result_of(ran, "base.run")["shape"])
    model = loop.load(files(ran, "base")["weights.npz"], shape)
    for row, ids in zip(some.iter_rows(named=True), tokens["tokens"].to_list(), strict=True):
        if row[TAIL] is None:
            continue
        targets = [*ids, 299]
        assert (len(row[IDS]), len(row[TAIL])) == (4 * len(targets), len(targets))
        if len(targets) > 24:
            continue
        seen += 1
        with torch.no_grad():
            found = torch.softmax(model(torch.tensor([[299, *ids]])), dim=2)[0]
        probabilities, at = found.topk(4, dim=1)
        kept = np.array(row[PROBABILITIES]).reshape(-1, 4)
        assert kept == pytest.approx(probabilities.numpy(), rel=2e-3, abs=1e-6)
        assert np.array(row[TAIL]) == pytest.approx(1 - probabilities.sum(1).numpy(), abs=2e-3)
        apart = np.array(row[IDS]).reshape(-1, 4) != at.numpy()
        assert apart.mean() < 0.02, "but for ties"
    assert seen > 5


def test_documents_without_labels_are_learned_from_their_tokens_and_counted(ran: Ran) -> None:
    figures = result_of(ran, "part.run")["policy"]["figures"]
    assert (figures["documents"], figures["without_labels"], figures["k"]) == (61, 30, 4)
    told = " ".join(ran.of("part.run").manifest.metrics.get("remarks", ()))
    assert "30 of 61 documents have no stored labels" in told
    assert result_of(ran, "kept.run")["policy"]["figures"]["without_labels"] == 0
    assert not [name for name in files(ran, "kept") if "labels" in name], "a run leaves no copy of them"
    assert abs(losses(ran, "part")[0] - losses(ran, "live")[0]) > 1e-3


def test_a_taught_run_tells_the_loss_of_the_tokens_alone(ran: Ran) -> None:
    for name in ("live", "kept"):
        plain = np.load(files(ran, name)["policy.npz"])["plain_losses"]
        mixed, half = losses(ran, name), round(0.5 * len(plain))
        assert plain[half:] == pytest.approx(mixed[half:], abs=0)
        assert abs(plain[1:half] - mixed[1:half]).min() > 1e-3, "at step 0 the head expects nothing"
        base = losses(ran, "base")
        assert plain[0] == pytest.approx(base[0], rel=1e-6), "the first step has the plain run's weights"


def test_a_tail_above_what_is_kept_is_remarked_with_its_share() -> None:
    def told(tail: int) -> tuple[str, ...]:
        return GptTopK(k=4).remarks({"label_targets": 100, "label_tail_thousandths": 1_000 * tail}, {})

    (line,) = told(70)
    assert line.startswith("the 4 likeliest entries hold 30% of the teacher's mass")
    assert told(50) == told(0) == GptTopK(k=4).remarks({}, {}) == ()


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    def planned(more: str) -> None:
        plan_of(FORM + more, folder)

    with pytest.raises(ConfigError, match="holds no stored labels"):
        planned(f"  bad: {{use: train, selection: all, {TINY}, policy: {{use: salt, labels: all}}}}\n")
    with pytest.raises(ConfigError, match="a teacher or its stored labels"):
        planned(f"  bad: {{use: train, selection: all, {TINY}, policy: {{use: salt}}}}\n")
    with pytest.raises(ConfigError, match="temperature has no effect with labels"):
        planned(f"  bad: {{use: train, selection: all, {TINY}, policy: {{use: salt, labels: some, temperature: 2}}}}\n")
    other = TINY.replace("300", "310")
    with pytest.raises(ConfigError, match="'labels' of the policy has 300 tokens, and this run 310"):
        planned(f"  bad: {{use: train, selection: all, {other}, policy: {{use: salt, labels: some}}}}\n")
    with pytest.raises(ConfigError, match="holds no trained model"):
        planned("  bad: {use: teacher_top_k, inputs: docs, model: all}\n")
    for fields in ({"k": 0}, {"temperature": 0.0}, {"stride": -1}, {"context": 4, "stride": 5}):
        with pytest.raises(ConfigError, match=f"{next(reversed(fields))} is"):
            check_entries(Entries(**fields))


def frames(data: Any, k: int = 4, *, skip: int = 0) -> list[pl.DataFrame]:
    """Labels of the documents in two parts, in another order than theirs."""
    draw, rows = np.random.default_rng(1), []
    for d, (start, stop) in enumerate(zip(data.offsets[:-1], data.offsets[1:], strict=True)):
        n = int(stop - start) + 1
        kept = draw.dirichlet(np.ones(k + 1), size=n)
        ids = np.stack([draw.permutation(SHAPE.vocab)[:k] for _ in range(n)])
        rows.append({"doc_id": data.doc_id[d], IDS: ids.ravel().tolist(), PROBABILITIES: kept[:, :k].ravel().tolist(),
                     TAIL: None if d < skip else kept[:, k].tolist()})  # fmt: skip
    kinds = {
        "doc_id": pl.Binary,
        IDS: pl.List(pl.UInt16),
        PROBABILITIES: pl.List(pl.Float32),
        TAIL: pl.List(pl.Float32),
    }
    table = pl.DataFrame(rows[::-1], schema=kinds)
    return [table[:33], table[33:]]


def test_labels_are_found_by_document_and_place_whatever_the_order_of_parts(tmp_path: Path) -> None:
    data = varied(tokens=1200)
    parts = frames(data.data, skip=5)
    labels = stored(parts, data.data, tmp_path / "a.bin", where="labels")
    known = {row["doc_id"]: row for part in parts for row in part.iter_rows(named=True)}
    assert labels.without == 5
    for step in range(data.num_steps):
        rows = data.batch(step)
        ids, probabilities, unknown = labels.of(rows)
        assert (np.sort(ids, axis=1)[:, 1:] > np.sort(ids, axis=1)[:, :-1]).all(), "distinct, of fill as well"
        for at, (document, place) in enumerate(zip(rows.documents.ravel(), rows.places.ravel(), strict=True)):
            row = known[data.data.doc_id[int(document)]] if document >= 0 else {TAIL: None}
            assert unknown[at] == (row[TAIL] is None)
            if row[TAIL] is not None:
                here = slice(4 * place, 4 * place + 4)
                assert ids[at].tolist() == row[IDS][here]
                assert probabilities[at] == pytest.approx(row[PROBABILITIES][here], abs=2e-3)
                assert probabilities[at].sum() == pytest.approx(1 - row[TAIL][place], abs=5e-4)


def test_a_run_with_stored_labels_resumes_to_the_bit(tmp_path: Path) -> None:
    data, policy = varied(tokens=600), Salt(labels="l", share=0.6, until=0.8)
    labels = {"labels": stored(frames(data.data, skip=5), data.data, tmp_path / "a.bin", where="labels")}

    def fitted(**how: Any) -> Any:
        return bits(loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run_of(policy, data, labels=labels), **how))

    whole = fitted()
    fitted(checkpoints=Checkpoints(step=Folder(path=tmp_path / "steps"), at=(3,)))
    start = next(iter((tmp_path / "steps").iterdir()))
    assert fitted(checkpoints=Checkpoints(step=Folder(path=tmp_path / "again"), start=start)) == whole


def test_labels_of_other_tokens_of_two_k_or_of_nothing_are_refused(tmp_path: Path) -> None:
    data = varied(tokens=600).data
    parts, place = frames(data), tmp_path / "a.bin"
    with pytest.raises(DataError, match="no document of the run has labels"):
        stored([parts[0].clear()], data, place, where="labels")
    cut = parts[0].with_columns(pl.col(TAIL).list.head(1))
    with pytest.raises(DataError, match="documents have other targets than labels"):
        stored([cut, parts[1]], data, place, where="labels")
    with pytest.raises(DataError, match=r"labels of \[4, 5\] entries"):
        stored([parts[0], frames(data, 5)[1]], data, place, where="labels")
    odd = parts[0].with_columns(pl.col(PROBABILITIES).list.head(3))
    with pytest.raises(DataError, match="k entries per target"):
        stored([odd], data, place, where="labels")


def test_k_and_temperature_and_windows_are_its_identity(folder: Path) -> None:
    def fingerprint(more: str) -> str:
        text = FORM.replace("k: 4, precision", f"{more}, precision")
        return plan_of(text, folder).node("some.labels" if "some.labels" in names(text) else "some").fingerprint

    def names(text: str) -> list[str]:
        return [node.name for node in plan_of(text, folder).nodes]

    found = [fingerprint(more) for more in ("k: 4", "k: 5", "k: 4, temperature: 2", "k: 4, context: 12",
                                            "k: 4, stride: 12")]  # fmt: skip
    assert len(set(found)) == len(found)


def test_a_tail_above_half_is_remarked() -> None:
    counts = {"label_targets": 10, "label_tail_thousandths": 6_000}
    assert "hold 40% of the teacher's mass" in GptTopK(k=2).remarks(counts, {})[0]
    assert GptTopK(k=2).remarks({**counts, "label_tail_thousandths": 4_000}, {}) == ()
