"""What deduplications make of planted copies: precision, recall and F1 of pairs and removals, and which copy survives.

    python benchmarks/bench_planted.py --each 40 [--write]

Pairs at Jaccard .3 to .99 by substitution, insertion, deletion, reordering, wrapping and white space (`planted.py`). All are
held against the pairs of .75 or more, whatever a method calls alike. `--write` puts the tables into docs/deduplicate.md.
datasketch and rensa take part where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import planted
from planted import KINDS, LEVELS, Planted, Score

os.environ.setdefault("WINNOW_WORKERS", "0")
THRESHOLD = 0.75
READS = 'stages:\n  docs: {use: jsonl, files: raw.jsonl, id: "field:id", columns: {id: string, quality: float64}}\n'
BEST = "keeper: quality desc"
SHARE = "  out: {use: filter, inputs: [docs, cut], keep: {left: repeated_share < 0.75}}\n"
RECIPES = {
    "`exact`": f"  out: {{use: exact, inputs: docs, {BEST}}}\n",
    "`exact`, `form: no_space`": f"  out: {{use: exact, inputs: docs, by: text, form: no_space, {BEST}}}\n",
    "`minhash`": f"  out: {{use: minhash, inputs: docs, {BEST}}}\n",
    "`minhash`, `keeper: longest`": "  out: {use: minhash, inputs: docs}\n",
    "`minhash`, 28 bands of 6": f"  out: {{use: minhash, inputs: docs, {BEST}, num_bands: 28, rows_per_band: 6}}\n",
    "`minhash`, `contained: 0.9`": f"  out: {{use: minhash, inputs: docs, {BEST}, contained: 0.9}}\n",
    "`simhash`, 3 bits": "  code: {use: simhash, inputs: docs}\n  out: {use: redundancy, inputs: [docs, code], metric: hamming,"
    " column: simhash, distance: 3, by: quality}\n",
    "`simhash`, 8 bits": "  code: {use: simhash, inputs: docs}\n  out: {use: redundancy, inputs: [docs, code], metric: hamming,"
    " column: simhash, distance: 8, by: quality}\n",
    "`repeated_lines`, 3/4 gone": f"  cut: {{use: repeated_lines, inputs: docs, {BEST}}}\n{SHARE}",
    "`repeated_substrings`, 3/4 gone": f"  cut: {{use: repeated_substrings, inputs: docs, {BEST}, min_bytes: 40}}\n{SHARE}",
    "`semdedup`, `eps: 0.1`": "  vec: {use: ngram_vectors, inputs: docs}\n  groups: {use: clusters, inputs: [docs, vec], num: 8}\n"
    f"  out: {{use: semdedup, inputs: [docs, vec, groups], eps: 0.1, {BEST}}}\n",
}  # fmt: skip
Answer = tuple[set[str], set[frozenset[str]] | None]


def by_winnow(truth: Planted, stages: str, folder: Path) -> Answer:
    """(documents removed, pairs found where the method lists them)."""
    import winnow as w
    from winnow.cli import main

    (folder / "raw.jsonl").write_text("".join(json.dumps(record) + "\n" for record in truth.records))
    (folder / "recipe.yaml").write_text(READS + stages)
    with tempfile.TemporaryDirectory() as root:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert main(["run", str(folder / "recipe.yaml"), "--out", root, "--workers", "0"]) == 0
        run = w.open(root)
        rows = run.frame("out", ["doc_id", "id", "kept"]).collect()
        names = dict(rows.select("doc_id", "id").rows())
        removed = {name for name, kept in rows.select("id", "kept").rows() if not kept}
        if "minhash" not in stages:
            return removed, None
        found = run.frame("out.pairs").collect().select("a", "b").rows()
        return removed, {frozenset(names[_hex(end)] for end in pair) for pair in found}


def _hex(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.hex()


def by_datasketch(truth: Planted) -> Answer:
    """The loop of its documentation over word 5-grams: candidates of the LSH are pairs, the first one stays."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    removed, pairs = set(), set()
    for record in truth.records:
        sketch = MinHash(num_perm=128)
        sketch.update_batch([" ".join(gram).encode() for gram in planted.shingles(str(record["text"]))])
        near = lsh.query(sketch)
        pairs |= {frozenset((name, str(record["id"]))) for name in near}
        if near:
            removed.add(str(record["id"]))
        lsh.insert(str(record["id"]), sketch)
    return removed, pairs


def by_rensa(truth: Planted) -> Answer:
    """RMinHash and its LSH, candidates checked by estimated Jaccard, the first one stays."""
    from rensa import RMinHash, RMinHashLSH

    lsh = RMinHashLSH(threshold=THRESHOLD, num_perm=128, num_bands=16)
    names = [str(record["id"]) for record in truth.records]
    sketches, removed, pairs = [], set(), set()
    for number, record in enumerate(truth.records):
        sketch = RMinHash(num_perm=128, seed=42)
        sketch.update([" ".join(gram) for gram in planted.shingles(str(record["text"]))])
        near = [other for other in lsh.query(sketch) if sketch.jaccard(sketches[other]) >= THRESHOLD]
        pairs |= {frozenset((names[other], names[number])) for other in near}
        if near:
            removed.add(names[number])
        lsh.insert(number, sketch)
        sketches.append(sketch)
    return removed, pairs


PEERS: dict[str, Callable[[Planted], Answer]] = {
    "datasketch `MinHashLSH(0.75)`": by_datasketch, "rensa `RMinHashLSH`, 16 bands": by_rensa,
}  # fmt: skip


def row(name: str, found: Score) -> str:
    """A row of the table."""
    numbers = (found.precision, found.recall, found.f1, found.removal_f1, found.better_kept)
    return f"| {name} | {' | '.join(f'{n:.2f}' for n in numbers)} |"


def by_level(truth: Planted, pairs: set[frozenset[str]], bands: int, rows: int) -> list[str]:
    """Recall of the pairs of every kind by how alike they are, beside what bands promise."""
    lines = ["| Jaccard | pairs | promised | " + " | ".join(KINDS) + " |", "|---" * (3 + len(KINDS)) + "|"]
    for low, high in zip((0.75, 0.8, 0.85, 0.9, 0.95), (0.8, 0.85, 0.9, 0.95, 1.0), strict=True):
        there = [p for p in truth.pairs if low <= p.jaccard < high]
        promised = sum(planted.chance(p.jaccard, bands, rows) for p in there) / max(len(there), 1)
        shares = []
        for kind in KINDS:
            mine = [p for p in there if p.kind == kind]
            got = sum(frozenset((p.one, p.two)) in pairs for p in mine)
            shares.append(f"{got / len(mine):.2f}" if mine else "")
        lines.append(f"| {low:.2f} to {high:.2f} | {len(there)} | {promised:.2f} | {' | '.join(shares)} |")
    return lines


def tables(each: int) -> list[str]:
    """The two tables, as Markdown."""
    truth = planted.planted(each)
    lines = ["| | precision | recall | F1 of pairs | F1 of removals | the better copy stays |", "|---" * 6 + "|"]
    levels: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, stages in RECIPES.items():
            removed, pairs = by_winnow(truth, stages, Path(folder))
            lines.append(row(name, planted.score(truth, removed, THRESHOLD, pairs)))
            if name == "`minhash`" and pairs is not None:
                levels = by_level(truth, pairs, 14, 8)
    for name, peer in PEERS.items():
        try:
            removed, pairs = peer(truth)
        except ImportError:
            print(f"{name}: not installed")
            continue
        lines.append(row(name, planted.score(truth, removed, THRESHOLD, pairs)))
    alike = sum(p.jaccard >= THRESHOLD for p in truth.pairs)
    told = f"{len(truth.records):,} documents, {len(truth.pairs):,} planted pairs, {alike:,} of them at {THRESHOLD} or more:"
    return [told, "", *lines, "", "Pairs that `minhash` found, by how alike they are:", "", *levels]


def main() -> None:
    """Print the tables, or put them into the page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--each", type=int, default=40, help="pairs per kind and level")
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    text = "\n".join(tables(given.each))
    print(text)
    if given.write:
        page = Path(__file__).parents[1] / "docs" / "deduplicate.md"
        before, begin, rest = page.read_text().partition("<!-- planted -->\n")
        _, end, after = rest.partition("<!-- end of planted -->\n")
        assert begin
        assert end
        page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


if __name__ == "__main__":
    assert LEVELS
    main()
