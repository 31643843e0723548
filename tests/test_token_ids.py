"""Token ids by gigatoken are those of the library, and where they are not the library answers and says why."""

from __future__ import annotations

import itertools
import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import winnow
from winnow.core.operators import Context
from winnow.core.words import gigatoken_ids, token_ids
from winnow.core.words import identity_texts as identity
from winnow.core.words.identity_texts import PIECES, identity_texts
from winnow.core.words.token_ids import COUNTED, TokenIds, by_library, slow_remarks
from winnow.pipeline.measure.count_tokens import CountTokens
from winnow.trainers.data.encoder import Encoder

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("gigatoken")

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL = ["<|end|>", "<pad>"]
TAUGHT = [f"the words {n} don't grow, größer 漢字 e\u0301 {n * 7919} HTTPServer  \n\t the word" for n in range(80)]


def trained(split: Any, *, vocab: int = 500, norm: Any = None, **model: Any) -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.BPE(**model))
    made.pre_tokenizer = split
    if norm is not None:
        made.normalizer = norm
    made.decoder = tokenizers.decoders.ByteLevel()
    fallback = [f"<0x{byte:02X}>" for byte in range(256)] if model.get("byte_fallback") else []
    alphabet = [] if fallback else tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, initial_alphabet=alphabet, special_tokens=[*SPECIAL, *fallback]
    )
    made.train_from_iterator(TAUGHT, trainer)
    known = json.loads(made.to_str())
    known["added_tokens"] = [token for token in known["added_tokens"] if not token["content"].startswith("<0x")]
    return tokenizers.Tokenizer.from_str(json.dumps(known))


def zoo() -> dict[str, str]:
    pre, split = tokenizers.pre_tokenizers, tokenizers.Regex
    llama = pre.Sequence([pre.Split(split(GPT4), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    added = trained(pre.ByteLevel(add_prefix_space=False))
    added.add_tokens([tokenizers.AddedToken("<think>", normalized=False), tokenizers.AddedToken("[L]", lstrip=True)])
    made = {
        "gpt2": trained(pre.ByteLevel(add_prefix_space=False)),
        "added": added,
        "llama3": trained(llama),
        "qwen": trained(llama, norm=tokenizers.normalizers.NFC()),
        "sentencepiece": trained(pre.Metaspace("▁", prepend_scheme="first"), byte_fallback=True, unk_token="<pad>"),
    }
    return {name: one.to_str() for name, one in made.items()}


ZOO = zoo()


@pytest.fixture(autouse=True)
def _from_the_first_byte_and_quickly(monkeypatch):
    monkeypatch.setattr(token_ids, "WORTH", 0)
    monkeypatch.setattr(identity, "_code_points", lambda: iter(()))
    yield
    token_ids._chosen.clear()


def opened(source: str, *, plain: bool = False) -> tuple[TokenIds, Any]:
    """What is tested, and the library by itself."""
    both = [tokenizers.Tokenizer.from_str(source) for _ in range(2)]
    for one in both:
        one.encode_special_tokens = plain
    return TokenIds(both[0]), both[1]


def lists(found: Any, rows: int) -> list[list[int]]:
    out: list[list[int]] = [[] for _ in range(rows)]
    for numbers, ids, counts in found:
        assert ids.dtype == np.uint32
        for row, part in zip(numbers, np.split(ids, np.cumsum(counts)[:-1]), strict=True):
            out[row] += part.tolist()
    return out


def told(ids: TokenIds) -> str:
    (name,) = ids.counted
    return name.removeprefix(COUNTED)


ENGINES = {(name, plain): opened(source, plain=plain) for name, source in ZOO.items() for plain in (False, True)}
SPELT = [*PIECES, *SPECIAL, "<think>", "[L]", "<|end", "|>", "\ud7ff"]
TEXT = st.lists(st.one_of(st.sampled_from(SPELT), st.text(max_size=5)), max_size=14).map("".join)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(ENGINES)), st.lists(TEXT, max_size=7), st.integers(1, 40))
def test_any_text_in_any_group_has_the_ids_of_the_library(which, texts, span):
    ours, library = ENGINES[which]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_ids, "WORTH", 0)
        patch.setattr(token_ids, "SPAN", span)
        found = lists(ours(pl.Series(texts, dtype=pl.String)), len(texts))
    assert found == [one.ids for one in library.encode_batch_fast(texts, add_special_tokens=False)]
    assert set(ours.counted) <= {f"{COUNTED}gigatoken {version('gigatoken')}"}


def test_the_identity_texts_hold_every_kind_of_sign_and_word(monkeypatch):
    monkeypatch.undo()
    added = [{"content": f"<{n}>", "special": n % 2 == 0, "lstrip": n == 30} for n in range(99)]
    texts = identity_texts(added, ["Ġown"])
    assert texts == identity_texts(added, ["Ġown"]), "the same every time"
    assert {"", "Ġown", "<0><0>", "s<1>", "<30>s", "<0", "漢字 ", "  \n"} <= set(texts)
    assert sum(f"<{n}>s" in texts for n in range(99)) == 2 * identity.MOST_PER_KIND + 1, "of every kind of token"
    signs = set("".join(texts))
    assert {chr(n) for n in range(0x3000)} <= signs
    assert all(signs & {chr(n) for n in range(start, start + 509)} for start in range(0x3000, 0xD000, 509))
    assert max(map(len, texts)) >= 3000
    assert sum(len(text.encode()) for text in texts) < 400_000, "a quarter of a second of the library's"


def test_a_slice_of_a_column_has_its_own_ids():
    ours, library = opened(ZOO["llama3"])
    texts = pl.Series([f"{text} {n}" for n, text in enumerate(TAUGHT * 20)])
    assert lists(ours(texts[301:309]), 8) == [one.ids for one in library.encode_batch(texts[301:309].to_list())]
    assert lists(ours(texts), len(texts))[5] == library.encode(texts[5]).ids
    assert told(ours).startswith("gigatoken ")


@pytest.mark.parametrize("plain", [False, True])
def test_texts_that_spell_special_tokens_are_those_or_stay_text(plain):
    ours, library = opened(ZOO["gpt2"], plain=plain)
    (found,) = lists(ours(pl.Series(["a<|end|>b"])), 1)
    assert (library.token_to_id("<|end|>") in found) is not plain
    assert found == library.encode("a<|end|>b").ids
    assert told(ours).startswith("gigatoken ")


def test_a_tokenizer_s_own_cuts_and_drops_are_off_and_what_it_adds_is_left_out():
    known = json.loads(ZOO["gpt2"])
    known["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    known["padding"] = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1,
                        "pad_type_id": 0, "pad_token": "<pad>"}  # fmt: skip
    known["model"]["dropout"] = 0.5
    whole = tokenizers.Tokenizer.from_str(ZOO["gpt2"])
    made = tokenizers.Tokenizer.from_str(json.dumps(known))
    made.post_processor = tokenizers.processors.TemplateProcessing("<|end|> $A", special_tokens=[("<|end|>", 0)])
    texts = [text + " the words the words" for text in TAUGHT]
    for worth in (0, 1 << 60):  # by gigatoken, by the library
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(token_ids, "WORTH", worth)
            ids, offsets = Encoder(made.to_str())(pl.Series(texts))
        found = [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)]
        assert found == [one.ids for one in whole.encode_batch(texts, add_special_tokens=False)]


def _single_word() -> str:
    made = tokenizers.Tokenizer.from_str(ZOO["gpt2"])
    made.add_tokens([tokenizers.AddedToken("word", single_word=True, normalized=False)])
    return made.to_str()


def _word_level() -> str:
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"the": 0, "[UNK]": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made.to_str()


@pytest.mark.parametrize(
    ("source", "why"), [(_single_word(), "gives other ids for"), (_word_level(), "cannot read this tokenizer")]
)
def test_a_tokenizer_that_gigatoken_has_otherwise_or_not_at_all_is_the_library_s(source, why):
    ours, library = opened(source)
    texts = ["  words the word", "the", ""]
    assert lists(ours(pl.Series(texts)), 3) == [one.ids for one in library.encode_batch(texts)]
    assert why in told(ours)
    (line,) = slow_remarks(ours.counted)
    assert line.startswith("3 documents were tokenized by tokenizers ")
    assert why in line


class PanicException(BaseException):  # as pyo3 calls a panic
    pass


def _spoilt(monkeypatch, spoil: Any) -> None:
    true = gigatoken_ids.Gigatoken.__call__
    monkeypatch.setattr(gigatoken_ids.Gigatoken, "__call__", lambda self, at, data: spoil(data, *true(self, at, data)))


def test_ids_that_are_wrong_for_the_data_alone_end_gigatoken_before_they_are_given(monkeypatch):
    marked = "0xQZ17"  # stands in no text of the identity check
    assert not any(marked in text for text in identity_texts((), ()))
    _spoilt(monkeypatch, lambda data, ids, counts: (ids + (marked.encode() in bytes(data)), counts))
    ours, library = opened(ZOO["gpt2"])
    other, _ = opened(ZOO["gpt2"])
    assert lists(other(pl.Series(["fine"])), 1) == [library.encode("fine").ids]
    texts = [f"{marked} of {n}" for n in range(50)]
    assert lists(ours(pl.Series(texts)), 50) == [one.ids for one in library.encode_batch(texts)]
    assert "gives other ids for 16 of 16 texts" in told(ours)
    assert lists(other(pl.Series([marked])), 1) == [library.encode(marked).ids], "the whole process has given it up"


def test_ids_that_are_right_and_dealt_wrongly_to_the_texts_are_other_ids(monkeypatch):
    _spoilt(monkeypatch, lambda data, ids, counts: (ids, counts[::-1]))
    ours, library = opened(ZOO["gpt2"])
    assert lists(ours(pl.Series(["a", "the word"])), 2) == [library.encode(text).ids for text in ("a", "the word")]
    assert "gives other ids" in told(ours)


def test_a_sample_is_compared_again_whenever_as_much_has_come_as_before(monkeypatch):
    monkeypatch.setattr(token_ids, "WORTH", 1000)
    compared, true = [], token_ids.Engine.compare
    monkeypatch.setattr(
        token_ids.Engine, "compare", lambda self, t, texts: (compared.append(len(texts)), true(self, t, texts))
    )
    ours, library = opened(ZOO["gpt2"])
    text = "the word " * 20
    for _ in range(45):
        assert lists(ours(pl.Series([text])), 1) == [library.encode(text).ids]
    counts = {name.removeprefix(COUNTED).split()[0]: n for name, n in ours.counted.items()}
    assert counts == {"tokenizers": 5, "gigatoken": 40}, "the first thousand bytes are not worth it"
    assert not slow_remarks(ours.counted)
    assert len(compared) == 1 + 3, "identity texts, then samples at 1,080, 2,160, 4,320 bytes"


@pytest.mark.parametrize("failure", [RuntimeError("no\nmore"), PanicException("no"), ImportError("no awkward")])
def test_a_failure_of_gigatoken_is_answered_by_the_library(monkeypatch, failure):
    def broken(data: Any, ids: Any, counts: Any) -> Any:
        if b"bomb" in bytes(data):
            raise failure
        return ids, counts

    _spoilt(monkeypatch, broken)
    monkeypatch.setattr(token_ids, "_sample", lambda texts: texts[:0])
    ours, library = opened(ZOO["gpt2"])
    assert lists(ours(pl.Series(["fine", "a bomb"])), 2) == [library.encode(text).ids for text in ("fine", "a bomb")]
    assert f"gigatoken failed ({str(failure).splitlines()[0]})" in told(ours)


def test_an_interrupt_is_no_failure_of_gigatoken(monkeypatch):
    def interrupted(data: Any, ids: Any, counts: Any) -> Any:
        raise KeyboardInterrupt

    _spoilt(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(opened(ZOO["gpt2"])[0](pl.Series(["a"])))


def test_without_gigatoken_it_is_said_once_it_matters_and_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    ours, library = opened(ZOO["gpt2"])
    assert lists(ours(pl.Series(["the word"])), 1) == [library.encode("the word").ids]
    (line,) = slow_remarks(ours.counted)
    assert "gigatoken is not installed" in line
    assert "[fast]" in line
    monkeypatch.setattr(token_ids, "WORTH", 100)
    small, _ = opened(ZOO["gpt2"])
    list(small(pl.Series(["the word"])))
    assert not slow_remarks(small.counted)


def test_the_library_can_be_asked_for(monkeypatch):
    monkeypatch.setenv(token_ids.SWITCH, "0")
    ours, library = opened(ZOO["gpt2"])
    assert lists(ours(pl.Series(["the word"])), 1) == [library.encode("the word").ids]
    assert told(ours) == f"tokenizers {tokenizers.__version__}"
    assert not slow_remarks(ours.counted)


def test_no_thread_is_started():
    class Spy:
        def __init__(self, backend: Any) -> None:
            self.backend, self.asked = backend, []

        def encode_batch(self, texts: Any, *, parallel: bool) -> Any:
            self.asked.append(parallel)
            return self.backend.encode_batch(texts, parallel=parallel)

    fast = gigatoken_ids.Gigatoken(ZOO["gpt2"])
    fast._backend = spy = Spy(fast._backend)
    assert len(fast(np.array([0, 3]), np.frombuffer(b"the", np.uint8))[0])
    assert spy.asked == [False]


def test_what_gigatoken_remembers_is_bounded_and_ids_do_not_change(monkeypatch):
    fast = gigatoken_ids.Gigatoken(ZOO["gpt2"])
    offsets, data = np.array([0, 8]), np.frombuffer(b"the word", np.uint8)
    first, _ = fast(offsets, data)
    grown = itertools.count(0, 100 << 20)
    monkeypatch.setattr(gigatoken_ids, "_resident", lambda: next(grown))
    backends = []
    for _ in range(4):
        assert np.array_equal(fast(offsets, data)[0], first)
        backends.append(fast._backend)
    assert fast.renewals == 2, "100 MB a time, 128 MB at most"
    assert len({id(one) for one in backends}) == 3
    monkeypatch.setattr(gigatoken_ids, "_resident", lambda: 7)
    assert [fast(offsets, data) is None for _ in range(9)] == [False] * 9
    assert fast.renewals == 2


@pytest.mark.slow
def test_a_flood_of_new_words_takes_bounded_memory(monkeypatch):
    monkeypatch.setattr(gigatoken_ids, "MOST_GROWTH", 16 << 20)
    fast, sizes, draw = gigatoken_ids.Gigatoken(ZOO["gpt2"]), [], np.random.default_rng(3)
    for _ in range(30):
        data = draw.integers(ord("a"), ord("z") + 1, 1_000_000, dtype=np.uint8)
        data[::10] = ord(" ")
        fast(np.array([0, len(data)]), data)
        sizes.append(psutil.Process().memory_info().rss)
    assert fast.renewals >= 4
    assert max(sizes) - sizes[0] < 100 << 20


RECIPE = """
stages:
  docs: {use: jsonl, files: docs.jsonl}
  bpe: {use: count_tokens, inputs: docs, tokenizer: file, tokenizer_file: bpe.json}
  words: {use: count_tokens, inputs: docs, tokenizer: file, tokenizer_file: words.json}
  all_docs: {use: random, inputs: docs, budget: 100%}
  ids: {use: write_tokens, selection: all_docs, form: parquet, tokenizer: bpe.json}
"""


def test_counts_and_ids_of_a_run_are_the_library_s_and_say_by_what(tmp_path, monkeypatch):
    (tmp_path / "bpe.json").write_text(ZOO["added"])
    (tmp_path / "words.json").write_text(_word_level())
    texts = [*TAUGHT, "", "<|end|> [L]"]
    (tmp_path / "docs.jsonl").write_text(
        "".join(json.dumps({"id": str(n), "text": t}) + "\n" for n, t in enumerate(texts))
    )
    (tmp_path / "r.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    winnow.run_recipe("r.yaml", out="runs")
    run = winnow.open("runs")
    frame = run.frame("docs", ["text", "bpe.token_count"]).collect()
    library = tokenizers.Tokenizer.from_str(ZOO["added"])
    assert frame["bpe.token_count"].to_list() == [len(library.encode(text).ids) for text in frame["text"]]
    library.encode_special_tokens = True
    ids = pl.read_parquet(run.shards("ids") / "*.parquet")
    assert sorted(ids["input_ids"].to_list()) == sorted(
        [*library.encode(text).ids, library.get_vocab_size()] for text in texts
    )
    (line,) = run.remarks("words")
    assert "82 documents were tokenized by tokenizers " in line


def test_the_operator_counts_by_whom(tmp_path):
    (tmp_path / "bpe.json").write_text(ZOO["gpt2"])
    counts: dict[str, int] = {}
    ctx = Context(seed=0, work=tmp_path, refs={"tokenizer_file": [str(tmp_path / "bpe.json")]}, counts=counts)
    operator = CountTokens(tokenizer="file", tokenizer_file=("bpe.json",))
    operator.open(ctx)(pl.DataFrame({"text": ["the word", None, "a"]}))
    ((name, number),) = counts.items()
    assert (name.startswith(f"{COUNTED}gigatoken "), number) == (True, 2)
    assert operator.remarks(counts, {}) == ()
    assert len(operator.remarks({f"{COUNTED}tokenizers 1: why": 5}, {})) == 1


def test_the_library_s_own_ids_come_text_by_text():
    library = tokenizers.Tokenizer.from_str(ZOO["gpt2"])
    ids, counts = by_library(library, ["a", "", "the word"])
    assert counts.tolist() == [1, 0, len(library.encode("the word").ids)]
    assert ids.tolist() == library.encode("a").ids + library.encode("the word").ids
