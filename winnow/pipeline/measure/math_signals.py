r"""The `math_signals` operator: how much mathematics a page or a text holds.

Everything is counted by expressions that are linear in the text: words that stand in pages with formulas, commands of
LaTeX, formulas between delimiters, and words of mathematics. Nothing is decided here: a `filter` over the columns does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema

KEYWORDS = (  # OpenWebMath, table 8
    "MathJax", "mathjax", "<math", "math-container", "katex.min.css", "latex.php", "codecogs", "tex.cgi", 'class="tex"',
    "class='tex'",
)  # fmt: skip
COMMANDS = (  # that stand for mathematics: own, OpenWebMath's hundred most frequent are not published
    "frac", "dfrac", "tfrac", "sqrt", "sum", "prod", "int", "iint", "oint", "lim", "inf", "sup", "max", "min",
    "log", "ln", "exp", "sin", "cos", "tan", "det", "dim", "ker", "gcd", "deg", "arg", "alpha", "beta", "gamma",
    "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu", "xi", "pi", "rho",
    "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Sigma", "Phi",
    "Psi", "Omega", "infty", "partial", "nabla", "times", "cdot", "cdots", "ldots", "dots", "pm", "mp", "le",
    "ge", "leq", "geq", "neq", "ne", "equiv", "approx", "sim", "cong", "propto", "to", "rightarrow",
    "Rightarrow", "leftarrow", "mapsto", "iff", "in", "notin", "subset", "subseteq", "cup", "cap", "setminus",
    "emptyset", "forall", "exists", "mathbb", "mathcal", "mathbf", "mathrm", "mathfrak", "operatorname",
    "overline", "hat", "vec", "bar", "tilde", "left", "right", "binom", "displaystyle",
)  # fmt: skip
WORDS = (  # words of mathematics: own
    "theorem", "theorems", "lemma", "corollary", "proposition", "proof", "prove", "equation", "equations", "integral",
    "integrals", "derivative", "derivatives", "polynomial", "polynomials", "matrix", "matrices", "eigenvalue",
    "eigenvalues", "vector", "vectors", "scalar", "algebra", "algebraic", "geometry", "calculus", "trigonometry",
    "logarithm", "exponent", "coefficient", "coefficients", "quadratic", "cubic", "linear", "variable", "variables",
    "fraction", "fractions", "numerator", "denominator", "integer", "integers", "prime", "primes", "divisible",
    "probability", "variance", "hypotenuse", "triangle", "triangles", "radius", "perimeter", "convergence", "converges",
    "differentiable", "continuous", "bijection", "injective", "surjective", "subset", "subsets", "modulo", "factorial",
    "inequality", "asymptotic", "manifold", "topology", "isomorphism", "homomorphism",
)  # fmt: skip
ACCENTED = "üïöêäâîûôèéà"
_COMMAND = r"\\[a-zA-Z]+"
_WORD = rf"(?i)(?-u:\b)(?:{'|'.join(WORDS)})(?-u:\b)"  # edges of ASCII: those of Unicode cost forty times as much
_ENVIRONMENT = r"(?:equation|align|gather|multline|eqnarray)\*?\}"
_INNER = r"(?:array|[bpvVB]?matrix|cases|split|aligned|gathered)\}"  # what may begin within an equation
# Between dollars: nothing blank inside of either one, and no digit behind, so that prices are none (as Pandoc reads).
# Nothing opens twice, so that no byte is tried from more than one beginning.
_FORMULA = (
    r"\$\$[^$]+\$\$()|\$(?:[^\s$]|[^\s$][^$\n]*[^\s$\\])\$([^0-9$]|$)"
    r"|\\\((?:[^\\]|\\[^()])*\\\)|\\\[(?:[^\\]|\\[^\[\]])*\\\]"
    rf"|\\begin\{{{_ENVIRONMENT}(?:[^\\]|\\[^b]|\\b[^e]|\\be[^g]|\\begin\{{{_INNER})*?\\end\{{{_ENVIRONMENT}"
)


@dataclass(frozen=True, kw_only=True)
class MathSignals(Map):
    r"""How much mathematics a page or text holds: keywords of pages, LaTeX commands, formulas, words of mathematics.

    `math_keywords`: how many of ten words occur that stand in pages with formulas (`MathJax`, `<math`, `latex.php`);
    `latex_commands`: occurrences of commands such as `\frac`, `latex_distinct`: how many of them;
    `formulas`: what stands between `$`, `$$`, `\( \)`, `\[ \]` or in an environment of equations, `formula_share`: its
    share of the characters; `math_words`: occurrences of words such as "theorem" and "integral", in any case;
    `accented_share`: letters of `üïöêäâîûôèéà` / characters. A price is no formula: between dollars none begins or
    ends with a blank, or has a digit behind it. Null where the text is. Above an extractor it reads the page, below
    it the text.

    Raises: ConfigError for a column that is no text.
    Cost: linear in the text; no model.
    Source: Paster et al. 2023 (OpenWebMath), sections 3.3 and 3.7, table 8, filter_dataset.py; the commands, the words
        and what a formula is are own
    """

    name: ClassVar[str] = "math_signals"
    role: ClassVar[str] = "signal"
    of_pages: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("column",)

    column: str = "text"  # column that holds the page or text

    def needs(self) -> tuple[str, ...]:
        """The page or text."""
        return (self.column,)

    def data(self) -> Mapping[str, Any]:
        """What is looked for: others are other answers."""
        return {"keywords": KEYWORDS, "commands": COMMANDS, "words": WORDS, "accented": ACCENTED, "formula": _FORMULA}

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the column is no text."""
        kind = types.get(self.column)
        if kind is not None and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            what = f"column {self.column!r} is {kind}, and no text"
            raise ConfigError(what, where="column", hint="declare it as `string`")

    def outputs(self) -> Schema:
        """Counts and shares, null where the text is."""
        counts = ("math_keywords", "latex_commands", "latex_distinct", "formulas", "math_words")
        return {**dict.fromkeys(counts, pa.int32()), "formula_share": pa.float64(), "accented_share": pa.float64()}

    def open(self, ctx: Context) -> Columns:
        """Batch -> columns."""
        names = tuple(self.outputs())

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            return batch.select(pl.col(self.column).alias("text")).select(_measures()).select(names)

        return columns


def _measures() -> list[pl.Expr]:
    text = pl.col("text")
    commands = text.str.extract_all(_COMMAND)
    known = commands.list.eval(pl.element().filter(pl.element().is_in(["\\" + name for name in COMMANDS])))
    chars = text.str.len_chars()
    inside = chars - text.str.replace_all(_FORMULA, "${1}${2}").str.len_chars()
    accented = text.str.to_lowercase().str.count_matches(f"[{ACCENTED}]")
    there = [text.str.contains(word, literal=True).cast(pl.Int32) for word in KEYWORDS]
    return [
        pl.sum_horizontal(there, ignore_nulls=False).alias("math_keywords"),
        known.list.len().cast(pl.Int32).alias("latex_commands"),
        known.list.n_unique().cast(pl.Int32).alias("latex_distinct"),
        text.str.count_matches(_FORMULA).cast(pl.Int32).alias("formulas"),
        text.str.count_matches(_WORD).cast(pl.Int32).alias("math_words"),
        _share(inside, chars).alias("formula_share"),
        _share(accented, chars).alias("accented_share"),
    ]


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """0 of an empty text."""
    return pl.when(whole > 0).then(part.cast(pl.Float64) / whole).otherwise(part.cast(pl.Float64) * 0.0)
