"""The compiled passes give what the plain ones give: JSON Lines, shingles, list digests, and less to import."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import orjson
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.operators import Bad, FileSlice
from winnow.core.store import reuse, schema
from winnow.core.words import hashing, hashing_kernels
from winnow.dags.driver.session import names_user_code
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.pipeline.read import byte_stream, json_records
from winnow.pipeline.read.jsonl import Jsonl
from winnow.pipeline.read.jsonl_blocks import BlockParser

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = {"url": "string", "score": "float64", "n": "int64", "ok": "bool"}
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=9)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
RECORDS = st.fixed_dictionaries(
    {"text": st.text(max_size=90)},
    optional={"url": VALUES, "score": VALUES, "n": VALUES, "ok": VALUES, "te\\xt": VALUES, "ü": VALUES},
)
ODD = [
    b"", b" ", b"{}", b"[]", b"null", b'"text"', b'{"text": "a"', b'{"text": "a",}', b'{"text": "a"}}', b'{"text": "a"} x',
    b'{"text": "a", "text": "b"}', b'{"te\\u0078t": "a"}', b'{"text": "\\ud800"}', b'{"text": "\\udc00\\ud800"}',
    b'{"text": "\\ud83d\\ude00\\u0000\\/"}', b'{"text": "\xff"}', b'{"text": "\xc0\x80"}', b'{"text": "\xed\xa0\x80"}',
    b'{"text": "\xf4\x90\x80\x80"}', b'{"text": "a\tb"}', b'{"text": "\\x"}', b'{"text": "\\u12g4"}', b'{"text": 1}',
    b'{"n": 01, "text": "a"}', b'{"n": -, "text": "a"}', b'{"n": 1., "text": "a"}', b'{"n": 1e999, "text": "a"}',
    b'{"n": 9223372036854775808, "text": "a"}', b'{"n": 1e5, "text": "a"}', b'{"n": -0, "text": "a"}', b'{"n" 1}',
    b'{"x": [1, {"y": [], "z": {}}, "]}"], "text": "a"}', b'{"x": [1, ], "text": "a"}', b'{"x": {"a"}, "text": "a"}',
    b'{"x": tru, "text": "a"}', b'{"x": ' + b"[" * 70 + b"]" * 70 + b', "text": "deep"}', b'\t{ "text"\r: "a" , "ok":true}\r',
    b"\xef\xbb\xbf" + b'{"text": "marked"}', b'{"text": "' + b"long " * 300_000 + b'"}', b'{"text": "' + b'\\"' * 40 + b'"}',
]  # fmt: skip


def read(path, *, start=0, stop=-1, **fields):
    bad = []
    piece = FileSlice(path=str(path), rel="x", digest="", size=path.stat().st_size, start=start, stop=stop)
    tables = list(Jsonl(files=("x",), columns=COLUMNS, max_record_mb=1, **fields).read([piece], bad.append))
    rows = pa.concat_tables(tables).to_pylist() if tables else []
    return rows, [(b.origin, b.error) if isinstance(b, Bad) else (b.column, b.records) for b in bad]


def line_by_line(path, monkeypatch, **how):
    with monkeypatch.context() as patch:
        patch.setattr(json_records, "BlockParser", lambda *_: None)
        return read(path, **how)


def test_odd_lines_among_plain_ones_are_read_as_when_each_is_judged_alone(tmp_path, monkeypatch):
    plain = [orjson.dumps({"text": f"plain {n}", "url": "u", "n": n}) for n in range(200)]
    path = tmp_path / "odd.jsonl"
    for odd in ODD:  # alone among many: the rest of the block stays with the kernel
        path.write_bytes(b"\n".join([*plain[:100], odd, *plain[100:]]))
        assert read(path) == line_by_line(path, monkeypatch), odd[:60]
    path.write_bytes(b"\n".join(ODD))
    rows, bad = read(path)
    assert (rows, bad) == line_by_line(path, monkeypatch)
    assert {error for _, error in bad} >= {
        "invalid_json",
        "invalid_utf8",
        "lone_surrogate",
        "missing_text",
        "too_large",
    }


@settings(max_examples=40, deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=8), ascii_only=st.booleans(), cut=st.floats(0, 1))
def test_any_records_cut_anywhere_are_read_as_when_each_is_judged_alone(tmp_path_factory, records, ascii_only, cut):
    folder = tmp_path_factory.mktemp("records")
    lines = [json.dumps(r, ensure_ascii=ascii_only).encode("utf-8", "replace") for r in records]
    path = folder / "any.jsonl"
    path.write_bytes(b"\n".join(lines))
    middle = int(cut * path.stat().st_size)
    patch = pytest.MonkeyPatch()
    patch.setattr(json_records, "MOST_SLOW", 0)  # every block is taken apart
    for place in ({}, {"stop": middle}, {"start": middle, "stop": path.stat().st_size}):
        assert read(path, **place) == line_by_line(path, patch, **place)
    patch.undo()


def test_plain_lines_do_not_need_the_slow_path():
    lines = [orjson.dumps({"id": n, "text": 'say "é"\n', "meta": {"a": [1, 2.5e-3, None]}}) for n in range(50)]
    data = b"\n".join([*lines, b""])
    block = BlockParser("text", [("id", lambda value: value)])(data, 0, stop=len(data), cap=10**6)
    assert block.taken.all()
    assert block.values == [list(range(50))]


@pytest.mark.parametrize("odd", ["\\n", "\\u00e9", "\\ud83d\\ude00", "é", "漢", '\\"'])
def test_what_is_odd_in_a_string_is_read_wherever_it_stands(odd):
    texts = ["x" * before + odd + "y" * (130 - before) for before in range(131)]
    data = b"".join(b'{"text": "' + text.encode() + b'"}\n' for text in texts)
    block = BlockParser("text", [])(data, 0, stop=len(data), cap=10**6)
    assert block.taken.all()
    found = block.table(0, len(texts), "x", {}, with_ids=False).column("text").to_pylist()
    assert found == [json.loads(f'"{text}"') for text in texts]


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.integers(0, 40), max_size=12), ends=st.booleans(), start=st.integers(0, 60),
    stop=st.integers(0, 300), cap=st.sampled_from([5, 17, 1000]), piece=st.sampled_from([4, 9, 64]),
)  # fmt: skip
def test_a_files_blocks_hold_the_lines_that_it_is_split_into(lines, ends, start, stop, cap, piece):
    raw = b"\n".join(bytes([97 + n % 26]) * size for n, size in enumerate(lines)) + b"\n" * ends
    patch = pytest.MonkeyPatch()
    patch.setattr(byte_stream, "_PIECE_BYTES", piece)
    found, at = [], min(start, len(raw))
    for offset, block in byte_stream.file_blocks(io.BufferedReader(io.BytesIO(raw[at:])), at=at, stop=stop, cap=cap):
        found += [(offset, None)] if block is None else _lines_of(bytes(block), offset)
    patch.undo()
    wanted = list(byte_stream.split_lines([raw[at:]], at=at, stop=stop, cap=cap)) if at < stop else []
    assert [(o, x if x and len(x) <= cap else None) for o, x in found if o < stop] == [
        (o, x or None) for o, x in wanted
    ]


def _lines_of(block, offset):
    assert block.endswith(b"\n")
    ends = [n for n, byte in enumerate(block) if byte == 10]
    return [(offset + a + 1, block[a + 1 : b]) for a, b in itertools.pairwise([-1, *ends])]


def test_memory_is_used_again_only_when_nobody_shows_it():
    first = reuse.used_again(1 << 20)
    place = first.ctypes.data
    shown = pa.py_buffer(first[10:20])
    del first
    other = reuse.used_again(1 << 20)
    assert other.ctypes.data != place
    del shown, other
    assert place in {reuse.used_again(1 << 20).ctypes.data for _ in range(1)} | {
        block.ctypes.data for block in reuse._blocks
    }
    held = [reuse.used_again(1 << 20) for _ in range(2 * reuse.BLOCKS)]
    assert len({block.ctypes.data for block in held}) == 2 * reuse.BLOCKS
    assert len(reuse._blocks) <= reuse.BLOCKS


def test_texts_stay_as_they_are_while_other_blocks_are_read():
    parser, tables, wanted = BlockParser("text", []), [], []
    for number in range(12):
        texts = [f"{number} {row} " * 40_000 for row in range(12)]  # more than one arena in all
        data = b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts)
        block = parser(data, 0, stop=len(data), cap=10**9)
        tables.append(block.table(0, len(texts), "x", {}, with_ids=False))
        wanted += texts
    column = pa.concat_tables(tables).column("text")
    assert column.to_pylist() == wanted
    assert schema.contiguous(column).to_pylist() == wanted
    whole = schema.contiguous(pa.concat_tables(tables[:4]).column("text"))
    assert whole.buffers()[2].address == tables[0].column("text").chunk(0).buffers()[2].address  # nothing is copied


def test_a_function_loaded_from_the_cache_can_be_compiled_into_another():
    both = numba.njit(lambda ends, data: hashing_kernels.hash_rows(ends, data, np.uint64(7))[0])
    data = np.frombuffer(b"abc", dtype=np.uint8)
    assert int(both(np.array([0, 3]), data)) == xxhash.xxh64_intdigest(b"abc", 7)


def test_a_list_of_u32_has_the_digest_of_the_same_words():
    numbers = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint64)
    ends = np.array([0, 0, 7, 999, 1000], dtype=np.int64)
    valid = np.ones(len(numbers), dtype=bool)
    tag = np.uint64(2)
    narrow = hashing_kernels.u32_ranges(ends[:-1].copy(), ends[1:].copy(), numbers.astype(np.uint32), tag)
    assert (narrow == hashing_kernels.word_ranges(ends[:-1].copy(), ends[1:].copy(), numbers, valid, tag)).all()
    assert hashing.column_digest(None, pa.array([[1, 2], None], pa.large_list(pa.uint32()))) == hashing.column_digest(
        None, pa.array([[1, 2], None], pa.large_list(pa.int64()))
    )


def test_loading_compiled_kernels_needs_neither_scipy_nor_pandas():
    assert hashing.text_hash(pa.array(["a"], pa.large_string())).null_count == 0  # compiled, and kept, by then
    code = (
        "import sys, pyarrow as pa\n"
        "from winnow.core.quick_start import without_pandas\n"
        "without_pandas()\n"
        "from winnow.core.words.hashing import text_hash\n"
        "assert text_hash(pa.array(['a'], pa.large_string())).null_count == 0\n"
        "assert not {'pandas', 'scipy.linalg', 'numba.np.arraymath'} & set(sys.modules)\n"
        "import numpy as np, numba\n"
        "assert numba.njit(lambda a: a.sum())(np.arange(4)) == 6\n"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


FAKE_PANDAS = """
import sys
with open({marker!r}, "a") as file:
    print(sys.argv[0], file=file)
__version__ = "0.1"
"""


@pytest.mark.parametrize("use", ["winnow's", "a user's"])
def test_pyarrow_finds_pandas_for_a_recipe_that_names_code_of_a_user_and_does_not_look_for_it_else(tmp_path, use):
    marker = tmp_path / "marker"
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "pandas.py").write_text(FAKE_PANDAS.format(marker=str(marker)))
    (tmp_path / "docs.jsonl").write_text('{"text": "one two three"}\n' * 3)
    (tmp_path / "mine.py").write_text(
        "import polars as pl, winnow\n\n@winnow.scorer('size')\ndef size(text):\n    return text.str.len_chars()\n"
    )
    more = "" if use == "winnow's" else "  mine: {use: 'mine:size', inputs: docs}\n"
    (tmp_path / "r.yaml").write_text(f"stages:\n  docs: {{use: jsonl, files: docs.jsonl}}\n  exact: {{use: exact, inputs: docs}}\n{more}")  # fmt: skip
    path = os.pathsep.join([str(tmp_path / "path"), str(ROOT)])
    command = [sys.executable, "-m", "winnow", "run", "r.yaml", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    drivers = (
        [line for line in marker.read_text().splitlines() if line.endswith("__main__.py")] if marker.exists() else []
    )
    assert bool(drivers) == (use != "winnow's")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ("use: jsonl, files: a.jsonl, id: 'field:uid'", False),
        ("use: jsonl, files: 'https://host/a:b'", False),
        ("use: 'mine:size', inputs: docs", True),
        ("use: named_entities, inputs: docs, recogniser: 'mine:names'", True),
        ("use: ablation, arms: {a: {policy: {use: 'mine.deep:weights'}}}", True),
        ("use: jsonl, files: [a.jsonl, 'x:y']", True),
        ("use: no_such_operator, inputs: docs", True),
    ],
)
def test_what_may_be_code_of_a_user_is_told_by_its_form(tmp_path, config, named):
    assert names_user_code(parse_recipe(f"stages:\n  docs: {{{config}}}\n", name="r", folder=tmp_path)) == named
