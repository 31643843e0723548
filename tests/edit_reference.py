"""What editors should do, written again in plain Python: one document at a time, by regular expressions and splits."""

from __future__ import annotations

import re

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
