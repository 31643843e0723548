"""What winnow does on a GPU, in one command of under nine minutes; needs torch, numpy, pyarrow, polars and numba alone.

    make gpu-check                                                    # = python -m benchmarks.gpu_check.check
    python -m benchmarks.gpu_check.check --prepare --packs DIR        # where winnow is installed: the pool, in tokens
    python -m benchmarks.gpu_check.check --data DIR --out gpu.json    # on the machine with the GPU
    python -m benchmarks.gpu_check.check --fill gpu.json              # puts the figures into docs/benchmarks.md

DIR is benchmarks/out/gpu_check by default, the result benchmarks/out/gpu_check.json.

From the root of the repository. Sections run one after the other, each in a process of its own with a share of the
time; what is not reached says so. Without a GPU (or with `--small`) the same path runs with small models, and says so.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.budget import ROOT, Section, Setting, run_all, run_section

NEEDED = ("torch", "numpy", "pyarrow", "polars", "numba")
DATA = ROOT / "benchmarks/out/gpu_check"
MINUTES = 8.75
HERE = "benchmarks.gpu_check"
SIZES = ("124M", "350M")
SECTIONS = (
    Section(name="checks", seconds=75, measure=f"{HERE}.cuda_checks:measure", promises=("passed",)),
    Section(name="compile", seconds=70, measure=f"{HERE}.speed:measure_compile",
            promises=("plain_tokens_per_s", "compiled_tokens_per_s", "compile_s", "compiled_losses")),
    Section(name="screen", seconds=70, measure=f"{HERE}.speed:measure_screen", promises=("arm_seeds_per_hour",)),
    Section(name="utilisation", seconds=115, measure=f"{HERE}.speed:measure_utilisation", promises=SIZES),
    Section(name="verdict", seconds=110, measure=f"{HERE}.verdict:measure", promises=("scores",)),
    Section(name="utilisation_packed", seconds=85, measure=f"{HERE}.speed:measure_utilisation_packed", promises=SIZES),
)  # fmt: skip


def main() -> int:
    """Exit code: 0, or 1 where a check failed; 2 where the machine lacks what is needed."""
    options = _options()
    if options.prepare:
        from benchmarks.gpu_check.prepare import prepare

        print(json.dumps(prepare(options.packs, options.data), indent=2))
        return 0
    if options.fill:
        from benchmarks.gpu_check.table import fill

        print(fill(json.loads(options.fill.read_text())))
        return 0
    if options.section:
        run_section(Section(**json.loads(options.section)), Setting(**json.loads(options.setting)), options.out)
        return 0
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"missing here: {', '.join(missing)}; the check needs {', '.join(NEEDED)} and nothing else", file=sys.stderr
        )
        return 2
    return _check(options)


def _check(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    small = options.small or device == "cpu"
    if small:
        why = "--small" if options.small else "torch sees no GPU"
        print(f"{why}: the same path with small models; none of its figures says anything of a GPU", flush=True)
    pool = options.data if (options.data / "pool.npz").exists() and not small else None
    setting = Setting(device=device, small=small, data=str(pool or ""))
    with tempfile.TemporaryDirectory() as folder:
        left = 60 * options.minutes - (time.monotonic() - begun)
        found = run_all(SECTIONS, setting, Path(folder), seconds=left)
    report = {
        **machine(device),
        "small": small,
        "minutes": round((time.monotonic() - begun) / 60, 2),
        "sections": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    bad = failures(found)
    print("\n".join([*bad, f"{report['minutes']} minutes; {options.out}"]))
    return 1 if bad else 0


def machine(device: str) -> dict[str, Any]:
    """Date, device, versions and commit: what figures are worth nothing without."""
    import torch

    versions = {name: importlib.metadata.version(name) for name in NEEDED}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    facts: dict[str, Any] = {"device": platform.processor() or platform.machine()}
    if device == "cuda":
        got = torch.cuda.get_device_properties(0)
        facts = {"device": got.name, "device_gb": round(got.total_memory / 1e9, 1), "cuda": torch.version.cuda}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), **facts, "python": platform.python_version(),
        "versions": versions, "commit": commit.stdout.strip() or None, "cpus": os.cpu_count(),
    }  # fmt: skip


def failures(found: dict[str, Any]) -> list[str]:
    """A line per section or check that failed; what was not reached in time is no failure."""
    lines = [f"{name}: {body['status']}" for name, body in found.items() if body["status"].startswith("failed")]
    for name, body in found.items():
        for key, value in body.items():
            if isinstance(value, dict) and value.get("result") == "failed":
                lines.append(f"{name}: {key} failed: {value.get('why', value)}")
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepare", action="store_true", help="write the pool in tokens into --data")
    parser.add_argument("--packs", type=Path, help="folder of the data packs, for --prepare")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the pool in tokens")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/out/gpu_check.json")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--fill", type=Path, help="a result whose figures go into docs/benchmarks.md")
    parser.add_argument("--section", help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
