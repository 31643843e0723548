"""A pattern that matches none of a reader's files is told when the recipe is planned."""

import json
from dataclasses import fields
from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from winnow.__main__ import main
from winnow.core.operators.patterns import finds_any, matcher
from winnow.dags.recipe.registry import READERS, operator_class

PATTERNS = [
    (name, field)
    for name in READERS
    for field, meaning in operator_class(name).meaning.items()
    if meaning == "patterns"
]


def planned(folder, capsys, use, more, *options):
    (folder / "r.yaml").write_text(f"stages:\n  docs: {{use: {use}, files: 'in/**/*', {more}}}\n")
    code = main(["plan", "r.yaml", "--json", *options])
    out = capsys.readouterr()
    return code, [r["text"] for r in json.loads(out.out)["remarks"]] if code == 0 else out.err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "std/b.txt", "tests/c.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("text")
    return tmp_path


def test_every_field_of_patterns_is_declared_as_one():
    found = {(n, f.name) for n in READERS for f in fields(operator_class(n)) if f.name in ("only", "exclude")}
    assert found
    assert found <= set(PATTERNS)


@pytest.mark.parametrize(("use", "field"), PATTERNS)
def test_a_pattern_without_a_file_is_told_with_the_number_of_files_and_one_that_has_some_is_not(
    folder, capsys, use, field
):
    more = f"{field}: [tests, 'nowhere/*'], limit: 1MB"
    code, (told,) = planned(folder, capsys, use, more)
    assert code == 0
    assert told.startswith(f"`{field}: nowhere/*` matches none of 3 files (such as a.txt)")
    assert planned(folder, capsys, use, more.replace("nowhere/*", "std/*")) == (0, [])
    code, told = planned(folder, capsys, use, more + ", strict: true")
    assert code == 2
    assert "nowhere/*" in told


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.text("ab*?/[!]._", max_size=5), max_size=3),
    st.lists(st.text("ab/._", min_size=1, max_size=6), min_size=1, max_size=5),
)
@example(["a*b"], ["ax/b", "a/x", "b"])
@example(["", "a/b"], ["a", "a/b", "a/b/c", "/a"])
def test_a_path_matches_where_it_or_one_of_its_parts_does(patterns, paths):
    matches = matcher(patterns)
    for path in paths:
        wanted = any(fnmatchcase(name, pattern) for pattern in patterns for name in (path, *path.split("/")))
        assert matches(path) == wanted, (patterns, path)
        assert any(finds_any(pattern, [path], path.split("/")) for pattern in patterns) == wanted, (patterns, path)
