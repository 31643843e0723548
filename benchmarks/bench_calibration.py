"""Do verdicts mean what they say? Known outcomes replayed, censuses of nothing, planted effects; figures for docs/calibration.md.

    python benchmarks/bench_calibration.py known --packs DIR --json benchmarks/out/calibration.json   # seconds

Each part adds its own key to the JSON; `python docs/figures/calibration.py benchmarks/out/calibration.json` puts all of
them into the page and its picture.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from calibration import known_outcomes


def known(arguments: argparse.Namespace) -> dict[str, Any]:
    return known_outcomes.measured(arguments.packs)


PARTS = {"known": known}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=sorted(PARTS))
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    for part in arguments.parts:
        begun, spent = time.perf_counter(), time.process_time()
        found = PARTS[part](arguments)
        stored = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        stored[part] = found
        stored.setdefault("seconds", {})[part] = {
            "wall": round(time.perf_counter() - begun, 1), "cpu": round(time.process_time() - spent, 1), "load": os.getloadavg()[0],
        }  # fmt: skip
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(stored, indent=1) + "\n")
        print(part, json.dumps(stored["seconds"][part]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
