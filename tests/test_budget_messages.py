"""Budgets explain themselves, estimates are called so, and what scores nothing says why."""

from __future__ import annotations

import json

import pytest
from support import run

from winnow.cli import main
from winnow.core.errors import ConfigError
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import build
from winnow.selectors.score.random_ import Random
from winnow.selectors.score.threshold import Threshold


@pytest.mark.parametrize("cls", [Random, Threshold])  # a budget, and one that may be none
@pytest.mark.parametrize(
    ("value", "what", "hint"),
    [
        (10, "a budget of 10 of what?", "`10 tokens` or `10 docs`"),
        (0.1, "a budget of 0.1 of what?", "`10%`"),
        (5000000, "a budget of 5,000,000 of what?", "`5M tokens` or `5M docs`"),
        ("10", "'10' lacks what it counts", "`10 tokens` or `10 docs`"),
        ("5M", "'5M' lacks what it counts", "`5M tokens` or `5M docs`"),
        (True, "True is no budget", "5M tokens"),
        ([1], "\\[1\\] is no budget", "5M tokens"),
    ],
)
def test_a_budget_without_a_unit_explains_itself(cls, value, what, hint):
    fields = {"by": "score", "at_least": 0.0} if cls is Threshold else {}
    with pytest.raises(ConfigError, match=what.replace("?", r"\?")) as caught:
        build(cls, {**fields, "budget": value}, where="stages.a")
    assert hint in caught.value.hint
    assert "5M tokens" in caught.value.hint
    assert caught.value.where == "stages.a.budget"


def test_digits_may_be_grouped():
    assert Budget.parse("1,000 tokens") == Budget.parse("1_000 tokens") == Budget(1000, "tokens")
    for text in ("1,00 tokens", "1,0000 tokens", ",100 tokens", "10,00,000 docs"):
        with pytest.raises(ConfigError):
            Budget.parse(text)


def test_a_comma_inside_braces_is_told():
    with pytest.raises(ConfigError, match="'000 tokens'") as caught:
        build(Random, {"budget": 1, "000 tokens": None}, where="stages.a")
    assert "`1_000 tokens`" in caught.value.hint


def put(folder, texts) -> None:
    (folder / "docs.jsonl").write_text("\n".join(json.dumps({"text": t, "lang": "en"}) for t in texts))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ('where: "lang = en"', "a text, as against a column, stands in single quotes: 'en'"),
        ("where: 'lang = \"en\"'", "a text, as against a column, stands in single quotes: 'en'"),
        ("where: \"lang = 'O'Neil'\"", "a quote within a text is doubled: 'O''Neil'"),
        ("where: 'lang = 'en''", "a text ends at its next quote"),
    ],
)
def test_quotes_in_rules_are_explained(tmp_path, rule, says):
    put(tmp_path, ["a", "b"])
    recipe = "stages:\n  docs: {use: jsonl, files: docs.jsonl, columns: {lang: string}}\n"
    with pytest.raises(ConfigError) as caught:
        run(f"{recipe}  a: {{use: random, inputs: docs, {rule}, budget: 1 docs}}\n", tmp_path, tmp_path / "out")
    assert says in caught.value.hint


def test_dsir_over_short_texts_says_that_none_has_a_weight_and_its_draw_why_it_keeps_nothing(tmp_path):
    put(tmp_path, [f"short text number {i}" for i in range(20)])
    ran = run(
        "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n  goal: {use: jsonl, files: docs.jsonl}\n"
        "  near: {use: dsir, inputs: docs, target: goal}\n  best: {use: dsir_resample, inputs: [docs, near], budget: 50%}\n",
        tmp_path, tmp_path / "out",
    )  # fmt: skip
    (said,) = ran.manifest("near").metrics["remarks"]
    assert said.startswith("20 of 20 texts (100.0%) have fewer than 100 words and get no weight: lower `min_words`")
    assert ran.manifest("near").metrics["too_few_words"] == 20
    (said,) = ran.manifest("best").metrics["remarks"]
    assert "0.0% of the budget of 10 documents is filled: no document has what it is chosen by" in said


def test_a_selection_of_nothing_blames_what_stands_before_it(tmp_path):
    put(tmp_path, ["a b c", "d e f"])
    ran = run(
        "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n  none: {use: filter, inputs: docs, keep: {a: word_count > 9}}\n"
        "  pick: {use: random, inputs: docs, budget: 1 docs}\n", tmp_path, tmp_path / "out",
    )  # fmt: skip
    (said,) = ran.manifest("pick").metrics["remarks"]
    assert said.endswith("is filled: there is no document to choose from; look at the decisions before it")


def test_a_lone_clause_and_a_share_of_nothing_are_explained(tmp_path):
    put(tmp_path, ["a b c"])
    docs = "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n"
    for line, what, hint in (
        (
            """{use: filter, inputs: docs, keep: "text = 'a'"}""",
            "expected a mapping",
            """`keep: {NAME: "text = 'a'"}`""",
        ),
        ("{use: filter, inputs: docs, keep: 5}", "expected a mapping", "`keep: {NAME: VALUE}`"),
        ("{use: random, inputs: docs, budget: 0%}", "above 0, found 0%", "`10%`"),
        ("{use: random, inputs: docs, budget: 0 docs}", "above 0, found 0 docs", "`10%`"),
    ):
        with pytest.raises(ConfigError, match=what) as caught:
            run(f"{docs}  a: {line}\n", tmp_path, tmp_path / "out")
        assert hint in caught.value.hint


CHINESE = "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u6211\u4eec\u53bb\u516c\u56ed\u5427\u660e\u5929\u4e5f\u4f1a\u4e0b\u96e8"


def test_estimates_are_called_so_and_what_is_written_is_compared(tmp_path, capsys, monkeypatch):
    put(tmp_path, ["".join(CHINESE[(i * k + k) % len(CHINESE)] for k in range(i % 19 + 1)) for i in range(300)])
    (tmp_path / "r.yaml").write_text(
        "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n  pick: {use: random, inputs: docs, budget: 1000 tokens}\n"
        "  tok: {use: write_tokens, selection: pick, vocab: 280}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["run", "r.yaml", "--out", "runs", "--json"]) == 0
    out = capsys.readouterr()
    stages = json.loads(out.out.splitlines()[-1])["stages"]
    assert stages["pick"]["tokens_estimated_by"] == "bytes/4"
    assert f"about {stages['pick']['tokens']:,} tokens (bytes/4)" in out.err + out.out
    (said,) = [r for s in stages.values() for r in s["remarks"] if "their selection counted" in r]
    assert f"their selection counted {stages['pick']['tokens']:,}" in said
    assert "tokenizer_file" in said


def test_a_real_tokenizer_is_no_estimate_and_agrees_with_what_is_written(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {w: i for i, w in enumerate(["<unk>", "one", "two", "three"])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    put(tmp_path, [" ".join(["one", "two", "three"][: i % 3 + 1]) for i in range(60)])
    ran = run(
        "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n"
        "  size: {use: count_tokens, inputs: docs, tokenizer: file, tokenizer_file: tokenizer.json}\n"
        "  pick: {use: random, inputs: [docs, size], budget: 50 tokens}\n"
        "  tok: {use: write_tokens, selection: pick, tokenizer: tokenizer.json}\n",
        tmp_path, tmp_path / "out",
    )  # fmt: skip
    assert "remarks" not in ran.manifest("tok").metrics
    assert ran.manifest("pick").metrics["filled"] >= 0.95
