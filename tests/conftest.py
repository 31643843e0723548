"""What every test shares."""

import os
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.pop("COLUMNS", None)  # xdist says 80, and the width of what is printed follows it
os.environ["WINNOW_WORKERS"] = "0"  # runs that do not say `workers` start no processes, which cost seconds each
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of hundreds of processes would compile all of winnow's files,
sys.dont_write_bytecode = False  # and each pytest process would rewrite the assertions of all tests
IN_MEMORY, ENOUGH = Path("/dev/shm"), 6 * 2**30  # of a whole run about a gigabyte stays
if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ENOUGH:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))  # a small run waits for a disk most of its time


@pytest.fixture(autouse=True, scope="session")
def _quick_disk():
    """No fsync in the tests' own process: what it guards against is a power cut, which no test makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        yield


@pytest.fixture(autouse=True, scope="module")
def _module_of_processes(request):
    """Module fixtures run with worker processes where the whole module is marked `processes`."""
    marks = getattr(request.module, "pytestmark", [])
    with pytest.MonkeyPatch.context() as patch:
        if any(mark.name == "processes" for mark in (marks if isinstance(marks, list) else [marks])):
            patch.delenv("WINNOW_WORKERS")
        yield


@pytest.fixture(autouse=True)
def _processes_where_marked(request, monkeypatch):
    """Runs that say nothing use worker processes in a test that is marked `processes`."""
    if request.node.get_closest_marker("processes") is not None:
        monkeypatch.delenv("WINNOW_WORKERS", raising=False)


@pytest.fixture(autouse=True)
def _one_start():
    """Global generators begin every test alike: what a test draws does not depend on the tests before it."""
    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "manual_seed"):  # a lazy or half-loaded module has none
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def s3_proxy():
    """A fault proxy before a local S3 server, which is started when the first test asks for it."""
    pytest.importorskip("moto", reason="pip install 'moto[server]'")
    pytest.importorskip("obstore")
    from support_s3 import make_bucket, proxied

    with proxied() as proxy:
        make_bucket()
        yield proxy


@pytest.fixture
def s3(s3_proxy, tmp_path, monkeypatch):
    """The proxy, with the environment that a user sets, and a cache folder of the test's own."""
    from support_s3 import environment

    s3_proxy.clear()
    for name, value in environment(s3_proxy.endpoint, WINNOW_STORE_CACHE=str(tmp_path / "store-cache")).items():
        monkeypatch.setenv(name, value)
    yield s3_proxy
    s3_proxy.clear()
