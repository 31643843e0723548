"""The typed face of the Python form: the stub says what the operators say, and a type checker holds programs to it."""

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import winnow
from winnow.core.operators import Derive, Union
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.pipeline.measure.signals import Signals

ROOT = Path(winnow.__file__).parent.parent
PROGRAM = """
import winnow as w
from winnow import testing

docs = w.read("raw/*.jsonl", id="content", columns={"url": "string"}, max_bad_share=0.01, name="docs")
clean = docs.signals(dialect="dclm").filter(name="clean", preset="gopher_quality", keep={"long": "word_count > 3"})
pool = clean.exact().minhash(threshold=0.75, where="text_bytes > 10").fasttext(positive=docs, epoch=1)
both = w.concat(docs, w.read("b.parquet", source="b"), name="both", strict=True)
best = pool.top_k(by="fasttext", tokens="5M", seed=3)
best.write(format="jsonl.zst", carry=["url"]).run("runs/x", workers=0).frame("clean")
pool.write_tokens(selection=best, form="olmo").run("runs/x")
table = w.ablate(
    pool,
    arms={"best": best, "drawn": w.sample(by="fasttext", share=0.1), "spread": w.facility_location(docs=20)},
    baseline=w.random(tokens=5_000_000), eval={"taught": docs}, run="runs/x", seeds=3, tokens="1M", width=32,
)
print(table, w.top_k(by="word_count", budget="10%"), pool.widen().chain)
reveal_type(pool.write())
reveal_type(pool.write_tokens(selection=best))
"""
WRONG = {
    'w.read("x").signalz()': '"Rows" has no attribute "signalz"',
    'w.read("x").signals(dialect=3)': 'Argument "dialect" to "signals"',
    'w.read("x").signals(dialekt="dclm")': 'Unexpected keyword argument "dialekt" for "signals"',
    'w.read("x").signals("dclm")': 'Too many positional arguments for "signals"',
    'w.read("x").top_k(tokens="5M")': 'Missing named argument "by" for "top_k"',
    'w.read("x").minhash(threshold="high")': 'Argument "threshold" to "minhash"',
    'w.read("x").minhash(seed="one")': 'Argument "seed" to "minhash"',
    'w.read("x").jsonl(files="y")': '"Rows" has no attribute "jsonl"',
    'w.read("x", text_feld="t")': 'Unexpected keyword argument "text_feld" for "read"',
    'w.read("x").write_tokens(selection="best").signals()': '"Made" has no attribute "signals"',
    'w.random(tokenz="5M")': 'Unexpected keyword argument "tokenz" for "random"',
    'w.reed("x")': 'Module has no attribute "reed"',
    'w.ablate(w.read("x"), arms={}, eval="y", run="z", widht=3)': 'Unexpected keyword argument "widht" for "ablate"',
}


@pytest.fixture(scope="module")
def stubs():
    spec = importlib.util.spec_from_file_location("stubs", ROOT / "docs" / "hooks" / "stubs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checked(folder: Path, text: str) -> list[str]:
    """What mypy says about a program, one line each, without the place."""
    (folder / "program.py").write_text(text)
    options = [
        "--no-error-summary",
        "--hide-error-context",
        "--follow-imports=silent",
        "--no-pretty",
        "--cache-dir=.mypy_cache/programs",
    ]  # its own: other options would empty that of `make check`
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(folder / "program.py")],
        cwd=ROOT, env={"MYPYPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return [re.sub(r"^.*?program\.py:(\d+): ", r"\1 ", line) for line in done.stdout.splitlines()]


def test_the_stub_is_what_the_operators_say(stubs):
    assert stubs.STUB.read_text("utf-8") == stubs.stub(), "run `make stubs`"


def test_a_changed_field_changes_the_stub(stubs, monkeypatch):
    before = stubs.method("signals", Signals)
    more = dataclasses.make_dataclass("More", [("extra", int, 3)], bases=(Signals,), frozen=True, kw_only=True)
    changed = stubs.method("signals", more)
    assert changed != before
    assert "extra: Whole = 3" in " ".join(changed)


def test_every_operator_that_reads_rows_is_a_method_and_every_selector_a_function(stubs):
    text = stubs.STUB.read_text("utf-8")
    on_rows = {n for n in REGISTRY if not issubclass(operator_class(n), Derive | Union)}
    assert set(re.findall(r"^    def (\w+)\(", text, re.MULTILINE)) == on_rows
    selectors = {n for n in REGISTRY if operator_class(n).role == "selector"}
    assert set(re.findall(r"^def (\w+)\(", text, re.MULTILINE)) == selectors


def test_every_selector_is_typed_by_its_name_in_winnow(tmp_path):
    selectors = [n for n in REGISTRY if operator_class(n).role == "selector"]
    lines = [*(f"reveal_type(w.{name})" for name in selectors), *(f"w.{name}(seed='one')" for name in selectors)]
    said = checked(tmp_path, "\n".join(["import winnow as w", *lines]) + "\n")
    for number, name in enumerate(selectors, 2):
        (told,) = [line for line in said if line.startswith(f"{number} note: Revealed type")]
        assert told.endswith('-> winnow.core.operators.usercode.Selection"'), name
        wrong = [line for line in said if line.startswith(f"{number + len(selectors)} error:")]
        assert any(f'Argument "seed" to "{name}"' in line for line in wrong), name


def test_programs_of_the_documentation_pass_and_wrong_ones_do_not(tmp_path):
    example = (ROOT / "docs" / "examples" / "python_form.py").read_text("utf-8")
    (tmp_path / "my_scorers.py").write_text((ROOT / "docs" / "examples" / "my_scorers.py").read_text("utf-8"))
    right = checked(tmp_path, PROGRAM + example)
    revealed = [line for line in right if "Revealed type" in line]
    assert [line.split("is ")[1].strip('"') for line in revealed] == [
        "winnow.dags.python.rows.Rows",
        "winnow.dags.python.recipe.Made",
    ]
    assert [line for line in right if line not in revealed] == []
    wrong = checked(tmp_path, "import winnow as w\n" + "\n".join(WRONG) + "\n")
    found = {int(line.split()[0]): line for line in wrong if " error: " in line}
    assert set(found) == set(range(2, len(WRONG) + 2)), wrong
    for number, message in enumerate(WRONG.values(), 2):
        assert message in found[number]
