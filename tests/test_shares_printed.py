"""Shares are never rounded to all or nothing, wherever they are printed; chances never to 0.000."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import winnow
from winnow.core.terminal import percent
from winnow.dags.looking.report.page import chance
from winnow.trainers.compare.verdict_text import p_text

PACKAGE = Path(winnow.__file__).parent
ROUNDED = re.compile(r":[<>^ +]?\d*,?\.\d+%|format\(\s*100|:\.\{\w+\}%")
P_VALUES = re.compile(r"\{[^{}]*\bp(?:_\w+)?[\"'\]]*:[^{}]*\.\df\}")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0%"), (1, "100.0%"), (0.5, "50.0%"), (0.9999, ">99.9%"), (0.99949, "99.9%"), (1e-9, "<0.1%"), (0.0005, "0.1%"),
     (1.5, "150.0%"), (-0.25, "-25.0%")],
)  # fmt: skip
def test_a_share_is_all_or_nothing_only_where_it_is(share, text):
    assert percent(share) == text


def test_digits_are_as_asked():
    assert (percent(0.999, 0), percent(0.9999, 2), percent(0.99999, 2), percent(0.004, 0)) == (
        ">99%",
        "99.99%",
        ">99.99%",
        "<1%",
    )


@given(share=st.floats(0, 1), digits=st.integers(0, 3))
def test_no_share_between_is_rounded_to_an_end(share, digits):
    text = percent(share, digits)
    assert (text == f"{1:.{digits}%}") == (share == 1)
    assert (text == f"{0:.{digits}%}") == (share == 0)


def _lines():
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2")]):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            yield f"{path.relative_to(PACKAGE)}:{number}", line


def test_shares_are_printed_by_one_function():
    found = [where for where, line in _lines() if ROUNDED.search(line) and "--part" not in line]
    assert [w for w in found if not w.startswith("core/terminal.py")] == []
    assert found  # the function's own lines, so that the pattern is known to match


def test_chances_are_printed_by_functions_that_never_say_0():
    assert (p_text(1e-9), p_text(0.012), chance(1e-9), chance(0.012)) == ("<.001", "0.012", "<0.001", "0.012")
    found = [where for where, line in _lines() if P_VALUES.search(line)]
    known = ("trainers/compare/verdict_text.py", "dags/looking/report/page.py")  # `p_text`, and `chance` of the report
    assert [w for w in found if not w.startswith(known)] == []
    assert P_VALUES.search("f\"p {row['p']:.3f}\"")
