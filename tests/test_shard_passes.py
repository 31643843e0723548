"""`ShardDataset` in loops of passes: a loaded state counts once; ids lie beside the shards; without torch it says so."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
import xxhash

from winnow.trainers.data import cache, prepare

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore:This DataLoader will create")]
SKIP = 5


@pytest.fixture
def shards(tmp_path) -> Path:
    """300 short documents as one Parquet file, which is what another tool would leave as well."""
    folder = tmp_path / "shards"
    folder.mkdir()
    texts = [f"document {n} " * (1 + n % 5) for n in range(300)]
    ids = [xxhash.xxh3_128(text.encode()).digest() for text in texts]
    pl.DataFrame({"doc_id": ids, "text": texts}).write_parquet(folder / "shard-0.parquet")
    return folder


def dataset(shards, **more):
    from winnow.trainers.data import ShardDataset

    return ShardDataset(shards, **{"tokenizer": "bytes", "context": 128, "batch": 4, "seed": 7, "epochs": 2, **more})


def loader(data, **more):
    from torch.utils.data import DataLoader

    return DataLoader(data, batch_size=None, **more)


def steps(items) -> list[list[int]]:
    """What tells the steps apart."""
    return [item["ids"].flatten().tolist() for item in items]


def resumed(shards, **more):
    data = dataset(shards, **more)
    data.load_state_dict(dataset(shards, **more).state_dict(step=SKIP))
    return data


WAYS = {
    "itself": lambda data: data,
    "loader": loader,
    "workers": lambda data: loader(data, num_workers=2),
    "workers that stay": lambda data: loader(data, num_workers=3, persistent_workers=True),
    "spawned": lambda data: loader(data, num_workers=2, multiprocessing_context="spawn"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_state_is_used_up_by_the_first_pass(shards, way):
    whole = steps(dataset(shards))
    again = WAYS[way](resumed(shards))
    assert [steps(again) for _ in range(3)] == [whole[SKIP:], whole, whole]


def test_one_loader_after_another_shares_one_state(shards):
    whole = steps(dataset(shards))
    data = resumed(shards)
    ways = [loader(data), loader(data, num_workers=2), loader(data, num_workers=3), data]
    assert [len(steps(way)) for way in ways] == [len(whole) - SKIP, *[len(whole)] * 3]


def test_a_state_may_be_loaded_again_also_for_workers_that_stay(shards):
    whole = steps(dataset(shards))
    data = resumed(shards)
    again = loader(data, num_workers=2, persistent_workers=True)
    assert steps(again) == whole[SKIP:]
    data.load_state_dict(data.state_dict(step=2))
    assert [steps(again) for _ in range(2)] == [whole[2:], whole]


def test_two_iterators_at_once_do_not_disturb_one_another(shards):
    whole = steps(dataset(shards))
    data = resumed(shards)
    first, second = iter(data), iter(data)
    taken = [steps([next(first), next(second)]) for _ in range(3)]
    assert [one for one, _ in taken] == whole[SKIP : SKIP + 3]
    assert [two for _, two in taken] == whole[:3]
    assert data.state_dict()["step"] == 3, "it tells of the pass that began last"
    next(first)
    assert data.state_dict()["step"] == 3
    assert steps(first) == whole[SKIP + 4 :]


def test_a_state_of_a_later_pass_goes_on_in_a_pass(shards):
    data = dataset(shards, gives="rows")
    rows = [item["ids"].tolist() for item in data]
    second = iter(data)
    for _ in range(9):
        next(second)
    assert data.state_dict()["step"] == 2, "the third step is not whole"
    other = dataset(shards, gives="rows")
    other.load_state_dict(data.state_dict())
    assert other.state_dict()["step"] == 2, "before it is iterated as well"
    assert [item["ids"].tolist() for item in other] == rows[8:]


def test_ids_lie_beside_the_shards_and_never_among_them(shards):
    before = sorted(shards.iterdir())
    made = prepare(shards, tokenizer="bytes")
    dataset(shards)
    assert sorted(shards.iterdir()) == before
    assert made.store.location == f"{shards}.meta/tokens"
    assert len(list(Path(made.store.location).iterdir())) == 1, "both used the same ids"


READ_ONLY = """
import os, sys, warnings
from winnow.trainers.data import ShardDataset
folder, warm = sys.argv[1:]
make = lambda **more: ShardDataset(folder, tokenizer="bytes", context=64, batch=2, **more)
list(make(cache=warm))  # what is imported on the way is not readable by everybody
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    data = make()
print(len(list(data)) == data.num_steps > 0)
print([str(w.message) for w in told if "token ids lie in" in str(w.message)])
"""


def test_a_read_only_folder_is_read_and_where_the_ids_lie_is_told(shards):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "data" / "shards").mkdir(parents=True)
        (place / "data" / "shards" / "a.parquet").write_bytes((shards / "shard-0.parquet").read_bytes())
        (place / "cache").mkdir()
        for path, mode in ((place, 0o755), (place / "data" / "shards", 0o555), (place / "data", 0o555),
                           (place / "cache", 0o777)):  # fmt: skip
            path.chmod(mode)
        words = [sys.executable, "-c", READ_ONLY, str(place / "data" / "shards"), str(place / "warm")]
        env = os.environ | {"XDG_CACHE_HOME": str(place / "cache")}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
        left = [p.name for p in (place / "data").rglob("*")]
        (place / "data").chmod(0o755)
    assert done.returncode == 0, done.stderr[-2000:]
    right, told = done.stdout.strip().splitlines()[-2:]
    assert right == "True"
    assert f"{place}/cache/winnow/tokens" in told
    assert "`cache=` names another place" in told
    assert left == ["shards", "a.parquet"]


@pytest.mark.parametrize(("env", "place"), [
    ({"XDG_CACHE_HOME": "{tmp}/x"}, "{tmp}/x/winnow"),
    ({"HOME": "{tmp}"}, "{tmp}/.cache/winnow"),
    ({"HOME": "/nowhere"}, "{temp}/winnow-{uid}"),
])  # fmt: skip
def test_the_cache_of_a_user_is_somewhere_also_without_a_home(tmp_path, monkeypatch, env, place):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    known = {"tmp": tmp_path, "temp": tempfile.gettempdir(), "uid": os.getuid()}
    for name, value in env.items():
        monkeypatch.setenv(name, value.format(**known))
    assert str(cache.user_cache()) == place.format(**known)


def test_without_torch_it_says_what_to_install(tmp_path):
    code = """
import sys
sys.modules["torch"] = None
from winnow.trainers.data import prepare
from winnow.trainers.data import ShardDataset
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines()
    assert "winnow.core.errors.ConfigError: ShardDataset needs torch, which is not installed" in said[-3]
    assert "[train]" in said[-1]
    assert "pip install" in said[-1]


def test_who_comes_beside_a_pass_of_another_number_of_workers_is_in_a_later_one():
    from winnow.trainers.data.passes import Passes

    passes = Passes()
    passes.resume(SKIP)
    assert passes.begin(0, 0).start == SKIP
    assert passes.begin(1, 2).start == 0, "whoever of the workers is first"
    passes.resume(SKIP)
    assert [passes.begin(worker, 3).start for worker in (2, 0, 1)] == [SKIP] * 3
    assert [passes.begin(worker, 3).start for worker in (1, 0, 2)] == [0] * 3
