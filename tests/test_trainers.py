"""Tokens, packing and the expansion of an ablation: what needs no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Kind, Map, Scope, Sub
from winnow.trainers import compare, pack
from winnow.trainers.ablation import Ablation, derived_seed
from winnow.trainers.compare import Compare
from winnow.trainers.run import Train
from winnow.trainers.tokens import FILE, Encoder, Tokenizer, Tokens

TEXTS = [
    "the cat sat on the mat", "<eos> is spelled out", "", "žluťoučký kůň \u202e 🙂", "a\0b", "x" * 5000,
    "def f(x):\n    return x + 1\n", "the mat sat on the cat " * 40,
]  # fmt: skip


def id_of(name: object) -> bytes:
    return hashlib.blake2b(str(name).encode(), digest_size=16).digest()


def documents(texts: list[str | None]) -> pl.DataFrame:
    frame = pl.DataFrame({"doc_id": [id_of(i) for i in range(len(texts))], "text": texts})
    return frame.sort("doc_id")


class Source:
    """A committed stage, held in memory."""

    kind, digest = Kind.COLUMNS, "0" * 32

    def __init__(self, rows=None, *, files=None, metrics=None):
        self.rows, self._files, self._metrics = rows, files, metrics

    def frame(self, *columns, where_kept=False):
        rows = self.rows.filter("kept") if where_kept and "kept" in self.rows.columns else self.rows
        return rows.sort("doc_id").select(columns)

    def files(self):
        return self._files

    def result(self):
        return self._metrics


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Source:
    ctx = Context(seed=0, work=tmp_path_factory.mktemp("tokenizer"))
    operator = Tokenizer(vocab=320)
    operator.fit(operator.sample(documents(TEXTS), ctx), ctx)
    return Source(files={FILE: ctx.work / FILE})


def decoded(tokenizer: Source, ids: list[int]) -> bytes:
    """The bytes that token ids stand for, by the byte alphabet of the vocabulary."""
    from tokenizers import Tokenizer as HfTokenizer

    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in visible}
    table |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in visible)}
    known = HfTokenizer.from_file(str(tokenizer.files()[FILE]))
    return bytes(table[c] for i in ids for c in known.id_to_token(i))


def test_tokens_lose_no_byte_and_no_text_can_spell_the_end_mark(tokenizer):
    rows = documents(TEXTS)
    tokens = Tokens().open(Context(seed=0, work=Path(), refs={"tokenizer": tokenizer}))(rows)
    for text, ids, count in zip(rows["text"], tokens["tokens"], tokens["token_ids_count"], strict=True):
        assert decoded(tokenizer, ids.to_list()) == text.encode()
        assert count == len(ids)
        assert 319 not in ids.to_list()


@pytest.mark.parametrize("size", [1, 3, 9])
def test_tokens_do_not_depend_on_the_batch_and_null_stays_null(tokenizer, size):
    rows = documents([*TEXTS, None])
    columns = Tokens().open(Context(seed=0, work=Path(), refs={"tokenizer": tokenizer}))
    whole = columns(rows)
    assert pl.concat([columns(part) for part in rows.iter_slices(size)]).equals(whole)
    assert whole.filter(rows["text"].is_null())["tokens"].null_count() == 1
    assert whole.filter(rows["text"].is_null())["token_ids_count"].null_count() == 1
    assert {n: pa.large_list(pa.uint16()) if n == "tokens" else pa.int32() for n in whole.columns} == dict(
        Tokens().outputs()
    )
    assert whole.schema == {"tokens": pl.List(pl.UInt16), "token_ids_count": pl.Int32}


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_the_tokenizer_does_not_depend_on_how_the_pool_is_cut(tmp_path, parts):
    rows = documents([f"word{i} and word{i % 7} again " * (i % 5 + 1) for i in range(60)])
    operator = Tokenizer(vocab=300, sample_bytes=2000)
    files = []
    for k, cut in enumerate((1, parts)):
        (tmp_path / str(k)).mkdir()
        ctx = Context(seed=0, work=tmp_path / str(k))
        sampled = pl.concat([operator.sample(p, ctx) for p in rows.iter_slices(-(-60 // cut))])
        metrics = operator.fit(sampled.sort("doc_id"), ctx)
        assert 2000 <= metrics["bytes"] < 2300
        files.append((ctx.work / FILE).read_bytes())
    assert files[0] == files[1]


def test_a_pool_without_text_is_an_error(tmp_path):
    ctx = Context(seed=0, work=tmp_path)
    with pytest.raises(DataError, match="no text"):
        Tokenizer().fit(Tokenizer().sample(documents([None, ""]), ctx), ctx)


def selected(lengths: list[int]) -> pack.Documents:
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(len(lengths))]}, schema={"doc_id": pl.Binary})
    ids = [list(range(100 * i, 100 * i + n)) for i, n in enumerate(lengths)]
    tokens = rows.with_columns(pl.Series("tokens", ids, dtype=pl.List(pl.UInt16)))
    return pack.documents_of(rows, tokens)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 40))
def test_every_epoch_predicts_every_token_once(lengths, context, num_rows):
    if not sum(lengths):
        lengths = [*lengths, 1]
    docs = selected(lengths)
    packed = pack.pack(docs, num_rows=num_rows, context=context, end=9999, order_seed=3)
    assert packed.rows.shape == (num_rows, context + 1)
    assert packed.num_tokens == num_rows * context
    assert packed.epochs == pytest.approx(packed.num_tokens / docs.num_tokens)
    seen = Counter(packed.rows[:, 1:].flatten().tolist())
    most = math.ceil(packed.epochs) + 1
    assert all(n <= most for token, n in seen.items() if token != 9999)
    if packed.epochs > 1:
        least = math.floor(packed.epochs) - 1
        assert all(seen[t] >= least for t in docs.tokens.tolist())


def test_text_runs_on_inside_a_row_and_documents_end_with_the_mark():
    docs = selected([30, 45, 25])
    packed = pack.pack(docs, num_rows=12, context=8, end=9999, order_seed=1)
    before, after = packed.rows[:, :-1].flatten().tolist(), packed.rows[:, 1:].flatten().tolist()
    lasts = {29, 144, 224}
    for a, b in zip(before, after, strict=True):
        assert (b == a + 1) or (a in lasts and b == 9999) or (a == 9999 and b in {0, 100, 200})


def test_a_batch_is_a_function_of_seed_and_step_and_runs_of_other_lengths_agree():
    docs = selected([50] * 20)
    long = pack.pack(docs, num_rows=80, context=8, end=9999, order_seed=5)
    again = pack.pack(docs, num_rows=40, context=8, end=9999, order_seed=5)
    for step in range(10):
        assert np.array_equal(pack.batch_of(long, step, batch=4), pack.batch_of(again, step, batch=4))
    other = pack.pack(docs, num_rows=80, context=8, end=9999, order_seed=6)
    assert not np.array_equal(long.rows, other.rows)


def test_neighbouring_rows_of_a_batch_come_from_different_places():
    packed = pack.pack(selected([1600]), num_rows=200, context=8, end=9999, order_seed=5)
    first = packed.rows[:, 0].astype(np.int64)
    assert sorted(first.tolist()) == list(range(0, 1600, 8))
    assert (np.abs(np.diff(first)) <= 16).mean() < 0.1


def test_the_order_of_rows_in_the_selection_does_not_matter():
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(9)]}, schema={"doc_id": pl.Binary})
    tokens = rows.with_columns(tokens=pl.Series([[i] * 9 for i in range(9)], dtype=pl.List(pl.UInt16)))
    kinds = [
        pack.pack(pack.documents_of(s, t), num_rows=7, context=4, end=9, order_seed=2).rows
        for s, t in ((rows, tokens), (rows.reverse(), tokens.sort("doc_id")))
    ]
    assert np.array_equal(*kinds)


def test_a_selected_document_without_tokens_is_an_error_and_so_is_an_empty_selection():
    rows = pl.DataFrame({"doc_id": [id_of(0), id_of(1)]})
    tokens = pl.DataFrame({"doc_id": [id_of(0)], "tokens": [[1, 2]]}, schema_overrides={"tokens": pl.List(pl.UInt16)})
    with pytest.raises(DataError, match="1 of 2 selected documents have no tokens"):
        pack.documents_of(rows, tokens)
    with pytest.raises(DataError, match="empty"):
        pack.documents_of(rows.clear(), tokens)


def test_fewer_tokens_than_a_batch_are_refused():
    with pytest.raises(ConfigError, match="less than one batch"):
        pack.steps_of(1000, context=128, batch=8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lot(Map):
    """Keeps documents by lot."""

    name: ClassVar[str] = "test_lot"
    role: ClassVar[str] = "selector"
    seeded: ClassVar[bool] = True
    share: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best(Lot):
    """Keeps the same documents every time."""

    name: ClassVar[str] = "test_best"
    seeded: ClassVar[bool] = False


DECLARED = {
    "plain": Sub(name="plain", operator=Lot(), inputs=("docs", "unique"), where="kept_unique"),
    "best": Sub(name="best", operator=Best(), inputs=("docs",)),
    "lucky": Sub(name="lucky", operator=Lot(share=0.25), inputs=("docs",), seed=11),
    "docs": Sub(name="docs", operator=Best()),
}


def scope(seed: int = 7, spaces: dict[str, str] | None = None) -> Scope:
    where = dict.fromkeys(DECLARED, "docs") | (spaces or {})
    return Scope(stage="effect", inputs=(), where=None, seed=seed, lookup=DECLARED.__getitem__, space=where.__getitem__)


def expanded(*, seed: int = 7, **fields) -> dict[str, Sub]:
    fields = {"arms": {"best": "best"}, "baseline": "plain", "eval": {"ref": "held"}, "seeds": 3, **fields}
    operator = Ablation(**fields)
    operator.validate()
    return {sub.name: sub for sub in operator.expand(scope(seed))}


def test_arms_share_all_but_their_selection():
    subs = expanded()
    for s in range(3):
        runs = [subs[f"train_{arm}_{s}"] for arm in ("baseline", "best", "aa")]
        assert len({repr(run.operator) for run in runs}) == 1
        assert len({run.refs["selection"] for run in runs}) == 3
    assert subs["train_best_0"].operator != subs["train_best_1"].operator


def test_the_baseline_is_drawn_anew_for_every_seed_and_the_control_differs_from_it():
    subs = expanded()
    seeds = [subs[f"{kind}_plain_{s}"].seed for kind in ("draw", "redraw") for s in range(3)]
    assert len(set(seeds)) == 6
    clone = subs["draw_plain_2"]
    assert (clone.operator, clone.inputs, clone.where) == (Lot(), ("docs", "unique"), "kept_unique")
    assert subs["train_baseline_2"].refs["selection"] == ".draw_plain_2"
    assert subs["train_aa_2"].refs["selection"] == ".redraw_plain_2"


def test_a_fixed_selection_is_used_as_it_is_and_says_so():
    subs = expanded(arms={"best": "best", "lucky": "lucky"})
    assert {subs[f"train_best_{s}"].refs["selection"] for s in range(3)} == {"best"}
    assert len({subs[f"train_lucky_{s}"].refs["selection"] for s in range(3)}) == 3
    assert subs["compare"].operator.fixed == ("best",)


def test_a_new_arm_changes_no_other_run():
    few, many = expanded(), expanded(arms={"lucky": "lucky", "best": "best"})
    for name, sub in few.items():
        assert name == "compare" or many[name] == sub


def test_the_seed_of_the_recipe_reaches_every_draw():
    one, two = expanded(seed=7), expanded(seed=8)
    assert all(one[n].seed != two[n].seed for n in one if n.startswith(("draw", "redraw")))
    assert one["train_best_0"].operator != two["train_best_0"].operator


def test_a_declared_arm_on_the_baseline_is_the_control():
    subs = expanded(arms={"again": "plain", "best": "best"})
    assert subs["compare"].operator.controls == ("again",)
    assert "train_aa_0" not in subs
    assert subs["train_again_0"].refs["selection"] == ".redraw_plain_0"
    assert "train_aa_0" not in expanded(aa=False)


def test_the_control_of_a_fixed_baseline_has_other_training_seeds():
    subs = expanded(baseline="best", arms={"plain": "plain"})
    assert subs["compare"].operator.baseline_fixed
    assert subs["train_aa_0"].operator != subs["train_baseline_0"].operator
    assert subs["train_aa_0"].refs == subs["train_baseline_0"].refs


def test_arms_of_another_row_space_are_refused():
    operator = Ablation(arms={"best": "best"}, baseline="plain", eval={"ref": "held"})
    with pytest.raises(ConfigError, match="selects from 'elsewhere'"):
        operator.expand(scope(spaces={"best": "elsewhere"}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arms", {}), ("eval", {}), ("seeds", 0), ("vocab", 100), ("heads", 5), ("tokens", 10), ("batch", 0),
        ("lr_head", 0.0), ("warmup_share", 1.0), ("arms", {"baseline": "best"}), ("arms", {"aa": "best"}),
    ],
)  # fmt: skip
def test_fields_that_cannot_work_are_refused_before_anything_runs(field, value):
    fields = {"arms": {"best": "best"}, "baseline": "plain", "eval": {"ref": "held"}, field: value}
    with pytest.raises(ConfigError) as error:
        Ablation(**fields).validate()
    assert error.value.where == field


def test_derived_seeds_differ_by_purpose_and_number():
    seeds = {derived_seed(s, p, n) for s in range(5) for p in ("init", "order", "draw") for n in range(20)}
    assert len(seeds) == 300


def run_of(tmp_path: Path, name: str, bits: dict[str, float], **changed) -> Source:
    arrays = {}
    for target, value in bits.items():
        arrays |= {
            f"{target}.bytes": np.full(4, 100),
            f"{target}.nats": np.full(4, value * 100 * math.log(2)),
        }
    path = tmp_path / f"{name}.npz"
    np.savez(path, **arrays)
    facts = {"documents": 4, "bytes": 400, "tokens": 100, "first_document": "00"}
    metrics = {
        "parameters": 1000, "hidden_parameters": 500, "steps": 9, "tokens": 900, "epochs": 0.5,
        "precision": "fp32",         "selection_documents": 3, "selection_tokens": 1800,
        "targets": {t: {"bits_per_byte": v, **facts} for t, v in bits.items()},
        **changed,
    }  # fmt: skip
    return Source(files={"documents.npz": path}, metrics=metrics)


def compared(tmp_path: Path, **changed):
    operator = Compare(
        arms=("best", "aa"),
        controls=("aa",),
        fixed=("best",),
        baseline_fixed=False,
        targets=("ref", "code"),
        seeds=4,
    )
    noise = [0.01, -0.02, 0.015, -0.005]
    runs = {}
    for s, e in enumerate(noise):
        runs[f"baseline/{s}"] = run_of(tmp_path, f"b{s}", {"ref": 2.6 + e, "code": 2.0})
        runs[f"aa/{s}"] = run_of(tmp_path, f"a{s}", {"ref": 2.6 - e, "code": 2.0 + e})
        bits = {"ref": 2.4 + e / 2, "code": 2.3 + e}
        runs[f"best/{s}"] = run_of(tmp_path, f"t{s}", bits, **(changed if s == 3 else {}))
    return operator.run(Context(seed=0, work=tmp_path, refs={"runs": runs}))


def test_the_comparison_says_better_worse_and_cannot_tell(tmp_path):
    metrics = compared(tmp_path)
    effects = metrics["arms"]["best"]["effects"]
    assert effects["ref"]["verdict"] == "better"
    assert effects["ref"]["mean_diff"] == pytest.approx(-0.2, abs=1e-3)
    assert effects["ref"]["low"] < effects["ref"]["mean_diff"] < effects["ref"]["high"] < 0
    assert effects["code"]["verdict"] == "worse"
    assert metrics["aa"]["aa"]["effects"]["ref"]["verdict"] == "cannot tell"
    assert metrics["primary"] == "ref"
    assert effects["ref"]["p_holm"] >= effects["ref"]["p"]
    assert metrics["aa"]["aa"]["effects"]["ref"]["p_holm"] is None


def test_the_comparison_says_what_it_cannot_claim(tmp_path):
    metrics = compared(tmp_path)
    assert metrics["screening_only"]
    assert any("screening only" in note for note in metrics["notes"])
    assert any("fixed selection" in note for note in metrics["notes"])
    assert metrics["arms"]["best"]["effects"]["ref"]["fixed_selection"]
    text = "\n".join(compare.render(metrics))
    assert all(word in text for word in ("aa (A/A)", "better", "worse", "cannot tell", "screening only", "ref*"))


@pytest.mark.parametrize("changed", [{"tokens": 901}, {"steps": 8}, {"parameters": 1}])
def test_runs_that_differ_in_size_are_not_compared(tmp_path, changed):
    with pytest.raises(DataError, match="runs differ in"):
        compared(tmp_path, **changed)


def test_importing_the_training_stage_imports_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys, winnow.trainers.ablation, winnow.pipeline.holdout;"
        "print([m for m in ('torch', 'scipy', 'tokenizers', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_encoder_gives_offsets_that_cut_the_ids(tokenizer):
    ids, offsets = Encoder(tokenizer.files()[FILE])(pl.Series(TEXTS))
    assert offsets[0] == 0
    assert offsets[-1] == len(ids)
    assert Train.kind is Kind.ARTEFACT
