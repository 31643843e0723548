"""text-dedup: `python -m text_dedup.minhash` as documented. It writes the kept documents, which `collect` reads."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import common

OPTIONS = {"num_perm": "--num_perm", "bands": "--b", "rows": "--r", "threshold": "--threshold"}


def dedup(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    work = Path(given.work)
    command = [sys.executable, "-m", "text_dedup.minhash", "--path", "json", "--data_files", given.input,
               "--split", "train", "--column", "text", "--cache_dir", str(work / "cache"),
               "--output", str(work / "kept"), "--num_proc", "1"]  # fmt: skip
    for name, value in settings.items():
        command += [OPTIONS[name], str(value)]
    os.environ["HF_HOME"] = str(work / "home")
    os.execv(sys.executable, command)  # its lambdas pickle only where it is the main program


def collect(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    from datasets import load_from_disk

    ids, _ = common.documents(given.input)
    kept = set(load_from_disk(str(Path(given.work) / "kept"))["name"])
    report["removed"] = [name for name in ids if name not in kept]


if __name__ == "__main__":
    common.main(["text-dedup", "datasets", "numpy"], {"dedup": dedup, "collect": collect})
