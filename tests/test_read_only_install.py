"""An installation that cannot be written to, without a home: kernels are kept in a private folder, and it is said."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import winnow
from winnow.core import kernel_cache

USES_A_KERNEL = """
import sys
from winnow.core import kernel_cache
from winnow.core.numerics.components_kernels import *  # a small one: half a second to compile
import os
print(os.environ.get("NUMBA_CACHE_DIR", "none"), "|", *kernel_cache.notes())
"""


@pytest.fixture
def install(tmp_path):
    """A copy of the code that may not be written to."""
    copy = tmp_path / "install" / "winnow"
    shutil.copytree(Path(winnow.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield copy.parent
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)


def python(install, tmp, **more):
    """The process, for root below a read-only mount: to root, no mode of a file is in the way."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG", "HOME", "PYTHON", "TMP"))}
    env |= {"PYTHONPATH": str(install), "HOME": "/proc/nohome", "TMPDIR": str(tmp), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", USES_A_KERNEL]
    if os.geteuid() == 0:
        mounted = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" || exit 77; exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mounted, str(install), *command]
        if shutil.which("unshare") is None:
            pytest.skip("no mount of its own for a process")
    ran = subprocess.run(command, env=env | more, capture_output=True, text=True, cwd="/", check=False)
    if os.geteuid() == 0 and ("unshare:" in ran.stderr or ran.returncode == 77):
        pytest.skip("no mount of its own for a process")
    return ran


def test_a_read_only_installation_without_a_home_keeps_its_kernels_in_tmpdir(install, tmp_path):
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    ran = python(install, tmp)
    assert ran.returncode == 0, ran.stderr
    folder, _, told = ran.stdout.partition("|")
    kept = Path(folder.strip())
    assert kept.parent == tmp
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert f"compiled kernels are kept in {kept}" in told
    assert "NUMBA_CACHE_DIR" in told
    given = tmp / "given"
    again = python(install, tmp, NUMBA_CACHE_DIR=str(given))
    assert again.stdout.strip() == f"{given} |"  # what a person set counts, and there is nothing to tell


def test_where_nothing_can_be_written_to_kernels_are_compiled_and_it_is_said(install, monkeypatch):
    monkeypatch.setattr(kernel_cache, "CODE", Path("/proc"))
    monkeypatch.setattr(kernel_cache, "takes_files", lambda folder: False)
    monkeypatch.setattr(kernel_cache.os, "access", lambda *a: False)
    monkeypatch.delenv(kernel_cache.VARIABLE, raising=False)
    monkeypatch.setattr(kernel_cache, "_told", [])
    anew = []
    monkeypatch.setattr(kernel_cache, "_compile_anew", lambda: anew.append(True))
    kernel_cache.keep_kernels()
    assert anew
    (told,) = kernel_cache.notes()
    assert "every process compiles anew" in told


@pytest.mark.parametrize("wrong", ["mode", "link", "owner"])
def test_a_folder_that_others_may_write_to_is_not_used(tmp_path, monkeypatch, wrong):
    monkeypatch.setattr(kernel_cache.tempfile, "tempdir", str(tmp_path))
    lasting = tmp_path / f"winnow-kernels-{os.geteuid()}"
    if wrong == "mode":
        lasting.mkdir()
        lasting.chmod(0o770)
    elif wrong == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        lasting.symlink_to(tmp_path / "elsewhere")
    else:
        lasting.mkdir(mode=0o700)
        uid = os.geteuid()
        monkeypatch.setattr(kernel_cache.os, "geteuid", lambda: uid + 1)
        (tmp_path / f"winnow-kernels-{uid + 1}").mkdir(mode=0o700)
    found = kernel_cache._own_folder()
    if wrong == "owner":
        assert found is None  # nothing here belongs to that user
    else:
        assert found is not None
        assert found.name != lasting.name
        assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_an_installation_that_can_be_written_to_is_left_alone():
    assert kernel_cache.notes() == []
