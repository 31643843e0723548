"""The whole quickstart on a store without a file system: every stage has the content it has on one."""

from __future__ import annotations

import pytest
from memory_store import memory_scheme

from winnow.core.store.locations import open_store
from winnow.dags.driver.session import run_recipe

SMALL = {
    "std.limit": "400kB",
    "site_bytes": "400kB",
    "max_bytes": "8192",
    "aside.share": "0.1",
    "aside.min_bytes": "500",
    "select": "6k tokens",
    "train_tokens": "2000",
    "seeds": "2",
    "effect.width": "32",
    "effect.heads": "2",
    "effect.layers": "1",
    "effect.vocab": "512",
}


@pytest.fixture
def memory():
    with memory_scheme():
        yield


def digests(result) -> dict[str, str]:
    return {run.node.name: run.manifest.content_digest for run in result.runs}


@pytest.mark.parametrize(
    "sets", [pytest.param(SMALL, id="small"), pytest.param({}, id="whole", marks=pytest.mark.slow)]
)
def test_the_quickstart_is_the_same_in_memory_as_on_a_file_system(memory, tmp_path, sets):
    on_disk = run_recipe("quickstart", out=str(tmp_path / "root"), sets=sets, engine="local", workers=0)
    in_memory = run_recipe("quickstart", out="memory://quickstart", sets=sets, engine="local", workers=0)
    assert digests(in_memory) == digests(on_disk)
    store = open_store("memory://quickstart")
    assert in_memory.root == store.location
    kept = {p.name for p in (tmp_path / "root").iterdir() if any(p.iterdir())}  # a folder without files is none
    assert set(store.folders()) == kept
    again = run_recipe("quickstart", out="memory://quickstart", sets=sets, engine="local", workers=0)
    assert all(run.cached for run in again.runs)
