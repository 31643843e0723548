"""Expectations: exact figures over every kind of stage, no identity, checked again where cached, what builds on it stops."""

import itertools
import json
import random
from collections import Counter

import pyarrow as pa
import pytest
import support_ops
from support import forget, own_operators, plan_of, put_corpus, run
from test_remarks import OWN as REMARKING

import winnow as w
from winnow.cli import main
from winnow.core.errors import ConfigError, DataError
from winnow.dags.driver.expected import Checks, checked_json
from winnow.dags.looking.report import gather, render
from winnow.dags.looking.run import open as open_run
from winnow.dags.recipe.expectations import KINDS
from winnow.dags.recipe.records import latest_record
from winnow.dags.recipe.repeated import repeated
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.dags.recipe.yaml_writer import yaml_of

OWN = {n: f"support_ops:{n.title()}" for n in ("typical", "halves", "ranked", "summary")} | REMARKING
STAGES = {  # one of every kind, shape and way to decide
    "docs": 'use: jsonl, files: "raw/*", columns: {url: string, score: float64}',
    "tokens": "use: count_tokens, inputs: docs, tokenizer: words",
    "clean": 'use: filter, inputs: [docs, tokens], keep: {low: "score < 0.8", some: "token_count > 3"}',
    "exact": "use: exact, inputs: docs, where: kept_clean",
    "best": "use: top_k, inputs: [docs, clean], by: score, budget: 7 docs",
    "order": "use: ranked, inputs: docs, where: kept_clean",
    "twins": "use: minhash, inputs: docs, where: kept_clean",
    "mean": "use: typical, inputs: docs, ignore: all",
    "told": "use: summary, of: docs",
    "corpus": "use: write, inputs: [docs, best, tokens], carry: [token_count, url, score]",
}
ROWS = 40
DECIDING = {"clean", "exact", "best", "twins"}


def recipe(expect=None, of="docs", top=""):
    lines = [
        f"  {n}: {{{s}{f', expect: {json.dumps(expect)}' if n == of and expect else ''}}}" for n, s in STAGES.items()
    ]
    return f"{top}\nstages:\n" + "\n".join(lines)


@pytest.fixture(scope="module")
def documents():
    rng = random.Random(3)
    words = [f"w{n}" for n in range(300)]
    rows = [
        {"text": " ".join(rng.choice(words) for _ in range(rng.randint(1, 30))), "url": f"u{rng.randrange(30)}",
         "score": rng.random()}
        for _ in range(ROWS)
    ]  # fmt: skip
    rows[3]["url"] = rows[4]["url"] = None
    rows[5]["score"] = None
    rows[7]["text"] = rows[8]["text"] = "the same words twice over"
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory, documents):
    return put_corpus(tmp_path_factory.mktemp("expect") / "raw", documents, 3).parent


@pytest.fixture(scope="module")
def plain(folder):
    with own_operators(**OWN):
        return run(recipe(), folder, folder / "out", part_bytes=1500)


def found(folder, expect, of, **options):
    """What is found beside an expectation of a stage, whether it is met or not."""
    with own_operators(**OWN):
        try:
            ran = run(recipe(expect, of), folder, folder / "out", **options)
        except DataError as error:
            return f"{error.what} at {error.where}", False
        assert not ran.computed, "an expectation is no identity"
        (checked,) = checked_json(ran.of(of), ran.plan.node(of).name)
        assert checked["met"]
        return checked["found"], True


def columns_of(ran, stage):
    """The rows that count in a stage, as plain values: kept ones of a decision, else those asked about."""
    own = ran.plan.node(stage)
    names = ["url", "score"]
    space = "corpus" if stage == "corpus" else "docs"
    rows = ran.table(space, *names).to_pydict()
    tokens = (
        ran.table("corpus", "token_count") if space == "corpus" else ran.table("tokens", "token_count")
    ).to_pydict()
    rows |= tokens
    if own.kind == "columns":
        state = ran.table(stage, "state")["state"].to_pylist()
        kept = ran.table(stage, "kept")["kept"].to_pylist() if "kept" in own.outputs else [True] * ROWS
        keep = [s != 1 and bool(k) for s, k in zip(state, kept, strict=True)]
        rows = {n: [v for v, k in zip(values, keep, strict=True) if k] for n, values in rows.items()}
    return rows


BOUNDS = {
    "kept_share": [0.0, 0.5, [0.5, 1.0], [0.0, 0.3], 1.0], "answered_share": [0.0, [0.1, 0.9], 1.0],
    "budget_filled": [0.5, 1.0], "max_items_found": [0.0, 0.5], "max_removal": [0.0, 0.5], "min_rows": [0, 7, 8, 1000], "max_rows": [6, 7, 1000], "min_tokens": [0, 100, 10_000],
    "max_tokens": [0, 10_000], "no_nulls": [["url"], ["score"], ["url", "score"]], "unique": [["url"], "score"],
    "between": [{"score": [0, 1]}, {"score": [0.2, 0.7]}, {"token_count": 3}],
}  # fmt: skip
FIT = {  # which can be said of which, by what stages are: nothing of it is read from the code under test
    "kept_share": DECIDING, "answered_share": DECIDING | {"order", "tokens"}, "budget_filled": {"best"},
    "max_items_found": set(),  # of none of these: tests/test_eval_tasks.py
    "max_removal": {"exact", "twins"},  # by source: tests/test_dedup_audit.py
    "min_rows": DECIDING | {"docs", "corpus"}, "max_rows": DECIDING | {"docs", "corpus"},
    "min_tokens": DECIDING | {"tokens", "corpus"}, "max_tokens": DECIDING | {"tokens", "corpus"},
    "no_nulls": {*STAGES} - {"mean", "told"}, "unique": {*STAGES} - {"mean", "told"}, "between": {*STAGES} - {"mean", "told"},
}  # fmt: skip


def by_hand(ran, stage, key, value):
    """Whether a stage meets an expectation, worked out from its rows in plain Python."""
    rows = columns_of(ran, stage)
    counts = ran.counts(stage)
    asked = ran.manifest(stage).rows - counts.get("masked", 0)
    number = len(rows["url"])
    low, high = value if isinstance(value, list) and key.endswith(("share", "filled")) else (value, 1.0)
    if key in ("kept_share", "answered_share"):
        share = (number if key == "kept_share" else counts["ok"]) / asked
        return low <= share <= high
    if key == "max_removal":
        return asked - number <= value * asked
    if key == "budget_filled":
        return number / 7 >= low
    total = sum(rows["token_count"])
    simple = {"min_rows": number >= value if key == "min_rows" else 0, "max_rows": key == "max_rows" and number <= value,
              "min_tokens": key == "min_tokens" and total >= value,
              "max_tokens": key == "max_tokens" and total <= value}  # fmt: skip
    if key in simple:
        return bool(simple[key])
    if key in ("no_nulls", "unique"):
        names = [value] if isinstance(value, str) else value
        if key == "no_nulls":
            return all(v is not None for n in names for v in rows[n])
        return all(max(Counter(v for v in rows[n] if v is not None).values(), default=1) == 1 for n in names)
    ((name, bounds),) = value.items()
    low, high = bounds if isinstance(bounds, list) else (bounds, float("inf"))
    return all(low <= v <= high for v in rows[name] if v is not None)


def test_the_table_of_what_can_be_expected_is_whole():
    assert set(BOUNDS) == set(FIT) == set(KINDS)


@pytest.mark.parametrize(("stage", "key"), list(itertools.product(STAGES, KINDS)))
def test_every_expectation_of_every_kind_of_stage_is_exact_or_refused(folder, plain, stage, key):
    for value in BOUNDS[key]:
        if stage not in FIT[key]:
            with own_operators(**OWN), pytest.raises(ConfigError) as refused:
                plan_of(recipe({key: value}, stage), folder)
            assert refused.value.where == f"stages.{stage}.expect.{key}"
            assert refused.value.hint
            continue
        names = value if isinstance(value, list) and key in ("no_nulls", "unique") else [None]
        if key == "budget_filled" and "filled" not in plain.manifest(stage).metrics:
            pytest.skip("the selection does not say what it filled")
        met = by_hand(plain, stage, key, value)
        if (met and len(names) > 1) or (stage == "docs" and value == {"token_count": 3}):
            continue  # told twice; its tokens are counted after it
        text, fine = found(folder, {key: value}, stage)
        assert fine == met, (value, text)
        assert fine or text.endswith(f" at stages.{stage}.expect.{key}")


def test_figures_are_told(folder, plain, documents):
    urls = [d["url"] for d in documents if d["url"]]
    again = len(urls) - len(set(urls))
    text, fine = found(folder, {"unique": "url"}, "docs")
    assert not fine
    assert f"{again} of 40 rows ({100 * again / 40:.1f} %) repeat a value of url, first 'u" in text
    assert "expected no value of url twice at " in text
    assert "expected 0 % to 10 %" in found(folder, {"kept_share": [0, 0.1]}, "clean")[0]
    kept = plain.counts("clean")["kept"]
    assert f"'clean' is not what is expected: kept {kept} of 40 rows ({kept / 0.4:.1f} %)" in found(
        folder, {"kept_share": 0.99}, "clean"
    )[0]  # fmt: skip
    both = found(folder, {"min_rows": 100, "no_nulls": ["url"]}, "docs")[0]
    assert "40 rows, expected at least 100; url is null in 2 of 40 rows (5.0 %), expected no null in url" in both


def test_an_unmet_expectation_stops_what_builds_on_the_stage_and_nothing_else(folder, tmp_path, capsys):
    text = recipe({"kept_share": 0.99}, "clean")
    (folder / "r.yaml").write_text(text)
    with own_operators(**OWN):
        assert main(["run", str(folder / "r.yaml"), "--out", str(tmp_path / "o"), "--workers", "0", "--json"]) == 3
        said = capsys.readouterr()
        stages, error = (json.loads(line) for line in said.out.splitlines()[-2:])
        opened = open_run(tmp_path / "o")
        report = gather(latest_record(opened.record.store, None))
        assert "kept_share: at least 99 %" in render(report)
    complete = {name for name, s in opened.stages.items() if s["complete"] and "." not in name}
    assert complete == {"docs", "tokens", "clean", "mean", "told"}
    assert error["error"]["exit_code"] == 3
    (checked,) = stages["stages"]["clean"]["expect"]
    assert checked["expect"] == "kept_share"
    assert (checked["what"], checked["met"]) == ("at least 99 %", False)
    assert f"! clean: {checked['found']}, expected at least 99 %" in said.err
    assert [(e.stage, e.what, e.met) for e in report.expected] == [("clean", "kept_share: at least 99 %", False)]
    assert any(stage == "clean" and "not as expected" in line for stage, line in report.alarms)
    with own_operators(**OWN):  # loosened: nothing that is there is computed again, the rest runs
        ran = run(recipe({"kept_share": 0.1}, "clean"), folder, tmp_path / "o")
    assert not {"docs", "tokens", "clean", "mean", "told"} & set(ran.computed)
    assert {"corpus", "order"} <= set(ran.computed)


def test_it_is_no_identity_and_is_shown(folder, capsys):
    with own_operators(**OWN):
        bare, asking = plan_of(recipe(), folder), plan_of(recipe({"min_rows": 5, "unique": ["url"]}, "docs"), folder)
        assert [n.fingerprint for n in bare.nodes] == [n.fingerprint for n in asking.nodes]
        (folder / "p.yaml").write_text(recipe({"min_rows": 5, "unique": ["url"]}, "docs"))
        assert main(["plan", str(folder / "p.yaml"), "--out", str(folder / "none")]) == 0
        assert "expect: min_rows: at least 5, no value of url twice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expect", "where", "said"),
    [
        ("3", "expect", "maps what is expected"), ("{}", "expect", "maps what is expected"),
        ("{kept: 1}", "expect.kept", "kept_share"), ("{min_rows: 1.5}", "expect.min_rows", "1.5"),
        ("{min_rows: -1}", "expect.min_rows", "-1"), ("{min_rows: true}", "expect.min_rows", "True"),
        ("{kept_share: [0.9, 0.2]}", "expect.kept_share", "0.9"), ("{kept_share: 2}", "expect.kept_share", "2"),
        ("{kept_share: [1, 2, 3]}", "expect.kept_share", "3"), ("{kept_share: .nan}", "expect.kept_share", "nan"),
        ("{unique: []}", "expect.unique", "[]"), ("{unique: [3]}", "expect.unique", "3"),
        ("{unique: [ur]}", "expect.unique", "no column 'ur'"), ("{between: {url: [0, 1]}}", "expect.between", "no numbers"),
        ("{between: [0, 1]}", "expect.between", "0, 1"), ("{between: {score: [1, 0]}}", "expect.between", "score"),
        ("{unique: [order]}", "expect.unique", "no column 'order'"),
    ],
)  # fmt: skip
def test_what_cannot_be_expected_is_refused_before_anything_runs(folder, expect, where, said):
    text = recipe().replace(STAGES["clean"], f"{STAGES['clean']}, expect: {expect}")
    with own_operators(**OWN), pytest.raises(ConfigError) as error:
        plan_of(text, folder)
    assert error.value.where == f"stages.clean.{where}"
    assert said in f"{error.value.what} {error.value.hint}"


def test_of_a_recipe_it_means_its_end_points(folder, tmp_path):
    with own_operators(**OWN):
        plan = plan_of(recipe(top="expect: {min_rows: 8, answered_share: 0.5}"), folder)
        bound = {n.spoken: [e.expectation.key for e in n.expects] for n in plan.nodes if n.expects}
        assert bound == {"exact": ["min_rows", "answered_share"], "order": ["answered_share"],
                         "twins": ["min_rows", "answered_share"], "corpus": ["min_rows"]}  # fmt: skip
        with pytest.raises(DataError, match="'corpus' is not what is expected: 7 rows, expected at least 8"):
            run(recipe(top="expect: {min_rows: 8}"), folder, tmp_path / "out")
        assert all(s["complete"] for s in open_run(tmp_path / "out").stages.values())
        with pytest.raises(ConfigError, match="no end point of this recipe") as error:
            plan_of(recipe(top="expect: {budget_filled: 0.5}"), folder)
        assert error.value.where == "expect.budget_filled"
        with pytest.raises(ConfigError, match="no column 'token_count'") as error:
            plan_of(recipe(top="expect: {min_tokens: 5}").replace("carry: [token_count, ", "carry: ["), folder)
        run(recipe(top="expect: {min_rows: 8}"), folder, tmp_path / "out", until="order")


def test_columns_of_other_stages_are_waited_for_and_of_later_equal_ones_refused(folder, tmp_path):
    late = """
stages:
  docs:  {use: jsonl, files: "raw/*", columns: {score: float64}}
  order: {use: ranked, inputs: docs}
  clean: {use: filter, inputs: docs, keep: {low: "score < 0.8"}, expect: {no_nulls: [order.rank]}}
"""  # `clean` is made part by part, `order` when all parts are there
    with own_operators(**OWN):
        ran = run(late, folder, tmp_path / "out", part_bytes=1500)
        (checked,) = checked_json(ran.of("clean"), "clean")
        assert checked["found"].startswith("order.rank is null in 0 of ")
        until = run(late, folder, tmp_path / "until", until="clean")
        assert "order" in until.computed
        twice = """
stages:
  docs: {use: jsonl, files: "raw/*"}
  a: {use: exact, inputs: docs}
  b: {use: ranked, inputs: docs, where: kept_a}
  c: {use: exact, inputs: docs, ignore: all, expect: {no_nulls: [b.rank]}}
"""
        with pytest.raises(ConfigError, match="is built on a stage equal to 'c'"):
            plan_of(twice, folder)


def test_a_run_that_is_killed_before_the_check_is_checked_when_it_goes_on(folder, tmp_path, monkeypatch):
    text = recipe({"max_rows": 3}, "best")
    with own_operators(**OWN):
        monkeypatch.setattr(Checks, "look", killed_at("best", Checks.look))
        with pytest.raises(Exception, match="stopped"):
            run(text, folder, tmp_path / "out")
        monkeypatch.undo()
        forget()
        assert (tmp_path / "out" / plan_of(text, folder).node("best").folder / "manifest.json").exists()
        for _ in range(2):
            with pytest.raises(DataError, match="7 kept rows, expected at most 3"):
                run(text, folder, tmp_path / "out")


def killed_at(stage, look):
    def killing(self, run_):
        if run_.node.name == stage and run_.manifest is not None:
            raise KeyboardInterrupt
        look(self, run_)

    return killing


def test_two_names_of_one_stage_are_checked_under_each(folder, tmp_path):
    text = """
stages:
  docs: {use: jsonl, files: "raw/*"}
  a: {use: exact, inputs: docs, expect: {min_rows: 1}}
  b: {use: exact, inputs: docs, expect: {max_rows: 2}}
"""
    with pytest.raises(DataError, match="'b' is not what is expected: 39 kept rows, expected at most 2"):
        run(text, folder, tmp_path / "out")
    record = latest_record(open_run(tmp_path / "out").record.store, None)
    assert [(c["expect"], c["met"]) for c in record.stages["a"]["expect"]] == [("min_rows", True)]
    assert [(c["expect"], c["met"]) for c in record.stages["b"]["expect"]] == [("max_rows", False)]


def test_the_python_form_says_the_same(folder, tmp_path):
    docs = w.read(
        str(folder / "raw/*"), reader="jsonl", columns={"url": "string", "score": "float64"}, expect={"min_rows": 5}
    )
    low = docs.filter(keep={"low": "score < 0.8"}, name="low", expect={"kept_share": (0.2, 0.9), "no_nulls": ["score"]})
    text = low.to_yaml(strict=True, expect={"min_rows": 1})
    again = parse_recipe(text, name="python", folder=folder)
    assert again.strict
    assert again.expect == {"min_rows": 1}
    assert yaml_of(again) == text
    assert again.stages[1].expect == {"kept_share": [0.2, 0.9], "no_nulls": ["score"]}
    opened = low.run(tmp_path / "out", workers=0, progress=False)
    record = latest_record(opened.record.store, None)
    assert [c["met"] for c in record.stages["low"]["expect"]] == [True, True]
    with pytest.raises(DataError, match="expected at least 1,000"):
        low.run(tmp_path / "out", workers=0, progress=False, expect={"min_rows": 1000})
    with pytest.raises(ConfigError, match="unknown expectation"):
        docs.filter(keep={"low": "score < 0.8"}, expect={"kept": 1}).plan(tmp_path / "out")


@pytest.mark.parametrize("kind", [pa.int64(), pa.large_string(), pa.float64(), pa.binary(16), pa.bool_(), pa.uint8()])
def test_repeated_values_are_counted_whatever_is_held_at_once(kind):
    rng = random.Random(str(kind))
    make = {"int64": lambda n: n - 50, "large_string": lambda n: f"t{n}", "double": lambda n: n / 7,
            "fixed_size_binary[16]": lambda n: bytes([n]) * 16, "bool": lambda n: n % 2 == 0,
            "uint8": lambda n: n}[str(kind)]  # fmt: skip
    values = [None if rng.random() < 0.1 else make(rng.randrange(200)) for _ in range(300)]
    parts = [pa.array(values[i : i + 37], kind) for i in range(0, 300, 37)]
    expected = Counter(v for v in values if v is not None)
    for most in (1000, 100, 10, 1):
        again, example = repeated(lambda: iter(parts), 300, most=most)
        assert again == sum(n - 1 for n in expected.values())
        shown = bytes.fromhex(example) if isinstance(example, str) and kind == pa.binary(16) else example
        assert expected[shown] > 1
    assert repeated(lambda: iter([pa.array([1, 2, None, None])]), 4) == (0, None)
    assert repeated(lambda: iter([]), 0) == (0, None)


def test_support_ops_are_what_the_recipe_says():
    assert support_ops.Ranked.name == "ranked"
