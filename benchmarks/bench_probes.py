"""Probes for tiny models: minimal pairs, easy questions, last words and topics, for arms random, English, and top_k.

    python benchmarks/bench_probes.py --packs DIR --out runs/probes [--set seeds=3]

Writes the files of `probes.yaml` below OUT and runs it. Models of 1.1M weights score at chance in nearly every accuracy;
what falls first is the bits per byte of the right answer, which the table compares.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from pack_texts import documents

POOL = {
    "physics": ("text_openstax_physics", r"/modules/.*\.cnxml$"),
    "web": ("html_newspaper", r"/data/text/.*\.txt$"),
    "chat": ("text_irc", r"\.ascii\.txt$"),
    "laws": ("text_gesetze", r"/index\.md$"),
    "docs": ("text_cppdocs", r"\.md$"),
    "peps": ("text_peps", r"/pep-\d+\.(rst|txt)$"),
}
PROSE = {"psychology": ("text_openstax_psych", r"/modules/.*\.cnxml$")}
MOST = 1_500_000  # bytes of one source
TEXTS, CHARS = 100, 400  # of a topic, of a text

FILES = {"arc_easy": "arc_easy.jsonl", "lambada": "lambada_openai.jsonl"}


def build(packs: Path, folder: Path) -> None:
    """Write pool.jsonl, prose.jsonl, topics.jsonl, arc_easy.jsonl, lambada.jsonl and blimp/."""
    (folder / "blimp").mkdir(parents=True, exist_ok=True)
    for name, sets in (("pool", POOL), ("prose", PROSE)):
        sizes: dict[str, int] = {}
        with (folder / f"{name}.jsonl").open("w") as file:
            for row in documents(packs, sets):
                sizes[row["source"]] = sizes.get(row["source"], 0) + len(row["text"].encode())
                if sizes[row["source"]] <= MOST:
                    file.write(json.dumps({"text": row["text"], "source": row["source"]}) + "\n")
    with (folder / "topics.jsonl").open("w") as file:
        seen: dict[str, int] = {}
        for path, raw in members(packs, "text_bbc", ".txt"):
            label, text = path.parent.name, " ".join(raw.decode("utf-8", "replace").split())[:CHARS]
            if path.parent.parent.name != "data_files" or seen.setdefault(label, 0) >= TEXTS:
                continue
            seen[label] += 1
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    for path, raw in members(packs, "eval_blimp", ".jsonl"):
        (folder / "blimp" / path.name).write_bytes(raw)
    for path, raw in members(packs, "eval_llmfoundry", ".jsonl"):
        for name, wanted in FILES.items():
            if path.name == wanted:
                (folder / f"{name}.jsonl").write_bytes(raw)


def members(packs: Path, pack: str, ending: str) -> Iterator[tuple[Path, bytes]]:
    """Path and bytes of the files of a pack, by path."""
    with tarfile.open(packs / f"{pack}.tar.xz") as archive:
        found = {m.name: archive.extractfile(m).read() for m in archive if m.isfile() and m.name.endswith(ending)}
    yield from ((Path(name), found[name]) for name in sorted(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    folder = given.out / "input"
    build(given.packs, folder)
    recipe = folder / "probes.yaml"
    shutil.copy(Path(__file__).with_name("probes.yaml"), recipe)
    sets = [word for value in given.set for word in ("--set", value)]
    command = [sys.executable, "-m", "winnow", "run", str(recipe), "--out", str(given.out / "root"), *sets]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
