"""Budgets and sizes read as people write them, and nonsense is refused with examples."""

import pickle

import pytest

from winnow.core.errors import ConfigError
from winnow.core.operators.budget import Budget, parse_bytes


@pytest.mark.parametrize(
    ("text", "amount", "unit", "canonical"),
    [
        ("5M tokens", 5e6, "tokens", "5M tokens"),
        ("5 m TOKENS", 5e6, "tokens", "5M tokens"),
        ("250k tokens", 250e3, "tokens", "250k tokens"),
        ("1.1k tokens", 1100, "tokens", "1.1k tokens"),
        ("1 token", 1, "tokens", "1 tokens"),
        ("2B tokens", 2e9, "tokens", "2B tokens"),
        ("1e6 tokens", 1e6, "tokens", "1M tokens"),
        ("1_234_567 tokens", 1234567, "tokens", "1234.567k tokens"),
        ("20GB", 20e9, "bytes", "20GB"),
        ("512 MiB", 512 * 2**20, "bytes", "536870.912kB"),
        ("7 bytes", 7, "bytes", "7B"),
        ("10%", 0.1, "share", "10%"),
        ("12.5 %", 0.125, "share", "12.5%"),
        ("100%", 1.0, "share", "100%"),
        ("300 docs", 300, "docs", "300 docs"),
        ("5k docs", 5000, "docs", "5k docs"),
        ("2 epochs", 2, "epochs", "2 epochs"),
        ("1 epoch", 1, "epochs", "1 epochs"),
        ("0.5 epochs", 0.5, "epochs", "0.5 epochs"),
    ],
)
def test_budgets_read_as_written_and_print_canonically(text, amount, unit, canonical):
    budget = Budget.parse(text)
    assert (budget.amount, budget.unit, str(budget)) == (amount, unit, canonical)
    assert Budget.parse(str(budget)) == budget
    assert pickle.loads(pickle.dumps(budget)) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "5M",
        "tokens",
        "-5 tokens",
        "0 docs",
        "nan tokens",
        "inf tokens",
        "101%",
        "0%",
        "-1%",
        "1.5 docs",
        "0.5 tokens",
        "5 parsecs",
        "5 tokens and more",
        "1e400 tokens",
        "1e99999999999999999999 tokens",
        "5 k epochs",
        "٣ tokens",
        "5Btokens",
        "0.0001 k tokens",
    ],
)
def test_nonsense_is_refused_with_the_value_and_examples(text):
    with pytest.raises(ConfigError) as caught:
        Budget.parse(text)
    assert "5M tokens" in caught.value.hint
    assert caught.value.what


@pytest.mark.parametrize(
    ("amount", "unit"),
    [
        (0, "tokens"),
        (-1, "docs"),
        (float("nan"), "share"),
        (float("inf"), "bytes"),
        (1.5, "tokens"),
        (1.1, "share"),
        (1, "pages"),
    ],
)
def test_a_budget_built_in_python_is_checked_too(amount, unit):
    with pytest.raises(ConfigError):
        Budget(amount, unit)


def test_equal_budgets_are_equal_however_they_were_built():
    assert Budget(300, "docs") == Budget(300.0, "docs") == Budget.parse("0.3k docs")
    assert isinstance(Budget(300, "docs").amount, float)


def test_a_share_of_a_total_is_rounded_down_exactly_and_is_at_least_one_document():
    assert Budget.parse("29%").of(100) == 29  # 0.29 * 100 is 28.999... in floats
    assert [Budget.parse("10%").of(n) for n in (0, 1, 5, 9, 19, 20)] == [0, 1, 1, 1, 1, 2]
    assert Budget.parse("5M tokens").of(3) == 5_000_000
    with pytest.raises(ConfigError, match="2 epochs"):
        Budget.parse("2 epochs").of(10)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50MB", 50_000_000),
        ("50 mb", 50_000_000),
        ("1 KiB", 1024),
        ("1.5 MiB", 1_572_864),
        ("7B", 7),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes_read_as_written(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "50", "MB", "-1MB", "0MB", "1.5B", "50 tokens", "10%"])
def test_sizes_without_sense_are_refused(text):
    with pytest.raises(ConfigError):
        parse_bytes(text)
