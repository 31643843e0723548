"""Columns that `signals` counts for other projects' filters, by group, each with its one definition."""

from __future__ import annotations

import pyarrow as pa

_COUNT, _SHARE, _FACT = pa.int32(), pa.float64(), pa.bool_()

# A "run" is what stands between white space; a "line" what stands between line feeds and has a word in it.
_SHARED: dict[str, pa.DataType] = {
    "stop_word_total": _COUNT,  # runs that are one of Gopher's eight as written, every copy (Dolma; NeMo stops at two)
    "mean_raw_word_length": _SHARE,  # characters per run, symbols too (DCLM, NeMo)
    "alphabetic_share": _SHARE,  # characters that are letters (`str.isalpha`) / characters
    "alphanumeric_share": _SHARE,  # letters and numbers (`str.isalnum`) / characters
    "max_line_length": _COUNT,  # characters of the longest piece between line feeds
}

_NEMO: dict[str, pa.DataType] = {
    "nemo_non_alphanumeric_share": _SHARE,  # characters that are none of A-Z a-z 0-9 ? ! , . and line feed
    "nemo_whitespace_share": _SHARE,  # tab, line feed, carriage return, backspace, blank / characters
    "nemo_bracket_share": _SHARE,  # { } ⟨ ⟩ [ ] ( ) / characters
    "nemo_url_share": _SHARE,  # characters of http:// and https:// addresses / characters
    "nemo_symbol_word_share": _SHARE,  # runs that are an ellipsis or have a run of # in every second character
    "nemo_boilerplate_share": _SHARE,  # pieces between two line feeds with a policy phrase; 1 with "lorem ipsum"
    "nemo_bullet_line_share": _SHARE,  # lines that start with one of twelve bullets (neither - nor *)
    "nemo_unmarked_line_share": _SHARE,  # lines that end with none of . ? ! " '
    "nemo_ellipsis_line_share": _SHARE,  # lines that end with an ellipsis, one in brackets, -» or "read more"
}

_DCLM: dict[str, pa.DataType] = {
    "dclm_word_count": _COUNT,  # words by Unicode's rules (UAX #29) that start with a letter or number
    "dclm_stop_word_total": _COUNT,  # runs that are one of Gopher's eight in any case, every copy
    "dclm_symbol_ratio": _SHARE,  # "#", "...", ". . ." and "…" together / runs
    "dclm_bullet_line_share": _SHARE,  # lines that start with ● • * or -
    "dclm_ellipsis_line_share": _SHARE,  # lines that end with "...", ". . ." or "…"
}

_DOLMA: dict[str, pa.DataType] = {
    "dolma_median_word_length": _SHARE,  # median characters of a run
    "dolma_symbol_word_share": _SHARE,  # runs that hold # or …
    "dolma_bullet_line_share": _SHARE,  # pieces between line feeds, empty ones too, whose first character is * or -
    "dolma_ellipsis_line_share": _SHARE,  # of the same pieces: those whose last character is …
}

_CODE: dict[str, pa.DataType] = {
    "mean_line_length": _SHARE,  # characters per piece between line feeds
    "has_xml_start": _FACT,  # "<?xml version=" within the first hundred characters
    "comment_share": _SHARE,  # characters of comments that begin a line: # % ; // -- /* <!-- / characters
    "html_visible_share": _SHARE,  # characters outside of tags, comments, scripts and styles / characters
    "html_visible_chars": _COUNT,
}

_RPV2: dict[str, pa.DataType] = {
    "rpv2_curly_share": _SHARE,  # { and } / characters
    "rpv2_symbol_ratio": _SHARE,  # "#", "..." and "…" / raw words (word characters, or a run of other marks)
    "rpv2_ellipsis_line_share": _SHARE,  # lines that end with "..." or "…" / lines, empty ones too
    "rpv2_upper_word_share": _SHARE,  # raw words with capitals and no small letter
    "rpv2_no_alpha_word_share": _SHARE,  # raw words without A-Z a-z
    "rpv2_sentence_count": _COUNT,  # stretches with a word character between . ! ?
    "rpv2_word_count": _COUNT,  # runs with anything left without ASCII punctuation ("normalised words")
    "rpv2_mean_word_length": _SHARE,  # characters of normalised words, decomposed (NFD), per word
    "rpv2_unique_word_share": _SHARE,  # distinct normalised words, in lower case
    "rpv2_unigram_entropy": _SHARE,  # of normalised words, in nats, to eight decimals
    "rpv2_lorem_ipsum_share": _SHARE,  # "lorem ipsum" in normalised text, per character
}

_MADLAD: dict[str, pa.DataType] = {
    "madlad_sentence_count": _COUNT,  # lines stand for sentences
    "madlad_list_case_share": _SHARE,  # sentences of 12 or more runs, over half of them with a capital first
    "madlad_odd_length_share": _SHARE,  # sentences of under 20 or over 500 characters
    "madlad_technical_share": _SHARE,  # sentences with over 20 % of 0-9 { } + / ( ) >
    "madlad_cursed_share": _SHARE,  # sentences with one of 30 substrings, or nine letters spelled out
    "madlad_questionable_share": _SHARE,  # sentences with any of the four (the fifth rule is language identification)
}

_DATA_JUICER: dict[str, pa.DataType] = {
    "special_char_share": _SHARE,  # digits, white space, punctuation, pictures / characters
    "word_10gram_repetition": _SHARE,  # 10-grams of words (stripped of special characters, lower case) with a copy
    "char_10gram_repetition": _SHARE,  # copies of the most frequent sqrt(distinct) repeated 10-grams of characters
}

_LINES = ("max_line_length", "alphabetic_share", "alphanumeric_share")


def _and(group: dict[str, pa.DataType], *shared: str) -> dict[str, pa.DataType]:
    return {name: _SHARED[name] for name in shared} | group


GROUPS: dict[str, dict[str, pa.DataType]] = {
    "nemo": _and(_NEMO, "stop_word_total", "mean_raw_word_length"),
    "dclm": _and(_DCLM, "mean_raw_word_length"),
    "dolma": _and(_DOLMA, "stop_word_total"),
    "code": _and(_CODE, *_LINES),
    "redpajama_v2": _RPV2,
    "madlad": _MADLAD,
    "data_juicer": _and(_DATA_JUICER, "alphanumeric_share", "max_line_length"),
}
