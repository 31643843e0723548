"""Scoring by fastText models: our kernels beside the library, the same file, the same lines, one thread, in turns.

    python benchmarks/bench_fasttext.py --packs DIR                     # two minutes
    python benchmarks/bench_fasttext.py --packs DIR --model lid.176.ftz # and a model of yours

Lines: Gutenberg and PEPs out of the data packs in pieces of up to 6,000 characters, line breaks as blanks, as a column;
the library takes a list of them (`predict(lines, k=1)`), made outside of its time. Models are fitted on a tenth of them:
bigrams (dim 32, 200,000 buckets: what `fasttext` fits), single words, and character n-grams (hierarchical softmax,
minn 2, maxn 4). A figure is the median over rounds of the library's CPU seconds over ours; all answers are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import fasttext
import numpy as np
import polars as pl
from pack_texts import documents
from turns import in_turns

from winnow.core.words.fasttext_file import read_fasttext
from winnow.core.words.fasttext_predict import Kernels, library_every, library_likeliest
from winnow.scorers.fasttext_fit import fit_model

SETS = {"gutenberg": ("text_gutenberg", r"\.txt$"), "peps": ("text_peps", r"\.rst$")}
FITS = {
    "bigrams, dim 32": {"dim": 32, "wordNgrams": 2, "bucket": 200_000},
    "words, dim 16": {"dim": 16, "wordNgrams": 1},
    "characters 2 to 4, dim 16": {"dim": 16, "loss": "hs", "minn": 2, "maxn": 4, "bucket": 200_000},
}


def measured(path: Path, lines: pl.Series, rounds: int) -> dict[str, float]:
    """MB per CPU second of both, their ratio, and the largest difference of a probability."""
    ours, theirs = Kernels(read_fasttext(path)), fasttext.load_model(str(path))
    texts = lines.to_list()
    ways = {"ours": lambda: ours.likeliest(lines), "library": lambda: theirs.predict(texts, k=1)}
    turns = in_turns(ways, rounds=rounds)
    (label, share), (their_label, their_share) = ours.likeliest(lines), library_likeliest(theirs, lines)
    some = lines[:: max(1, len(lines) // 500)]
    worst = max(
        float(np.abs(share - their_share).max()), float(np.abs(ours.every(some) - library_every(theirs, some)).max())
    )
    size = int(lines.str.len_bytes().sum()) / 1e6
    return {"ours_mb_per_cpu_s": size / turns["ours"].seconds, "library_mb_per_cpu_s": size / turns["library"].seconds,
            "ratio": turns["library"].ratio, "labels_apart": int((label != their_label).sum()), "worst": worst}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = list(documents(args.packs, SETS))
    texts = pl.DataFrame(rows)["text"].sample(fraction=1.0, shuffle=True, seed=1).str.replace_all(r"[\r\n]+", " ")
    lines = texts.filter(texts.str.len_bytes().cum_sum() < args.megabytes * 1e6)
    taught = [f"__label__{r['source']} {' '.join(r['text'].split())}" for r in rows[::10]]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {str(path.name): path for path in args.model}
        for name, how in FITS.items():
            paths[name] = Path(folder) / f"{len(paths)}.bin"
            fit_model(taught, {"epoch": 2, "lr": 0.2, **how}, paths[name])
        for name, path in paths.items():
            found[name] = measured(path, lines, args.rounds)
    print(f"{int(lines.str.len_bytes().sum()) / 1e6:.1f} MB in {len(lines):,} lines, load {os.getloadavg()[0]:.1f}")
    print(pl.DataFrame([{"model": name, **row} for name, row in found.items()]))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
