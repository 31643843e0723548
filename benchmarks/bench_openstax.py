"""A real comparison on real text: textbooks as the target, a pool of web pages, news, chat, laws, docs and hidden books.

    python benchmarks/bench_openstax.py --packs DIR --out runs/openstax [--set seeds=6]
    python benchmarks/bench_openstax.py --packs DIR --out runs/policies --recipe policies.yaml   # policies, on that pool

Writes the files of the recipe beside this file below OUT and runs it. Physics is what a selection may look at; astronomy and
psychology are what is measured: half of their sections are hidden in the pool (what the reference takes), half held out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from pack_texts import documents, is_target

SETS = {
    "physics": ("text_openstax_physics", r"/modules/.*\.cnxml$"),
    "astronomy": ("text_openstax_bio_etc", r"/modules/.*\.cnxml$"),
    "psychology": ("text_openstax_psych", r"/modules/.*\.cnxml$"),
    "web": ("html_newspaper", r"/data/text/.*\.txt$"),
    "news": ("text_bbc", r"/data_files/.*\.txt$"),
    "chat": ("text_irc", r"\.ascii\.txt$"),
    "laws": ("text_gesetze", r"/index\.md$"),
    "docs": ("text_cppdocs", r"\.md$"),
    "peps": ("text_peps", r"/pep-\d+\.(rst|txt)$"),
}
RECIPES = ("openstax.yaml", "policies.yaml")
MOST = 6_000_000  # bytes of one source in the pool


def build(packs: Path, folder: Path) -> dict[str, int]:
    """Bytes per file and source; writes pool.jsonl, physics.jsonl, astronomy.jsonl, psychology.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, int] = {}
    names = ("pool", "physics", "astronomy", "psychology")
    files = {name: (folder / f"{name}.jsonl").open("w") for name in names}
    for row in documents(packs, SETS):
        source = row["source"]
        held = source == "physics" or (source in names and is_target(row["module"]))
        key = source if held else f"pool/{source}"
        if sizes.get(key, 0) > MOST:
            continue
        sizes[key] = sizes.get(key, 0) + len(row["text"].encode())
        files[source if held else "pool"].write(json.dumps({"text": row["text"], "source": source}) + "\n")
    for file in files.values():
        file.close()
    return sizes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0])
    parser.add_argument("--workers", type=int, default=None, help="of `winnow run`")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    folder = arguments.out / "input"
    print(json.dumps(build(arguments.packs, folder)))
    recipe = folder / arguments.recipe
    shutil.copy(Path(__file__).with_name(arguments.recipe), recipe)
    sets = [word for value in arguments.set for word in ("--set", value)]
    sets += [] if arguments.workers is None else ["--workers", str(arguments.workers)]
    command = [sys.executable, "-m", "winnow", "run", str(recipe), "--out", str(arguments.out / "root"), *sets]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
