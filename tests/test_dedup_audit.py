"""What a deduplication removed of every source: counted, remarked, and a bound that stops the run."""

from __future__ import annotations

import pytest
from support import lines_of, plan_of, put_file, run

from winnow.core.errors import ConfigError, DataError
from winnow.dags.driver.remarks import remarks_of

COPIES = "One and the same page of a shop, with its name, its address and the hours at which it is open."
RECIPE = """
stages:
  shop: {use: jsonl, files: "shop/*.jsonl", source: shop, id: content}
  news: {use: jsonl, files: "news/*.jsonl", id: content}
  docs: {use: concat, inputs: [shop, news]}
  some: {use: filter, inputs: docs, keep: {some: "text_bytes > 20"}}
  once: {use: USE, inputs: [docs, some] BOUND}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("audit")
    for n in range(2):
        put_file(base / "shop" / f"{n}.jsonl", lines_of([{"text": COPIES} for _ in range(60)]))
    pages = [
        {"text": f"News number {n}: {'x' * n} has happened, and page {n * n} tells of it in words."} for n in range(20)
    ]
    put_file(base / "news" / "0.jsonl", lines_of([*pages, *pages[:5], {"text": "short"}]))
    return base


def recipe(use: str, bound: str = "") -> str:
    return RECIPE.replace("USE", use).replace(" BOUND", bound)


@pytest.mark.parametrize("use", ["exact", "minhash"])
def test_every_source_is_counted_by_its_reader_and_one_that_nearly_goes_is_remarked(folder, tmp_path, use):
    ran = run(recipe(use), folder, tmp_path / "root")
    metrics = ran.metrics["once" if use == "exact" else "once.clusters" if "once.clusters" in ran.metrics else "once"]
    assert metrics["removed"] == {"news": {"asked": 25, "removed": 5}, "shop": {"asked": 120, "removed": 119}}
    node = ran.plan.node("once")
    said = " ".join(remarks_of(node.operator, ran.of("once").manifest))
    assert "removes 119 of 120 documents (99.2%) of 'shop'" in said
    assert "'news'" not in said
    assert "removed" not in ran.metrics.get("some", {})
    if use == "minhash":
        sizes = metrics["cluster_sizes"]
        assert sizes == {"2": 5, "120": 1}
        assert list(metrics["largest"].values()) == [120, 2, 2, 2, 2]
        assert metrics["candidates"] >= metrics["verified"] > 119
        assert metrics["false_share"] == 1 - metrics["verified"] / metrics["candidates"]


@pytest.mark.parametrize(("bound", "met"), [(0.9, False), (0.995, True)])
def test_a_bound_stops_a_run_that_takes_more_of_any_source(folder, tmp_path, bound, met):
    text = recipe("exact", f", expect: {{max_removal: {bound}}}")
    if met:
        assert run(text, folder, tmp_path / "root").counts("once")["kept"] == 21
        return
    for _ in range(2):  # of a cached stage too
        with pytest.raises(DataError) as error:
            run(text, folder, tmp_path / "root")
        assert "removed 119 of 120 documents (99.2 %) of shop, expected at most 90 % removed of any source" in str(
            error.value
        )
        assert error.value.exit_code == 3


def test_a_bound_on_what_removes_no_copies_is_refused(folder):
    text = recipe("exact").replace('"text_bytes > 20"}', '"text_bytes > 20"}, expect: {max_removal: 0.9}')
    with pytest.raises(ConfigError, match="removes no duplicates"):
        plan_of(text, folder)
