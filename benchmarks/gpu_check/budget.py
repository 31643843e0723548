"""Sections under one clock: each runs in a process of its own, is ended at its limit, and keeps what it had noted.

A section is a function `measure(notes, setting)`. It notes every figure as soon as it has it, so that a section that is
ended half way reports what it measured, and the figures that it promised and did not reach as "not measured".
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LEAST = 5.0  # seconds with which a section is not begun
LATE = "not measured: out of time"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all sections are told."""

    device: str  # cuda or cpu
    small: bool  # the same path with small models: what a CPU and the tests run
    data: str = ""  # folder that `prepare` made; empty: none


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the check: who measures it, the seconds that it may take, and what it promises."""

    name: str
    seconds: float
    measure: str  # module:function
    promises: tuple[str, ...]


class Notes:
    """Figures of a section, on disk as soon as they are noted."""

    def __init__(self, path: Path) -> None:
        self.path, self.figures = path, dict[str, Any]()

    def note(self, name: str, value: Any) -> None:
        """Keep a figure: a number, a text, or an object of such."""
        self.figures[name] = value
        whole = self.path.with_suffix(".part")
        whole.write_text(json.dumps(self.figures))
        whole.replace(self.path)


def run_section(section: Section, setting: Setting, path: Path) -> None:
    """Measure a section in this process."""
    module, _, function = section.measure.partition(":")
    measure: Callable[[Notes, Setting], None] = getattr(importlib.import_module(module), function)
    measure(Notes(path), setting)


def limits(sections: Sequence[Section], spent: Sequence[float], left: float) -> float:
    """Seconds that the next section may take: its own, and what those before it left over, while the clock allows."""
    done = len(spent)
    saved = sum(max(0.0, s.seconds - used) for s, used in zip(sections[:done], spent, strict=True))
    over = sum(max(0.0, used - s.seconds) for s, used in zip(sections[:done], spent, strict=True))
    return max(0.0, min(left, sections[done].seconds + saved - over))


def shortened(sections: Sequence[Section], seconds: float) -> list[Section]:
    """The sections with smaller shares where all of them together ask for more than `seconds`."""
    part = min(1.0, seconds / sum(section.seconds for section in sections))
    return [replace(section, seconds=section.seconds * part) for section in sections]


def run_all(sections: Sequence[Section], setting: Setting, folder: Path, *, seconds: float) -> dict[str, Any]:
    """Section name -> its figures, `seconds` and `status`, all of them within `seconds`."""
    sections = shortened(sections, seconds)
    deadline, spent = time.monotonic() + seconds, list[float]()
    found: dict[str, Any] = {}
    for section in sections:
        limit = limits(sections, spent, deadline - time.monotonic())
        begun = time.monotonic()
        status = LATE if limit < LEAST else _child(section, setting, folder / f"{section.name}.json", limit)
        spent.append(time.monotonic() - begun)
        found[section.name] = _read(section, folder / f"{section.name}.json", status) | {"seconds": round(spent[-1], 1)}
        print(f"{section.name}: {found[section.name]['status']} ({spent[-1]:.0f} s)", flush=True)
    return found


def _child(section: Section, setting: Setting, path: Path, limit: float) -> str:
    """Run a section in a process group of its own, and end the group at the limit. Its status."""
    words = ["--section", json.dumps(asdict(section)), "--setting", json.dumps(asdict(setting)), "--out", str(path)]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    log = path.with_suffix(".log")
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu_check.check", *words], cwd=ROOT, stdout=sink,
            stderr=subprocess.STDOUT, start_new_session=True, env=os.environ | {"PYTHONPATH": paths},
        )  # fmt: skip
        try:
            code = child.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            return LATE
        finally:
            with contextlib.suppress(ProcessLookupError):  # compilers that it started, too
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if code == 0:
        return "measured"
    told = log.read_text(errors="replace").strip().splitlines()
    return f"failed: {told[-1] if told else f'exit code {code}'}"


def _read(section: Section, path: Path, status: str) -> dict[str, Any]:
    figures = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in section.promises if name not in figures]
    if missing and status == "measured":
        status = f"failed: ended without {', '.join(missing)}"
    return {"status": status, **figures, **dict.fromkeys(missing, status)}
