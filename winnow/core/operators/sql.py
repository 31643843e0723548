"""SQL over columns for `filter` clauses and `where:`: Polars' dialect, narrowed to what one row can answer.

A rule must give a row the same verdict whatever its neighbours, the batch, the day and the machine are. Three
checks make that so, each an allow-list: function names and keywords by token, node kinds in the expression
Polars makes of the text, and equality between the column names both of them see. `stage.column` is one name.

The dialect, pinned by tests: comparisons with null are null (`IS NULL`, `COALESCE` and `<=>` are not); AND
and OR have three values; `/` is true division (by a constant: times its reciprocal, so a last place may
differ); `//` and `%` cut toward zero and give null for a zero divisor; numbers with a point are f64 (Polars
alone would read decimals and keep six places); what is no number (0 / 0, the root of -1, infinity less infinity)
is null, and infinities are above and below every number; `''` is a quote inside a text and a backslash is a
backslash; names keep their case, and `"..."` quotes them.
"""

from __future__ import annotations

import functools
import io
import json
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import polars as pl

from winnow.core.errors import ConfigError, did_you_mean

TokenKind = Literal["name", "function", "keyword", "type", "text", "number", "other"]

_FUNCTIONS = (
    "abs ceil ceiling floor round sign sqrt mod div greatest least coalesce ifnull nullif if cast "
    "try_cast length char_length character_length octet_length bit_length lower upper initcap starts_with "
    "ends_with strpos left right substr substring replace reverse ltrim rtrim concat concat_ws "
    "regexp_like date_part array_contains array_length bit_and bit_or bit_xor bit_not bit_count"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
_KEYWORDS = (
    "and or not xor is null true false in between like ilike rlike regexp case when then else end as "
    "distinct from escape"
)
KEYWORDS = frozenset(_KEYWORDS.split())
REFUSED = {
    "over": "a window looks at other rows",
    "partition": "a window looks at other rows",
    "select": "a subquery looks at other rows",
    "exists": "a subquery looks at other rows",
    "order": "an order looks at other rows",
    "random": "a verdict must not change between runs; use the `random` selector",
    "rand": "a verdict must not change between runs; use the `random` selector",
    "now": "a verdict must not depend on the day it is made",
    "current_date": "a verdict must not depend on the day it is made",
    "current_time": "a verdict must not depend on the day it is made",
    "current_timestamp": "a verdict must not depend on the day it is made",
    "localtime": "a verdict must not depend on the day it is made",
    "localtimestamp": "a verdict must not depend on the day it is made",
}
_NODES = frozenset({"BinaryExpr", "Function", "Ternary", "Column", "Literal", "Cast"})
_KEYS = {"BinaryExpr": ("left", "right"), "Ternary": ("predicate", "truthy", "falsy"), "Cast": ("expr",)}
_TRUTH_NAMES = "Eq EqValidity NotEq NotEqValidity Lt LtEq Gt GtEq And Or Xor LogicalAnd LogicalOr"
_TRUTHS = frozenset(_TRUTH_NAMES.split())  # operations whose answer is a truth (or bits)
_PASSED_ON = ("Ternary", "Coalesce")  # whose answer is one of what goes in
_NO_NUMBERS = frozenset({"Boolean", "StringExpr"})  # kinds of functions that answer no number

_PATTERN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>--|/\*|\#)
      | (?P<text>'(?:[^']|'')*')
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<word>(?:"(?:[^"]|"")*"|[^\W\d]\w*)(?:\.(?:"(?:[^"]|"")*"|[^\W\d]\w*))*)
      | (?P<other>::|<=>|<>|!=|==|<=|>=|\|\||//|!~~\*|!~\*|!~~|!~|~~\*|~\*|~~|[-+*/%<>=(),\[\]&|^~!])
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of SQL: what it is, its text as written and, for names, the column it names."""

    kind: TokenKind
    text: str
    name: str = ""


def expression(sql: str, *, where: str = "") -> pl.Expr:
    """The expression `sql` stands for, per row over columns that bear the names as written.

    Raises: ConfigError if it does not parse, if anything in it needs more than its row, or if it names no
    column.
    """
    tokens = [token for token in _tokens(sql, where) if token.text.strip()]
    for token in tokens:
        _check_token(token, where)
    for one, two, three in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if one.kind == "function" and two.text + three.text == "()":
            raise ConfigError(f"{one.text!r} of nothing in {sql!r}", where=where, hint="name what it is of")
    try:
        expr = pl.sql_expr(_plain_sql(sql, where))
        tree = json.loads(expr.meta.serialize(format="json"))
        seen = set(expr.meta.root_names())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError) as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise ConfigError(f"cannot read {sql!r}: {reason}", where=where, hint="it must be a SQL expression") from error
    _check_tree(tree, sql, where)
    names = {token.name for token in tokens if token.kind == "name"}
    if names != seen:
        odd = sorted(names ^ seen)
        raise ConfigError(
            f"{odd} cannot stand in {sql!r}", where=where, hint='write columns as name, stage.name or "name"'
        )
    if not names:
        raise ConfigError(f"{sql!r} names no column", where=where, hint="name the column whose value decides")
    guarded = _guarded(tree, sql, where)
    return expr if guarded == tree else _expr_of(guarded)


def casts(sql: str) -> bool:
    """Whether a rule makes values of another type of values, which may fail for some of them."""
    return any(token.text.lower() in ("cast", "::") for token in _tokens(sql, ""))


def column_names(sql: str, *, where: str = "") -> list[str]:
    """Names of the columns in `sql`, in order of first appearance; `stage.column` is one name.

    Raises: ConfigError on characters that are no SQL. What the expression means is not checked here.
    """
    return list(dict.fromkeys(token.name for token in _tokens(sql, where) if token.kind == "name"))


def rename_columns(sql: str, mapping: Mapping[str, str]) -> str:
    """`sql` with each column that `mapping` knows under its new name (quoted); all else as it was written."""
    return "".join(
        quoted(mapping[token.name]) if token.kind == "name" and token.name in mapping else token.text
        for token in _tokens(sql, "")
    )


def conjuncts(sql: str) -> list[str]:
    """The conditions of which `sql` says that all must hold; itself alone where it says anything else."""
    tokens = [token for token in _tokens(sql, "") if token.text.strip()]
    while tokens and tokens[0].text == "(" and _closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    pieces: list[list[Token]] = [[]]
    depth, between = 0, 0
    for token in tokens:
        word = token.text.lower() if token.kind == "keyword" else token.text
        depth += (word in ("(", "[", "case")) - (word in (")", "]", "end"))
        if word in ("or", "xor") and not depth:
            return [sql]
        between += word == "between" and not depth
        if word == "and" and not depth and not between:
            pieces.append([])
            continue
        between -= word == "and" and not depth
        pieces[-1].append(token)
    texts = [" ".join(token.text for token in piece) for piece in pieces]
    return texts if len(texts) < 2 else [one for text in texts for one in conjuncts(text)]


def _closing(tokens: list[Token], at: int) -> int:
    """Where the bracket that opens at `at` closes; -1 where it does not."""
    depth = 0
    for i in range(at, len(tokens)):
        depth += (tokens[i].text == "(") - (tokens[i].text == ")")
        if not depth:
            return i
    return -1


def order_terms(sql: str, *, where: str = "") -> list[tuple[str, bool]]:
    """(expression, whether descending) of every term of an ORDER BY list: `score desc, length(text)`.

    Raises: ConfigError for an empty term, and for what `expression` refuses.
    """
    tokens = [token for token in _tokens(sql, where) if token.text.strip()]
    terms: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        word = token.text.lower()
        depth += (word in ("(", "[", "case")) - (word in (")", "]", "end"))
        if word == "," and not depth:
            terms.append([])
        else:
            terms[-1].append(token)
    out = []
    for term in terms:
        last = term[-1].text.lower() if len(term) > 1 else ""
        descending, told = last == "desc", last in ("asc", "desc")
        text = " ".join(token.text for token in (term[:-1] if told else term))
        if not text:
            raise ConfigError(f"an empty term in {sql!r}", where=where, hint="for example `score desc, text_bytes`")
        expression(text, where=where)
        out.append((text, descending))
    return out


def numbers(sql: str, *, where: str = "") -> list[str]:
    """Numbers in `sql` as they are written, in order, without their signs."""
    return [token.text for token in _tokens(sql, where) if token.kind == "number"]


def replace_number(sql: str, at: int, text: str) -> str:
    """`sql` with its number `at` (counted like `numbers`) written as `text`; all else as it was."""
    pieces, seen = [], 0
    for token in _tokens(sql, ""):
        here = token.kind == "number" and seen == at
        pieces.append((f"({text})" if text.startswith("-") else text) if here else token.text)
        seen += token.kind == "number"
    return "".join(pieces)


def quoted(name: str) -> str:
    """`name` as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def _tokens(sql: str, where: str) -> Iterator[Token]:
    """All tokens of `sql`; their texts joined give `sql` again."""
    at, after_type_mark, before = 0, False, ""
    while at < len(sql):
        found = _PATTERN.match(sql, at)
        kind = found.lastgroup if found else None
        if found is None or kind == "comment":
            hint = "comments belong into the YAML file" if found else "texts stand in '...', names in \"...\""
            hint += "; a quote within a text is doubled: 'O''Neil'" if sql[at] == "'" else ""
            raise ConfigError(f"{sql[at : at + 12]!r} cannot stand in {sql!r}", where=where, hint=hint)
        at = found.end()
        text = found[0]
        if kind == "space":
            yield Token("other", text)
            continue
        yield (_word(text, sql[at:], before, after_type_mark) if kind == "word" else Token(_other_kind(kind), text))
        after_type_mark, before = text == "::" or (text.lower() == "as"), text.lower()


def _other_kind(kind: str | None) -> TokenKind:
    return "text" if kind == "text" else "number" if kind == "number" else "other"


def _word(text: str, rest: str, before: str, after_type_mark: bool) -> Token:
    """A word in its place: a type after AS or ::, a keyword, a function before a parenthesis, else a name."""
    lowered = text.lower()
    if after_type_mark:
        return Token("type", text)
    if lowered in KEYWORDS:
        return Token("keyword", text)
    if rest.lstrip().startswith("("):
        return Token("function", text)
    parts = re.findall(r'"(?:[^"]|"")*"|[^.]+', text)
    name = ".".join(part[1:-1].replace('""', '"') if part[0] == '"' else part for part in parts)
    return Token("name", text, name)


def _plain_sql(sql: str, where: str) -> str:
    """`sql` with names quoted whole and numbers with a point as f64, ready for Polars."""
    pieces = []
    for token in _tokens(sql, where):
        is_decimal = token.kind == "number" and "." in token.text and "e" not in token.text.lower()
        pieces.append(quoted(token.name) if token.kind == "name" else token.text + "e0" * is_decimal)
    return "".join(pieces)


def _check_token(token: Token, where: str) -> None:
    if token.kind == "number" and token.text.isdigit() and int(token.text) > 2**63:
        hint = f"write it with a point: {token.text}.0"  # Polars makes decimals of them, which products overflow
        raise ConfigError(f"{token.text} is larger than 64 bits hold", where=where, hint=hint)
    lowered = token.text.lower()
    if token.kind in ("name", "function") and lowered in REFUSED:
        raise ConfigError(f"{token.text!r} cannot stand in a rule", where=where, hint=REFUSED[lowered])
    if token.kind == "function" and lowered not in FUNCTIONS:
        hint = f"rules may use functions of one row only; {did_you_mean(lowered, FUNCTIONS)}"
        raise ConfigError(f"{token.text!r} is not a function that a rule may use", where=where, hint=hint)


def _check_tree(node: Any, sql: str, where: str) -> None:
    """Refuse every expression node that is not known to look at one row alone."""
    if not isinstance(node, dict) or len(node) != 1 or not _NODES.issuperset(node):
        kind = next(iter(node)) if isinstance(node, dict) and node else str(node)
        what = "gives a name with AS" if kind == "Alias" else f"needs more than its row ({kind})"
        raise ConfigError(f"{sql!r} {what}", where=where, hint="a rule is one true-or-false expression over its row")
    ((kind, body),) = node.items()
    for child in _children(kind, body):
        _check_tree(child, sql, where)


def _children(kind: str, body: Any) -> list[Any]:
    return list(body["input"]) if kind == "Function" else [body[key] for key in _KEYS.get(kind, ())]


def _expr_of(node: Any) -> pl.Expr:
    """The expression of a tree, to the last bit of its numbers.

    Polars reads a long number in JSON to within a last place, and a threshold must not move: numbers travel as marks
    that are exact, and their bits are put in their places afterwards.
    """
    numbers: list[float] = []
    marked = pl.Expr.deserialize(io.StringIO(json.dumps(_marked(node, numbers))), format="json")
    raw = marked.meta.serialize(format="binary")
    for place, value in enumerate(numbers):
        mark = struct.pack(">d", _mark(place))
        assert raw.count(mark) == 1, "a number of a rule is not where it was"
        raw = raw.replace(mark, struct.pack(">d", value))
    return pl.Expr.deserialize(io.BytesIO(raw), format="binary")


def _marked(node: Any, numbers: list[float]) -> Any:
    """The tree with a mark for each number with a point, which is appended to `numbers`."""
    if isinstance(node, dict):
        return {key: _marked(value, numbers) for key, value in node.items()}
    if isinstance(node, list):
        return [_marked(value, numbers) for value in node]
    if not isinstance(node, float):
        return node
    numbers.append(node)
    return _mark(len(numbers) - 1)


def _mark(place: int) -> float:
    return 7.0e14 + place + 0.625  # at most 2^50: sixteen digits that every reader gets right


def _guarded(node: Any, sql: str, where: str) -> Any:
    """The node with null for NaN where an operation can make one; what names no column is worked out at once."""
    ((kind, body),) = node.items()
    if kind in ("Column", "Literal"):
        return node
    if not _names_column(node):
        _check_constant(node, sql, where)
        return node
    inner = [_guarded(child, sql, where) for child in _children(kind, body)]
    body = {**body, **({"input": inner} if kind == "Function" else dict(zip(_KEYS[kind], inner, strict=True)))}
    if not _can_make_nan(kind, body):
        return {kind: body}
    return {"AnonymousFunction": {**_guard(), "input": [{kind: body}]}}


def _can_make_nan(kind: str, body: Any) -> bool:
    """False where the answer is a truth or a text, or one of what goes in."""
    if kind == "BinaryExpr":
        return body["op"] not in _TRUTHS
    if kind == "Cast":
        return "Float" in str(body["dtype"])
    function = body["function"] if kind == "Function" else "Ternary"
    return function not in _PASSED_ON and not (isinstance(function, dict) and _NO_NUMBERS & set(function))


def _names_column(node: Any) -> bool:
    ((kind, body),) = node.items()
    return kind == "Column" or any(_names_column(child) for child in _children(kind, body))


def _check_constant(node: Any, sql: str, where: str) -> None:
    value = pl.select(_expr_of(node)).to_series()
    if value.dtype.is_float() and value.is_nan().any():
        raise ConfigError(f"a part of {sql!r} is no number", where=where, hint="write NULL, or the number meant")


@functools.cache
def _guard() -> dict[str, Any]:
    """The body of a Polars node that gives null for NaN; its input stands for what is guarded."""
    guarded = pl.col("x").map_batches(_null_for_nan, return_dtype=pl.self_dtype(), is_elementwise=True)
    body: dict[str, Any] = json.loads(guarded.meta.serialize(format="json"))["AnonymousFunction"]
    return body


def _null_for_nan(values: pl.Series) -> pl.Series:
    return values.fill_nan(None) if values.dtype.is_float() else values
