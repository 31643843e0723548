"""Recipes at random: a valid DAG over the registered operators, drawn stage by stage, each planned as it is drawn."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import typing
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as at
from corpora_at_random import Corpus, corpus, documents, resplit
from ruamel.yaml import YAML
from support import WORDS, lines_of, plan_of, put_file

from winnow.core.errors import ConfigError, WinnowError
from winnow.core.operators import ROW_COLUMNS, Kind, Operator
from winnow.core.operators.budget import Budget
from winnow.core.operators.contract import ACTING
from winnow.dags.recipe.nodes import Node, Plan
from winnow.dags.recipe.registry import operator_class
from winnow.dags.recipe.text_versions import is_editor
from winnow.trainers.online.policies import POLICIES

VECTORS = ("knn_graph", "log_det", "k_center_greedy", "herding", "betr", "simcore", "got_d", "clusters", "hierarchical",
           "retrieve_tail", "d4", "redundancy")  # fmt: skip
GRAPHS = ("facility_location", "graph_cut", "ingenious")
BEFORE = dict.fromkeys(VECTORS, ("ngram_vectors",)) | dict.fromkeys(GRAPHS, ("ngram_vectors", "knn_graph")) | {
    "cluster_balanced": ("ngram_vectors", "clusters"), "semdedup": ("ngram_vectors", "clusters"), "metaclip": ("concepts",),
    "retrieve_tail": ("ngram_vectors", "concepts"), "rehydrate": ("minhash",), "dsir_resample": ("dsir",),
}  # fmt: skip
# how often each operator is drawn, relative to 1
OFTEN = {"filter": 5, "exact": 3, "minhash": 3, "signals": 2, "language": 1, "top_k": 3, "random": 3, "write": 4, "quota": 2, "mixture": 2,
         "union": 2, "intersect": 2, "difference": 2, "join": 2, "concat": 0.3, "embed": 0.3, "write_tokens": 0.2}  # fmt: skip
DRAWN = [
    "signals",
    "simhash",
    "segment_scores",
    "c4_lines",
    "refinedweb_lines",
    "boilerplate_lines",
    "citation_marks",
    "drop_urls",
    "mask_pii",
    "licence",
    "math_signals",
    "opt_out",
    "language",
    "paragraph_languages",
    "count_tokens",
    "filter",
    "decontaminate",
    "holdout",
    "exact",
    "minhash",
    "lsh_bloom",
    "ngram_bloom",
    "embed",
    "ngram_vectors",
    "knn_graph",
    "random",
    "length_matched",
    "sample",
    "betr",
    "simcore",
    "got_d",
    "dsir",
    "dsir_resample",
    "facility_location",
    "graph_cut",
    "log_det",
    "ingenious",
    "k_center_greedy",
    "herding",
    "top_k",
    "threshold",
    "quantile",
    "per_group",
    "quota",
    "concepts",
    "hierarchical",
    "retrieve_tail",
    "metaclip",
    "clusters",
    "cluster_balanced",
    "semdedup",
    "d4",
    "redundancy",
    "mixture",
    "doremi",
    "upsample",
    "rehydrate",
    "buckets",
    "union",
    "intersect",
    "difference",
    "phases",
    "age",
    "domain",
    "overlap",
    "write",
    "join",
    "concat",
    "write_tokens",
    "target_file",
]
LEFT_OUT = {"ablation": "torch", "train": "torch", "skill_graph": "torch", "lm_nats": "torch", "teacher_top_k": "torch", "token_losses": "torch", "training_feedback": "torch", "causal_lm": "needs a model's folder", "disagreement": "torch", "sample_text": "torch", "model_file": "needs a model file", "classifier": "torch", "fasttext": "seconds", "url_score": "seconds", "fasttext_model": "needs a model file", "ngram_lm": "needs a model file",
            "vectors_from": "needs records with vectors", "pair_score": "needs two vectors", "python_topics": "reads the installed Python's own files", "jsonl": "drawn as readers",
            "parquet": "drawn as readers", "text_files": "drawn as readers", "warc": "needs archives", "html_files": "needs pages", "csv": "drawn as readers", "json_array": "drawn as readers", "arrow": "drawn as readers",
            "repair_unicode": "needs ftfy", "drop_spans": "needs lists of spans"}  # fmt: skip
LEFT_OUT |= dict.fromkeys(
    ("repeated_lines", "repeated_substrings", "repeated_ngrams"),
    "edit by what other documents hold: layouts in their own tests",
)
LEFT_OUT |= dict.fromkeys(
    ("main_text", "resiliparse", "trafilatura", "first_text", "neural", "neural_fit", "neural_file"), "needs pages"
)
LEFT_OUT |= {"named_entities": "needs a model", "dedup_index": "leaves files for other runs: layouts in its own tests"}
LEFT_OUT |= dict.fromkeys(("llm_annotate", "llm_compare", "rewrite"), "needs an endpoint") | {
    "agreement": "needs grades"
}
LEFT_OUT["datasketch_index"] = "needs signatures"
LEFT_OUT |= dict.fromkeys(("faithful", "rewritten"), "needs rewritten texts")
LEFT_OUT |= dict.fromkeys(("url_parts", "url_lists", "host_stats"), "needs addresses") | {
    "bad_words": "needs lists",
    "eval_tasks": "read by decontaminate alone",
    "limits": "rules are of numbers",
}
LEFT_OUT |= dict.fromkeys(POLICIES, "acts while a model trains")
LEFT_OUT |= dict.fromkeys(("regmix", "regmix_d", "swarm", "mixing_law", "repetition_law", "runs_table"), "needs runs")
LEFT_OUT |= dict.fromkeys(("mixture_runs", "climb", "meta_rater"), "torch")
UNITS = ("tokens", "tokens", "docs", "docs", "KB", "bytes", "%")


def dumped(recipe: dict[str, Any]) -> str:
    """YAML of a recipe."""
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[attr-defined]
    yaml.width = 4096
    yaml.dump(recipe, out)
    return out.getvalue()


@dataclasses.dataclass
class Drawn:
    """A random corpus, a random recipe over it, and a random folder of other files with the same documents."""

    seed: int
    corpora: list[Corpus]
    again: list[Corpus]  # the same documents otherwise cut; empty where that changes documents
    recipe: dict[str, Any]
    refused: list[ConfigError]
    folder: Path

    @property
    def text(self) -> str:
        """The recipe as YAML."""
        return dumped(self.recipe)


def draw(seed: int, folder: Path) -> Drawn:
    """The corpus of a seed written below `folder`, and its recipe."""
    r = random.Random(seed)
    whole = r.random() < 0.3
    found = [corpus(r, f"r{i}", whole=whole) for i in range(r.choice([1, 1, 1, 2, 2, 3]))]
    whole = whole and all(c.reader != "text_files" for c in found)
    for one in found:
        one.put(folder)
    again = [resplit(r, one) for one in found] if whole else []
    for one in again:
        one.put(folder / "again")
    extras(r, folder, found)
    drafting = Drafting(r, folder, found, by_content=whole)
    drafting.draft()
    return Drawn(seed, found, again, drafting.recipe, drafting.refused, folder)


def extras(r: random.Random, folder: Path, found: Sequence[Corpus]) -> None:
    """Target texts, a dictionary of concepts, annotations and questions."""
    target = documents(r, r.randrange(1, 25), {}, "t", whole=False)
    put_file(
        folder / "target.jsonl",
        lines_of(target + [{"text": "good " + str(d["text"])} for d in found[0].docs[:3] if d["text"]]),
    )
    names = (
        r.sample(WORDS, 20)
        + [f"{a} {b}" for a, b in zip(WORDS[::7], WORDS[1::7], strict=False)]
        + ["\u5929\u6c14", "Hot\tHOT"]
    )
    put_file(folder / "names.txt", "\n".join(names).encode())
    rows = [
        {"key": f"{c.name}{i}", "note": r.choice(["x", "", None]), "rank": r.random()}
        for c in found
        for i in range(0, len(c.docs), 2)
    ]
    put_file(
        folder / "notes.jsonl",
        b"".join(json.dumps(row).encode() + b"\n" for row in [*rows, {"key": "nowhere", "rank": 1.0}]),
    )
    urls = sorted({d["url"] for c in found for d in c.docs if d.get("url")} | {"http://nowhere/"})
    put_file(
        folder / "urls.jsonl",
        b"".join(json.dumps({"key": u, "note": u[:9], "rank": i / 3}).encode() + b"\n" for i, u in enumerate(urls)),
    )
    put_file(folder / "quiz.jsonl", b'{"query": "a b", "choices": ["c", "d e"], "gold": 0}\n')


class Drafting:
    """A recipe that grows: what the plan of the stages so far provides is what the next stage may name."""

    def __init__(self, r: random.Random, folder: Path, corpora: Sequence[Corpus], *, by_content: bool) -> None:
        self.r, self.folder, self.corpora = r, folder, corpora
        self.recipe: dict[str, Any] = {"seed": r.randrange(5), "max_bad_share": 1.0, "stages": {}}
        if r.random() < 0.2:
            self.recipe["tokenizer"] = r.choice(["words", "bytes/4", "bytes/3"])
        self.refused: list[ConfigError] = []
        self.rule = "content" if by_content else r.choice(["position", "position", "content", "field:uid"])
        self.space = ""
        self.plan: Plan | None = None

    def draft(self) -> None:
        """Readers, their union, and some more stages, ending in what decides or is written."""
        for one in self.corpora:
            self.add(one.name, self.reader(one))
        self.space = self.corpora[0].name
        if len(self.corpora) > 1:
            self.add("docs", {"use": "concat", "inputs": [c.name for c in self.corpora]})
            self.space = "docs"
        wanted = self.r.randrange(3, 11)
        weights = [OFTEN.get(op, 1) for op in DRAWN]
        for _ in range(4 * wanted):
            if len(self.recipe["stages"]) >= len(self.corpora) + wanted:
                break
            self.stage(self.r.choices(DRAWN, weights)[0])
        self.stage("write")

    def reader(self, one: Corpus) -> dict[str, Any]:
        """A reader stage of a corpus."""
        rule = "position" if one.reader == "text_files" and self.rule.startswith("field") else self.rule
        stage: dict[str, Any] = {"use": one.reader, "files": f"{one.name}/*", "id": rule, "source": one.name}
        columns = {n: k for n, k in one.fields.items() if self.r.random() < 0.9}
        if columns:
            stage["columns"] = columns
        return stage

    # -- what is there

    def nodes(self) -> list[Node]:
        """Visible nodes of the current row space."""
        assert self.plan is not None
        space = self.plan.node(self.space)
        return [n for n in self.plan.nodes if not n.hidden and (n is space or n.space is space)]

    def columns(self, fits: Callable[[pa.DataType], bool], *, own: bool = True) -> list[str]:
        """Names of columns of some types as a recipe may write them."""
        out = []
        wild = self.r.random() < 0.01  # of any type: to be refused
        counted = Counter(c for n in self.nodes() for c in n.outputs)
        for node in self.nodes():
            stage = node.face_of or node.name
            for column, kind in node.outputs.items():
                if wild or fits(kind):
                    out.append(column if counted[column] == 1 and self.r.random() < 0.6 else f"{stage}.{column}")
        if own:
            out += [c for c, kind in ROW_COLUMNS.items() if wild or (fits(kind) and c != "text")]
        return out

    def numbers(self) -> list[str]:
        """Columns to rank by."""
        return self.columns(
            lambda k: at.is_floating(k) or at.is_integer(k) or (at.is_boolean(k) and self.r.random() < 0.1)
        )

    def labels(self) -> list[str]:
        """Columns to group by."""
        return [
            c
            for c in self.columns(lambda k: k == pa.large_string() or at.is_boolean(k) or at.is_integer(k))
            if c != "origin"
        ]

    def verdicts(self) -> list[str]:
        """`kept` of every decision so far."""
        return [f"kept_{n.face_of or n.name}" for n in self.nodes() if "kept" in n.outputs]

    def selections(self) -> list[str]:
        """Stages that decide."""
        return [n.face_of or n.name for n in self.nodes() if "kept" in n.outputs]

    # -- stages

    def stage(self, op: str) -> bool:
        """A stage of this operator with what it needs before it; False where it cannot stand here."""
        have = {n.operator.name for n in self.nodes()} | {s["use"] for s in self.recipe["stages"].values()}
        for needed in BEFORE.get(op, ()):
            if needed not in have and not self.add(self.name(needed), self.spec(needed)):
                return False
        for _ in range(4):
            name, spec = self.name(op), self.spec(op)
            if spec is None:
                return False
            if self.add(name, spec):
                if op in ("write", "concat") and self.r.random() < 0.5:
                    self.space = name
                return True
        return False

    def name(self, op: str) -> str:
        """A stage name that is free."""
        stages = self.recipe["stages"]
        free = op if op not in stages and self.r.random() < 0.7 else f"s{len(stages)}"
        return free if free not in stages else f"s{len(stages)}_{op}"

    def add(self, name: str, spec: dict[str, Any] | None) -> bool:
        """Plan the recipe with one more stage; kept where that is no configuration error."""
        if spec is None:
            return False
        self.recipe["stages"][name] = spec
        try:
            self.plan = plan_of(dumped(self.recipe), self.folder)
        except ConfigError as error:
            del self.recipe["stages"][name]
            self.refused.append(error)
            return False
        return True

    def spec(self, op: str) -> dict[str, Any] | None:
        """A random stage of an operator over the current row space."""
        if op == "concat":
            spaces = [n.name for n in self.plan.nodes if n.kind is Kind.ROWS]  # type: ignore[union-attr]
            return {"use": "concat", "inputs": self.r.sample(spaces, min(len(spaces), self.r.randrange(1, 3)))}
        cls = operator_class(op)
        stage: dict[str, Any] = {"use": op}
        if op not in ("write_tokens", "target_file"):
            chosen = [s for s in self.selections() if self.r.random() < (0.35 if op != "write" else 0.5)]
            stage["inputs"] = [self.space, *chosen] if chosen or self.r.random() < 0.5 else self.space
        if op not in ("write", "write_tokens", "target_file", "concat") and self.r.random() < 0.25:
            stage["where"] = self.clause()
        if cls.after_decisions is not Operator.after_decisions or cls.role in ACTING:
            clean = [n.spoken for n in self.nodes() if n.decides == "cleaning"]
            if clean and self.r.random() < 0.15:
                stage["ignore"] = "all" if self.r.random() < 0.5 else self.some(clean, 1, 2)
        edited = [n.name for n in self.nodes() if is_editor(n)]
        if edited and self.r.random() < 0.1:
            stage["text"] = self.r.choice([self.space, *edited])
        for field in dataclasses.fields(cls):
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            always = (op, field.name) in ALWAYS
            if not (required or always or self.r.random() < 0.3):
                continue
            try:
                value = self.value(op, field.name, typing.get_type_hints(cls)[field.name])
            except IndexError:  # nothing to choose from
                if required or always:
                    return None
                continue
            if value is not None:
                stage[field.name] = value
        if op == "join":
            stage |= self.join()
        return self.mended(op, stage)

    def target(self) -> str:
        """A stage with the target's vectors, of the dimensions of the pool's; rarely its texts alone."""
        stages = self.recipe["stages"]
        dims = [s["dim"] for s in stages.values() if s["use"] == "ngram_vectors" and s["inputs"] != "goal"]
        if not dims or self.r.random() < 0.1:
            return "target.jsonl"
        if "goal" not in stages:
            self.add("goal", {"use": "jsonl", "files": "target.jsonl"})
        name = f"goal_{dims[-1]}"
        if name not in stages:
            self.add(name, {"use": "ngram_vectors", "inputs": "goal", "dim": dims[-1]})
        return name

    def mended(self, op: str, stage: dict[str, Any]) -> dict[str, Any]:
        """The fields that go together, together."""
        if op == "buckets" and ("mixture" in stage) != ("budget" in stage):
            stage |= {"mixture": {"0-1": 0.5}, "budget": self.budget()} if self.r.random() < 0.5 else {}
            if ("mixture" in stage) != ("budget" in stage):
                stage.pop("mixture", None), stage.pop("budget", None)
        if op in ("per_group", "semdedup", "metaclip"):
            one, other = {
                "per_group": ("share", "budget"),
                "semdedup": ("eps", "share"),
                "metaclip": ("t", "tail_share"),
            }[op]
            if one in stage and other in stage:
                del stage[one]
        if op == "exact" and stage.get("form", "bytes") != "bytes":
            stage["by"] = "text"
        if op in ("union", "intersect", "difference") and len(stage.get("weights", stage["of"])) != len(stage["of"]):
            del stage["weights"]
        if (
            op == "redundancy"
            and "simhash" in [s["use"] for s in self.recipe["stages"].values()]
            and self.r.random() < 0.5
        ):
            stage |= {"metric": "hamming", "column": "simhash", "distance": self.r.choice([-1, 0, 3, 64])}
        if "absent" in {f.name for f in dataclasses.fields(operator_class(op))}:
            stage["absent"] = "remark"  # the values are drawn, not looked up
        if op == "phases" and stage.get("inputs") != self.space:
            stage["inputs"] = self.space
        defaults = {f.name: f.default for f in dataclasses.fields(operator_class(op))}
        for name, (decides, when) in operator_class(op).read_at.items():  # others are refused
            chosen = stage.get(decides, defaults[decides])
            if not (when(chosen) if callable(when) else chosen in when):
                stage.pop(name, None)
        return stage

    def value(self, op: str, name: str, hint: Any) -> Any:
        """A value for a field; None leaves it out."""
        r = self.r
        given = VALUES.get((op, name), VALUES.get(("", name)))
        if given is not None:
            return given(self) if callable(given) else r.choice(given)
        args = typing.get_args(hint)
        if hint is Budget or Budget in args:
            return self.budget()
        if typing.get_origin(hint) is typing.Literal:
            return r.choice(args)
        if any(typing.get_origin(a) is typing.Literal for a in args):  # quotas
            return r.choice([*typing.get_args(args[0]), {"news": 1, "code": 2, "": 0.5, "absent": 3}])
        if hint is bool:
            return r.random() < 0.5
        if hint is float:
            return r.choice([0.5, 0.0, 1.0, 0.01, 2.0, 3.7])
        return None

    def budget(self) -> str:
        """A budget of any size."""
        r = self.r
        unit = r.choice(UNITS)
        if unit == "%":
            return f"{r.choice([1e-7, 0.5, 10, 33.3, 50, 99.99, 100])}%"
        amount = r.choice([1, 2, 7, 40, 300, 1000, 5000, 20_000, 10**9, 10**15])
        return f"{max(1, amount // 20) if unit == 'docs' else amount} {unit}"

    def clause(self) -> str:
        """SQL over the columns there are, true or false."""
        r = self.r
        kind = r.random()
        if kind < 0.25:
            return f"{r.choice(['NOT ', ''])}({self.clause()}) {r.choice(['AND', 'OR'])} {self.clause()}"
        numbers, texts = (
            self.columns(at.is_integer) + self.columns(at.is_floating),
            self.columns(lambda k: k == pa.large_string()),
        )
        flags = self.columns(at.is_boolean) + self.verdicts()
        if kind < 0.45 and flags:
            return r.choice(["{}", "NOT {}", "{} IS NULL", "{} IS NOT NULL", "COALESCE({}, true)"]).format(
                r.choice(flags)
            )
        if kind < 0.6 and texts:
            return r.choice(
                ["{} = 'news'", "{} LIKE '%a%'", "LENGTH({}) > 3", "{} IN ('news', 'en', '')", "{} IS NULL", "LOWER({}) != 'x'",
                 "{} > 'm'", "{} || 'x' = 'newsx'", "STARTS_WITH({}, 'h')"]
            ).format(r.choice(texts))  # fmt: skip
        one, other = r.choice(numbers), r.choice(numbers)
        return r.choice(
            ["{a} > {n}", "{a} <= {b}", "{a} + {b} > {n}", "{a} BETWEEN 0 AND {n}", "{a} / ({b} + 1) < {n}", "{a} IN (0, 1, {n})", "{a} % 3 = 1",
             "CASE WHEN {a} > {n} THEN {b} < {n} ELSE true END", "ABS({a}) > {n}", "{a} IS NOT NULL", "{a} * {b} >= {n}", "-{a} < {n}",
             "GREATEST({a}, {b}) > {n}", "TRY_CAST({a} AS double) > {n}", "ROUND({a}, 2) < {n}", "{a} != {b}", "SQRT({a}) > {n}"]
        ).format(a=one, b=other, n=r.choice(["0", "1", "0.5", "40", "-3", "1e3", "100", "0.1"]))  # fmt: skip

    def order(self, texts: bool = True) -> str:
        """ORDER BY of some terms."""
        words = self.columns(lambda k: k == pa.large_string()) if texts else []
        terms = [*self.numbers(), *words, *(f"length({w})" for w in words), *self.columns(at.is_boolean)]
        return ", ".join(f"{t}{self.r.choice(['', ' desc', ' ASC'])}" for t in self.some(terms, 1, 3))

    def clauses(self) -> dict[str, str]:
        """Some clauses of a filter."""
        return {f"c{i}": self.clause() for i in range(self.r.randrange(1, 4))}

    def some(self, names: list[str], least: int, most: int) -> list[str]:
        """Some of the names, at least `least`."""
        if len(names) < least:
            raise IndexError
        return self.r.sample(names, self.r.randrange(least, min(most, len(names)) + 1))

    def join(self) -> dict[str, Any]:
        """Annotations by id or URL."""
        out: dict[str, Any] = {"key": "key", "columns": {"note": "string", "rank": "float64"}}
        urls = [c for c in self.columns(lambda k: k == pa.large_string()) if "url" in c]
        by_url = bool(urls) and self.r.random() < 0.6
        return out | (
            {"files": "urls.jsonl", "on": self.r.choice(urls)} if by_url else {"files": "notes.jsonl", "on": "id"}
        )

    def phases(self) -> list[dict[str, Any]]:
        """One to three phases."""
        out = []
        for i in range(self.r.randrange(1, 4)):
            select = self.some(self.verdicts(), 1, 2)
            phase: dict[str, Any] = {
                "name": f"p{i}",
                "select": select,
                "tokens": self.r.choice(["100 tokens", "2k tokens", "1 tokens", "1T tokens"]),
            }
            phase |= {"repeats": self.r.choice([1, 2, 0.5, 3.3])} if self.r.random() < 0.5 else {}
            phase |= {"by": self.r.choice(self.numbers())} if self.r.random() < 0.5 else {}
            phase |= {"shares": [0.7, 0.3][: len(select)]} if self.r.random() < 0.5 else {}
            out.append(phase)
        return out


ALWAYS = {("threshold", "at_least"), ("age", "since"), ("domain", "include"), ("filter", "keep"), ("buckets", "scores"), ("per_group", "share"),
          ("length_matched", "like"), ("semdedup", "eps"), ("metaclip", "t"), ("ngram_vectors", "dim"), ("write", "shard_bytes"),
          ("embed", "dim"), ("embed", "num_buckets"), ("write_tokens", "vocab"), ("dsir", "min_words"), ("hierarchical", "levels"),
          ("got_d", "sample"), ("simcore", "centres")}  # fmt: skip
SALTS = ["", "x", "\u05e9", "a\x01b"]
VALUES: dict[tuple[str, str], Any] = {
    ("", "salt"): SALTS,
    ("", "keeper"): lambda d: d.order(), ("semdedup", "keeper"): lambda d: d.order(texts=False),
    ("", "by"): lambda d: d.r.choice(d.numbers()),
    ("", "per"): lambda d: d.some(d.labels(), 1, 2),
    ("", "max_repeats"): [1.0, 2.0, 3.5, 1.25],
    ("", "target"): ["target.jsonl"],
    ("", "share"): [0.5, 0.1, 1.0, 0.001, 0.999],
    ("", "iterations"): [1, 5, 20],
    ("", "vectors"): lambda d: d.r.choice(d.columns(at.is_fixed_size_binary, own=False)),
    ("", "column"): lambda d: d.r.choice(d.columns(at.is_fixed_size_binary, own=False)),
    ("", "of"): lambda d: d.some(d.verdicts(), 2, 3),
    ("", "weights"): lambda d: d.some(d.columns(at.is_floating), 2, 3),
    ("", "temperature"): [1.0, 0.1, 5.0, 1e-3],
    ("age", "by"): lambda d: d.r.choice(d.columns(lambda k: k == pa.large_string() or at.is_integer(k), own=False)),
    ("age", "since"): ["2000", 2000, "2010-05-05"], ("age", "until"): ["2020", 2021, "2020-01-01"],
    ("betr", "center"): [True, False],
    ("betr", "target"): lambda d: d.target(), ("got_d", "target"): lambda d: d.target(), ("simcore", "target"): lambda d: d.target(),
    ("buckets", "at_least"): [0, 1], ("buckets", "mixture"): [{"0": 0.5, "1": 0.5}, {"0-1": 1.0}], ("buckets", "num"): [2, 5, 20],
    ("buckets", "scores"): lambda d: d.some(d.numbers(), 1, 3),
    ("cluster_balanced", "beta"): [0.0, 0.5, 1.0], ("cluster_balanced", "by"): lambda d: d.r.choice(d.columns(at.is_integer, own=False)),
    ("clusters", "num"): [0, 1, 3, 40],
    ("concepts", "files"): ["names.txt"], ("concepts", "head"): [0, 1, 50], ("concepts", "punctuation"): [",.", ""],
    ("count_tokens", "tokenizer"): ["words", "bytes/4", "bytes/2", "chars/4"], ("count_tokens", "tokenizer_file"): lambda d: None,
    ("d4", "clusters"): [0, 1, 5], ("d4", "dedup_share"): [0.75, 1.0, 0.9], ("d4", "share"): [0.5, 0.7, 0.1],
    ("decontaminate", "against_vectors"): lambda d: None, ("decontaminate", "vectors"): lambda d: None, ("decontaminate", "similarity"): lambda d: None,
    ("decontaminate", "against"): ["target.jsonl"], ("decontaminate", "ngram"): [13, 3, 1], ("decontaminate", "max_ngrams"): [0, 5],
    ("domain", "by"): lambda d: d.r.choice(d.columns(lambda k: k == pa.large_string())), ("domain", "include"): [["news", "a.org"], ["en"], [""]],
    ("domain", "exclude"): [["code", "b.com"], ["k"]],
    ("doremi", "proxy"): lambda d: d.r.choice(d.numbers()), ("doremi", "reference"): lambda d: d.r.choice(d.numbers()), ("doremi", "steps"): [1, 5],
    ("doremi", "length"): lambda d: None,
    ("dsir", "num_buckets"): [2, 100, 10000], ("dsir", "ngrams"): [1, 2, 3], ("dsir", "min_words"): [0, 5], ("dsir", "smoothing"): [0.0, 0.5],
    ("dsir_resample", "by"): lambda d: None,
    ("embed", "device"): ["cpu"], ("embed", "dim"): [8, 32], ("embed", "model"): lambda d: None, ("embed", "num_buckets"): [256, 1000],
    ("embed", "sample_documents"): [5, 1000], ("embed", "table"): lambda d: None, ("embed", "max_length"): lambda d: None,
    ("exact", "by"): lambda d: d.r.choice(d.columns(lambda k: k == pa.large_string() or at.is_fixed_size_binary(k))),
    ("facility_location", "demand"): [1, 10, 2000], ("facility_location", "epsilon"): [0.1, 0.9], ("facility_location", "num_parts"): [0, 3],
    ("facility_location", "part"): lambda d: d.r.choice(d.labels()),
    ("filter", "keep"): lambda d: d.clauses(), ("filter", "preset"): ["gopher_quality", "c4", "fineweb_quality", "gopher_repetition"],
    ("got_d", "epsilon"): [0.05, 1.0], ("got_d", "sample"): [50, 20000], ("got_d", "target_sample"): [5, 2000],
    ("graph_cut", "redundancy"): [0.0, 0.4, 10.0],
    ("hierarchical", "levels"): [[3], [8, 3], [20, 5, 2]], ("hierarchical", "max_repeats"): [1, 3], ("hierarchical", "nearest"): [[3], [2, 1]],
    ("hierarchical", "rounds"): [0, 2],
    ("holdout", "per"): lambda d: d.r.sample(c := d.columns(lambda k: k == pa.large_string() or at.is_integer(k), own=False), min(len(c), d.r.choice([1, 1, 2]))),
    ("holdout", "max_bytes"): [100, 10**6], ("holdout", "min_bytes"): [0, 50],
    ("ingenious", "group"): lambda d: d.r.choice(d.labels()), ("ingenious", "redraws"): [1, 3],
    ("join", "files"): lambda d: None, ("join", "key"): lambda d: None, ("join", "on"): lambda d: None, ("join", "columns"): lambda d: None,
    ("join", "source"): lambda d: None,
    ("k_center_greedy", "center"): [True, False],
    ("knn_graph", "exact_rows"): [50000, 10], ("knn_graph", "k"): [1, 4, 32], ("knn_graph", "num_lists"): [0, 3], ("knn_graph", "num_probes"): [1, 32],
    ("knn_graph", "min_recall"): [0.0], ("knn_graph", "index"): ["auto", "exact", "ivf", "hnsw"],
    ("knn_graph", "m"): [2, 32], ("knn_graph", "ef_construction"): [1, 40], ("knn_graph", "ef_search"): [1, 64],
    ("language", "languages"): [["en", "de", "ar"]], ("language", "max_chars"): [10, 3000], ("language", "model_file"): lambda d: None,
    ("length_matched", "like"): lambda d: d.r.choice(d.selections()),
    ("log_det", "ridge"): [1.0, 0.01, 100.0],
    ("metaclip", "stop_share"): [1.0, 0.2], ("metaclip", "t"): [1, 4, 1000], ("metaclip", "tail_share"): [0.06, 1.0], ("metaclip", "top"): [0, 1, 5],
    ("minhash", "ngram"): [1, 5, 13], ("minhash", "num_bands"): [14, 1, 40], ("minhash", "rows_per_band"): [8, 1, 3], ("minhash", "threshold"): [0.75, 0.5, 0.95],
    ("minhash", "contained"): [0.5, 0.9, 1.0], ("ngram_bloom", "share"): [0.0, 0.5, 0.8], ("", "capacity"): [1, 50], ("", "false_positive_rate"): [0.01, 0.3],
    ("ngram_bloom", "ngram"): [1, 3, 13], ("ngram_bloom", "min_words"): [1], ("lsh_bloom", "ngram"): [1, 5], ("lsh_bloom", "num_bands"): [14, 1], ("lsh_bloom", "rows_per_band"): [8, 1],
    ("mixture", "alpha"): lambda d: None, ("mixture", "temperature"): lambda d: None, ("mixture", "least"): [0, 100, 10**6],
    ("mixture", "weights_from"): lambda d: d.r.choice([n for n, s in d.recipe["stages"].items() if s["use"] == "doremi"]),
    ("ngram_vectors", "dim"): [16, 64],
    ("overlap", "date"): lambda d: d.r.choice(d.columns(lambda k: k == pa.large_string(), own=False)), ("overlap", "means"): lambda d: d.some(d.numbers(), 1, 2),
    ("phases", "phases"): lambda d: d.phases(),
    ("redundancy", "by"): lambda d: d.r.choice(d.numbers()), ("redundancy", "distance"): [0.3, 0.0, 1.0, 2.0], ("redundancy", "metric"): ["cosine"],
    ("rehydrate", "among"): lambda d: d.r.choice(d.verdicts()), ("rehydrate", "least_docs"): [1, 10], ("rehydrate", "passed"): lambda d: d.r.choice(d.verdicts()),
    ("rehydrate", "size"): lambda d: None,
    ("retrieve_tail", "per_concept"): [1, 3, 500], ("retrieve_tail", "tail_share"): [0.2, 1.0], ("retrieve_tail", "target"): lambda d: None,
    ("retrieve_tail", "target_concepts"): lambda d: None, ("retrieve_tail", "concepts"): lambda d: None,
    ("semdedup", "cluster"): lambda d: None, ("semdedup", "eps"): [0.05, 0.0, 0.5, 2.0], ("semdedup", "similarity"): lambda d: None,
    ("simcore", "centres"): [1, 5, 100], ("simcore", "patience"): [1, 20], ("simcore", "stop_ratio"): [0.0, 0.9],
    ("target_file", "delimiter"): [" ", ""], ("target_file", "files"): ["quiz.jsonl"], ("target_file", "format"): lambda d: None,
    ("target_file", "max_items"): [0, 1], ("target_file", "question"): lambda d: None,
    ("simhash", "n"): [1, 2, 5],
    ("c4_lines", "min_words"): [0, 2, 5], ("c4_lines", "longest_word"): [0, 5, 1000],
    ("refinedweb_lines", "uppercase"): [0.1, 1.0], ("refinedweb_lines", "min_words"): [0, 3],
    ("boilerplate_lines", "phrases"): [["lorem ipsum"]], ("boilerplate_lines", "longest"): [0, 40],
    ("boilerplate_lines", "languages"): [["en"], ["de", "fr"]], ("drop_urls", "by"): ["<URL>", ""],
    ("licence", "head"): [100, 8000], ("opt_out", "head"): [100, 50000], ("math_signals", "column"): lambda d: None, ("opt_out", "html"): lambda d: None,
    ("opt_out", "robots_tag"): lambda d: None, ("opt_out", "tdm_header"): lambda d: None,
    ("mask_pii", "kinds"): [["email"], ["ip", "phone"]], ("mask_pii", "ids"): [["us_ssn"]],
    ("mask_pii", "shapes"): [{"word": "XXXX"}], ("mask_pii", "mask"): ["[{}]", ""],
    ("paragraph_languages", "by"): ["sentences", "lines"], ("paragraph_languages", "wanted"): [["en"], ["de", "ar"]],
    ("paragraph_languages", "languages"): [["en", "de"]], ("paragraph_languages", "min_letters"): [1, 100],
    ("paragraph_languages", "min_score"): [0.0, 0.9], ("paragraph_languages", "model_file"): lambda d: None,
    ("paragraph_languages", "codes"): lambda d: None,
    ("segment_scores", "by"): ["sentences", "lines", "paragraphs"],
    ("segment_scores", "hits"): [["[0-9]+"], ["[A-Z]", "x{3}"]],
    ("threshold", "at_least"): [-1.0, 0.0, 0.5, 40.0], ("threshold", "at_most"): [1.0, 1000.0],
    ("upsample", "discard"): [0.4, 0.0, 0.9], ("upsample", "power"): [1.0, 0.0, 5.0], ("upsample", "tiers"): [2, 20],
    ("write", "carry"): lambda d: d.some(d.columns(lambda k: True, own=False), 1, 4),
    ("write", "repeat"): lambda d: d.r.choice(d.columns(at.is_floating)), ("write", "shard_bytes"): ["8KB", "2KB", "1MB", "400 bytes"],
    ("write_tokens", "end"): lambda d: None, ("write_tokens", "file_tokens"): [100, 10**6], ("write_tokens", "selection"): lambda d: d.r.choice(d.selections()),
    ("write_tokens", "tokenizer"): lambda d: None, ("write_tokens", "tokenizer_bytes"): [1000, 10**6], ("write_tokens", "vocab"): [300, 500],
}  # fmt: skip

__all__ = ["DRAWN", "LEFT_OUT", "Drawn", "WinnowError", "draw", "dumped"]
