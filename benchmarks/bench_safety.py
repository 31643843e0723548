"""A toxicity classifier from labels, judged in folds, and what training on the data that it calls safe costs; JSON out.

    python benchmarks/bench_safety.py --packs DIR [--out runs/safety --tokens 150000 --seeds 3]

Labels are 24,783 tweets of Davidson et al. 2017 (hate speech, offensive, neither; by three or more people), which are read as
toxic (hate speech or offensive) or not. Tweets that are equal but for case, names and addresses share a fold. AUC of five
folds with the interval of their mean (t, 95 %); beside it the number of LDNOOBW's words, and labels that are drawn.

With --out, an ablation: half of a pool of news, chat and half of the tweets is drawn from all of it or from what the
classifier (of the other half) keeps below `--limit` and what holds no personal data; held out is news and textbook text.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from pack_texts import documents

from winnow.core.words.fasttext_predict import Predictor
from winnow.scorers.fasttext_fit import POSITIVE, balanced_lines, fit_model, tokenised
from winnow.scorers.fasttext_labels import probabilities

FOLDS, T = 5, 2.776
SETTINGS = {"dim": 32, "wordNgrams": 2, "bucket": 200_000, "epoch": 3, "lr": 0.2, "seed": 1}
SETS = {"news": ("text_bbc", r"/data_files/.*\.txt$"), "chat": ("text_irc", r"\.ascii\.txt$"),
        "books": ("text_openstax_psych", r"/modules/.*\.cnxml$")}  # fmt: skip
RECIPE = """
seed: 3
stages:
  labels: {{use: jsonl, files: labelled.jsonl, columns: {{toxic: int64}}}}
  rude:   {{use: filter, inputs: labels, keep: {{toxic: "toxic = 1"}}}}
  fine:   {{use: filter, inputs: labels, ignore: all, keep: {{toxic: "toxic = 0"}}}}
  docs:   {{use: jsonl, files: pool.jsonl, columns: {{source: string}}}}
  held:   {{use: jsonl, files: held.jsonl, source: held}}
  fresh:  {{use: decontaminate, inputs: docs, against: held}}
  all:    {{use: random, inputs: [docs, fresh], budget: {tokens} tokens}}
  pii:    {{use: mask_pii, inputs: docs}}
  toxic:  {{use: fasttext, inputs: docs, positive: rude, negative: fine, text: docs}}
  safe:   {{use: filter, inputs: [docs, pii, toxic], preset: no_persons, keep: {{not_toxic: "toxic < {limit}"}}}}
  pass:   {{use: random, inputs: [docs, safe], budget: {tokens} tokens}}
  cost:   {{use: ablation, arms: {{pass: pass}}, baseline: all, eval: {{held: held}}, seeds: {seeds}, tokens: {tokens}, text: docs}}
"""


def tweets(packs: Path) -> tuple[list[str], np.ndarray]:
    """(texts, whether each is toxic)."""
    with tarfile.open(packs / "tox_davidson.tar.xz") as pack:
        name = next(n for n in pack.getnames() if n.endswith("labeled_data.csv"))
        held = pack.extractfile(name)
        assert held is not None
        rows = list(csv.DictReader(io.StringIO(held.read().decode())))
    return [row["tweet"] for row in rows], np.array([row["class"] != "2" for row in rows])


def folds_of(texts: list[str]) -> np.ndarray:
    """Fold of each text; texts alike but for case, names and addresses share one."""
    bare = [" ".join(re.sub(r"@\w+|https?://\S+|[^a-z ]", " ", t.lower()).split()) for t in texts]
    groups = sorted(set(bare))
    random.Random(1).shuffle(groups)
    fold = {name: at % FOLDS for at, name in enumerate(groups)}
    return np.array([fold[b] for b in bare])


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve, ties in half."""
    ranks = pl.Series(score).rank("average").to_numpy()
    yes = int(label.sum())
    return float((ranks[label].sum() - yes * (yes + 1) / 2) / (yes * (len(score) - yes)))


def scored(lines: list[str], label: np.ndarray, asked: list[str], work: Path) -> np.ndarray:
    """Probability of the label for `asked`, of a classifier of `lines`."""
    sides = [[line for line, good in zip(lines, label, strict=True) if bool(good) is side] for side in (True, False)]
    fit_model(balanced_lines(*sides, seed=1), SETTINGS, work / "model.bin")
    return probabilities(Predictor(work / "model.bin"), [POSITIVE])(pl.Series(asked))[:, 0]


def summary(values: list[float]) -> dict[str, float]:
    """Mean, and half its interval."""
    return {"auc": round(float(np.mean(values)), 4), "half": round(float(T * np.std(values, ddof=1) / FOLDS**0.5), 4)}


def judged(packs: Path) -> dict[str, object]:
    """AUC of the classifier, of a word list, and of drawn labels."""
    texts, label = tweets(packs)
    lines = pl.DataFrame({"text": texts}).select(tokenised(pl.col("text"))).to_series().to_list()
    fold, drawn = folds_of(texts), np.random.default_rng(1).permutation(label)
    with tarfile.open(packs / "list_ldnoobw.tar.xz") as pack:
        member = next(m for m in pack.getmembers() if m.name.rpartition("/")[2] == "en")
        held = pack.extractfile(member)
        assert held is not None
        bad = [word.strip().lower() for word in held.read().decode().splitlines() if word.strip()]
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, bad)) + r")(?!\w)")
    counts = np.array([len(pattern.findall(text.lower())) for text in texts])
    out: dict[str, list[float]] = {"fasttext": [], "listed words": [], "drawn labels": []}
    with tempfile.TemporaryDirectory() as folder:
        for one in range(FOLDS):
            train = [line for line, f in zip(lines, fold, strict=True) if f != one]
            asked = [line for line, f in zip(lines, fold, strict=True) if f == one]
            out["fasttext"].append(auc(scored(train, label[fold != one], asked, Path(folder)), label[fold == one]))
            null = scored(train, drawn[fold != one], asked, Path(folder))
            out["drawn labels"].append(auc(null, drawn[fold == one]))
            out["listed words"].append(auc(counts[fold == one], label[fold == one]))
    return {
        "texts": len(texts),
        "toxic": round(float(label.mean()), 3),
        **{name: summary(v) for name, v in out.items()},
    }


def cost(arguments: argparse.Namespace) -> int:
    """Run the ablation below `--out`."""
    folder = arguments.out / "input"
    folder.mkdir(parents=True, exist_ok=True)
    texts, label = tweets(arguments.packs)
    half = folds_of(texts) < FOLDS // 2
    rows = [{"text": t, "source": "tweets"} for t, first in zip(texts, half, strict=True) if not first]
    sizes: dict[str, int] = {}
    held = []
    for row in documents(arguments.packs, SETS):
        sizes[row["source"]] = sizes.get(row["source"], 0) + len(row["text"])
        aside = row["source"] == "books" or (row["source"] == "news" and sizes["news"] % 5 == 0)
        if sizes[row["source"]] < 2_000_000:
            (held if aside else rows).append({"text": row["text"], "source": row["source"]})
    random.Random(2).shuffle(rows)
    labelled = [{"text": t, "toxic": int(y)} for t, y, first in zip(texts, label, half, strict=True) if first]
    for name, some in (("labelled", labelled), ("pool", rows), ("held", held)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    recipe = folder / "safety.yaml"
    recipe.write_text(RECIPE.format(limit=arguments.limit, tokens=arguments.tokens, seeds=arguments.seeds))
    command = [sys.executable, "-m", "winnow", "run", str(recipe), "--out", str(arguments.out / "root")]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """Print the figures, then the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--limit", type=float, default=0.5)
    parser.add_argument("--tokens", type=int, default=150_000)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(json.dumps(judged(arguments.packs)))
    return cost(arguments) if arguments.out else 0


if __name__ == "__main__":
    sys.exit(main())
