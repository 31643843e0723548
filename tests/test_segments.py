"""Segments of texts: what ends a sentence and a line, and that no byte is lost."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.words.segments import TITLES, of_tokens, segment_texts, segments
from winnow.core.words.text import valid_mask
from winnow.pipeline.measure.segment_scores import SegmentScores
from winnow.trainers.data.encoder import ByteEncoder, Encoder
from winnow.trainers.data.pack import Documents, batches_of
from winnow.trainers.data.token_bytes import token_bytes
from winnow.trainers.data.tokenizer import Tokenizer
from winnow.trainers.online.token_scores import token_scores

PIECES = [
    " ",
    "\n",
    "\n\n",
    "\r\n",
    ".",
    "!",
    "?",
    "...",
    '"',
    ")",
    "(",
    "Mr",
    "Fig",
    "a",
    "B",
    "3",
    "é",
    "è.",
    "。",
    "”",
    "\t",
]


def cut(text: str, by: str = "sentences") -> list[str]:
    array = pa.array([text], pa.large_string())
    return segment_texts(array, segments(array, by=by)).to_pylist()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One. Two! Three? Four", ["One.", " Two!", " Three?", " Four"]),
        ('He said "Why?" and left. Then', ['He said "Why?" and left.', " Then"]),
        ('She left. "Good." (So it was.) End', ["She left.", ' "Good."', " (So it was.)", " End"]),
        ("Dr. J. Smith of the U.S. Army came. All", ["Dr. J. Smith of the U.S. Army came.", " All"]),
        ("See Fig. 3 and no. 5. He said no. Then", ["See Fig. 3 and no. 5.", " He said no.", " Then"]),
        ("1. First one. 2. Next", ["1. First one.", " 2. Next"]),
        ("In 1990. Then", ["In 1990.", " Then"]),
        ("So do I. Then e.g. this", ["So do I.", " Then e.g. this"]),
        ("Pi is 3.14 or a.b.c here. New", ["Pi is 3.14 or a.b.c here.", " New"]),
        ("Wait... and go... Now", ["Wait... and go...", " Now"]),
        ("A heading\n\nIts text\ngoes on", ["A heading", "\n\nIts text\ngoes on"]),
        ("你好。再见！好", ["你好。", "再见！", "好"]),
        ("Ça va. été, oui. Était", ["Ça va. été, oui.", " Était"]),
        ("Кто? он. Он", ["Кто? он.", " Он"]),
        ("ہے۔ اور", ["ہے۔", " اور"]),
        ("Fin… «Oui.» “Non.” Ja", ["Fin…", " «Oui.»", " “Non.”", " Ja"]),
        ("Last one. \n\n ", ["Last one. \n\n "]),
        ("  \n ", ["  \n "]),
        ("", []),
    ],
)
def test_sentences_end_where_readers_say(text, pieces):
    assert cut(text) == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a\nb\r\nc\rd", ["a\n", "b\r\n", "c\r", "d"]),
        ("def f():\n    pass\n\n\nprint()\n", ["def f():\n", "    pass\n", "\n\nprint()\n"]),
        ("\n\nx. Y", ["\n\nx. Y"]),
        ("\n", ["\n"]),
    ],
)
def test_lines_end_with_their_line_end(text, pieces):
    assert cut(text, "lines") == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One. Two\nthree\n\nFour", ["One. Two\nthree\n", "\nFour"]),
        ("a\r\n\r\n b\n \t\n\n  c\n", ["a\r\n", "\r\n b\n", " \t\n\n  c\n"]),
        ("\n\na\rb\r\r", ["\n\na\rb\r\r"]),
    ],
)
def test_paragraphs_end_before_an_empty_line(text, pieces):
    assert cut(text, "paragraphs") == pieces


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=5),
    st.sampled_from(["sentences", "lines", "paragraphs"]),
)
def test_no_byte_is_lost_and_no_neighbour_matters(texts, by):
    array = pa.array(["before. It", *texts], pa.large_string())[1:]
    found = segments(array, by=by)
    pieces = segment_texts(array, found).to_pylist()
    per = ["".join(pieces[a:b]) for a, b in zip(found.rows[:-1], found.rows[1:], strict=True)]
    assert per == texts
    assert [p for text in texts for p in cut(text, by)] == pieces
    for text, a, b in zip(texts, found.rows[:-1], found.rows[1:], strict=True):
        assert all(p.strip() for p in pieces[a:b]) or (b - a == 1 and not text.strip())
        assert (np.diff(np.append(0, found.ends[a:b])) > 0).all()


def test_nulls_have_no_segments_and_broken_bytes_no_crash():
    texts = pa.array(["Aa. B", None, "", "C"], pa.large_string())
    found = segments(texts, by="sentences")
    assert found.lists(found.ends, valid_mask(texts)).to_pylist() == [[3, 5], None, [], [1]]
    broken = pa.array([b"a\xe3\x80", b"\xc2", b".\xff. \xe2"], pa.large_binary())
    found = segments(broken, by="sentences")
    assert found.ends[found.rows[1:] - 1].tolist() == [3, 1, 5]
    with pytest.raises(ConfigError, match="pages"):
        segments(texts, by="pages")


def test_titles_fit_the_kernel_that_compares_them():
    assert all(1 < len(t.encode()) <= 8 and t == t.lower() for t in TITLES)


def test_a_token_has_the_segment_of_its_first_byte_and_the_end_mark_that_of_the_last():
    ends = np.array([4, 9])  # "Oh. " would be 4 bytes
    assert of_tokens(ends, np.array([2, 1, 2, 4, 0])).tolist() == [0, 0, 0, 1, 1]
    assert of_tokens(ends, np.array([4, 5])).tolist() == [0, 1]
    assert of_tokens(np.zeros(0, dtype=np.int64), np.array([1, 0])).tolist() == [-1, -1]


def scored(texts: list[str | None], **fields) -> dict[str, list]:
    operator = SegmentScores(**fields)
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return operator.open(None)(batch).to_pydict()


def test_hits_per_character_of_every_segment():
    out = scored(["Call 55 or 7. Fine. Ünï 1!", None, "", "no"], hits=("[0-9]+", "Call"))
    assert out["segment_scores"] == [[3 / 13, 0.0, 1 / 7], None, [], [0.0]]
    assert out["segment_ends"] == [[13, 19, 28], None, [], [2]]
    assert out["segment_worst"] == [3 / 13, None, None, 0.0]
    assert scored(["ab\nb"], hits=("b",), by="lines")["segment_scores"] == [[1 / 3, 1.0]]


@pytest.mark.parametrize("hits", [(), ("(",), ("x*",)])
def test_patterns_that_cannot_tell_are_refused(hits):
    with pytest.raises(ConfigError):
        SegmentScores(hits=hits).validate()


TEXTS = ["Bad 1. Good é!  Bad 22.", "", "None here", "你好。Bad 3\n\n"]


@pytest.fixture(scope="module")
def bpe(tmp_path_factory):
    """A byte-level tokenizer with merges, as a file."""
    work = tmp_path_factory.mktemp("bpe")
    operator = Tokenizer(vocab=290)
    rows = pl.DataFrame({"doc_id": [bytes(16)], "text": [" ".join(TEXTS) * 3]})
    operator.fit(rows, Context(seed=0, work=work))
    return work / "tokenizer.json"


def test_a_token_has_the_score_of_its_sentence_in_packed_rows_too(bpe):
    lists = scored([*TEXTS], hits=("[0-9]+",))
    lists["segment_scores"][2] = None  # a document without scores
    lists["segment_ends"][2] = None
    ids, offsets = Encoder(bpe)(pl.Series(TEXTS))
    spelt = token_bytes(bpe, vocab=290)
    assert spelt[ids].sum() == sum(len(t.encode()) for t in TEXTS)
    found = token_scores(pl.Series(lists["segment_scores"], dtype=pl.List(pl.Float64)), pl.Series(lists["segment_ends"]),
                         tokens=ids, offsets=offsets, token_bytes=spelt)  # fmt: skip
    for d, text in enumerate(TEXTS):
        mine = found.scores[found.first[d] : found.first[d + 1]]
        assert len(mine) == offsets[d + 1] - offsets[d] + 1
        if lists["segment_ends"][d]:
            starts = np.cumsum(spelt[ids[offsets[d] : offsets[d + 1]]]) - spelt[ids[offsets[d] : offsets[d + 1]]]
            want = [lists["segment_scores"][d][sum(e <= s for e in lists["segment_ends"][d])] for s in starts]
            assert mine.tolist() == pytest.approx([*want, lists["segment_scores"][d][-1]])
        else:
            assert np.isnan(mine).all()
    doc_id = pl.Series([bytes([i]) * 16 for i in range(4)], dtype=pl.Binary)
    documents = Documents(doc_id=doc_id, tokens=ids, offsets=offsets)
    for packing in ("best_fit", "concat"):
        rows = batches_of(documents, context=4, batch=2, tokens=documents.num_tokens, end=289, seed=1, packing=packing)
        seen: dict[tuple[int, int], float] = {}
        for step in range(rows.num_steps):
            batch = rows.batch(step)
            at = batch.documents >= 0
            keys = zip(batch.documents[at].tolist(), batch.places[at].tolist(), strict=True)
            seen |= dict(zip(keys, found.of(batch)[at].tolist(), strict=True))
            assert np.isnan(found.of(batch)[~at]).all()
            own = [ids[offsets[d] + p] if offsets[d] + p < offsets[d + 1] else 289
                   for d, p in zip(batch.documents[at], batch.places[at], strict=True)]  # fmt: skip
            assert batch.targets[at].tolist() == own
        want_all = {
            (d, i): s for d in range(4) for i, s in enumerate(found.scores[found.first[d] : found.first[d + 1]])
        }
        assert seen == pytest.approx(want_all, nan_ok=True)


def test_bytes_are_counted_of_byte_level_tokenizers_alone(bpe, tmp_path):
    assert token_bytes(None, vocab=257).tolist() == [1] * 256 + [0]
    for change in ({"normalizer": {"type": "NFC"}}, {"pre_tokenizer": {"type": "Metaspace"}}, {"pre_tokenizer": None}):
        other = tmp_path / "tokenizer.json"
        other.write_text(json.dumps(json.loads(bpe.read_text()) | change))
        with pytest.raises(ConfigError, match="byte by byte"):
            token_bytes(other, vocab=290)


def test_segments_of_another_text_or_another_stage_are_refused():
    ids, offsets = ByteEncoder()(pl.Series(["ab. Cd"]))
    known = {"tokens": ids, "offsets": offsets, "token_bytes": token_bytes(None, vocab=257)}
    good = token_scores(pl.Series([[1.0, 2.0]]), pl.Series([[3, 6]]), **known)
    assert good.scores.tolist() == [1, 1, 1, 2, 2, 2, 2]
    with pytest.raises(DataError, match="byte 7 and 6"):
        token_scores(pl.Series([[1.0, 2.0]]), pl.Series([[3, 7]]), **known)
    with pytest.raises(DataError, match="2 ends"):
        token_scores(pl.Series([[1.0]]), pl.Series([[3, 6]]), **known)
