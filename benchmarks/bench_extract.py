"""Extractors of main text side by side: F1 on four sets of pages, and CPU seconds of one thread, in one run.

    python benchmarks/bench_extract.py --packs DIR [--only main_text resiliparse] [--json benchmarks/out/extract.json]

Sets: scrapinghub (181 news pages), newspaper (143), llm-webkit (49 pages with code, formulas, tables), all three by the
4-gram F1 of scrapinghub's article-extraction-benchmark; trafilatura (415 pages), by snippets that a text must have and
must not have. MB are bytes of the pages in UTF-8; each extractor has read one page before the clock starts. The trees of
`main_text` saw the first three sets: `fit_main_text.py` tells its F1 on sites that trees had not seen.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from web_pages import four_gram_f1, gold_pages, snippet_f1, trafilatura

Extract = Callable[[str], str | None]


def extractors() -> dict[str, Callable[[], Extract]]:
    from winnow.pipeline.extract.main_text import MainText
    from winnow.pipeline.extract.resiliparse_ import Resiliparse
    from winnow.pipeline.extract.trafilatura_ import Trafilatura

    return {
        "main_text": lambda: MainText().extractor(),
        "resiliparse": lambda: Resiliparse(alt_texts=False).extractor(),
        "trafilatura fast": lambda: Trafilatura(fast=True).extractor(),
        "trafilatura": lambda: Trafilatura().extractor(),
        "trafilatura precision": lambda: Trafilatura(favor="precision").extractor(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--sets", nargs="*", default=["scrapinghub", "newspaper", "llmwebkit", "trafilatura"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    pages = [p for p in [*gold_pages(given.packs), *trafilatura(given.packs)] if p.pack in given.sets]
    found = []
    for name, make in extractors().items():
        if given.only and name not in given.only:
            continue
        extract = make()
        extract(pages[0].html)
        for pack in given.sets:
            mine = [page for page in pages if page.pack == pack]
            began = time.process_time()
            texts = [extract(page.html) or "" for page in mine]
            seconds = time.process_time() - began
            mb = sum(len(page.html.encode("utf-8", "replace")) for page in mine) / 1e6
            pairs = list(zip(mine, texts, strict=True))
            f1, p, r = snippet_f1(pairs) if pack == "trafilatura" else four_gram_f1((m.gold, t) for m, t in pairs)
            row = {"extractor": name, "set": pack, "pages": len(mine), "f1": f1, "precision": p, "recall": r,
                   "mb_per_cpu_s": mb / seconds}  # fmt: skip
            found.append(row)
            print(
                f"{name:22} {pack:12} {len(mine):4} F1 {f1:.3f} P {p:.3f} R {r:.3f} {mb / seconds:7.1f} MB/CPU-s",
                flush=True,
            )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
