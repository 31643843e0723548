"""The DAG of a run as one inline SVG: a box per stage, layers from top to bottom, arrows from sources to readers.

A composite is one box. Of large recipes the most telling stages are drawn, decisions first; an arrow passes through
what is left out, and what is left out is named. Colours are the page's CSS variables, every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from winnow.core.operators import Kind
from winnow.core.terminal import counted, percent
from winnow.dags.looking.excerpts import visible
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.shapes.stage_file import folders_read, raw_stage

MOST = 60  # boxes
WIDTH, HEIGHT, GAP, BETWEEN, MARGIN = 158, 64, 14, 34, 6  # px of a box, beside it, below it, around the drawing
THROUGH = 10  # px of an arrow that passes a layer
CHARS, SMALLER = 19, 25  # of a name, and of the smaller lines
SWEEPS = 4  # over the layers, to uncross arrows
NAMED = 12  # stages left out that are named


@dataclass(frozen=True, kw_only=True)
class Box:
    """One stage, or one composite: what its lines say, and the names of the boxes that it reads."""

    name: str
    operator: str
    says: str
    kept: float | None  # share, of a decision
    complete: bool
    reads: tuple[str, ...]
    rank: int  # the smaller, the more telling
    tone: str = ""


@dataclass(kw_only=True)
class Dag:
    """The boxes drawn, in order of the data, and the names of those left out."""

    boxes: list[Box]
    left_out: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The drawing in words."""
        return f"{counted(len(self.boxes), 'stage')} from top to bottom, each with what it reads above it"

    @property
    def left(self) -> str:
        """What is left out, in one sentence; '' where nothing is."""
        if not self.left_out:
            return ""
        few = ", ".join(self.left_out[:NAMED]) + (", …" if len(self.left_out) > NAMED else "")
        return f"{len(self.boxes)} of {len(self.boxes) + len(self.left_out)} stages are drawn; left out: {few}"


def dag_of(run: FinishedRun, *, most: int = MOST) -> Dag:
    """The drawing of a run. Cost: one `stage.json` per stage."""
    entries = run.record.stages
    group = {v.name: str(entries[v.name].get("face_of") or v.shown) for v in run.stages}
    by_folder = {v.folder: group[v.name] for v in reversed(run.stages)}
    members: dict[str, list[FinishedStage]] = {}
    for view in run.stages:
        if by_folder[view.folder] == group[view.name]:
            members.setdefault(group[view.name], []).append(view)
    boxes = [_box(name, many, by_folder) for name, many in members.items()]
    chosen = {b.name for b in sorted(boxes, key=lambda b: b.rank)[:most]}
    reads = _through({b.name: b.reads for b in boxes}, chosen)
    drawn = [Box(**{**vars(b), "reads": reads[b.name]}) for b in boxes if b.name in chosen]
    return Dag(boxes=drawn, left_out=[b.name for b in boxes if b.name not in chosen])


def _box(name: str, members: Sequence[FinishedStage], by_folder: Mapping[str, str]) -> Box:
    face = next((v for v in members if not v.hidden), members[-1])
    read = [by_folder[f] for v in members for f in folders_read(raw_stage(v.store, v.folder) or {}) if f in by_folder]
    inner = f", {len(members)} parts" if len(members) > 1 else ""
    rank = 0 if face.decides else 1 if face.is_write or face.kind is Kind.ROWS else 2 if face.kind is Kind.RESULT else 3
    says, kept = _says(face)
    return Box(
        name=name, operator=f"{face.operator_name}{inner}", says=says, kept=kept, rank=rank,
        complete=all(v.complete for v in members), reads=tuple(n for n in dict.fromkeys(read) if n != name),
        tone="written" if face.is_write else "",
    )  # fmt: skip


def _says(face: FinishedStage) -> tuple[str, float | None]:
    """What a stage came to: documents it opened or wrote, the share it kept, rows it was asked about."""
    if face.manifest is None:
        return "not complete", None
    counts = face.manifest.counts
    asked = counts.get("rows", face.manifest.rows) - counts.get("masked", 0)
    if face.is_write:
        return f"{counted(face.manifest.rows, 'document')} written", None
    if "kept" in counts:
        share = counts["kept"] / asked if asked else None
        return f"keeps {counts['kept']:,}" + (f", {percent(share)}" if share is not None else ""), share
    if face.kind is Kind.ROWS:
        return counted(face.manifest.rows, "document"), None
    return (f"{counted(asked, 'row')} measured" if face.kind is Kind.COLUMNS else face.kind.value), None


def _through(reads: Mapping[str, Sequence[str]], chosen: set[str]) -> dict[str, tuple[str, ...]]:
    """What every stage reads among the chosen ones, through what is left out; arrows that others imply are gone."""
    out: dict[str, tuple[str, ...]] = {}
    behind: dict[str, set[str]] = {}  # all that is above a stage
    for name in _in_order(reads):
        direct = dict.fromkeys(s for r in reads[name] for s in ([r] if r in chosen else out.get(r, ())))
        implied = set().union(*(behind.get(s, set()) for s in direct))
        out[name] = tuple(s for s in direct if s not in implied)
        behind[name] = {*direct, *implied}
    return out


def _in_order(reads: Mapping[str, Sequence[str]]) -> list[str]:
    """Names with sources first; a stage that a broken record lets read itself stands where it is met."""
    out: dict[str, None] = {}
    begun: set[str] = set()
    todo = [(name, False) for name in reversed(list(reads))]
    while todo:
        name, ready = todo.pop()
        if ready:
            out[name] = None
        elif name not in begun:
            begun.add(name)
            todo += [(name, True), *((r, False) for r in reversed(reads[name]) if r not in begun)]
    return list(out)


def svg_of(dag: Dag) -> str:
    """One `<svg>` element; '' without boxes."""
    if not dag.boxes:
        return ""
    boxes = {b.name: b for b in dag.boxes}
    layer: dict[str, int] = {}
    for name in _in_order({b.name: b.reads for b in dag.boxes}):
        layer[name] = max((layer.get(r, -1) + 1 for r in boxes[name].reads), default=0)
    layers, ways = _layered(dag.boxes, layer)
    _uncross(layers, ways)
    centres, wide = _centres(layers, set(boxes))
    tall = 2 * MARGIN + len(layers) * (HEIGHT + BETWEEN) - BETWEEN
    arrows = (_arrow([(centres[place], _top(place[0])) for place in way]) for way in ways)
    drawn = (_drawn(box, centres[layer[name], name], _top(layer[name])) for name, box in boxes.items())
    size = f'viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}"'
    return "".join([f'<svg class="dag" {size} aria-hidden="true" focusable="false">', *arrows, *drawn, "</svg>"])


Place = tuple[int, str]  # layer, and a box or the source of an arrow that passes it


def _top(number: int) -> int:
    return MARGIN + number * (HEIGHT + BETWEEN)


def _layered(boxes: Iterable[Box], layer: Mapping[str, int]) -> tuple[list[list[str]], list[list[Place]]]:
    """(what stands in every layer, every arrow as its places); arrows of one source share their way down."""
    layers: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    ways = []
    for box in boxes:
        layers[layer[box.name]].append(box.name)
        for source in box.reads:
            passed = [(n, f"\0{source}") for n in range(layer[source] + 1, layer[box.name])]
            for n, place in passed:
                if place not in layers[n]:
                    layers[n].append(place)
            ways.append([(layer[source], source), *passed, (layer[box.name], box.name)])
    return layers, ways


def _uncross(layers: Sequence[list[str]], ways: Iterable[Sequence[Place]]) -> None:
    """Order every layer by where its neighbours stand: down, then up, a few times."""
    beside: dict[Place, set[Place]] = {}
    for one, two in (pair for way in ways for pair in pairwise(way)):
        beside.setdefault(one, set()).add(two)
        beside.setdefault(two, set()).add(one)
    for sweep in range(SWEEPS):
        step = -1 if sweep % 2 == 0 else 1  # towards the layer that is looked at
        for n in range(len(layers))[::-step]:
            if 0 <= n + step < len(layers):
                at = {p: (k + 0.5) / len(layers[n + step]) for k, p in enumerate(layers[n + step])}
                own = {p: (k + 0.5) / len(layers[n]) for k, p in enumerate(layers[n])}
                seen = {p: [at[q] for m, q in beside.get((n, p), ()) if m == n + step] for p in own}
                layers[n].sort(key=lambda p: sum(seen[p]) / len(seen[p]) if seen[p] else own[p])


def _centres(layers: Sequence[Sequence[str]], boxes: set[str]) -> tuple[dict[Place, int], int]:
    """Where everything stands, each layer in the middle, and how wide the drawing is."""

    def width(place: str) -> int:
        return WIDTH if place in boxes else THROUGH

    totals = [sum(map(width, layer)) + GAP * (len(layer) - 1) for layer in layers]
    wide = max(totals)
    centres = {}
    for n, layer in enumerate(layers):
        x = MARGIN + (wide - totals[n]) // 2
        for place in layer:
            centres[n, place] = x + width(place) // 2
            x += width(place) + GAP
    return centres, wide + 2 * MARGIN


def _arrow(points: Sequence[tuple[int, int]]) -> str:
    """A line from below the source, straight through the layers it passes, to above the reader, and its head."""
    (x, y), bend = points[0], BETWEEN // 2
    way = f"M{x} {y + HEIGHT}"
    for number, (next_x, top) in enumerate(points[1:], start=1):
        way += f"C{x} {top - bend} {next_x} {top - bend} {next_x} {top}"
        way += f"V{top + HEIGHT}" if number < len(points) - 1 else ""
        x = next_x
    end = points[-1][1]
    return f'<path class="way" d="{way}"/><path class="head" d="M{x} {end}l-4 -7h8z"/>'


def _drawn(box: Box, centre: int, top: int) -> str:
    """A box with its three lines, the share it keeps along its foot, and the whole of its name on hovering."""
    left, foot = centre - WIDTH // 2, top + HEIGHT - 6
    tone = "".join(f" {c}" for c in (box.tone, "" if box.complete else "open") if c)
    lines = ((18, "name", box.name, CHARS), (33, "use", box.operator, SMALLER), (48, "says", box.says, SMALLER))
    out = [f'<g class="box{tone}"><title>{_text(f"{box.name}: {box.operator}, {box.says}")}</title>',
           f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>']  # fmt: skip
    out += [f'<text class="{kind}" x="{centre}" y="{top + y}">{_text(_cut(text, most))}</text>'
            for y, kind, text, most in lines]  # fmt: skip
    if box.kept is not None:
        room = WIDTH - 16
        full = max(round(room * box.kept, 1), 1.0 if box.kept else 0.0)
        out.append(f'<rect class="bed" x="{left + 8}" y="{foot}" width="{room}" height="3"/>')
        out.append(f'<rect class="share" x="{left + 8}" y="{foot}" width="{full}" height="3"/>')
    return "".join([*out, "</g>"])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(text: str) -> str:
    return escape(visible(text))
