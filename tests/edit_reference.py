"""What editors should do, written again in plain Python: one document at a time, by regular expressions and splits."""

from __future__ import annotations

import re

from winnow.pipeline.edit.boilerplate_lines import listed_phrases
from winnow.pipeline.edit.citation_marks_kernels import WORDS

END_MARKS = (".", "?", "!", '"', "'")
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]")
COUNTER = re.compile(
    r"\W*[0-9][0-9,.]*(?:k|m|b)?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes"
    r"|downloads|views|followers)\W*", re.IGNORECASE,
)  # fmt: skip


def c4(
    text: str, *, end_marks: bool = True, min_words: int = 3, longest_word: int = 1000, javascript: bool = True,
    policy: bool = True, citations: bool = True,
) -> tuple[str, dict[str, int]]:  # fmt: skip
    """(the text that stays, how often each rule spoke)."""
    kept, told = (
        [],
        dict.fromkeys(["kept", "long", "end", "short", "script", "policy", "citations", "lorem", "curly"], 0),
    )
    for raw in text.splitlines():
        line = raw.strip()
        if longest_word and any(len(word) > longest_word for word in line.split()):
            told["long"] += 1
            continue
        if citations:
            told["citations"] += len(CITATION.findall(line))
            line = CITATION.sub("", line)
        low = line.lower()
        if end_marks and (not line.endswith(END_MARKS) or line.endswith("...")):
            told["end"] += 1
        elif len(line.split()) < min_words:
            told["short"] += 1
        else:
            told["lorem"] += "lorem ipsum" in low
            if javascript and "javascript" in low:
                told["script"] += 1
                continue
            told["curly"] += "{" in line
            if policy and any(phrase in low for phrase in POLICY):
                told["policy"] += 1
                continue
            told["kept"] += 1
            kept.append(line)
    return "\n".join(kept).strip(), told


def refinedweb(text: str) -> tuple[str, float]:
    """(the text that stays, share of its words that went)."""
    words = gone = 0
    kept = []
    for raw in text.split("\n"):
        line, number = raw.strip(), len(raw.split())
        words += number
        if line and (
            sum(c.isupper() for c in line) > 0.5 * len(line) or all(c.isdecimal() for c in line)
            or COUNTER.fullmatch(line) or number < 2
        ):  # fmt: skip
            gone += number
            continue
        cut, lost = _cut(line) if line and number <= 10 else (None, 0)
        gone += lost
        if cut == "" and line:
            continue
        kept.append(raw if cut is None else raw[: raw.index(line)] + cut + raw[raw.index(line) + len(line) :])
    return "\n".join(kept), gone / max(words, 1)


def _cut(line: str) -> tuple[str | None, int]:
    """(the line without its phrase, words of the phrase); None where it has none."""
    low = line.lower()
    if low.startswith("sign-in"):
        return line[7:].lstrip(), 1
    if low.endswith("read more..."):
        return line[:-12].rstrip(), 2
    at = low.find("items in cart")
    if at >= 0:
        before, after = line[:at], line[at + 13 :]
        return (before + after.lstrip() if not before else before.rstrip() if not after else before + after), 3
    return None, 0


# Addresses, marks of references and furniture: one line after another.
URL = re.compile(
    r"(?<![0-9A-Za-z_\u0080-\u07ff])(?:https?://|ftp://|www\.)(?=[0-9A-Za-z_\[]|[^\x00-\x7f])"
    r"[^\x00-\x20\x7f\"<>`{}|\\^\u00a0\u0085\u00ab\u00bb\u0800-\U0010ffff]*", re.IGNORECASE,
)  # fmt: skip


def url_spans(line: str) -> list[tuple[int, int]]:
    """Addresses of a line, by a regular expression and a look at their ends."""
    out = []
    for found in URL.finditer(line):
        head = re.match(r"(?i)https?://|ftp://|www\.", found[0])
        said = found[0]
        while len(said) > head.end():
            if said[-1] == ")" and said.count(")") <= said.count("("):
                break
            if said[-1] not in ".,;:!?']*_)":
                break
            said = said[:-1]
        out.append((found.start(), found.start() + len(said)))
    return out


def without_lines(text: str) -> str:
    """The text without lines that hold addresses and marks alone."""
    out = ""
    lines = text.split("\n")
    kept = True
    for at, line in enumerate(lines):
        spans = url_spans(line)
        rest = "".join(c for n, c in enumerate(line) if not any(a <= n < b for a, b in spans))
        says = any(c.isalnum() for c in rest)
        drop = bool(spans) and not says
        if drop and at == len(lines) - 1 and kept:
            out = out.removesuffix("\n")
        if not drop:
            out += line + ("\n" if at < len(lines) - 1 else "")
        kept = not drop
    return out


MARK = re.compile(
    r"\[(?:\]|(?:(?:notes?|nb|ref|n|a) (?=\d)|[na](?=\d))?\d{1,4}(?:(?:[,;-] {0,4}|[\u2013\u2014] {0,2})\d{1,4})*\]"
    rf"|(?:{'|'.join(map(re.escape, WORDS))})\])", re.IGNORECASE,
)  # fmt: skip


def without_marks(text: str) -> str:
    """The text without the marks that a regular expression finds, and a blank of each."""
    lines = []
    for line in text.split("\n"):
        gone: set[int] = set()
        for found in MARK.finditer(line):
            start, stop = found.span()
            if len(found[0].encode()) > 40:
                continue
            gone |= set(range(start, stop))
            before = start > 0 and line[start - 1] in " \t" and start - 1 not in gone
            after = stop < len(line) and line[stop] in " \t"
            if before and (after or stop == len(line) or line[stop] in ".,;:!?)\r"):
                gone.add(start - 1)
            elif all(n in gone for n in range(start)) and after:
                gone.add(stop)
        lines.append("".join(c for at, c in enumerate(line) if at not in gone))
    return "\n".join(lines)


def without_furniture(text: str, longest: int, paragraphs: bool) -> tuple[str, int, int]:
    """(the text that is left, pieces that went, pieces), line by line."""
    known = [p.casefold() for phrases in listed_phrases().values() for p in phrases]
    lines = re.findall(r"[^\n]*\n|[^\n]+$", text)
    pieces: list[list[str]] = []
    head, open_ = "", False
    for line in lines:
        blank = all(ord(c) <= 0x20 for c in line)
        if blank and not pieces:
            head += line
        elif blank:
            pieces[-1].append(line)
            open_ = False
        elif paragraphs and open_:
            pieces[-1].append(line)
        else:
            pieces.append([line])
            open_ = True
    out, gone = head, 0
    for at, piece in enumerate(pieces):
        said = "".join(piece)
        read = said.rstrip("".join(map(chr, range(0x21)))) if not paragraphs else said
        full = [line for line in piece if not all(ord(c) <= 0x20 for c in line)]
        size = sum(len(line.removesuffix("\n")) for line in full)
        if size <= longest and any(p in read.casefold().replace("’", "'") for p in known):
            gone += 1
            if at == len(pieces) - 1:
                out = out.rstrip("".join(map(chr, range(0x21))))
        else:
            out += said
    return out, gone, len(pieces)
