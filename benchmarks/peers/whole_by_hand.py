"""What a competent person writes in an afternoon: Polars for reading and rules, fastText, rensa, no winnow.

    PYTHON whole_by_hand.py --input FILE --out DIR --lid MODEL --model MODEL [--tokenizer FILE]

Language (`lid.176.ftz`, first line of the text), Gopher's and FineWeb's rules as Polars expressions where they can be, in Python
where not (repeated n-grams), MinHash of lower-cased word 5-grams (14 x 8), a fastText score, its best half, Parquet with zstd. Files
are read in slices, so memory is bounded by the signatures.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path
from typing import Any

import fasttext
import polars as pl
from common import shingle_set

SLICE = 8192
STOP = ["the", "be", "to", "of", "and", "that", "have", "with"]


def rules(frame: pl.DataFrame) -> pl.Series:
    """Gopher's quality rules and FineWeb's, without repetition: bool[rows]."""
    text = pl.col("text")
    words, lines = pl.col("words"), pl.col("lines")
    count, lengths = words.list.len(), words.list.eval(pl.element().str.len_chars())
    made = frame.select(text, words=text.str.split(" ").list.eval(pl.element().filter(pl.element() != "")),
                        lines=text.str.split("\n").list.eval(pl.element().filter(pl.element() != "")))  # fmt: skip
    marks = text.str.count_matches("#", literal=True) + text.str.count_matches(r"\.\.\.|…")
    bullets = lines.list.eval(pl.element().str.contains(r"^\s*[•*\-]")).list.mean()
    dots = lines.list.eval(pl.element().str.contains(r"(\.\.\.|…)$")).list.mean()
    alpha = words.list.eval(pl.element().str.contains(r"\p{L}")).list.mean()
    stop = words.list.eval(pl.element().is_in(STOP)).list.sum()
    again = lines.list.eval(pl.element().filter(pl.element().is_duplicated()).str.len_bytes()).list.sum()
    ends = lines.list.eval(pl.element().str.contains(r"[.!?\"']$")).list.mean()
    short = lines.list.eval(pl.element().str.len_chars() <= 30).list.mean()
    return made.select(
        count.is_between(50, 100_000)
        & lengths.list.mean().is_between(3, 10)
        & (marks / count <= 0.1) & (bullets <= 0.9) & (dots <= 0.3) & (alpha >= 0.8) & (stop >= 2)
        & (ends >= 0.12) & (short <= 0.67) & (lines.list.len() / count <= 0.3)
        & (again / text.str.len_bytes() <= 0.01)
    ).to_series().fill_null(False)  # fmt: skip


def repeats(text: str) -> bool:
    """Gopher's repetition rules: lines, paragraphs, top n-grams, repeated n-grams."""
    lines, paragraphs, words = text.split("\n"), re.split(r"\n{2,}", text), text.split()
    for pieces, share in ((lines, 0.3), (paragraphs, 0.3)):
        if 1 - len(set(pieces)) / len(pieces) > share:
            return True
    size = len(text)
    for n, share in ((2, 0.2), (3, 0.18), (4, 0.16)):
        grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
        if grams:
            top, times = grams.most_common(1)[0]
            if times > 1 and times * len(" ".join(top)) / size > share:
                return True
    for n, share in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1)):
        seen: set[tuple[str, ...]] = set()
        at, again = 0, 0
        while at + n <= len(words):
            gram = tuple(words[at : at + n])
            if gram in seen:
                again += sum(map(len, gram))
                at += n
            else:
                seen.add(gram)
                at += 1
        if again / size > share:
            return True
    return False


def survivors(frame: pl.DataFrame, lid: Any) -> pl.DataFrame:
    """The rows of a slice that language and rules keep."""
    lines = frame["text"].str.replace_all("\n", " ").to_list()
    english = [label[0] == "__label__en" for label in lid.predict(lines)[0]] if lines else []
    frame = frame.filter(pl.Series(english, dtype=pl.Boolean))
    frame = frame.filter(rules(frame))
    return frame.filter(pl.Series([not repeats(text) for text in frame["text"]], dtype=pl.Boolean))


def unique(frame: pl.DataFrame) -> pl.DataFrame:
    """Without near-copies, as rensa's scripts do it."""
    from rensa import RMinHash, RMinHashLSH

    lsh, kept, sketches = RMinHashLSH(threshold=0.75, num_perm=112, num_bands=14), [], []
    texts = frame["text"].to_list()
    for start in range(0, len(texts), 1000):
        tokens = [list(shingle_set(text)) for text in texts[start : start + 1000]]
        sketches += RMinHash.from_token_sets(tokens, num_perm=112, seed=1)
    for number, sketch in enumerate(sketches):
        near = any(sketch.jaccard(sketches[o]) >= 0.75 for o in lsh.query(sketch))
        kept.append(not near)
        if not near:
            lsh.insert(number, sketch)
    return frame.filter(pl.Series(kept))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--input", "--out", "--lid", "--model"):
        parser.add_argument(name, required=True)
    parser.add_argument("--tokenizer")
    given = parser.parse_args()
    lid, model = fasttext.load_model(given.lid), fasttext.load_model(given.model)
    read = pl.read_ndjson(given.input)
    frame = pl.concat([survivors(read.slice(at, SLICE), lid) for at in range(0, read.height, SLICE)])
    frame = unique(frame)
    labels, shares = model.predict([" ".join(text.split()) for text in frame["text"]], k=2)
    score = [dict(zip(names, values, strict=True))["__label__hq"] for names, values in zip(labels, shares, strict=True)]
    frame = frame.with_columns(score=pl.Series(score, dtype=pl.Float64))
    if given.tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(given.tokenizer)
        counts = [len(e.ids) for e in tokenizer.encode_batch_fast(frame["text"].to_list(), add_special_tokens=False)]
        frame = frame.with_columns(token_count=pl.Series(counts))
    frame = frame.sort("score", descending=True).head(frame.height // 2).sample(fraction=1, shuffle=True, seed=1)
    Path(given.out).mkdir(parents=True)
    frame.write_parquet(f"{given.out}/corpus.parquet", compression="zstd", compression_level=1)


if __name__ == "__main__":
    main()
