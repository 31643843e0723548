"""Archives read by an index: the records that it names, whatever it is written in, and nothing of the others."""

import gzip
import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import CONTAINERS, members, page, plain
from support import run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Bad, FileSlice
from winnow.pipeline.read.archive_index import ArchiveIndex
from winnow.pipeline.read.warc import Warc

RECORDS = [page(f"<p>page {i} " + "lorem " * 50, url=f"http://a.org/{i}") for i in range(8)]
LENGTHS = {"plain": [len(r) for r in RECORDS], "members": [len(members([r])) for r in RECORDS]}


def offsets(name, *which):
    return [sum(LENGTHS[name][:i]) for i in which]


def parquet(path, files, starts, names=("warc_filename", "warc_record_offset", "warc_record_length")):
    columns = [pa.array(files), pa.array(starts, pa.int64()), pa.array([7] * len(starts))]
    pq.write_table(pa.table(dict(zip(names, columns, strict=False))), path)


def cdxj(path, files, starts):
    lines = [
        f"org,a)/{i} 2024 " + json.dumps({"url": "x", "filename": f, "offset": str(s), "length": "9"})
        for i, (f, s) in enumerate(zip(files, starts, strict=True))
    ]
    path.write_text("\n".join(lines) + "\n")


def cdx(path, files, starts, legend=" CDX N b a m s k r M S V g\n"):
    more = "- - 9" if "M S" in legend or not legend else "-"
    rows = [
        f"org,a)/ 2024 http://a.org/ text/html 200 ABC {more} {s} {f}\n" for f, s in zip(files, starts, strict=True)
    ]
    if legend and "M S" not in legend:
        rows = [f"org,a)/ 2024 http://a.org/ text/html 200 ABC - {s} {f}\n" for f, s in zip(files, starts, strict=True)]
    path.write_text(legend + "".join(rows))


INDICES = {
    "index.parquet": parquet,
    "other.parquet": lambda *a: parquet(*a, names=("filename", "offset", "length")),
    "bare.parquet": lambda *a: parquet(*a, names=("filename", "offset")),
    "index.cdxj": cdxj,
    "index.cdx": cdx,
    "short.cdx": lambda *a: cdx(*a, legend=" CDX N b a m s k r V g\n"),
    "usual.cdx": lambda *a: cdx(*a, legend=""),
}


def texts(ran):
    return sorted(ran.table("docs", "url").column("url").to_pylist())


def recipe(index, files="*.warc*", more=""):
    return f"stages:\n  docs: {{use: warc, files: '{files}', index: '{index}', max_bad_share: 0.9{more}}}\n"


@pytest.mark.parametrize("name", INDICES)
def test_only_the_records_that_an_index_names_are_read(tmp_path, name):
    (tmp_path / "a.warc.gz").write_bytes(members(RECORDS))
    (tmp_path / "b.warc").write_bytes(plain(RECORDS))
    wanted = [("crawl-data/x/a.warc.gz", s) for s in offsets("members", 5, 2, 2)] + [
        ("b.warc", s) for s in offsets("plain", 0, 7)
    ]
    INDICES[name](tmp_path / name, *map(list, zip(*wanted, strict=True)))
    ran = run(recipe(name), tmp_path, tmp_path / "root")
    assert texts(ran) == [f"http://a.org/{i}" for i in (0, 2, 5, 7)]
    assert not ran.counts("docs").get("bad")


def test_an_index_may_be_packed(tmp_path):
    (tmp_path / "a.warc.gz").write_bytes(members(RECORDS))
    cdxj(tmp_path / "i.cdxj", ["a.warc.gz"], offsets("members", 3))
    (tmp_path / "i.cdxj.gz").write_bytes(gzip.compress((tmp_path / "i.cdxj").read_bytes()))
    assert texts(run(recipe("i.cdxj.gz"), tmp_path, tmp_path / "root")) == ["http://a.org/3"]


def test_documents_have_the_same_ids_as_without_an_index(tmp_path):
    for name in ("plain", "members", "frames", "dictionary"):
        suffix, packed = CONTAINERS[name]
        data = packed(RECORDS)
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(data)
        piece = FileSlice(path=str(path), rel=path.name, digest="", size=len(data))
        whole = [r for t in Warc(files=("x",)).read([piece], [].append) for r in t.to_pylist()]
        index = tmp_path / f"{name}.parquet"
        parquet(index, [path.name] * 3, [int(whole[i]["locator"]) for i in (6, 1, 4)])
        some = [r for t in Warc(files=("x",), index=(str(index),)).read([piece], [].append) for r in t.to_pylist()]
        assert some == [whole[i] for i in (1, 4, 6)]


def test_what_an_index_names_in_vain_is_counted(tmp_path):
    (tmp_path / "a.warc.gz").write_bytes(members(RECORDS))
    good = offsets("members", 1)
    parquet(tmp_path / "i.parquet", ["a.warc.gz"] * 4 + ["gone.warc.gz"] * 2, [*good, good[0] + 3, 10**7, 10**12, 0, 5])
    ran = run(recipe("i.parquet"), tmp_path, tmp_path / "root", part_bytes=500)
    assert texts(ran) == ["http://a.org/1"]
    assert (ran.counts("docs")["bad:missing_record"], ran.counts("docs")["bad:missing_file"]) == (3, 1)
    with pytest.raises(DataError, match="missing_file"):
        run(recipe("i.parquet", more=", strict: true").replace("0.9", "0"), tmp_path, tmp_path / "strict")


@pytest.mark.parametrize("cuts", [1, 3, 8])
def test_cuts_of_a_plain_archive_read_each_named_record_once(tmp_path, cuts):
    path = tmp_path / "a.warc"
    path.write_bytes(plain(RECORDS))
    size = path.stat().st_size
    parquet(tmp_path / "i.parquet", ["a.warc"] * 4, [*offsets("plain", 0, 4, 7), size + 9])
    edges = [size * i // cuts for i in range(cuts + 1)]
    pieces = [
        FileSlice(path=str(path), rel="a.warc", digest="", size=size, start=a, stop=b)
        for a, b in itertools.pairwise(edges)
    ]
    told = []
    rows = [
        r["url"]
        for t in Warc(files=("x",), index=(str(tmp_path / "i.parquet"),)).read(pieces, told.append)
        for r in t.to_pylist()
    ]
    assert rows == [f"http://a.org/{i}" for i in (0, 4, 7)]
    assert [b.error for b in told if isinstance(b, Bad)] == ["missing_record"]


def test_another_index_is_another_stage_and_a_change_of_files_is_seen(tmp_path):
    (tmp_path / "a.warc.gz").write_bytes(members(RECORDS))
    parquet(tmp_path / "i.parquet", ["a.warc.gz", "b.warc"], [*offsets("members", 1), 0])
    one = run(recipe("i.parquet"), tmp_path, tmp_path / "root")
    assert one.counts("docs")["bad:missing_file"] == 1
    (tmp_path / "b.warc").write_bytes(plain(RECORDS))
    two = run(recipe("i.parquet"), tmp_path, tmp_path / "root")
    assert texts(two) == ["http://a.org/0", "http://a.org/1"]
    assert not two.counts("docs").get("bad")
    parquet(tmp_path / "i.parquet", ["a.warc.gz", "b.warc"], [*offsets("members", 6), 0])
    three = run(recipe("i.parquet"), tmp_path, tmp_path / "root")
    assert texts(three) == ["http://a.org/0", "http://a.org/6"]
    assert three.of("docs").node.folder not in (one.of("docs").node.folder, two.of("docs").node.folder)


def test_an_index_under_files_is_told_where_it_belongs(tmp_path):
    parquet(tmp_path / "i.parquet", ["a.warc.gz"], [0])
    with pytest.raises(ConfigError, match="is an index of archives") as refused:
        run("stages:\n  docs: {use: warc, files: i.parquet}\n", tmp_path, tmp_path / "root")
    assert "index: i.parquet" in refused.value.hint


@pytest.mark.parametrize(("name", "body", "told"), [
    ("i.cdx", b"one two three\n", "names no record"), ("i.cdxj", b'a 1 {"filename": "x"}\n', "names no record"),
    ("i.cdxj", b'a 1 {"filename": 5, "offset": "y"}\n', "names no record"), ("i.parquet", b"PAR1", "is no Parquet file"),
])  # fmt: skip
def test_an_index_that_is_none_is_an_error(tmp_path, name, body, told):
    (tmp_path / name).write_bytes(body)
    with pytest.raises(DataError, match=told):
        ArchiveIndex([str(tmp_path / name)])


def test_a_table_without_the_columns_says_what_it_has(tmp_path):
    pq.write_table(pa.table({"url": ["x"]}), tmp_path / "i.parquet")
    with pytest.raises(DataError, match="it has: url"):
        ArchiveIndex([str(tmp_path / "i.parquet")])
    parquet(tmp_path / "i.parquet", ["a", None], [1, 2])
    with pytest.raises(DataError, match="without"):
        ArchiveIndex([str(tmp_path / "i.parquet")])
