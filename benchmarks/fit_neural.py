"""A model of `neural`, trained on pages with known main text; its worth is told on sites left out, beside others.

    python benchmarks/fit_neural.py --packs DIR [--out model.safetensors] [--epochs 12]

Pages, folds and labels are those of `fit_main_text.py` (three folds by site; pages of trafilatura's set in training
alone, for half of the weight). Each fold is read by a network that saw none of its sites. Then `main_text` as it is
shipped, resiliparse and trafilatura read the same pages, in the same run: CPU seconds of one thread, MB of UTF-8.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from fit_main_text import VOUCHED, fold
from web_pages import Page, four_gram_f1, gold_pages, vouched

from winnow.pipeline.extract.neural_fit import example
from winnow.pipeline.extract.neural_model import SCALE, Sizes, saved, scores, trained
from winnow.pipeline.extract.neural_network import one_thread
from winnow.pipeline.extract.neural_nodes import nodes_of
from winnow.pipeline.extract.page_features_kernels import joined

LEAST = (-1.0, -0.5, 0.0, 0.5)
PACKS = ("scrapinghub", "newspaper", "llmwebkit")


def read_by(network: Any, page: Page, sizes: Sizes) -> list[str]:
    """The text of a page at each of `LEAST`."""
    with one_thread():
        p, nodes = nodes_of(page.html.encode("utf-8", "replace"), sizes.buckets)
        score = scores(network, nodes)
    return [bytes(joined(p.text, p.block, p.num, score, round(least * SCALE))).decode() for least in LEAST]


def told(name: str, pages: list[Page], texts: list[str], seconds: list[float]) -> None:
    for pack in PACKS:
        mine = [i for i, page in enumerate(pages) if page.pack == pack]
        if mine:
            f1, p, r = four_gram_f1([(pages[i].gold, texts[i]) for i in mine])
            mb = sum(len(pages[i].html.encode("utf-8", "replace")) for i in mine) / 1e6
            spent = sum(seconds[i] for i in mine)
            print(
                f"{name:24} {pack:12} {len(mine):4} F1 {f1:.3f} P {p:.3f} R {r:.3f} {mb / spent:7.1f} MB/CPU-s",
                flush=True,
            )


def timed(read: Any, pages: list[Page]) -> tuple[list[Any], list[float]]:
    texts, seconds = [], []
    for page in pages:
        began = time.process_time()
        texts.append(read(page) or "")
        seconds.append(max(1e-9, time.process_time() - began))
    return texts, seconds


def others(pages: list[Page]) -> None:
    from winnow.pipeline.extract.main_text import MainText
    from winnow.pipeline.extract.resiliparse_ import Resiliparse
    from winnow.pipeline.extract.trafilatura_ import Trafilatura

    for name, operator in (("main_text, saw them", MainText()), ("resiliparse", Resiliparse(alt_texts=False)),
                           ("trafilatura fast", Trafilatura(fast=True))):  # fmt: skip
        extract = operator.extractor()
        extract(pages[0].html)
        told(name, pages, *timed(lambda page, extract=extract: extract(page.html), pages))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--others", action="store_true", help="main_text, resiliparse and trafilatura beside it")
    given = parser.parse_args()
    sizes = Sizes()
    pages = [*gold_pages(given.packs), *vouched(given.packs)]
    examples = [example(p.html, p.gold, sizes, VOUCHED if p.pack == "trafilatura" else 1.0) for p in pages]
    print(len(pages), "pages,", sum(len(e.y) for e in examples), "nodes", flush=True)
    read, texts, seconds = [], [], []
    for k in given.folds:
        began = time.process_time()
        seen = [e for page, e in zip(pages, examples, strict=True) if fold(page, 3, "outer") != k]
        network, losses = trained(seen, sizes, epochs=given.epochs, rate=given.rate, seed=k)
        print(
            f"fold {k}: {len(seen)} pages, loss {losses[0]:.3f} -> {losses[-1]:.3f}, {time.process_time() - began:.0f} CPU-s",
            flush=True,
        )
        mine = [page for page in pages if fold(page, 3, "outer") == k and page.pack in PACKS]
        read += mine
        new = timed(lambda page, network=network: read_by(network, page, sizes), mine)
        texts += new[0]
        seconds += new[1]
    for at, least in enumerate(LEAST):
        told(f"neural, least {least}", read, [each[at] for each in texts], seconds)
    if given.others:
        others(read)
    if given.out:
        saved(trained(examples, sizes, epochs=given.epochs, rate=given.rate, seed=0)[0], sizes, given.out)


if __name__ == "__main__":
    main()
