"""What coverage selectors cover by all pairs, on two real pools: lists of 16 and 64 neighbours, documents and tokens.

    python benchmarks/bench_cover.py --packs DIR [--rows 4000] [--json benchmarks/out/cover.json]

`mixed` are pieces of textbooks, news, web pages, chat, laws and manuals (as in bench_openstax.py), `newswire` whole
articles of 20 to 3,000 tokens. Every cell is the mean similarity of all documents (of all tokens, where tokens are
the budget) to the nearest document taken, by all pairs of `ngram_vectors`, as a share of what greedy selection by all
pairs reaches, which is computed here in NumPy alone. `matched` are random documents of the lengths that `auto` takes.
"""

from __future__ import annotations

import argparse
import heapq
import html
import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from bench_openstax import SETS
from pack_texts import documents

from winnow.core.numerics import knn
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.pipeline.measure.knn_graph import KnnGraph
from winnow.pipeline.measure.ngram_vectors import NgramVectors
from winnow.selectors.coverage.facility_location import FacilityLocation
from winnow.testing.in_memory import run_map, run_whole

BUDGETS = (("docs", 0.01), ("docs", 0.05), ("tokens", 0.01), ("tokens", 0.05))
NOWHERE = Path("/nonexistent")


def mixed(packs: Path) -> list[str]:
    return [row["text"] for row in documents(packs, {k: v for k, v in SETS.items() if k != "physics"})]


def newswire(packs: Path) -> list[str]:
    out = []
    with tarfile.open(packs / "text_reuters_sgm.tar.xz") as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".sgm"):
                raw = archive.extractfile(member).read().decode("latin-1")  # type: ignore[union-attr]
                out += [html.unescape(body)[:20_000] for body in re.findall(r"<BODY>(.*?)</BODY>", raw, re.DOTALL)]
    return out


def pool_of(texts: list[str], rows: int) -> tuple[pl.DataFrame, Any]:
    """(documents drawn, with ids, vectors and costs; their vectors)."""
    some = np.sort(np.random.default_rng(1).permutation(len(texts))[:rows])
    chosen = pa.array([texts[i] for i in some], pa.large_string())
    cells = run_map(NgramVectors(), pa.table({"text": chosen}), Context(seed=0, work=NOWHERE))["vector"]
    grid, has = knn.to_grid(cells.to_arrow())
    size = np.array([len(t.as_py().encode()) for t in chosen])[has]
    ids = [i.to_bytes(16, "big") for i in range(len(size))]
    frame = pl.DataFrame({"doc_id": pl.Series(ids, dtype=pl.Binary), "vector": cells.filter(pl.Series(has)),
                          "token_count": size // 4 + 1, "text_bytes": size})  # fmt: skip
    return frame, grid[has]


def greedy(similar: Any, cost: Any, budget: int, weight: Any) -> Any:
    """Rows by gain per cost over all pairs, lazily, passing over what does not fit."""
    covered, order, spent = np.zeros(len(similar), dtype=np.float32), [], 0
    heap = [(-gain, row) for row, gain in enumerate(similar @ weight / cost)]
    heapq.heapify(heap)
    while heap and spent < budget:
        row = heapq.heappop(heap)[1]
        gain = float(np.maximum(similar[row] - covered, 0) @ weight / cost[row])
        if heap and gain < -heap[0][0] - 1e-7:
            heapq.heappush(heap, (-gain, row))
        elif spent + cost[row] <= budget:
            spent += cost[row]
            order.append(row)
            covered = np.maximum(covered, similar[row])
    return np.array(order)


def drawn(cost: Any, budget: int, seed: int) -> Any:
    order = np.random.default_rng(seed).permutation(len(cost))
    return order[np.cumsum(cost[order]) <= budget]


def matched(length: Any, order: Any, seed: int) -> Any:
    draw, limits = np.random.default_rng(seed), np.quantile(length, np.linspace(0, 1, 21)[1:-1])
    group = np.searchsorted(limits, length)
    return np.concatenate([draw.choice(np.flatnonzero(group == g), (group[order] == g).sum(), replace=False)
                           for g in range(20)])  # fmt: skip


def one_pool(name: str, rows: pl.DataFrame, grid: Any) -> list[dict[str, Any]]:
    reals = grid.astype(np.float32)
    similar = np.clip(reals @ reals.T / knn.ONE, 0, 1)
    np.fill_diagonal(similar, 1)
    nothing = Context(seed=1, work=NOWHERE)
    graphs = {k: pl.concat([rows, run_whole(KnnGraph(k=k), rows, nothing)[0]], how="horizontal") for k in (16, 64)}
    tokens, out = rows["token_count"].to_numpy(), []
    for unit, share in BUDGETS:
        cost = tokens if unit == "tokens" else np.ones(len(tokens), dtype=np.int64)
        budget = int(cost.sum() * share)
        weight = cost.astype(np.float32) / np.float32(cost.mean())

        def worth(order: Any, weight: Any = weight) -> float:
            return float(np.average(similar[order].max(axis=0), weights=weight))

        def taken(k: int, budget: int = budget, unit: str = unit, **fields: Any) -> Any:
            op = FacilityLocation(budget=Budget(budget, unit), **fields)
            return np.flatnonzero(run_whole(op, graphs[k], nothing)[0]["kept"].to_numpy())

        best = worth(greedy(similar, cost, budget, weight))
        picks = {f"{method} {k}": taken(k, method=method) for k in (16, 64) for method in ("lazy", "auto")}
        picks["sampled"] = taken(16, method="sampled")
        picks["by docs 16"] = taken(16, demand_by="docs")
        chance = [worth(drawn(cost, budget, seed)) / best for seed in range(5)]
        like = [worth(matched(tokens, picks["auto 16"], seed)) / best for seed in range(5)]
        out.append({
            "pool": name, "rows": len(tokens), "unit": unit, "share": share, "greedy": best,
            "random": float(np.mean(chance)), "matched": float(np.mean(like)),
            **{label: worth(order) / best for label, order in picks.items()},
            "length": {label: float(tokens[order].mean() / tokens.mean()) for label, order in picks.items()},
        })  # fmt: skip
    return out


def table(found: list[dict[str, Any]]) -> str:
    names = ("random", "matched", "lazy 16", "lazy 64", "sampled", "auto 16", "auto 64")
    lines = ["| pool, budget | greedy, all pairs | " + " | ".join(names) + " | mean length of `auto` |",
             "|---|---|" + "---|" * (len(names) + 1)]  # fmt: skip
    for row in found:
        cells = [f"{row[n]:.1%}" for n in names]
        label = f"{row['pool']}, {row['share']:.0%} of the {row['unit']}"
        lines.append(f"| {label} | {row['greedy']:.3f} | {' | '.join(cells)} | {row['length']['auto 16']:.2f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    for read in (mixed, newswire):
        found += one_pool(read.__name__, *pool_of(read(arguments.packs), arguments.rows))
        print(table(found), file=sys.stderr)
    print(table(found))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
