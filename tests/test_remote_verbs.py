"""Every verb that takes a run root says of one on S3 what it says of the same run in a folder."""

from __future__ import annotations

import json
import os
import re
import socket
import time

import pytest
from support import put_corpus, texts
from support_s3 import SECRET
from test_remote_root import new_root

from winnow.cli import main
from winnow.core.store.locations import open_store
from winnow.dags.recipe.records import living_drivers

RECIPE = """
seed: 7
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl", id: content}
  sig:    {use: signals, inputs: docs}
  clean:  {use: filter, inputs: [docs, sig], keep: {long: "word_count > 5"}}
  exact:  {use: exact, inputs: docs}
  plain:  {use: random, inputs: docs, budget: 50%}
  corpus: {use: write, inputs: [docs, plain], shard_bytes: 6KB}
"""


@pytest.fixture
def roots(s3, tmp_path, monkeypatch):
    """(a root in a folder, one on S3) of the same two runs."""
    monkeypatch.chdir(tmp_path)
    same = texts(40, seed=1)
    put_corpus(tmp_path / "raw", [*same, *same[:5]], 2)
    (tmp_path / "r.yaml").write_text(RECIPE)
    pair = (str(tmp_path / "root"), new_root())
    for root in pair:
        for more in ([], ["--set", "plain.budget=20%"]):
            assert main(["run", "r.yaml", "--out", root, *more]) == 0
    return pair


def told(words, capfd):
    code = main(words)
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    return code, out, err


VERBS = {
    "plan": ["plan", "r.yaml", "--out", "ROOT"],
    "runs": ["runs", "ROOT", "--json"],
    "why": ["why", "ROOT", "f000.jsonl#0"],
    "why full": ["why", "ROOT:r", "f000.jsonl#293", "--full"],
    "sample": ["sample", "ROOT", "-n", "3"],
    "sample dropped": ["sample", "ROOT", "--dropped", "-n", "2", "--json"],
    "sweep": ["sweep", "ROOT", "--vary", "clean.long:5=3,8"],
    "diff": ["diff", "ROOT:r@1", "ROOT:r@2"],
    "card": ["card", "ROOT:r"],
    "gc": ["gc", "ROOT", "--dry-run"],
    "again": ["run", "r.yaml", "--out", "ROOT", "--set", "plain.budget=20%", "--json"],
}


def plain(text, root):
    """Without the root, and what a clock, a size on disk or a name of a process decides."""
    text = text.replace(root, "ROOT")
    text = re.sub(
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00| UTC)?|\d+(\.\d+)? ?(ms|s|min)\b", "TIME", text
    )
    return re.sub(r'"(seconds|began|ended|time)": ?[^,}]+', "TIME", text)


def test_every_verb_says_the_same_of_a_root_on_s3(roots, capfd):
    capfd.readouterr()
    for name, words in VERBS.items():
        answers = [told([w.replace("ROOT", root) for w in words], capfd) for root in roots]
        assert answers[0][0] == answers[1][0] == 0, (name, answers)
        here, there = (plain(answer[1], root) for answer, root in zip(answers, roots, strict=True))
        assert there.split() == here.split(), name


def test_a_report_and_an_export_come_of_a_root_on_s3(roots, tmp_path, capfd):
    for number, root in enumerate(roots):
        assert main(["export", f"{root}:r", "corpus", "--to", str(tmp_path / f"out-{number}")]) == 0
        assert main(["report", root, "--out", str(tmp_path / f"page-{number}.html")]) == 0
        assert main(["report", root]) == 0
    files = [{p.name: p.read_bytes() for p in (tmp_path / f"out-{n}").glob("*")} for n in range(2)]
    assert files[0] == files[1]
    assert files[0]
    assert (tmp_path / "page-1.html").stat().st_size > 10_000
    assert any(key.endswith(".html") for key in open_store(roots[1]).walk(""))
    out, err = capfd.readouterr()
    assert SECRET not in out + err


def test_gc_removes_on_s3_what_it_removes_in_a_folder(roots, capfd):
    for root in roots:
        assert main(["forget", f"{root}:r@1"]) == 0
    capfd.readouterr()
    gone = []
    for root in roots:
        assert main(["gc", root, "--json"]) == 0
        gone.append(json.loads(capfd.readouterr().out.splitlines()[-1]))
        assert main(["run", "r.yaml", "--out", root, "--set", "plain.budget=20%", "--json"]) == 0
        stages = json.loads(capfd.readouterr().out.splitlines()[-1])["stages"]
        assert stages
        assert all(stage["computed_units"] == 0 for stage in stages.values())
    folders = [sorted({one["path"].split("/")[0] for one in g["removed"]}) for g in gone]
    assert folders[0] == folders[1]


def test_clocks_that_differ_hide_no_living_driver(s3, monkeypatch):
    store = open_store(new_root())
    store.put("alive/elsewhere-17.json", b"{}")
    store.put(f"alive/{socket.gethostname()}-{os.getpid()}.json", json.dumps({"time": time.time()}).encode())
    real = time.time
    for ahead in (-7200.0, 0.0, 7200.0):  # this machine's clock, seconds before the store's
        monkeypatch.setattr(time, "time", lambda ahead=ahead: real() + ahead)
        assert len(living_drivers(store)) == 2, ahead
    assert not [key for key in store.walk("") if key.endswith(".tmp")]
