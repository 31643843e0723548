"""Tables by which pages are read: tags and what they do, words of class names, character references.

Names of tags travel as numbers: up to eight bytes, the first one highest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from html.entities import html5

import numpy as np
import numpy.typing as npt

BLOCK, VOID, RAW, CLOSES_P = 1, 2, 4, 8  # what a tag does: breaks text, has no end, holds no text that is shown

WATCHED = (  # tags of which a block knows how far above it they stand
    "nav", "aside", "footer", "header", "article", "main", "section", "figure", "figcaption", "form", "table", "ul",
    "ol", "li", "blockquote", "p", "h1", "h2", "h3", "h4", "td", "dl", "pre", "a", "button", "label", "div", "span",
)  # fmt: skip
_BLOCKS = (
    *(tag for tag in WATCHED if tag not in {"a", "button", "label", "span"}),
    "h5", "h6", "th", "tr", "tbody", "thead", "tfoot", "caption", "dt", "dd", "address", "hr", "body", "html", "head",
    "center", "fieldset", "legend", "details", "summary", "dialog", "hgroup", "menu", "optgroup", "title",
    "textarea", "select", "option", "iframe", "noscript", "script", "style", "template",
)  # fmt: skip
_VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
_RAW = ("script", "style", "template", "noscript", "textarea", "iframe", "select", "svg", "title", "object")
_INLINE = (
    "b",
    "i",
    "em",
    "strong",
    "font",
    "small",
    "big",
    "u",
    "s",
    "sup",
    "sub",
    "code",
    "cite",
    "q",
    "abbr",
    "time",
)
_KEEPS_P = ("p", "li", "td", "th", "tr", "tbody", "thead", "tfoot", "dt", "dd", "option", "optgroup", "script", "style",
            "template", "noscript", "iframe", "select", "textarea", "title", "body", "html", "head")  # fmt: skip
TAGS = ("", *dict.fromkeys((*WATCHED, *_BLOCKS, *_VOID, *_RAW, *_INLINE)))  # number 0: any other

WORDS: tuple[tuple[str, ...], ...] = (  # groups of words of class names; with spaces: whole words
    ("comment", "disqus"), ("nav",), ("menu",), ("foot",), ("header", "masthead"), ("sidebar", "side-bar", "aside"),
    ("related", "recirc"), ("recommend", "outbrain", "taboola"), ("share", "sharing"), ("social", "follow"),
    (" ad ", " ads ", "advert", "sponsor", "dfp", "adslot"), ("promo", "teaser"), ("article",), ("content",),
    ("body",), ("entry",), ("post",), ("story",), ("text",), ("caption",), ("image", "photo", "figure", "picture"),
    ("gallery", "slide", "carousel"), ("video", "player", "media"), ("byline",), ("author", "contributor"),
    ("date", "time", "publish"), (" tags ", " tag ", "taglist", "keyword"), ("categor",), ("breadcrumb", "crumb"),
    ("title", "headline"), ("summary", "intro", " lead ", "standfirst", "excerpt", "dek ", "abstract", "subtitle"),
    ("newsletter", "subscri", "signup", "sign-up", "optin"), ("cookie", "consent", "gdpr", "privacy"),
    ("popup", "modal", "overlay", "lightbox", "dialog"), ("hidden", "invisible", "sr-only", "hide", "screen-reader"),
    ("widget",), ("toolbar", "tool"), ("search",), ("meta", "info"), ("credit", "copyright", "legal", "disclaimer"),
    (" list", "list "), ("item",), ("more", "next", "prev", "pagination", "pager"), ("trending", "popular", "most"),
    (" live", "ticker", "breaking"), ("card",), ("section",), ("main",), ("wrap", "container"),
    ("paragraph", "copy", "prose"), ("quote", "pull"), (" bio", "profile", "about"), ("button", "btn", " cta "),
    ("twitter", "facebook", "instagram", "tweet"), ("embed", "inset", "interactive"),
    ("paywall", "premium", "login", "register", "account"), ("rating", "vote", "like", "review"), ("reply", "respond"),
    ("form", "input", "field"), ("banner", "alert", "notice", "notification"), ("articlebody",),
    ("column", "rail", " col"), ("answer", "question", "message"), ("code", "highlight", "syntax"),
)  # fmt: skip
assert len(WORDS) == 64


def code_of(name: str) -> int:
    """Up to eight bytes of a tag's name as one number."""
    return int.from_bytes(name.encode()[:8], "big")


LOWER, UPPER, DIGIT, COMMA, END, OTHER, INSIDE, LEAD, SPACE = range(9)  # classes of bytes of text
_GOLDEN = 0x9E3779B97F4A7C15
_PRIME = 0x100000001B3
_MASK = (1 << 64) - 1


def slot_of(key: int, bits: int) -> int:
    """The place where looking for a key begins."""
    return ((key * _GOLDEN) & _MASK) >> (64 - bits)


def _hashed(name: str) -> int:
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * _PRIME) & _MASK
    return value or 1


def _placed(keys: Sequence[int], bits: int) -> list[int]:
    taken: dict[int, int] = {}
    for number, key in enumerate(keys):
        at = slot_of(key, bits)
        while at in taken:
            at = (at + 1) % (1 << bits)
        taken[at] = number
    places = {number: at for at, number in taken.items()}
    return [places[number] for number in range(len(keys))]


def _letters() -> npt.NDArray[np.uint8]:
    letter = np.zeros(256, np.uint8)
    for byte in range(256):
        low = chr(byte).lower() if byte < 128 else " "
        letter[byte] = ord(low) - 96 if "a" <= low <= "z" else 27 if low.isdigit() else 0
    return letter


def _automaton() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint64]]:
    """Aho and Corasick's automaton over all words, with every step filled in."""
    letter, states, out = _letters(), [dict[int, int]()], [0]
    for group, words in enumerate(WORDS):
        for word in words:
            state = 0
            for byte in word.encode():
                if letter[byte] not in states[state]:
                    states[state][int(letter[byte])] = len(states)
                    states.append({})
                    out.append(0)
                state = states[state][int(letter[byte])]
            out[state] |= 1 << group
    step = np.zeros((len(states), 28), np.int16)
    behind, queue = [0] * len(states), deque([0])
    while queue:
        state = queue.popleft()
        out[state] |= out[behind[state]]
        for symbol in range(28):
            target = states[state].get(symbol)
            fallback = int(step[behind[state], symbol]) if state else 0
            if target is None:
                step[state, symbol] = fallback
            else:
                step[state, symbol], behind[target] = target, fallback
                queue.append(target)
    return step, np.array(out, dtype=np.uint64)


def _entities() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    names = sorted({name.rstrip(";") for name in html5})
    texts = [(html5.get(name + ";") or html5[name]).encode() for name in names]
    keys, text, size = np.zeros(8192, np.uint64), np.zeros((8192, 8), np.uint8), np.zeros(8192, np.uint8)
    for at, name, value in zip(_placed([_hashed(name) for name in names], 13), names, texts, strict=True):
        keys[at], size[at] = _hashed(name), len(value)
        text[at, : len(value)] = np.frombuffer(value, np.uint8)
    return keys, text, size


def _kinds() -> npt.NDArray[np.uint8]:
    kind = np.full(256, OTHER, np.uint8)
    kind[ord("a") : ord("z") + 1], kind[ord("A") : ord("Z") + 1], kind[ord("0") : ord("9") + 1] = LOWER, UPPER, DIGIT
    kind[[ord(c) for c in ",;:"]], kind[[ord(c) for c in ".!?"]], kind[[9, 10, 13, 32]] = COMMA, END, SPACE
    kind[0x80:0xC0], kind[0xC0:] = INSIDE, LEAD
    return kind


def _tag_tables() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    codes, numbers = np.zeros(1024, np.uint64), np.zeros(1024, np.int16)
    places = _placed([code_of(tag) for tag in TAGS[1:]], 10)
    for number, at in enumerate(places, start=1):
        codes[at], numbers[at] = code_of(TAGS[number]), number
    does = np.zeros(len(TAGS), np.uint8)
    for number, tag in enumerate(TAGS):
        does[number] = (
            BLOCK * (tag in _BLOCKS) | VOID * (tag in _VOID) | RAW * (tag in _RAW)
            | CLOSES_P * (tag in _BLOCKS and tag not in _KEEPS_P)
        )  # fmt: skip
    return codes, numbers, does


CODES, NUMBERS, DOES = _tag_tables()  # [1024] open addressing: code of a tag (0: free), its place in TAGS; [tags]
NAME_OF = np.array([code_of(tag) for tag in TAGS], np.uint64)
LETTER = _letters()  # [256] class of a byte in names of classes: 0 separator, 1..26 letters, 27 digits
STEP, FOUND = _automaton()  # [states, 28] over names of classes; [states] groups of WORDS that end there
ENTITY, ENTITY_TEXT, ENTITY_SIZE = _entities()  # [8192] open addressing: hash of a reference's name, UTF-8, bytes
KIND = _kinds()  # [256] class of a byte of text
