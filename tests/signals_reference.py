"""The columns of `signals` in plain Python, from their definitions: slow, and written apart from the kernels."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from winnow.pipeline.measure import signals_kernels_unicode as uni

STOP = {"the", "be", "to", "of", "and", "that", "have", "with"}
_COMMON = "the of and to a in is that it for was on as with be by this are or not"
COMMON = set(_COMMON.split())
_SHORT = "mr. mrs. ms. dr. prof. st. jr. sr. vs. etc. e.g. i.e. cf. fig. no. inc. ltd. co. u.s. al."
ABBREVIATIONS = set(_SHORT.split())
TERMINALS = {chr(point) for point in uni.code_points(uni.TERMINALS)}
SYMBOLS = {chr(point) for point in uni.code_points(uni.SYMBOLS)} | TERMINALS
PHRASES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATIONS = re.compile(r"(?:\[[0-9]*\]|\[edit\]|\[citation needed\])+$")
CLOSERS = "\"')]}”’»"


def fold(text: str) -> str:
    """ASCII letters in lower case, all else as it is."""
    return re.sub("[A-Z]+", lambda found: found[0].lower(), text)


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def later_copies(pieces: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    copies = chars = 0
    for piece in pieces:
        if piece in seen:
            copies, chars = copies + 1, chars + len(piece)
        seen.add(piece)
    return copies, chars


def all_copies(pieces: list[str]) -> tuple[float, float]:
    counts = Counter(pieces)
    repeated = [piece for piece in pieces if counts[piece] > 1]
    return ratio(len(repeated), len(pieces)), ratio(sum(map(len, repeated)), sum(map(len, pieces)))


def closes_sentence(word: str) -> bool:
    word = word.rstrip(CLOSERS)
    if not word or not (word[-1] in TERMINALS or word[-1] == "…"):
        return False
    if word[-1] != ".":
        return True
    return not re.fullmatch(r"[A-Za-z]\.", word) and fold(word) not in ABBREVIATIONS


def sentences(line: str) -> int:
    words = line.split()
    if not words:
        return 0
    return 1 + sum(closes_sentence(word) and not after[0].islower() for word, after in itertools.pairwise(words))


def grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]


def top_datatrove(words: list[str], n: int, text: str) -> float:
    found = Counter(grams(words, n))
    if not found:
        return 0.0
    best, count = found.most_common(1)[0]
    return ratio(len(" ".join(best)) * count, len(text))


def duplicate_datatrove(words: list[str], n: int, text: str) -> float:
    seen: set[tuple[str, ...]] = set()
    at = chars = 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            chars, at = chars + sum(map(len, gram)), at + n
        else:
            seen.add(gram)
            at += 1
    return ratio(chars, len(text))


def top_dclm(words: list[str], n: int) -> float:
    found = Counter(grams(words, n))
    most = max(found.values(), default=1)
    if most == 1:
        return 0.0
    longest = max(sum(map(len, gram)) for gram, count in found.items() if count == most)
    return ratio(longest * most, sum(map(len, words)))


def duplicate_dclm(words: list[str], n: int) -> float:
    found = grams(words, n)
    counts = Counter(found)
    inside = {at + k for at, gram in enumerate(found) if counts[gram] > 1 for k in range(n)}
    return ratio(sum(len(words[at]) for at in inside), sum(map(len, words)))


def repetition(text: str) -> dict[str, float]:
    words = text.split()
    lines = re.split("\n+", text)
    paragraphs = re.split("\n{2,}", text.strip())
    copies, chars = later_copies(lines)
    line_share, line_chars = ratio(copies, len(lines)), ratio(chars, len(text))
    copies, chars = later_copies(paragraphs)
    paragraph_share, paragraph_chars = ratio(copies, len(paragraphs)), ratio(chars, len(text))
    top = {n: top_datatrove(words, n, text) for n in (2, 3, 4)}
    duplicate = {n: duplicate_datatrove(words, n, text) for n in range(5, 11)}
    return {
        "dup_line_share": line_share,
        "dup_line_char_share": line_chars,
        "dup_paragraph_share": paragraph_share,
        "dup_paragraph_char_share": paragraph_chars,
        **{f"top_{n}gram_char_share": value for n, value in top.items()},
        **{f"dup_{n}gram_char_share": value for n, value in duplicate.items()},
    }


def c4(text: str) -> dict[str, int | bool]:
    marked = javascript = policy = kept = kept_sentences = 0
    for line in (line.strip() for line in text.splitlines()):
        folded, bare = fold(line), CITATIONS.sub("", line)
        is_marked = bare.endswith((".", "?", "!", '"', "'")) and not bare.endswith("...")
        is_javascript, is_policy = "javascript" in folded, any(phrase in folded for phrase in PHRASES)
        marked, javascript, policy = marked + is_marked, javascript + is_javascript, policy + is_policy
        words = line.split()
        if is_marked and len(words) >= 3 and not is_javascript and not is_policy and max(map(len, words)) <= 1000:
            kept, kept_sentences = kept + 1, kept_sentences + sentences(line)
    return {
        "sentence_count": sum(map(sentences, text.splitlines())),
        "terminal_line_count": marked,
        "javascript_line_count": javascript,
        "policy_line_count": policy,
        "c4_line_count": kept,
        "c4_sentence_count": kept_sentences,
        "has_curly": "{" in text,
        "has_lorem_ipsum": "lorem ipsum" in fold(text),
    }


def signals(text: str) -> dict[str, float | int | bool]:
    """Every usual column of one document; `signals_more_reference` has the other dialects."""
    words, lines = text.split(), text.splitlines()
    plain = [word for word in words if any(char not in SYMBOLS for char in word)]
    filled = [line for line in text.split("\n") if line.strip()]
    lengths = sorted((len(line) for line in text.split("\n")), reverse=True)
    copies, copied_chars = later_copies(filled)
    num_ellipses = text.count("...") + text.count("…")
    common = [fold(word) for word in words if fold(word) in COMMON]
    return {
        "byte_count": len(text.encode()),
        "char_count": len(text),
        "word_count": len(words),
        "plain_word_count": len(plain),
        "longest_word": max(map(len, words), default=0),
        "stop_word_count": len(STOP & set(words)),
        "common_word_count": len(set(common)),
        "line_count": len(lines),
        "nonblank_line_count": len(filled),
        "third_longest_line": lengths[2] if len(lengths) > 2 else 0,
        "mean_word_length": ratio(sum(map(len, plain)), len(plain)),
        "hash_word_ratio": ratio(text.count("#"), len(words)),
        "ellipsis_word_ratio": ratio(num_ellipses, len(words)),
        "bullet_line_share": ratio(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_line_share": ratio(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "alpha_word_share": ratio(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_word_share": ratio(sum(word in STOP for word in words), len(words)),
        "common_word_share": ratio(len(common), len(words)),
        "unique_word_share": ratio(len(set(words)), len(words)),
        "unique_line_share": ratio(len(filled) - copies, len(filled)),
        "words_per_line": ratio(len(words), len(filled)),
        "digit_share": ratio(sum(map(str.isdecimal, text)), len(text)),
        "upper_share": ratio(sum(map(str.isupper, text)), len(text)),
        "whitespace_share": ratio(sum(map(str.isspace, text)), len(text)),
        "line_punct_ratio": ratio(sum(line[-1] in TERMINALS for line in filled), len(filled)),
        "short_line_ratio": ratio(sum(len(line) <= 30 for line in filled), len(filled)),
        "char_dup_ratio": ratio(copied_chars, len(text.replace("\n", ""))),
        "list_ratio": ratio(text.count("\n"), len(words)),
        **c4(text),
        **repetition(text),
    }
