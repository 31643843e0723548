"""Do verdicts mean what they say? Known outcomes replayed, simulations, censuses of nothing, planted effects.

    make calibration PACKS=DIR        # all of it, the page's tables and picture included
    python benchmarks/bench_calibration.py known simulated --packs DIR --json benchmarks/out/calibration.json   # a minute
    python benchmarks/bench_calibration.py same null folds planted --packs DIR --json ... --out FOLDER          # trains

Training is resumed where it stopped (FOLDER/root); `--read` counts over the runs that are there. Every part has a key of
its own in the JSON; `python docs/figures/calibration.py FILE` puts them into docs/calibration.md and its picture.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from calibration import census_parts, known_outcomes, simulated
from calibration.census_parts import Place

HERE = Path(__file__).resolve().parent


def parts_of(place: Place) -> Mapping[str, Callable[[], Any]]:
    return {
        "known": partial(known_outcomes.measured, place.packs),
        "simulated": simulated.measured,
        **{name: partial(part, place) for name, part in census_parts.PARTS.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["known", "simulated", *census_parts.PARTS])
    parser.add_argument("--packs", type=Path, required=True, help="the folder of the data packs")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "out" / "calibration", help="where models are trained")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--read", action="store_true", help="train nothing")
    given = parser.parse_args()
    parts = parts_of(Place(packs=given.packs, folder=given.out, read=given.read, workers=given.workers))
    for name in given.parts:
        begun = time.perf_counter()
        found = parts[name]()
        stored = json.loads(given.json.read_text()) if given.json.exists() else {}
        stored[name] = found
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(stored, indent=1) + "\n")
        print(f"{name}: {time.perf_counter() - begun:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
