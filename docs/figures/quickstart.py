"""Figures of the quickstart, in one place: from a finished run to `quickstart.json`, and from there into every page.

    python docs/figures/quickstart.py runs/quickstart --seconds 250 --cached 4.8   # after a run: new figures
    python docs/figures/quickstart.py runs/quickstart --cpu 520                    # of a machine that others used as well
    python docs/figures/quickstart.py                                              # the same figures, drawn again

Writes docs/figures/quickstart.json, docs/img/quickstart-{light,dark}.svg, and the part between the two `figures` comments
of README.md and of every page that has them.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DOCS = FOLDER.parent
MARKS = re.compile(r"(<!-- figures: quickstart -->\n).*?(<!-- end of figures -->)", re.DOTALL)
FUNNEL = {"docs": "documents", "clean": "rules and language", "exact": "no exact copy", "unique": "no near copy",
          "safe": "nothing of the targets", "aside": "pool, test code aside"}  # fmt: skip
ARMS = {
    "top_k": "`top_k` by fastText",
    "likely": "`likely`: `sample` by fastText",
    "spread": "`spread`: `facility_location`",
}
NAMES = {"reference": "language reference", "code": "held-out pool code"}
THEMES = {
    "light": {"ink": "#1f2937", "soft": "#6b7280", "line": "#d1d5db", "bar": "#0f766e", "good": "#0f766e", "bad": "#b45309", "even": "#6b7280"},
    "dark": {"ink": "#e5e7eb", "soft": "#9ca3af", "line": "#4b5563", "bar": "#2dd4bf", "good": "#2dd4bf", "bad": "#fbbf24", "even": "#9ca3af"},
}  # fmt: skip


def measured(root: str, seconds: float | None, cached: float | None, cpu: float | None) -> dict[str, Any]:
    """The figures of a finished quickstart run."""
    import polars as pl

    import winnow as w

    run = w.open(root)
    stages, effect = run.stages, run.result("effect").metrics

    def kept(stage: str) -> int:
        return int(run.frame(stage, ["kept"]).select(pl.col("kept").sum()).collect().item())

    funnel = [["docs", stages["docs"]["rows"]], *([s, kept(s)] for s in FUNNEL if s != "docs" and s in stages)]
    size = run.frame("docs", ["text_bytes"]).select(pl.col("text_bytes").sum()).collect().item()
    groups = [*effect["arms"].items(), *((f"A/A {label}", arm) for label, arm in effect["aa"].items())]
    rows = [
        {"arm": label, "target": target, "control": label.startswith("A/A"), "verdict": row["verdict"],
         **{key: None if row[key] is None else round(row[key], 3) for key in ("mean_diff", "low", "high")}}
        for label, arm in groups for target, row in arm["effects"].items()
    ]  # fmt: skip
    return {
        "command": "winnow run quickstart --out runs/quickstart",
        "documents": stages["docs"]["rows"], "megabytes": round(size / 1e6), "funnel": funnel, "effects": rows,
        "primary": effect["primary"], "targets": [effect["primary"], *(t for t in effect["targets"] if t != effect["primary"])],
        "seeds": effect["seeds"], "tokens": effect["tokens"], "parameters": effect["parameters"],
        "seconds": seconds, "cached_seconds": cached, "cpu_seconds": cpu,
        "lexical": {
            "below": {t: round(row["below"], 3) for t, row in effect["lexical"]["targets"].items()},
            "r": round(effect["lexical"]["r"], 3), "effects": effect["lexical"]["effects"],
        },
    }  # fmt: skip


def table(data: dict[str, Any]) -> str:
    """The figures as Markdown: what was run, then a row per arm and a column per target."""
    took = f"; {clock(data['seconds'])}" if data["seconds"] else ""
    took += f"; {data['cpu_seconds']:,.0f} CPU s, of cores that others used as well" if data.get("cpu_seconds") else ""
    took += f", a cached rerun {clock(data['cached_seconds'])}" if data["cached_seconds"] else ""
    about = (
        f"One run of the frozen recipe on 2 cores (`{data['command']}`; {data['documents']:,} documents, "
        f"{data['megabytes']} MB{took}), models of {data['parameters'] / 1e6:.1f}M parameters, bits per byte against a random "
        f"subset of equal tokens, {data['seeds']} seeds, every seed with its own random subset; negative is "
        f"better{lexical(data)}{data.get('note', '')}:"
    )
    lines = [
        *textwrap.wrap(about, 120, break_on_hyphens=False),
        "",
        "| arm | " + " | ".join(NAMES.get(t, t) + (" (primary)" if t == data["primary"] else "") for t in data["targets"]) + " |",
        "|---|" + "---|" * len(data["targets"]),
    ]  # fmt: skip
    for arm in dict.fromkeys(row["arm"] for row in data["effects"]):
        cells = [
            effect_text(row)
            for t in data["targets"]
            for row in data["effects"]
            if (row["arm"], row["target"]) == (arm, t)
        ]
        name = "A/A: random against random" if arm.startswith("A/A") else ARMS.get(arm, f"`{arm}`")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def lexical(data: dict[str, Any]) -> str:
    """How far the models are below a bigram of their own tokens, and how well that one predicts the effects."""
    told = data.get("lexical")
    if told is None:
        return ""
    each = " and ".join(f"{told['below'][t]:.1%} on the {NAMES.get(t, t)}" for t in data["targets"])
    return (
        f". The baseline's models are below a bigram of their own tokens by {each}; over the {told['effects']} effects the "
        f"bigram's correlate with the models' at r = {told['r']:.3f}"
    )


def clock(seconds: float) -> str:
    """Seconds as a person says them."""
    return f"{seconds:g} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def effect_text(row: dict[str, Any]) -> str:
    """One difference with its interval and verdict."""
    value = f"{row['mean_diff']:+.3f}"
    value = value if row["verdict"] == "cannot tell" else f"**{value}**"
    return f"{value} ({row['low']:+.3f} .. {row['high']:+.3f}) {row['verdict']}"


def picture(data: dict[str, Any], colours: dict[str, str]) -> str:
    """An SVG: the funnel on the left, the effects with their intervals on the right."""
    rows, arms = len(data["funnel"]), list(dict.fromkeys(r["arm"] for r in data["effects"]))
    height = max(76 + 34 * rows, 76 + len(data["targets"]) * (26 + 26 * len(arms)) + 20)
    inner = [*_funnel(data, colours), *_forest(data, arms, colours, height)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" width="900" height="{height}" role="img" '
        'font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="14">'
    )
    return "\n".join([head, "<title>The quickstart: funnel and measured effects</title>", *inner, "</svg>"]) + "\n"


def _text(
    x: float, y: float, text: str, colour: str, *, anchor: str = "start", bold: bool = False, size: int = 14
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-size="{size}"{weight}>{escape(text)}</text>'


def _funnel(data: dict[str, Any], colours: dict[str, str]) -> list[str]:
    most = data["funnel"][0][1]
    out = [
        _text(0, 20, "What stays", colours["ink"], bold=True, size=16),
        _text(0, 42, "documents after each stage", colours["soft"]),
    ]
    for number, (stage, count) in enumerate(data["funnel"]):
        y = 62 + 34 * number
        out.append(
            f'<rect x="165" y="{y}" width="{max(1.0, 170 * count / most):.1f}" height="20" rx="3" fill="{colours["bar"]}"/>'
        )
        out += [
            _text(155, y + 15, FUNNEL[stage], colours["ink"], anchor="end"),
            _text(345, y + 15, f"{count:,}", colours["ink"]),
        ]
    return out


def _forest(data: dict[str, Any], arms: list[str], colours: dict[str, str], height: int) -> list[str]:
    left, right = 590.0, 890.0
    low, high = min(r["low"] for r in data["effects"]), max(r["high"] for r in data["effects"])

    def at(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    out = [_text(450, 20, "Whether it helped", colours["ink"], bold=True, size=16),
           _text(450, 42, f"bits per byte against a random subset, 95 % interval of {data['seeds']} seeds", colours["soft"])]  # fmt: skip
    out.append(f'<line x1="{at(0):.1f}" x2="{at(0):.1f}" y1="56" y2="{height - 22}" stroke="{colours["line"]}"/>')
    y = 58
    for target in data["targets"]:
        out.append(_text(450, y + 15, NAMES.get(target, target), colours["soft"]))
        y += 26
        for arm in arms:
            row = next(r for r in data["effects"] if (r["arm"], r["target"]) == (arm, target))
            colour = colours[{"better": "good", "worse": "bad"}.get(row["verdict"], "even")]
            out.append(
                _text(575, y + 13, "random again (A/A)" if row["control"] else arm, colours["ink"], anchor="end")
            )
            out.append(
                f'<line x1="{at(row["low"]):.1f}" x2="{at(row["high"]):.1f}" y1="{y + 8}" y2="{y + 8}" stroke="{colour}" stroke-width="3" stroke-linecap="round"/>'
            )
            out.append(f'<circle cx="{at(row["mean_diff"]):.1f}" cy="{y + 8}" r="5" fill="{colour}"/>')
            y += 26
    out += [
        _text(at(0) - 8, height - 6, "better", colours["good"], anchor="end"),
        _text(at(0) + 8, height - 6, "worse", colours["bad"]),
    ]
    return out


def shown(data: dict[str, Any]) -> dict[Path, str]:
    """Path -> text of everything that shows these figures, as it should be."""
    out = {DOCS / "img" / f"quickstart-{theme}.svg": picture(data, colours) for theme, colours in THEMES.items()}
    for path in (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))):
        text = path.read_text("utf-8")
        if MARKS.search(text):
            out[path] = MARKS.sub(lambda m: f"{m[1]}{table(data)}{m[2]}", text)
    return out


def write(data: dict[str, Any]) -> None:
    """Put the figures where they are shown."""
    (FOLDER / "quickstart.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    for path, text in shown(data).items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", help="a finished run of the quickstart; default: the figures that are stored")
    parser.add_argument("--seconds", type=float, help="wall seconds of that run")
    parser.add_argument("--cached", type=float, help="wall seconds of running it again")
    parser.add_argument(
        "--cpu", type=float, help="user and system seconds of that run, where its wall time says little"
    )
    given = parser.parse_args()
    stored = FOLDER / "quickstart.json"
    write(
        measured(given.run, given.seconds, given.cached, given.cpu)
        if given.run
        else json.loads(stored.read_text("utf-8"))
    )
