"""What a newcomer is told to type works where it was told: installing, calling, the first pages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from winnow.core import installing

ROOT = Path(__file__).parents[1]


class Distribution:
    """A distribution with the `direct_url.json` that pip would have left."""

    def __init__(self, origin):
        self.origin = origin

    def read_text(self, name):
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


def installed(monkeypatch, tmp_path, origin):
    """winnow as if it lay in `site-packages`, brought there from `origin`."""
    site = tmp_path / "lib" / "site-packages"
    monkeypatch.setattr(installing, "__file__", str(site / "winnow" / "core" / "installing.py"))
    monkeypatch.setattr(installing.importlib.metadata, "distribution", lambda name: Distribution(origin))


def test_from_an_index_an_extra_is_added_by_name(monkeypatch, tmp_path):
    installed(monkeypatch, tmp_path, None)
    assert installing.checkout() is None
    assert installing.install_extra("report").endswith(" install 'winnow-data[report]'")


def test_from_a_checkout_an_extra_is_added_from_the_checkout(monkeypatch, tmp_path):
    folder = tmp_path / "my checkout"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    installed(monkeypatch, tmp_path, {"url": folder.as_uri(), "dir_info": {}})
    assert installing.install_extra("ray").endswith(f" install '{folder}[ray]'")
    installed(monkeypatch, tmp_path, {"url": folder.as_uri(), "dir_info": {"editable": True}})
    assert installing.install_extra("ray").endswith(f" install -e '{folder}[ray]'")


def test_a_checkout_that_is_gone_is_not_named(monkeypatch, tmp_path):
    installed(monkeypatch, tmp_path, {"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    assert installing.install_extra("ray").endswith(" install 'winnow-data[ray]'")


def test_a_copy_on_a_path_names_the_folder_it_lies_in(monkeypatch):
    def missing(name):
        raise installing.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installing.importlib.metadata, "distribution", missing)
    assert installing.checkout() == ROOT
    assert str(ROOT) in installing.how_to_install("torch")
    assert "[train]" in installing.how_to_install("torch")
    assert installing.how_to_install("kenlm").endswith(" install kenlm")


def test_the_command_is_the_one_of_this_copy(monkeypatch, tmp_path):
    bin_ = tmp_path / "env" / "bin"
    bin_.mkdir(parents=True)
    monkeypatch.setattr(installing.sys, "executable", str(bin_ / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert installing.command() == f"{bin_ / 'python'} -m winnow"
    (bin_ / "winnow").write_text("#!/bin/sh\n")
    (bin_ / "winnow").chmod(0o755)
    assert installing.command() == str(bin_ / "winnow")
    monkeypatch.chdir(tmp_path)
    assert installing.command() == "env/bin/winnow"
    monkeypatch.setenv("PATH", str(bin_))
    assert installing.command() == "winnow"
    other = tmp_path / "other"
    other.mkdir()
    (bin_ / "winnow").rename(other / "winnow")
    monkeypatch.setenv("PATH", str(other))
    assert installing.command() == "env/bin/python -m winnow", "another copy's winnow is not this one"


def test_how_to_install_is_written_in_one_place():
    files = [f for f in (ROOT / "winnow").rglob("*.py") if f.name != "installing.py"]
    told = [str(f.relative_to(ROOT)) for f in files if re.search(r"pip install|winnow-data\[", f.read_text())]
    assert told == []


def test_every_extra_that_a_hint_names_exists():
    text = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for extra in set(installing.EXTRAS.values()))


@pytest.mark.parametrize("target", ["help", "demo", "setup"])
def test_make_says_how_winnow_is_called(target):
    told = subprocess.run(["make", "-n", "-B", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 'echo "$CALLING"' in told
    if target == "demo":
        assert "winnow report runs/quickstart" in told
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "winnow is called as .venv/bin/winnow" in shown
    assert f'export PATH="{ROOT}/.venv/bin:$PATH"' in shown


@pytest.mark.slow
def test_a_bare_installation_runs_the_demo_and_everything_that_it_names(tmp_path):
    """Needs a package index."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    subprocess.run([tmp_path / "env/bin/pip", "install", "--quiet", ROOT], check=True)
    done = subprocess.run(
        [tmp_path / "env/bin/winnow", "demo"], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    look = done.stdout.strip().splitlines()[-1]
    assert look.startswith("look: ")
    for told in look.removeprefix("look: ").split(", "):
        ended = subprocess.run(told, check=False, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 0, f"{told}: {ended.stderr}"
