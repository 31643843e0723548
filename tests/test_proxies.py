"""Proxies by name: what they set, what wins over them, and what a plan says of their price."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from support import plan_of, put_corpus

from winnow.core.errors import ConfigError
from winnow.core.operators.config import build, dump
from winnow.core.store.locations import open_store
from winnow.dags.before.price import price_text, prices
from winnow.trainers.ablation.ablation import Ablation
from winnow.trainers.compare import lexical
from winnow.trainers.model.proxies import PROXIES, changes, named
from winnow.trainers.model.shape import Shape

NEEDED = {"arms": {"best": "best"}, "baseline": "plain", "eval": {"ref": "held"}}


def built(**fields) -> Ablation:
    return build(Ablation, {**NEEDED, **fields}, where="stages.effect")


def test_without_a_proxy_and_a_size_an_ablation_is_the_screen():
    plain, screen = built(), built(proxy="screen")
    assert dataclasses.replace(screen, proxy="") == plain
    assert all(getattr(plain, name) == value for name, value in PROXIES["screen"].fields.items())


@pytest.mark.parametrize("name", list(PROXIES))
def test_a_proxy_sets_its_fields_and_a_field_beside_it_wins_and_is_told(name):
    proxy = built(proxy=name)
    assert {key: getattr(proxy, key) for key in PROXIES[name].fields} == PROXIES[name].fields
    assert proxy.proxy_changes() == []
    other = built(proxy=name, tokens="12k", batch=4)
    assert (other.tokens, other.batch, other.width) == (12_000, 4, proxy.width)
    assert other.proxy_changes() == ["batch 4, not 8", f"tokens 12,000, not {proxy.tokens:,}"]
    same = built(proxy=name, tokens=Ablation.tokens)
    assert same.tokens == Ablation.tokens, "also where the field has its default's value"
    note = next(lexical.notes({"proxy": [name, *other.proxy_changes()]}))
    assert note.startswith(f"proxy {name} with batch 4, not 8; tokens 12,000")
    assert list(lexical.notes({"proxy": [name]})) == []
    assert build(Ablation, dump(other), where="stages.effect") == other


def test_proxies_grow_in_weights_tokens_and_price_and_are_below_a_bigram():
    shapes = [Shape(**{k: v for k, v in one.fields.items() if k in {f.name for f in dataclasses.fields(Shape)}})
              for one in PROXIES.values()]  # fmt: skip
    for shape in shapes:
        shape.check()
    prices_of = [
        (shape.parameters()[0], one.fields["tokens"], one.cpu_seconds)
        for shape, one in zip(shapes, PROXIES.values(), strict=True)
    ]
    assert all(a < b for low, high in itertools.pairwise(prices_of) for a, b in zip(low, high, strict=True))
    assert min(share for one in PROXIES.values() for share in one.below_bigram or (1.0,)) >= 0.03
    assert PROXIES["screen"].below_bigram, "the default's distance is measured"


@pytest.mark.parametrize(
    ("fields", "where"),
    [({"size": "2M"}, "size"), ({"scales": ["0.5M", "2M"]}, "scales")],
)
def test_a_proxy_and_a_size_are_refused_together(fields, where):
    with pytest.raises(ConfigError, match=f"{where} and proxy both name the model"):
        built(proxy="small", **fields)


def test_a_proxy_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ConfigError, match="screen") as caught:
        built(proxy="tiny")
    assert caught.value.where == "stages.effect.proxy"


def test_no_proxy_is_another_one_s_name():
    for name, one in PROXIES.items():
        assert named(one.fields) == name
        assert changes("", one.fields) == []
    assert named({**PROXIES["screen"].fields, "batch": 4}) == ""


def test_a_plan_says_how_many_runs_are_left_and_what_each_costs(tmp_path):
    put_corpus(tmp_path / "raw", [{"text": f"document {i} " * 20, "good": i / 9} for i in range(9)], 1)
    recipe = """
seed: 1
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{good: float64}}}}
  best: {{use: top_k, inputs: docs, by: good, budget: 5 docs}}
  plain: {{use: random, inputs: docs, budget: 5 docs}}
  effect: {{use: ablation, arms: {{best: best}}, baseline: plain, eval: {{held: docs}}, seeds: 4, {more}}}
"""

    def told(more: str) -> tuple[dict, str]:
        found = prices(
            plan_of(recipe.format(more=more), tmp_path, tmp_path / "root").nodes, open_store(tmp_path / "root")
        )
        return found["effect"], price_text(found)[0][1]

    price, line = told("proxy: small")
    cost = PROXIES["small"].cpu_seconds
    assert (price["runs"], price["proxy"], price["cpu_seconds"]) == (12, "small", cost), "arm, baseline and control"
    assert line.startswith("effect: 12 runs of proxy small (")
    assert f"about {cost:g} CPU s each" in line
    assert "proxy small with tokens 100,000, not 1,000,000" in told("proxy: small, tokens: 100000")[1]
    price, line = told("width: 32, heads: 2, layers: 1, vocab: 512")
    assert "of 45k parameters" in line
    assert (price["proxy"], price["cpu_seconds"]) == (None, None)
    assert "a size without a measured price" in line
