"""The page: one HTML file without scripts, network or fonts of its own; every value is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from winnow.core.installing import install_extra
from winnow.core.terminal import duration, percent, tokens_text
from winnow.dags.looking.excerpts import visible
from winnow.dags.looking.report.charts import (
    Chart,
    along,
    can_draw,
    curves,
    forest,
    histogram,
    similarity,
    small_histogram,
)
from winnow.dags.looking.report.data import Report
from winnow.dags.looking.report.drawing import svg_of

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = ("page.html.j2", "effects.html.j2")
MOST_BOUNDS = 40  # small histograms of one row space


def render(report: Report) -> str:
    """The whole page, about 0.3 to 2 MB; words in place of charts without the `report` extra, and it says so."""
    environment = _environment()
    drawn = {
        "scores": [[(h, _drawn(histogram(h))) for h in s.scores] for s in report.spaces],
        "bounds": [[(h, _drawn(small_histogram(h))) for h in s.bounds[:MOST_BOUNDS]] for s in report.spaces],
        "similar": [[_drawn(similarity(d)) if _has_scores(d) else None for d in s.duplicates] for s in report.spaces],
        "curves": [_drawn(curves(e)) if e.curves else None for e in report.effects],
        "along": [[_drawn(along(a)) for a in e.beside.along] for e in report.effects],
        "dag": _safe(svg_of(report.dag)),
        "forests": [[_drawn(forest(t)) for t in e.targets] for e in report.effects],
    }
    css = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        report=report, drawn=drawn, css=_safe(css), no_charts=without_charts()
    )


def without_charts() -> str:
    """Why a page has no charts and what brings them; '' where it has."""
    return "" if can_draw() else f"no charts: Matplotlib is not installed ({install_extra('report')})"


def _has_scores(found: Any) -> bool:
    return found.jaccard is not None and bool(found.jaccard.any())


def _environment() -> Environment:
    import jinja2

    folder = resources.files(__package__)
    templates = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in TEMPLATES}
    made = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.DictLoader(templates),
        trim_blocks=True, lstrip_blocks=True, finalize=_finalise,
    )  # fmt: skip
    made.filters |= {"tokens": tokens_text}
    made.filters |= {"count": count, "share": share, "size": size, "span": duration, "signed": signed, "width": width,
                     "breakable": breakable, "coded": coded, "chance": chance}  # fmt: skip
    return made


def _finalise(value: Any) -> Any:
    """Plain text without control characters; marked-up text as it is."""
    return value if not isinstance(value, str) or hasattr(value, "__html__") else visible(value)


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 (our own CSS, and SVG whose texts are escaped)


def _drawn(chart: Chart) -> Mapping[str, Any]:
    return {"wide": _safe(chart.wide), "narrow": _safe(chart.narrow), "label": chart.label}


def breakable(name: str) -> Any:
    """The escaped text, which a narrow screen may break behind underscores rather than inside a word."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(visible(name)).split("_"))


def coded(sentence: str) -> Any:
    """The escaped text with what stands between backticks as code."""
    from markupsafe import Markup, escape

    pieces = [str(escape(piece)) for piece in visible(sentence).split("`")]
    if len(pieces) % 2 == 0:
        return Markup("`".join(pieces))  # noqa: S704 (every piece is escaped)
    marked = (f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces))
    return Markup("".join(marked))  # noqa: S704 (every piece is escaped)


def count(number: int | None) -> str:
    """'12,345'; a dash for None."""
    return "–" if number is None else f"{number:,}"


def share(part: float, whole: float = 1.0) -> str:
    """'85.3%' of a whole; never a round 0 or 100 for what is not."""
    return percent(part / whole) if whole else "–"


def width(part: float, whole: float) -> str:
    """A CSS width in percent; what is not zero can be seen."""
    return f"{max(100 * part / whole, 0.25 if part else 0):.2f}%" if whole else "0%"


def size(num_bytes: int | None) -> str:
    """'1.2 MB'."""
    if num_bytes is None:
        return "–"
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= limit:
            return f"{num_bytes / limit:.1f} {unit}"
    return f"{num_bytes} B"


def chance(p: float | None) -> str:
    """'0.012'; never a round 0, a dash for None."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def signed(value: float | None) -> str:
    """'+0.012'; a dash for None."""
    return "–" if value is None else f"{value:+.3f}"
