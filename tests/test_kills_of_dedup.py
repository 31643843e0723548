"""Deduplications that are killed at random moments and started again: the same digests, and nothing done twice."""

import random
import shutil
import signal

import pytest
from support import put_corpus, run, texts
from support_kill import Killer
from test_kills import held, stamp

LINES = """
stages:
  docs:   {use: jsonl, files: "raw/*", id: content}
  lines:  {use: repeated_lines, inputs: docs, min_bytes: 4, keeper: text_bytes desc}
  corpus: {use: write, inputs: docs, format: jsonl}
"""
SUBSTRINGS = """
stages:
  docs:   {use: jsonl, files: "raw/*", id: content}
  cut:    {use: repeated_substrings, inputs: docs, min_bytes: 20, keep: none}
  corpus: {use: write, inputs: docs, format: jsonl}
"""
KEEPERS = """
stages:
  docs:   {use: jsonl, files: "raw/*", id: content, columns: {site: string, quality: float64}}
  same:   {use: exact, inputs: docs, by: text, form: words, keeper: quality desc, per: [site]}
  near:   {use: minhash, inputs: docs, keeper: "quality desc, text_bytes desc", contained: 0.6, per: [site], threshold: 0.5}
  seen:   {use: dedup_index, of: near}
  texts:  {use: dedup_index, of: same}
  corpus: {use: write, inputs: docs, format: jsonl}
"""
AGAINST = """
stages:
  docs:   {use: jsonl, files: "more/*", id: content, source: more, columns: {site: string}}
  same:   {use: exact, inputs: docs, against: SAME}
  near:   {use: minhash, inputs: docs, threshold: 0.5, against: NEAR}
  seen:   {use: dedup_index, of: near}
  corpus: {use: write, inputs: docs, format: jsonl}
"""
FIRST = """
stages:
  docs:  {use: jsonl, files: "raw/*", id: content}
  same:  {use: exact, inputs: docs}
  near:  {use: minhash, inputs: docs, threshold: 0.5}
  texts: {use: dedup_index, of: same}
  seen:  {use: dedup_index, of: near}
"""
RECIPES = {"lines": LINES, "substrings": SUBSTRINGS, "keepers": KEEPERS, "against": AGAINST}
OPTIONS = {"part_bytes": 3000, "buckets": 2}


@pytest.fixture(scope="module")
def killer():
    found = Killer()
    yield found
    found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("dedup-kills")
    draw = random.Random(9)

    def rows(seed):
        return [{"text": t, "site": draw.choice("xy"), "quality": draw.random()} for t in texts(36, seed=seed)]

    shared = rows(1)
    put_corpus(base / "raw", shared, 2)
    put_corpus(base / "more", rows(2)[:20] + shared[5:25], 1)
    return base


@pytest.fixture(scope="module")
def recipes(folder):
    first = run(FIRST, folder, folder / "first")
    paths = {"SAME": first.folder("texts.index") / "index", "NEAR": first.folder("seen.index") / "index"}
    made = dict(RECIPES)
    for name, path in paths.items():
        made["against"] = made["against"].replace(name, str(path))
    return made


def attempt(killer, folder, root, recipe, **more):
    more.setdefault("options", OPTIONS)
    return killer(folder=str(folder), root=str(root), out=f"{root}.json", recipe=recipe, shards=["corpus"], **more)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_deduplication_killed_at_random_moments_goes_on_to_the_same_digests(killer, folder, recipes, tmp_path, name):
    plain = attempt(killer, folder, tmp_path / "plain", recipes[name], names=True)
    assert "digests" in plain, plain
    draw = random.Random(name)
    moments = sorted(draw.sample(range(2, plain["ticks"]), 4))
    for at in moments:
        root = tmp_path / str(at)
        assert attempt(killer, folder, root, recipes[name], kill_at=at) == {"killed": signal.SIGKILL}
        before = held(root)
        stamps = {f: stamp(root, f) for r in before.values() for f in r.files}
        again = attempt(killer, folder, root, recipes[name])
        told = f"killed before operation {at}: {plain['names'][at - 1]}"
        assert "digests" in again, f"{told}\n{again}"
        assert (again["digests"], again["shards"], again["metrics"]) == (
            plain["digests"], plain["shards"], plain["metrics"],
        ), told  # fmt: skip
        assert all(stamp(root, file) in (then, None) for file, then in stamps.items()), told
        third = attempt(killer, folder, root, recipes[name])
        assert third["computed"] == {}, told
        shutil.rmtree(root)


@pytest.mark.parametrize("name", list(RECIPES))
def test_killed_again_and_again_it_ends_the_same(killer, folder, recipes, tmp_path, name):
    plain = attempt(killer, folder, tmp_path / "plain", recipes[name])
    draw, kills, found = random.Random(f"{name} again"), 0, {}
    while "digests" not in found:
        found = attempt(killer, folder, tmp_path / "root", recipes[name], kill_at=draw.randrange(60, 160))
        kills += found == {"killed": signal.SIGKILL}
    assert kills >= 1
    assert (found["digests"], found["shards"]) == (plain["digests"], plain["shards"])


@pytest.mark.parametrize("name", list(RECIPES))
def test_killed_in_one_layout_and_resumed_in_another_it_ends_the_same(killer, folder, recipes, tmp_path, name):
    plain = attempt(killer, folder, tmp_path / "plain", recipes[name])
    half = attempt(killer, folder, tmp_path / "root", recipes[name], kill_at=plain["ticks"] * 2 // 3)
    assert half == {"killed": signal.SIGKILL}
    again = attempt(
        killer, folder, tmp_path / "root", recipes[name], options={"part_bytes": 3000, "buckets": 3, "batch_rows": 5}
    )
    assert (again["digests"], again["shards"]) == (plain["digests"], plain["shards"])
