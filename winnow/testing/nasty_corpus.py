"""A small corpus of everything that breaks text code, for contract checks."""

from __future__ import annotations

import hashlib

import polars as pl

_PROSE = (
    """The river froze early that year, and the mill stood still until March. Nobody in the valley minded:
there was flour enough, and the ice carried sledges faster than the road ever carried carts.""",
    """To measure a field, walk its edge with a chain and write down every turn. Add the triangles. If the
last corner does not meet the first, you have lost a link, and it is quicker to walk again than to guess.""",
    "Bread needs four things: flour, water, salt and time. The fourth is the one that people leave out.",
    "She kept the letters in a tin box. There were ninety of them, all dated, all unanswered.",
    "A clock that is wrong by the same amount every day is more useful than one that is right by chance.",
)

_CASES: dict[str, str | None] = {
    "null": None,
    "empty": "",
    "space": " ",
    "white space of many kinds": " \t\n\r\x0b\x0c\x1c\u0085\u00a0\u2003\u2028\u3000",
    "one letter": "a",
    "one newline": "\n",
    "only newlines": "\n\n\n\n",
    "windows line ends": "first line\r\nsecond line\r\n\r\nthird\rfourth\n",
    "NUL inside": "before\x00after \x00\x00 end",
    "NUL alone": "\x00",
    "control characters": "".join(map(chr, range(1, 32))) + "\x7f\u009f",
    "byte order mark": "\ufefftext after a mark",
    "edges of the surrogate range": "\ud7ff\ue000 \uffff\ufffe \ufffd\ufffd",
    "surrogates spelled out": "\\ud800 \\udfff &#xD800; \xed\xa0\x80",
    "last code point": "\U0010ffff\U0010ffff \U00010000",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u200f\u202babc\u202c "
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "emoji": "\u263a\u2764\ufe0f "
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd",
    "combining marks": "e\u0301 \u00e9 " + "z" + "\u0335\u0336\u0337\u0338" * 40,
    "Chinese": "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002\u6211\u4eec\u53bb\u516c\u56ed\u5427\uff01" * 3,
    "Thai": "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01" * 3,
    "letters that grow in lower case": "\u0130\u0130 \u00df\u1e9e \ufb03 \u03a3\u03c2",
    "numbers": "3.14159 -1e308 1,000,000 NaN inf 0x7f 00000 \u0663\u0664 \u00bd",
    "quotes and commas": 'a,"b ""c""",\'d\';\\n\\t\\"',
    "markup": "<html><body onload='x()'><p>Hello&nbsp;&lt;world&gt;</p><!-- " + "-" * 50 + " --></body>",
    "code": "def f(x):\n    if x > 0:\n\treturn {k: v for k, v in x.items()}  # {}\n    lorem = 1\n",
    "list": "\n".join(f"- item {i} ..." for i in range(30)),
    "punctuation only": "?!...,;:-_#+*~" * 5,
    "one long word": "abcdefghij" * 2_000,
    "a line of a megabyte": "word " * 209_716,
    "same line again and again": "buy now\n" * 300,
    "same text twice, first": _PROSE[0],
    "same text twice, second": _PROSE[0],
    "almost the same text": _PROSE[0] + " Amen.",
}


def nasty_corpus() -> pl.DataFrame:
    """About 40 rows: `case` says what is nasty; doc_id, text, text_hash, sizes and a `score` like a reader's.

    Null text has a hash of zeros and sizes of 0. `score` holds nulls, ties, zero and
    numbers below 0; `token_count` is never null.
    """
    cases = {**_CASES, **{f"prose {i}": text for i, text in enumerate(_PROSE)}}
    names, texts = list(cases), list(cases.values())
    sizes = [len((text or "").encode()) for text in texts]
    scores = [None if i % 11 == 5 else (i * 37 % 13 - 6) / 4 for i in range(len(texts))]
    return pl.DataFrame(
        {
            "doc_id": pl.Series([_hash(name) for name in names], dtype=pl.Binary),
            "case": pl.Series(names, dtype=pl.String),
            "text": pl.Series(texts, dtype=pl.String),
            "text_hash": pl.Series([_hash(t) if t is not None else bytes(16) for t in texts], dtype=pl.Binary),
            "text_bytes": pl.Series(sizes, dtype=pl.Int64),
            "token_count": pl.Series([-(-size // 4) for size in sizes], dtype=pl.Int64),
            "origin": pl.Series([f"nasty/{i:03d}.txt" for i in range(len(names))], dtype=pl.String),
            "score": pl.Series(scores, dtype=pl.Float64),
        }
    )


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
