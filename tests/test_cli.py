"""The command line: JSON shapes, exit codes, the last-line rule, what a plan says, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cli_runs import RECIPE, environment, make_input, winnow, winnow_process, write_recipe

from winnow.cli import main
from winnow.core.terminal import duration
from winnow.dags.before.plan_view import plan_total
from winnow.dags.driver.progress import StageProgress, folded, number

STAGE_KEYS = {
    "dir", "kind", "fingerprint", "content_digest", "rows", "kept", "tokens", "tokens_estimated_by", "seconds", "metrics", "population", "not_respected", "cached_units",
    "computed_units", "remarks", "expect",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    make_input(tmp_path)
    write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(told):
    """Stage -> fields that changed, without inputs that changed before it."""
    return {
        s["name"]: [c["field"] for c in s["changed"] if not c["field"].startswith("input ")]
        for s in told["stages"]
        if s["state"] != "cached"
    }


def test_run_prints_one_object_as_the_last_line_and_a_rerun_computes_nothing(folder, capsys):
    first = winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, "--json")
    assert first.code == 0, first.err
    assert len(first.out.strip().splitlines()) == 1
    told = first.json()
    assert (told["run"], told["root"]) == ("web", str(folder / "out"))
    assert list(told["stages"]) == [
        "docs", "sig", "clean", "exact", "unique.signatures", "unique.pairs", "unique.check", "unique", "best", "plain", "corpus",
    ]  # fmt: skip
    for stage in told["stages"].values():
        assert set(stage) == STAGE_KEYS
        assert Path(stage["dir"]).is_absolute()
        assert Path(stage["dir"]).is_dir()
        assert len(stage["fingerprint"]) == len(stage["content_digest"]) == 32
        assert stage["computed_units"] > 0
    assert told["stages"]["docs"]["kept"] is None
    assert told["stages"]["best"]["kept"] == 40
    assert told["stages"]["clean"]["kept"] == 177

    again = winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, "--json").json()
    for name, stage in again["stages"].items():
        assert stage["computed_units"] == 0
        assert stage["cached_units"] > 0
        assert stage["content_digest"] == told["stages"][name]["content_digest"]


def test_the_summary_tells_clauses_duplicates_selections_bad_rows_and_shards(folder, capsys):
    with (folder / "raw" / "0.jsonl").open("a") as raw:
        raw.write("this is no json\n")
    said = winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0)
    assert said.code == 0, said.err
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert "clean filter 180 177 98.3%" in lines
    assert "long refuses 3, alone 3" in lines
    assert "exact exact 177 175 98.9% 2 duplicates removed, 1 cluster, largest 3" in lines
    assert "unique minhash 175 173 98.9% 2 duplicates removed, 1 cluster, largest 3" in lines
    quarantine = next(line for line in lines if line.startswith("! docs: 1 record in quarantine (invalid_json 1)"))
    folder, told = quarantine.removeprefix("! docs: 1 record in quarantine (invalid_json 1): ").split("; first: ")
    assert Path(folder).is_dir()
    assert told.startswith("0.jsonl#")
    assert "invalid_json: invalid literal" in told
    shards = Path(lines[-1].removeprefix("corpus: "))
    assert shards.name == "shards"
    assert (shards.with_name("shards.meta") / "index.json").is_file()
    assert "docs: done, 1/1 units" in said.err  # plain lines, as stderr is no terminal


def test_a_clause_without_a_value_is_told_loudly(folder, capsys):
    recipe = RECIPE.replace('short: "word_count < 140"', 'short: "nullif(word_count, 4) < 140"')
    write_recipe(folder, recipe)
    said = winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, "--until", "clean")
    assert said.code == 0, said.err
    assert "! clean: clause 'short' has no value for 3 rows: not kept" in said.out


def test_until_runs_what_a_stage_needs_and_no_more(folder, capsys):
    told = winnow(capsys, "run", "web.yaml", "--out", "out", "--until", "clean", "--workers", 0, "--json").json()
    assert list(told["stages"]) == ["docs", "sig", "clean"]


def test_the_default_root_is_named_after_the_recipe(folder, capsys):
    told = winnow(capsys, "run", "web.yaml", "--until", "docs", "--workers", 0, "--json").json()
    assert told["root"] == str(folder / "runs" / "web")


@pytest.mark.parametrize(
    ("args", "code", "what"),
    [
        (["run", "web.yml"], 2, "no recipe at 'web.yml'"),
        (["run", "demoo"], 2, "unknown recipe 'demoo'"),
        (["run", "web.yaml", "--set", "min_words"], 2, "'min_words' is not KEY=VALUE"),
        (["run", "web.yaml", "--set", "mni_words=3"], 2, "--set mni_words"),
        (["run", "web.yaml", "--set", "clean.keep.long=]["], 2, "this is not YAML"),
        (["run", "web.yaml", "--until", "claen"], 2, "no stage 'claen'"),
        (["run", "web.yaml", "--engine", "spark"], 2, "unknown engine 'spark'"),
        (["run", "web.yaml", "--workers", "-1"], 2, "--workers"),
        (["run", "web.yaml", "--out", "web.yaml"], 2, "cannot write to the run root"),
        (["run", "web.yaml", "--name", "a/b"], 2, "'a/b' cannot name a run"),
        (["run", "web.yaml", "--nmae", "x"], 2, "--nmae"),
        (["frobnicate"], 2, "frobnicate"),
        (["why", "nowhere", "x"], 2, "no run at 'nowhere'"),
        (["gc", "nowhere"], 2, "no run at 'nowhere'"),
        (["check", "top_kk"], 2, "neither a recipe"),
    ],
)
def test_what_a_user_gets_wrong_exits_2_with_what_is_wrong_and_runs_nothing(folder, capsys, args, code, what):
    said = winnow(capsys, *args, "--json")
    assert said.code == code, said.err
    assert said.err.startswith("error: ")
    assert what in said.err
    assert "Traceback" not in said.err
    error = said.json()["error"]
    assert set(error) == {"kind", "what", "where", "hint", "exit_code"}
    assert (error["kind"], error["exit_code"]) == ("ConfigError", 2)
    assert not (folder / "runs" / "web" / "runs").exists()


def test_wrong_data_exit_3_name_the_quarantine_and_still_show_what_was_done(folder, capsys):
    with (folder / "raw" / "0.jsonl").open("a") as raw:
        raw.write("this is no json\n" * 90)
    recipe = RECIPE + '  other: {use: text_files, files: "web.yaml"}\n'
    write_recipe(folder, recipe)
    said = winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, "--json")
    assert said.code == 3
    assert said.json()["error"]["kind"] == "DataError"
    assert "_data/quarantine" in said.json()["error"]["where"]
    assert "other" in said.err  # the stage that could run did, and is told


def test_a_bug_is_one_line_and_its_traceback_goes_to_a_file(folder, capsys, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("winnow.dags.driver.runner.Runner.run", broken)
    said = winnow(capsys, "run", "web.yaml", "--out", "out", "--json")
    assert said.code == 4
    assert "Traceback" not in said.err
    assert "error: unexpected RuntimeError: boom" in said.err.splitlines()
    log = Path(said.json()["error"]["hint"].removeprefix("this is a bug; details in "))
    assert log.parent == folder / "out" / "logs"
    assert "boom" in log.read_text()


def test_the_module_runs_as_a_program_with_the_same_exit_code_and_last_line(folder):
    done = winnow_process("run", "web.yaml", "--out", "out", "--until", "sig", "--workers", 0, "--json", cwd=folder)
    assert done.code == 0, done.err
    assert set(done.json()) == {"run", "root", "stages"}
    bad = winnow_process("plan", "nothing-here", "--json", cwd=folder)
    assert bad.code == 2
    assert "error" in bad.json()


def test_importing_winnow_loads_nothing_heavy_and_every_public_name_exists():
    code = (
        "import sys, winnow; heavy = {'polars', 'numpy', 'pyarrow', 'torch', 'ray', 'numba', 'typer'};"
        "heavy &= set(sys.modules);"
        "assert not heavy, heavy; assert len(winnow.__all__) <= 25;"
        "[getattr(winnow, name) for name in winnow.__all__];"
        "assert not {'torch', 'ray', 'numba', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_list_names_every_operator_with_its_docstring_without_heavy_libraries():
    code = (
        "import sys; from winnow.cli import main; code = main(['list', '--json']);"
        "heavy = {'torch', 'ray', 'scipy', 'fasttext', 'numba'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout.splitlines()[-1])
    assert all(set(o) == {"name", "role", "summary", "source"} for o in listed)
    names = [o["name"] for o in listed]
    assert names == sorted(names)
    assert {"jsonl", "filter", "minhash", "top_k", "write", "ablation"} <= set(names)
    assert all(o["summary"] and not o["summary"].startswith("cannot be imported") for o in listed)


def test_plan_shows_a_new_root_without_making_it(folder, capsys):
    told = winnow(capsys, "plan", "web.yaml", "--out", "fresh", "--json").json()
    assert not (folder / "fresh").exists()
    assert {s["state"] for s in told["stages"]} == {"new"}
    stages = {s["name"]: s for s in told["stages"]}
    assert stages["docs"]["files"]["files"]["files"] == 3
    assert stages["clean"]["columns"]["word_count"] == "sig.word_count"
    assert stages["exact"]["where"] == "kept_clean"
    assert stages["exact"]["resolved"] == ["clean"]
    assert stages["best"]["population"] == ["unique.kept"]
    assert stages["unique"]["refs"] == {"pairs": "unique.pairs"}
    assert stages["unique.pairs"]["hidden"]
    assert not stages["docs"]["trusted"]


def test_plan_says_which_inputs_are_trusted_and_which_stages_are_implied(folder, capsys):
    recipe = RECIPE.replace('id: "field:uid"', 'id: "field:uid", identity: stat').replace("40 docs", "2k tokens")
    write_recipe(folder, recipe)
    stages = {s["name"]: s for s in winnow(capsys, "plan", "web.yaml", "--json").json()["stages"]}
    assert stages["docs"]["trusted"]
    assert stages["tokens"]["implicit"]
    said = winnow(capsys, "plan", "web.yaml")
    assert "trusted: by size and time" in said.out
    assert "population: rows that unique kept" in said.out


def test_plan_after_a_run_is_all_cached_and_starts_no_engine(folder, capsys, monkeypatch):
    winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0)
    monkeypatch.setattr(
        "winnow.dags.driver.runner.choose_engine", lambda *_, **__: pytest.fail("an engine was started")
    )
    said = winnow(capsys, "plan", "web.yaml", "--out", "out", "--json")
    assert {s["state"] for s in said.json()["stages"]} == {"cached"}
    assert plan_total(said.json()) == "11 of 11 stages are cached, 0 would run"


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (["min_words=50"], {"clean": ["keep.long"]}),
        (["unique.threshold=0.8"], {f"unique{part}": ["threshold"] for part in (".pairs", ".check", "")}),
        (["best.by=char_count"], {"best": ["by"]}),
        (["seed=8"], {"plain": ["seed"]}),
        (["exact.where=pass_long"], {"exact": ["where"]}),
        (["corpus.format=arrow"], {"corpus": ["format"]}),
    ],
)
def test_plan_names_the_field_that_changed_and_only_that(folder, capsys, sets, expected):
    winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0)
    pairs = [piece for pair in sets for piece in ("--set", pair)]
    told = winnow(capsys, "plan", "web.yaml", "--out", "out", *pairs, "--json").json()
    found = changed(told)
    assert {name: fields for name, fields in found.items() if fields} == expected
    behind = [c["field"] for s in told["stages"] if s["state"] != "cached" for c in s["changed"]]
    assert all(field.startswith("input ") or any(field in fields for fields in expected.values()) for field in behind)


def test_plan_tells_old_and_new_value_and_files_that_came_and_went(folder, capsys):
    winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, "--until", "clean")
    make_input(folder, files=1, start=7)
    (folder / "raw" / "0.jsonl").unlink()
    told = winnow(capsys, "plan", "web.yaml", "--out", "out", "--set", "min_words=50", "--json").json()
    stages = {s["name"]: s for s in told["stages"]}
    assert stages["docs"]["changed"] == [
        {"field": "files", "was": "3 files", "now": "3 files: 1 added (7.jsonl), 1 removed (0.jsonl)"}
    ]
    assert {"field": "keep.long", "was": "word_count >= 40", "now": "word_count >= 50"} in stages["clean"]["changed"]
    assert "input docs" in [c["field"] for c in stages["sig"]["changed"]]
    assert stages["exact"]["state"] == "new"


def test_plan_sees_an_edited_user_function_and_a_run_record_of_another_format_does_no_harm(folder, capsys):
    scorer = "import winnow as w\n\n@w.scorer('caps')\ndef caps(text):\n    return text.str.len_chars() {}\n"
    (folder / "my_scorers.py").write_text(scorer.format("+ 0"))
    write_recipe(folder, RECIPE + '  caps: {use: "my_scorers:caps", inputs: docs}\n')
    assert winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, "--until", "caps").code == 0
    (folder / "my_scorers.py").write_text(scorer.format("+ 1"))
    told = winnow(capsys, "plan", "web.yaml", "--out", "out", "--until", "caps", "--json").json()
    assert changed(told) == {"caps": ["code"]}
    (folder / "out" / "runs" / "web.json").write_text('{"format": 99, "stages": {}}')
    told = winnow(capsys, "plan", "web.yaml", "--out", "out", "--until", "caps", "--json").json()
    assert changed(told) == {"caps": []}
    said = winnow(capsys, "gc", "out", "--json")
    assert said.code == 4
    assert "form that this version of winnow does not read" in said.json()["error"]["what"]


def test_check_reports_all_errors_of_a_recipe_at_once(folder, capsys):
    recipe = RECIPE.replace("use: signals", "use: singals").replace("threshold: 0.7", "threshold: 7")
    write_recipe(folder, recipe + '  other: {use: text_files, files: "none/*.txt"}\n')
    said = winnow(capsys, "check", "web.yaml", "--json")
    assert said.code == 2
    wheres = [e["where"] for e in said.json()["errors"]]
    assert wheres == ["stages.sig", "stages.unique.threshold", "stages.other.files"]
    write_recipe(folder)
    assert winnow(capsys, "check", "web.yaml", "--json").json()["ok"]


def test_check_runs_the_contract_suite_over_a_user_function(folder, capsys):
    (folder / "mine.py").write_text(
        "import polars as pl\nimport winnow as w\n\n"
        "@w.scorer('good')\ndef good(text):\n    return text.str.len_chars().cast(pl.Float64)\n\n"
        "@w.scorer('mean')\ndef mean(text):\n"
        "    return text.str.len_chars() - text.str.len_chars().mean()\n"
    )
    good = winnow(capsys, "check", "mine:good", "--json")
    assert good.code == 0, good.err
    bad = winnow(capsys, "check", "mine:mean", "--json")
    assert bad.code == 3
    assert "batch" in {f["rule"] for f in bad.json()["findings"] if f["status"] == "broken"}


def test_ctrl_c_exits_130_leaves_no_process_and_the_rerun_goes_on(folder):
    (folder / "slow.py").write_text(
        "import time\nimport winnow as w\n\n@w.scorer('slow')\ndef slow(text):\n    time.sleep(3)\n"
        "    return text.str.len_chars()\n"
    )
    write_recipe(folder, RECIPE + '  late: {use: "slow:slow", inputs: docs}\n')
    command = [sys.executable, "-m", "winnow", "run", "web.yaml", "--out", "out", "--workers", "2", "--json",
               "--until", "late"]  # fmt: skip
    running = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    for line in running.stderr:
        if line.startswith("docs: done"):
            break
    time.sleep(1.0)
    children = psutil.Process(running.pid).children(recursive=True)
    assert children
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert "stopped; finished units are kept; run again to go on" in err
    assert "Traceback" not in err
    assert json.loads(out.splitlines()[-1])["error"]["exit_code"] == 130
    _, left = psutil.wait_procs(children, timeout=5)
    assert not left
    assert not list((folder / "out" / "alive").glob("*.json"))
    (folder / "slow.py").write_text((folder / "slow.py").read_text().replace("sleep(3)", "sleep(0)"))
    again = winnow_process(*command[3:], cwd=folder)
    assert again.code == 0, again.err
    assert again.json()["stages"]["docs"]["computed_units"] == 0


def test_a_long_run_folds_quiet_sub_stages_and_never_a_running_or_failed_one():
    stages = [StageProgress(name=f"s{i}", hidden=i % 2 == 1, status="done") for i in range(20)]
    stages[5].status, stages[7].status = "running", "failed"
    assert folded(stages, 20, force=False) == stages
    shown = folded(stages, 8, force=False)
    assert len(shown) == 8
    assert {"s5", "s7"} <= {s.name for s in shown}
    last = [s.name for s in folded(stages, 8, force=True)]
    assert last == sorted({*(f"s{i}" for i in range(0, 20, 2)), "s5", "s7"}, key=lambda n: int(n[1:]))


def test_short_numbers_and_durations_read_well():
    assert [number(v) for v in (None, 0.0471, 12.34, 999.9, 12345, 999999, 1.5e9)] == [
        "", "0.0471", "12.3", "1e+03", "12.3k", "1000k", "1.5G",
    ]  # fmt: skip
    assert [duration(s) for s in (0.02, 0.84, 42.2, 185, 7800)] == ["20ms", "0.8s", "42s", "3m 05s", "2h 10m"]


@pytest.mark.parametrize(("asked", "code"), [(3, 3), (0, 0), (None, 0)])
def test_code_that_ends_the_process_has_its_exit_code(monkeypatch, asked, code):
    def leave(**_):
        raise SystemExit(asked)

    monkeypatch.setattr("winnow.cli.app", leave)
    assert main(["list"]) == code
