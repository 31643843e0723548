"""Charts as inline SVG by Matplotlib: static, without a script, in the page's colours and font.

Colours are drawn as placeholders and replaced by CSS variables, so that one drawing serves dark and light; every
chart is drawn twice, for wide and for narrow pages, because scaled text is unreadable.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from winnow.dags.looking.excerpts import visible
from winnow.dags.looking.report.clusters import Duplicates
from winnow.dags.looking.report.comparison import BASELINE, Along
from winnow.dags.looking.report.effects import Effect, Target
from winnow.dags.looking.report.scores import Histogram

WIDE, NARROW = 720, 340  # px
_COLOURS = ("ink", "muted", "line", "kept", "drop", "accent", "alarm", "s1", "s2", "s3", "s4", "s5", "s6", "card")
COLOUR = {name: f"#0102{number:02x}" for number, name in enumerate(_COLOURS)}
_PLACEHOLDER = re.compile(r"(fill|stroke): (#0102[0-9a-f]{2})")
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "winnow", "text.parse_math": False, "font.size": 11,
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "text.color": COLOUR["ink"],
    "axes.edgecolor": COLOUR["line"], "axes.labelcolor": COLOUR["muted"], "axes.linewidth": 1.0,
    "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none", "axes.spines.top": False,
    "axes.spines.right": False, "axes.spines.left": False, "xtick.color": COLOUR["line"], "ytick.color": COLOUR["line"],
    "xtick.labelcolor": COLOUR["muted"], "ytick.labelcolor": COLOUR["muted"], "grid.color": COLOUR["line"],
    "grid.linewidth": 0.8, "legend.frameon": False, "ytick.major.size": 0, "axes.unicode_minus": True,
    "figure.dpi": 72, "path.simplify": True, "axes.axisbelow": True,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One drawing in two sizes, as SVG elements (none without Matplotlib), and what it shows in words."""

    wide: str
    narrow: str
    label: str


def histogram(one: Histogram) -> Chart:
    """Rows per bin, what was selected of them, and the cuts."""
    names = ", ".join(c.label for c in one.cuts)
    label = f"Histogram of {one.title}, {one.num_rows:,} rows" + (f"; {names}" if names else "")
    return _chart(lambda axes, narrow: _histogram(axes, one, narrow=narrow), label, (168, 150), wide=WIDE)


def small_histogram(one: Histogram) -> Chart:
    """The same in the narrow size only."""
    names = ", ".join(c.label for c in one.cuts)
    label = f"Histogram of {one.title}, {one.num_rows:,} rows; {names}"
    return _chart(lambda axes, _: _histogram(axes, one, narrow=True), label, (120, 120), wide=NARROW)


def similarity(one: Duplicates) -> Chart:
    """Removed documents by exact similarity to the kept one."""
    assert one.jaccard is not None
    counts = one.jaccard

    def draw(axes: Any, narrow: bool) -> None:
        edges = np.linspace(0, 1, len(counts) + 1)
        low = edges[max(0, int(np.argmax(counts > 0)) - 1)]
        axes.stairs(counts, edges, fill=True, color=COLOUR["drop"], alpha=0.75, lw=0)
        if one.threshold is not None:
            low = min(low, one.threshold - 0.05)
            axes.axvline(one.threshold, color=COLOUR["ink"], lw=1.2)
            _note(axes, one.threshold, f"threshold {one.threshold:g}", side="left" if one.threshold > 0.5 else "right")
        axes.set_xlim(low, 1)
        _counts_axis(axes, counts, narrow=narrow)
        axes.set_xlabel("exact Jaccard similarity to the kept document")

    return _chart(draw, f"Removed documents of {one.stage} by similarity to the kept one", (150, 140), wide=WIDE)


def curves(effect: Effect) -> Chart:
    """Training loss of every arm: mean over seeds, band from the smallest to the largest."""

    def draw(axes: Any, narrow: bool) -> None:
        for curve, colour in zip(effect.curves, _series(effect), strict=True):
            dashes = (0, (4, 2)) if curve.control else "solid"
            axes.fill_between(curve.tokens, curve.low, curve.high, color=colour, alpha=0.18, lw=0)
            axes.plot(
                curve.tokens, curve.mean, color=colour, lw=1.8, ls=dashes, label=_name(curve.arm, control=curve.control)
            )
        axes.grid(axis="y")
        axes.set_ylim(*_loss_range(effect))
        axes.xaxis.set_major_formatter(_thousands)
        axes.locator_params(axis="x", nbins=4 if narrow else 8)
        axes.set_xlabel("training tokens")
        axes.set_ylabel("nats per token")
        axes.legend(loc="upper right", fontsize=11, handlelength=1.6)

    return _chart(draw, f"Training loss of {len(effect.curves)} arms of {effect.stage}", (250, 210), wide=WIDE)


def along(one: Along) -> Chart:
    """Loss on a target while the runs train: mean over seeds, band from the smallest to the largest."""

    def draw(axes: Any, narrow: bool) -> None:
        hues = (f"s{number % 6 + 1}" for number in range(len(one.tracks)))
        for track in one.tracks:
            colour = COLOUR["ink" if track.label == BASELINE else next(hues)]
            axes.fill_between(track.tokens, track.low, track.high, color=colour, alpha=0.18, lw=0)
            axes.plot(track.tokens, track.mean, color=colour, lw=1.8, marker="o", ms=3.5, label=visible(track.label))
            if track.rise is not None:  # the start's loss: what lies above it is forgotten
                axes.axhline(track.mean[0], color=colour, lw=0.8, ls=(0, (2, 3)))
        axes.grid(axis="y")
        axes.xaxis.set_major_formatter(_thousands)
        axes.locator_params(axis="x", nbins=4 if narrow else 8)
        axes.set_xlabel("training tokens")
        axes.set_ylabel(one.unit)
        axes.legend(loc="best", fontsize=11, handlelength=1.6)

    return _chart(draw, f"{one.target} over the training tokens of {len(one.tracks)} labels", (250, 210), wide=WIDE)


def forest(target: Target) -> Chart:
    """Differences to the baseline with their intervals, the A/A row, and the detectable effect behind them.

    Thick is the answer that the verdict gives, thin below it that to the other question.
    """
    tall = 62 + 40 * len(target.rows)

    def draw(axes: Any, narrow: bool) -> None:
        names = []
        for y, row in enumerate(target.rows):
            colour = COLOUR[{"better": "kept", "worse": "drop"}.get(row.verdict, "muted")]
            if row.mde is not None:
                axes.barh(y, 2 * row.mde, left=-row.mde, height=0.62, color=COLOUR["muted"], alpha=0.13, lw=0)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [y, y], color=colour, lw=2.4, solid_capstyle="round")
            for other in (a for name, a in row.answers.items() if name != row.asked and a.low is not None):
                axes.plot([other.low, other.high], [y + 0.3, y + 0.3], color=COLOUR["muted"], lw=1.2, marker="|", ms=5)
            face = COLOUR["card"] if row.control else colour
            axes.plot([row.mean], [y], color=colour, ls="none", marker="o", ms=7.5, mfc=face, mec=colour, mew=1.8)
            names.append(_name(row.arm, control=row.control))
        axes.axvline(0, color=COLOUR["ink"], lw=1)
        shown = [n if len(n) <= (14 if narrow else 28) else n[: 13 if narrow else 27] + "…" for n in names]
        axes.set_yticks(range(len(names)), shown, color=COLOUR["ink"])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="x")
        axes.locator_params(axis="x", nbins=4 if narrow else 7)
        axes.use_sticky_edges = False
        axes.margins(x=0.04)
        axes.set_xlabel(target.unit if narrow else f"difference to the baseline in {target.unit}")
        for x, text, side in ((0, "← better", "left"), (1, "worse →", "right")):
            axes.annotate(text, (x, 0), xycoords="axes fraction", xytext=(0, -20), textcoords="offset points",
                          ha=side, va="top", color=COLOUR["muted"], annotation_clip=False)  # fmt: skip

    both = ", and thin the interval of the other question" if any(row.answers for row in target.rows) else ""
    label = f"Effects on {target.name}: difference in {target.unit} with interval{both}"
    return _chart(draw, label, (tall, tall), wide=WIDE)


def _histogram(axes: Any, one: Histogram, *, narrow: bool) -> None:
    log = _spread(one.counts) or (one.by is not None and _spread(np.asarray([one.num_kept, one.num_rows])))
    sided = [c for c in one.cuts if one.by is None]
    axes.stairs(one.counts, one.edges, fill=True, color=COLOUR["muted" if one.by else "accent"], alpha=0.45, lw=0)
    if one.by is not None:
        axes.stairs(one.kept, one.edges, fill=True, color=COLOUR["kept"], alpha=0.95, lw=0)
    for cut in sided:  # what the clause refuses
        edge = one.edges[0] if cut.keeps == "above" else one.edges[-1]
        axes.axvspan(edge, cut.value, color=COLOUR["drop"], alpha=0.2, lw=0)
    for cut in one.cuts:
        axes.axvline(cut.value, color=COLOUR["ink"], lw=1.2)
    if one.by is not None and len(one.cuts) == 1:
        middle = (one.edges[0] + one.edges[-1]) / 2
        _note(axes, one.cuts[0].value, one.cuts[0].label, side="right" if one.cuts[0].value < middle else "left")
    if log:
        axes.set_yscale("symlog", linthresh=1)
    axes.set_xlim(one.edges[0], one.edges[-1])
    _counts_axis(axes, one.counts, narrow=narrow, log=log)
    axes.locator_params(axis="x", nbins=4 if narrow else 8)
    if one.edges[-1] >= 10_000:
        axes.xaxis.set_major_formatter(_thousands)


def _counts_axis(axes: Any, counts: Any, *, narrow: bool, log: bool = False) -> None:
    from matplotlib.ticker import MaxNLocator

    most = max(1, int(np.max(counts)))
    if log:
        axes.set_yticks([10**k for k in range(0, 10, 2 if most > 10_000 else 1) if 10**k <= most])
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    axes.yaxis.set_major_formatter(_thousands)
    axes.minorticks_off()
    axes.set_ylim(0, most * (2.2 if log else 1.12))
    axes.grid(axis="y")
    if not narrow:
        axes.set_ylabel("documents, log scale" if log else "documents")


def _note(axes: Any, x: float, text: str, *, side: str) -> None:
    axes.annotate(
        visible(text), (x, 1), xycoords=("data", "axes fraction"), xytext=(5 if side == "right" else -5, -2),
        textcoords="offset points", ha="left" if side == "right" else "right", va="top", fontsize=11,
    )  # fmt: skip


def _spread(counts: Any) -> bool:
    """True where the largest count hides the others on a linear axis."""
    some = np.asarray(counts)[np.asarray(counts) > 0]
    return len(some) > 1 and bool(some.max() > 40 * (some.min() if len(some) == 2 else np.median(some)))


def _thousands(value: float, _: Any = None) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _name(arm: str, *, control: bool) -> str:
    return visible(f"A/A ({arm})" if control and arm != "aa" else "A/A" if control else arm)


def _series(effect: Effect) -> Iterator[str]:
    """A colour per curve: the baseline is ink, controls are muted, arms have hues."""
    hue = 0
    for curve in effect.curves:
        if curve.control:
            yield COLOUR["muted"]
        elif curve.arm == "baseline":
            yield COLOUR["ink"]
        else:
            yield COLOUR[f"s{hue % 6 + 1}"]
            hue += 1


def _loss_range(effect: Effect) -> tuple[float, float]:
    """From just below the lowest loss to the loss after a tenth of the training: the steep start is left out."""
    low = min(float(c.low.min()) for c in effect.curves)
    start = max(float(c.high[len(c.high) // 10 :].max()) for c in effect.curves)
    return low - 0.06 * (start - low), start + 0.04 * (start - low)


def can_draw() -> bool:
    """Whether Matplotlib is here; without it a page has words and numbers in place of charts."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    return bool(mpl)


def _chart(draw: Callable[[Any, bool], None], label: str, tall: tuple[int, int], *, wide: int) -> Chart:
    if not can_draw():
        return Chart(wide="", narrow="", label=visible(label))
    if wide == NARROW:
        one = _svg(draw, NARROW, tall[1], narrow=True, salt=label)
        return Chart(wide=one, narrow="", label=visible(label))
    return Chart(
        wide=_svg(draw, wide, tall[0], narrow=False, salt=f"{label}w"),
        narrow=_svg(draw, NARROW, tall[1], narrow=True, salt=f"{label}n"), label=visible(label),
    )  # fmt: skip


def _svg(draw: Callable[[Any, bool], None], width: int, height: int, *, narrow: bool, salt: str) -> str:
    """One `<svg>` element; equal input gives equal bytes."""
    with _matplotlib({**_STYLE, "svg.hashsalt": salt}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width / 72, height / 72))
        axes = figure.subplots()
        draw(axes, narrow)
        _place(figure, axes, width, height, narrow=narrow)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    raw = sink.getvalue()
    body = raw[raw.index("<svg") : raw.rindex("</svg>")]
    body = re.sub(r"<style[^>]*>.*?</style>|<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = body[body.index(">") + 1 :]
    names = dict(zip(COLOUR.values(), COLOUR, strict=True))
    body = _PLACEHOLDER.sub(lambda m: f"{m[1]}: var(--{names[m[2]]})", body)
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    body = re.sub(r' id="(?![mp][0-9a-f]{6,})[^"]*"', "", re.sub(r"\s*\n\s*", " ", body))
    head = f'viewBox="0 0 {width} {height}" style="max-width: {width}px" aria-hidden="true" focusable="false"'
    return f"<svg {head}>{body}</svg>"


def _place(figure: Any, axes: Any, width: int, height: int, *, narrow: bool) -> None:
    """Room for the labels by their number of characters: measuring them would double the time of a drawing."""
    longest = max((len(t.get_text()) for t in axes.get_yticklabels()), default=0)
    left = max(36, 8 + 6.6 * longest) + (22 if axes.get_ylabel() else 0)
    bottom = 22 + (18 if axes.get_xlabel() else 0)
    right = 12 if narrow else 16
    figure.subplots_adjust(left=left / width, right=1 - right / width, top=1 - 8 / height, bottom=bottom / height)


@contextmanager
def _matplotlib(style: Any) -> Iterator[None]:
    """Matplotlib with our style only, whatever the machine's settings are."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that only the browser's font has
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        yield


__all__: Sequence[str] = ("Chart", "can_draw", "curves", "forest", "histogram", "similarity", "small_histogram")
