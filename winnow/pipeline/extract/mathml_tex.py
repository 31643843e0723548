"""MathML to TeX: the annotation where one holds TeX, else a linear form made from the elements.

Elements are turned into TeX as they end, so that depth costs no recursion. What has no counterpart keeps its text.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Sequence

from winnow.pipeline.extract.page_tags import attributes, pieces, tags_of

LONGEST, DEEPEST = 100_000, 200  # characters and nested elements of one formula: what is beyond stays as it stands
_TEX_NOTE = re.compile(r"(?:application/|text/)?(?:x-)?(?:la)?tex", re.IGNORECASE)
_COMMENT = re.compile(r"(?<!\\)%")
_CDATA = re.compile(r"(?<!\\)%\s*+(?:<!\[CDATA\[|\]\]>)|<!\[CDATA\[|\]\]>")
_BRACES = re.compile(r"\\.|[{}]")
_COMMAND = re.compile(r"\\[A-Za-z]+$")
_WRAPPED = (("\\(", "\\)"), ("\\[", "\\]"), ("$$", "$$"), ("$", "$"))
_DISPLAY = "{\\displaystyle "

_SIGNS = (  # a sign, and the name of its command
    "α alpha β beta γ gamma δ delta ε varepsilon ϵ epsilon ζ zeta η eta θ theta ϑ vartheta ι iota κ kappa λ "
    "lambda μ mu ν nu ξ xi π pi ρ rho ϱ varrho σ sigma ς varsigma τ tau υ upsilon φ varphi ϕ phi χ chi ψ psi ω "
    "omega Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega ± pm ∓ mp × times "
    "÷ div ⋅ cdot · cdot ∗ ast ∘ circ ≤ le ≥ ge ≠ ne ≈ approx ≡ equiv ∼ sim ≃ simeq ≅ cong ∝ propto ≪ ll ≫ gg "
    "∈ in ∉ notin ∋ ni ⊂ subset ⊃ supset ⊆ subseteq ⊇ supseteq ∪ cup ∩ cap ∖ setminus ∅ emptyset ∀ forall ∃ "
    "exists ¬ neg ∧ land ∨ lor ⊕ oplus ⊗ otimes ⊥ perp ∥ parallel → to ← leftarrow ↔ leftrightarrow ⇒ "
    "Rightarrow ⇐ Leftarrow ⇔ Leftrightarrow ↦ mapsto ↑ uparrow ↓ downarrow ∞ infty ∂ partial ∇ nabla ∑ sum ∏ "
    "prod ∐ coprod ∫ int ∬ iint ∭ iiint ∮ oint ⋃ bigcup ⋂ bigcap ⨁ bigoplus ⋁ bigvee ⋀ bigwedge √ surd … dots "
    "⋯ cdots ⋮ vdots ⋱ ddots ℝ mathbb{R} ℕ mathbb{N} ℤ mathbb{Z} ℚ mathbb{Q} ℂ mathbb{C} ℓ ell ℏ hbar ℜ Re ℑ "
    "Im ℵ aleph ′ prime ⟨ langle ⟩ rangle ⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil ‖ | ∠ angle ⊢ vdash ⊨ models † "
    "dagger"
)
_WORDS = _SIGNS.split()
TEX = {sign: "\\" + name for sign, name in zip(_WORDS[::2], _WORDS[1::2], strict=True)}
TEX |= {
    "−": "-",
    "∣": "|",
    "{": "\\{",
    "}": "\\}",
    "%": "\\%",
    "#": "\\#",
    "&": "\\&",
    "$": "\\$",
    "_": "\\_",
    "″": "''",
}
TEX |= {"\\": "\\backslash", "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\xa0": " "}  # invisible operators
_FUNCTIONS = (
    "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "arcsin", "arccos", "arctan", "log", "ln",
    "lg", "exp", "lim", "limsup", "liminf", "max", "min", "sup", "inf", "det", "dim", "ker", "gcd", "deg", "arg", "hom",
    "Pr",
)  # fmt: skip
_ACCENTS = {"¯": "bar", "‾": "overline", "―": "overline", "_": "underline", "^": "hat", "ˆ": "hat", "~": "tilde",
            "˜": "tilde", "→": "vec", "⃗": "vec", "˙": "dot", "¨": "ddot", "ˇ": "check", "˘": "breve",
            "⏞": "overbrace", "⏟": "underbrace"}  # fmt: skip
_BIG = (  # what limits stand under and over
    "\\sum", "\\prod", "\\coprod", "\\bigcup", "\\bigcap", "\\bigoplus", "\\bigvee", "\\bigwedge", "\\int", "\\iint",
    "\\iiint", "\\oint", "\\lim", "\\limsup", "\\liminf", "\\max", "\\min", "\\sup", "\\inf", "\\det", "\\gcd", "\\Pr",
)  # fmt: skip
_FONTS = {"bold": "mathbf", "double-struck": "mathbb", "script": "mathcal", "fraktur": "mathfrak", "normal": "mathrm",
          "sans-serif": "mathsf", "monospace": "mathtt", "bold-italic": "boldsymbol"}  # fmt: skip
_LEAVES = ("mi", "mn", "mo", "mtext", "ms")
_SKIPPED = ("annotation", "annotation-xml")
Open = tuple[str, dict[str, str], list[str]]  # an open element: name, attributes, TeX of its children so far


def tex_of(markup: str, given: dict[str, str]) -> str:
    """TeX of what stands inside `<math ...>`, whose attributes are `given`; "" where it says nothing.

    An annotation in TeX, else `alttext`, else the linear form. Cost: one pass, and the depth for what is nested.
    """
    note = annotation(markup)
    if note:
        return note
    if given.get("alttext", "").strip():
        return folded(given["alttext"])
    return folded(_linear(markup)) if len(markup) <= LONGEST else ""


def annotation(markup: str) -> str:
    """The TeX of the first annotation that holds some; "" where none does."""
    tags = tags_of(markup, ("annotation",))
    for tag in tags:
        if tag.end >= 0 and _TEX_NOTE.fullmatch(attributes(tag.inside).get("encoding", "").strip()):
            return folded(html.unescape(markup[tag.stop : tags[tag.end].start]))
    return ""


def folded(tex: str) -> str:
    """TeX on one line, without delimiters around it, comments, `CDATA`, and the display style that wikis put first."""
    *lines, last_line = _CDATA.sub(" ", tex).split("\n")
    tex = " ".join(" ".join([*(_COMMENT.split(line, maxsplit=1)[0] for line in lines), last_line]).split())
    for first, last in _WRAPPED:
        if tex.startswith(first) and tex.endswith(last) and len(tex) > len(first) + len(last):
            inner = tex[len(first) : -len(last)]
            tex = tex if "$" in inner else inner.strip()
            break
    if tex.startswith(_DISPLAY) and _one_group(tex):
        tex = tex[len(_DISPLAY) : -1].strip()
    return tex


def _one_group(tex: str) -> bool:
    """Whether the brace that TeX begins with is closed by its last character."""
    depth = 0
    for brace in _BRACES.finditer(tex):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return brace.end() == len(tex)
    return False


def joined(parts: Sequence[str]) -> str:
    """Parts in a row; a space where a command's name would run into a letter."""
    out: list[str] = []
    for part in parts:
        if out and part[:1].isalpha() and _COMMAND.search(out[-1][-24:]):
            out.append(" ")
        if part:
            out.append(part)
    return "".join(out)


def _linear(markup: str) -> str:
    """TeX of elements as they end; "" of what nests too deeply."""
    stack: list[Open] = [("mrow", {}, [])]
    within: Counter[str] = Counter()  # open elements by name
    skipping = ""
    for text, tag in pieces(markup):
        if not skipping and stack[-1][0] in (*_LEAVES, "mrow") and text.strip():
            stack[-1][2].append(html.unescape(text).strip())
        if tag is None:
            continue
        name = tag.name.rpartition(":")[2]
        if skipping or name in _SKIPPED:
            closes, opens = tag.closing and name == skipping, not (skipping or tag.closing or tag.inside.endswith("/"))
            skipping = "" if closes else name if opens else skipping
        elif not tag.closing:
            stack.append((name, attributes(tag.inside), []))
            within[name] += 1
            if tag.inside.endswith("/"):
                _end(stack, within)
            if len(stack) > DEEPEST:
                return ""
        elif within[name]:
            while _end(stack, within) != name:
                pass
    while len(stack) > 1:
        _end(stack, within)
    return joined(stack[0][2])


def _end(stack: list[Open], within: Counter[str]) -> str:
    """End the innermost element; its name."""
    name, given, kids = stack.pop()
    within[name] -= 1
    stack[-1][2].append(_made(name, given, kids))
    return name


def _made(name: str, given: dict[str, str], kids: list[str]) -> str:
    """TeX of an element, of the TeX of its children."""
    if name in _LEAVES:
        return _leaf(name, given, " ".join(kids))
    if name in _MADE and len(kids) >= _MADE[name][0]:
        return _MADE[name][1](kids, given)
    return joined(kids)


def _leaf(name: str, given: dict[str, str], text: str) -> str:
    if name in ("mtext", "ms"):
        return f"\\text{{{_spelled(text)}}}" if text.strip() else " "
    font = _FONTS.get(given.get("mathvariant", ""), "")
    if name in ("mi", "mo") and text in _FUNCTIONS:
        return f"\\{text}"
    if name == "mi" and len(text) > 1 and text.isascii() and text.isalpha():
        return f"\\{font if font not in ('', 'mathrm') else 'operatorname'}{{{text}}}"
    said = _spelled(text)
    return f"\\{font}{{{said}}}" if font and name == "mi" and said.isalpha() else said


def _spelled(text: str) -> str:
    return joined([TEX.get(c, c) for c in text])


def _base(tex: str) -> str:
    return tex if len(tex) <= 1 or re.fullmatch(r"\\[A-Za-z]+(?:\{\w+\})?", tex) else f"{{{tex}}}"


def _script(kids: list[str], given: dict[str, str]) -> str:
    return f"{_base(kids[0])}^{{{kids[1]}}}"


def _under(kids: list[str], given: dict[str, str]) -> str:
    if kids[0] in _BIG:
        return f"{kids[0]}_{{{kids[1]}}}"
    accent = _ACCENTS.get(kids[1], "")
    return f"\\{accent}{{{kids[0]}}}" if accent.startswith("under") else f"\\underset{{{kids[1]}}}{{{kids[0]}}}"


def _over(kids: list[str], given: dict[str, str]) -> str:
    if kids[0] in _BIG:
        return f"{kids[0]}^{{{kids[1]}}}"
    accent = _ACCENTS.get(kids[1]) or next((name for sign, name in _ACCENTS.items() if TEX.get(sign) == kids[1]), "")
    return f"\\{accent}{{{kids[0]}}}" if accent else f"\\overset{{{kids[1]}}}{{{kids[0]}}}"


def _under_over(kids: list[str], given: dict[str, str]) -> str:
    if kids[0] in _BIG:
        return f"{kids[0]}_{{{kids[1]}}}^{{{kids[2]}}}"
    return f"\\overset{{{kids[2]}}}{{\\underset{{{kids[1]}}}{{{kids[0]}}}}}"


def _fenced(kids: list[str], given: dict[str, str]) -> str:
    marks = "".join(given.get("separators", ",").split()) or ""
    between = [marks[min(i, len(marks) - 1)] if marks else "" for i in range(len(kids) - 1)]
    inner = "".join(part + mark for part, mark in zip(kids, [*between, ""], strict=True))
    return f"{_spelled(given.get('open', '('))}{inner}{_spelled(given.get('close', ')'))}"


def _fraction(kids: list[str], given: dict[str, str]) -> str:
    if re.fullmatch(r"0(?:\.0*)?[a-z%]*", given.get("linethickness", "")):
        return f"{{{kids[0]} \\atop {kids[1]}}}"
    return f"\\frac{{{kids[0]}}}{{{kids[1]}}}"


def _rows(kids: list[str], given: dict[str, str]) -> str:
    return "\\begin{matrix}" + " \\\\ ".join(kids) + "\\end{matrix}"


_MADE: dict[str, tuple[int, Callable[[list[str], dict[str, str]], str]]] = {  # least number of children, and what
    "msup": (2, _script),
    "msub": (2, lambda kids, _: f"{_base(kids[0])}_{{{kids[1]}}}"),
    "msubsup": (3, lambda kids, _: f"{_base(kids[0])}_{{{kids[1]}}}^{{{kids[2]}}}"),
    "munder": (2, _under),
    "mover": (2, _over),
    "munderover": (3, _under_over),
    "mfrac": (2, _fraction),
    "msqrt": (0, lambda kids, _: f"\\sqrt{{{joined(kids)}}}"),
    "mroot": (2, lambda kids, _: f"\\sqrt[{kids[1]}]{{{kids[0]}}}"),
    "mfenced": (0, _fenced),
    "mtr": (0, lambda kids, _: " & ".join(kids)),
    "mtable": (0, _rows),
    "mphantom": (0, lambda kids, _: f"\\phantom{{{joined(kids)}}}"),
    "mspace": (0, lambda kids, _: " "),
    "semantics": (1, lambda kids, _: kids[0]),
}
