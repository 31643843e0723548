"""Rows of a comparison: which interval answers which question, and what is said where there is no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_ablation_compare import NOISE, World, bits
from test_trainers import Source

from winnow.trainers.compare import comparison_text, intervals
from winnow.trainers.compare.common_documents import Common
from winnow.trainers.compare.inference import Items, Pool
from winnow.trainers.compare.verdict_text import interval_text, noise_line, p_text, seeds_text, table


def common(labels, shares, *, seeds=4):
    """Refs of an overlap job; `shares` gives the share of two different (label, seed)."""
    keys = [(label, s) for label in labels for s in range(seeds)]
    table = [[1.0 if a == b else shares(a, b) for b in keys] for a in keys]
    digests = {f"{a}/{s}": f"{a}{next(r for r in range(seeds) if r == s or shares((a, r), (a, s)) == 1.0)}"
               for a, s in keys}  # fmt: skip
    found = {"targets": {}, "digests": digests, "common": {"keys": [f"{a}/{s}" for a, s in keys], "shares": table}}
    return {"checks": {"arms": Source(metrics=found)}}


LABELS = ("baseline", "best", "aa")


def test_the_documents_decide_whether_an_arm_is_one_selection(tmp_path):
    world = World(tmp_path, bits)
    one = world.compared(fixed=(), refs=common(LABELS, lambda a, b: float(a[0] == b[0] == "best")))
    row = one["arms"]["best"]["effects"]["ref"]
    assert row["fixed_selection"]
    assert row["selection"]["high"] - row["selection"]["low"] < row["high"] - row["low"]
    drawn = world.compared(fixed=("best",), refs=common(LABELS, lambda a, b: 0.1))
    row = drawn["arms"]["best"]["effects"]["ref"]
    assert not row["fixed_selection"]
    assert row["selection"]["low"] is None
    assert "another selection at every seed" in row["selection"]["why"]
    assert row["question"] == "method"


def test_draws_that_are_nearly_equal_are_wider_as_a_method_than_draws_that_are_not(tmp_path):
    world = World(tmp_path, bits)
    wide, narrow = (
        world.compared(fixed=(), refs=common(LABELS, lambda a, b, own=own: own if a[0] == b[0] == "best" else 0.0))
        for own in (0.98, 0.0)
    )
    half = [m["arms"]["best"]["effects"]["ref"]["high"] - m["arms"]["best"]["effects"]["ref"]["mean_diff"]
            for m in (wide, narrow)]  # fmt: skip
    assert half[0] > 1.5 * half[1]
    assert wide["draws"]["best"]["common"] == pytest.approx(0.98)
    assert any("best 98% (its 4 draws count as 1.0)" in note for note in wide["notes"])


def test_the_question_decides_the_verdict_and_its_words(tmp_path):
    def near(label, target, e):
        return {"best": 2.585 + e / 4, "aa": 2.6 - e}.get(label, 2.6 + e)

    world = World(tmp_path, near, seeds=6)
    method, selection = (world.compared(question=q) for q in ("method", "selection"))
    rows = [m["arms"]["best"]["effects"]["ref"] for m in (method, selection)]
    assert [row["verdict"] for row in rows] == ["cannot tell", "this selection better"]
    assert rows[0]["selection"] == rows[1]["selection"]
    assert rows[0]["method"] == rows[1]["method"]
    assert rows[1]["low"] == rows[1]["selection"]["low"] > rows[0]["low"]
    head, line = comparison_text.render(method)[1:3]
    for asked in ("method", "selection"):
        place = head.index(f"this {asked}")
        assert line[place : place + 19].strip() == interval_text(rows[0][asked])
    told = [m["verdicts"]["best"] for m in (method, selection)]
    assert "this selection is better" in told[0]
    assert "says nothing of its rule" in told[0]
    assert told[1].startswith("best: this selection is better on ref: 0.015 bits per byte less (")
    assert "not for the rule that made it" in told[1]


def test_what_stands_beside_the_table_says_that_it_is_about_a_selection(tmp_path):
    world = World(tmp_path, bits)
    notes = world.compared(reference="best")["notes"]
    assert "best: shares of a gain are about these selections, not about their methods" in notes
    assert not any("shares of a gain" in note for note in world.compared(fixed=(), reference="best")["notes"])


def test_where_nothing_is_drawn_the_method_has_no_answer_and_says_so(tmp_path):
    metrics = World(tmp_path, bits).compared(fixed=("best", "aa"), baseline_fixed=True)
    row = metrics["arms"]["best"]["effects"]["ref"]
    assert (row["low"], row["p_adjusted"], row["verdict"]) == (None, None, "cannot tell")
    assert row["selection"]["verdict"] == "better"
    assert "no label of this comparison draws" in row["why"]
    text = "\n".join(comparison_text.render(metrics))
    assert "best: no answer on ref for the rule" in text
    assert "one selection at all seeds, and no answer for its method" in text


def test_arms_on_the_baseline_s_documents_are_paired(tmp_path):
    """A policy: the same draw at every seed, so that differences hardly vary, whatever the draws do."""

    def policy(label, target, e):
        return 2.6 + 10 * e - (0.05 + e / 5 if label == "best" else 0.0)

    def same(a, b):
        return 0.1 if a[1] != b[1] or "aa" in (a[0], b[0]) else 1.0

    metrics = World(tmp_path, policy).compared(fixed=(), refs=common(LABELS, same))
    row = metrics["arms"]["best"]["effects"]["ref"]
    paired = intervals.paired_effect(row["differences"])
    assert (row["interval"], row["low"], row["p"]) == ("paired", pytest.approx(paired.low), pytest.approx(paired.p))
    assert row["verdict"] == "better"
    assert metrics["aa"]["aa"]["effects"]["ref"]["interval"] == "pooled"
    assert "the same documents at every seed" in metrics["verdicts"]["best"]
    fixed = World(tmp_path, policy).compared(refs=common(LABELS, lambda a, b: 1.0), baseline_fixed=True)
    row = fixed["arms"]["best"]["effects"]["ref"]
    assert (row["question"], row["verdict"]) == ("selection", "better"), "no selections are compared"
    assert "training on these documents" in fixed["verdicts"]["best"]


def test_folds_are_paired_and_have_no_selection(tmp_path):
    metrics = World(tmp_path, bits).compared(folds=True)
    row = metrics["arms"]["best"]["effects"]["ref"]
    paired = intervals.paired_effect(row["differences"])
    assert (row["interval"], row["high"]) == ("folds", pytest.approx(paired.high))
    assert "another fold" in row["selection"]["why"]
    assert "a part of the pool of its own" in metrics["verdicts"]["best"]


def test_equal_noise_gives_equal_widths(tmp_path):
    """Spreads that differ by chance: the paired t has as many widths as arms, the pool has one."""
    draw = np.random.Generator(np.random.Philox(key=2)).normal(0, 0.01, (8, 6))
    names = tuple(f"arm{i}" for i in range(7))

    def scores(label, target, e):
        return 2.6 + draw[names.index(label) if label in names else 7, NOISE.index(e)]

    metrics = World(tmp_path, scores, arms=names, seeds=6, targets=("ref",)).compared(fixed=())
    rows = [arm["effects"]["ref"] for arm in metrics["arms"].values()]
    assert len({round(row["high"] - row["low"], 9) for row in rows}) == 1
    assert [row["df"] for row in rows] == pytest.approx([40] * 7)
    known = intervals.minimum_detectable_effect(rows[0]["sd"], 6, df=40)
    assert [row["mde"] for row in rows] == pytest.approx([known] * 7)
    paired = [intervals.paired_effect(row["differences"]) for row in rows]
    widths = [one.high - one.low for one in paired]
    assert max(widths) > 1.5 * min(widths)


def test_an_arm_out_of_line_keeps_its_own_noise_and_is_told(tmp_path):
    names = tuple(f"arm{i}" for i in range(7))
    draw = np.random.Generator(np.random.Philox(key=2)).normal(0, 0.01, (8, 6))
    draw[0] *= 30

    def scores(label, target, e):
        return 2.6 + draw[names.index(label) if label in names else 7, NOISE.index(e)]

    metrics = World(tmp_path, scores, arms=names, seeds=6, targets=("ref",)).compared(fixed=())
    wild, other = (metrics["arms"][n]["effects"]["ref"] for n in ("arm0", "arm1"))
    assert (wild["interval"], other["interval"]) == ("own", "pooled")
    assert (wild["baseline_part"], other["baseline_part"]) == (None, pytest.approx(0.5**0.5)), "what Dunnett is told"
    assert wild["high"] - wild["low"] > 10 * (other["high"] - other["low"])
    assert any(note.startswith("arm0: its seeds spread more on ref") for note in metrics["notes"])


def test_a_sampled_target_widens_the_interval_and_one_read_whole_does_not(tmp_path):
    def widths(found):
        world = World(tmp_path, bits, seeds=4)
        draw = np.random.Generator(np.random.Philox(key=9)).normal(0, 30, (3, 8))
        for key, source in world.scores.items():
            label, seed, target = key.split("/")
            row = source.result()["targets"][target]
            row["facts"] |= {"items": 8, "items_found": found}
            nats = bits(label, target, NOISE[int(seed)]) * 100 * math.log(2) + draw[LABELS.index(label)]
            np.savez(source.files()["documents.npz"],
                     **{f"{target}.bytes": np.full(8, 100), f"{target}.nats": nats})  # fmt: skip
        metrics = world.compared(fixed=())
        return metrics, metrics["arms"]["best"]["effects"]["ref"]

    (_, whole), (_, half), (metrics, few) = (widths(found) for found in (8, 16, 8000))
    assert whole["noise"]["items"] == 0.0
    assert few["noise"]["items"] == pytest.approx(half["noise"]["items"] * 2**0.5, rel=1e-3), "1 - 8 / 16"
    assert whole["high"] - whole["low"] < half["high"] - half["low"] < few["high"] - few["low"]
    assert few["df"] < whole["df"] + 7
    assert any("ref: a keyed sample, 8 of 8,000 items" in n and "8 items say little" in n for n in metrics["notes"])


@pytest.mark.parametrize("folds", [False, True])
def test_the_noise_of_items_is_part_of_paired_intervals_as_well(folds):
    scores = {"baseline": [2.61, 2.58, 2.62, 2.59], "best": [2.51, 2.50, 2.50, 2.49]}
    places = {f"{label}/{s}": 4 * i + s for i, label in enumerate(scores) for s in range(4)}
    pool = Pool(scores=scores, common=Common(places=places, shares=np.ones((8, 8))), fixed=frozenset(), folds=folds)
    whole, part = (
        pool.row("best", seeds=4, question="method", items=items) for items in (Items(), Items(variance=1e-4, df=7.0))
    )
    assert whole["interval"] == part["interval"] == ("folds" if folds else "paired")
    assert part["sd"] ** 2 / 4 == pytest.approx(whole["sd"] ** 2 / 4 + 1e-4)
    assert part["high"] - part["low"] > whole["high"] - whole["low"]


def test_what_differences_share_is_the_noise_of_the_baseline():
    draw = np.random.Generator(np.random.Philox(key=4))
    names = ("baseline", "drawn", "more", "fixed", "top")
    scores = {n: (2.6 + draw.normal(0, 0.02 if i < 3 else 0.01, 6)).tolist() for i, n in enumerate(names)}
    shares = np.eye(30)
    for begin in (18, 24):
        shares[begin : begin + 6, begin : begin + 6] = 1.0
    places = {f"{n}/{s}": 6 * i + s for i, n in enumerate(names) for s in range(6)}
    pool = Pool(scores=scores, common=Common(places=places, shares=shares), fixed=frozenset(names[3:]))
    row = pool.row("fixed", seeds=6, question="method", items=Items())
    noise = row["noise"]["training"] ** 2 + row["noise"]["draw"] ** 2
    for question in ("selection", "method"):
        assert row[question]["baseline_part"] == pytest.approx((noise / row[question]["sd"] ** 2) ** 0.5)


def test_labels_on_equal_documents_show_one_draw_per_seed_between_them():
    scores = {label: [2.61, 2.58, 2.62, 2.59] for label in ("baseline", "best", "other")}
    places = {f"{label}/{s}": 4 * i + s for i, label in enumerate(scores) for s in range(4)}
    equal = np.kron([[1, 1, 0], [1, 1, 0], [0, 0, 1]], np.eye(4))
    for shares, df in ((np.eye(12), 9.0), (equal, 6.0)):
        pool = Pool(scores=scores, common=Common(places=places, shares=shares), fixed=frozenset())
        assert pool.summary()["drawn"]["df"] == df


def test_the_noise_is_told_in_parts_where_both_are_seen():
    some, none = {"df": 6.0, "labels": 2}, {"df": 0.0, "labels": 0}

    def told(drawn, fixed):
        shown = {"training": 0.01, "draw": 0.03, "drawn": drawn, "fixed": fixed}
        return "".join(noise_line({"primary": "ref", "components": {"ref": shown}}))

    assert "sd: training 0.010, the draw 0.030 (4 labels together, df 12)" in told(some, some)
    assert "sd: training and the draw together 0.030 (2 labels" in told(some, none)
    assert "sd: training 0.010 (2 labels" in told(none, some)
    assert told(none, none) == ""


def test_p_is_never_zero_in_words():
    assert [p_text(p) for p in (None, 0.0, 1e-9, 0.00099, 0.001, 0.0496, 1.0)] == [
        "-", "<.001", "<.001", "<.001", "0.001", "0.050", "1.000",
    ]  # fmt: skip


def test_lines_of_the_table_are_no_wider_than_a_terminal(tmp_path):
    world = World(tmp_path, bits, seeds=6)
    for question in ("method", "selection"):
        lines = comparison_text.render(world.compared(question=question))
        assert "this method, 95 %" in lines[1]
        assert "this selection" in lines[1]
        assert max(map(len, lines[1:7])) <= 120


def test_a_label_that_is_longer_than_its_column_stays_apart_from_the_next():
    row = {"primary": True, "mean_diff": -0.1, "p_adjusted": 0.5, "verdict": "cannot tell", "mde": 0.1,
           "method": {"low": None}, "selection": {"low": None}}  # fmt: skip
    arms = {"a_label_that_is_long": {"effects": {"a_target_that_is_long": row}}}
    words = list(table({"arms": arms, "aa": {}}))[1].split()
    assert words[:3] == ["a_label_that_is_long", "a_target_that_is_long*", "-0.100"]
    assert [seeds_text(n) for n in (1, 2)] == ["1 seed", "2 seeds"]
