"""Drivers on an object store that are killed at any request, or two at a time: as if nothing had happened."""

from __future__ import annotations

import itertools
import re

import pytest
from support import held, put_corpus, run, texts
from support_remote_kill import Driver
from test_kills import MINI
from test_remote_root import DEDUP, OPTIONS, new_root, same

from winnow.core.store.locations import open_store
from winnow.dags.looking.collect_garbage import collect

SMALL = {"part_bytes": 20_000, "buckets": 1}
numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("remote-kills")
    put_corpus(base / "raw", texts(36, seed=1), 2)
    return base


@pytest.fixture
def drivers(tmp_path, s3):
    """Makes drivers that have imported everything."""
    made = []

    def make(folder, recipe=MINI, **options):
        driver = Driver(folder, recipe, tmp_path / f"cache-{len(made)}", ["corpus"], **(options or SMALL))
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.close()


def killed_and_resumed(s3, driver, plain, at, when):
    """Kill a driver at request `at`, before or after it was carried out; run again; compare; collect; look for orphans."""
    root = new_root()
    s3.clear()
    s3.act = lambda r: ("kill", driver.pid, when) if r.number == at else "pass"
    assert driver.run(root) is None, f"request {at} was not made"
    told = f"killed {when} request {at}: {s3.seen[at - 1].kind} {s3.seen[at - 1].key}"
    made = s3.seen[: at - (when == "before")]
    s3.clear()
    before = held(root)
    lost = units_of(made) - units_of(made, "receipts")
    assert len(lost) <= 1, f"{told}: {lost}"  # what was begun and is lost: one unit of one worker
    found = driver.run(root)
    assert "digests" in found, f"{told}: {found}"
    assert found["digests"] == plain.digests, told
    assert found["shards"]["corpus"] == plain.shards("corpus"), told
    assert not units_of(s3.seen) & {r[:3] for r in before}, told  # what had a receipt is not written again
    refuse_orphans(root, told)


def units_of(requests, what="_data"):
    """(folder, phase, unit) of all data files, or receipts, that were put."""
    keys = (r.key.split("/", 1)[1].split("/") for r in requests if r.kind == "create" and f"/{what}/" in r.key)
    return {(folder, phase, re.split(r"\.[0-9a-f]{12}[.-]", name)[0]) for folder, _, phase, name in keys}


def refuse_orphans(root, told):
    """What is left after `gc` is named by a receipt or manifest, or is a record."""
    store = open_store(root)
    for key in store.list("alive"):  # heartbeats of drivers that were killed here a moment ago
        store.delete(key)
    collect(store, dry_run=False)
    named = {f.key for r in held(root).values() for f in r.files}
    data = [key for key in store.walk("") if "/_data/" in key]
    assert {*data} <= named, told
    assert not [key for key in store.walk("") if key.endswith(".tmp")], told


def requests_of(s3, driver):
    """How many requests a run makes that nobody disturbs."""
    s3.clear()
    assert "digests" in driver.run(new_root())
    return len(s3.seen)


def test_a_run_killed_at_some_of_its_requests_ends_the_same(s3, drivers, folder):
    plain = run(MINI, folder, folder / f"plain-{next(numbers)}", **SMALL)
    driver = drivers(folder)
    total = requests_of(s3, driver)
    for number, at in enumerate(range(6, total - 4, total // 3)):
        killed_and_resumed(s3, driver, plain, at, ("before", "after")[number % 2])


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_killed_at_any_of_its_requests_ends_the_same(s3, drivers, folder, when):
    plain = run(MINI, folder, folder / f"plain-{next(numbers)}", **SMALL)
    driver = drivers(folder)
    for at in range(2, requests_of(s3, driver) - 3):
        killed_and_resumed(s3, driver, plain, at, when)


def test_two_drivers_on_one_root_end_the_same_and_leave_nothing(s3, drivers, folder):
    plain = run(DEDUP, folder, folder / f"plain-{next(numbers)}", **OPTIONS)
    root = new_root()
    pair = [drivers(folder, DEDUP, **OPTIONS) for _ in range(2)]
    for number, driver in enumerate(pair):
        driver.start(root, f"r{number}")
    for driver in pair:
        found = driver.answer()
        assert "digests" in found, found
        assert found["digests"] == plain.digests
    refuse_orphans(root, "two drivers")
    same(run(DEDUP, folder, root, **OPTIONS), plain)
