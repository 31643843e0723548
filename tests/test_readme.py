"""The README's commands and code run as written."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"(?:<!-- run: (\w+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
BIN = Path(sys.executable).parent


def blocks(language: str, mark: str = "") -> list[str]:
    return [body for found, kind, body in BLOCK.findall(README) if kind == language and (not mark or found == mark)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with the README's recipe, scorer and some real text."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "raw").mkdir()
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:120]
    for number in range(3):
        with (folder / "raw" / f"part-{number:02d}.jsonl").open("w") as sink:
            for path in sources[number::3]:
                sink.write(json.dumps({"text": path.read_text("utf-8", "replace")}) + "\n")
    recipe, scorer_lines, policy_lines = blocks("yaml")
    (folder / "web.yaml").write_text(recipe)
    (folder / "scored.yaml").write_text(recipe + scorer_lines)
    (folder / "acting.yaml").write_text(recipe + policy_lines)
    (folder / "held_out.jsonl").write_text('{"text": "held out"}\n')
    (folder / "my_scorers.py").write_text(blocks("python", "scorer")[0])
    return folder


def run(command: str, folder: Path) -> str:
    words = shlex.split(re.split(r"\s#", command)[0])
    assert words[0] == "winnow"
    done = subprocess.run([str(BIN / "winnow"), *words[1:]], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_shell_commands_run_as_written(workplace):
    commands = [line for line in blocks("bash", "shell")[0].splitlines() if line.strip()]
    assert len(commands) >= 5
    outputs = [run(command, workplace) for command in commands]
    last = json.loads(outputs[2].strip().splitlines()[-1])
    assert set(last["stages"]) >= {"docs", "lang", "sig", "clean", "unique", "plain", "corpus"}
    assert all(stage["computed_units"] == 0 for stage in last["stages"].values()), "the second run is cached"
    shards = Path(last["stages"]["corpus"]["dir"]) / "shards"
    assert sorted(p.suffix for p in shards.iterdir()) == [".parquet"]


def test_why_finds_a_document_by_its_origin(workplace):
    run("winnow run web.yaml --out runs/web", workplace)
    told = run("winnow why runs/web part-00.jsonl#0", workplace)
    assert "clean" in told
    assert "unique" in told


def test_looking_at_a_run_works_as_written(workplace):
    run("winnow run web.yaml --out runs/web", workplace)
    commands = [line for line in blocks("bash", "looking")[0].splitlines() if line.strip()]
    assert len(commands) >= 5
    told = [run(command, workplace) for command in commands]
    page = Path(told[0].strip().splitlines()[-1].removeprefix("report: "))
    assert page.stat().st_size > 10_000
    assert (workplace / "shouting.py").is_file()


def test_the_scorer_runs_as_written(workplace):
    told = json.loads(run("winnow run scored.yaml --out runs/scored --json", workplace).strip().splitlines()[-1])
    assert told["stages"]["caps"]["rows"] == 120
    assert told["stages"]["best"]["kept"] > 0
    assert "caps_share" in run("winnow check my_scorers:caps_share", workplace)


def test_every_file_the_readme_names_exists():
    named = set(re.findall(r"`((?:tests|benchmarks|docs)/[\w/.-]+)`", README)) | set(
        re.findall(r"\]\(([\w/.-]+)\)", README)
    )
    assert [n for n in sorted(named) if not (ROOT / n).exists()] == []


def test_every_verb_and_extra_is_documented():
    import tomllib

    from winnow.cli import app

    verbs = [c.name or c.callback.__name__ for c in app.registered_commands]
    assert [v for v in verbs if f"winnow {v}" not in README] == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [e for e in extras if e != "dev" and f"[{e}]" not in README] == []


def test_the_arms_with_policies_plan_as_written(workplace):
    told = run("winnow plan acting.yaml --out runs/acting", workplace)
    assert "acts while it trains: reweighted lin_upper (r 0.4); even unimax" in told
