"""What repetition costs and what weight decay gives back, on real text: a tuning grid of an ablation, cell by cell.

    python benchmarks/bench_repetition.py --packs DIR --out runs/repetition [--set effect.optimizer=adamw]

The pool is news, documentation of a language, and half of the sections of an astronomy textbook; the other half is the
target. Every run has equal tokens: a cell of e epochs sees a selection of 1/e of them e times. Prints the recipe's
comparison and the table of cells as Markdown: mean bits per byte over the tuning seeds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pack_texts import documents, is_target

import winnow

SETS = {
    "astronomy": ("text_openstax_bio_etc", r"/modules/.*\.cnxml$"),
    "news": ("text_bbc", r"/data_files/.*\.txt$"),
    "docs": ("text_cppdocs", r"\.md$"),
}
MOST = 2_000_000  # bytes of one source in the pool


def build(packs: Path, folder: Path) -> dict[str, int]:
    """Bytes per file and source; writes pool.jsonl and astronomy.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, int] = {}
    with (folder / "pool.jsonl").open("w") as pool, (folder / "astronomy.jsonl").open("w") as target:
        for row in documents(packs, SETS):
            held = row["source"] == "astronomy" and is_target(row["module"])
            key = "target" if held else row["source"]
            if sizes.get(key, 0) > MOST:
                continue
            sizes[key] = sizes.get(key, 0) + len(row["text"].encode())
            line = json.dumps({"text": row["text"], "source": row["source"]})
            (target if held else pool).write(line + "\n")
    return sizes


def table(tuning: Mapping[str, Any]) -> list[str]:
    """Rows of Markdown: a cell, and per label its mean, achieved epochs and unique tokens; the chosen cell in bold."""
    labels = tuning["labels"]
    lines = ["| cell | " + " | ".join(labels) + " |", "|---|" + "---|" * len(labels)]
    for cell in tuning["cells"]:
        shown = []
        for choice in labels.values():
            row = choice["cells"][cell]
            text = "failed" if row["mean"] is None else f"{row['mean']:.3f}"
            seen = f" ({row['epochs'][0]:.1f} x {row['unique_tokens'][0]:,})" if row["mean"] is not None else ""
            shown.append((f"**{text}**" if cell == choice["chosen"] else text) + seen)
        lines.append(f"| {cell} | " + " | ".join(shown) + " |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    folder = arguments.out / "input"
    print(json.dumps(build(arguments.packs, folder)))
    recipe = folder / "repetition.yaml"
    shutil.copy(Path(__file__).with_name("repetition.yaml"), recipe)
    sets = [word for value in arguments.set for word in ("--set", value)]
    command = [sys.executable, "-m", "winnow", "run", str(recipe), "--out", str(arguments.out / "root"), *sets]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        print("\n".join(table(winnow.open(arguments.out / "root").result("effect")["tuning"])))
    return code


if __name__ == "__main__":
    sys.exit(main())
