"""Every registered operator keeps the contract, and the suite catches every way of breaking it."""

import functools
import importlib.util
import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from winnow import testing
from winnow.core.errors import ConfigError, ContractError
from winnow.core.operators import (
    Composite,
    Context,
    Derive,
    Exactness,
    Fit,
    Fold,
    Group,
    Kind,
    Map,
    MapArrow,
    Operator,
    Whole,
)
from winnow.core.operators.budget import Budget
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.pipeline.measure.ngram_vectors import NgramVectors
from winnow.testing import RULES, assert_operator, check_operator, nasty_corpus
from winnow.testing.in_memory import MemorySource, run_group, run_map, run_whole
from winnow.trainers.online.policies import POLICIES

# A registered operator without an example fails `test_every_registered_operator_has_an_example`.
EXAMPLES: dict[str, Callable[[Any], Operator]] = {
    "ablation": lambda cls: cls(arms={"best": "best"}, baseline="plain", eval={"target": "held_out"}),
    "classifier": lambda cls: cls(model="models/edu.bin", label="__label__hq"),
    "concat": lambda cls: cls(),
    "count_tokens": lambda cls: cls(tokenizer="words"),
    "decontaminate": lambda cls: cls(against="held_out"),
    "betr": lambda cls: cls(target="held_out"),
    "got_d": lambda cls: cls(target="held_out"),
    "simcore": lambda cls: cls(target="held_out", budget=Budget(2_000, "tokens")),
    "dsir": lambda cls: cls(target="held_out", min_words=0, smoothing=0.5),
    "dsir_resample": lambda cls: cls(by="score", budget=Budget(2_000, "tokens")),
    "embed": lambda cls: cls(),
    "exact": lambda cls: cls(),
    "fasttext": lambda cls: cls(positive="good"),
    "url_score": lambda cls: cls(column="text", positive="text_bytes > 9"),
    "fasttext_model": lambda cls: cls(model_file=("model.ftz",), label="__label__good"),
    "facility_location": lambda cls: cls(budget=Budget(2_000, "tokens")),
    "graph_cut": lambda cls: cls(budget=Budget(2_000, "tokens")),
    "log_det": lambda cls: cls(budget=Budget(2_000, "tokens")),
    "ingenious": lambda cls: cls(budget=Budget(2_000, "tokens"), redraws=2),
    "k_center_greedy": lambda cls: cls(budget=Budget(2_000, "tokens")),
    "herding": lambda cls: cls(budget=Budget(2_000, "tokens")),
    "filter": lambda cls: cls(keep={"long": "text_bytes > 100", "good": "score >= 0"}),
    "limits": lambda cls: cls(per="source", most={"score": "tail 0.2"}, min_docs=2),
    "holdout": lambda cls: cls(share=0.4, max_bytes=500_000),
    "join": lambda cls: cls(files=("notes.parquet",), key="url", on="url", columns={"quality": "float64"}),
    "jsonl": lambda cls: cls(files=("raw/*.jsonl",)),
    "knn_graph": lambda cls: cls(k=4),
    "language": lambda cls: cls(),
    "length_matched": lambda cls: cls(like="held_out"),
    "minhash": lambda cls: cls(),
    "datasketch_index": lambda cls: cls(files=("minhashes.parquet",)),
    "dedup_index": lambda cls: cls(of="near"),
    "lsh_bloom": lambda cls: cls(rows_per_band=2),
    "ngram_bloom": lambda cls: cls(ngram=3, share=0.2),
    "repeated_ngrams": lambda cls: cls(ngram=2),
    "repeated_lines": lambda cls: cls(min_bytes=1),
    "repeated_substrings": lambda cls: cls(min_bytes=20),
    "mixing_law": lambda cls: cls(runs="runs"),
    "mixture_runs": lambda cls: cls(mixture="mixed", eval={"target": "held_out"}),
    "regmix": lambda cls: cls(runs="runs"),
    "runs_table": lambda cls: cls(files=("runs.csv",)),
    "swarm": lambda cls: cls(runs="runs"),
    "climb": lambda cls: cls(mixture="mixed", eval={"target": "held_out"}),
    "meta_rater": lambda cls: cls(
        selection="best", eval={"target": "held_out"}, scores={"length": "text_bytes", "score": "score"}
    ),
    "regmix_d": lambda cls: cls(runs="runs"),
    "repetition_law": lambda cls: cls(runs="runs", budget=Budget(10**9, "tokens")),
    "neural": lambda cls: cls(model="learnt", html="text", least=-1.0),
    "neural_file": lambda cls: cls(files=("model.safetensors",)),
    "neural_fit": lambda cls: cls(html="a", gold="b", epochs=2),
    "model_file": lambda cls: cls(files=("model/*",)),
    "ngram_lm": lambda cls: cls(model_file=("model.arpa",)),
    "ngram_vectors": lambda cls: cls(),
    "lin_upper": lambda cls: cls(r=0.4),
    "quadratic": lambda cls: cls(),
    "extremes": lambda cls: cls(),
    "upper": lambda cls: cls(),
    "value_alignment": lambda cls: cls(feedback="held", scores=("score / 2",), per=("token_count",)),
    "temperature": lambda cls: cls(per=("token_count",), temperature=3.0),
    "unimax": lambda cls: cls(per=("token_count",)),
    "skill_it": lambda cls: cls(per=("token_count",), feedback={"a": "held_out"}, edges={"a": {"a": 1.0}}),
    "doge": lambda cls: cls(per=("token_count",)),
    "doremi_proxy": lambda cls: cls(per=("token_count",), reference="text_bytes * 2"),
    "bandit": lambda cls: cls(per=("token_count",), update="exp3"),
    "gradient_gram": lambda cls: cls(per=("token_count",)),
    "ppl_change": lambda cls: cls(per=("token_count",), feedback={"a": "held_out"}),
    "curriculum": lambda cls: cls(by="score", within=("token_count",)),
    "filtering": lambda cls: cls(score="score", tau=0.0),
    "rwr": lambda cls: cls(score="score", beta=0.5),
    "awr": lambda cls: cls(score="score", value="linear"),
    "unlikelihood": lambda cls: cls(score="score", tau=0.0),
    "rho": lambda cls: cls(reference="score"),
    "rho_1": lambda cls: cls(reference="base"),
    "group_dro": lambda cls: cls(per=("token_count",)),
    "c4_lines": lambda cls: cls(min_words=2),
    "refinedweb_lines": lambda cls: cls(),
    "boilerplate_lines": lambda cls: cls(phrases=("word word", "nasty"), longest=200),
    "citation_marks": lambda cls: cls(),
    "drop_urls": lambda cls: cls(what="all", by="~"),
    "licence": lambda cls: cls(head=500),
    "math_signals": lambda cls: cls(),
    "opt_out": lambda cls: cls(head=500),
    "mask_pii": lambda cls: cls(ids=("us_ssn", "es_dni"), shapes={"five": "99999"}),
    "repair_unicode": lambda cls: cls(normal_form="NFKC", quotes=True),
    "drop_spans": lambda cls: cls(stops="spans", starts="begins", by="~"),
    "paragraph_languages": lambda cls: cls(by="lines", min_letters=8, min_score=0.1),
    "named_entities": lambda cls: cls(engine="spacy", model=("ner/config.cfg",)),
    "llm_compare": lambda cls: cls(endpoint="http://127.0.0.1:9/v1", model="judge", rubric=("pairs.txt",)),
    "agreement": lambda cls: cls(scores="held_out", labels="held_out", label="token_count", at_least=3),
    "rewrite": lambda cls: cls(
        endpoint="http://127.0.0.1:9/v1", model="writer", patience_s=0.02, unanswered="skip", concurrency=30
    ),
    "faithful": lambda cls: cls(
        source="text", rewritten="other", min_words=0.7, max_copied=0.9, max_new_words=0.9, max_length=30.0
    ),
    "rewritten": lambda cls: cls(),
    "llm_annotate": lambda cls: cls(
        endpoint="http://127.0.0.1:9/v1", model="judge", rubric=("rubric.txt",), answer={"score": {"type": "integer"}}
    ),
    "segment_scores": lambda cls: cls(hits=("[0-9]+", "[A-Z]{2}")),
    "first_text": lambda cls: cls(texts=("text", "origin"), passes=("text_bytes < 100", "")),
    "main_text": lambda cls: cls(html="text", least=-4.0),
    "resiliparse": lambda cls: cls(html="text", main_content=False),
    "trafilatura": lambda cls: cls(html="text", fast=True),
    "simhash": lambda cls: cls(n=1),
    "train": lambda cls: cls(selection="best"),
    "skill_graph": lambda cls: cls(selection="best", feedback={"a": "held_out"}, per=("token_count",)),
    "pair_score": lambda cls: cls(left="left", right="right"),
    "vectors_from": lambda cls: cls(column="given", dim=3),
    "parquet": lambda cls: cls(files=("raw/*.parquet",)),
    "python_topics": lambda cls: cls(files=("topics.py",)),
    "random": lambda cls: cls(budget=Budget(0.5, "share"), salt="x"),
    "sample": lambda cls: cls(by="score", budget=Budget(2_000, "tokens"), normalise="z", temperature=0.5),
    "signals": lambda cls: cls(),
    "eval_tasks": lambda cls: cls(files=("quiz.jsonl",)),
    "target_file": lambda cls: cls(files=("quiz.jsonl",)),
    "text_files": lambda cls: cls(files=("raw/*.txt",)),
    "top_k": lambda cls: cls(by="score", budget=Budget(2_000, "tokens")),
    "threshold": lambda cls: cls(by="score", at_least=-1.0, at_most=1.0, outside=True, budget=Budget(2_000, "tokens")),
    "quantile": lambda cls: cls(by="score", share=0.4, per=("token_count",), count="docs"),
    "per_group": lambda cls: cls(by="score", per=("token_count",), share=0.6),
    "quota": lambda cls: cls(per=("token_count",), budget=Budget(9_000, "bytes"), by="score", max_repeats=2.5),
    "upsample": lambda cls: cls(
        by="score", budget=Budget(60_000, "tokens"), tiers=6, per=("token_count",), quota="equal"
    ),
    "rehydrate": lambda cls: cls(among="pass_long", passed="pass_good", size="copies", least_docs=2),
    "buckets": lambda cls: cls(
        scores=("score", "text_bytes"),
        count="docs",
        combine="mean",
        max_repeats=3.0,
        mixture={"15-19": 0.5, "3": 0.25},
        budget=Budget(20, "docs"),
    ),
    "union": lambda cls: cls(of=("pass_long", "pass_good"), weights=("copies", "token_count")),
    "intersect": lambda cls: cls(of=("pass_long", "pass_good")),
    "difference": lambda cls: cls(of=("pass_long", "pass_good")),
    "phases": lambda cls: cls(
        phases=(
            {"name": "web", "select": "pass_long", "tokens": "3k tokens", "repeats": 2},
            {
                "name": "end",
                "select": ["pass_good", "pass_long"],
                "shares": [0.7, 0.3],
                "tokens": "2k tokens",
                "by": "score",
            },
        )
    ),
    "age": lambda cls: cls(by="text_bytes", since="0010", until="0100", budget=Budget(3, "docs")),
    "domain": lambda cls: cls(by="origin", exclude=("nasty/002.txt",), budget=Budget(9_000, "tokens")),
    "overlap": lambda cls: cls(of=("pass_long", "pass_good"), means=("score",), date="text_bytes", count="tokens"),
    "html_files": lambda cls: cls(files=("site/*.html",)),
    "json_array": lambda cls: cls(files=("raw/*.json",), items="data.items"),
    "csv": lambda cls: cls(files=("raw/*.csv",)),
    "arrow": lambda cls: cls(files=("raw/*.arrow",)),
    "warc": lambda cls: cls(files=("crawl/*.warc.gz",)),
    "write": lambda cls: cls(),
    "write_tokens": lambda cls: cls(selection="best", tokenizer=("tokenizer.json",)),
    "mixture": lambda cls: cls(per=("token_count",), budget=Budget(9_000, "bytes"), max_repeats=2.5),
    "clusters": lambda cls: cls(num=3),
    "hierarchical": lambda cls: cls(budget=Budget(9, "docs"), levels=(5, 2), rounds=1),
    "retrieve_tail": lambda cls: cls(per_concept=2, tail_share=0.5),
    "concepts": lambda cls: cls(files=(__file__,)),
    "bad_words": lambda cls: cls(files=("lists/en",), of="all"),
    "url_parts": lambda cls: cls(column="text"),
    "url_lists": lambda cls: cls(lists=("blocked.txt",)),
    "host_stats": lambda cls: cls(column="text"),
    "metaclip": lambda cls: cls(t=4, top=1),
    "cluster_balanced": lambda cls: cls(budget=Budget(9_000, "bytes")),
    "semdedup": lambda cls: cls(eps=0.2),
    "d4": lambda cls: cls(share=0.5, clusters=3),
    "redundancy": lambda cls: cls(distance=0.3),
    "sample_text": lambda cls: cls(model="base"),
    "ul2": lambda cls: cls(share=0.5),
    "salt": lambda cls: cls(teacher="base"),
    "conditional": lambda cls: cls(score="text_bytes / 100.0", at=1.0, drop=0.2),
    "lm_nats": lambda cls: cls(model="base"),
    "teacher_top_k": lambda cls: cls(model="base"),
    "token_losses": lambda cls: cls(model="base"),
    "training_feedback": lambda cls: cls(run="base"),
    "causal_lm": lambda cls: cls(folder="pythia"),
    "disagreement": lambda cls: cls(of=("text_bytes", "token_count")),
    "doremi": lambda cls: cls(per=("token_count",), proxy="text_bytes", reference="token_count", steps=5),
}
HELD_OUT = MemorySource(rows=nasty_corpus().with_columns(kept=pl.col("case") == "prose 1"))
REFS = {
    "value_alignment": "feedback",
    "length_matched": "like",
    "dsir": "target",
    "betr": "target",
    "got_d": "target",
    "simcore": "target",
}
BEFORE = {
    "knn_graph": ["ngram_vectors"],
    "facility_location": ["ngram_vectors", "knn_graph"],
    "graph_cut": ["ngram_vectors", "knn_graph"],
    "ingenious": ["ngram_vectors", "knn_graph"],
    "log_det": ["ngram_vectors"],
    "k_center_greedy": ["ngram_vectors"],
    "herding": ["ngram_vectors"],
    "betr": ["ngram_vectors"],
    "got_d": ["ngram_vectors"],
    "simcore": ["ngram_vectors"],
    "clusters": ["ngram_vectors"],
    "cluster_balanced": ["ngram_vectors", "clusters"],
    "semdedup": ["ngram_vectors", "clusters"],
    "d4": ["ngram_vectors"],
    "hierarchical": ["ngram_vectors"],
    "retrieve_tail": ["ngram_vectors"],
    "redundancy": ["ngram_vectors"],
}  # whose columns it needs
MORE = [  # columns that selections of selections need
    (pl.col("text_bytes") > 100).alias("pass_long"), (pl.col("score") >= 0).alias("pass_good"),
    (pl.col("text_bytes") % 7 + 1).alias("copies"),
    pl.format("[{}, -0.5, 1e-3]", pl.col("text_bytes")).alias("given"),
    pl.when(pl.col("text_bytes") % 5 == 1).then(pl.col("text").str.slice(2) + " of Xanadu, the Ypsilon and 77")
      .when(pl.col("text_bytes") % 5 > 1).then(pl.col("text").str.slice(2).str.replace_all("[0-9]+", "")).alias("other"),
    *(pl.concat_list(pl.col("text_bytes") % n - 1, pl.lit(0.5)).alias(name) for n, name in ((3, "left"), (4, "right"))),
    *(pl.concat_list(pl.col("text_bytes") % 3, pl.col("text_bytes") % 4 + 3).cast(pl.List(pl.Int32)).alias(name)
      for name in ("concepts", "concept_hits")),
    *(pl.when(pl.col("text_bytes") % 3 == 0).then(pl.concat_list(pl.col("text_bytes") * whole))
      .otherwise(pl.lit([], dtype=pl.List(pl.Int64))).alias(name) for name, whole in (("begins", 0), ("spans", 1))),
]  # fmt: skip
WITHOUT_ROWS = {
    "embed", "url_lists", "eval_tasks", "limits", "named_entities", "llm_annotate", "rewrite", "agreement", "llm_compare", "rewritten",
    "decontaminate", "ablation", "length_matched", "betr", "got_d", "simcore", "classifier", "concat", "causal_lm", "lm_nats", "teacher_top_k", "token_losses", "training_feedback", "fasttext", "url_score", "fasttext_model", "ngram_lm", "join", "jsonl", "minhash", "parquet",
    "neural", "neural_file", "neural_fit", "model_file", "python_topics", "sample_text", "skill_graph", "target_file", "text_files", "train", "warc", "html_files", "csv", "arrow", "json_array", "write", "write_tokens",
    "climb", "meta_rater", "mixing_law", "mixture_runs", "regmix", "regmix_d", "repetition_law", "runs_table", "swarm",
}  # fmt: skip
WITHOUT_ROWS |= {"repeated_lines", "repeated_substrings", "dedup_index", "datasketch_index"}
WITHOUT_ROWS |= {"repeated_ngrams", "ngram_bloom", "lsh_bloom"}
WITHOUT_ROWS |= {name for name in POLICIES if operator_class(name).shape_name == "Job"} | {"skill_it", "ppl_change"}


@functools.cache
def listed_words() -> str:
    """A list called by its language."""
    path = Path(tempfile.mkdtemp()) / "en"
    path.write_text("the\nof the\nword\n")
    return str(path)


def refs_of(name: str) -> dict[str, Any]:
    """What the example's reference port holds: one document, with its vector."""
    if name == "concepts":  # any text file is a dictionary
        return {"files": (__file__,)}
    if name == "bad_words":
        return {"files": (listed_words(),)}
    if name not in REFS:
        return {}
    vectors = run_map(NgramVectors(), HELD_OUT.rows, Context(seed=7, work=Path()))
    return {REFS[name]: MemorySource(rows=HELD_OUT.rows.hstack(vectors))}


def test_every_registered_operator_has_an_example():
    assert set(REGISTRY) <= set(EXAMPLES), "add an example of the new operator to EXAMPLES"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_registered_operators_keep_the_contract(name, tmp_path):
    if importlib.util.find_spec(REGISTRY[name].partition(":")[0]) is None:
        pytest.skip(f"{REGISTRY[name]} does not exist yet")
    op = EXAMPLES[name](operator_class(name))
    rows = nasty_corpus().with_columns(MORE)
    for earlier in BEFORE.get(name, []):
        answer = run(EXAMPLES[earlier](operator_class(earlier)), rows, Context(seed=7, work=tmp_path))
        rows = pl.concat([rows, answer], how="horizontal")
    findings = check_operator(op, rows, ctx=Context(seed=7, work=tmp_path, refs=refs_of(name)))
    assert [str(f) for f in findings if f.status == "broken"] == []
    if name not in WITHOUT_ROWS:
        assert findings == []


def run(op: Operator, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
    return run_whole(op, rows, ctx)[0] if isinstance(op, Whole) else run_map(op, rows, ctx)


def test_the_sub_stages_of_minhash_keep_the_contract(tmp_path):
    from winnow.pipeline.dedup.minhash_clusters import Clusters
    from winnow.pipeline.dedup.minhash_pairs import Pairs
    from winnow.pipeline.dedup.minhash_signatures import Signatures

    ctx = Context(seed=7, work=tmp_path)
    rows = nasty_corpus()
    assert check_operator(Signatures(), rows) == []
    rows = pl.concat([rows, run_map(Signatures(), rows, ctx)], how="horizontal")
    assert check_operator(Pairs(), rows) == []
    (pairs,) = run_group(Pairs(), rows, 4, ctx)
    assert pairs.height >= 3  # the corpus holds copies: the check above was not about nothing
    refs = {"pairs": MemorySource(rows=pairs, kind=Kind.TABLE)}
    findings = check_operator(Clusters(pairs="pairs"), rows, ctx=Context(seed=7, work=tmp_path, refs=refs))
    assert [(f.rule, f.status) for f in findings] == [("empty batch", "not covered")]


def columns(**given) -> pl.DataFrame:
    return pl.DataFrame(given)


@dataclass(frozen=True, kw_only=True)
class Length(Map):
    """Characters of each document, `length`, 0 or more; null where the text is null.

    Source: own.
    """

    name: ClassVar[str] = "length"
    role: ClassVar[str] = "signal"

    def needs(self):
        return ("text",)

    def outputs(self):
        return {"length": pa.float64()}

    def open(self, ctx):
        return lambda rows: self.answer(rows).to_frame("length")

    def answer(self, rows):
        return rows["text"].str.len_chars().cast(pl.Float64)


class OrderChanging(Length):
    def answer(self, rows):
        return super().answer(rows).sort()


class BatchDependent(Length):
    def answer(self, rows):
        return super().answer(rows) - (super().answer(rows).mean() or 0.0)


class Mutating(Length):
    def open(self, ctx):
        def answer(rows):
            out = self.answer(rows).to_frame("length")
            rows.insert_column(0, pl.Series("extra", [0] * rows.height))
            return out

        return answer


class MissingColumn(Length):
    def outputs(self):
        return {"length": pa.float64(), "width": pa.float64()}


class ExtraColumn(Length):
    def open(self, ctx):
        return lambda rows: rows.select("text", length=self.answer(rows))


class WrongType(Length):
    def answer(self, rows):
        return rows["text"].str.len_chars()


class NaNReturning(Length):
    def answer(self, rows):
        length = super().answer(rows)
        return length / length  # 0 / 0 for empty text


class DroppingRows(Length):
    def answer(self, rows):
        return super().answer(rows).drop_nulls()


class RaisingOnEmptyText(Length):
    def answer(self, rows):
        return pl.Series([None if t is None else 1.0 / len(t) for t in rows["text"]], dtype=pl.Float64)


class RaisingOnEmptyBatch(Length):
    def answer(self, rows):
        assert rows.height > 0
        return super().answer(rows)


class ComparingNaN(Length):
    """Takes NaN for a number above all others, as Polars does.

    Source: own.
    """

    def needs(self):
        return ("score",)

    def answer(self, rows):
        return (rows["score"] > 0).cast(pl.Float64)


class CountingInPieces(ComparingNaN):
    def answer(self, rows):
        return rows["score"].fill_nan(None).cast(pl.Int8).cast(pl.Float64)


CALLS = itertools.count()


class Stateful(Length):
    def answer(self, rows):
        return super().answer(rows) + float(next(CALLS))


class SharedState(Length):
    """Two opened workers share a list: the second one spoils the first.

    Source: own.
    """

    opened: ClassVar[list[int]] = []

    def open(self, ctx):
        self.opened.append(len(self.opened))
        return lambda rows: (self.answer(rows) + float(len(self.opened))).to_frame("length")


class HashSeeded(Length):
    def answer(self, rows):
        return pl.Series([None if t is None else float(hash(t) % 1000) for t in rows["text"]], dtype=pl.Float64)


class Unpicklable(Length):
    def __reduce__(self):
        raise TypeError("cannot be pickled")


class Undocumented(Length):
    pass


Undocumented.__doc__ = "Undocumented()"


class Invalid(Length):
    def validate(self):
        raise ConfigError("no such preset")


@dataclass(frozen=True, kw_only=True)
class Rank(Fold):
    """Share of all characters that a document holds, `share` in [0, 1].

    Source: own.
    """

    name: ClassVar[str] = "rank"
    role: ClassVar[str] = "signal"

    def needs(self):
        return ("doc_id", "text_bytes")

    def outputs(self):
        return {"share": pa.float64()}

    def summarise(self, rows, state, ctx):
        return columns(total=[int(rows["text_bytes"].sum())])

    def merge(self, summaries):
        return columns(total=[sum(int(s["total"][0]) for s in summaries)])

    def decide(self, rows, state, ctx):
        return columns(share=rows["text_bytes"] / max(int(state["total"][0]), 1))


class OrderedMerge(Rank):
    def merge(self, summaries):
        return pl.concat(summaries)

    def decide(self, rows, state, ctx):
        return columns(share=rows["text_bytes"] / max(int(state["total"].sum()), 1))


class FloatSums(Rank):
    def summarise(self, rows, state, ctx):
        return columns(total=[float((rows["text_bytes"] / 7).sum())])

    def merge(self, summaries):
        return columns(total=[sum(s["total"][0] for s in summaries)])


class PartCounting(Rank):
    def summarise(self, rows, state, ctx):
        return columns(total=[int(rows["text_bytes"].sum()) + 1])


@dataclass(frozen=True, kw_only=True)
class Copies(Group):
    """Number of documents with the same text, `copies`, 1 or more.

    Source: own.
    """

    kind: ClassVar[Kind] = Kind.COLUMNS
    name: ClassVar[str] = "copies"
    role: ClassVar[str] = "dedup"

    def needs(self):
        return ("doc_id", "text_hash")

    def outputs(self):
        return {"copies": pa.int64()}

    def keys(self, rows, ctx):
        key = np.frombuffer(b"".join(rows["text_hash"]), dtype="<u8")[::2]
        return columns(key=pl.Series(key, dtype=pl.UInt64), doc_id=rows["doc_id"])

    def answer_schema(self):
        return {"copies": pa.int64()}

    def resolve(self, rows, ctx):
        return rows.select("doc_id", pl.len().over("key").cast(pl.Int64).alias("copies"))

    def collect(self, rows, answers, ctx):
        return rows.join(answers, on="doc_id", how="left", maintain_order="left").select("copies")


class CountingTheBucket(Copies):
    def resolve(self, rows, ctx):
        return rows.select("doc_id", pl.lit(rows.height, pl.Int64).alias("copies"))


class AskingForThePart(Copies):
    def resolve(self, rows, ctx):
        return rows.select("doc_id", (pl.col("_part") + 1).cast(pl.Int64).alias("copies"))


@dataclass(frozen=True, kw_only=True)
class Place(Whole):
    """Place of a document by doc_id, `place`, from 0.

    Source: own.
    """

    name: ClassVar[str] = "place"
    role: ClassVar[str] = "selector"

    def needs(self):
        return ("doc_id",)

    def outputs(self):
        return {"place": pa.int64()}

    def solve(self, rows, ctx):
        return columns(place=pl.Series(np.arange(rows.height), dtype=pl.Int64))


class NotingTheParts(Place):
    def solve(self, rows, ctx):
        ctx.note("parts", rows["_part"].n_unique())
        return super().solve(rows, ctx)


class PlaceInFile(Place):
    def solve(self, rows, ctx):
        return columns(place=rows["_row"].cast(pl.Int64))


@dataclass(frozen=True, kw_only=True)
class Bytes(MapArrow):
    """Bytes of each document, `bytes`, 0 or more; null where the text is null.

    Source: own.
    """

    name: ClassVar[str] = "bytes"
    role: ClassVar[str] = "signal"

    def needs(self):
        return ("text",)

    def outputs(self):
        return {"bytes": pa.int64()}

    def open(self, ctx):
        import pyarrow.compute as pc

        def answer(batch):
            assert batch.schema.field("text").type == pa.large_string()
            return pa.record_batch({"bytes": pc.binary_length(batch.column("text")).cast(pa.int64())})

        return answer


@dataclass(frozen=True, kw_only=True)
class Vocabulary(Fit):
    """The distinct first letters of the sample, `letters.txt`.

    Source: own.
    """

    name: ClassVar[str] = "vocabulary"
    role: ClassVar[str] = "trainer"

    def needs(self):
        return ("doc_id", "text")

    def sample(self, rows, ctx):
        return rows.drop_nulls()

    def fit(self, sample, ctx):
        letters = sorted({t[:1] for t in sample["text"]})
        (ctx.work / "letters.txt").write_text("".join(letters), encoding="utf-8", newline="")
        return {"letters": len(letters)}


class VocabularyInOrderOfParts(Vocabulary):
    def sample(self, rows, ctx):
        return rows.drop_nulls().head(5)


GOOD = [Length(), Rank(), Copies(), Place(), Bytes(), Vocabulary()]
BROKEN: Sequence[tuple[type[Operator], str]] = [
    (OrderChanging, "order"),
    (BatchDependent, "batch"),
    (Mutating, "input"),
    (MissingColumn, "columns"),
    (ExtraColumn, "columns"),
    (WrongType, "columns"),
    (NaNReturning, "finite"),
    (ComparingNaN, "no value"),
    (CountingInPieces, "numbers"),
    (DroppingRows, "rows"),
    (RaisingOnEmptyText, "raises"),
    (RaisingOnEmptyBatch, "empty batch"),
    (Stateful, "twice"),
    (SharedState, "twice"),
    (HashSeeded, "fresh process"),
    (Unpicklable, "pickle"),
    (Undocumented, "docstring"),
    (Invalid, "validate"),
    (OrderedMerge, "merge"),
    (FloatSums, "merge"),
    (PartCounting, "layout"),
    (CountingTheBucket, "buckets"),
    (AskingForThePart, "layout"),
    (PlaceInFile, "layout"),
    (NotingTheParts, "notes"),
    (VocabularyInOrderOfParts, "layout"),
]


@pytest.mark.parametrize("op", GOOD, ids=lambda op: op.name)
def test_a_good_operator_of_each_shape_has_no_findings(op):
    assert [str(f) for f in check_operator(op)] == []
    assert_operator(op)


@pytest.mark.parametrize(("cls", "rule"), BROKEN, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_broken_operator_is_caught_by_its_rule(cls, rule, monkeypatch):
    if rule != "fresh process":
        monkeypatch.setattr(testing, "_in_fresh_process", lambda *_: iter(()))  # saves a second each
    findings = check_operator(cls())
    assert rule in {f.rule for f in findings if f.status == "broken"}, findings


def test_a_module_that_imports_torch_is_caught(tmp_path, monkeypatch):
    (tmp_path / "heavy_operator.py").write_text(
        "import torch\nfrom test_contract import Length\nclass Heavy(Length): ...\n"
    )
    (tmp_path / "torch.py").write_text("")  # the name is what counts: the real one takes seconds
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "test_contract", __import__("sys").modules[__name__])
    monkeypatch.delitem(__import__("sys").modules, "torch", raising=False)
    from heavy_operator import Heavy

    found = [f for f in check_operator(Heavy()) if f.rule == "light import"]
    assert len(found) == 1
    assert "torch" in found[0].message


def test_every_rule_has_a_planted_mutation():
    assert {rule for _, rule in BROKEN} | {"light import"} == set(RULES)


def test_bounded_operators_may_differ_within_their_tolerance_and_no_more():
    class Wobbling(Length):
        def answer(self, rows):
            return super().answer(rows) + 1e-6 * rows.height

    Wobbling.exactness = Exactness(atol=1e-3)
    assert not [f for f in check_operator(Wobbling()) if f.rule == "batch"]
    Wobbling.exactness = Exactness(atol=1e-6)
    assert [f for f in check_operator(Wobbling()) if f.rule == "batch"]


def test_what_cannot_be_run_is_named_and_not_passed_over():
    class Needy(Length):
        def needs(self):
            return ("text", "moon_phase")

    class Reads(Derive):
        """Rows of nothing at all.

        Source: own.
        """

        name = "reads"

    class Expands(Composite):
        """Sub-stages of nothing at all.

        Source: own.
        """

        name, role, kind = "expands", "scorer", Kind.COLUMNS

    for op, says in ((Needy(), "moon_phase"), (Reads(), "reads files"), (Expands(), "sub-stages")):
        found = [f for f in check_operator(op) if f.status == "not covered"]
        assert len(found) == 1
        assert says in str(found[0])


def test_an_error_names_the_rows_that_cause_it():
    (finding,) = [f for f in check_operator(RaisingOnEmptyText()) if f.rule == "raises"]
    assert "ZeroDivisionError" in finding.message
    assert "rows fail: empty" in finding.message


def test_assert_operator_lists_every_broken_rule():
    with pytest.raises(ContractError, match="finite") as caught:
        assert_operator(NaNReturning())
    assert "nan" in str(caught.value).lower()


def test_the_nasty_corpus_holds_what_it_promises():
    rows = nasty_corpus()
    assert rows["doc_id"].n_unique() == rows.height
    assert set(rows["doc_id"].bin.size()) == {16}
    texts = dict(rows.select("case", "text").iter_rows())
    assert texts["null"] is None
    assert texts["empty"] == ""
    assert len(texts["a line of a megabyte"]) > 2**20
    assert "\x00" in texts["NUL inside"]
    assert rows["text"].n_unique() < rows.height  # equal texts, for dedup
    assert rows.equals(nasty_corpus())
