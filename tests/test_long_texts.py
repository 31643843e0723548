"""Long texts in pieces: the ids of the whole, and what a tokenizer is given at once."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from typing import Any

import polars as pl
import pytest

from winnow.core.words import long_texts
from winnow.core.words.long_texts import cuts_between_words, groups
from winnow.trainers.data.encoder import Encoder

tokenizers = pytest.importorskip("tokenizers")
PARTS = ["the", "don't", "we'll", "3x", "größe", "語", "a", "I", "x1", "'s", "(so)", "e.g.", "\u00a0", "é"]
GAPS = [" ", " ", " ", " ", "  ", "\n", " \n ", "\t", "", "   "]


def text_of(seed: int, words: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(PARTS) + draw.choice(GAPS) for _ in range(words))


def byte_level(**how: Any) -> Any:
    """A tokenizer as winnow fits one, with merges over every kind of word above."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(**({"add_prefix_space": False} | how))
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320, show_progress=False, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator([text_of(9, 3000)], trainer)
    return made


def test_pieces_have_the_ids_of_the_whole(monkeypatch):
    monkeypatch.setattr(long_texts, "PIECE", 12)
    monkeypatch.setattr(long_texts, "GROUP", 40)
    made = byte_level()
    texts = [text_of(seed, draw) for seed, draw in enumerate([0, 1, 400, 3, 0, 900, 2])]
    cut = list(groups(texts, cut=True))
    assert sum(len(pieces) for _, pieces in cut) > 100, "they are cut"
    ids, offsets = Encoder(made.to_str())(pl.Series(texts))
    whole = [made.encode(text, add_special_tokens=False).ids for text in texts]
    assert [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)] == whole
    assert len(Encoder(made.to_str())(pl.Series([], dtype=pl.String))[0]) == 0


def test_a_tokenizer_is_given_no_more_at_once_however_long_a_text_is(monkeypatch):
    monkeypatch.setattr(long_texts, "PIECE", 50)
    monkeypatch.setattr(long_texts, "GROUP", 200)
    texts = ["word " * 2000, "a b", "", "no end of a word" * 3, "x" * 500]
    found = list(groups(texts, cut=True))
    for row, text in enumerate(texts):
        own = [p for rows, pieces in found for r, p in zip(rows, pieces, strict=True) if r == row]
        assert "".join(own) == text, "nothing is lost, nothing comes twice"
    assert all(sum(map(len, pieces)) <= 200 or len(pieces) == 1 for _, pieces in found)
    assert max(len(p) for _, pieces in found for p in pieces if "x" not in p) < 60
    assert [pieces for _, pieces in groups(texts, cut=False)] == [texts[:1], texts[1:4], texts[4:]]


def test_only_tokenizers_that_split_at_blanks_are_cut():
    assert cuts_between_words(byte_level())
    normed, prefixed, added = byte_level(), byte_level(add_prefix_space=True), byte_level()
    normed.normalizer = tokenizers.normalizers.NFKC()
    added.add_tokens(["the don"])
    unsplit = byte_level(use_regex=False)
    short = byte_level()
    short.enable_truncation(5)
    other = tokenizers.Tokenizer(tokenizers.models.WordLevel({"the": 0}, unk_token="the"))
    for made in (normed, prefixed, added, unsplit, short, other):
        assert not cuts_between_words(made)


MEASURED = """
import resource, sys
import polars as pl
sys.path.insert(0, "tests")
from test_long_texts import byte_level, text_of
from winnow.trainers.data.encoder import Encoder
encode, text = Encoder(byte_level().to_str()), text_of(1, 1000) * {times}
texts = [text] if {whole} else [text[at : at + 2000] for at in range(0, len(text), 2000)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tokens = sum(len(encode(pl.Series(texts[at : at + 512]))[0]) for at in range(0, len(texts), 512))
print(len(text.encode()), tokens, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_ten_megabytes_in_one_document_take_the_memory_of_small_ones():
    """Peak memory beyond what the process has: of one document, and of the same text in 2 kB documents."""

    def measured(whole: bool) -> tuple[int, int, int]:
        code = MEASURED.format(times=2500, whole=whole)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        size, tokens, peak = map(int, done.stdout.split())
        return size, tokens, peak

    (size, tokens, one), (_, more, small) = measured(True), measured(False)
    assert size > 10_000_000
    assert tokens <= more < 1.01 * tokens
    assert one < small + 10 * size, "the whole of it at once took 130 bytes per byte"
