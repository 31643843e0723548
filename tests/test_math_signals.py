"""`math_signals`: what is counted in pages and texts, by hand; bounded time on texts that are made to cost."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.pipeline.measure.math_signals import ACCENTED, COMMANDS, KEYWORDS, WORDS, MathSignals


def counted(*texts: str | None) -> pl.DataFrame:
    operator = MathSignals()
    found = operator.open(Context(seed=0, work=Path()))(pl.DataFrame({"text": list(texts)}, schema={"text": pl.String}))
    assert (
        dict(zip(found.columns, found.to_arrow(compat_level=pl.CompatLevel.oldest()).schema.types, strict=True))
        == operator.outputs()
    )
    return found


@pytest.mark.parametrize(("text", "formulas"), [
    ("Costs $5 and $6, from $7 to $8.", 0), ("between $5-$10 each", 0), ("$x$", 1), ("$a$-$b$, $c$ or $d$.", 4),
    ("$ x $ is none", 0), ("$$ x\ny $$ is one", 1), ("$a\nb$ is none", 0), (r"\(x\) and \[ y \\[2pt] z \]", 2),
    (r"\( never closed", 0), (r"\begin{align*} a &= b \end{align*}", 1), (r"\begin{itemize} a \end{itemize}", 0),
    (r"\begin{equation}\begin{pmatrix}\beta\end{pmatrix}\epsilon\end{equation}", 1), (r"\begin{align} open", 0),
])  # fmt: skip
def test_what_a_formula_is(text, formulas):
    assert counted(text)["formulas"].to_list() == [formulas]


def test_commands_words_keywords_and_shares():
    found = counted(
        r"\frac{a}{b} + \frac\alpha\beta_1 \fracture \section", "Theorems, a THEOREM; theoremlike, pre-image", "", None,
        "<script src='/MathJax.js'></script><math>x</math>", "ab $x$ cd", "Été",
    )  # fmt: skip
    assert found["latex_commands"].to_list() == [4, 0, 0, None, 0, 0, 0]
    assert found["latex_distinct"].to_list() == [3, 0, 0, None, 0, 0, 0]
    assert found["math_words"].to_list() == [0, 2, 0, None, 0, 0, 0]
    assert found["math_keywords"].to_list() == [0, 0, 0, None, 2, 0, 0]
    assert found["formula_share"].to_list() == pytest.approx([0, 0, 0, None, 0, 3 / 9, 0])
    assert found["accented_share"].to_list() == pytest.approx([0, 0, 0, None, 0, 0, 2 / 3])


def test_every_entry_of_every_list_is_found():
    for name, texts in (("math_keywords", KEYWORDS), ("latex_commands", [f"\\{c} x" for c in COMMANDS]),
                        ("math_words", WORDS), ("accented_share", list(ACCENTED))):  # fmt: skip
        assert all(counted(*texts)[name] > 0), name


def test_texts_that_open_again_and_again_cost_no_more_than_their_length():
    def seconds(size: int) -> float:
        texts = [close + piece * size for close, piece in (("\\)", "\\(x"), ("\\]", "\\[ "), ("$", "$a "),
                                                           ("\\end{align}", "\\begin{align}"))]  # fmt: skip
        began = time.process_time()
        counted(*texts)
        return time.process_time() - began

    seconds(1000)
    assert seconds(160_000) < 5  # 5 MB; quadratic would be hours


def test_a_column_that_is_no_text_is_refused():
    with pytest.raises(ConfigError, match="no text"):
        MathSignals(column="n").check_types({"n": pa.int64()})
