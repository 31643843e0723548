"""Token counts by stated estimates and by a tokenizer file."""

import pickle
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.pipeline.measure.count_tokens import CountTokens

TEXTS = ["", "a", "abcd", "abcde", "zwölf Boxkämpfer", "日本語", "  two\n words\t", None]


def counts(operator: CountTokens, texts, refs=None) -> list:
    operator.validate()
    found = operator.open(Context(seed=0, work=Path(), refs=refs or {}))(
        pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    )
    assert found.columns == ["token_count"]
    assert found["token_count"].dtype == pl.Int64
    return found["token_count"].to_list()


def test_bytes_are_divided_and_rounded_up():
    assert counts(CountTokens(), TEXTS) == [0, 1, 1, 2, 5, 3, 4, None]
    assert counts(CountTokens(tokenizer="bytes/1"), TEXTS) == [0, 1, 4, 5, 18, 9, 13, None]


@given(st.lists(st.text(max_size=50), max_size=6), st.integers(1, 9999))
def test_the_estimate_is_the_ceiling_of_utf8_bytes_over_n(texts, size):
    wanted = [-(-len(text.encode()) // size) for text in texts]
    assert counts(CountTokens(tokenizer=f"bytes/{size}"), texts) == wanted


def test_words_are_runs_between_white_space():
    assert counts(CountTokens(tokenizer="words"), TEXTS) == [0, 1, 1, 1, 2, 1, 2, None]


@pytest.mark.parametrize("name", ["bytes/0", "bytes/", "bytes/-1", "bytes/2.5", "gpt2", "", "bytes/4 ", "tok.json"])
def test_unknown_tokenizers_are_refused(name):
    with pytest.raises(ConfigError, match="tokenizer"):
        CountTokens(tokenizer=name).validate()


def test_a_file_and_the_word_file_go_together():
    for bad in (CountTokens(tokenizer="file"), CountTokens(tokenizer_file=("t.json",))):
        with pytest.raises(ConfigError, match="tokenizer_file"):
            bad.validate()


def test_a_tokenizer_file_counts_without_special_tokens_and_in_any_batch(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.models.WordLevel({"[UNK]": 0, "two": 1, "words": 2, "[CLS]": 3}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 3)])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=9)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    operator = CountTokens(tokenizer="file", tokenizer_file=("tokenizer.json",))
    refs = {"tokenizer_file": [str(path)]}
    assert operator.uses == ("tokenizers",)
    assert CountTokens().uses == ()
    assert counts(operator, ["two words!", "", None, "two two two two two"], refs) == [3, 0, None, 5]
    assert counts(operator, ["two words!"], refs) == [3]
    assert counts(operator, [], refs) == []
    path.write_text("{}")
    with pytest.raises(ConfigError, match="not a tokenizer"):
        counts(operator, [], refs)


def test_the_operator_pickles_and_declares_int64():
    assert CountTokens().outputs() == {"token_count": pa.int64()}
    assert pickle.loads(pickle.dumps(CountTokens(tokenizer="words"))) == CountTokens(tokenizer="words")
