"""rensa in two ways: `script` (the usual loop) and `readme` (RMinHashDeduplicator as its README shows it).

`script`: lower-case `\\w+` word 5-grams, RMinHash by batches, RMinHashLSH, candidates checked by estimated Jaccard.
`readme`: `text.split()`, single words, the class's own banding.
"""

from __future__ import annotations

import argparse
from typing import Any

import common


def dedup(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    from rensa import RMinHash

    permutations, seed = settings["num_perm"], 42
    with report.phase("read"):
        ids, texts = common.documents(given.input)
    readme = settings["mode"] == "readme"
    if readme:
        from rensa import RMinHashDeduplicator

        with report.phase("match"):
            sieve = RMinHashDeduplicator(threshold=settings["threshold"], num_perm=permutations, use_lsh=True)
            keep = sieve.add_pairs((name, text.split()) for name, text in zip(ids, texts, strict=True))
        report["removed"] = [name for name, kept in zip(ids, keep, strict=True) if not kept]
        return
    with report.phase("sketch"):
        sketches = []
        for start in range(0, len(texts), 1000):  # bounded memory: token lists of 1000 documents at a time
            tokens = [list(common.shingle_set(text)) for text in texts[start : start + 1000]]
            sketches += RMinHash.from_token_sets(tokens, num_perm=permutations, seed=seed)
    match(ids, sketches, settings, report)


def match(ids: list[str], sketches: list[Any], settings: dict[str, Any], report: common.Report) -> None:
    from rensa import RMinHashLSH

    threshold = settings["threshold"]
    removed, pairs = [], []
    with report.phase("match"):
        lsh = RMinHashLSH(threshold=threshold, num_perm=settings["num_perm"], num_bands=settings["num_bands"])
        for number, sketch in enumerate(sketches):
            near = sorted(o for o in lsh.query(sketch) if sketch.jaccard(sketches[o]) >= threshold)
            if near:
                removed.append(ids[number])
                pairs += [(ids[other], ids[number]) for other in near]
            else:
                lsh.insert(number, sketch)
    report["removed"], report["pairs"] = removed, pairs
    report["pairs_complete"] = False  # a removed document is never compared again


if __name__ == "__main__":
    common.main(["rensa"], {"dedup": dedup})
