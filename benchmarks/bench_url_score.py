"""How well `url_score` tells kinds of sites apart by their address, on sites it has not seen; one JSON object out.

    python benchmarks/bench_url_score.py --lists UT1_FOLDER [--kinds adult,games,press] [--most 3000] [--speed 200000]

Every kind is a category of UT1's lists (CATEGORY/domains); of each `most` names are drawn, and each kind is told from all
others together in five folds over the names. Beside it, in the same folds: labels that are drawn (0.5 where nothing leaks),
and a classifier of the words alone, without n-grams of characters. The interval is of the five folds (t, 95 %).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import fasttext
import numpy as np
import polars as pl

from winnow.scorers.fasttext_fit import POSITIVE, balanced_lines, fit_model
from winnow.scorers.fasttext_labels import probabilities
from winnow.scorers.url_score_fit import UrlScoreFit, line_of

FOLDS, T = 5, 2.776
SETTINGS = UrlScoreFit(positive="x")


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve, ties in half."""
    ranks = pl.Series(score).rank("average").to_numpy()
    yes = int(label.sum())
    return float((ranks[label].sum() - yes * (yes + 1) / 2) / (yes * (len(score) - yes)))


def fitted(lines: list[str], label: np.ndarray, model: Path, *, characters: bool) -> object:
    """A classifier of these lines."""
    yes = [line for line, good in zip(lines, label, strict=True) if good]
    no = [line for line, good in zip(lines, label, strict=True) if not good]
    grams = {"minn": SETTINGS.shortest, "maxn": SETTINGS.longest} if characters else {"minn": 0, "maxn": 0}
    fit_model(balanced_lines(yes, no, seed=1), {"dim": SETTINGS.dim, "wordNgrams": 2, "bucket": SETTINGS.bucket,
              "epoch": SETTINGS.epoch, "lr": SETTINGS.lr, "seed": 1, **grams}, model)  # fmt: skip
    return fasttext.load_model(str(model))


def folds(lines: list[str], label: np.ndarray, work: Path, *, characters: bool) -> dict[str, float]:
    """Mean AUC and half its interval."""
    out = []
    for fold in range(FOLDS):
        held = np.arange(len(lines)) % FOLDS == fold
        train = [line for line, out_ in zip(lines, held, strict=True) if not out_]
        model = fitted(train, label[~held], work / "model.bin", characters=characters)
        score = probabilities(model, [POSITIVE])([line for line, out_ in zip(lines, held, strict=True) if out_])[:, 0]
        out.append(auc(score, label[held]))
    return {"auc": round(float(np.mean(out)), 4), "half": round(float(T * np.std(out, ddof=1) / FOLDS**0.5), 4)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", required=True)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--most", type=int, default=3000)
    parser.add_argument("--speed", type=int, default=200_000)
    asked = parser.parse_args()
    draw = random.Random(1)
    held: dict[str, list[str]] = {}
    for path in sorted(Path(asked.lists).rglob("domains")):
        names = [n for n in path.read_text("utf-8", "replace").splitlines() if n and not n.replace(".", "").isdigit()]
        held[path.parent.name] = draw.sample(sorted(set(names)), min(asked.most, len(set(names))))
    kinds = asked.kinds.split(",") if asked.kinds else [k for k, names in held.items() if len(names) >= asked.most]
    names = [(name, kind) for kind in kinds for name in held[kind]]
    draw.shuffle(names)
    lines = pl.DataFrame({"url": [n for n, _ in names]}).select(line_of(pl.col("url"))).to_series().to_list()
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for kind in kinds:
            label = np.array([k == kind for _, k in names])
            drawn = np.random.default_rng(1).permutation(label)
            table[kind] = {"url_score": folds(lines, label, work, characters=True),
                           "words alone": folds(lines, label, work, characters=False),
                           "drawn labels": folds(lines, drawn, work, characters=True)}  # fmt: skip
        model = fitted(lines, np.array([k == kinds[0] for _, k in names]), work / "model.bin", characters=True)
        many = (lines * (asked.speed // len(lines) + 1))[: asked.speed]
        started = time.process_time()
        probabilities(model, [POSITIVE])(many)
        speed = asked.speed / (time.process_time() - started)
    sys.stdout.write(json.dumps({"names": len(names), "kinds": table, "addresses_per_cpu_s": round(speed)}) + "\n")


if __name__ == "__main__":
    main()
