"""`winnow gc`: removes what no run reaches, keeps what is reused by reference, refuses while a run goes on."""

import json
import os
import socket
import time
from pathlib import Path

import pytest
from cli_runs import make_input, winnow, write_recipe

PARTS = """
name: web
stages:
  docs:  {use: jsonl, files: "raw/*.jsonl"}
  sig:   {use: signals, inputs: docs}
  clean: {use: filter, inputs: [sig], keep: {long: "word_count >= 40"}}
  best:  {use: top_k, inputs: [docs, clean], by: word_count, budget: 30 docs}
  out:   {use: write, inputs: [docs, best]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    make_input(tmp_path)
    write_recipe(tmp_path, PARTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *more):
    said = winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, *more, "--json")
    assert said.code == 0, said.err
    return said.json()["stages"]


def tree(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_nothing_that_a_run_needs_is_removed(folder, capsys):
    first = run(capsys)
    said = winnow(capsys, "gc", "out", "--json")
    assert said.code == 0, said.err
    assert said.json()["kept_stages"] == 5
    again = run(capsys)
    assert all(s["computed_units"] == 0 for s in again.values())
    assert {n: s["content_digest"] for n, s in again.items()} == {n: s["content_digest"] for n, s in first.items()}
    assert winnow(capsys, "why", "out", "1.jsonl#0").code == 0


def test_parts_reused_by_reference_keep_the_stage_that_holds_them(folder, capsys, monkeypatch):
    big = "\n".join(json.dumps({"text": "many plain words here " * 3000, "uid": i}) for i in range(90)) + "\n"
    (folder / "raw" / "a.jsonl").write_text(big)
    (folder / "raw" / "b.jsonl").write_text(big)
    before = run(capsys)
    (folder / "raw" / "c.jsonl").write_text(big)
    after = run(capsys)
    assert after["docs"]["cached_units"] > 0  # parts of the old reader are adopted
    assert after["docs"]["dir"] != before["docs"]["dir"]
    assert winnow(capsys, "forget", "out", "--keep", 1).code == 0
    (Path(before["docs"]["dir"]) / "manifest.json").unlink()  # its own receipts may be gone: the references count
    told = winnow(capsys, "gc", "out", "--json").json()
    gone = {r["path"] for r in told["removed"]}
    assert Path(before["docs"]["dir"]).is_dir()
    assert Path(before["best"]["dir"]).name in gone  # nothing of it is in use
    again = run(capsys)
    assert all(s["computed_units"] == 0 for s in again.values())
    shown = winnow(capsys, "why", "out", "b.jsonl#0", "--json")
    assert shown.code == 0, shown.err
    for path in Path(after["docs"]["dir"]).glob("shards/*"):
        assert path.stat().st_size
    (folder / "raw" / "d.jsonl").write_text(big)  # and the adopted parts can be adopted once more
    assert run(capsys)["docs"]["cached_units"] >= after["docs"]["cached_units"]


def test_stages_of_an_older_recipe_go_and_their_bytes_are_told(folder, capsys):
    first = run(capsys)
    second = run(capsys, "--set", "clean.keep.long=word_count >= 70")
    assert winnow(capsys, "forget", "out", "--keep", 1).code == 0
    old = {n for n in first if first[n]["dir"] != second[n]["dir"]}
    assert old == {"clean", "best", "out"}
    dry = winnow(capsys, "gc", "out", "--dry-run", "--json").json()
    assert dry["dry_run"]
    assert dry["bytes_freed"] > 0
    assert all(Path(first[n]["dir"]).is_dir() for n in old)
    before = sum(p.stat().st_size for p in _files_once(folder / "out"))
    told = winnow(capsys, "gc", "out", "--json").json()
    assert told["removed"] == dry["removed"]
    assert not any(Path(first[n]["dir"]).exists() for n in old)
    assert all(Path(s["dir"]).is_dir() for s in second.values())
    assert before - sum(p.stat().st_size for p in _files_once(folder / "out")) == told["bytes_freed"]


def _files_once(folder: Path) -> list[Path]:
    """Every file by its first name: shards are second names of committed files."""
    return list({p.stat().st_ino: p for p in sorted(folder.rglob("*")) if p.is_file()}.values())


def test_two_runs_in_one_root_both_keep_their_stages(folder, capsys):
    first = run(capsys, "--name", "one")
    run(capsys, "--name", "two", "--set", "clean.keep.long=word_count >= 70")
    winnow(capsys, "gc", "out")
    assert all(Path(s["dir"]).is_dir() for s in first.values())
    assert winnow(capsys, "forget", "out:one").code == 0
    winnow(capsys, "gc", "out")
    assert not Path(first["clean"]["dir"]).exists()


def test_leftovers_of_killed_attempts_go_and_what_winnow_did_not_write_stays(folder, capsys):
    stages = run(capsys)
    docs = Path(stages["docs"]["dir"])
    stray = docs / "_data" / "part" / "00000.000.0123456789ab-arrow.unit"
    stray.write_bytes(b"x" * 100)
    (docs / "data" / "numbered").mkdir(parents=True)  # as earlier versions named it
    (docs / "data" / "numbered" / "all.0123456789ab.arrow").write_bytes(b"y" * 50)
    old, young = docs / ".stage.json.0123456789ab.tmp", folder / "out" / "cache" / ".digests.json.0123456789ab.tmp"
    for path in (old, young):
        path.write_bytes(b"z")
    os.utime(old, (time.time() - 3600,) * 2)
    lost = docs / "manifest.0123456789ab-arrow.unit"
    lost.write_bytes(b"m")
    (folder / "out" / "code" / ("0" * 32)).mkdir(parents=True)
    theirs = [
        folder / "out" / "notes.txt",
        folder / "out" / "my-folder" / "data" / "keep.me",
        folder / "out" / "logs" / "a",
    ]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    clean = tree(folder / "out")
    told = winnow(capsys, "gc", "out", "--json").json()
    gone = clean - tree(folder / "out")
    assert {stray.name, "all.0123456789ab.arrow", old.name, lost.name} <= {Path(p).name for p in gone}
    assert not (folder / "out" / "code" / ("0" * 32)).exists()
    assert young.exists()
    assert all(p.exists() for p in theirs)
    assert {Path(r["path"]).name for r in told["removed"]} >= {stray.name, old.name}
    assert all(s["computed_units"] == 0 for s in run(capsys).values())


def test_an_unfinished_stage_keeps_the_units_it_has(folder, capsys):
    stages = run(capsys)
    sig = Path(stages["sig"]["dir"])
    # as a killed driver leaves it: receipts are on disk, the manifest is not
    from winnow.core.store.locations import open_store
    from winnow.core.store.manifest import StageDir

    stage = StageDir(open_store(folder / "out"), sig.name)
    receipts = stage.manifest().receipts
    (sig / "manifest.json").unlink()
    for receipt in receipts:
        stage.store.put_new(stage.receipt_key(receipt.phase, receipt.unit, receipt.key), receipt.as_json())
    data = tree(sig)
    assert winnow(capsys, "gc", "out").code == 0
    assert tree(sig) == data - {n for n in data if n.startswith("manifest.")}
    again = run(capsys)
    assert again["sig"]["computed_units"] == 0
    assert again["sig"]["content_digest"] == stages["sig"]["content_digest"]


@pytest.mark.parametrize(
    ("host", "pid", "age", "code"),
    [
        (socket.gethostname(), os.getpid(), 0, 4),
        (socket.gethostname(), os.getpid(), 3000, 4),
        (socket.gethostname(), 2**22 + 7, 0, 0),
        (socket.gethostname(), os.getpid(), 90_000, 0),
        ("another-host", 1, 10, 4),
        ("another-host", 1, 400, 0),
    ],
    ids=[
        "alive here",
        "alive here, silent",
        "killed here",
        "number taken by another process",
        "alive elsewhere",
        "silent elsewhere",
    ],
)
def test_gc_refuses_while_a_driver_may_be_alive(folder, capsys, host, pid, age, code, monkeypatch):
    first = run(capsys)
    run(capsys, "--set", "clean.keep.long=word_count >= 70")
    assert winnow(capsys, "forget", "out", "--keep", 1).code == 0
    beat = folder / "out" / "alive" / f"{host}-{pid}.json"
    beat.parent.mkdir(exist_ok=True)
    beat.write_text("{}")
    os.utime(beat, (time.time() - age,) * 2)
    if age == 3000:
        monkeypatch.setattr("psutil.Process.create_time", lambda _: time.time() - 2 * age)
    said = winnow(capsys, "gc", "out", "--json")
    assert said.code == code
    assert Path(first["clean"]["dir"]).exists() == (code == 4)
    if code:
        assert "a run is going on here" in said.json()["error"]["what"]


def test_gc_of_a_folder_that_is_no_root_or_with_an_unreadable_record_removes_nothing(folder, capsys):
    stages = run(capsys)
    (folder / "out" / "runs" / "broken.json").write_text("{")
    said = winnow(capsys, "gc", "out", "--json")
    assert said.code == 4
    assert "broken.json" in said.json()["error"]["where"]
    assert all(Path(s["dir"]).is_dir() for s in stages.values())
    assert winnow(capsys, "gc", "raw").code == 2
