"""Scores of a duplicate search against exact truth: pairs, and removals with the document that stays.

A removal is right when a document that stays has a Jaccard index >= t with the removed one; otherwise it has lost text
that is nowhere else. A removal is missed when, after the tool, walking the kept documents in input order, one has an
earlier surviving kept neighbour at >= t: what one more exact pass would still remove. Precision = right / removed,
recall = right / (right + missed). Neither depends on which member of a cluster a tool keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Truth = Mapping[tuple[str, str], float]  # (smaller id, larger id) -> exact Jaccard index


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def score_pairs(found: Iterable[tuple[str, str]], truth: Truth, threshold: float) -> dict[str, float]:
    """Precision, recall and F1 of reported pairs; a pair counts once, whatever its order."""
    pairs = {(min(p), max(p)) for p in found if p[0] != p[1]}
    wanted = sum(jaccard >= threshold for jaccard in truth.values())
    right = sum(truth.get(pair, 0.0) >= threshold for pair in pairs)
    precision = right / len(pairs) if pairs else 1.0
    recall = right / wanted if wanted else 1.0
    return {"reported": len(pairs), "wanted": wanted, "right": right, "precision": precision, "recall": recall,
            "f1": f1(precision, recall)}  # fmt: skip


def score_removals(order: list[str], removed: Iterable[str], truth: Truth, threshold: float) -> dict[str, float]:
    """Precision, recall and F1 of removed documents. Raises ValueError for an id that is not among `order`."""
    gone = set(removed)
    if strangers := gone - set(order):
        raise ValueError(f"removed ids that are not in the input, such as {min(strangers)}")
    partners: dict[str, list[str]] = {}
    for (one, two), jaccard in truth.items():
        if jaccard >= threshold:
            partners.setdefault(one, []).append(two)
            partners.setdefault(two, []).append(one)
    right = sum(any(other not in gone for other in partners.get(name, ())) for name in gone)
    survivors: set[str] = set()
    missed = 0
    for name in order:
        if name in gone:
            continue
        if any(other in survivors for other in partners.get(name, ())):
            missed += 1
        else:
            survivors.add(name)
    precision = right / len(gone) if gone else 1.0
    recall = right / (right + missed) if right + missed else 1.0
    return {"removed": len(gone), "right": right, "missed": missed, "precision": precision, "recall": recall,
            "f1": f1(precision, recall)}  # fmt: skip


def planted_recall(planted: Iterable[Any], removed: Iterable[str], truth: Truth) -> dict[str, dict[str, float]]:
    """By stated level: how many copies were planted, their mean exact Jaccard index, and the share no longer beside
    their original."""
    gone, rows = set(removed), {}
    for item in planted:
        row = rows.setdefault(f"{item.level:g}", {"count": 0, "jaccard": 0.0, "separated": 0})
        row["count"] += 1
        row["jaccard"] += truth.get((min(item.copy, item.original), max(item.copy, item.original)), 0.0)
        row["separated"] += item.copy in gone or item.original in gone
    return {
        level: {"count": row["count"], "mean_jaccard": row["jaccard"] / row["count"],
                "recall": row["separated"] / row["count"]}
        for level, row in rows.items()
    }  # fmt: skip
