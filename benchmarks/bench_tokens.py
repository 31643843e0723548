"""Tokenising: whole runs of `count_tokens` and `write_tokens` with gigatoken and without, beside the bare libraries.

    python benchmarks/bench_tokens.py --packs DIR --megabytes 64     # five minutes, most of them the library's
    python benchmarks/bench_tokens.py --packs DIR --json tokens.json

Text: OpenStax, PEPs, C++ documentation, Gutenberg and German laws out of the data packs, in pieces, in the order of a
hash; a byte-level BPE of 8,192 ids is fitted on a tenth. Each figure is CPU seconds of a process of its own with its
children, `--rounds` times in turns, the median: the same recipe without the stage is taken off where it says "stage".
`library` is the same recipe with WINNOW_GIGATOKEN=0. `tokenizers` is `encode_batch_fast` over texts in memory, one
thread, reading the file taken off; `tiktoken` (a peer, not a dependency) has the same ranks and GPT-2's expression.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
import pack_texts
import polars as pl

SETS = {
    "openstax": ("text_openstax_bio_etc", r"index\.cnxml$"),
    "physics": ("text_openstax_physics", r"index\.cnxml$"),
    "peps": ("text_peps", r"\.rst$"),
    "cpp": ("text_cppdocs", r"\.md$"),
    "gutenberg": ("text_gutenberg", r"\.txt$"),
    "laws": ("text_gesetze", r"\.md$"),
}
DOCS = """seed: 1
stages:
  docs: {use: jsonl, files: docs.jsonl, id: content}
  all_docs: {use: random, inputs: docs, budget: 100%}
"""
COUNT = DOCS + "  n: {use: count_tokens, inputs: docs, tokenizer: file, tokenizer_file: tokenizer.json}\n"
WRITE = DOCS + "  ids: {use: write_tokens, selection: all_docs, form: bin, tokenizer: tokenizer.json}\n"
RUN = "import sys; from winnow.cli import main; sys.argv = ['winnow', 'run', sys.argv[1], '--out', sys.argv[2]]; sys.exit(main())"

READ = "import polars as pl; texts = pl.read_ndjson('docs.jsonl')['text'].to_list()\n"
HF = (
    READ
    + """
from tokenizers import Tokenizer
made = Tokenizer.from_file("tokenizer.json")
for at in range(0, len(texts), 1000):
    made.encode_batch_fast(texts[at : at + 1000], add_special_tokens=False)
"""
)
TIKTOKEN = (
    READ
    + """
import json, tiktoken
from tokenizers.pre_tokenizers import ByteLevel
allowed = [*range(33, 127), *range(161, 173), *range(174, 256)]
byte_of = {chr(b): b for b in allowed} | {chr(256 + n): b for n, b in enumerate(sorted({*range(256)} - {*allowed}))}
vocab = json.load(open("tokenizer.json"))["model"]["vocab"]
ranks = {bytes(byte_of[sign] for sign in word): number for word, number in vocab.items()}
split = r"'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"
made = tiktoken.Encoding("own", pat_str=split, mergeable_ranks=ranks, special_tokens={})
made.encode_ordinary_batch(texts, num_threads=1)
"""
)


def corpus(packs: Path, folder: Path, megabytes: float) -> int:
    """docs.jsonl and tokenizer.json in the folder; bytes of text."""
    rows = [row["text"] for row in pack_texts.documents(packs, SETS)]
    rows.sort(key=lambda text: hashlib.blake2b(text.encode(), digest_size=8).digest())
    size, taken = 0, []
    for text in rows:
        if size >= megabytes * 1e6:
            break
        size += len(text.encode())
        taken.append(text)
    (folder / "docs.jsonl").write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in taken))
    tokenizer(taken[::10], folder / "tokenizer.json")
    return size


def tokenizer(texts: list[str], path: Path) -> None:
    """Fit a byte-level BPE of 8,192 ids and save it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8191, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[]
    )
    made.train_from_iterator(texts, trainer)
    made.save(str(path))


def spent(code: list[str], folder: Path, **environment: str) -> float:
    """CPU seconds of a Python process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    known = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", *code], cwd=folder, env={**known, "PYTHONPATH": path, **environment}, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(folder: Path, rounds: int) -> dict[str, float]:
    """Way -> median CPU seconds."""
    for name, recipe in (("docs", DOCS), ("count", COUNT), ("write", WRITE)):
        (folder / f"{name}.yaml").write_text(recipe)

    def run(name: str, switch: str) -> float:
        with tempfile.TemporaryDirectory(dir=folder) as root:
            return spent([RUN, f"{name}.yaml", root], folder, WINNOW_GIGATOKEN=switch, WINNOW_WORKERS="0")

    ways = {
        "run without": lambda: run("docs", ""),
        "count_tokens, gigatoken": lambda: run("count", ""), "count_tokens, library": lambda: run("count", "0"),
        "write_tokens, gigatoken": lambda: run("write", ""), "write_tokens, library": lambda: run("write", "0"),
        "reading alone": lambda: spent([READ], folder), "tokenizers encode_batch_fast": lambda: spent([HF], folder),
    }  # fmt: skip
    try:
        spent(["import tiktoken"], folder)
        ways["tiktoken"] = lambda: spent([TIKTOKEN], folder)
    except subprocess.CalledProcessError:
        sys.stderr.write("tiktoken is not installed: no row\n")
    found: dict[str, list[float]] = {name: [] for name in ways}
    ways["count_tokens, gigatoken"]()  # compiled code is loaded
    for number in range(rounds):
        for name in reversed(ways) if number % 2 else ways:
            found[name].append(ways[name]())
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = corpus(args.packs.resolve(), folder, args.megabytes)
        seconds = measured(folder, args.rounds)
    rows = []
    for way, took in seconds.items():
        without = seconds["run without"] if "," in way else seconds["reading alone"]
        alone = took - without if way not in {"run without", "reading alone"} else float("nan")
        rows.append(
            {"way": way, "cpu_s": took, "mb_per_cpu_s": size / 1e6 / took, "stage_mb_per_cpu_s": size / 1e6 / alone}
        )
    with pl.Config(tbl_rows=20, fmt_str_lengths=40):
        print(
            f"{size / 1e6:.1f} MB of text, load {os.getloadavg()[0]:.1f}, {platform.processor() or platform.machine()}"
        )
        print(pl.DataFrame(rows))
    if args.json:
        args.json.write_text(json.dumps({"bytes": size, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
