"""Folds: every seed selects from documents of its own, whatever the selector, and what is refitted is refitted there."""

from __future__ import annotations

import contextlib
import random
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from promises import Stop, stopping
from support import Ran, forget, plan_of, put_corpus, put_file, run, texts

from winnow.core.errors import ConfigError, DataError, Interrupted
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.store.locations import open_store
from winnow.dags.before.foresight import forecast_text, forecasts
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.testing.in_memory import MemorySource, run_map
from winnow.trainers.ablation.fold_facts import FoldFacts
from winnow.trainers.ablation.fold_of_pool import COLUMN, FoldOfPool
from winnow.trainers.compare.fold_lines import fold_notes

SEEDS = 3
# every operator that decides about rows, with what it needs before it
BEFORE = """
  sig: {use: signals, inputs: docs}
  unique: {use: minhash, inputs: docs, threshold: 0.7}
  vec: {use: ngram_vectors, inputs: docs, dim: 32}
  graph: {use: knn_graph, inputs: vec, k: 6, ignore: all}
  groups: {use: clusters, inputs: vec, num: 6, ignore: all}
  vec_held: {use: ngram_vectors, inputs: held, dim: 32}
  words: {use: concepts, inputs: docs, files: "words.txt"}
  words_held: {use: concepts, inputs: held, files: "words.txt"}
  like: {use: dsir, inputs: docs, target: held, num_buckets: 64, ngrams: 1, ignore: all}
  shares: {use: doremi, inputs: docs, per: label, proxy: word_count, reference: text_bytes, steps: 2, ignore: all}
"""
SELECTORS = {
    "filter": "inputs: docs, keep: {long: word_count > 30}",
    "decontaminate": "inputs: docs, against: held",
    "holdout": "inputs: docs, share: 0.4",
    "exact": "inputs: docs",
    "minhash": "inputs: docs, threshold: 0.6",
    "ngram_bloom": "inputs: docs, ngram: 3, share: 0.3",
    "lsh_bloom": "inputs: docs, num_bands: 20, rows_per_band: 5",
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
    said = {
        name for name, fields in SELECTORS.items() if "of: " in fields or "select: " in fields or "among: " in fields
    }
    said |= {"top_k"}  # the others look at all of the pool
    all_rows = {name: "" if name in said else ", ignore: all" for name in SELECTORS}
    stages = "".join(f"  {name}: {{use: {name}, {fields}{all_rows[name]}}}\n" for name, fields in SELECTORS.items())
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
    deciding -= {n for n in deciding if operator_class(n).shape_name == "Job"}  # a table of its own: `eval_tasks`
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


FITTED = """
  quality: {use: fasttext, inputs: docs, positive: held, epoch: 1, dim: 4, bucket: 1000}
  unique: {use: minhash, inputs: docs, where: quality > 0, threshold: 0.7}
  vec: {use: embed, inputs: docs, dim: 8, num_buckets: 256}
  vec_held: {use: embed, inputs: held, table: vec.fit, dim: 8}
  near: {use: betr, inputs: docs, target: vec_held}
  good: {use: top_k, inputs: [docs, unique], by: quality, budget: 6k tokens}
  best: {use: sample, inputs: [docs, good], by: near, normalise: z, budget: 3k tokens}
  plain: {use: random, inputs: docs, budget: 6k tokens, ignore: all}
"""


def fitted(more: str, *, baseline: str = "plain", seed: int = 1, seeds: int = SEEDS) -> str:
    reader = "  docs: {use: jsonl, files: 'raw/*.jsonl', id: content}\n"
    reader += "  held: {use: jsonl, files: 'target/*.jsonl', source: held}\n"
    effect = EFFECT.format(arms="best", seeds=seeds, more=more).replace("baseline: random", f"baseline: {baseline}")
    return f"seed: {seed}\nstages:\n{reader}{FITTED}{effect}"


def read_by(plan, name: str) -> dict[str, str]:
    """Column as a stage says it -> the stage that it is a column of."""
    node = plan.node(name)
    columns = {**node.columns, **node.where_columns}
    return {column: node.inputs[place].name for column, (place, _) in columns.items()}


def test_without_refit_choices_are_made_again_and_scores_are_those_of_the_pool(corpus):
    plan = plan_of(fitted("folds: true"), corpus)
    assert read_by(plan, "effect.fold1_good") == {
        "doc_id": "docs", "quality": "quality.score", "token_count": "tokens", COLUMN: "effect.folds",
    }  # fmt: skip
    best = plan.node("effect.fold1_draw_best")
    assert read_by(plan, "effect.fold1_draw_best")["near"] == "near"
    assert "effect.fold1_good" in [n.name for n in best.inputs]
    assert "good" not in [n.name for n in best.inputs], "the choice before the choice is that of the fold"
    assert (best.where, best.operator.budget) == (f"{COLUMN} = 1", Budget(1000, "tokens"))
    assert plan.node("effect.fold1_good").operator.budget == Budget(2000, "tokens")
    compare = plan.node("effect").operator
    assert compare.folds
    assert not compare.refitted
    assert compare.fold_budgets == {"baseline": "2k tokens of 6k tokens", "best": "1k tokens of 3k tokens"}
    assert set(compare.saw_the_pool["best"]) == {"quality", "unique", "vec", "near"}
    assert compare.saw_the_pool["baseline"] == ()


def test_the_plan_says_how_small_the_parts_are(corpus, tmp_path):
    plan = plan_of(fitted("folds: true"), corpus)
    known = forecasts(plan.nodes, open_store(tmp_path))
    line = forecast_text(known)[-1][1]
    assert line == (
        "effect: folds: every seed selects from 1/3 of the pool: 2k tokens of 6k tokens (baseline), 1k tokens of 3k tokens "
        "(best); a run trains on 2,000 tokens"
    )
    plain = forecasts(plan_of(fitted("aa: true"), corpus).nodes, open_store(tmp_path))
    assert not any("folds" in text for _, text in forecast_text(plain))


def test_with_refit_every_score_is_that_of_the_fold(corpus):
    plan = plan_of(fitted("folds: true, refit: true"), corpus)
    names = {n.name for n in plan.nodes}
    for k in range(SEEDS):
        assert read_by(plan, f"effect.fold{k}_good")["quality"] == f"effect.fold{k}_quality"
        assert read_by(plan, f"effect.fold{k}_draw_best")["near"] == f"effect.fold{k}_near"
        assert plan.node(f"effect.fold{k}_quality").refs["model"].name == f"effect.fold{k}_quality_fit"
        assert plan.node(f"effect.fold{k}_quality_fit").where == f"{COLUMN} = {k}"
        assert read_by(plan, f"effect.fold{k}_unique_signatures")["quality"] == f"effect.fold{k}_quality"
        assert plan.node(f"effect.fold{k}_unique_signatures").where == f"(quality > 0) AND {COLUMN} = {k}"
        assert plan.node(f"effect.fold{k}_near").refs["target"].name == f"effect.fold{k}_vec_held"
        assert plan.node(f"effect.fold{k}_vec_held").refs["table"].name == f"effect.fold{k}_vec_fit"
        reached = {n.name for n in _above(plan.node(f"effect.fold{k}_draw_best"))}
        shared = {"docs", "held", "tokens", "effect.folds"}
        assert reached <= shared | {n for n in names if n.startswith(f"effect.fold{k}_")}
    assert not any(plan.node("effect").operator.saw_the_pool.values())


def _above(node) -> list:
    found, todo = [], [node]
    while todo:
        for source in todo.pop().sources():
            if source not in found:
                found.append(source)
                todo.append(source)
    return found


def test_folds_are_disjoint_whole_and_of_one_size_and_other_seeds_have_others():
    ids = pl.Series("doc_id", [bytes([i % 256, i // 256] * 8) for i in range(6000)], dtype=pl.Binary)
    rows = pl.DataFrame([ids])

    def folds(num, seed):
        operator = FoldOfPool(num=num)
        return run_map(operator, rows, Context(seed=seed, work=Path()))[COLUMN].to_numpy()

    one = folds(6, 1)
    assert set(one) == set(range(6))
    assert abs(np.bincount(one) - 1000).max() < 4 * np.sqrt(6000 * 5 / 36)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=3)
    again = run_map(FoldOfPool(num=6), shuffled, Context(seed=1, work=Path()))[COLUMN]
    assert dict(zip(shuffled["doc_id"], again, strict=True)) == dict(zip(ids, one, strict=True))
    for other in (folds(6, 2), folds(5, 1)):
        assert abs((other == one).mean() - 1 / 6) < 0.03
    with pytest.raises(ConfigError):
        FoldOfPool(num=1).validate()


def test_a_fold_is_part_of_what_a_selection_is(corpus):
    plain, folded = (plan_of(fitted(more), corpus) for more in ("folds: false", "folds: true"))
    other = plan_of(fitted("folds: true", seed=2), corpus)
    more = plan_of(fitted("folds: true", seeds=4), corpus)

    def prints(plan, *parts: str) -> set[str]:
        return {n.fingerprint for n in plan.nodes if n.name.startswith("effect.") and any(p in n.name for p in parts)}

    for parts in (("_good", "good"), ("draw_best",), ("draw_plain",), ("train_",)):
        assert not prints(folded, *parts) & prints(plain, *parts)
        assert not prints(folded, *parts) & prints(other, *parts)
        assert not prints(folded, *parts) & prints(more, *parts), "four folds are other folds than three"
    choices = [n.fingerprint for n in folded.nodes if "draw_best" in n.name]
    assert len(set(choices)) == SEEDS
    assert [n.fingerprint for n in folded.nodes if n.name.startswith("quality")] == [
        n.fingerprint for n in plain.nodes if n.name.startswith("quality")
    ], "what is not refitted is reused"


def test_the_control_is_drawn_from_the_fold_of_the_baseline(corpus):
    plan = plan_of(fitted("folds: true"), corpus)
    for k in range(SEEDS):
        own, control = (plan.node(f"effect.fold{k}_{kind}_plain") for kind in ("draw", "redraw"))
        assert own.where == control.where == f"{COLUMN} = {k}"
        assert own.seed != control.seed
        assert plan.node(f"effect.train_baseline_{k}").refs["selection"] is own
        assert plan.node(f"effect.train_aa_{k}").refs["selection"] is control
        assert plan.node(f"effect.train_best_{k}").refs["selection"].name == f"effect.fold{k}_draw_best"
    assert len({plan.node(f"effect.fold{k}_draw_plain").seed for k in range(SEEDS)}) == SEEDS
    fixed = plan_of(fitted("folds: true", baseline="good"), corpus)
    for k in range(SEEDS):
        runs = [fixed.node(f"effect.train_{label}_{k}") for label in ("baseline", "aa")]
        assert {run.refs["selection"].name for run in runs} == {f"effect.fold{k}_good"}
        assert runs[0].operator.init_seed != runs[1].operator.init_seed


@pytest.mark.slow
def test_any_layout_and_a_stopped_run_give_the_same_folds(corpus, tmp_path):
    text = recipe("top_k, cluster_balanced", more="folds: true, refit: true")

    def digests(root: Path, **options) -> dict[str, str]:
        found = run(text, corpus, root, until="effect.overlap", **options)
        return {n: d for n, d in found.digests.items() if n.startswith("effect.")}

    plain = digests(tmp_path / "a")
    assert len([n for n in plain if "fold" in n]) > 15
    assert digests(tmp_path / "b", part_bytes=9000, batch_rows=7) == plain
    with stopping(tmp_path / "c", 900), contextlib.suppress(Stop, Interrupted):
        digests(tmp_path / "c")
        raise AssertionError("it was to be stopped")
    forget()
    assert digests(tmp_path / "c") == plain


CHOOSER = '''
import polars as pl
import winnow

@winnow.selector("longest", needs=("text_bytes",))
def longest(rows, budget):
    order = rows["text_bytes"].rank("ordinal", descending=True)
    return (order <= budget).cast(pl.Float64)

@winnow.scorer("above")
def above(text: pl.Series) -> pl.Series:
    """Length."""
    return text.str.len_bytes().cast(pl.Float64)
'''


def test_a_selector_and_a_scorer_of_one_s_own_are_made_again_too(corpus, tmp_path):
    put_file(corpus / "chooser.py", CHOOSER.encode())
    own = """
  long: {use: "chooser:above", inputs: docs}
  best: {use: "chooser:longest", inputs: docs, where: long > 40, budget: 60 docs}
  plain: {use: random, inputs: docs, budget: 60 docs}
"""
    text = fitted("folds: true, refit: true").replace(FITTED, own)
    ran = run(text, corpus, tmp_path, until="effect.overlap")
    home = folds_of(ran)
    for k in range(SEEDS):
        chosen = kept(ran, f"effect.fold{k}_best")
        assert {home[i] for i in chosen} == {k}
        assert len(chosen) == 20
    assert "effect.fold0_long" not in {n.name for n in ran.plan.nodes}, "a row decides its own score"


@pytest.mark.parametrize(
    ("change", "match", "where"),
    [
        ({"more": "refit: true"}, "refit without folds", "stages.effect.refit"),
        ({"more": "folds: true", "seeds": 1}, "one seed has all of the pool", "stages.effect.folds"),
        ({"more": "folds: true, budgets: [500, 1000, 3000, 4000]"}, "folds do not go with budgets", "stages.effect.folds"),
        ({"more": "folds: true", "baseline": "docs"}, "'docs' is all rows", "stages.effect.folds"),
        ({"more": "folds: true, replay: good, replay_share: 0.1"}, "'good' replays documents of all folds",
         "stages.effect.replay"),
        ({"more": "folds: true", "budget": "2 docs"}, "2 docs over 3 folds is less than one each", "stages.best.budget"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_folds_is_refused_with_its_place(corpus, change, match, where):
    text = fitted(**{k: v for k, v in change.items() if k != "budget"})
    text = text.replace("budget: 3k tokens", f"budget: {change.get('budget', '3k tokens')}")
    with pytest.raises(ConfigError, match=match) as error:
        plan_of(text, corpus)
    assert error.value.where == where


@pytest.mark.parametrize("arm", ["quality", "vec"])
def test_several_stages_that_select_nothing_are_no_arm(corpus, arm):
    with pytest.raises(ConfigError, match=rf"'{arm}' .* has no `kept`: it selects nothing"):
        plan_of(fitted("folds: true").replace("arms: [best]", f"arms: [{arm}]"), corpus)


def test_a_start_that_was_trained_on_the_pool_is_told(corpus):
    first = (
        EFFECT.replace("effect:", "first:")
        .format(arms="best", seeds=SEEDS, more="aa: false")
        .replace("random", "plain")
    )
    text = fitted("folds: true, starts: {best: first.train_best_0}").replace("  effect:", first + "  effect:")
    seen = plan_of(text, corpus).node("effect").operator.saw_the_pool
    assert "first.train_best_0" in seen["best"]
    assert seen["baseline"] == ()


@pytest.mark.parametrize(
    ("budget", "match"),
    [
        ("900k tokens", r"fold \d of 3 holds \d+ candidates, [\d,]+ bytes of text, and a budget of 300k tokens takes all"),
        ("6 tokens", r"fold \d of 3 holds \d+ candidates, [\d,]+ bytes of text, and a budget of 2 tokens takes none"),
    ],
)  # fmt: skip
def test_a_fold_that_cannot_fill_its_budget_is_refused_with_its_figures(corpus, tmp_path, budget, match):
    text = fitted("folds: true").replace(
        FITTED,
        f"  plain: {{use: random, inputs: docs, budget: {budget}}}\n"
        "  best: {use: threshold, inputs: docs, by: text_bytes, at_least: 9}\n",
    )
    with pytest.raises(DataError, match=match) as error:
        run(text, corpus, tmp_path, until="effect.overlap")
    assert "hint:  fewer seeds" in str(error.value)


def test_a_selection_outside_of_its_fold_is_refused(tmp_path):
    ids = [bytes([i] * 16) for i in range(4)]
    pool = pl.DataFrame({"doc_id": ids, "text_bytes": [5, 5, 5, 5]})
    homes = MemorySource(rows=pl.DataFrame({"doc_id": ids, COLUMN: [0, 0, 1, 1]}, schema_overrides={COLUMN: pl.Int32}))
    facts = FoldFacts(pool=pool, folds=homes, num=2)
    source = MemorySource(rows=pool.with_columns(kept=True))
    facts.add("best/0", 0, pool[:1], source)
    with pytest.raises(DataError, match=r"1 of 2 documents, 02020202.*first, are not of fold 0"):
        facts.add("best/0", 0, pool[1:3], source)
    assert facts.table() == {"num": 2, "documents": [2, 2], "bytes": [10, 10], "selected": {"best/0": 5}}


def test_the_size_of_a_fold_is_told_in_tokens_of_the_baseline_s_selections():
    folds = {
        "num": 4, "documents": [9, 11, 10, 10], "bytes": [3000, 5000, 4000, 4000], "refitted": True, "saw_the_pool": {},
        "budgets": ["5k tokens (20k)"], "selected": {"baseline/0": 900, "baseline/1": 1100, "best/0": 7},
    }  # fmt: skip
    label = {"selection_tokens": [220, 280], "epochs": [0.5, 0.75]}
    metrics = {
        "folds": folds,
        "seeds": 4,
        "tokens": 6000,
        "baseline": label,
        "arms": {"best": {**label, "epochs": [1, 2]}},
    }
    size, passes = fold_notes(metrics)
    assert size.endswith("4 parts of 9 to 11 documents, about 1,000 tokens each"), "a token has four bytes here"
    assert passes.endswith("5k tokens (20k); at most 2.00 epochs in 6,000 training tokens")
    metrics["folds"] = {**folds, "saw_the_pool": {"best": ["quality"], "top": ["quality"]}}
    assert "which a fold cannot fit anew" in list(fold_notes(metrics))[2]
    metrics["folds"]["refitted"] = False
    assert "and a fold did not fit anew" in list(fold_notes(metrics))[2]
    assert list(fold_notes(metrics))[2].endswith("`refit: true` does, and adds the noise of fitting")
