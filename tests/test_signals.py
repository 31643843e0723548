"""`signals`: every column against plain Python, published cases, and the promises about batches, memory and CPUs."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import subprocess
import sys
import sysconfig
import time
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals_reference import signals as reference

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.pipeline.measure import signals_kernels_unicode as uni
from winnow.pipeline.measure.signals import COLUMNS, Signals

ODD = "aaab  cC.\n\n…-•#\u3000\u2028é字\x85\r\"'”)[]12{jz\x00\x7fİſ🙂"
_WORDS = (
    'The the use uses cookies of terms privacy policy cookie lorem ipsum JavaScript e.g. Mr. Dr.) A. B." x[1] '
    "y.[12] z.[citation needed] w[edit] wait... ok… - • # {a} 12 foo! Bar? 字。 Été. »Ja.« abcdefgh abcdefghi..j"
)
WORDS = _WORDS.split(" ")
GAPS = [" ", " ", " ", "  ", "\n", "\n", "\n\n", "\r\n", "\t", "\xa0", "\x0b", "\x1c", "\u2028", "\n \n", "         "]


def measure(texts: list[str | None], dialect: str = "datatrove") -> list[dict]:
    columns = Signals(dialect=dialect).open(Context(seed=0, work=Path()))
    return columns(pa.record_batch({"text": pa.array(texts, pa.large_string())})).to_pylist()


def assert_as_reference(texts: list[str]) -> None:
    for text, found in zip(texts, measure(texts), strict=True):
        expected = reference(text)
        wrong = {name: (found[name], expected[name]) for name in COLUMNS if found[name] != expected[name]}
        assert not wrong, f"{text[:200]!r}: (found, expected) {wrong}"


def real_texts() -> list[str]:
    """Sources and documents of the running Python, cut to 20,000 characters."""
    found = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[::3]
    found += sorted(Path(sysconfig.get_path("stdlib"), "test").glob("*.txt"))
    texts = [path.read_text(encoding="utf-8", errors="replace")[:20_000] for path in found]
    return texts + [unicodedata.name(chr(point), " ") * 3 + chr(point) for point in range(0xA0, 0x3100, 97)]


def made_texts(count: int) -> list[str]:
    """Texts that crowd the corners: odd characters, phrases, abbreviations, all kinds of white space."""
    pick = random.Random(5)
    odd = ["".join(pick.choice(ODD) for _ in range(pick.randrange(70))) for _ in range(count)]
    return odd + [
        "".join(pick.choice(WORDS) + pick.choice(GAPS) for _ in range(pick.randrange(90))) for _ in range(count)
    ]


def test_every_column_equals_plain_python_on_real_text():
    assert_as_reference(real_texts())


def test_every_column_equals_plain_python_on_made_text():
    assert_as_reference(made_texts(400))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=0x1FFFF, exclude_categories=["Cs", "Cn"])), max_size=5))
def test_every_column_equals_plain_python_on_any_unicode(texts):
    if unicodedata.unidata_version != uni.UNICODE_VERSION:
        known = uni.flags()
        texts = ["".join(c for c in text if bool(known[ord(c)] & uni.ALPHA) == c.isalpha()) for text in texts]
    assert_as_reference(texts)


def test_empty_text_has_zeros_and_null_text_has_nulls():
    empty, null, blank = measure(["", None, " \n "])
    assert set(empty.values()) == {0}
    assert set(null.values()) == {None}
    assert (blank["word_count"], blank["line_count"], blank["whitespace_share"]) == (0, 2, 1.0)


def test_columns_are_those_declared_and_nulls_lie_over_zeros():
    batch = pa.record_batch({"text": pa.array(["a b", None], pa.large_string())})
    out = Signals().open(Context(seed=0, work=Path()))(batch)
    assert dict(zip(out.schema.names, out.schema.types, strict=True)) == Signals().outputs()
    for column in out.columns:
        zeroed = pa.Array.from_buffers(column.type, 2, [None, column.buffers()[1]])
        assert not zeroed[1].as_py()


def test_a_document_does_not_depend_on_its_batch():
    texts = [*made_texts(60), None, "", *real_texts()[:20]]
    whole = measure(texts)
    columns = Signals().open(Context(seed=0, work=Path()))
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    for rows in (1, 7):
        pieces = [columns(batch.slice(at, rows)).to_pylist() for at in range(0, len(texts), rows)]
        assert [row for piece in pieces for row in piece] == whole
    assert columns(batch.slice(0, 0)).num_rows == 0


# "This is a test.": 15 characters, nothing repeats. The frameworks disagree: own re-derivation from their sources.
def test_a_text_without_repetition_has_a_top_2gram_in_datatrove_and_none_in_dclm():
    assert measure(["This is a test."], "datatrove")[0]["top_2gram_char_share"] == 7 / 15
    assert measure(["This is a test."], "dclm")[0]["top_2gram_char_share"] == 0.0


# DCLM tests/baselines/mappers/filters/test_content_filters.py, repetition; test_signals_more has them with punctuation.
@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("Hello, World.", "dup_line_share", 0.0),
        ("Hello\nHello\n\n\n\nHello", "dup_line_share", 1.0),
        ("Hello\nHello\n\n\n\nHello", "dup_line_char_share", 1.0),
        ("Hello, World.\nHello, World.\n\nHello", "dup_line_share", 2 / 3),
        ("Hello, World.\nHello, World.\n\nHello", "dup_line_char_share", 26 / 31),
        ("Hello, World.\n\nHello, World.\n\nHello, World.\nHello", "dup_paragraph_share", 2 / 3),
        ("Hello, World.\n\nHello, World.\n\nHello, World.\nHello", "dup_paragraph_char_share", 26 / 45),
        ("hello      world hello apple world hello\n world hello", "top_2gram_char_share", 30 / 40),
        ("hello      world hello apple world hello\n world hello", "top_3gram_char_share", 30 / 40),
        ("hello      world hello apple world hello\n world hello", "top_4gram_char_share", 0.0),
        ("a b a b a b ab cd ab cd ab cd abc def abc def", "top_2gram_char_share", 12 / 30),
        ("a b a b a b abc def abc def ab cd ab cd ab cd", "top_2gram_char_share", 12 / 30),
        (
            "hello world hello\n world hello apple world hello world hello world hello world",
            "dup_5gram_char_share",
            60 / 65,
        ),
    ],
)
def test_dclm_cases_have_dclm_numbers(text, column, expected):
    assert measure([text], "dclm")[0][column] == expected


def test_the_same_text_differs_between_dialects_as_published():
    text = "hello world hello\n world hello apple world hello world hello world hello world"
    ours, theirs = measure([text])[0], measure([text], "dclm")[0]
    assert round(ours["dup_5gram_char_share"], 2) == 0.32
    assert round(theirs["dup_5gram_char_share"], 2) == 0.92
    same = [name for name in COLUMNS if not name.startswith(("dup_", "top_"))]
    assert [ours[name] for name in same] == [theirs[name] for name in same]


# DCLM, same file: bullets, ellipses; datatrove tests/pipeline/filters/test_filters.py: FineWeb and C4 cases.
def test_line_rules_count_what_their_names_say():
    (row,) = measure(["- a b\n• c\nplain... \n  - d…\n"])
    assert (row["bullet_line_share"], row["ellipsis_line_share"], row["line_count"]) == (3 / 4, 2 / 4, 4)
    (row,) = measure(["a\n" * 49 + "a"])
    assert row["list_ratio"] == 49 / 50
    assert row["char_dup_ratio"] == 49 / 50
    (row,) = measure(["This site uses cookies for tracking.\nAnother valid line here today."])
    assert (row["policy_line_count"], row["c4_line_count"], row["c4_sentence_count"]) == (1, 1, 1)
    (row,) = measure(["A { brace. Lorem Ipsum dolor. See text/JavaScript there.\nToo few.\nNo mark here"])
    assert (row["has_curly"], row["has_lorem_ipsum"], row["javascript_line_count"]) == (True, True, 1)
    assert (row["terminal_line_count"], row["c4_line_count"], row["sentence_count"]) == (2, 0, 5)


def test_sentences_are_cut_where_a_reader_would_cut_most_of_them():
    cases = {
        "Dr. Smith met J. Doe. They spoke.": 2,
        "It costs 3.5 euros. 'Really?' she said.": 2,
        "He left (late.) Nobody saw.": 2,
        "Wait... what? Yes!": 2,
        "no mark": 1,
        "one\ntwo": 2,
        "": 0,
    }
    assert {text: row["sentence_count"] for text, row in zip(cases, measure(list(cases)), strict=True)} == cases


def seconds_for(text: str) -> float:
    started = time.process_time()
    measure([text])
    return time.process_time() - started


@pytest.mark.parametrize("unit", ["ab ", "x", "word other ", "\n", "a\n\n", "字", ". ", "use of cookies "])
def test_one_endless_line_takes_linear_time(unit):
    measure(["warm"])
    small, large = seconds_for(unit * (2**20 // len(unit))), seconds_for(unit * (2**22 // len(unit)))
    assert large < 12 * small + 0.5


@pytest.mark.slow
def test_a_single_line_of_50_mb_is_measured_in_seconds():
    assert seconds_for("some words in a row that " * 2_000_000) < 20


GUARD = """
import ctypes, json, mmap, sys
import pyarrow as pa
from winnow.core.operators import Context
from winnow.pipeline.measure.signals import Signals
page = mmap.PAGESIZE
memory = mmap.mmap(-1, 2 * page)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mprotect(ctypes.c_void_p(address + page), ctypes.c_size_t(page), 0) == 0
columns = Signals().open(Context(seed=0, work=None))
for text in json.loads(sys.argv[1]):
    raw = text.encode()
    ctypes.memmove(address + page - len(raw), raw, len(raw))
    data = pa.foreign_buffer(address + page - len(raw), len(raw))
    offsets = pa.array([0, len(raw)], pa.int64()).buffers()[1]
    array = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, data])
    print(json.dumps(columns(pa.record_batch({"text": array})).to_pylist()[0]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_nothing_past_the_buffer_is_read():
    assert mmap.PAGESIZE
    assert ctypes.sizeof(ctypes.c_void_p) == 8
    texts = [
        "a",
        "abcdefg",
        "abcdefgh",
        "abcdefghi",
        "x y",
        "use",
        "terms",
        "lorem",
        "é",
        "字",
        "a…",
        "a [1]",
        "\r",
        " " * 9,
    ]
    done = subprocess.run([sys.executable, "-c", GUARD, json.dumps(texts)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [json.loads(line) for line in done.stdout.splitlines()] == measure(texts)


def test_broken_utf8_gives_numbers_not_a_crash():
    pieces = [
        b"\xed\xa0\x80",
        b"\xff\xfe a",
        b"abc\xc3",
        b"\xf4\x90\x80\x80 x",
        b"\x80\x80\x80",
        b"\xe2\x80",
        b"a\xf0\x9f",
    ]
    offsets = [0]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    buffers = [None, pa.array(offsets, pa.int64()).buffers()[1], pa.py_buffer(b"".join(pieces))]
    batch = pa.record_batch({"text": pa.Array.from_buffers(pa.large_string(), len(pieces), buffers)})
    assert Signals().open(Context(seed=0, work=Path()))(batch).num_rows == len(pieces)


BITS = """
import json, sys
from pathlib import Path
import pyarrow as pa
from winnow.core.operators import Context
from winnow.pipeline.measure.signals import Signals

def bits(texts):
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    for dialect in ("datatrove", "dclm"):
        out = Signals(dialect=dialect).open(Context(seed=0, work=Path()))(batch)
        yield "".join(column.buffers()[1].hex().decode() for column in out.columns)
"""


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["generic", "without AVX-512"])
def test_the_bits_do_not_depend_on_vector_units(tmp_path, cpu):
    texts = [*made_texts(150), *real_texts()[:60]]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    off = "-avx512f,-avx512bw,-avx512cd,-avx512dq,-avx512vl"
    changed = {"NUMBA_CPU_NAME": "generic"} if cpu == "generic" else {"NUMBA_CPU_FEATURES": off}
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")} | changed
    code = BITS + "print(json.dumps(list(bits(json.loads(Path(sys.argv[1]).read_text())))))"
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "texts.json")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    here: dict = {}
    exec(BITS, here)
    assert json.loads(done.stdout) == list(here["bits"](texts))


def test_the_shipped_character_table_is_unicode_14():
    table, same_version = uni.flags(), unicodedata.unidata_version == uni.UNICODE_VERSION
    checks = {
        uni.SPACE: str.isspace,
        uni.ALPHA: str.isalpha,
        uni.DIGIT: str.isdecimal,
        uni.UPPER: str.isupper,
        uni.LOWER: str.islower,
    }
    points = range(uni.CODE_POINTS) if same_version else range(0x250)
    for flag, check in checks.items():
        assert [point for point in points if bool(table[point] & flag) != check(chr(point))] == []
    cut = [point for point in range(uni.CODE_POINTS) if len(f"a{chr(point)}b".splitlines()) > 1]
    assert cut == [point for point in range(uni.CODE_POINTS) if table[point] & uni.BREAK]
    assert len(uni.code_points(uni.TERMINALS)) == 159


def test_unknown_dialects_are_refused():
    from winnow.core.operators.config import build

    with pytest.raises(ConfigError, match="gopher"):
        build(Signals, {"dialect": "gopher"}, where="sig")


def test_importing_the_operator_does_not_import_numba():
    code = "import sys, winnow.pipeline.measure.signals; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
