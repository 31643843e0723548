"""Questions to a process apart: each is answered in a fork of its own, and how that ended is told."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from winnow.testing import forked

SEEN: list[str] = []


def ready():
    SEEN.append("ready")


def note(file, name):
    SEEN.append(name)
    Path(file).write_text(f"{os.getpid()} {os.getppid()} {','.join(SEEN)} {os.environ.get('GIVEN', '')}")


def die(how):
    print("last words", file=sys.stderr, flush=True)
    if how == "signal":
        os.kill(os.getpid(), 9)
    raise SystemExit(7) if how == "exit" else ValueError("no value")


@pytest.fixture
def ask(tmp_path):
    path = [str(Path(__file__).parent), *sys.path]

    def asked(function, *arguments, given=""):
        environ = {**os.environ, "GIVEN": given, "PYTEST_CURRENT_TEST": ""}
        return forked.ask(environ, path, "test_forked:ready", f"test_forked:{function}", *arguments, words=tmp_path / "words")  # fmt: skip

    yield asked
    forked._close_all()


def test_a_process_answers_many_questions_and_each_sees_what_was_imported_alone(ask, tmp_path):
    told = []
    for name in "ab":
        assert ask("note", str(tmp_path / "out"), name) == 0
        told.append((tmp_path / "out").read_text().split(" "))
    (first, server, seen, _), (second, same, seen_then, _) = told
    assert first != second
    assert server == same != str(os.getpid())
    assert (seen, seen_then) == ("ready,a", "ready,b")


def test_another_environment_is_another_process(ask, tmp_path):
    servers = set()
    for given in ("1", "2"):
        ask("note", str(tmp_path / "out"), "a", given=given)
        _, server, _, found = (tmp_path / "out").read_text().split(" ")
        assert found == given
        servers.add(int(server))
    assert len(servers) == 2
    assert sum(psutil.pid_exists(pid) for pid in servers) == 1


@pytest.mark.parametrize(("how", "code", "words"), [("signal", -9, "last words"), ("error", 1, "ValueError: no value"), ("exit", 1, "SystemExit: 7")])  # fmt: skip
def test_how_it_ended_is_told_and_the_next_question_is_answered(ask, tmp_path, how, code, words):
    assert ask("die", how) == code
    assert words in (tmp_path / "words").read_text()
    assert ask("note", str(tmp_path / "out"), "a") == 0


def test_a_process_that_is_gone_is_started_again(ask, tmp_path):
    ask("note", str(tmp_path / "out"), "a")
    psutil.Process(int((tmp_path / "out").read_text().split(" ")[1])).kill()
    forked._running["test_forked:ready"]._process.wait()
    assert ask("note", str(tmp_path / "out"), "b") == 0


def test_it_ends_with_its_parent(tmp_path):
    code = (
        "import os, sys, test_forked as t; from winnow.testing import forked; from pathlib import Path\n"
        "forked.ask(dict(os.environ), sys.path, 't', 'test_forked:note', sys.argv[1], 'a', words=Path(sys.argv[2]))\n"
        "os.kill(os.getpid(), 9)"
    ).replace("'t'", "'test_forked:ready'")
    env = os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"}
    subprocess.run([sys.executable, "-c", code, tmp_path / "out", tmp_path / "words"], env=env, check=False)
    server = int((tmp_path / "out").read_text().split(" ")[1])
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(server).wait(timeout=20)
    assert not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE
