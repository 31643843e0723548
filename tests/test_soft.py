"""`soft: weights`: nothing is removed, a cluster counts as one document, and writers and trainings follow the weight."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from support import lines_of, plan_of, put_file, run

from winnow.core.errors import ConfigError
from winnow.dags.looking.finished import FinishedRun
from winnow.dags.looking.report.clusters import duplicates
from winnow.dags.recipe.records import latest_record
from winnow.pipeline.dedup.exact import Exact
from winnow.pipeline.dedup.semdedup import SemDeDup, _softly
from winnow.pipeline.dedup.soft import softened

RECIPE = """
stages:
  docs: {{use: jsonl, files: docs.jsonl, id: "field:id", columns: {{id: string}}}}
  once: {{use: {use}, inputs: docs{soft}}}
  out:  {{use: write, inputs: [docs, once], format: jsonl, carry: [id]{repeat}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base, rng, docs = tmp_path_factory.mktemp("soft"), random.Random(4), []
    for page in range(40):
        text = " ".join(f"w{rng.randrange(900)}" for _ in range(60))
        docs += [{"id": f"{page}-{n}", "text": text} for n in range(1 + page % 5)]
    put_file(base / "docs.jsonl", lines_of(docs))
    return base


@pytest.mark.parametrize("use", ["exact", "minhash"])
def test_every_copy_stays_and_a_cluster_weighs_as_one_document(folder, tmp_path, use):
    hard, soft = (
        run(RECIPE.format(use=use, soft=how, repeat=repeat), folder, tmp_path / (how or "hard"))
        for how, repeat in (("", ""), (", soft: weights", ", repeat: once.weight"))
    )
    size = f"{use}_cluster_size"
    told = pl.DataFrame(soft.table("once", "kept", "weight", size))
    assert told["kept"].all()
    for weight, number in told.select("weight", size).unique().rows():
        assert weight == int(Fraction(2**20, number)) / 2**20
    assert told["weight"].sum() == pytest.approx(40, abs=1e-4)
    assert soft.counts("once")["weighed"] == hard.counts("once")["rows"] - hard.counts("once")["kept"] == 80
    assert soft.counts("once")["clusters"] == hard.counts("once")["clusters"] == 32
    names = "duplicate_of" if use == "exact" else "cluster"
    columns = ("doc_id", names, size)
    assert pl.DataFrame(hard.table("once", *columns)).equals(pl.DataFrame(soft.table("once", *columns)))
    written = soft.table("out", "id").num_rows
    assert 25 < written < 60  # 40 is expected
    found = [duplicates(FinishedRun(latest_record(ran.store)).stage("once")) for ran in (hard, soft)]
    assert found[0].clusters == found[1].clusters == 32
    assert found[0].sizes == found[1].sizes
    assert [one.size for one in found[0].largest] == [one.size for one in found[1].largest]


def test_a_large_cluster_still_weighs_something():
    columns = pl.DataFrame({"kept": [True, False, False], "exact_cluster_size": [1, 3, 3 << 20]})
    assert softened(columns, "exact_cluster_size")["weight"].to_list() == [1.0, 349525 / 2**20, 2**-20]


def test_documents_close_in_meaning_weigh_less_the_closer_they_are():
    most = np.array([-np.inf, 0.5, 0.9, 0.95, 1.0, 1.0000001])
    weight = _softly(most, most <= 0.9, 0.1)
    assert weight.tolist()[:3] == [1.0, 1.0, 1.0]
    assert weight[3] == pytest.approx(0.5, abs=2e-6)
    assert weight.tolist()[4:] == [0.0, 0.0]
    assert (weight * 2**20 == np.floor(weight * 2**20)).all()


@pytest.mark.parametrize("operator", [SemDeDup(share=0.5, soft="weights"), SemDeDup(eps=0.0, soft="weights"),
                                      Exact(soft="weights", against=("index",))])  # fmt: skip
def test_weights_without_a_meaning_are_refused(operator):
    with pytest.raises(ConfigError):
        operator.validate()


def test_another_word_is_refused_while_planning(folder):
    with pytest.raises(ConfigError, match="soft"):
        plan_of(RECIPE.format(use="exact", soft=", soft: always", repeat=""), folder)
