"""Tables beside the kernels: the same as made, found by what they are made of, made anew where they cannot be read."""

import os
from pathlib import Path

import numpy as np
import pytest

from winnow.core import kept_tables, kernel_files
from winnow.pipeline.measure import language_tables


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder for what is kept."""
    monkeypatch.setattr(kernel_files, "INSTALLED", tmp_path / "none")
    with kernel_files.kept_in(tmp_path / "kept") as place:
        yield place


def made(calls, add=0):
    def make():
        calls.append(add)
        return {"whole": np.arange(1000, dtype=np.uint32).reshape(-1, 8) + add, "names": np.array(["de", "en"])}

    return make


def folder_of(place):
    (folder,) = place.iterdir()
    return folder


def test_what_is_kept_is_what_was_made_and_is_made_once(place):
    calls = []
    first = kept_tables.kept("t", b"a", made(calls))
    again = kept_tables.kept("t", b"a", made(calls))
    assert len(calls) == 1
    for name, array in first.items():
        assert again[name].dtype == array.dtype
        assert type(again[name]) is np.ndarray
        assert again[name].flags.writeable
        np.testing.assert_array_equal(again[name], array)


def test_other_contents_are_other_tables(place):
    calls = []
    kept_tables.kept("t", b"a", made(calls))
    other = kept_tables.kept("t", b"b", made(calls, add=5))
    assert calls == [0, 5]
    assert other["whole"][0, 0] == 5
    assert kept_tables.kept("t", b"a", made(calls))["whole"][0, 0] == 0
    assert len(calls) == 2


def test_what_a_process_writes_into_a_table_nobody_else_sees(place):
    kept_tables.kept("t", b"a", made([]))
    mapped = kept_tables.kept("t", b"a", made([]))
    mapped["whole"][0, 0] = 77
    assert kept_tables.kept("t", b"a", made([]))["whole"][0, 0] == 0


@pytest.mark.parametrize("left", [0, 20, 200, -1])
def test_a_file_that_is_cut_is_made_anew_and_kept(place, left):
    kept_tables.kept("t", b"a", made([]))
    file = folder_of(place) / "whole.npy"
    os.truncate(file, left if left >= 0 else file.stat().st_size - 1)
    calls = []
    np.testing.assert_array_equal(kept_tables.kept("t", b"a", made(calls))["whole"], made([])()["whole"])
    kept_tables.kept("t", b"a", made(calls))
    assert len(calls) == 1
    assert [path.name for path in place.iterdir()] == [folder_of(place).name]


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_files, "INSTALLED", tmp_path / "none")
    (tmp_path / "a_file").write_text("")
    calls = []
    with kernel_files.kept_in(tmp_path / "a_file" / "below"):
        for _ in range(2):
            np.testing.assert_array_equal(kept_tables.kept("t", b"a", made(calls))["whole"], made([])()["whole"])
    assert len(calls) == 2


def test_the_tables_of_languages_are_the_models_own_by_every_way(place):
    fresh = language_tables.language_tables.__wrapped__()
    mapped = language_tables.language_tables.__wrapped__()
    assert any(path.name.startswith("language-") for path in place.iterdir())
    for name, array in fresh._asdict().items():
        np.testing.assert_array_equal(np.asarray(getattr(mapped, name)), np.asarray(array), err_msg=name)
    assert mapped.codes == fresh.codes
    assert all(type(code) is str for code in mapped.codes)
    kinds = language_tables.kinds_of_characters.__wrapped__()
    np.testing.assert_array_equal(language_tables.kinds_of_characters.__wrapped__(), kinds)
    np.testing.assert_array_equal(language_tables._kinds(), kinds)


def test_another_model_is_not_taken_for_the_one_that_is_kept(place, tmp_path, monkeypatch):
    from py3langid import langid

    whole = Path(langid.__file__).parent / langid.MODEL_FILE
    language_tables.language_tables.__wrapped__()
    other = tmp_path / "other.npz.xz"
    other.write_bytes(b"no model" + whole.read_bytes())
    monkeypatch.setattr(langid, "MODEL_FILE", str(other))
    with pytest.raises(Exception):  # it is read, and is none
        language_tables.language_tables.__wrapped__()
