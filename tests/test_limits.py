"""`limits`: thresholds of each language from its own numbers, against plain arithmetic and whole runs."""

from __future__ import annotations

import json
import statistics

import numpy as np
import polars as pl
import pytest
from support import plan_of, put_file, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.operators.config import build
from winnow.pipeline.filter.filter import Filter, load_preset
from winnow.pipeline.filter.limit_rules import beyond, limit_of
from winnow.pipeline.filter.limits import Limits
from winnow.pipeline.filter.limits_fit import LimitsFit

generator = np.random.default_rng(5)
of_base = np.sort(generator.gamma(2.0, 0.05, 401))
of_group = np.sort(generator.gamma(2.0, 0.08, 333) + 0.02)


@pytest.mark.parametrize("side", ["most", "least"])
@pytest.mark.parametrize("share", ["0", "0.1", "0.25", "0.999"])
def test_a_tail_holds_at_most_its_share_and_no_value_that_occurs_would_come_closer(side, share):
    limit = limit_of(side, f"tail {share}", of_group.tolist(), [], where="x")
    past = (of_group > limit).sum() if side == "most" else (of_group < limit).sum()
    assert limit in of_group
    assert past == int(float(share) * len(of_group) + 1e-9)


def test_equal_numbers_have_that_number_as_every_tail():
    assert {beyond(side, [2.0] * 9, share) for side in ("most", "least") for share in (0, 0.5)} == {2.0}


def test_documents_on_the_limit_of_the_base_group_are_not_beyond_it():
    for side in ("most", "least"):
        assert limit_of(side, "quantile 2", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0], where="x") == (
            3.0 if side == "most" else 1.0
        )


@pytest.mark.parametrize("side", ["most", "least"])
@pytest.mark.parametrize("how", ["std", "quantile", "median"])
def test_the_base_group_keeps_its_own_limit(side, how):
    limit = limit_of(side, f"{how} 0.17", of_base.tolist(), of_base.tolist(), where="x")
    if how == "quantile":  # the next value that occurs: the same documents pass
        assert (
            ((of_base > limit) == (of_base > 0.17)).all()
            if side == "most"
            else ((of_base < limit) == (of_base < 0.17)).all()
        )
    else:
        assert limit == pytest.approx(0.17, abs=1e-12)


def test_limits_of_another_group_follow_from_its_numbers():
    own, base = of_group.tolist(), of_base.tolist()
    far = (0.17 - statistics.fmean(base)) / statistics.stdev(base)
    assert limit_of("most", "std 0.17", own, base, where="x") == pytest.approx(
        of_group.mean() + far * of_group.std(ddof=1)
    )
    assert limit_of("most", "median 0.17", own, base, where="x") == pytest.approx(
        0.17 * np.median(of_group) / np.median(of_base)
    )
    assert limit_of("least", "fixed 0.17", own, base, where="x") == 0.17
    past = limit_of("most", "quantile 0.17", own, base, where="x")
    assert abs((of_group > past).mean() - (of_base > 0.17).mean()) <= 1 / len(of_group)
    spread = float(np.median(of_group) - of_group.std(ddof=1))
    assert limit_of("least", "spread 0 0.9", own, base, where="x") == pytest.approx(spread)
    assert limit_of("least", "spread 0.3 0.9", own, base, where="x") == 0.3
    assert limit_of("most", "spread 0 0.01", own, base, where="x") == 0.01


@pytest.mark.parametrize("rule", ["std 1", "median 1"])
def test_a_base_without_a_scale_is_refused(rule):
    with pytest.raises(DataError, match="base group"):
        limit_of("most", rule, of_group.tolist(), [0.0] * 50, where="x")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "no limit is asked for"),
        ({"most": {"a": "tail"}}, "takes 1 number"),
        ({"most": {"a": "tail 1"}}, "leaves nothing"),
        ({"most": {"a": "tial 0.1"}}, "no rule for a limit"),
        ({"most": {"a": ""}}, "no rule for a limit"),
        ({"least": {"a": "spread 0.9 0.3"}}, "larger"),
        ({"least": {"a": "std 0.9"}}, "base group"),
        ({"least": {"a": "tail 0.1"}, "base": "en"}, "`base` has no effect"),
        ({"least": {"a": "tail 0.1"}, "min_docs": 1}, "min_docs is 1"),
        ({"least": {"a": "tail 0.1"}, "docs": 99}, "docs is 99"),
        ({"preset": "fineweb"}, "no preset"),
    ],
)
def test_what_cannot_work_is_refused_while_planning(fields, said):
    with pytest.raises(ConfigError, match=said):
        build(Limits, fields, where="stages.x")


def test_every_limit_of_the_preset_is_measured_by_each_set_of_rules():
    wanted = {c for c in Filter(preset="fineweb2").needs() if c.startswith(("most_", "least_"))}
    for name in Limits.presets["preset"]:
        assert set(build(Limits, {"preset": name}, where="x").outputs()) == wanted
    english = build(Limits, {"preset": "fineweb2_std"}, where="x")
    for preset in ("gopher_repetition", "gopher_quality", "fineweb"):  # whose limits are those for English
        for rule in load_preset(preset).values():
            column, compare, limit = (*rule.split(), "", "")[:3]
            said = {"<=": english.most, ">=": english.least}.get(compare, {})
            assert said.get(column, f"std {limit}") == f"std {limit}"


def ids(count):
    return [i.to_bytes(16, "big") for i in range(count)]


def test_the_sample_is_the_same_however_rows_lie_in_parts(tmp_path):
    rows = pl.DataFrame({"doc_id": ids(900), "language": ["a", "b", None] * 300, "x": generator.normal(size=900)})
    fit = LimitsFit(most={"x": "tail 0.1"}, min_docs=50, docs=100)
    ctx = Context(seed=3, work=tmp_path)
    whole = fit.sample(rows, ctx)
    parts = pl.concat([fit.sample(part, ctx) for part in rows.iter_slices(77)]).sort("doc_id")
    assert whole["_group"].value_counts().sort("_group")["count"].to_list() == [100, 100]
    limits = []
    for sample in (whole, parts):
        fit.fit(sample, ctx)
        limits.append(json.loads((tmp_path / "limits.json").read_text()))
    assert limits[0] == limits[1]
    assert set(limits[0]["groups"]) == {"a", "b"}


TONGUES = {"fi": (9, 3), "zu": (7, 2), "en": (4, 1), "xx": (5, 1)}  # letters of a word: about so many
RECIPE = """
seed: 1
stages:
  wiki: {use: jsonl, files: wiki.jsonl, columns: {language: string, letters: float64}}
  docs: {use: jsonl, files: docs.jsonl, columns: {language: string, letters: float64}}
  limit:
    use: limits
    inputs: docs
    reference: [wiki]
    min_docs: 20
    base: en
    most: {letters: std 6}
    least: {letters: "tail 0.1"}
  clean: {use: filter, inputs: [docs, limit], keep: {words: letters <= most_letters}}
"""


def corpus(folder):
    """Words of Finnish are long: a limit for English drops nearly all of it."""
    rng = np.random.default_rng(1)
    for name, each in (("wiki", {"fi": 60, "zu": 60, "en": 60, "xx": 5}), ("docs", {"fi": 20, "en": 20, "yy": 3})):
        rows = []
        for tongue, count in each.items():
            middle, spread = TONGUES.get(tongue, (5, 1))
            for _ in range(count):
                size = max(1.0, rng.normal(middle, spread / 2))
                rows.append({"text": "a", "language": tongue, "letters": size})
        put_file(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    corpus(folder)
    return run(RECIPE, folder, folder / "root")


def test_each_language_is_judged_by_its_own_numbers(ran):
    rows = pl.from_arrow(ran.table("limit", "language", "most_letters"))
    limits = {k[0]: part["most_letters"].unique().to_list() for k, part in rows.group_by("language")}
    assert all(len(found) == 1 for found in limits.values())
    assert limits["en"][0] == pytest.approx(6)
    assert limits["fi"][0] > 9
    kept = pl.from_arrow(ran.table("clean", "language", "kept")).group_by("language").agg(pl.col("kept").mean())
    shares = dict(kept.iter_rows())
    assert shares["fi"] > 0.7
    assert limits["yy"][0] > limits["fi"][0] > limits["en"][0]  # not in the reference: all together spread widely
    assert ran.of("limit").manifest.counts["together"] == 3


def test_small_groups_and_documents_without_limits_of_their_own_are_told(ran):
    (fit,) = [r for r in ran.runs if r.node.name == "limit.fit"]
    assert "1 of 4 values of 'language' have fewer than 20 documents" in str(fit.manifest.metrics)
    of = ran.of("limit").node.operator
    assert of.remarks({"rows": 43, "together": 3}, {})[0].startswith("3 of 43 documents (7.0%)")
    assert of.remarks({"rows": 43}, {}) == ()


def test_a_misspelt_base_and_a_reference_without_groups_are_errors(tmp_path):
    fit = LimitsFit(most={"x": "std 1"}, base="em", min_docs=2, docs=9)
    rows = pl.DataFrame({"doc_id": ids(6), "language": ["en"] * 6, "x": generator.normal(size=6)})
    ctx = Context(seed=3, work=tmp_path, notes={})
    with pytest.raises(DataError, match="'em' has 0 documents") as error:
        fit.fit(fit.sample(rows, ctx), ctx)
    assert "en" in error.value.hint
    with pytest.raises(DataError, match="no document has a 'language'"):
        fit.fit(fit.sample(rows.with_columns(language=pl.lit(None, dtype=pl.String)), ctx), ctx)


def test_columns_that_hold_no_numbers_are_refused(tmp_path):
    put_file(tmp_path / "docs.jsonl", b'{"text": "a", "language": "en", "name": "x"}\n')
    recipe = """
stages:
  docs: {use: jsonl, files: docs.jsonl, columns: {language: string, name: string}}
  limit: {use: limits, inputs: docs, most: {name: "tail 0.1"}}
"""
    with pytest.raises(ConfigError, match="not a number"):
        plan_of(recipe, tmp_path)
