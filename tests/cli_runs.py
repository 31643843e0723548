"""A small input, a recipe over it, and the command line in and out of process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from winnow.cli import main

ROOT = Path(__file__).resolve().parents[1]
RECIPE = """
name: web
seed: 7
vars: {min_words: 40}
max_bad_share: 0.05
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl", id: "field:uid"}
  sig:    {use: signals, inputs: docs}
  clean:  {use: filter, inputs: [sig], keep: {long: "word_count >= ${min_words}", short: "word_count < 140"}}
  exact:  {use: exact, inputs: docs, where: kept_clean}
  unique: {use: minhash, inputs: docs, where: kept_exact, threshold: 0.7}
  best:   {use: top_k, inputs: [docs, unique], by: word_count, budget: 40 docs}
  plain:  {use: random, inputs: [docs, unique], budget: 40 docs}
  corpus: {use: write, inputs: [docs, best]}
"""


@dataclass
class Told:
    """What one call of the command line said."""

    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out.strip().splitlines()[-1])


def make_input(folder: Path, *, files: int = 3, rows: int = 60, start: int = 0) -> dict[str, list[str]]:
    """JSONL files under `raw/`; returns the uids of planted cases: short, long, copies of `original`, near."""
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    rng = random.Random(11 + start)
    words = [f"word{i}" for i in range(500)] + ["the", "of", "and", "to"] * 30
    planted: dict[str, list[str]] = {"short": [], "exact": [], "near": []}
    for number in range(start, start + files):
        lines = []
        for i in range(rows):
            uid = f"doc-{number}-{i}"
            text = " ".join(rng.choice(words) for _ in range(rng.randint(60, 130)))
            if i == 0:
                text, _ = "too short by far", planted["short"].append(uid)
            if i == 1:
                text = "the very same text " * 12 + "in all files"
                planted["exact"].append(uid)
            if i == 2:
                base = random.Random(5)
                text = " ".join(base.choice(words) for _ in range(120)) + f" tail{number}"
                planted["near"].append(uid)
            lines.append(json.dumps({"text": text, "uid": uid}))
        (raw / f"{number}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return planted


def write_recipe(folder: Path, text: str = RECIPE, name: str = "web.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def winnow(capsys, *args: object) -> Told:
    """The command line in this process."""
    capsys.readouterr()
    code = main([str(a) for a in args])
    said = capsys.readouterr()
    return Told(code, said.out, said.err)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def winnow_process(*args: object, cwd: Path) -> Told:
    """The command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "winnow", *map(str, args)], cwd=cwd, env=environment(), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    return Told(done.returncode, done.stdout, done.stderr)
