"""Tokens, packing and the expansion of an ablation: what needs no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Kind
from winnow.trainers.data import pack
from winnow.trainers.data.encoder import FILE, Encoder
from winnow.trainers.data.tokenizer import Tokenizer
from winnow.trainers.data.tokens import Tokens
from winnow.trainers.model.train_gpt import Train

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


def test_a_blob_without_a_space_is_cut_for_the_fit(tmp_path):
    rows = pl.DataFrame({"doc_id": [id_of(0), id_of(1)], "text": ["x" * 20_000, "hello world " * 200]})
    operator = Tokenizer(vocab=600)
    operator.fit(operator.sample(rows, Context(seed=1, work=tmp_path)), Context(seed=1, work=tmp_path))
    learned = json.loads((tmp_path / FILE).read_text())["model"]["vocab"]
    assert max(map(len, learned)) == 257  # with the space; uncut 16,384, and the time grows with its square


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


def test_importing_the_training_stage_imports_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys, winnow.trainers.ablation.ablation, winnow.pipeline.filter.holdout;"
        "print([m for m in ('torch', 'scipy', 'tokenizers', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_encoder_gives_offsets_that_cut_the_ids(tokenizer):
    ids, offsets = Encoder(tokenizer.files()[FILE])(pl.Series(TEXTS))
    assert offsets[0] == 0
    assert offsets[-1] == len(ids)
    assert Train.kind is Kind.ARTEFACT
