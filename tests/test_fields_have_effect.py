"""No field is accepted without effect: another value changes what comes out, or is refused where it would not.

Generated over the registry: every operator that can be tried on rows, with every field that is no port. What needs
other data than the nasty corpus to show is listed with the reason, and the list may not grow stale.
"""

from __future__ import annotations

import dataclasses
import tempfile
import types
import typing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import test_contract as contract

from winnow.core.errors import ConfigError, WinnowError
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import build, dump
from winnow.core.operators.effect import given
from winnow.core.operators.fingerprint import fingerprint, operator_identity
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.testing import answers
from winnow.testing.by_shape import answer_of, why_no_rows
from winnow.testing.nasty_corpus import nasty_corpus
from winnow.trainers.online.policies import POLICIES

FEW = {"budget": "6 docs"}  # of the corpus' documents: what an order or a lot decides
BESIDE: dict[tuple[str, str], dict[str, Any]] = {  # fields beside which another one is tried
    **{(op, "quota"): {**FEW, "per": ["copies"]} for op in ("random", "top_k", "sample", "dsir_resample", "upsample")},
    **{(op, "salt"): FEW for op in ("sample", "dsir_resample", "cluster_balanced", "threshold", "domain")},
    **{(op, "salt"): {**FEW, "by": None, "per": ["copies"]} for op in ("quota", "mixture")},
    **{(op, "descending"): {**FEW, "by": "text_bytes", "per": ["copies"]} for op in ("quota", "mixture")},
    ("top_k", "descending"): FEW,
    **{("sample", name): FEW for name in ("temperature", "normalise")},
    ("metaclip", "salt"): {"t": 1},
    ("exact", "keeper"): {"by": "copies"},
    ("holdout", "per"): {"max_bytes": None},
    ("holdout", "without_key"): {"max_bytes": None, "per": "score"},
    ("mixture", "temperature"): {"shares": "temperature"},
    ("mixture", "alpha"): {"shares": "alpha"},
}
UNSHOWN = {  # on this corpus
    **{("", name): "says what is done where a declared value does not occur" for name in ("absent",)},
    **{("", name): "how exactly something is searched that is small here"
       for name in ("iterations", "demand", "num_lists", "num_probes", "min_recall", "target_sample", "centres")},
    ("betr", "aggregate"): "of one target document",
    **{("c4_lines", name): "no such line" for name in ("javascript", "policy", "citations")},
    **{("refinedweb_lines", name): "no such line" for name in ("numeric", "counters", "phrases")},
    **{("repair_unicode", name): "no such letter" for name in ("width", "quotes")},
    **{("boilerplate_lines", name): "no such line" for name in ("by", "longest", "languages", "phrases")},
    **{("citation_marks", name): "no such mark" for name in ("numbers", "words")},
    **{("drop_urls", name): "no such address" for name in ("what", "by")},
    **{("opt_out", name): "no text is a page" for name in ("html", "head", "robots_tag", "tdm_header")},
    ("math_signals", "column"): "of pages in a column",
    ("licence", "head"): "no text names a licence",
    **{("mask_pii", name): "no such number" for name in ("private_ips", "bare_phones")},
    ("buckets", "at_least"): "no bucket is so small", ("buckets", "mixture"): "names of buckets",
    ("cluster_balanced", "beta"): "the draw decides among few", ("cluster_balanced", "salt"): "few clusters",
    ("concepts", "ignore_case"): "no concept occurs", ("concepts", "punctuation"): "no concept occurs",
    ("concepts", "head"): "no concept occurs", ("count_tokens", "tokenizer"): "needs a file",
    **{("resiliparse", name): "of pages" for name in ("html", "max_page", "markdown", "main_content", "comments", "links", "alt_texts")},
    **{("main_text", name): "of pages" for name in ("html", "max_page", "markdown")},
    **{("trafilatura", name): "of pages" for name in ("html", "max_page", "fast", "favor", "comments", "tables", "links")},
    ("domain", "salt"): "all of it fits", ("threshold", "salt"): "all of it fits",
    **{("dsir", name): "texts under min_words have no weight" for name in ("num_buckets", "ngrams", "per", "smoothing")},
    **{("dsir_resample", name): "no document has a weight" for name in ("temperature", "normalise", "salt", "quota")},
    **{("facility_location", name): "read by one method"
       for name in ("epsilon", "num_parts", "part", "salt", "vectors", "neighbors", "similarities")},
    ("url_parts", "private_suffixes"): "no text is an address", ("url_lists", "private_suffixes"): "no text is an address",
    ("metaclip", "odds"): "one concept each", ("metaclip", "tail_share"): "instead of t",
    ("mixture", "without"): "every document has a value", ("mixture", "temperature"): "two domains", ("mixture", "alpha"): "two domains",
    ("per_group", "budget"): "instead of share", ("semdedup", "share"): "instead of eps",
    ("phases", "salt"): "both phases are whole", ("redundancy", "metric"): "needs codes",
    ("redundancy", "descending"): "no near copies", ("semdedup", "salt"): "no near copies",
    ("upsample", "power"): "all reach max_repeats", ("upsample", "quota"): "all reach max_repeats",
}  # fmt: skip
TRIED = [
    name
    for name in sorted(REGISTRY)
    if name not in ("fasttext_model", "neural", "named_entities", "llm_annotate", "llm_compare", "rewrite")
    and name not in POLICIES
]  # they act in a run


def others(hint: Any, value: Any) -> list[Any]:
    """Other values of a field's type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in args if kind is not type(None)]
        return [*([None] if value is not None else []), *(v for kind in kinds for v in others(kind, value))]
    if origin is typing.Literal:
        return [choice for choice in args if choice != value]
    if hint is bool:
        return [not value]
    if hint is int:
        known = value if isinstance(value, int) else 2
        return [v for v in (known * 2, known // 2, known + 1, 1, 3, 0, 50) if v != value]
    if hint is float:
        known = value if isinstance(value, float) else 0.5
        return [v for v in (known / 2, known * 2, 0.1, 0.9, 0.0, 3.0, 1.0) if v != value]
    if hint is str:
        return [v for v in ("y", "z", "score", "text_bytes") if v != value]
    if hint is Budget:
        return ["20%", "3 docs", "900 tokens"]
    return []


def rows_for(name: str, work: Path) -> pl.DataFrame:
    rows = nasty_corpus().with_columns(contract.MORE)
    for earlier in contract.BEFORE.get(name, []):
        op = contract.EXAMPLES[earlier](operator_class(earlier))
        answer = contract.run(op, rows, Context(seed=7, work=work))
        rows = pl.concat([rows, answer], how="horizontal")
    return rows


def silent_fields(name: str, work: Path) -> list[str]:
    """Fields of which no other value changes the answer, raises, or is refused at all of them."""
    cls = operator_class(name)
    example, rows, refs = contract.EXAMPLES[name](cls), rows_for(name, work), contract.refs_of(name)

    def answer(op: Any) -> Any:
        ctx = Context(seed=7, work=work, refs=refs, notes={})
        frames = [answers.frame_bytes(frame) for frame in answer_of(op, [rows], ctx)]
        return frames, repr(sorted((ctx.notes or {}).items()))

    hints, out = typing.get_type_hints(cls), []
    for field in dataclasses.fields(cls):
        known = dump(example) | BESIDE.get((name, field.name), {})
        before = build(cls, known, where="stage")
        tries = [] if "port" in field.metadata else others(hints[field.name], getattr(before, field.name))
        shown = not tries
        for value in tries:
            try:
                after = build(cls, {**known, field.name: value}, where="stage")
                if field.metadata.get("identity", True):
                    assert fingerprint(operator_identity(after)) != fingerprint(operator_identity(before)), field.name
                shown = answer(after) != answer(before)
            except WinnowError:
                shown = shown or value == tries[-1]
            except pl.exceptions.PolarsError:  # a column that is not there is read
                shown = True
            if shown:
                break
        out += [] if shown else [field.name]
    return out


@pytest.mark.parametrize("name", TRIED)
def test_every_field_of_an_operator_changes_its_answer_or_is_refused(name):
    example = contract.EXAMPLES[name](operator_class(name))
    if why_no_rows(example):
        pytest.skip(why_no_rows(example))
    with tempfile.TemporaryDirectory() as work:
        silent = silent_fields(name, Path(work))
    assert [f for f in silent if (name, f) not in UNSHOWN and ("", f) not in UNSHOWN] == []


def test_what_is_said_not_to_show_are_fields_that_there_are():
    fields = {name: {f.name for f in dataclasses.fields(operator_class(name))} for name in REGISTRY}
    assert [key for key in {**UNSHOWN, **BESIDE} if key[0] and key[1] not in fields[key[0]]] == []


READ = [(name, field) for name in sorted(REGISTRY) for field in operator_class(name).read_at]
GIVEN = {  # what is there where something is read without it
    "by": "score", "per": "score", "tokenizer": ["t.json"], "temperature": 0.5, "alpha": 1.0, "score": "text_bytes", "labels": "stored",
    "keeper": "score",
}  # fmt: skip
TO_GIVE = {
    "shard_bytes": "10MB",
    "sizes": {"web": 1.0},
    "scores": ["text_bytes"],
    "features": ["length"],
    "control_form": "<{}>",
    "ask_for": ["wiki"],
    "exclude": ["parser"],
}
NOT_BESIDE = {  # what else must be said where a field is not read, so that it alone is wrong
    ("conditional", "at"): {"label": ["source"]}, ("salt", "temperature"): {"teacher": ""},
    ("named_entities", "package"): {"labels": ["a"], "model": []}, ("named_entities", "exclude"): {"labels": ["a"]},
    **{("value_alignment", f): {"per": []} for f in ("scores", "features", "hidden", "rate", "updates")},
}  # fmt: skip


@pytest.mark.parametrize(("name", "field"), READ)
def test_a_field_that_is_not_read_is_refused_with_what_to_do(name, field):
    cls = operator_class(name)
    decides, when = cls.read_at[field]
    fields, hints = {f.name: f for f in dataclasses.fields(cls)}, typing.get_type_hints(cls)
    if not callable(when):
        off = next(choice for choice in typing.get_args(hints[decides]) if choice not in when)
    else:
        off = fields[decides].default if when is given else GIVEN[decides]
    value = TO_GIVE.get(field) or next(v for v in others(hints[field], fields[field].default) if v is not None)
    known = {n: v for n, v in dump(contract.EXAMPLES[name](cls)).items() if n not in cls.read_at}
    with pytest.raises(ConfigError, match=f"{field} has no effect with(out)? {decides}") as error:
        build(cls, {**known, **NOT_BESIDE.get((name, field), {}), decides: off, field: value}, where="stage")
    assert error.value.where == f"stage.{field}"
    assert f"`{decides}" in error.value.hint


@pytest.mark.parametrize(("stage", "where"), [
    ("{use: random, inputs: docs, budget: 3 docs, quota: equal}", "quota"),
    ("{use: top_k, inputs: docs, by: text_bytes, budget: 3 docs, quota: equal}", "quota"),
    ("{use: quota, inputs: docs, per: text_bytes, budget: 3 docs, descending: false}", "descending"),
    ("{use: quota, inputs: docs, per: text_bytes, by: text_bytes, budget: 3 docs, salt: x}", "salt"),
    ("{use: threshold, inputs: docs, by: text_bytes, at_least: 3, salt: x}", "salt"),
    ("{use: write, inputs: docs, order: source, shard_bytes: 1MB}", "shard_bytes"),
    ("{use: write_tokens, selection: pick, form: bin, file_tokens: 5}", "file_tokens"),
])  # fmt: skip
def test_a_recipe_with_such_a_field_is_refused_before_anything_runs(tmp_path, stage, where):
    from support import put_corpus, run

    put_corpus(tmp_path / "raw", [{"text": f"text {n}"} for n in range(9)], files=1)
    text = f"""
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl"}}
  pick: {{use: random, inputs: docs, budget: 5 docs}}
  this: {stage}
"""
    with pytest.raises(ConfigError, match="has no effect") as error:
        run(text, tmp_path, tmp_path / "made")
    assert error.value.where == f"stages.this.{where}"
    assert not list((tmp_path / "made").glob("*-*"))
