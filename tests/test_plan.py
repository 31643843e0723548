"""Fingerprints name what a stage is: never what it is called, where it lies or who runs it."""

import dataclasses
import itertools
import os
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import ClassVar

import pytest
from support import lines_of, plan_of, put_corpus, put_file, texts

from winnow.core.errors import ConfigError
from winnow.core.operators.fingerprint import code_digest, encode, fingerprint
from winnow.dags.looking import changes
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.yaml_recipe import parse_recipe

RECIPE = """
seed: 3
stages:
  docs:   {use: jsonl, files: "raw/*"}
  sig:    {use: signals, inputs: docs}
  tok:    {use: count_tokens, inputs: docs}
  clean:  {use: filter, inputs: [sig, tok], keep: {long: "token_count > 10 AND sig.word_count > 2"}}
  exact:  {use: exact, inputs: docs, where: "kept_clean AND word_count > 3"}
  unique: {use: minhash, inputs: docs, where: kept_exact}
  best:   {use: top_k, inputs: [docs, clean, unique], by: word_count, budget: 40%}
  plain:  {use: random, inputs: [docs, clean], budget: 40%}
  corpus: {use: write, inputs: [docs, best], carry: [token_count]}
"""


@pytest.fixture
def folder(tmp_path):
    return put_corpus(tmp_path / "raw", texts(30), 2).parent


def prints(recipe, folder):
    return [n.fingerprint for n in plan_of(recipe, folder).nodes]


def test_every_stage_has_its_own_fingerprint(folder):
    found = prints(RECIPE, folder)
    assert len(found) == len(set(found)) == 12
    assert all(len(f) == 32 for f in found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sig:    {", "zzz: {"),
        ("inputs: [sig, tok]", "inputs: [tok, sig]"),
        ("inputs: [docs, clean, unique]", "inputs: [unique, docs, clean]"),
        ('files: "raw/*"', 'files: ["raw/f000.jsonl", "raw/f001*"]'),
        ("use: top_k, inputs", "use: top_k, descending: true, inputs"),
        ("budget: 40%", "budget: 40 %"),
        ("use: signals,", "use: signals, timeout_s: 5, max_bad_share: 0.5, strict: true,"),
        ("stages:", "max_bad_share: 0.2\nname: other\nabout: words\nstages:"),
        ('"token_count > 10 AND sig.word_count > 2"', '"tok.token_count > 10 AND sig_word_count > 2"'),
        ("by: word_count", "by: sig.word_count"),
        ("where: kept_exact", "where: exact.kept"),
    ],
)
def test_what_is_not_identity_changes_no_fingerprint(folder, old, new):
    assert old in RECIPE
    recipe = RECIPE.replace(old, new)
    if new == "zzz: {":
        recipe = recipe.replace("[sig,", "[zzz,").replace("sig.word", "zzz.word")
    assert prints(recipe, folder) == prints(RECIPE, folder)


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ("seed: 3", "seed: 4", "plain"),
        ("token_count > 10", "token_count > 11", "clean"),
        ("token_count > 10", "token_count >= 10", "clean"),
        ("{long:", "{lang:", "clean"),
        ("budget: 40%, ", "budget: 41%", None),
        ("where: kept_exact", "where: kept_clean", "unique.signatures"),
        ("by: word_count", "by: token_count", "best"),
        ("inputs: [docs, clean, unique], by", "inputs: [docs, unique], by", "best"),
        ("carry: [token_count]", "carry: [tok.token_count]", "corpus"),
        ("carry: [token_count]", "carry: []", "corpus"),
        ('files: "raw/*"', 'files: "raw/*", source: x', "docs"),
    ],
)
def test_what_is_identity_changes_the_stage_and_all_after_it(folder, old, new, first):
    if first is None:
        old, new, first = "by: word_count, budget: 40%", "by: word_count, budget: 41%", "best"
    assert old in RECIPE
    one, two = plan_of(RECIPE, folder), plan_of(RECIPE.replace(old, new), folder)
    changed = {a.name for a, b in zip(one.nodes, two.nodes, strict=True) if a.fingerprint != b.fingerprint}
    dependants = {first}
    for node in two.nodes:
        if any(s.name in dependants for s in node.sources()):
            dependants.add(node.name)
    assert changed - {"corpus"} <= dependants | {"corpus"}
    assert first in changed
    if first != "plain":
        assert dependants <= changed


def test_where_the_files_lie_and_where_one_stands_are_not_identity(folder, tmp_path, monkeypatch):
    here = prints(RECIPE, folder)
    monkeypatch.chdir("/")
    assert prints(RECIPE, folder) == here
    (tmp_path / "other" / "place").mkdir(parents=True)
    (folder / "raw").rename(tmp_path / "other" / "place" / "raw")
    moved = RECIPE.replace("raw/*", f"{tmp_path}/other/place/raw/*")
    assert prints(moved, tmp_path) == here
    based = moved.replace('/*"', f'/*", base: "{tmp_path}/other/place/raw"')
    assert prints(based, tmp_path) == here
    relative = moved.replace('/*"', '/*", base: other/place/raw')
    assert prints(relative, tmp_path) == here
    os.utime(tmp_path / "other" / "place" / "raw" / "f000.jsonl", (1, 1))
    assert prints(moved, tmp_path) == here


def test_a_changed_byte_or_name_of_a_file_is_identity(folder):
    before = prints(RECIPE, folder)
    (folder / "raw" / "f001.jsonl").rename(folder / "raw" / "f002.jsonl")
    renamed = prints(RECIPE, folder)
    assert not set(renamed) & set(before)
    put_file(folder / "raw" / "f002.jsonl", lines_of(["other"]))
    assert not set(prints(RECIPE, folder)) & set(renamed)


def test_a_file_that_changed_without_changing_size_is_seen(folder, tmp_path):
    before = [n.fingerprint for n in plan_of(RECIPE, folder, tmp_path / "root").nodes]
    path = folder / "raw" / "f001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"e", b"E", 1))
    assert not {n.fingerprint for n in plan_of(RECIPE, folder, tmp_path / "root").nodes} & set(before)


def test_fingerprints_are_equal_in_every_process(folder):
    here = Path(__file__).parent
    code = (
        f"import sys; sys.path[:0] = {[str(here), str(here.parent)]!r}\n"
        f"import test_plan; from pathlib import Path; print(test_plan.prints(test_plan.RECIPE, Path({str(folder)!r})))"
    )
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd="/"
        )
        assert done.stdout.strip() == str(prints(RECIPE, folder))


def test_inputs_keep_their_order_when_a_file_is_added(folder):
    """The order of inputs is part of keys: if it followed the files, one more file would recompute everything."""
    orders = []
    for i in range(12):
        put_file(folder / "raw" / f"more{i}.jsonl", lines_of([f"text {i}"]))
        plan = plan_of(RECIPE, folder)
        orders.append([[s.name for s in n.inputs] for n in plan.nodes])
        assert {n.name: n.family for n in plan.nodes} == {n.name: n.family for n in plan_of(RECIPE, folder).nodes}
    assert all(order == orders[0] for order in orders)


@dataclasses.dataclass(frozen=True)
class One:
    name: ClassVar[str] = "one"
    a: int = 1


@dataclasses.dataclass(frozen=True)
class Two:
    name: ClassVar[str] = "two"
    a: int = 1


@dataclasses.dataclass(frozen=True)
class Nest:
    name: ClassVar[str] = "nest"
    inner: One | Two


class Colour(Enum):
    RED = 1


VALUES = [
    1, 1.0, "1", True, b"1", None, "None", 0, 0.5, False, "", (), {}, [1], [1.0], ["1"], [[1]], [[], 1], {"a": 1}, {"a": 1.0},
    [("a", 1)], ["a", 1], One(), Two(), Nest(One()), Nest(Two()), One(2), Colour.RED, "RED", frozenset({1}), [1, 1],
    "data", ["data", "x"], 2**70, -1, -1.0, float("inf"), float("-inf"), "inf", {"int": "1"}, ["int", "1"],
]  # fmt: skip


def test_different_values_have_different_encodings():
    for a, b in itertools.combinations(VALUES, 2):
        assert fingerprint(a) != fingerprint(b), (a, b)


def test_equal_values_have_equal_encodings():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(0.0) == fingerprint(-0.0)
    assert fingerprint((1, 2)) == fingerprint([1, 2])
    assert fingerprint(frozenset({"a", "b", "c"})) == fingerprint(frozenset({"c", "b", "a"}))


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, len, object(), {"a": [float("nan")]}, One])
def test_what_has_no_identity_is_refused(value):
    with pytest.raises(ConfigError):
        encode(value)


def test_user_code_is_known_by_what_it_does(tmp_path):
    module = tmp_path / "m.py"
    digests = []
    for text in (
        "import side\ndef f(x):\n    return x + 1\n",
        '"""Words."""\nimport side  # side\n\n\ndef f(x):\n    """Adds."""\n    return (x + 1)\n',
        "import side\ndef f(x):\n    return x + 2\n",
    ):
        module.write_text(text)
        (tmp_path / "side.py").write_text("A = 1\n")
        digests.append(code_digest(module)[0])
    assert digests[0] == digests[1] != digests[2]
    (tmp_path / "side.py").write_text("A = 2\n")
    assert code_digest(module)[0] not in digests
    assert [p.name for p in code_digest(module)[1]] == ["m.py", "side.py"]


def test_a_docstring_that_is_the_whole_body_may_go(tmp_path):
    (tmp_path / "m.py").write_text('def f():\n    """Nothing."""\n')
    first = code_digest(tmp_path / "m.py")[0]
    (tmp_path / "m.py").write_text("def f():\n    pass\n")
    assert code_digest(tmp_path / "m.py")[0] == first


def test_a_text_that_is_used_is_no_docstring(tmp_path):
    (tmp_path / "m.py").write_text("def f():\n    return 'a'\n")
    first = code_digest(tmp_path / "m.py")[0]
    (tmp_path / "m.py").write_text("def f():\n    return 'b'\n")
    assert code_digest(tmp_path / "m.py")[0] != first


def test_the_tokenizer_of_the_recipe_counts_where_no_stage_does(folder):
    recipe = 'tokenizer: bytes/4\nstages:\n  docs: {use: jsonl, files: "raw/*"}\n  r: {use: random, inputs: docs, budget: 1k tokens}\n'
    plan = plan_of(recipe, folder)
    assert [n.name for n in plan.nodes] == ["docs", "tokens", "r"]
    assert [n.implicit for n in plan.nodes] == [False, True, False]
    other = plan_of(recipe.replace("bytes/4", "bytes/3"), folder)
    assert [a.fingerprint == b.fingerprint for a, b in zip(plan.nodes, other.nodes, strict=True)] == [
        True,
        False,
        False,
    ]


def test_planning_reads_no_file_twice(folder, tmp_path, monkeypatch):
    from winnow.core.store.locations import open_store
    from winnow.dags.recipe import input_files as inputs

    read = []
    seen_now = inputs.seen_now
    monkeypatch.setattr(inputs, "seen_now", lambda path: read.append(path) or seen_now(path))
    for _ in range(2):
        make_plan(parse_recipe(RECIPE, name="t", folder=folder), open_store(tmp_path / "root"))
    assert len(read) == 2


TYPED = """
stages:
  docs:  {use: jsonl, files: "raw/*", columns: {url: string, votes: int64}}
  sig:   {use: signals, inputs: docs}
  clean: {use: filter, inputs: [docs, sig], keep: {one: CLAUSE}, where: WHERE}
"""


@pytest.mark.parametrize(
    ("clause", "where", "at", "told"),
    [
        ("url > 3", "votes > 0", "keep.one", "cannot compare string with numeric"),
        ("votes like 'a%'", "votes > 0", "keep.one", "url|votes is int64"),
        ("word_count", "votes > 0", "keep.one", "not true or false"),
        ("votes in ('a', 'b')", "votes > 0", "keep.one", "cannot be worked out"),
        ("votes > 0", "url", "where", "not true or false"),
        ("votes > 0", "url + votes > 2", "where", "cannot be worked out"),
    ],
)
def test_a_clause_whose_columns_have_other_types_is_refused_while_planning(tmp_path, clause, where, at, told):
    put_corpus(tmp_path / "raw", [{"text": "a", "url": "u", "votes": 1}], 1)
    recipe = TYPED.replace("CLAUSE", f'"{clause}"').replace("WHERE", f'"{where}"')
    with pytest.raises(ConfigError, match=told) as refused:
        plan_of(recipe, tmp_path)
    assert refused.value.where == f"stages.clean.{at}"


def test_clauses_whose_types_fit_are_planned(tmp_path):
    put_corpus(tmp_path / "raw", [{"text": "a", "url": "u", "votes": 1}], 1)
    for clause in (
        "url like 'a%' and votes > 1",
        "length(url) > 3",
        "votes is null or word_count > 1.5",
        "not votes = 1",
    ):
        plan_of(TYPED.replace("CLAUSE", f'"{clause}"').replace("WHERE", '"votes > 0"'), tmp_path)


def test_a_reader_says_its_suffixes_once(tmp_path, monkeypatch):
    """A reader of a new kind of file is its class and one line: globs, folders and `read` know it."""
    import winnow as w
    from winnow.dags.recipe import registry
    from winnow.dags.recipe.comparison_recipe import asked
    from winnow.pipeline.read.jsonl import Jsonl

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Logs(Jsonl):
        name: ClassVar[str] = "logs"
        suffixes: ClassVar[tuple[str, ...]] = (".log",)

    monkeypatch.setitem(registry.READERS, "logs", "tests:Logs")
    monkeypatch.setitem(registry.REGISTRY, "logs", "tests:Logs")
    known = registry.class_at
    monkeypatch.setattr(registry, "class_at", lambda path: Logs if path == "tests:Logs" else known(path))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.log").write_text('{"text": "x"}\n')
    assert (
        registry.reader_of("raw/*.log") == registry.reader_of("raw/*.log*") == registry.reader_of("a.log.??*") == "logs"
    )
    assert registry.reader_of("raw/*") == ""
    assert w.read(str(tmp_path / "a/*.log")).space.draft.operator.name == "logs"
    wanted = asked([f"a={tmp_path / 'a'}", f"b={tmp_path / 'b'}/one.log"], [str(tmp_path / "a/one.log")])
    assert {source.reader for each in wanted.sets for source in each.sources} == {"logs"}
    recipe = parse_recipe(
        f"stages: {{docs: {{use: text_files, files: '{tmp_path}/a/*'}}, "
        f"safe: {{use: decontaminate, inputs: docs, against: '{tmp_path}/b/*.log'}}}}",
        name="t", folder=tmp_path,
    )  # fmt: skip
    assert "logs" in {node.operator.name for node in make_plan(recipe, None).nodes}


def test_a_list_of_one_file_is_one_file():
    assert changes._file_lists([("a", "1")], [("a", "1"), ("b", "2")]) == ("1 file", "2 files: 1 added (b)")
