"""datasketch: the short script that its documentation suggests, on lower-case `\\w+` word 5-grams."""

from __future__ import annotations

import argparse
from typing import Any

import common


def dedup(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    from datasketch import MinHash, MinHashLSH

    permutations, threshold = settings["num_perm"], settings["threshold"]
    bands = tuple(settings["bands"]) if "bands" in settings else None
    with report.phase("read"):
        ids, texts = common.documents(given.input)
    with report.phase("sketch"):
        shingles = ([s.encode() for s in common.shingle_set(text)] for text in texts)
        sketches = list(MinHash.generator(shingles, num_perm=permutations))
    removed, pairs = [], []
    with report.phase("match"):
        lsh = MinHashLSH(threshold=threshold, num_perm=permutations, params=bands)
        kept = dict[str, MinHash]()
        for name, sketch in zip(ids, sketches, strict=True):
            near = sorted(o for o in lsh.query(sketch) if sketch.jaccard(kept[o]) >= threshold)
            if near:
                removed.append(name)
                pairs += [(other, name) for other in near]
            else:
                lsh.insert(name, sketch)
                kept[name] = sketch
    report["banding"] = [lsh.b, lsh.r]
    report["removed"], report["pairs"] = removed, pairs
    report["pairs_complete"] = False  # a removed document is never compared again


if __name__ == "__main__":
    common.main(["datasketch", "numpy"], {"dedup": dedup})
