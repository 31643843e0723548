"""Maps that read what other Maps of the same part make follow them in one task; nothing else about them changes."""

import pytest
from support import held, own_operators, put_corpus, run, texts

from winnow.core.errors import StoreError, WinnowError
from winnow.core.store.posix_store import PosixStore
from winnow.dags.driver import chains
from winnow.dags.shapes import map as map_shape

RECIPE = """
seed: 4
stages:
  docs:   {use: jsonl, files: "raw/*", id: position}
  lang:   {use: language, inputs: docs}
  sig:    {use: signals, inputs: docs}
  clean:  {use: filter, inputs: [lang, sig], keep: {words: "word_count > 3"}}
  next:   {use: filter, inputs: [docs, sig], keep: {long: "text_bytes > 60"}}
  urls:   {use: drop_urls, inputs: docs}
  tok:    {use: count_tokens, inputs: docs}
  unique: {use: minhash, inputs: docs, threshold: 0.7}
  best:   {use: top_k, inputs: docs, by: token_count, budget: 2k tokens}
  corpus: {use: write, inputs: [docs, best], shard_bytes: 8KB}
"""
MAPS = ("lang", "sig", "clean", "next", "urls", "tok", "unique.signatures")
SMALL = {"part_bytes": 2000}
POISON = "'poison' in ''.join(text)"


@pytest.fixture
def folder(tmp_path):
    return put_corpus(tmp_path / "raw", texts(120, seed=6), 2).parent


@pytest.fixture
def tasks(monkeypatch):
    """The folders of the units of every Map task that was done in this process, in order."""
    done: list[list[str]] = []
    told = map_shape.MapTask.run

    def telling(self):
        done.append([task.folder for task in (self, *self.siblings)])
        return told(self)

    monkeypatch.setattr(map_shape.MapTask, "run", telling)
    return done


def unchained(recipe, folder, root, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains.Chains, "behind", lambda self, heads: [])
        return run(recipe, folder, root, **(SMALL | options))


def told_of(root):
    """What is committed, without where and when."""
    return {
        name: (r.digest, r.content, r.counts, r.consumed, r.rows, r.extra, r.notes) for name, r in held(root).items()
    }


def test_all_maps_of_a_part_are_one_task_and_every_receipt_is_what_it_would_be_alone(folder, tasks):
    found = run(RECIPE, folder, folder / "out", **SMALL)
    parts = len(found.of("docs").parts)
    assert parts > 6
    assert [sorted(one) for one in tasks] == [sorted(found.of(name).node.folder for name in MAPS)] * parts
    alone = unchained(RECIPE, folder, folder / "alone")
    assert len(tasks) > 2 * parts  # of both runs
    assert found.digests == alone.digests
    assert told_of(folder / "out") == told_of(folder / "alone")
    assert {n: found.of(n).computed for n in MAPS} == dict.fromkeys(MAPS, parts)
    assert all(found.of(name).seconds > 0 and found.of(name).manifest.seconds > 0 for name in MAPS)


def test_workers_of_their_own_make_the_same(folder):
    found = run(RECIPE, folder, folder / "out", workers=2, **SMALL)
    unchained(RECIPE, folder, folder / "alone")
    assert told_of(folder / "out") == told_of(folder / "alone")
    assert {n: found.of(n).cached for n in MAPS} == dict.fromkeys(MAPS, 0)


@pytest.mark.parametrize("stage", ["sig", "clean", "urls", "unique.signatures"])
@pytest.mark.parametrize("unit", [0, 3])
def test_what_a_chain_has_committed_is_not_made_again(folder, tasks, monkeypatch, stage, unit):
    """The store fails at one receipt in the middle of a chain; the next run ends as if nothing had been."""
    alone = unchained(RECIPE, folder, folder / "alone")
    at = f"{alone.of(stage).node.folder}/receipts/part/{sorted(alone.of('docs').parts)[unit]}."
    told = PosixStore.put_new

    def failing(self, key, data):
        if key.startswith(at):
            raise StoreError("the disk is gone")
        return told(self, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(PosixStore, "put_new", failing)
        with pytest.raises(WinnowError, match="the disk is gone"):
            run(RECIPE, folder, folder / "out", **SMALL)
    before = {name: r.run for name, r in held(folder / "out").items()}
    assert before
    found = run(RECIPE, folder, folder / "out", **SMALL)
    assert found.digests == alone.digests
    assert told_of(folder / "out") == told_of(folder / "alone")
    after = {name: r.run for name, r in held(folder / "out").items()}
    assert {name: after[name] for name in before if name in after} == {n: r for n, r in before.items() if n in after}


FAULTS = {
    "a row that raises": f"if {POISON}: raise ValueError('no')\n    return text.str.len_chars()",
    "a row that kills": f"import os\n    if {POISON}: os.kill(os.getpid(), 9)\n    return text.str.len_chars()",
    "every row": "raise ValueError('never')",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_that_follows_is_its_own(folder, fault):
    """Quarantine, its counts and the error are those of the same recipe without chains; what precedes is committed."""
    put_corpus(folder / "raw", [*texts(60, seed=2), "here is poison, and a few words more"], 1)
    (folder / "mine.py").write_text(
        "import polars as pl\nimport winnow\n\n@winnow.scorer('bare')\ndef bare(text: pl.Series) -> pl.Series:\n"
        "    return text.str.len_chars()\n\n@winnow.scorer('odd')\ndef odd(text: pl.Series) -> pl.Series:\n"
        f"    {FAULTS[fault]}\n"
    )
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/*"}
  bare: {use: "mine:bare", inputs: docs}
  odd:  {use: "mine:odd", inputs: [docs, bare], where: "bare > 5", max_bad_share: 0.5}
  last: {use: filter, inputs: [docs, odd], keep: {any: "odd IS NULL OR odd > 0"}}
"""
    out = []
    for name, go in (("out", run), ("alone", unchained)):
        try:
            found = go(recipe, folder, folder / name, **SMALL)
            out.append((found.digests, told_of(folder / name), found.of("odd").manifest.counts.get("failed", 0)))
        except WinnowError as error:
            out.append((type(error), error.what, error.hint, told_of(folder / name)))
    assert out[0] == out[1]
    assert (out[0][2] == 1) == (fault != "every row")
    assert len({stage for stage, *_ in held(folder / "out")}) >= 2  # `bare` too, whatever became of `odd`


def test_what_another_recipe_made_is_taken_over_and_not_made_again(folder, tasks):
    """A changed threshold that changes no verdict: what follows is adopted, so it is in no chain."""
    run(RECIPE, folder, folder / "out", **SMALL)
    tasks.clear()
    found = run(RECIPE.replace("word_count > 3", "word_count >= 4"), folder, folder / "out", **SMALL)
    assert [name for name in MAPS if name in found.computed] == ["clean"]
    assert {folder.split("-")[0] for one in tasks for folder in one} == {"filter"}


def test_code_of_the_users_does_not_follow_in_a_process_of_ours(folder, tasks):
    with own_operators():
        (folder / "mine.py").write_text(
            "import polars as pl\nimport winnow\n\n@winnow.scorer('bare')\ndef bare(text: pl.Series) -> pl.Series:\n"
            "    return text.str.len_chars()\n"
        )
        recipe = RECIPE.replace("  urls:", '  mine: {use: "mine:bare", inputs: docs, where: kept_clean}\n  urls:')
        found = run(recipe, folder, folder / "out", **SMALL)
    assert found.of("mine").computed == len(found.of("docs").parts)
    assert not any(found.of("mine").node.folder in one for one in tasks)  # those were done in this process
