"""Presets of whole pipelines: their columns are measured as they say, their limits are those of the original."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from winnow.core.operators import Context
from winnow.pipeline.filter.filter import Filter, load_preset, preset_dialect, preset_groups, preset_names
from winnow.pipeline.measure.signals import Signals

BESIDE = (
    "origin",
    "bad_words",
    "refinedweb_removed_share",
    "opt_out",
    "url",
    "text",
    "formulas",
    "accented_share",
    "pii_count",
    "num_persons",
    "licence_permissive",
)  # columns of other stages
GRAMS = [
    *((f"top_{n}gram_char_share", limit) for n, limit in ((2, 0.2), (3, 0.18), (4, 0.16))),
    *((f"dup_{n}gram_char_share", limit) for n, limit in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.1), strict=True)),
]  # fmt: skip
PIECES = [
    ("dup_line_share", 0.3),
    ("dup_paragraph_share", 0.3),
    ("dup_line_char_share", 0.2),
    ("dup_paragraph_char_share", 0.2),
]
# NeMo Curator's config/text/heuristic_filter_english_pipeline.yaml, in its order: column -> least, most
NEMO: list[tuple[str, float | None, float | None]] = [
    ("nemo_non_alphanumeric_share", None, 0.25), ("nemo_symbol_word_share", None, 0.1), ("digit_share", None, 0.15),
    ("nemo_url_share", None, 0.2), ("nemo_whitespace_share", None, 0.25), ("nemo_bracket_share", None, 0.1),
    ("nemo_boilerplate_share", None, 0.4), *((name, None, most) for name, most in PIECES),
    ("word_count", 50, 100_000), ("nemo_unmarked_line_share", None, 0.85), ("alpha_word_share", 0.8, None),
    ("stop_word_total", 2, None), ("mean_raw_word_length", 3, 10), ("longest_word", None, 1000),
    ("nemo_ellipsis_line_share", None, 0.3), *((name, None, most) for name, most in GRAMS),
    ("nemo_bullet_line_share", None, 0.9),
]  # fmt: skip
# mlfoundations/dclm baselines_configs/dclm_baseline_refinedweb.yaml, from page_length_filter to word_removal_ratio_filter
DCLM: list[tuple[str, float | None, float | None]] = [
    ("dclm_word_count", 50, 100_000), ("mean_raw_word_length", 3, 10), ("dclm_symbol_ratio", None, 0.1),
    ("dclm_bullet_line_share", None, 0.9), ("dclm_ellipsis_line_share", None, 0.3), ("alpha_word_share", 0.8, None),
    ("dclm_stop_word_total", 2, None), *((name, None, most) for name, most in [*PIECES, *GRAMS]),
    ("refinedweb_removed_share", None, 0.05),
]  # fmt: skip


@pytest.mark.parametrize("name", preset_names())
def test_signals_measures_what_a_preset_reads_in_the_dialect_and_groups_that_it_says(name):
    if name.startswith("url_"):
        return
    dialect = preset_dialect(name) or "datatrove"
    measured = Signals(dialect=dialect, groups=preset_groups(name)).outputs()
    others = {c for c in Filter(preset=name).needs() if c not in measured and not c.startswith(("most_", "least_"))}
    assert others <= set(BESIDE)


def verdicts(preset: str, rows: pl.DataFrame) -> pl.DataFrame:
    return Filter(preset=preset).open(Context(seed=0, work=Path()))(rows)


@pytest.mark.parametrize(("preset", "limits"), [("nemo_en", NEMO), ("dclm_baseline", DCLM)])
def test_each_clause_keeps_its_limit_and_refuses_what_is_past_it(preset, limits):
    """The clauses stand in the order of the original; each column is put on its limits and past them, all others inside."""
    inside = {name: (least if least is not None else most) for name, least, most in limits}
    assert list(load_preset(preset)) == [
        c.removeprefix("pass_") for c in verdicts(preset, pl.DataFrame([inside])).columns[1:]
    ]
    assert len(load_preset(preset)) == len(limits)
    for at, (name, least, most) in enumerate(limits):
        for limit, sign in ((least, -1), (most, 1)):
            if limit is None:
                continue
            past = limit + sign * (1 if isinstance(limit, int) and limit > 20 else 1e-6)
            out = verdicts(preset, pl.DataFrame([inside | {name: value} for value in (limit, past)], strict=False))
            assert out["kept"].to_list() == [True, False], name
            assert [c for c in out.columns[1:] if not out[c][1]] == [out.columns[1 + at]]


CODE = {"max_line_length": 1000, "mean_line_length": 100.0, "alphanumeric_share": 0.25, "has_xml_start": False,
        "html_visible_share": 0.0, "html_visible_chars": 0, "char_count": 9, "origin": "a.py"}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({}, None),
        ({"max_line_length": 1001}, "max_line"),
        ({"mean_line_length": 100.1}, "mean_line"),
        ({"alphanumeric_share": 0.24}, "alphanumeric"),
        ({"has_xml_start": True}, "no_xml"),
        ({"origin": "a.html"}, "html"),
        ({"origin": "x/a.xhtml", "html_visible_share": 0.2, "html_visible_chars": 99}, "html"),
        ({"origin": "a.htm#0", "html_visible_share": 0.19, "html_visible_chars": 500}, "html"),
        ({"origin": "a.html", "html_visible_share": 0.2, "html_visible_chars": 100}, None),
        ({"origin": "a.html.py"}, None),
        ({"origin": "a.json", "char_count": 49}, "data_size"),
        ({"origin": "a.yml", "char_count": 5001}, "data_size"),
        ({"origin": "a.yaml", "char_count": 5000}, None),
        ({"origin": "stack.jsonl#12"}, None),
    ],
)
def test_starcoder_judges_kinds_of_files_by_their_names(changed, refused):
    out = verdicts("starcoder", pl.DataFrame([CODE | changed]))
    found = [c.removeprefix("pass_starcoder_") for c in out.columns[1:] if not out[c][0]]
    assert found == ([refused] if refused else [])
    assert out["kept"][0] == (refused is None)


RPV2 = {"rpv2_word_count": 10_000, "rpv2_mean_word_length": 10.0, "rpv2_symbol_ratio": 0.1, "bullet_line_share": 0.9,
        "top_2gram_char_share": 0.2, "rpv2_sentence_count": 5, "rpv2_lorem_ipsum_share": 0.0, "rpv2_curly_share": 0.0}  # fmt: skip
PAST = {"rpv2_word_count": 10_001, "rpv2_mean_word_length": 2.9, "rpv2_symbol_ratio": 0.11, "bullet_line_share": 0.91,
        "top_2gram_char_share": 0.21, "rpv2_sentence_count": 4, "rpv2_lorem_ipsum_share": 0.01, "rpv2_curly_share": 0.01}  # fmt: skip
MADLAD = {
    "madlad_sentence_count": 5,
    "has_lorem_ipsum": False,
    "policy_line_count": 0,
    "madlad_questionable_share": 0.2,
}
PAST_MADLAD = {
    "madlad_sentence_count": 4,
    "has_lorem_ipsum": True,
    "policy_line_count": 1,
    "madlad_questionable_share": 0.21,
}


@pytest.mark.parametrize(("preset", "inside", "past"), [("redpajama_v2", RPV2, PAST), ("madlad", MADLAD, PAST_MADLAD)])
def test_every_limit_is_kept_and_what_is_past_it_refused_by_one_clause(preset, inside, past):
    out = verdicts(preset, pl.DataFrame([inside, *({**inside, name: past[name]} for name in past)]))
    assert out["kept"].to_list() == [True, *[False] * len(past)]
    refused = [[c for c in out.columns[1:] if not out[c][row]] for row in range(1, out.height)]
    assert refused == [[c] for c in out.columns[1:]]
