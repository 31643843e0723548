"""What one limit for all languages refuses of each, and what limits of its own refuse, as JSON on stdout.

    python benchmarks/bench_limits.py PACKS [--documents 60] [--share 0.05]

PACKS is the folder of the data packs (`text_masakhanews.tar.xz`: news in 16 languages of Africa, with English and French;
the pack has eight). The first `documents` texts of each language's dev.tsv are read; the limit is the longest mean word
length, a tail of `share` of the documents: of all together, and of each language.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

import winnow

PACK = "text_masakhanews.tar.xz"
RECIPE = """
stages:
  docs: {{use: jsonl, files: news.jsonl, columns: {{language: string}}}}
  own:  {{use: limits, inputs: docs, min_docs: 30, most: {{mean_word_length: tail {share}}}}}
  all:  {{use: limits, inputs: docs, min_docs: {more}, most: {{mean_word_length: tail {share}}}}}
"""


def texts(pack: Path, documents: int) -> Iterator[tuple[str, str]]:
    """(language, text) of the first documents of every language."""
    csv.field_size_limit(2**30)
    with tarfile.open(pack) as tar:
        for member in tar:
            if not member.name.endswith("/dev.tsv"):
                continue
            file = tar.extractfile(member)
            assert file is not None
            rows = csv.DictReader(io.TextIOWrapper(file, "utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE)
            found = [row["text"] for row in rows if row["text"]][:documents]
            yield from ((member.name.split("/")[-2], text) for text in found)


def main() -> None:
    """Write the texts and the recipe to a folder of its own, run it, and say what each limit refuses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", type=Path)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.05)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        found = list(texts(asked.packs / PACK, asked.documents))
        lines = (json.dumps({"text": text, "language": tongue}) + "\n" for tongue, text in found)
        (folder / "news.jsonl").write_text("".join(lines), "utf-8")
        recipe = RECIPE.format(share=asked.share, more=len(found) + 1)
        (folder / "limits.yaml").write_text(recipe, "utf-8")
        winnow.run_recipe(str(folder / "limits.yaml"), out=str(folder / "run"))
        ran = winnow.open(folder / "run")
        own, everyone = (
            ran.frame(stage, ["language", "mean_word_length", "most_mean_word_length"]).collect()
            for stage in ("own", "all")
        )
    length = pl.col("mean_word_length")
    shares = own.with_columns(together=everyone["most_mean_word_length"]).group_by("language").agg(
        documents=pl.len(), median=length.median().round(2), limit=pl.col("most_mean_word_length").first().round(2),
        refused=(length > pl.col("most_mean_word_length")).mean().round(3), limit_of_all=pl.col("together").first().round(2),
        refused_by_it=(length > pl.col("together")).mean().round(3),
    ).sort("language")  # fmt: skip
    print(json.dumps(shares.to_dicts(), indent=1))


if __name__ == "__main__":
    main()
