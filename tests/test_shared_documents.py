"""What selections have in common: shares of text, equal arms, and what counts as a draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from winnow.core.operators import Context
from winnow.testing.in_memory import MemorySource
from winnow.trainers.ablation.arms_overlap import ArmsOverlap
from winnow.trainers.ablation.shared_documents import Shared, selection_digest
from winnow.trainers.compare.equal_arms import draw_notes, draws_of, equal_arms, equal_notes, fixed_by


def pool_of(count: int, *, seed: int = 3) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    ids = np.sort(draw.integers(0, 256, (count, 16), dtype=np.uint8).view("S16").ravel())
    return pl.DataFrame({
        "doc_id": pl.Series([bytes(i).ljust(16, b"\0") for i in ids], dtype=pl.Binary),
        "text_bytes": draw.integers(0, 5000, count),
    })  # fmt: skip


def test_shares_are_those_of_sets_of_documents_counted_by_their_bytes():
    pool = pool_of(40_000)
    draw = np.random.default_rng(5)
    masks = {name: draw.random(len(pool)) < share for name, share in {"a": 0.3, "b": 0.01, "c": 0.9}.items()}
    masks |= {"again": masks["a"], "none": np.zeros(len(pool), dtype=bool)}
    shared = Shared(pool=pool)
    for name, mask in masks.items():
        shared.add(name, pool["doc_id"].filter(pl.Series(mask)).reverse())
    table = shared.table({"x/0": "a", "x/1": "b", "y/0": "c", "y/1": "again", "z/0": "none"})
    assert table["keys"] == ["x/0", "x/1", "y/0", "y/1", "z/0"]
    sizes = pool["text_bytes"].to_numpy()
    for i, one in enumerate(masks[n] for n in ("a", "b", "c", "again", "none")):
        for j, other in enumerate(masks[n] for n in ("a", "b", "c", "again", "none")):
            sums = [sizes[m].sum() for m in (one & other, one, other)]
            expected = 1.0 if i == j else float(sums[0] / np.sqrt(max(sums[1] * sums[2], 1)))
            assert table["shares"][i][j] == pytest.approx(expected, abs=1e-6)
    assert table["shares"][0][3] == 1.0


def test_many_selections_cost_a_bit_per_document():
    pool, draw = pool_of(50_000), np.random.default_rng(0)
    shared = Shared(pool=pool)
    for number in range(24):
        shared.add(f"{number}", pool["doc_id"].filter(pl.Series(draw.random(len(pool)) < 0.5)))
    assert sum(len(bits) for bits in shared.bitmaps.values()) == 24 * 6250
    off = np.asarray(shared.table({f"{i}": f"{i}" for i in range(24)})["shares"])[~np.eye(24, dtype=bool)]
    assert (abs(off - 0.5) < 0.03).all()


def test_digests_are_of_documents_and_weights_and_of_no_order():
    ids = [bytes([i] * 16) for i in range(4)]

    def digest(order=(0, 1, 2, 3), **columns):
        rows = {"doc_id": [ids[i] for i in order], **{k: [v[i] for i in order] for k, v in columns.items()}}
        return selection_digest(pl.DataFrame(rows))

    plain = digest()
    assert digest(order=(3, 1, 0, 2)) == plain == digest(weight=[1.0] * 4)
    assert digest(order=(0, 1, 2)) != plain
    twice = digest(weight=[2.0, 1.0, 1.0, 1.0])
    assert twice == digest(order=(2, 3, 1, 0), weight=[2.0, 1.0, 1.0, 1.0])
    assert len({plain, twice, digest(weight=[1.0, 2.0, 1.0, 1.0]), digest(weight=[2.0] * 4)}) == 4
    phases = {digest(weight_one=[1.0, 0.0, 1.0, 0.0], weight_two=[0.0, 1.0, 0.0, 1.0]),
              digest(weight_two=[1.0, 0.0, 1.0, 0.0], weight_one=[0.0, 1.0, 0.0, 1.0])}  # fmt: skip
    assert len(phases) == 2


def test_the_overlap_job_tells_of_every_label_and_seed_what_it_shares(tmp_path: Path):
    pool = pool_of(600)
    draw = np.random.default_rng(1)

    def selection(weight=1.0):
        return MemorySource(rows=pool.with_columns(kept=pl.Series(draw.random(600) < 0.5), weight=weight))

    selections = {"baseline/0": selection(), "baseline/1": selection(), "best/0": selection(2.0)}
    labels = {"baseline/0": "baseline/0", "baseline/1": "baseline/1", "baseline@9/0": "baseline/0",
              "best/0": "best/0", "best/1": "best/0"}  # fmt: skip
    job = ArmsOverlap(labels=labels, compared=("baseline/0", "baseline/1", "best/0", "best/1"),
                      columns=dict.fromkeys(selections, ("weight",)))  # fmt: skip
    found = job.run(Context(seed=0, work=tmp_path, refs={"selections": selections, "overlaps": {}, "targets": {}}))
    assert found["common"]["keys"] == ["baseline/0", "baseline/1", "best/0", "best/1"]
    shares = np.asarray(found["common"]["shares"])
    assert (shares == shares.T).all()
    assert (np.diagonal(shares) == 1).all()
    assert shares[2, 3] == 1.0
    assert 0.3 < shares[0, 1] < 0.7
    assert set(found["digests"]) == set(labels)
    assert found["digests"]["best/0"] == found["digests"]["best/1"] != found["digests"]["baseline/0"]


def checked(shares=None, **digests: str) -> list[dict]:
    keys = list(digests)
    table = np.eye(len(keys)) if shares is None else np.asarray(shares)
    return [{"digests": digests, "common": {"keys": keys, "shares": table.tolist()}}]


def keyed(**labels: str) -> dict[str, str]:
    return {f"{label}/{seed}": digest for label, own in labels.items() for seed, digest in enumerate(own)}


def test_whether_an_arm_is_drawn_is_what_its_documents_say():
    found = draws_of(checked(**keyed(baseline="abc", lots="ddd", best="eee", half="ffg")), ["best"])
    assert {label: row["selections"] for label, row in found.items()} == {
        "baseline": 3,
        "lots": 1,
        "best": 1,
        "half": 2,
    }
    assert [label for label, row in found.items() if row["redrawn"]] == ["baseline", "lots", "half"]
    assert set(fixed_by(found, ["best"])) == {"lots", "best"}
    assert fixed_by(draws_of(checked(**keyed(baseline="a", best="b")), ["best"]), ["best"]) == ("best",), "one seed"
    assert fixed_by({}, ["best"]) == ("best",), "nothing was looked at"
    notes = list(draw_notes({"draws": found, "arms": {"lots": {}, "best": {}}, "aa": {}}))
    assert notes[0] == "text that two seeds' selections have in common, on average: baseline 0%, lots 0%"
    assert notes[1].startswith("lots: its 3 draws are one selection")
    assert len(notes) == 2, "`half` is not shown, `best` is not drawn"


def test_the_text_in_common_is_that_of_two_different_seeds():
    shares = [[1, 0.5, 0.1], [0.5, 1, 0.1], [0.1, 0.1, 1]]
    found = draws_of(checked(shares, **{"a/0": "x", "a/1": "y", "b/0": "z"}), [])
    assert (found["a"]["common"], found["b"]["common"]) == (0.5, None)


def test_arms_with_the_same_documents_and_weights_are_told():
    digests = keyed(baseline="abc", same="abc", x="def", y="def", part="dzz", aa="abz")
    runs = {label: [{"plan": d, "last_loss": 1.0} for d in digests_of(digests, label)] for label in
            ("baseline", "same", "x", "y", "part", "aa")}  # fmt: skip
    runs["y"] = [{**run, "last_loss": 2.0} for run in runs["y"]]
    found = equal_arms(checked(**digests), runs)
    metrics = {"seeds": 3, "arms": {}, "aa": {"aa": {}}, **found}
    lines = list(equal_notes(metrics))
    assert "baseline and same train on the same documents with the same weights: they are one arm" in lines[0]
    metrics["arms"] |= {"x": {"policy": {"does": "by a threshold", "left_out_share": 0.25, "zero_weight_share": 0.0}}}
    acted = list(equal_notes(metrics))
    told = "x (by a threshold, 25.0% of the documents left out) and y select the same documents with the same weights: "
    assert any(line.startswith(told) for line in acted), "what its policy makes of them"
    metrics["arms"]["x"] = {"policy": {"does": "weighed while training", "left_out_share": 0, "zero_weight_share": 0.1}}
    one = next(line for line in equal_notes(metrics) if line.startswith("x (") and "and part" in line)
    assert "(weighed while training, 10.0% of the documents read had weight 0)" in one
    assert "what acts on them makes no difference, drop one or make them differ" in one
    metrics["arms"] = {name: {} for name in metrics["arms"]}
    assert any(line.startswith("x and y train on the same documents with the same weights: their difference is that of "
                               "how they are trained") for line in lines)  # fmt: skip
    assert any(line.startswith("x and part") and "at 1 of 3 seeds: they are one arm" in line for line in lines)
    assert any(
        line.startswith("baseline and aa") and "at 2 of 3 seeds" in line and "no noise" in line for line in lines
    )
    quiet = equal_arms(checked(**keyed(a="abc", b="def")), {"a": [{}] * 3, "b": [{}] * 3})
    assert quiet == {"equal_arms": []}


def test_many_arms_on_the_same_documents_are_one_line():
    labels = ("baseline", "up", "down", "twin", "other")
    digests = keyed(baseline="abc", up="abc", down="abc", twin="abc", other="def")
    losses = dict(zip(labels, (1.0, 2.0, 3.0, 3.0, 4.0), strict=True))
    runs = {label: [{"plan": d, "last_loss": losses[label]} for d in digests_of(digests, label)] for label in labels}
    metrics = {"seeds": 3, "arms": {}, "aa": {}, **equal_arms(checked(**digests), runs)}
    first, *others = equal_notes(metrics)
    assert first.startswith("baseline, up, down and twin train on the same documents with the same weights: their")
    assert others == [
        "down and twin train on the same documents with the same weights: they are one arm, drop one or make them differ"
    ]


def digests_of(digests: dict[str, str], label: str) -> list[str]:
    return [digest for key, digest in digests.items() if key.rpartition("/")[0] == label]
