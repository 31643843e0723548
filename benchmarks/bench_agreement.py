"""How often winnow and datatrove decide the same with FineWeb's filters, as JSON on stdout.

    python benchmarks/bench_agreement.py PACKS --python PYTHON [--documents 5000] [--splitter whitespace | spacy]
        [--words whitespace unicode] [--examples 3]

PACKS is the folder of the data packs; PYTHON an interpreter with datatrove 0.10.1 (and spaCy for its own splitter). The
filters are Gopher repetition, Gopher quality, C4 without terminal punctuation, and FineWeb's own on what C4 leaves of
the text. A document counts as agreed on where both keep it or both drop it; `reasons` counts the others by filter and
by (winnow's clause, datatrove's reason).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import web_pages

from winnow.core.operators import Context
from winnow.core.words.splice import changed
from winnow.pipeline.edit.c4_lines import C4Lines
from winnow.pipeline.filter.filter import Filter
from winnow.pipeline.measure.signals import Signals

HERE = Path(__file__).parent
FILTERS = ("gopher_repetition", "gopher_quality", "c4", "fineweb")
C4_CLAUSES = {
    "lorem_ipsum": "c4_lorem_ipsum_lines = 0",
    "curly": "c4_curly_lines = 0",
    "sentences": "sentence_count >= 5",
}


def members(packs: Path, pack: str, ending: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(packs / f"{pack}.tar.xz") as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(ending):
                yield member.name, archive.extractfile(member).read()  # type: ignore[union-attr]


def documents(packs: Path) -> Iterator[str]:
    """Whole web pages as text first (menus, lists and all), then judged web text, news, registers, fake news."""
    from resiliparse.extract.html2text import extract_plain_text

    for pages in (web_pages.trafilatura, web_pages.scrapinghub, web_pages.newspaper):
        for page in pages(packs):
            yield extract_plain_text(page.html)
            yield extract_plain_text(page.html, main_content=True)
    for name, raw in members(packs, "dclm", ".jsonl"):
        if name.endswith("human_quality_dev.jsonl"):
            yield from (json.loads(line)["text"] for line in raw.decode().splitlines())
    csv.field_size_limit(1 << 30)
    for _, raw in members(packs, "text_fakenews", "news_sample.csv"):
        yield from (row["content"] for row in csv.DictReader(raw.decode().splitlines(keepends=True)))
    for pack, ending in (("text_masakhanews", "eng/test.tsv"), ("text_multiregister", ".tsv")):
        for _, raw in members(packs, pack, ending):
            yield from (line.split("\t")[-1] for line in raw.decode().splitlines() if "\t" in line)
    for _, raw in members(packs, "text_bbc", ".txt"):
        yield raw.decode("utf-8", "replace")


def measured(texts: pa.Array, words: str) -> pl.DataFrame:
    columns = Signals(words=words).open(Context(seed=0, work=Path()))  # type: ignore[arg-type]
    return pl.from_arrow(columns(pa.record_batch({"text": texts})))  # type: ignore[return-value]


def refused(rows: pl.DataFrame, clauses: dict[str, str]) -> list[str]:
    """The first clause that refuses each row, '' where none does."""
    found = rows.select(pl.sql_expr(rule).fill_null(value=False).alias(name) for name, rule in clauses.items())
    return [next((name for name, kept in row.items() if not kept), "") for row in found.iter_rows(named=True)]


def ours(texts: list[str], words: str) -> list[dict[str, str]]:
    """winnow's verdicts, filter -> clause, in the form of `verdicts_datatrove.py`."""
    whole = pa.array(texts, pa.large_string())
    edit = C4Lines(end_marks=False).editing(Context(seed=0, work=Path()))
    edited = edit(pa.record_batch({"text": whole}))
    left = pc.coalesce(changed(whole, edited.spans)[0], whole)  # null: as it was
    before, after = measured(whole, words), measured(left, words)
    c4 = after.with_columns(*(pl.Series(name, column) for name, column in edited.columns.items()))
    columns = {
        "gopher_repetition": refused(before, Filter(preset=("gopher_repetition",)).clauses()),
        "gopher_quality": refused(before, Filter(preset=("gopher_quality",)).clauses()),
        "c4": refused(c4, C4_CLAUSES),
    }
    # datatrove hands on the text that C4 left only where C4 keeps it
    fineweb = Filter(preset=("fineweb",)).clauses()
    kept, unkept = refused(after, fineweb), refused(before, fineweb)
    columns["fineweb"] = [unkept[k] if columns["c4"][k] else kept[k] for k in range(len(texts))]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [row | {"all": next(filter(None, row.values()), "")} for row in rows]


def theirs(texts: list[str], python: str, splitter: str) -> list[dict[str, str]]:
    given = "".join(json.dumps(text) + "\n" for text in texts)
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE.parent), str(HERE.parent / "tests")))}
    command = [python, str(HERE / "peers" / "verdicts_datatrove.py"), splitter]
    done = subprocess.run(command, input=given, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return [json.loads(line) for line in done.stdout.splitlines()]


def compared(texts: list[str], pairs: list[tuple[dict[str, str], dict[str, str]]], examples: int) -> dict[str, Any]:
    """Agreement by filter, and what is decided otherwise, by reason."""
    found = {}
    for name in (*FILTERS, "all"):
        apart = [k for k, (one, other) in enumerate(pairs) if bool(one[name]) != bool(other[name])]
        reasons = Counter(f"{pairs[k][0][name] or 'kept'} / {pairs[k][1][name] or 'kept'}" for k in apart)
        found[name] = {
            "agreement": 1 - len(apart) / len(pairs),
            "dropped by datatrove": sum(bool(other[name]) for _, other in pairs) / len(pairs),
            "apart": dict(reasons.most_common()),
            "examples": [texts[k][:400] for k in apart[:examples]],
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--splitter", choices=("whitespace", "spacy"), default="whitespace")
    parser.add_argument("--words", nargs="+", choices=("whitespace", "unicode"), default=["whitespace"])
    parser.add_argument("--examples", type=int, default=0)
    chosen = parser.parse_args()
    texts = list(islice(documents(chosen.packs), chosen.documents))
    peers = theirs(texts, chosen.python, chosen.splitter)
    result: dict[str, Any] = {"documents": len(texts), "megabytes": sum(len(t.encode()) for t in texts) / 1e6}
    for words in chosen.words:
        result[words] = compared(texts, list(zip(ours(texts, words), peers, strict=True)), chosen.examples)
    print(json.dumps(result, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
