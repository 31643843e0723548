"""The columns of `signals`' groups, and its dialects, in plain Python from their definitions: written apart from the
kernels, with `regex` and `str` methods where the kernels have tables."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections import Counter
from statistics import median

from signals_reference import STOP, grams, later_copies, ratio

from winnow.pipeline.measure import signals_kernels_breaks as br
from winnow.pipeline.measure import signals_kernels_unicode as uni
from winnow.pipeline.measure.signals_kernels_texts import CURSED_SUBSTRINGS

ASCII_MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
NEMO_BULLETS = tuple("•‣⁃⁌⁍∙○●◘◦⦾⦿")
NEMO_ELLIPSES = ("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")
POLICIES = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "privacy overview", "use of cookies", "use cookies",
    "privacy & cookies policy", "privacy and cookies policy", "changing your cookie settings, you agree to this use",
    "necessary cookies are absolutely essential for the website", "any cookies that may not be particularly necessary",
)  # fmt: skip
URL = re.compile(r"https?://(?:[a-zA-Z0-9$\-_@.&+/:=?#~!*(),]|%[0-9a-fA-F]{2})+")
COMMENT = re.compile(r"(?:^|(?<=\n))(?:(?!\n)\s)*(/\*[\s\S]*?(?:\*/|\Z)|<!--[\s\S]*?(?:-->|\Z)|(?:[#%;]|//|--)[^\n]*)")


def alnum(char: str) -> bool:
    return bool(br.breaks()[ord(char)] & br.ALNUM)


def word_break(char: str) -> int:
    return int(br.breaks()[ord(char)] & br.CLASS)


def attached(char: str) -> bool:
    return word_break(char) in (br.EXTEND, br.FORMAT, br.ZWJ)


def unicode_pieces(run: str) -> list[str]:
    """UAX #29, rule by rule, over a run without white space."""
    core = [k for k, char in enumerate(run) if not attached(char) or k == 0]
    kinds = [word_break(run[k]) if not attached(run[k]) else br.OTHER for k in core]
    at = lambda k: kinds[k] if 0 <= k < len(kinds) else br.OTHER  # noqa: E731
    letters, word = (br.LETTER, br.HEBREW), (br.LETTER, br.HEBREW, br.NUMERIC)
    middle, mid_number = (br.MID_LETTER, br.MID_NUM_LET, br.SINGLE_QUOTE), (br.MID_NUM, br.MID_NUM_LET, br.SINGLE_QUOTE)
    cuts, flags = [0], 0
    for k in range(1, len(core)):
        two, last, here, beyond = at(k - 2), at(k - 1), at(k), at(k + 1)
        flags = flags + 1 if last == br.REGIONAL else 0
        joins = (
            (run[core[k] - 1] == "\u200d" and bool(br.breaks()[ord(run[core[k]])] & br.PICTURE))
            or (last in word and here in word)
            or (last in letters and here in middle and beyond in letters)
            or (two in letters and last in middle and here in letters)
            or (last == br.HEBREW and here == br.SINGLE_QUOTE)
            or (last == br.HEBREW and here == br.DOUBLE_QUOTE and beyond == br.HEBREW)
            or (two == br.HEBREW and last == br.DOUBLE_QUOTE and here == br.HEBREW)
            or (two == br.NUMERIC and last in mid_number and here == br.NUMERIC)
            or (last == br.NUMERIC and here in mid_number and beyond == br.NUMERIC)
            or (last == here == br.KATAKANA)
            or (last in (*word, br.KATAKANA, br.EXTEND_NUM_LET) and here == br.EXTEND_NUM_LET)
            or (last == br.EXTEND_NUM_LET and here in (*word, br.KATAKANA))
            or (last == here == br.REGIONAL and flags % 2 == 1)
        )
        if not joins:
            cuts.append(core[k])
    return [run[start:stop] for start, stop in zip(cuts, [*cuts[1:], len(run)], strict=True)] if run else []


def unicode_words(text: str) -> list[str]:
    return [piece for run in text.split() for piece in unicode_pieces(run)]


def dclm_words(text: str) -> list[str]:
    return [piece for piece in unicode_words(text) if alnum(piece[0])]


def top_first(words: list[str], n: int) -> tuple[tuple[str, ...], int]:
    return Counter(grams(words, n)).most_common(1)[0]


def dolma(text: str) -> dict[str, float]:
    words, lines = text.split(), text.split("\n") if text else []
    chars, counts = sum(map(len, words)), Counter(lines)
    found = {
        "dup_line_share": ratio(sum(count for count in counts.values() if count > 1), len(lines)),
        "dup_line_char_share": ratio(sum(len(line) * count for line, count in counts.items() if count > 1), chars),
        "dup_paragraph_share": 0.0,
        "dup_paragraph_char_share": 0.0,
    }
    for n in range(2, 11):
        value = 0.0
        all_grams = Counter(grams(words, n))
        if n < 5 and all_grams:
            best, count = all_grams.most_common(1)[0]
            value = ratio(len("".join(best)) * count, chars)
        elif all_grams:
            sizes = {gram: len("".join(gram)) * count for gram, count in all_grams.items()}
            value = ratio(sum(sizes[gram] for gram in sizes if all_grams[gram] > 1), sum(sizes.values()))
        found[f"{'top' if n < 5 else 'dup'}_{n}gram_char_share"] = value
    return found


def nemo_duplicates(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    chars = 0
    for at, gram in enumerate(grams(words, n)):
        if gram in seen:
            fresh = [k for k in range(at, at + n) if k not in covered]
            chars += sum(len(words[k]) for k in fresh) + min(len(fresh), n - 1)
            covered.update(fresh)
        seen.add(gram)
    return chars


def nemo(text: str) -> dict[str, float]:
    words = text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    paragraphs = text.split("\n\n")
    line_copies, line_chars = later_copies(lines)
    copies, chars = later_copies(paragraphs)
    found = {
        "dup_line_share": ratio(line_copies, len(lines)),
        "dup_line_char_share": ratio(line_chars, len("".join(lines))),
        "dup_paragraph_share": ratio(copies, len(paragraphs)),
        "dup_paragraph_char_share": ratio(chars, len("".join(paragraphs))),
    }
    for n in range(2, 11):
        name = f"{'top' if n < 5 else 'dup'}_{n}gram_char_share"
        if len(words) < n:
            found[name] = 1.0 if text else 0.0
        elif n < 5:
            joined = " ".join(top_first(words, n)[0])
            found[name] = ratio(text.count(joined) * len(joined), len(text))
        else:
            found[name] = ratio(nemo_duplicates(words, n), len(text))
    return found


def is_nemo_symbol(word: str) -> bool:
    return word in NEMO_ELLIPSES or len(re.findall("#+", word)) / len(word) > 0.5


def lowered(text: str) -> str:
    """Lower case character by character, and only of capitals that Unicode 14.0 knows."""
    small = [char.lower() if uni.flags()[ord(char)] & uni.UPPER else char for char in text]
    return "".join(new if len(new) == 1 else old for old, new in zip(text, small, strict=True))


def of_nemo(text: str) -> dict[str, float]:
    words, n = text.split(), len(text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    fold = re.sub("[A-Z]+", lambda found: found[0].lower(), text)
    paragraphs = [ratio(any(phrase in part for phrase in POLICIES), 1) for part in fold.split("\n\n")]
    return {
        "nemo_non_alphanumeric_share": ratio(n - len(re.findall("[a-zA-Z0-9\n?!,.]", text)), n),
        "nemo_whitespace_share": ratio(sum(char in "\t\n\r\b " for char in text), n),
        "nemo_bracket_share": ratio(sum(char in "{}⟨⟩[]()" for char in text), n),
        "nemo_url_share": ratio(sum(map(len, URL.findall(text))), n),
        "nemo_symbol_word_share": ratio(sum(map(is_nemo_symbol, words)), len(words)),
        "nemo_boilerplate_share": 1.0 if "lorem ipsum" in fold else ratio(sum(paragraphs), len(paragraphs)),
        "nemo_bullet_line_share": ratio(sum(line.startswith(NEMO_BULLETS) for line in lines), len(lines)),
        "nemo_unmarked_line_share": ratio(sum(not line.endswith((*".?!\"'",)) for line in lines), len(lines)),
        "nemo_ellipsis_line_share": ratio(
            sum(re.sub("[A-Z]+", lambda m: m[0].lower(), line).endswith(NEMO_ELLIPSES) for line in lines), len(lines)
        ),
    }


def of_dclm(text: str) -> dict[str, float]:
    words = text.split()
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return {
        "dclm_word_count": len(dclm_words(text)),
        "dclm_stop_word_total": sum(word.lower() in STOP for word in words),
        "dclm_symbol_ratio": ratio(sum(text.count(mark) for mark in ("#", "...", ". . .", "…")), len(words)),
        "dclm_bullet_line_share": ratio(sum(line.startswith(("●", "•", "*", "-")) for line in lines), len(lines)),
        "dclm_ellipsis_line_share": ratio(sum(line.endswith(("...", ". . .", "…")) for line in lines), len(lines)),
    }


def of_dolma(text: str) -> dict[str, float]:
    words, lines = text.split(), text.split("\n") if text else []
    return {
        "dolma_median_word_length": float(median(map(len, words))) if words else 0.0,
        "dolma_symbol_word_share": ratio(sum("#" in word or "…" in word for word in words), len(words)),
        "dolma_bullet_line_share": ratio(sum(line.startswith(("*", "-")) for line in lines), len(lines)),
        "dolma_ellipsis_line_share": ratio(sum(line.endswith("…") for line in lines), len(lines)),
    }


def of_code(text: str) -> dict[str, float]:
    comments = sum(len(found[1]) for found in COMMENT.finditer(text))
    visible = re.sub(
        r"<!--[\s\S]*?(?:-->|\Z)|<(script|style)[^>]*(?:>|\Z)[\s\S]*?(?:</\1[^>]*(?:>|\Z)|\Z)|<[a-zA-Z/!?][^>]*(?:>|\Z)",
        "", text, flags=re.IGNORECASE | re.ASCII,
    )  # fmt: skip
    return {
        "mean_line_length": ratio(len(text) - text.count("\n"), text.count("\n") + 1),
        "has_xml_start": "<?xml version=" in text[:100],
        "comment_share": ratio(comments, len(text)),
        "html_visible_share": ratio(len(visible), len(text)),
        "html_visible_chars": len(visible),
    }


def is_upper(word: str) -> bool:
    flags = [int(uni.flags()[ord(char)]) for char in word]
    return any(flag & uni.UPPER for flag in flags) and not any(flag & uni.LOWER for flag in flags)


def raw_words(text: str) -> list[str]:
    shaped = "".join(" " if c.isspace() else "w" if alnum(c) or c == "_" else "." for c in text)
    return [text[found.start() : found.end()] for found in re.finditer(r"w+|\.+", shaped)]


def of_rpv2(text: str) -> dict[str, float]:
    raw = raw_words(text)
    stripped = [lowered("".join(char for char in run if char not in ASCII_MARKS)) for run in text.split()]
    words = [word for word in stripped if word]
    chars = sum(len(unicodedata.normalize("NFD", char)) for word in words for char in word)
    lines = re.findall(r"[^\n]*\n|[^\n]+\Z", text)
    shares = [count / len(words) for count in Counter(words).values()]
    lorem = sum(pair == ("lorem", "ipsum") for pair in itertools.pairwise(words))
    stretches = re.split("[.!?]", text)
    symbols = text.count("#") + text.count("...") + text.count("…")
    return {
        "rpv2_curly_share": ratio(text.count("{") + text.count("}"), len(text)),
        "rpv2_symbol_ratio": ratio(symbols, len(raw)),
        "rpv2_ellipsis_line_share": ratio(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "rpv2_upper_word_share": ratio(sum(map(is_upper, raw)), len(raw)),
        "rpv2_no_alpha_word_share": ratio(sum(not re.search("[a-zA-Z]", word) for word in raw), len(raw)),
        "rpv2_sentence_count": sum(any(alnum(c) or c == "_" for c in part) for part in stretches),
        "rpv2_word_count": len(words),
        "rpv2_mean_word_length": ratio(chars, len(words)),
        "rpv2_unique_word_share": ratio(len(set(words)), len(words)),
        "rpv2_unigram_entropy": math.floor(-sum(share * math.log(share) for share in shares) * 1e8 + 0.5) / 1e8,
        "rpv2_lorem_ipsum_share": ratio(lorem, chars + max(len(words) - 1, 0)),
    }


def is_cursed(line: str) -> bool:
    line = line.rstrip()
    fixed = any(line.endswith(text[:-1]) if text.endswith("$") else text in line for text in CURSED_SUBSTRINGS)
    return fixed or re.search(r" \S( \S){7} \S", line) is not None


def of_madlad(text: str) -> dict[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    rows = []
    for line in lines:
        words, bare = line.split(), line.strip()
        capitals = sum(bool(uni.flags()[ord(word[0])] & uni.UPPER) for word in words)
        technical = len(re.findall(r"[0-9{}+/()>]", bare))
        row = (len(words) >= 12 and 2 * capitals > len(words), not 20 <= len(bare) <= 500, 5 * technical > len(bare))
        rows.append((*row, is_cursed(line)))
    names = ("list_case", "odd_length", "technical", "cursed")
    shares = {f"madlad_{name}_share": ratio(sum(row[k] for row in rows), len(rows)) for k, name in enumerate(names)}
    return (
        {"madlad_sentence_count": len(rows)}
        | shares
        | {"madlad_questionable_share": ratio(sum(map(any, rows)), len(rows))}
    )


def special(char: str) -> bool:
    return (not alnum(char) and not attached(char)) or char in "0123456789"


def of_juicer(text: str) -> dict[str, float]:
    words = []
    for run in text.split():
        kept = [k for k, char in enumerate(run) if not special(char)]
        if kept:
            words.append(lowered(run[kept[0] : kept[-1] + 1]))
    of_words = Counter(grams(words, 10)).values()
    of_chars = Counter(text[k : k + 10] for k in range(len(text) - 9)).values()
    most = sorted((count for count in of_chars if count > 1), reverse=True)[: math.isqrt(len(of_chars))]
    return {
        "special_char_share": ratio(sum(map(special, text)), len(text)),
        "word_10gram_repetition": ratio(sum(count for count in of_words if count > 1), sum(of_words)),
        "char_10gram_repetition": ratio(sum(most), sum(of_chars)),
    }


def shared(text: str) -> dict[str, float]:
    words = text.split()
    return {
        "stop_word_total": sum(word in STOP for word in words),
        "mean_raw_word_length": ratio(sum(map(len, words)), len(words)),
        "alphabetic_share": ratio(sum(bool(uni.flags()[ord(char)] & uni.ALPHA) for char in text), len(text)),
        "alphanumeric_share": ratio(sum(map(alnum, text)), len(text)),
        "max_line_length": max(map(len, text.split("\n"))),
    }


def groups(text: str) -> dict[str, float]:
    """Every column of every group."""
    found: dict[str, float] = {}
    for part in (shared, of_nemo, of_dclm, of_dolma, of_code, of_rpv2, of_madlad, of_juicer):
        found |= part(text)
    return found
