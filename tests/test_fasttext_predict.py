"""Our kernels over fastText's files give the library's answers, bit for bit, or the library gives them."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import ConfigError
from winnow.core.words import fasttext_predict as predict
from winnow.core.words.fasttext_file import UnreadableError, read_fasttext
from winnow.core.words.fasttext_predict import Kernels, Predictor, hard_lines, huffman, library_every, library_likeliest
from winnow.core.words.identity_texts import PIECES
from winnow.scorers.fasttext_fit import fit_model

WORDS = [
    "river",
    "größer",
    "漢字",
    "don't",
    "x",
    "naïve",
    "e\u0301",
    "😀",
    "the",
    "of",
    "1789",
    "__labe",
    "</s>x",
    "a.b",
]
KINDS: dict[str, dict[str, Any]] = {
    "softmax": {"loss": "softmax", "dim": 32, "wordNgrams": 2, "bucket": 500},
    "hs": {"loss": "hs", "dim": 16, "minn": 2, "maxn": 4, "bucket": 97},
    "ova": {"loss": "ova", "dim": 5, "wordNgrams": 3, "minn": 1, "maxn": 2, "bucket": 61},
    "ns": {"loss": "ns", "dim": 7, "wordNgrams": 1, "bucket": 0},
    "rare": {"loss": "softmax", "dim": 9, "minCount": 30, "minn": 3, "maxn": 3, "wordNgrams": 5, "bucket": 2000},
}


def taught(seed: int, labels: int) -> list[str]:
    draw = random.Random(seed)
    lines = []
    for number in range(200):
        words = [*draw.choices(WORDS[number % labels :], k=draw.randrange(1, 9)), *draw.choices("abcdefg", k=2)]
        more = "__label__even " if number % 2 == 0 else ""
        lines.append(f"__label__{number % labels} {more}{' '.join(words)}")
    return lines


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for number, (kind, how) in enumerate(KINDS.items()):
        made[kind] = folder / f"{kind}.bin"
        fit_model(taught(number, 5), {"epoch": 4, "lr": 0.5, **how}, made[kind])
    return made


@pytest.fixture(scope="module")
def both(models: dict[str, Path]) -> dict[str, tuple[Kernels, Any]]:
    return {kind: (Kernels(read_fasttext(path)), fasttext.load_model(str(path))) for kind, path in models.items()}


def same(kernels: Kernels, library: Any, lines: list[str]) -> None:
    series = pl.Series(lines, dtype=pl.String)
    np.testing.assert_array_equal(kernels.every(series), library_every(library, series))
    (label, share), (their_label, their_share) = kernels.likeliest(series), library_likeliest(library, series)
    np.testing.assert_array_equal(label, their_label)
    np.testing.assert_array_equal(share, their_share)


def test_hard_lines_are_answered_to_the_bit_by_every_loss_and_form(both):
    assert {"softmax", "hs", "ova", "ns", "rare"} <= set(both)
    for kernels, library in both.values():
        lines = [*hard_lines(library.words, library.labels).to_list(), *taught(77, 5)]
        same(kernels, library, lines)
        same(kernels, library, [" ".join(random.Random(4).choices([*WORDS, *PIECES], k=30_000))])
        same(kernels, library, [])


@pytest.mark.parametrize("form", ["pruned", "whole", "output"])
def test_quantised_models_are_laid_out_as_their_rows_are_added_and_their_outputs_left_alone(form, tmp_path):
    labels = 300 if form == "output" else 3
    lines = [f"__label__{n % labels} w{n % 400} w{n % 7} größe{n % 90}" for n in range(1200)]
    fit_model(lines, {"dim": 5, "epoch": 2, "minn": 2, "maxn": 3, "bucket": 700, "loss": "softmax"}, tmp_path / "m.bin")
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n")
    library = fasttext.load_model(str(tmp_path / "m.bin"))
    how = {"pruned": {"cutoff": 400, "qnorm": True}, "whole": {"dsub": 3}, "output": {"qout": True}}[form]
    library.quantize(input=str(tmp_path / "lines.txt"), **how)
    library.save_model(str(tmp_path / "m.ftz"))
    if form == "output":
        opened = Predictor(tmp_path / "m.ftz")
        assert opened.why == "its output is quantised"
        asked = pl.Series(lines[:3])
        np.testing.assert_array_equal(opened.every(asked), library_every(library, asked))
        return
    kernels = Kernels(read_fasttext(tmp_path / "m.ftz"))
    assert (kernels._file.pruned is not None) is (form == "pruned")
    draw, raw = random.Random(2), (tmp_path / "m.ftz").read_bytes()
    for _ in range(100):  # spoilt anywhere: refused, or read without harm
        spoilt = bytearray(raw)
        spoilt[draw.randrange(8, 100) if draw.random() < 0.5 else draw.randrange(len(raw))] = draw.randrange(256)
        (tmp_path / "spoilt.ftz").write_bytes(spoilt)
        with contextlib.suppress(UnreadableError):
            Kernels(read_fasttext(tmp_path / "spoilt.ftz")).every(pl.Series(lines[:3]))
    same(kernels, library, [*hard_lines(library.words, library.labels).to_list(), *lines[:200]])
    assert not Predictor(tmp_path / "m.ftz").why


TOKEN = st.one_of(
    st.sampled_from([*WORDS, *PIECES, "</s>", "__label__0", "__label__new", "__label__even"]), st.text(max_size=4)
)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(st.lists(TOKEN, max_size=8), max_size=5))
def test_any_line_is_answered_to_the_bit(both, data, lines):
    kernels, library = both[data.draw(st.sampled_from(sorted(both)))]
    same(kernels, library, [data.draw(st.sampled_from([" ", "", "\t", "\n", "\r\x00"])).join(line) for line in lines])


def test_line_breaks_are_blanks_and_a_slice_is_read_from_its_own_place(both):
    kernels, _ = both["softmax"]
    lines = pl.Series(["river the", "river\nthe", "the\r\n\nriver\n", "", "river the"])
    out = kernels.every(lines)
    np.testing.assert_array_equal(out[0], out[1])
    assert not np.array_equal(out[0], out[2])
    np.testing.assert_array_equal(kernels.every(lines[3:]), out[3:])


def test_a_line_without_a_row_has_no_answer(tmp_path):
    fit_model(
        ["__label__a x x x", "__label__b y y y"] * 40, {"dim": 4, "minCount": 100, "epoch": 1}, tmp_path / "m.bin"
    )
    kernels, library = Kernels(read_fasttext(tmp_path / "m.bin")), fasttext.load_model(str(tmp_path / "m.bin"))
    same(kernels, library, ["x", "zebra", "", "</s>"])
    file = kernels._file
    kernels._numbers[5] = -1  # a model whose dictionary has no line break
    assert (kernels.every(pl.Series(["zebra", "x"]))[:, 0] < 0).tolist() == [True, False]
    assert kernels.likeliest(pl.Series(["zebra"]))[0].tolist() == [-1]
    assert file.labels == list(library.labels)


def test_leaves_that_the_library_does_not_reach_have_no_answer(tmp_path):
    lines = [f"__label__{n % 5} w{n % 5} v{n % 5}" for n in range(200)]
    fit_model(lines, {"dim": 8, "loss": "hs", "epoch": 60, "lr": 1.0}, tmp_path / "m.bin")
    kernels, library = Kernels(read_fasttext(tmp_path / "m.bin")), fasttext.load_model(str(tmp_path / "m.bin"))
    asked = [" ".join([f"w{n} v{n}"] * 9) for n in range(5)]
    assert (kernels.every(pl.Series(asked)) < 0).any(), "below the logarithm of its floor"
    same(kernels, library, asked)


def test_the_tree_is_built_as_the_library_builds_it():
    assert huffman(np.array([9, 5, 2, 1])).tolist() == [3, 2, 4, 1, 5, 0]
    assert huffman(np.array([7])).tolist() == []


def test_what_is_no_whole_model_is_refused_and_never_read_past_its_end(models, tmp_path):
    for kind, path in models.items():
        raw = path.read_bytes()
        for size in (*range(0, 80, 7), *range(80, len(raw) - 1, max(1, len(raw) // 40)), len(raw) - 1):
            (tmp_path / "cut.bin").write_bytes(raw[:size])
            with pytest.raises(UnreadableError):
                read_fasttext(tmp_path / "cut.bin")
        assert read_fasttext(path).matrix.shape[1] == KINDS[kind]["dim"]
    draw = random.Random(1)
    raw = bytearray(models["hs"].read_bytes())
    for _ in range(150):  # spoilt heads: refused, or read without harm
        spoilt = bytearray(raw)
        for _ in range(2):
            spoilt[draw.randrange(4, 100)] = draw.randrange(256)
        (tmp_path / "cut.bin").write_bytes(spoilt)
        try:
            read_fasttext(tmp_path / "cut.bin")
        except UnreadableError:
            continue


def test_the_library_answers_where_the_kernels_do_not_pass_and_it_is_said(models, monkeypatch):
    lines, counts = pl.Series(["river", "the of"]), {}
    count = lambda name, number: counts.update({name: counts.get(name, 0) + number})  # noqa: E731
    exact = Predictor(models["softmax"], count=count)
    wanted = exact.every(lines)
    assert not exact.why
    assert not counts
    true = Kernels.every
    monkeypatch.setattr(Kernels, "every", lambda self, lines: true(self, lines) + np.float32(3e-6))
    wrong = Predictor(models["softmax"], count=count)
    assert "our kernels answer" in wrong.why
    assert "by up to 3" in wrong.why
    np.testing.assert_array_equal(wrong.every(lines), wanted)
    assert wrong.likeliest(lines)[0].tolist() == exact.likeliest(lines)[0].tolist()
    (line,) = predict.library_remarks(counts)
    assert line.startswith("4 texts were scored by the fastText library")
    monkeypatch.setattr(Kernels, "every", true)
    best = Kernels.likeliest
    monkeypatch.setattr(Kernels, "likeliest", lambda self, lines: (best(self, lines)[0] ^ 1, best(self, lines)[1]))
    assert "our kernels answer" in Predictor(models["softmax"]).why


def test_the_library_can_be_asked_for(models, monkeypatch):
    monkeypatch.setenv(predict.SWITCH, "library")
    counts: dict[str, int] = {}
    asked = Predictor(models["hs"], count=lambda name, number: counts.update({name: number}))
    assert asked._kernels is None
    asked.every(pl.Series(["a"]))
    assert not predict.library_remarks(counts)


def test_a_file_that_is_no_classifier_is_an_error_with_its_name(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Predictor(tmp_path / "none.bin")
    (tmp_path / "some.bin").write_bytes(b"no model")
    with pytest.raises(ConfigError, match=r"some\.bin is not a fastText model"):
        Predictor(tmp_path / "some.bin")
