"""Figures of the calibration page, in one place: from the benchmark's JSON into the page and its picture.

    python docs/figures/calibration.py benchmarks/out/calibration.json   # after a run: new figures
    python docs/figures/calibration.py                                   # the stored figures, drawn again

Writes docs/figures/calibration.json, docs/img/calibration-{light,dark}.svg, and what stands between
`figures: calibration NAME` and `end of figures` in docs/calibration.md.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DOCS = FOLDER.parent
PAGE = DOCS / "calibration.md"
MARKS = re.compile(r"(<!-- figures: calibration (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
THEMES = {
    "light": {"ink": "#1f2937", "soft": "#6b7280", "line": "#d1d5db", "a": "#0f766e", "b": "#b45309", "c": "#1d4ed8"},
    "dark": {"ink": "#e5e7eb", "soft": "#9ca3af", "line": "#4b5563", "a": "#2dd4bf", "b": "#fbbf24", "c": "#93c5fd"},
}  # fmt: skip
SIZES = ("below 0.01", "0.01 to 0.02", "0.02 to 0.05", "0.05 to 0.1", "0.1 to 0.2", "0.2 to 0.5", "0.5 and more")
NOISES = {"refit": "refits (too large)", "jitter": "checkpoints' jitter (too small)",
          "checkpoints as seeds": "none: 4 checkpoints taken for seeds"}  # fmt: skip


def percent(value: float | None, digits: int = 0) -> str:
    """A share as per cent, or a dash."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def rate(row: Mapping[str, Any], digits: int = 1) -> str:
    """A rate with its standard error, where it has one."""
    if row["value"] is None:
        return "-"
    error = f" ± {100 * row['se']:.{digits}f}" if row["se"] is not None else ""
    return f"{100 * row['value']:.{digits}f}{error} %"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def replayed(found: Mapping[str, Any]) -> str:
    """What small runs called, and what large ones say of it."""
    known, rows = found["known"], []

    def add(name: str, scales: str, noise: str, row: Mapping[str, Any]) -> None:
        rows.append([name, scales, noise, f"{row['comparisons']:,}", percent(row["called"]), rate(row["reversed"]),
                     rate(row["clearly_reversed"]), percent(row["accuracy"], 1)])  # fmt: skip

    add("RegMix", "1M → 60M", NOISES["refit"], known["regmix"]["refit"])
    large = known["mixing_laws"]["large"]
    for size, step in (("70M", 3000), ("70M", large["step"]), ("160M", large["step"])):
        for name, words in NOISES.items():
            for row in known["mixing_laws"]["rows"]:
                if (row["size"], row["step"], row["noise"]) == (size, step, name):
                    add(
                        "mixing laws",
                        f"{size} at {step // 1000}k steps → {large['size']} at {large['step'] // 1000}k",
                        words,
                        row,
                    )
    largest = max(row["weights"] for row in known["scaling"])
    for row in known["scaling"]:
        if row["budget"] == 1.0:
            size = f"{row['weights'] / 1e6:.0f}M" if row["weights"] < 1e9 else f"{row['weights'] / 1e9:.1f}B"
            add("scaling", f"{size} → 6.9B", "the items' only", row)
    assert largest < 6e9
    for row in known["pythia"]:
        add("Pythia", f"{row['size'].upper()} → 1B", "the items' only", row)
    head = (
        "table",
        "small → large",
        "noise of a run from",
        "comparisons",
        "called",
        "reversed",
        "clearly reversed",
        "bare order",
    )
    return table(head, rows)


def by_size(found: Mapping[str, Any]) -> str:
    """How often the large scale keeps the small one's order, by the size of the difference."""
    known = found["known"]
    curves = {"RegMix 1M → 60M": known["regmix"]["curve"],
              **{f"mixing laws {s} → 305M": c for s, c in known["mixing_laws"]["curves"].items()}}  # fmt: skip
    rows = [[size, *(rate(curve[i]["agree"]) for curve in curves.values())] for i, size in enumerate(SIZES)]
    return table(("difference, nats per token", *curves), rows)


def simulated(found: Mapping[str, Any]) -> str:
    """Rules that do nothing, simulated: a row per number of seeds and size of the draw's noise."""
    rows: dict[tuple[int, float], dict[int, Mapping[str, Any]]] = {}
    for row in found["simulated"]:
        rows.setdefault((row["seeds"], row["draw"]), {})[row["labels"]] = row
    lines = [[str(seeds), f"{draw:g}", *(percent(own[n]["method"], 1) for n in own), percent(own[6]["drawn"], 1),
              percent(own[6]["selection"], 1)] for (seeds, draw), own in rows.items()]  # fmt: skip
    head = (
        "seeds",
        "draw / training (variance)",
        "method: 1 label draws",
        "2 draw",
        "6 draw",
        "a drawn arm",
        "selection, read as method",
    )
    return table(head, lines)


def same(found: Mapping[str, Any]) -> str:
    """A/A: as trained, and dealt anew."""
    own, rows = found["same"], []
    for target, row in own["pairs"].items():
        rows.append([f"as trained: every pair of {own['labels']}", str(own["seeds"]), target, f"{row['comparisons']}",
                     off_zero(row), percent(row["verdicts"], 1)])  # fmt: skip
    for seeds, targets in own["dealt"].items():
        for target, row in targets.items():
            rows.append(
                [
                    "dealt anew",
                    seeds,
                    target,
                    f"{row['comparisons']}",
                    percent(row["off_zero"], 1),
                    percent(row["verdicts"], 1),
                ]
            )
    return table(("runs", "seeds", "target", "comparisons", "off zero", "verdict after adjusting"), rows)


def null(found: Mapping[str, Any]) -> str:
    """Rules that know nothing: both questions, by how many labels show the noise of a draw."""
    own, rows = found["null"], []
    for labels, questions in own["drawn"].items():
        for target in questions["method"]:
            method, selection = (questions[q][target] for q in ("method", "selection"))
            rows.append([labels, target, str(method["comparisons"]), off_zero(method), percent(method["verdicts"]),
                         off_zero(selection), percent(selection["verdicts"]),
                         f"{method['training']:.3f}, {method['draw']:.3f}"])  # fmt: skip
    head = (
        "labels that draw",
        "target",
        "comparisons",
        "method: off zero",
        "verdict",
        "selection: off zero",
        "verdict",
        "sd of training, draw",
    )
    return table(head, rows)


def off_zero(row: Mapping[str, Any]) -> str:
    """The share off zero, with its error where it has one."""
    return f"{100 * row['off_zero']:.0f} ± {100 * row['se']:.0f} %" if "se" in row else percent(row["off_zero"])


def folds(found: Mapping[str, Any]) -> str:
    """Rules that know nothing, with a fold per seed."""
    own = found["folds"]
    rows = [[target, str(row["comparisons"]), off_zero(row), percent(row["verdicts"], 1)]
            for target, row in own["pairs"].items()]  # fmt: skip
    return table(("target", "comparisons", "off zero", "verdict after adjusting"), rows)


def planted(found: Mapping[str, Any]) -> str:
    """A planted effect: found against stated, and coverage."""
    rows = [[row["target"], f"{row['truth']:+.3f} ± {row['error']:.3f}", str(row["seeds"]), percent(row["stated"]), percent(row["found"]),
             percent(row["covered"], 1)] for row in sorted(found["planted"], key=lambda row: (row["target"], row["seeds"]))]  # fmt: skip
    return table(("target", "effect, bits per byte", "seeds", "stated power", "found", "intervals that hold it"), rows)


PARTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    part.__name__: part for part in (replayed, by_size, simulated, same, null, folds, planted)
}


def picture(found: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    """An SVG: how often the order is kept by the size of the difference; what is called and reversed over steps."""
    title = (
        "Small runs against large ones: order kept by size of the difference; calls and reversals over training steps"
    )
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 300" width="900" height="300" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="13">'
    )
    inner = [*_kept(found["known"], colours), *_over_steps(found["known"], colours)]
    return "\n".join([head, f"<title>{escape(title)}</title>", *inner, "</svg>"]) + "\n"


def _kept(known: Mapping[str, Any], colours: Mapping[str, str]) -> list[str]:
    def at(size: float, share: float) -> tuple[float, float]:
        return 50 + 340 * math.log(size / 0.004) / math.log(2 / 0.004), 270 - 200 * (share - 0.5) / 0.5

    out = [_text(0, 20, "Is the order kept?", colours["ink"], bold=True),
           _text(0, 42, "share of pairs, by their difference at the small scale (nats per token)", colours["soft"])]  # fmt: skip
    out += _grid([at(0.004, y) for y in (0.5, 0.75, 1.0)], ["50 %", "75 %", "100 %"], 390, colours)
    out += [_text(at(x, 0.5)[0], 290, f"{x:g}", colours["soft"], anchor="middle") for x in (0.005, 0.02, 0.1, 0.5, 2)]
    lines = {"RegMix, 1M to 60M": ("a", known["regmix"]["curve"])}
    lines |= {
        f"mixing laws, {size} to 305M": (colour, known["mixing_laws"]["curves"][size])
        for size, colour in (("70M", "b"), ("160M", "c"))
    }
    for i, (name, (colour, curve)) in enumerate(lines.items()):
        points = [at(row["size"], row["agree"]["value"]) for row in curve if row["pairs"]]
        dash = ("", "6 4", "2 3")[i]
        out += _line(points, colours[colour], dash=dash)
        out += _line([(196, 206 + 20 * i), (224, 206 + 20 * i)], colours[colour], dash=dash)
        out.append(_text(232, 210 + 20 * i, name, colours[colour]))
    return out


def _over_steps(known: Mapping[str, Any], colours: Mapping[str, str]) -> list[str]:
    rows = [row for row in known["mixing_laws"]["rows"] if row["size"] == "70M"]

    def at(step: float, share: float) -> tuple[float, float]:
        return 510 + 370 * (step - 3000) / 27000, 270 - 200 * share

    out = [_text(460, 20, "70M weights deciding for 305M", colours["ink"], bold=True),
           _text(460, 42, "share of comparisons, by training steps of the small runs", colours["soft"])]  # fmt: skip
    out += _grid([at(3000, y) for y in (0, 0.5, 1.0)], ["0 %", "50 %", "100 %"], 880, colours)
    out += [
        _text(at(x, 0)[0], 290, f"{x // 1000}k", colours["soft"], anchor="middle") for x in (3000, 10000, 20000, 30000)
    ]
    for noise, dash, place in (("jitter", "", 90), ("refit", "6 4", 166)):
        own = [row for row in rows if row["noise"] == noise]
        out += _line([at(row["step"], row["called"]) for row in own], colours["a"], dash=dash)
        out += _line([at(row["step"], row["reversed"]["value"]) for row in own], colours["b"], dash=dash)
        words = "noise from jitter (solid)" if noise == "jitter" else "noise from refits (dashed)"
        out.append(_text(880, place, f"called, {words}", colours["a"], anchor="end"))
    out.append(_text(880, 252, "reversed, of those called", colours["b"], anchor="end"))
    return out


def _grid(
    points: Sequence[tuple[float, float]], words: Sequence[str], right: float, colours: Mapping[str, str]
) -> list[str]:
    out = []
    for (x, y), word in zip(points, words, strict=True):
        out.append(f'<line x1="{x:.0f}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colours["line"]}"/>')
        out.append(_text(x - 6, y + 4, word, colours["soft"], anchor="end"))
    return out


def _line(points: Sequence[tuple[float, float]], colour: str, *, dash: str = "") -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    style = f' stroke-dasharray="{dash}"' if dash else ""
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{style}/>',
            *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)]  # fmt: skip


def _text(x: float, y: float, text: str, colour: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600" font-size="16"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def shown(found: Mapping[str, Any]) -> dict[Path, str]:
    """Path -> text of everything that shows these figures, as it should be."""
    out = {DOCS / "img" / f"calibration-{theme}.svg": picture(found, colours) for theme, colours in THEMES.items()}
    out[PAGE] = MARKS.sub(lambda m: f"{m[1]}{PARTS[m[2]](found)}{m[3]}", PAGE.read_text("utf-8"))
    return out


def write(found: Mapping[str, Any]) -> None:
    """Put the figures where they are shown."""
    (FOLDER / "calibration.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    for path, text in shown(found).items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "json", nargs="?", type=Path, help="what the benchmark wrote; default: the figures that are stored"
    )
    given = parser.parse_args()
    write(json.loads((given.json or FOLDER / "calibration.json").read_text("utf-8")))
