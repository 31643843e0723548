"""What `minhash` makes of documents that nobody planted: news, laws, a manual, editions of books, pages by three extractors.

    python benchmarks/bench_natural.py --packs DIR [--write]

The pairs of .75 or more are counted exactly, of all pairs of documents (`peers/truth.py`, no code of winnow). Of editions and
of extractors' texts a group is one thing, of laws and the manual every page is one. `--write` puts the table into the page.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))

import natural
from natural import Row
from truth import shingles, similar_pairs

os.environ.setdefault("WINNOW_WORKERS", "0")
THRESHOLD = 0.75
RECIPE = """stages:
  docs: {use: jsonl, files: raw.jsonl, id: "field:id", columns: {id: string}}
  near: {use: minhash, inputs: docs, threshold: THRESHOLD MORE}
"""


def answered(rows: Sequence[Row], threshold: float = THRESHOLD, more: str = "") -> tuple[set[str], set[frozenset[str]]]:
    """(documents removed, pairs found) by winnow."""
    import winnow as w
    from winnow.cli import main

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        text = RECIPE.replace("THRESHOLD", str(threshold)).replace(" MORE", more)
        (folder / "recipe.yaml").write_text(text)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert main(["run", str(folder / "recipe.yaml"), "--out", f"{name}/root", "--workers", "0"]) == 0
        run = w.open(f"{name}/root")
        found = run.frame("near", ["doc_id", "id", "kept"]).collect()
        names = dict(found.select("doc_id", "id").rows())
        pairs = run.frame("near.pairs").collect().select("a", "b").rows()
        removed = {name for name, kept in found.select("id", "kept").rows() if not kept}
        return removed, {frozenset(names[v if isinstance(v, str) else v.hex()] for v in pair) for pair in pairs}


def true_pairs(rows: Sequence[Row], threshold: float = THRESHOLD) -> set[frozenset[str]]:
    """The pairs that reach the threshold, of all there are."""
    left, right, _ = similar_pairs(*shingles([row["text"] for row in rows]), threshold)
    return {frozenset((rows[a]["id"], rows[b]["id"])) for a, b in zip(left.tolist(), right.tolist(), strict=True)}


def groups(rows: Sequence[Row], removed: set[str]) -> tuple[int, int]:
    """(documents that could go so that one of every group stays, documents of a group that went)."""
    members: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        members[row["group"]].append(row["id"])
    many = [ids for ids in members.values() if len(ids) > 1]
    return sum(len(ids) - 1 for ids in many), sum(len(removed & set(ids)) for ids in many)


def line(name: str, meant: str, rows: Sequence[Row]) -> str:
    """A row of the table."""
    removed, pairs = answered(rows)
    true = true_pairs(rows)
    recall = f"{len(pairs & true) / len(true):.3f}" if true else ""
    could, went = groups(rows, removed)
    told = f"{went} of {could} copies" if meant == "one" else f"{len(removed)} ({len(removed) / len(rows):.1%})"
    wrong = len(pairs - true)
    return f"| {name} | {len(rows):,} | {len(true):,} | {recall} | {wrong} | {told} |"


def main() -> None:
    """Print the table, or put it into the page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--packs", type=Path, required=True)
    options.add_argument("--only", nargs="*", default=[])
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    lines = ["| | documents | pairs at 0.75 or more | found | wrong | removed |", "|---" * 6 + "|"]
    for name, (meant, read) in natural.SETS.items():
        if not given.only or read.__name__ in given.only:
            lines.append(line(name, meant, list(read(given.packs))))
            print(lines[-1], flush=True)
    if given.write:
        page = Path(__file__).parents[1] / "docs" / "deduplicate.md"
        before, begin, rest = page.read_text().partition("<!-- natural -->\n")
        _, end, after = rest.partition("<!-- end of natural -->\n")
        assert begin
        assert end
        page.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n\n{end}{after}")


if __name__ == "__main__":
    main()
