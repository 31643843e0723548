"""Pages that lie as files: one document each, whatever encoding they are in, and none that is lost without a word."""

import gzip

import pytest
import zstandard
from support import run

from winnow.core.errors import ConfigError
from winnow.core.operators import Bad, FileSlice
from winnow.core.operators.config import build
from winnow.pipeline.read.html_files import HtmlFiles

RUSSIAN = "<p>Привет, мир: это страница на русском языке</p>" * 3


def read(folder, names, **fields):
    told = []
    pieces = [FileSlice(path=str(folder / n), rel=n, digest="", size=(folder / n).stat().st_size) for n in names]
    reader = build(HtmlFiles, {"files": ["x"], **fields}, where="docs")
    return [r for t in reader.read(pieces, told.append) for r in t.to_pylist()], [b for b in told if isinstance(b, Bad)]


def test_pages_of_every_encoding_and_packing_are_read(tmp_path):
    made = {
        "a.html": RUSSIAN.encode(), "b.htm": RUSSIAN.encode("cp1251"), "c.xhtml": RUSSIAN.encode("utf-16"),
        "d.html.gz": gzip.compress(RUSSIAN.encode()), "e.html.zst": zstandard.compress(RUSSIAN.encode()),
    }  # fmt: skip
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    rows, bad = read(tmp_path, made)
    assert [r["text"] for r in rows] == [RUSSIAN] * 5
    assert [(r["charset"], r["charset_from"]) for r in rows] == [
        ("utf-8", "bytes"), ("cp1251", "detected"), ("utf-16-le", "bom"), ("utf-8", "bytes"), ("utf-8", "bytes"),
    ]  # fmt: skip
    assert [r["url"] for r in rows] == ["a.html", "b.htm", "c.xhtml", "d.html", "e.html"]
    assert not bad


def test_bad_pages_are_put_aside_and_bombs_never_held(tmp_path):
    made = {
        "bomb.html.gz": gzip.compress(bytes(20_000_000)), "bomb.html.zst": zstandard.compress(bytes(20_000_000)),
        "cut.html.gz": gzip.compress(RUSSIAN.encode())[:-9], "no.html.gz": b"<p>plain", "no.html.zst": b"<p>plain",
        "long.html": b"x" * 1_000_001, "empty.html": b"", "nul.html": b"a\0b",
    }  # fmt: skip
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    rows, bad = read(tmp_path, made, max_record_mb=1)
    assert [r["text"] for r in rows] == ["", "a\0b"]
    assert [b.error for b in bad] == ["too_large", "too_large", "corrupt", "corrupt", "corrupt", "too_large"]


def test_addresses_are_made_of_paths(tmp_path):
    (tmp_path / "a.org").mkdir()
    (tmp_path / "a.org" / "x.html.gz").write_bytes(gzip.compress(b"<p>x"))
    for url, found in {
        "https://{stem}": "https://a.org/x",
        "{path}": "a.org/x.html",
        "file:{name}?{stem}": "file:x.html?a.org/x",
    }.items():
        (row,), _ = read(tmp_path, ["a.org/x.html.gz"], url=url)
        assert row["url"] == found


@pytest.mark.parametrize(
    "fields", [{"url": "https://a.org/"}, {"url": "{file}"}, {"id": "field:x"}, {"max_record_mb": 0}]
)
def test_fields_that_cannot_work_are_refused(fields):
    with pytest.raises(ConfigError) as refused:
        build(HtmlFiles, {"files": ["x"], **fields}, where="docs")
    assert refused.value.hint


def test_a_folder_of_pages_is_read_the_same_in_any_units(tmp_path):
    (tmp_path / "crawled" / "b").mkdir(parents=True)
    for i in range(30):
        (tmp_path / "crawled" / ("b" if i % 2 else "") / f"{i}.html").write_text(f"<p>page {i} " + "lorem " * 60)
    (tmp_path / "crawled" / "style.css").write_text("p {}")
    recipe = "stages:\n  docs: {use: html_files, files: crawled}\n"
    one, many = run(recipe, tmp_path, tmp_path / "one"), run(recipe, tmp_path, tmp_path / "many", part_bytes=1500)
    assert one.digests == many.digests
    assert one.counts("docs")["rows"] == 30
    assert len(many.of("docs").parts) > 3
