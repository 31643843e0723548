"""Hashes are XXH64, n-grams follow the stated word rule, content digests see cells and nothing else."""

from __future__ import annotations

import ctypes
import itertools
import mmap

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_normal_form import reference

from winnow.core.errors import DataError
from winnow.core.words import hashing, word_kernels
from winnow.core.words import hashing_kernels as kernels
from winnow.core.words.text import utf8_buffers

MASK = 2**64 - 1
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def ids(count: int) -> pa.Array:
    return hashing.text_hash(pa.array([f"doc{i}" for i in range(count)], pa.large_string()))


def digest(column: pa.Array, doc_id: pa.Array | None = None) -> tuple[int, int]:
    return hashing.column_digest(ids(len(column)) if doc_id is None else doc_id, column)


# ---- XXH64


@pytest.mark.parametrize("seed", [0, 1, 0x9E3779B185EBCA87, MASK])
def test_row_hashes_equal_the_reference_library_for_every_length(seed):
    rng = np.random.default_rng(3)
    rows = [rng.bytes(n) for n in [*range(140), 1000, 4096, 10_001]]
    found = hashing.hash_rows(*utf8_buffers(pa.array(rows, pa.large_binary())), seed)
    assert found.tolist() == [xxhash.xxh64_intdigest(row, seed) for row in rows]


def test_a_sliced_array_hashes_its_own_rows():
    rows = [b"x" * n for n in range(50)]
    whole = pa.array(rows, pa.large_binary())
    found = hashing.hash_rows(*utf8_buffers(whole.slice(7, 20)), 5)
    assert found.tolist() == [xxhash.xxh64_intdigest(row, 5) for row in rows[7:27]]


def test_nothing_is_read_past_a_buffer_that_ends_where_memory_ends():
    size = mmap.PAGESIZE
    pages = mmap.mmap(-1, 2 * size)
    pages.write((b"word 1234_ ABC, " * size)[:size])
    data = np.frombuffer(pages, dtype=np.uint8)[:size]
    fence = ctypes.c_void_p(data.ctypes.data + size)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(fence, ctypes.c_size_t(size), 0) == 0  # reading on would kill the process
    try:
        for tail in range(1, 80):
            offsets = np.array([size - tail, size], dtype=np.int64)
            expected = xxhash.xxh64_intdigest(bytes(data[size - tail :]), 0)
            assert hashing.hash_rows(offsets, data, 0).tolist() == [expected]
            copied = word_kernels.ngram_rows(offsets - (size - tail), data[size - tail :].copy(), 2)[1]
            assert word_kernels.ngram_rows(offsets, data, 2)[1].tolist() == copied.tolist()
    finally:
        libc.mprotect(fence, ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_WRITE)


def test_text_hashes_are_two_seeded_lanes_and_null_is_zero():
    found = hashing.as_lanes(hashing.text_hash(pa.array(["a", None, ""], pa.large_string()))).tolist()
    lanes = [[xxhash.xxh64_intdigest(t, s) for s in hashing.TEXT_SEEDS] for t in (b"a", b"")]
    assert found == [lanes[0], [0, 0], lanes[1]]
    assert hashing.text_hash(pa.array([None, "b"], pa.large_string())).null_count == 0


def test_ids_survive_every_form_a_column_of_16_bytes_can_have():
    fixed = ids(5)
    lanes = hashing.as_lanes(fixed)
    assert np.shares_memory(lanes, np.frombuffer(fixed.buffers()[1], dtype=np.uint64))
    polars = pl.Series(fixed.cast(pa.large_binary()))
    forms = [
        fixed.cast(pa.binary()),
        fixed.cast(pa.large_binary()),
        polars.to_arrow(),
        pa.chunked_array([fixed]),
    ]
    assert all((hashing.as_lanes(form) == lanes).all() for form in forms)
    assert (hashing.as_lanes(fixed.slice(2, 2)) == lanes[2:4]).all()
    assert hashing.from_lanes(lanes).equals(fixed)
    with pytest.raises(DataError, match="16-byte"):
        hashing.as_lanes(pa.array([b"short"]))
    with pytest.raises(DataError, match="int64"):
        hashing.as_lanes(pa.array([1]))


# ---- words and n-grams


def rotl(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (64 - bits))) & MASK


def absorb(state: int, word: int) -> int:
    lane = rotl(word * int(kernels.P2) & MASK, 31) * int(kernels.P1) & MASK
    return (rotl(state ^ lane, 27) * int(kernels.P1) + int(kernels.P4)) & MASK


def avalanche(state: int) -> int:
    state = (state ^ state >> 33) * int(kernels.P2) & MASK
    state = (state ^ state >> 29) * int(kernels.P3) & MASK
    return state ^ state >> 32


def words(text: str) -> list[str]:
    """The word rule in plain Python, over the normal form."""
    punctuation = word_kernels.SEPARATORS
    alone = word_kernels.ALONE + word_kernels.ALONE_FAR
    found, word, before = [], "", False
    for char in [*reference(text), " "]:
        point = ord(char)
        if before and point in (0x3099, 0x309A):  # the voicing of the kana before it
            found[-1] += char
            continue
        before = _within(point, alone) and not (_within(point, punctuation) and point >= 128)
        separates = not (char.isalnum() or char == "_") if point < 128 else _within(point, punctuation)
        if not separates and not _within(point, alone):
            word += char.lower() if point < 128 else char
            continue
        found += [word] if word else []
        word = ""
        found += [] if separates else [char]
    return found


def _within(point: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= point <= last for first, last in ranges)


def word_hash(word: str) -> int:
    data, state = word.encode(), int(kernels.P5)
    for at in range(0, len(data) - 7, 8):
        state = absorb(state, int.from_bytes(data[at : at + 8], "little"))
    rest = data[len(data) // 8 * 8 :]
    state = absorb(absorb(state, int.from_bytes(rest, "little")), len(data))
    return (state ^ state >> 32) | 1


def ngrams(text: str, n: int) -> list[int]:
    hashes = [word_hash(word) for word in words(text)]
    grams = [hashes[i : i + n] for i in range(len(hashes) - n + 1)] or ([hashes] if hashes else [])
    out = []
    for gram in grams:
        rolled = 0
        for word in gram:
            rolled = (rolled * int(word_kernels.NGRAM_BASE) + word) & MASK
        out.append(avalanche((rolled + len(gram) * int(kernels.P5)) & MASK) >> 32)
    return out


ALPHABET = (
    "aBzZ09_ .,-\n@[`{/:\u00a0\u00bf\u00e9\u00df\u2014\u201c"
    "\u3042\u6f22\u3002\uff0c\uff21\u0e01\u043f\U0001f600\U00020001"
)


@quick
@given(texts=st.lists(st.text(alphabet=ALPHABET, max_size=60), max_size=8), n=st.integers(1, 6))
def test_ngrams_equal_a_plain_python_reference(texts, n):
    offsets, found = hashing.ngram_hashes(pa.array(texts, pa.large_string()), n)
    assert [found[a:b].tolist() for a, b in itertools.pairwise(offsets)] == [ngrams(t, n) for t in texts]


@quick
@given(texts=st.lists(st.text(max_size=40), max_size=5))
def test_ngrams_of_any_unicode_equal_the_reference(texts):
    offsets, found = hashing.ngram_hashes(pa.array(texts, pa.large_string()), 2)
    assert [found[a:b].tolist() for a, b in itertools.pairwise(offsets)] == [ngrams(t, 2) for t in texts]


@quick
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["a", "Ab_9", "word ", "x" * 61, " ", "é", "漢", "— "]), st.integers(1, 70))
    ),
    shift=st.integers(0, 70),
)
def test_words_that_cross_blocks_and_segments_equal_the_reference(pieces, shift):
    text = "." * shift + "".join(piece * times for piece, times in pieces)
    long = text + " y" * 1500 + "z" * 4100 + text  # more than a segment, and a word longer than one
    offsets, found = hashing.ngram_hashes(pa.array([text, long], pa.large_string()), 2)
    assert [found[a:b].tolist() for a, b in itertools.pairwise(offsets)] == [ngrams(text, 2), ngrams(long, 2)]


def test_case_and_punctuation_do_not_make_another_ngram_but_word_borders_do():
    texts = ["The quick, brown FOX", "the quick brown fox!", "thequick brown fox", "quick the brown fox"]
    _, found = hashing.ngram_hashes(pa.array(texts, pa.large_string()), 9)
    assert found[0] == found[1]
    assert len({int(x) for x in found}) == 3


def test_a_text_without_words_has_no_ngram_and_null_is_empty():
    offsets, found = hashing.ngram_hashes(pa.array(["", None, " .\u2014! ", "x"], pa.large_string()), 5)
    assert offsets.tolist() == [0, 0, 0, 0, 1]
    assert len(found) == 1


def test_broken_utf8_is_hashed_without_leaving_the_row():
    rows = [b"ab\xe3\x81", b"\xff\xfe word", b"\xf0\x9f\x98", b"\xc3"]
    whole = hashing.ngram_hashes(pa.array(rows, pa.large_binary()), 1)
    for row, raw in enumerate(rows):
        alone = hashing.ngram_hashes(pa.array([raw], pa.large_binary()), 1)[1]
        assert whole[1][whole[0][row] : whole[0][row + 1]].tolist() == alone.tolist()


# ---- content digests

COLUMNS = [
    pa.array([1, None, 3, -4, 5, 6], pa.int32()),
    pa.array([1.5, None, float("nan"), -0.0, 5, 6], pa.float32()),
    pa.array([True, None, False, True, True, False]),
    pa.array(["a", None, "", "longer than eight bytes, certainly", "e", "f"], pa.large_string()),
    pa.array([b"a" * 16, None, b"b" * 16, b"c" * 16, b"d" * 16, b"e" * 16], pa.binary(16)),
    pa.array([[1, 2], None, [], [3, None], [None, None], [9]], pa.large_list(pa.uint32())),
    pa.array([["a"], None, [], ["b", None], ["c", ""], ["d"]], pa.list_(pa.string())),
    pa.array([[1, 2], None, [5, 6], [7, 8], [9, 0], [1, 1]], pa.list_(pa.float32(), 2)),
    pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}, {"x": 2, "y": None}] + [{"x": 0, "y": ""}] * 2),
    pa.array(["a", "b", None, "a", "b", "c"]).dictionary_encode(),
    pa.array([1, None, 2, 3, 4, 5], pa.timestamp("us")),
    pa.array([None] * 6),
]
columns = pytest.mark.parametrize("column", COLUMNS, ids=lambda c: str(c.type))


@columns
def test_digests_of_parts_add_up_whatever_the_cut(column):
    doc_id = ids(len(column))
    for cut in range(7):
        parts = [
            hashing.column_digest(doc_id.slice(0, cut), column.slice(0, cut)),
            hashing.column_digest(doc_id.slice(cut), column.slice(cut)),
        ]
        assert tuple(sum(lane) % 2**64 for lane in zip(*parts, strict=True)) == digest(column)


@columns
def test_a_digest_does_not_depend_on_row_order_but_on_which_document_has_the_cell(column):
    order = pa.array([4, 0, 5, 2, 1, 3])
    assert hashing.column_digest(ids(6).take(order), column.take(order)) == digest(column)
    if column.null_count < 6:
        assert hashing.column_digest(ids(6).take(order), column) != digest(column)


@columns
def test_a_digest_does_not_depend_on_the_buffers_a_column_was_built_in(column):
    padded = pa.concat_arrays([column, column, column]).slice(6, 6)
    chunked = pa.chunked_array([column.slice(0, 2), column.slice(2)])
    assert digest(padded) == digest(column)
    assert hashing.column_digest(ids(6), chunked) == digest(column)


@columns
def test_a_changed_cell_changes_both_lanes(column):
    for row in range(6):
        values = column.to_pylist()
        values[row] = None if values[row] is not None else column[0].as_py()
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        changed = digest(pa.array(values, kind))
        if values != column.to_pylist():
            assert all(a != b for a, b in zip(changed, digest(column), strict=True))


def test_every_single_bit_of_a_text_matters():
    text = bytearray(b"0123456789abcdefghijklmnopqrstuvwxyz!")
    seen = {digest(pa.array([bytes(text)], pa.binary()))}
    for bit in range(len(text) * 8):
        text[bit // 8] ^= 1 << (bit % 8)
        seen.add(digest(pa.array([bytes(text)], pa.binary())))
        text[bit // 8] ^= 1 << (bit % 8)
    assert len(seen) == 1 + len(text) * 8


def test_canonical_cells_hide_what_is_no_content():
    def floats(*bits: int) -> pa.Array:
        return pa.array(np.array(bits, dtype=np.uint64).view(np.float64))

    assert digest(floats(0x7FF8000000000000)) == digest(floats(0xFFF8000000000001))
    assert digest(pa.array([-0.0])) == digest(pa.array([0.0]))
    assert digest(pa.array([5], pa.int32())) == digest(pa.array([5], pa.int64()))
    assert digest(pa.array([0.5], pa.float32())) == digest(pa.array([0.5], pa.float64()))
    assert digest(pa.array(["x"], pa.string())) == digest(pa.array(["x"], pa.large_string()))
    assert digest(ids(1)) == digest(ids(1).cast(pa.large_binary()))
    validity = pa.py_buffer(b"\x01")
    under = [pa.Array.from_buffers(pa.int64(), 2, [validity, pa.py_buffer(np.array([1, x]))]) for x in (0, 99)]
    assert digest(under[0]) == digest(under[1])


def test_kinds_of_value_and_null_are_told_apart():
    cells = [
        pa.array([1]),
        pa.array(["1"]),
        pa.array([1.0]),
        pa.array([True]),
        pa.array([b"1"]),
        pa.array([[1]]),
        pa.array([[[1]]]),
        pa.array([None], pa.int64()),
        pa.array([0]),
        pa.array([""]),
        pa.array([[]], pa.list_(pa.int64())),
        pa.array([[None]], pa.list_(pa.int64())),
        pa.array([[0]]),
        pa.array([float("nan")]),
    ]
    assert len({digest(cell) for cell in cells}) == len(cells)


def test_a_value_that_looks_like_the_null_constant_is_not_null():
    looks_null = int(kernels.NULL_CELL)
    for cell in (looks_null, [looks_null], [1, looks_null]):
        null = None if not isinstance(cell, list) else [*cell[:-1], None]
        assert digest(pa.array([cell])) != digest(pa.array([null], pa.array([cell]).type))


def test_a_table_digest_binds_the_cells_of_a_row_and_ignores_row_and_column_order():
    table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    base = hashing.table_digest(table, ["a", "b"])
    assert hashing.table_digest(table.take(pa.array([2, 0, 1])), ["b", "a"]) == base
    swapped = pa.table({"a": [2, 1, 3], "b": ["x", "y", "z"]})
    assert hashing.table_digest(swapped, ["a", "b"]) != base
    renamed = table.rename_columns(["b", "a"])
    assert hashing.table_digest(renamed, ["a", "b"]) != base


def test_a_type_without_canonical_form_and_unequal_lengths_are_errors():
    from decimal import Decimal

    with pytest.raises(DataError, match="decimal128"):
        digest(pa.array([Decimal("1.5")]))
    with pytest.raises(DataError, match="3 doc_id for 2 rows"):
        hashing.column_digest(ids(3), pa.array([1, 2]))


def test_a_row_digest_depends_on_order_and_not_on_form():
    assert hashing.row_digest(ids(4)) == hashing.row_digest(ids(4).cast(pa.large_binary()))
    assert hashing.row_digest(ids(4)) != hashing.row_digest(ids(4).take(pa.array([1, 0, 2, 3])))
    assert len(hashing.row_digest(ids(0))) == 32
