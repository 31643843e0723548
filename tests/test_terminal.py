"""What verbs print is shown as it is, whatever the text says and whatever the terminal is."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from winnow.cli import VERBS, main
from winnow.cli.text import console_for
from winnow.core.terminal import Forgiving, console_on, escaped, say

PACKAGE = Path(__file__).parents[1] / "winnow"
ODD = (
    "It said :smile: and k:one:0 at http://x.example/a:one:b, [bold]loud[/bold] \x1b[31mred\x1b[0m \u202eback word word"
)
RECIPE = """
stages:
  docs: {use: jsonl, files: docs.jsonl, id: "field:id"}
  f: {use: filter, inputs: docs, keep: {a: "text LIKE '%:smile:%' AND text != '[red]:fire:[/red]'", b: "text_bytes > 2"}}
  same: {use: exact, inputs: [docs, f]}
  corpus: {use: write, inputs: [docs, same]}
"""
ARGS = {  # one call of every verb: arguments, exit code
    "run": (["r.yaml", "--out", "runs"], 0),
    "demo": (["--help"], 0),
    "plan": (["r.yaml", "--out", "runs"], 0),
    "why": (["runs", "d:1"], 0),
    "sample": (["runs"], 0),
    "sweep": (["runs", "--vary", "f.b=origin LIKE '%:fire:%' OR origin = '[red]x[/red]' OR text_bytes > 3"], 0),
    "diff": (["runs:r", "runs:r"], 0),
    "list": (["filter"], 0),
    "check": (["no_such:smile"], 2),
    "report": (["nothing_is_here"], 2),
    "export": (["runs", "f", "--to", "out"], 0),
    "ablate": (["a=docs.jsonl", "b=docs.jsonl", "--eval", "docs.jsonl", "--print-recipe"], 0),
    "new": (["scorer", "[bold]"], 2),
    "runs": (["runs"], 0),
    "forget": (["runs:r@99"], 2),
    "gc": (["runs", "--dry-run"], 0),
    "card": (["runs", "--to", "out"], 0),
    "warm": (["[bold]"], 2),
    "schema": ([], 0),
}
SHOWN = {"why": ":smile:", "sample": "[bold]loud[/bold]", "sweep": ":fire:", "check": "no_such:smile", "new": "[bold]"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("odd")
    rows = [{"id": "d:1", "text": ODD}, {"id": "d:2", "text": "plain"}, {"id": "d:3", "text": ODD}]
    (where / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (where / "r.yaml").write_text(RECIPE)
    here = Path.cwd()
    os.chdir(where)
    try:
        assert main(["run", "r.yaml", "--out", "runs", "--workers", "0"]) == 0
    finally:
        os.chdir(here)
    return where


def test_every_verb_is_tried():
    assert set(ARGS) == {name for name, _ in VERBS}


@pytest.mark.parametrize("verb", sorted(ARGS))
def test_texts_are_shown_as_they_are(folder, verb, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(folder)
    args, code = ARGS[verb]
    args = [str(tmp_path / "out") if word == "out" else word for word in args]
    assert main([verb, *args]) == code
    said = "".join(capsys.readouterr())
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said), said
    assert not re.search("[\u20e3\U0001f300-\U0001faff]", said), said
    if verb in SHOWN:
        assert SHOWN[verb] in said


CHILD = """
import json, os, sys
from winnow import cli
codes = {}
for verb, args in json.loads(sys.argv[1]).items():
    sys.argv = ["winnow", verb, *[a.replace("OUT", verb) for a in args]]
    out, err = sys.stdout, sys.stderr
    codes[verb] = cli.main()
    sys.stdout, sys.stderr = out, err
open("codes.json", "w").write(json.dumps(codes))
"""


@pytest.mark.parametrize("stream", ["ascii", "closed pipe", "closed"])
def test_every_verb_survives_what_its_output_goes_to(folder, stream, tmp_path):
    """ASCII alone, a reader that is gone (`| head -1`), none from the beginning: the same exit codes."""
    args = {verb: [f"{tmp_path}/OUT" if word == "out" else word for word in words] for verb, (words, _) in ARGS.items()}
    environ = os.environ | {"PYTHONIOENCODING": "ascii", "LANG": "C", "PYTHONPATH": str(PACKAGE.parent)}
    reader, writer = os.pipe()
    out = tmp_path / "said.txt"
    if stream == "closed pipe":
        os.close(reader)
    before = (lambda: os.close(1)) if stream == "closed" else None
    with out.open("wb") as sink:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, json.dumps(args)], cwd=folder, env=environ, check=False, preexec_fn=before,
            stdout=writer if stream == "closed pipe" else sink, stderr=subprocess.PIPE,
        )  # fmt: skip
    os.close(writer)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads((folder / "codes.json").read_text()) == {verb: code for verb, (_, code) in ARGS.items()}
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if stream == "ascii":
        assert out.read_bytes().isascii()
        assert b":smile:" in out.read_bytes()


def test_a_full_device_is_an_error_of_its_own(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "winnow", "list"]
        environ = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=environ, text=True)
    assert done.returncode == 4
    assert "cannot write to standard output" in done.stderr


def test_there_is_one_console_and_no_markup_anywhere():
    told = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    made = {name for name, text in told.items() if re.search(r"\bConsole\(|rich import print|rich\.print", text)}
    assert made == {"core/terminal.py"}
    loud = {
        name for name, text in told.items() if re.search(r"console\.print\([^)]*(markup|highlight|emoji)=|\[/\]", text)
    }
    assert loud == set()


def test_a_console_changes_no_text():
    for made in (console_on, console_for):
        sink = io.StringIO()
        say(made(sink), [("bold", ODD), ("", "a\x07b")])
        assert sink.getvalue().splitlines() == [escaped(ODD), "a\\x07b"]
        assert "\x1b" not in sink.getvalue()


def test_a_stream_that_is_none_swallows_what_is_said():
    stream = Forgiving(None)
    assert stream.write("x") == 1
    stream.flush()
