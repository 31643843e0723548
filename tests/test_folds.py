"""Folds: every seed selects from documents of its own, whatever the selector, and what is refitted is refitted there."""

from __future__ import annotations

import random
import re
from pathlib import Path

import polars as pl
import pytest
from support import Ran, put_corpus, put_file, run, texts

from winnow.dags.recipe.registry import REGISTRY, operator_class

SEEDS = 3
# every operator that decides about rows, with what it needs before it
BEFORE = """
  sig: {use: signals, inputs: docs}
  unique: {use: minhash, inputs: docs, threshold: 0.7}
  vec: {use: ngram_vectors, inputs: docs, dim: 32}
  graph: {use: knn_graph, inputs: vec, k: 6}
  groups: {use: clusters, inputs: vec, num: 6}
  vec_held: {use: ngram_vectors, inputs: held, dim: 32}
  words: {use: concepts, inputs: docs, files: "words.txt"}
  words_held: {use: concepts, inputs: held, files: "words.txt"}
  like: {use: dsir, inputs: docs, target: held, num_buckets: 64, ngrams: 1}
  shares: {use: doremi, inputs: docs, per: label, proxy: word_count, reference: text_bytes, steps: 2}
"""
SELECTORS = {
    "filter": "inputs: docs, keep: {long: word_count > 30}",
    "decontaminate": "inputs: docs, against: held",
    "holdout": "inputs: docs, share: 0.4",
    "exact": "inputs: docs",
    "minhash": "inputs: docs, threshold: 0.6",
    "semdedup": "inputs: docs, share: 0.5, cluster: groups.cluster",
    "redundancy": "inputs: docs, distance: 0.1, column: vector",
    "random": "inputs: docs, budget: 6k tokens, per: label",
    "sample": "inputs: docs, by: word_count, normalise: z, budget: 100 docs",
    "top_k": "inputs: [docs, unique], by: word_count, budget: 6k tokens",
    "length_matched": "inputs: docs, like: top_k",
    "threshold": "inputs: docs, by: word_count, at_least: 20, budget: 90 docs",
    "quantile": "inputs: docs, by: word_count, share: 0.3",
    "per_group": "inputs: docs, by: word_count, per: label, budget: 30 docs",
    "quota": "inputs: docs, per: label, budget: 90 docs, shares: equal",
    "mixture": "inputs: docs, per: label, budget: 6k tokens, weights_from: shares",
    "upsample": "inputs: docs, by: word_count, budget: 9k tokens, max_repeats: 3",
    "rehydrate": "inputs: docs, among: kept_unique, passed: kept_filter, size: unique.minhash_cluster_size, least_docs: 1",
    "buckets": "inputs: docs, scores: [word_count, text_bytes], num: 5, at_least: 3",
    "age": "inputs: docs, by: date, since: '2010', budget: 60 docs",
    "domain": "inputs: docs, by: label, include: a, budget: 60 docs",
    "facility_location": "inputs: [docs, graph], budget: 60 docs",
    "graph_cut": "inputs: [docs, graph], budget: 60 docs",
    "log_det": "inputs: docs, budget: 30 docs",
    "ingenious": "inputs: [docs, graph], budget: 60 docs, redraws: 2",
    "k_center_greedy": "inputs: docs, budget: 60 docs",
    "herding": "inputs: docs, budget: 60 docs",
    "simcore": "inputs: docs, target: vec_held, budget: 60 docs, centres: 4",
    "dsir_resample": "inputs: docs, by: dsir_log_weight, budget: 6k tokens",
    "retrieve_tail": "inputs: docs, per_concept: 12, tail_share: 1.0, target: vec_held, target_concepts: words_held",
    "hierarchical": "inputs: docs, budget: 60 docs, levels: [6, 2]",
    "metaclip": "inputs: docs, t: 30",
    "cluster_balanced": "inputs: docs, budget: 60 docs, by: groups.cluster",
    "d4": "inputs: docs, share: 0.4, dedup_share: 0.7, clusters: 4",
    "union": "inputs: docs, of: [kept_top_k, kept_sample]",
    "intersect": "inputs: docs, of: [kept_threshold, kept_filter]",
    "difference": "inputs: docs, of: [kept_filter, kept_top_k]",
    "phases": "inputs: docs, phases: [{name: one, select: kept_random, tokens: 3k tokens},"
    " {name: two, select: kept_top_k, tokens: 3k tokens, repeats: 2}]",
}
EFFECT = """
  effect: {{use: ablation, arms: [{arms}], baseline: random, eval: {{held: held}}, may_overlap: [held], seeds: {seeds},
           width: 24, layers: 1, heads: 2, vocab: 320, context: 32, batch: 4, tokens: 2000, {more}}}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder, draw = tmp_path_factory.mktemp("folds"), random.Random(5)
    rows = [
        {"text": f"{text} number {i}", "label": draw.choice("abc"), "date": f"20{draw.randrange(5, 20):02d}-05-01"}
        for i, text in enumerate(texts(420, seed=2))
    ]
    put_corpus(folder / "raw", rows, 3)
    put_corpus(folder / "target", texts(30, seed=9), 1)
    put_file(folder / "words.txt", b"\n".join(w.encode() for w in ("every", "good", "me", "give", "our", "under")))
    return folder


def recipe(arms: str, *, more: str = "folds: true", seed: int = 1, seeds: int = SEEDS, before: str = BEFORE) -> str:
    stages = "".join(f"  {name}: {{use: {name}, {fields}}}\n" for name, fields in SELECTORS.items())
    reader = "  docs: {use: jsonl, files: 'raw/*.jsonl', columns: {label: string, date: string}, id: content}\n"
    reader += "  held: {use: jsonl, files: 'target/*.jsonl', source: held}\n"
    return f"seed: {seed}\nstages:\n{reader}{before}{stages}" + EFFECT.format(arms=arms, seeds=seeds, more=more)


def folds_of(ran: Ran) -> dict[bytes, int]:
    table = ran.table("effect.folds", "doc_id", "ablation_fold")
    return dict(zip(table["doc_id"].to_pylist(), table["ablation_fold"].to_pylist(), strict=True))


def kept(ran: Ran, name: str) -> set[bytes]:
    table = ran.table(name, "doc_id", "kept")
    return {i for i, k in zip(table["doc_id"].to_pylist(), table["kept"].to_pylist(), strict=True) if k}


def result_of(ran: Ran, name: str) -> dict:
    return dict(next(iter(ran.manifest(name).named("result").values())).extra["metrics"])


def test_the_table_of_selectors_is_complete():
    deciding = {n for n in REGISTRY if operator_class(n).role in ("selector", "dedup", "filter")}
    assert deciding == set(SELECTORS)


FEW = ("top_k", "facility_location", "length_matched", "union", "cluster_balanced", "phases")


@pytest.mark.parametrize(
    ("names", "more"),
    [
        (FEW, "folds: true"),
        pytest.param(tuple(SELECTORS), "folds: true", marks=pytest.mark.slow),
        pytest.param(tuple(SELECTORS), "folds: true, refit: true", marks=pytest.mark.slow),
    ],
)
def test_every_selector_selects_from_its_fold_alone(corpus, tmp_path, names, more):
    names = [name for name in names if name != "random"]
    arms = ", ".join(names)
    ran = run(recipe(arms, more=more), corpus, tmp_path, until="effect.overlap")
    home, found = folds_of(ran), result_of(ran, "effect.overlap")
    assert len(home) == 420
    sizes = [sum(f == k for f in home.values()) for k in range(SEEDS)]
    assert found["folds"]["documents"] == sizes
    assert min(sizes) > 100
    read = ran.plan.node("effect.overlap").refs["selections"]
    assert len(read) == SEEDS * (len(names) + 2), "the control of a drawn baseline too"
    for key, node in read.items():
        label, _, fold = key.rpartition("/")
        chosen = kept(ran, node.name)
        assert chosen, key
        assert {home[i] for i in chosen} == {int(fold)}, key
        assert len(chosen) < sizes[int(fold)] or label in ("exact", "decontaminate"), key
        budget = re.search(r"budget: (\d+) docs", SELECTORS.get(label, ""))
        if budget and label not in ("quota", "ingenious"):  # its redraws add up
            groups = 3 if label == "per_group" else 1
            assert len(chosen) == groups * round(int(budget[1]) / SEEDS), key
    shares = pl.DataFrame(found["common"]["shares"]).to_numpy()
    keys = [key.rpartition("/") for key in found["common"]["keys"]]
    assert all(shares[i, j] == 0 for i, a in enumerate(keys) for j, b in enumerate(keys) if a[2] != b[2])
