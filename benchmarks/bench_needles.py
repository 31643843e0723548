"""Hidden needles: sections of one textbook in a pool of other texts, the target being its other sections.

    python benchmarks/bench_needles.py --packs DIR [--json out.json] [--table out.md]

The needles are half of the sections of OpenStax Astronomy (by a keyed hash of their module's name), the target is the
other half. The pool is OpenStax Psychology and Physics (textbooks too: the near misses), BBC news, Python PEPs, C++
documentation and graded news. Every method may keep as many tokens as the needles have; recall is the share of the
needles' tokens it finds (precision, at this budget, is the same number up to one document).

`retrieve_tail` looks for the terms that the target's sections mark as such, all of them: of every term the texts that
name it and are nearest to the target's texts that do; then those with the best ranks up to the budget.

Below the table: Kendall's tau of `got_d` with the exact dual (linear programming) for several `epsilon`, on a sample of
the pool's and the target's vectors.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from pack_texts import documents, is_target, terms
from scipy import sparse
from scipy.optimize import linprog
from scipy.stats import kendalltau

import winnow
from winnow.core.numerics import knn
from winnow.core.numerics.target_vectors import beside
from winnow.scorers.target import optimal_transport as transport

SETS = {
    "astronomy": ("text_openstax_bio_etc", r"/modules/.*\.cnxml$"),
    "psychology": ("text_openstax_psych", r"/modules/.*\.cnxml$"),
    "physics": ("text_openstax_physics", r"/modules/.*\.cnxml$"),
    "news": ("text_bbc", r"/data_files/.*\.txt$"),
    "peps": ("text_peps", r"/pep-\d+\.(rst|txt)$"),
    "cppdocs": ("text_cppdocs", r"\.md$"),
    "graded": ("text_onestop", r"(?i)-txt/.*\.txt$"),
}
RECIPE = """
seed: 7
tokenizer: bytes/4
stages:
  target: {use: jsonl, files: "target.jsonl"}
  docs: {use: jsonl, files: "pool.jsonl"}
  size: {use: count_tokens, inputs: docs}
  ngrams: {use: ngram_vectors, inputs: docs}
  like: {use: ngram_vectors, inputs: target}
  random: {use: random, inputs: docs, budget: "@B tokens"}
  odds: {use: dsir, inputs: docs, target: target, min_words: 20}
  dsir: {use: dsir_resample, inputs: [docs, odds], budget: "@B tokens"}
  rate: {use: dsir, inputs: docs, target: target, min_words: 20, per: ngram}
  dsir_per_ngram: {use: top_k, inputs: [docs, rate], by: rate.dsir_log_weight, budget: "@B tokens"}
  text_like: {use: fasttext, inputs: docs, positive: target}
  fasttext: {use: top_k, inputs: docs, by: text_like.score, budget: "@B tokens"}
  rank: {use: betr, inputs: ngrams, target: like}
  betr: {use: top_k, inputs: docs, by: rank.betr_score, budget: "@B tokens"}
  mean_rank: {use: betr, inputs: ngrams, target: like, aggregate: mean}
  betr_mean: {use: top_k, inputs: docs, by: mean_rank.betr_score, budget: "@B tokens"}
  teacher: {use: top_k, inputs: docs, by: rank.betr_score, budget: 3%}
  student: {use: fasttext, inputs: docs, positive: teacher}
  betr_distilled: {use: top_k, inputs: docs, by: student.score, budget: "@B tokens"}
  simcore: {use: simcore, inputs: ngrams, target: like, budget: "@B tokens"}
  pull: {use: got_d, inputs: ngrams, target: like}
  got_d: {use: top_k, inputs: docs, by: pull.got_d, budget: "@B tokens"}
  named: {use: concepts, inputs: docs, files: terms.txt, ignore_case: true, punctuation: "@P"}
  asked: {use: concepts, inputs: target, files: terms.txt, ignore_case: true, punctuation: "@P"}
  each: {use: retrieve_tail, inputs: [ngrams, named], target: like, target_concepts: asked, tail_share: 1.0}
  retrieve_tail: {use: top_k, inputs: docs, by: each.tail_rank, descending: false, budget: "@B tokens"}
"""
METHODS = (
    "random",
    "dsir",
    "dsir_per_ngram",
    "fasttext",
    "betr",
    "betr_mean",
    "betr_distilled",
    "simcore",
    "got_d",
    "retrieve_tail",
)


def build(packs: Path, folder: Path) -> tuple[int, dict[str, int]]:
    """(tokens of the needles, documents per kind); writes pool.jsonl and target.jsonl."""
    counts: dict[str, int] = {}
    tokens = 0
    with (folder / "pool.jsonl").open("w") as pool, (folder / "target.jsonl").open("w") as target:
        for row in documents(packs, SETS):
            needle = row["source"] == "astronomy"
            goes = needle and is_target(row["module"])
            kind = "target" if goes else "needles" if needle else row["source"]
            counts[kind] = counts.get(kind, 0) + 1
            tokens += 0 if goes or not needle else len(row["text"].encode()) // 4
            (target if goes else pool).write(json.dumps({"text": row["text"], "source": row["source"]}) + "\n")
    names = terms(packs, *SETS["astronomy"])
    (folder / "terms.txt").write_text("\n".join(names) + "\n")
    return tokens, counts | {"terms": len(names)}


EPSILONS = (0.1, 0.05, 0.02, 0.01, 0.005)
SAMPLED = (601, 151)  # of the pool, of the target; without a common divisor the dual is unique


def exact_dual(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The source potentials of the transport problem with uniform masses, by linear programming."""
    n, m = cost.shape
    masses = sparse.vstack([sparse.kron(sparse.eye(n), np.ones((1, m))), sparse.kron(np.ones((1, n)), sparse.eye(m))])
    given = np.r_[np.full(n, 1 / n), np.full(m, 1 / m)]
    solved = linprog(cost.ravel(), A_eq=masses.tocsr(), b_eq=given, method="highs")
    return np.asarray(solved.eqlin.marginals[:n])


def agreement(pool: pl.Series, target: pl.Series) -> dict[str, dict[str, float]]:
    """Epsilon -> Kendall's tau of the entropic potentials with the exact dual, and the iterations they took."""
    drawn = (vectors.drop_nulls().sample(size, seed=7) for vectors, size in zip((pool, target), SAMPLED, strict=True))
    left, right = (np.frombuffer(b"".join(cells), dtype="<i2").reshape(len(cells), -1) for cells in drawn)
    left, right = beside(left, right, center=True)
    cost = 1.0 - (left.astype(np.float32) @ right.astype(np.float32).T).astype(np.float64) / knn.ONE
    exact = exact_dual(cost)
    found = {}
    for epsilon in EPSILONS:
        fitted = transport.sinkhorn(cost, epsilon=epsilon * float(np.median(cost)))
        found[f"{epsilon:g}"] = {
            "kendall": float(kendalltau(fitted.source, exact).statistic), "iterations": fitted.iterations
        }  # fmt: skip
    return found


def recalls(folder: Path, budget: int, embed: bool) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """(method -> recall and tokens per source, epsilon -> agreement of `got_d` with the exact dual)."""
    recipe = (
        RECIPE.replace("@B", str(budget))
        .replace("@P", ".,;:?!()[]'")
        .replace("docs: {use: jsonl,", "docs: {use: jsonl, columns: {source: string},")
    )
    if embed:
        recipe = recipe.replace("ngrams: {use: ngram_vectors, inputs: docs}", "ngrams: {use: embed, inputs: docs}")
        recipe = recipe.replace(
            "like: {use: ngram_vectors, inputs: target}", "like: {use: embed, inputs: target, table: ngrams.fit}"
        )
    path = folder / "needles.yaml"
    path.write_text(recipe)
    begun = time.perf_counter()
    result = winnow.run_recipe(path, out=folder / "runs", workers=0)
    seconds = time.perf_counter() - begun
    opened = winnow.open(folder / "runs")
    base = opened.frame("size").select("doc_id", "token_count").collect()
    source = opened.frame("docs").select("doc_id", "source").collect()
    rows = base.join(source, on="doc_id")
    needles = rows.filter(pl.col("source") == "astronomy")["token_count"].sum()
    found = {}
    for method in METHODS:
        kept = opened.frame(method).select("doc_id", "kept").filter("kept").collect()
        chosen = rows.join(kept, on="doc_id", how="semi")
        hit = chosen.filter(pl.col("source") == "astronomy")["token_count"].sum()
        by = chosen.group_by("source").agg(pl.col("token_count").sum()).sort("source")
        found[method] = {"recall": hit / needles, "tokens": int(chosen["token_count"].sum())} | {
            f"tokens_{name}": int(count) for name, count in by.iter_rows()
        }
    print(
        f"{'embed' if embed else 'ngram_vectors'}: whole run {seconds:.1f} s, {result.name if hasattr(result, 'name') else ''}"
    )
    vectors = (opened.frame(stage).select("vector").collect()["vector"] for stage in ("ngrams", "like"))
    return found, agreement(*vectors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        budget, counts = build(arguments.packs, folder)
        print(json.dumps(counts), "needle tokens", budget)
        both = {kind: recalls(folder, budget, kind == "embed") for kind in ("ngram_vectors", "embed")}
    found = {kind: methods for kind, (methods, _) in both.items()}
    dual = {kind: agreed for kind, (_, agreed) in both.items()}
    body = {"documents": counts, "budget_tokens": budget, "methods": found, "got_d_and_the_exact_dual": dual}
    lines = ["| method | recall, hashed n-grams | recall, `embed` |", "|---|---|---|"]
    for method in METHODS:
        one, two = (found[kind][method]["recall"] for kind in ("ngram_vectors", "embed"))
        lines.append(f"| `{method}` | {one:.3f} | {two:.3f} |")
    lines += ["", "| `epsilon` of `got_d` | Kendall's tau, hashed n-grams | `embed` |", "|---|---|---|"]
    for epsilon in map("{:g}".format, EPSILONS):
        one, two = (dual[kind][epsilon]["kendall"] for kind in ("ngram_vectors", "embed"))
        lines.append(f"| {epsilon} | {one:.3f} | {two:.3f} |")
    print("\n".join(lines))
    if arguments.json:
        arguments.json.write_text(json.dumps(body, indent=2))
    if arguments.table:
        arguments.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
