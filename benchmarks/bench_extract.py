"""Extractors of main text side by side: F1 on four sets of pages, and CPU seconds of one thread, in one run.

    python benchmarks/bench_extract.py --packs DIR [--only main_text resiliparse] [--json benchmarks/out/extract.json]

Sets: scrapinghub (181 news pages), newspaper (143), llm-webkit (49 pages with code, formulas, tables), all three by the
4-gram F1 of scrapinghub's article-extraction-benchmark; trafilatura (415 pages), by snippets that a text must have and
must not have. MB are bytes of the pages in UTF-8; each extractor has read one page before the clock starts. The trees of
`main_text` saw all four sets: `fit_main_text.py` tells its F1 on sites that trees had not seen.

`--math` counts, on the llm-webkit pages, how many formulas, code blocks and rows of tables of the known text stand in
what is found, without `markdown: math` and with it. White space does not count in formulas and rows, and at the ends of
lines of code; a formula counts between dollars, or in the delimiters of the page; shares are means over the pages that
have some, because one page has more than half of all formulas.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from web_pages import Page, four_gram_f1, gold_pages, llmwebkit, snippet_f1, trafilatura

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


FENCED = re.compile(r"```[^\n]*\n(.*?)\n```", re.DOTALL)
DOLLARS = re.compile(r"\$\$(.+?)\$\$|(?<!\$)\$([^$\n]+?)\$(?!\$)", re.DOTALL)
WIKI = re.compile(r"\{\\displaystyle (.*)\}", re.DOTALL)


def bare(text: str) -> str:
    return re.sub(r"\s+", "", text)


def lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def has_formula(text: str, tex: str) -> bool:
    """Whether a formula stands in a text without white space, in delimiters of any kind or as an environment."""
    found = WIKI.fullmatch(tex.strip())
    tex = bare(found[1] if found else tex)
    marks = (("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
    return any(a + tex + b in text for a, b in marks) or ("\\begin" in tex and tex in text)


def kept(pages: Sequence[Page], texts: Sequence[str]) -> dict[str, list[list[bool]]]:
    """Of formulas, code blocks and rows of tables: per page that has some, whether each stands in what was found."""
    found: dict[str, list[list[bool]]] = {"formulas": [], "code": [], "rows": []}
    for page, text in zip(pages, texts, strict=True):
        rest, tight, ragged = FENCED.sub("", page.gold), bare(text), lines(text)
        found["code"].append([lines(code.strip()) in ragged for code in FENCED.findall(page.gold)])
        found["formulas"].append([has_formula(tight, a or b) for a, b in DOLLARS.findall(rest)])
        rows = [line for line in rest.split("\n") if line.startswith("|") and "---" not in line]
        found["rows"].append([bare(row) in tight for row in rows])
    return {kind: [hits for hits in pages if hits] for kind, pages in found.items()}


def math(packs: Path) -> None:
    from winnow.pipeline.extract.main_text import MainText
    from winnow.pipeline.extract.page_markdown import marked
    from winnow.pipeline.extract.resiliparse_ import Resiliparse
    from winnow.pipeline.extract.trafilatura_ import Trafilatura

    pages = list(llmwebkit(packs))
    for name, operator in (("main_text", MainText()), ("main_text, least -3", MainText(least=-3.0)),
                           ("resiliparse", Resiliparse()), ("trafilatura", Trafilatura())):  # fmt: skip
        extract = operator.extractor()
        for kinds in ((), ("formulas", "code", "tables")):
            given = [marked(page.html, kinds, paragraphs=operator.own_tables)[0] for page in pages]
            texts = [extract(page) or "" for page in given]
            told = " ".join(
                f"{kind} {sum(map(sum, hits))}/{sum(map(len, hits))}, mean of {len(hits)} pages "
                f"{sum(sum(h) / len(h) for h in hits) / len(hits):.3f};"
                for kind, hits in kept(pages, texts).items()
            )
            f1 = four_gram_f1((page.gold, text) for page, text in zip(pages, texts, strict=True))[0]
            print(f"{name:20} {'markdown: math' if kinds else '':15} {told} F1 {f1:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--sets", nargs="*", default=["scrapinghub", "newspaper", "llmwebkit", "trafilatura"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--math", action="store_true", help="formulas, code and tables that are kept, and nothing else")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if given.math:
        math(given.packs)
        return
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
