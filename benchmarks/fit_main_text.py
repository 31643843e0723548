"""The trees of `main_text`, trained on pages with known main text; their worth is told on sites left out.

    python benchmarks/fit_main_text.py --packs DIR --out winnow/pipeline/extract/main_text.npz

Pages: html_scrapinghub, html_newspaper, html_llmwebkit, and of html_trafilatura those whose text trafilatura finds as
its own snippets want it (every wanted one is in the text, no unwanted one: `web_pages.vouched`), in training alone, for
`VOUCHED` of the weight. A block's label is the share of its 4-grams that the gold text
has (a block of fewer words: whether it stands there beside its neighbour); a page weighs as much as another. Two rounds
of trees: the first on a block and its surroundings, the second also on the first one's scores of sites that it had not
seen. F1 is told of three folds by site (the last two labels of a host), each read by trees that saw none of its sites;
the trees that are written saw all pages, and `--without scrapinghub` leaves a pack out and tells its F1.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from web_pages import Page, four_gram_f1, gold_pages, vouched

from winnow.pipeline.extract.main_text import parsed
from winnow.pipeline.extract.node_labels import labelled, weights
from winnow.pipeline.extract.page_features_kernels import (
    A_KEPT,
    FEATURES,
    SECOND,
    all_features,
    joined,
    keeping,
    second,
)

SCALE = 1 << 16
FIRST = {"num_leaves": 31, "min_data_in_leaf": 30, "learning_rate": 0.1, "feature_fraction": 0.4, "lambda_l2": 5.0}
TREES = 90
VOUCHED = 0.5  # weight of a page whose text was read by another extractor


def example(page: Page) -> dict[str, Any]:
    """A page's blocks with features, labels and weights."""
    p = parsed(page.html.encode("utf-8", "replace"))
    texts = [bytes(p.text[b[0] : b[1]]).decode() for b in p.block[: p.num]]
    y, w = labelled(texts, page.gold)
    w = weights(y, w * (VOUCHED if page.pack == "trafilatura" else 1.0), page.gold)
    f = all_features(p.block, p.num, p.element, p.m, p.sums, p.mark)
    return {"page": page, "p": p, "f": f, "y": y, "w": w}


def grown(f: Any, y: Any, w: Any, seed: int) -> dict[str, Any]:
    """Trees with whole thresholds and leaves."""
    import lightgbm as lgb

    settings = {**FIRST, "objective": "cross_entropy", "verbosity": -1, "num_threads": 1, "max_bin": 127, "seed": seed,
                "deterministic": True}  # fmt: skip
    model = lgb.train(settings, lgb.Dataset(f, y, weight=w * len(w) / w.sum()), TREES).dump_model()
    out: dict[str, list[int]] = {name: [] for name in ("which", "cut", "left", "right", "leaf")}
    roots = [0]
    for tree in model["tree_info"]:
        nodes, leaves = [], []

        def walk(node: dict[str, Any], nodes: list[Any] = nodes, leaves: list[int] = leaves) -> int:
            if "leaf_value" in node and "split_feature" not in node:
                leaves.append(round(node["leaf_value"] * SCALE))
                return -len(leaves)
            at = len(nodes)
            nodes.append(None)
            cut = int(np.floor(node["threshold"]))
            nodes[at] = (node["split_feature"], cut, walk(node["left_child"]), walk(node["right_child"]))
            return at

        if walk(tree["tree_structure"]) < 0:
            nodes.append((0, 0, -1, -1))
            leaves.append(leaves[0])
        for name, column in zip(("which", "cut", "left", "right"), zip(*nodes, strict=True), strict=True):
            out[name] += column
        out["leaf"] += leaves
        roots.append(roots[-1] + len(nodes))
    kinds = {"which": np.int16, "cut": np.int32, "left": np.int16, "right": np.int16, "leaf": np.int32}
    return {**{name: np.array(values, kinds[name]) for name, values in out.items()}, "roots": np.array(roots, np.int32)}


def answered(trees: dict[str, Any], f: Any) -> Any:
    """i64[blocks]: the sums of leaves, all blocks at once."""
    total = np.zeros(len(f), np.int64)
    for tree in range(len(trees["roots"]) - 1):
        base, node = trees["roots"][tree], np.zeros(len(f), np.int64)
        while (inner := node >= 0).any():
            at = base + node[inner]
            goes = f[inner, trees["which"][at]] <= trees["cut"][at]
            node[inner] = np.where(goes, trees["left"][at], trees["right"][at])
        total += trees["leaf"][base + tree + ~node]
    return total


def with_first(one: dict[str, Any], first: Any) -> Any:
    """The features with those of the second round filled in."""
    p, f = one["p"], one["f"].copy()
    kept, near = keeping(p.num, p.block, p.element, p.elements, p.m, p.sums, first)
    for i in range(p.num):
        second(i, p.num, p.block, p.element, p.m, p.sums, first, kept, near, f[i])
    return f


def both(examples: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(first, second) trees; the second see scores of the first that were made without the page's site."""
    whole = [np.concatenate([e[k] for e in examples]) for k in ("f", "y", "w")]
    first = grown(whole[0][:, :SECOND], whole[1], whole[2], 1)
    unseen: dict[int, Any] = {}
    for half in range(2):
        seen = [e for e in examples if fold(e["page"], 2, "inner") != half]
        trees = grown(np.concatenate([e["f"] for e in seen])[:, :SECOND], np.concatenate([e["y"] for e in seen]),
                      np.concatenate([e["w"] for e in seen]), 1)  # fmt: skip
        for at, e in enumerate(examples):
            if fold(e["page"], 2, "inner") == half:
                unseen[at] = with_first(e, answered(trees, e["f"]))
    return first, grown(np.concatenate([unseen[at] for at in range(len(examples))]), whole[1], whole[2], 2)


def fold(page: Page, num: int, salt: str) -> int:
    """Which fold a page's site is in."""
    return zlib.crc32(f"{salt} {page.site}".encode()) % num


def read(one: dict[str, Any], trees: tuple[dict[str, Any], dict[str, Any]], least: int) -> str:
    p = one["p"]
    if "score" not in one:
        one["score"] = answered(trees[1], with_first(one, answered(trees[0], one["f"])))
    return bytes(joined(p.text, p.block, p.num, one["score"], least)).decode()


def told(examples: list[dict[str, Any]], trees_of: Any, title: str) -> None:
    for one in examples:
        one.pop("score", None)
    for least in (-1.5, -1.0, -0.5, 0.0, 0.5):
        for pack in ("scrapinghub", "newspaper", "llmwebkit"):
            mine = [e for e in examples if e["page"].pack == pack]
            if mine:
                found = four_gram_f1([(e["page"].gold, read(e, trees_of(e), round(least * SCALE))) for e in mine])
                print(title, pack, len(mine), "least", least, [round(x, 4) for x in found], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--without", default="")
    parser.add_argument("--gold-only", action="store_true", help="without pages that trafilatura read")
    given = parser.parse_args()
    pages = [*gold_pages(given.packs), *([] if given.gold_only else vouched(given.packs))]
    print(len(pages), "pages,", len({page.site for page in pages}), "sites", flush=True)
    examples = [example(page) for page in pages]
    assert SECOND < FEATURES
    assert A_KEPT
    if given.without:
        trees = both([e for e in examples if e["page"].pack != given.without])
        told([e for e in examples if e["page"].pack == given.without], lambda _: trees, f"without {given.without}")
        return
    if given.out:
        first, again = both(examples)
        arrays = {f"first_{k}": v for k, v in first.items()} | {f"second_{k}": v for k, v in again.items()}
        np.savez_compressed(given.out, **arrays)
        print(f"{given.out}: {given.out.stat().st_size:,} bytes")
    folds = [both([e for e in examples if fold(e["page"], 3, "outer") != k]) for k in range(3)]
    told(examples, lambda e: folds[fold(e["page"], 3, "outer")], "sites left out")


if __name__ == "__main__":
    main()
