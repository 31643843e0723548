"""A recipe for every operator, as its card shows it: a line with plausible values and the lines that it stands on.

All of them plan: a test writes the files they name and plans every one. What is not said here follows from the
operator: `inputs: docs`, and a budget where it must have one.
"""

from __future__ import annotations

import dataclasses

from winnow.core.operators import Operator
from winnow.dags.recipe.adds import is_required

_ASKS = 'endpoint: "http://localhost/v1", model: judge'
_STAGES = {  # what examples stand on
    "docs": '{use: jsonl, files: "raw/*.jsonl.zst"}',
    "more": '{use: parquet, files: "raw/*.parquet", source: more}',
    "given": '{use: jsonl, files: "raw/*.jsonl.zst", columns: {vector: string}}',
    "twice": '{use: jsonl, files: "raw/*.jsonl.zst", columns: {image: string, caption: string}}',
    "image": "{use: vectors_from, inputs: twice, column: image, dim: 512}",
    "caption": "{use: vectors_from, inputs: twice, column: caption, dim: 512}",
    "sites": '{use: jsonl, files: "raw/*.jsonl.zst", columns: {url: string}}',
    "parts": "{use: url_parts, inputs: sites}",
    "grown": '{use: jsonl, files: "raw/*.jsonl.zst", columns: {url: string, grade: int64}}',
    "dated": '{use: jsonl, files: "raw/*.jsonl.zst", columns: {url: string, date: string}}',
    "losses": '{use: jsonl, files: "raw/*.jsonl.zst", columns: '
    "{source: string, proxy_loss: float64, reference_loss: float64}}",
    "pages": '{use: jsonl, files: "raw/*.jsonl.zst", columns: {html: string}}',
    "learnt": "{use: neural_fit, inputs: pages}",
    "one": "{use: resiliparse, inputs: pages}",
    "two": "{use: main_text, inputs: pages, text: pages}",
    "like": "{use: ngram_vectors, inputs: target}",
    "target": '{use: jsonl, files: "target/*.jsonl"}',
    "signals": "{use: signals, inputs: docs}",
    "language": "{use: language, inputs: docs}",
    "vectors": "{use: ngram_vectors, inputs: docs}",
    "marks": '{use: segment_scores, inputs: docs, hits: ["[0-9]+"]}',
    "groups": "{use: clusters, inputs: [docs, vectors], num: 100}",
    "words": '{use: concepts, inputs: docs, files: "concepts.txt"}',
    "weights": "{use: dsir, inputs: docs, target: target}",
    "copies": "{use: minhash, inputs: docs}",
    "clean": "{use: filter, inputs: [docs, signals], preset: gopher_quality}",
    "long": '{use: filter, inputs: [docs, signals], keep: {long: "word_count > 200"}}',
    "easier": f"{{use: rewrite, inputs: docs, {_ASKS}}}",
    "true_ones": "{use: faithful, inputs: [docs, easier]}",
    "best": "{use: top_k, inputs: [docs, signals], by: word_count, budget: 5M tokens}",
    "plain": "{use: random, inputs: docs, budget: 5M tokens}",
    "base": "{use: train, selection: plain}",
    "watched": "{use: train, selection: plain, loss_at: [0, 100]}",
    "other": "{use: train, selection: plain, seed: 1}",
    "seeds": "{use: lm_nats, inputs: docs, models: {one: base, two: other}}",
    "nats": "{use: lm_nats, inputs: docs, model: base}",
    "mix": "{use: mixture, inputs: language, per: language, budget: 5M tokens}",
    "proxies": "{use: mixture_runs, mixture: mix, eval: {held: target}, curve: 8}",
    "table": '{use: runs_table, files: "runs.csv"}',
}
_BY_LENGTH = ("signals", "inputs: [docs, signals], by: word_count")
_ON_VECTORS = ("vectors", "inputs: [docs, vectors]")
_BY_SCORE = ("signals", "inputs: [docs, signals], score: digit_share")
_BY_LANGUAGE = ("language", "inputs: [docs, language], per: language")
_GIVEN = {  # operator -> (stages above beside `docs`, its inputs and fields)
    "parquet": ("", 'files: "raw/*.parquet"'),
    "jsonl": ("", 'files: "raw/*.jsonl.zst"'),
    "warc": ("", 'files: "crawl/*.warc.gz"'),
    "html_files": ("", 'files: "site/**/*.html", url: "https://{path}"'),
    "json_array": ("", 'files: "answers/*.json", items: data.items, id: "field:id"'),
    "csv": ("", 'files: "raw/*.csv", columns: {url: string}'),
    "arrow": ("", 'files: "saved/"'),
    "text_files": ("", 'files: "raw/*.txt"'),
    "python_topics": ("", 'files: "topics.py"'),
    "dedup_index": ("copies", "of: copies"),
    "datasketch_index": ("", 'files: "minhashes.parquet"'),
    "concat": ("docs more", "inputs: [docs, more]"),
    "join": ("", 'inputs: docs, files: "notes.jsonl", key: url, on: origin, columns: {grade: float64}'),
    "first_text": ("pages one two", "inputs: pages, texts: [one.text, two.text]"),
    "main_text": ("pages", "inputs: pages"),
    "neural_fit": ("pages", "inputs: pages, gold: text"),
    "neural_file": ("", 'files: "model.safetensors"'),
    "neural": ("pages learnt", "inputs: pages, model: learnt"),
    "resiliparse": ("pages", "inputs: pages"),
    "trafilatura": ("pages", "inputs: pages, favor: precision"),
    "concepts": ("", 'inputs: docs, files: "concepts.txt"'),
    "math_signals": ("pages", "inputs: pages, column: html"),
    "opt_out": ("pages", "inputs: pages, html: html"),
    "bad_words": ("language", 'inputs: [docs, language], files: ["lists/en"]'),
    "url_parts": ("sites", "inputs: sites"),
    "url_lists": ("sites", 'inputs: sites, lists: ["lists/blocked.txt"]'),
    "host_stats": ("sites parts", "inputs: [sites, parts]"),
    "clusters": _ON_VECTORS,
    "knn_graph": _ON_VECTORS,
    "overlap": ("signals clean long", "inputs: docs, of: [kept_clean, kept_long]"),
    "filter": ("signals", "inputs: [docs, signals], preset: gopher_quality"),
    "decontaminate": ("target", "inputs: docs, against: target"),
    "eval_tasks": ("", 'files: "quiz.jsonl"'),
    "holdout": ("", "inputs: docs, share: 0.01"),
    "limits": ("signals language", 'inputs: [docs, language, signals], most: {list_ratio: "tail 0.1"}'),
    "ngram_bloom": ("", "inputs: docs, share: 0.9"),
    "lsh_bloom": ("", "inputs: docs, num_bands: 20, rows_per_band: 6"),
    "semdedup": ("vectors groups", "inputs: [docs, vectors, groups], eps: 0.05"),
    "redundancy": ("vectors", "inputs: [docs, vectors], distance: 0.2"),
    "write": ("signals clean", "inputs: [docs, clean]"),
    "fasttext": ("target", "inputs: docs, positive: target"),
    "url_score": ("grown", "inputs: grown, positive: grade > 3"),
    "fasttext_model": ("", 'inputs: docs, model_file: "model.ftz", label: __label__hq'),
    "vectors_from": ("given", "inputs: given, column: vector, dim: 256"),
    "pair_score": (
        "twice image caption",
        "inputs: [image, caption], left: image.vector, right: caption.vector",
    ),
    "classifier": ("", 'inputs: docs, model: "./edu.bin", label: __label__hq'),
    "doremi": ("losses", "inputs: losses, per: source, proxy: proxy_loss, reference: reference_loss"),
    "betr": ("vectors target like", "inputs: [docs, vectors], target: like"),
    "got_d": ("vectors target like", "inputs: [docs, vectors], target: like"),
    "dsir": ("target", "inputs: docs, target: target"),
    "length_matched": ("signals best", "inputs: docs, like: best"),
    "sample": _BY_LENGTH,
    "top_k": _BY_LENGTH,
    "threshold": (_BY_LENGTH[0], f"{_BY_LENGTH[1]}, at_least: 200"),
    "quantile": (_BY_LENGTH[0], f"{_BY_LENGTH[1]}, share: 0.1"),
    "per_group": ("signals language", "inputs: [docs, signals, language], by: word_count, per: language, share: 0.1"),
    "quota": ("language", "inputs: [docs, language], per: language"),
    "mixture": ("language", "inputs: [docs, language], per: language"),
    "upsample": _BY_LENGTH,
    "rehydrate": ("copies signals clean long", "inputs: [docs, copies], among: kept_clean, passed: kept_long"),
    "buckets": ("signals", "inputs: [docs, signals], scores: [word_count, digit_share]"),
    "age": ("dated", 'inputs: dated, by: date, since: "2024"'),
    "domain": ("dated", "inputs: dated, by: url, exclude: [example.com]"),
    "simcore": ("vectors target like", "inputs: [docs, vectors], target: like"),
    "dsir_resample": ("target weights", "inputs: [docs, weights]"),
    "retrieve_tail": ("words vectors", "inputs: [docs, words, vectors]"),
    "hierarchical": ("vectors", "inputs: [docs, vectors], levels: [1000, 100]"),
    "metaclip": ("words", "inputs: [docs, words], tail_share: 0.06"),
    "cluster_balanced": ("vectors groups", "inputs: [docs, groups]"),
    "d4": ("vectors", "inputs: [docs, vectors], share: 0.5"),
    "union": ("signals clean long", "inputs: docs, of: [kept_clean, kept_long]"),
    "intersect": ("signals clean long", "inputs: docs, of: [kept_clean, kept_long]"),
    "difference": ("signals clean long", "inputs: docs, of: [kept_clean, kept_long]"),
    "phases": ("plain", "inputs: docs, phases: [{name: all, select: kept_plain, tokens: 5M tokens}]"),
    "write_tokens": ("plain", "selection: plain"),
    "model_file": ("", 'files: "model/*"'),
    "target_file": ("", 'files: "quiz.jsonl"'),
    "causal_lm": ("", "folder: pythia-70m"),
    "lm_nats": ("plain base", "inputs: docs, model: base"),
    "teacher_top_k": ("plain base", "inputs: docs, model: base"),
    "token_losses": ("plain base", "inputs: docs, model: base"),
    "training_feedback": ("plain watched", "inputs: docs, run: watched"),
    "disagreement": ("plain base other seeds", "inputs: seeds, of: [nll_one, nll_two]"),
    "segment_scores": ("", 'inputs: docs, hits: ["[A-Z]{5,}"]'),
    "paragraph_languages": ("", "inputs: docs, by: lines"),
    "repeated_lines": ("", "inputs: docs, by: paragraphs"),
    "llm_compare": ("", f"inputs: docs, {_ASKS}, rubric: pairs.txt"),
    "rewrite": ("", f"inputs: docs, {_ASKS}, template: simplify"),
    "agreement": (
        "target weights signals",
        "scores: weights, score: dsir_log_weight, labels: signals, label: word_count, at_least: 9",
    ),
    "faithful": ("easier", "inputs: [docs, easier], min_words: 0.3"),
    "rewritten": ("easier true_ones", "inputs: [docs, easier, true_ones]"),
    "llm_annotate": ("", f"inputs: docs, {_ASKS}, rubric: rubric.txt, answer: {{grade: {{type: integer}}}}"),
    "named_entities": ("", 'inputs: docs, engine: spacy, model: "./ner"'),
    "repeated_ngrams": ("", "inputs: docs, by: paragraphs, ngram: 8"),
    "repeated_substrings": ("", "inputs: docs, min_bytes: 100"),
    "drop_spans": ("marks", "inputs: [docs, marks], stops: segment_ends, scores: segment_scores, at_least: 0.1"),
    "ngram_lm": ("target", "inputs: docs, fit_on: target"),
    "filtering": (_BY_SCORE[0], f"{_BY_SCORE[1]}, tau: 0.1"),
    "rwr": _BY_SCORE,
    "awr": _BY_SCORE,
    "unlikelihood": (_BY_SCORE[0], f"{_BY_SCORE[1]}, tau: 0.1"),
    "conditional": (_BY_SCORE[0], f"{_BY_SCORE[1]}, at: 0.1"),
    "rho": ("plain base nats", "inputs: [docs, nats], reference: nats_per_token"),
    "rho_1": ("plain base", "reference: base"),
    "salt": ("plain base", "teacher: base"),
    "value_alignment": ("target", "inputs: docs, feedback: target"),
    **dict.fromkeys(("group_dro", "temperature", "unimax", "bandit", "gradient_gram"), _BY_LANGUAGE),
    "doge": ("language target", f"{_BY_LANGUAGE[1]}, feedback: {{en: target}}"),
    "ppl_change": ("language target", f"{_BY_LANGUAGE[1]}, feedback: {{en: target}}"),
    "skill_it": ("language target", f"{_BY_LANGUAGE[1]}, feedback: {{en: target}}, edges: {{en: {{en: 1}}}}"),
    "doremi_proxy": ("language plain base nats", "inputs: [docs, language, nats], per: language, reference: nll"),
    "curriculum": ("signals", "inputs: [docs, signals], by: word_count"),
    "sample_text": ("plain base", "model: base"),
    "skill_graph": ("language target plain", "selection: plain, per: language, feedback: {en: target}"),
    "mixture_runs": ("target language mix", "mixture: mix, eval: {held: target}"),
    "climb": ("target language mix", "mixture: mix, eval: {held: target}"),
    "meta_rater": (
        "target signals best",
        "selection: best, eval: {held: target}, scores: {words: word_count, digits: digit_share}",
    ),
    "runs_table": ("", 'files: "runs.csv"'),
    "repetition_law": ("table", "runs: table, budget: 5B tokens"),
    "regmix_d": ("target language mix proxies", "runs: proxies"),
    **dict.fromkeys(("regmix", "swarm", "mixing_law"), ("table", "runs: table")),
    "train": ("plain", "selection: plain"),
    "ablation": ("target signals best plain", "arms: {best: best}, baseline: plain, eval: target"),
}  # fmt: skip


def example_of(name: str, cls: type[Operator]) -> str:
    """A recipe that plans, as YAML: the lines above, then that of the operator."""
    above, given = _GIVEN.get(name, ("", "inputs: docs"))
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if "budget" in fields and is_required(fields["budget"]):
        given += ", budget: 5M tokens"
    names = above.split()
    if "docs" not in names and "docs" in f"{given} {' '.join(_STAGES[n] for n in names)}":
        names = ["docs", *names]
    lines = [f"  {each}: {_STAGES[each]}" for each in names]
    return "\n".join(["stages:", *lines, f"  {_free(name)}: {{use: {name}, {given}}}"])


def _free(name: str) -> str:
    return f"my_{name}" if name in _STAGES else name
