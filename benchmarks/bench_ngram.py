"""N-gram models beside KenLM's Python binding: the same model, the same texts, one thread, in the same run.

    pip install kenlm                               # a peer, not a dependency; the fit alone runs without it
    python benchmarks/bench_ngram.py --packs DIR    # a minute
    python benchmarks/bench_ngram.py --packs DIR --json ngram.json

Text: sections of OpenStax, Python's PEPs and C++ documentation out of the data packs. A model of each order is fitted on
nine tenths and written as ARPA (`Counts`, `write_arpa`), which both open; both then score all documents, each a sentence
(`model.score(text)` per document there, one Arrow array here), in turn, `--repeats` times. Cold is the first pass,
opening not included, compiled code loaded; warm the median of the others. CPU seconds of the process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pack_texts
import pyarrow as pa

from winnow.core.words.backoff_model import TextForm
from winnow.core.words.ngram_files import open_ngram
from winnow.scorers.arpa_writer import write_arpa
from winnow.scorers.kneser_ney import Counts

SETS = {
    "astronomy": ("text_openstax_bio_etc", r"index\.cnxml$"),
    "peps": ("text_peps", r"\.rst$"),
    "cpp": ("text_cppdocs", r"\.md$"),
}
FORM = TextForm(sentences="document")


def timed(work) -> tuple[float, object]:
    start = time.process_time()
    out = work()
    return time.process_time() - start, out


def fitted(texts: pa.Array, order: int, folder: Path) -> dict[str, object]:
    """Fit, save and list the model; what each took."""
    warm = Counts(order=order, form=FORM)
    warm.add(texts.slice(0, 50))
    warm.estimate().model(FORM)  # compiled code is loaded
    counts, words = Counts(order=order, form=FORM), {}
    count_s, _ = timed(lambda: counts.add(texts))
    words = counts.vocabulary(texts)
    estimate_s, estimate = timed(counts.estimate)
    table_s, model = timed(lambda: estimate.model(FORM))
    model.save(folder)
    arpa_s, _ = timed(lambda: write_arpa(estimate, words, folder / "model.arpa"))
    total = count_s + estimate_s + table_s
    return {
        "tokens": counts.tokens, "ngrams": estimate.counts(), "count_s": count_s, "estimate_s": estimate_s,
        "table_s": table_s, "arpa_s": arpa_s, "count_m_words_per_s": counts.tokens / count_s / 1e6,
        "fit_m_words_per_s": counts.tokens / total / 1e6,
    }  # fmt: skip


def scored(texts: list[str], folder: Path, repeats: int) -> dict[str, object]:
    """CPU seconds of both, in turn, and how far their numbers lie apart."""
    model, array = open_ngram(folder), pa.array(texts, pa.large_string())
    model.score(array.slice(0, 1))
    ours = {"winnow": lambda: -model.score(array).nats / math.log(10)}
    if importlib.util.find_spec("kenlm"):
        import kenlm

        theirs = kenlm.Model(str(folder / "model.arpa"))
        ours["kenlm"] = lambda: np.array([theirs.score(text) for text in texts])
    seconds, found = {name: [] for name in ours}, {}
    for _ in range(repeats):
        for name, work in ours.items():
            took, found[name] = timed(work)
            seconds[name].append(took)
    tokens, size = int(model.score(array).tokens.sum()), sum(len(t.encode()) for t in texts)
    out = {"documents": len(texts), "tokens": tokens, "megabytes": size / 1e6}
    for name, took in seconds.items():
        warm = float(np.median(took[1:]))
        out[name] = {
            "cold_s": took[0],
            "warm_s": warm,
            "m_words_per_s": tokens / warm / 1e6,
            "mb_per_s": size / warm / 1e6,
        }
    if "kenlm" in found:
        apart = np.abs(found["winnow"] - found["kenlm"]) / np.maximum(np.abs(found["kenlm"]), 1)
        out["largest_relative_difference"] = float(apart.max())
        out["times_faster_cold"] = seconds["kenlm"][0] / seconds["winnow"][0]
        out["times_faster_warm"] = out["kenlm"]["warm_s"] / out["winnow"]["warm_s"]
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packs", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data/packs")
    parser.add_argument("--orders", default="3,5")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--most-mb", type=float, default=40.0, help="of text")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not (given.packs / "text_peps.tar.xz").exists():
        print(f"skipped: no data packs under {given.packs}")
        return 0
    texts = [row["text"] for row in pack_texts.documents(given.packs, SETS)]
    order = np.random.default_rng(0).permutation(len(texts))
    sizes = np.cumsum([len(texts[at].encode()) for at in order])
    texts = [texts[at] for at in order[: int(np.searchsorted(sizes, given.most_mb * 1e6))]]
    train = pa.array([t for at, t in enumerate(texts) if at % 10], pa.large_string())
    report = {
        "benchmark": "ngram",
        "cpu": platform.processor() or platform.machine(),
        "load": os.getloadavg()[0],
        "orders": {},
    }
    for number in map(int, given.orders.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            fit = fitted(train, number, Path(folder))
            report["orders"][number] = {"fit": fit, "score": scored(texts, Path(folder), given.repeats)}
    report["load_after"] = os.getloadavg()[0]
    shown = json.dumps(report, indent=1)
    print(shown)
    if given.json:
        given.json.write_text(shown + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
