"""What changed is computed again, and what depends on it; everything else is taken as it is."""

import re
import shutil
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa
import pytest
import support_ops
from support import forget, lines_of, own_operators, put_corpus, put_file, run, texts

from winnow.core.errors import StoreError
from winnow.core.operators import Map
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import StageDir
from winnow.dags.shapes import map as map_shape
from winnow.scorers import fasttext_fit

RECIPE = """
seed: 3
stages:
  docs:   {use: jsonl, files: "raw/*", id: position}
  sig:    {use: signals, inputs: docs}
  tok:    {use: count_tokens, inputs: docs}
  clean:  {use: filter, inputs: [sig, tok], keep: {long: "token_count > 10"}}
  unique: {use: minhash, inputs: docs, where: kept_clean, threshold: 0.7}
  best:   {use: top_k, inputs: [docs, clean, unique], by: word_count, budget: 3k tokens}
  plain:  {use: random, inputs: [docs, clean], budget: 3k tokens}
  corpus: {use: write, inputs: [docs, best], shard_bytes: 8KB}
"""
SMALL = {"part_bytes": 4000}
SETTINGS = {"dim": 4, "wordNgrams": 1, "bucket": 0, "epoch": 1, "lr": 0.1, "seed": 0}
MODULE = '''
"""Scores."""
import polars as pl
from winnow.scorers.function_scorer import scorer
import helper

@scorer("shout")
def shout(text: pl.Series) -> pl.Series:
    # capital letters
    return text.str.count_matches("[A-Z]") * helper.FACTOR
'''


@pytest.fixture
def folder(tmp_path):
    return put_corpus(tmp_path / "raw", texts(120, seed=6), 4).parent


def go(recipe, folder, **more):
    return run(recipe, folder, folder / "out", **(SMALL | more))


def test_a_finished_run_computes_nothing_again(folder):
    first = go(RECIPE, folder)
    assert set(first.computed) == {n.name for n in first.plan.nodes}
    again = go(RECIPE, folder)
    assert again.computed == {}
    assert again.digests == first.digests


WIDENED = {
    "a stage that is whole": lambda root: None,
    "a run that was killed": lambda root: unfinished(root, next(root.glob("typical-*")).name),
    "other files beside": lambda root: None,
}


def unfinished(root, name: str) -> None:
    """A stage as a kill before its end leaves it: parts with receipts, and no manifest."""
    stage = StageDir(open_store(root), name)
    receipts = stage.manifest().receipts
    (root / name / "manifest.json").unlink()
    for receipt in receipts:
        stage.commit(receipt)


@pytest.mark.parametrize("what", WIDENED)
def test_what_lacks_a_column_that_the_operator_declares_today_is_computed_again(folder, what, monkeypatch):
    """An operator whose columns change and whose version does not: nobody sees a stage without them."""
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/*", id: position}
  mine: {use: typical, inputs: docs}
  best: {use: filter, inputs: [docs, mine], keep: {a: "KEEP"}}
"""
    with own_operators(typical="test_reuse:Grows"):
        first = go(recipe.replace("KEEP", "one > 0"), folder)
        assert first.of("mine").manifest.rows == 120
        WIDENED[what](folder / "out")
        if what == "other files beside":
            (folder / "raw" / "more.jsonl").write_bytes(lines_of([{"text": "one more of them"}]))
        monkeypatch.setattr(Grows, "names", ("one", "two"))
        map_shape._opened.cache_clear()  # as in another process
        again = go(recipe.replace("KEEP", "one > 0 AND two > 0"), folder)
        assert set(again.computed) >= {"mine", "best"}
        assert again.of("mine").computed == len(again.of("docs").parts)
        assert again.table("mine", "two")["two"].to_pylist() == [2] * again.of("mine").manifest.rows
        told = "computed again: what an earlier run left here lacks two"
        assert again.metrics.get("mine", {}).get("summary") == (None if what == "other files beside" else told)
        assert "mine" not in go(recipe.replace("KEEP", "two > 1"), folder).computed


@dataclass(frozen=True, kw_only=True)
class Grows(Map):
    """As many columns as it is told to have, 1, 2, ...; always version 1."""

    name: ClassVar[str] = "typical"
    role: ClassVar[str] = "signal"
    names: ClassVar[tuple[str, ...]] = ("one",)

    def needs(self):
        return ("text",)

    def outputs(self):
        return dict.fromkeys(self.names, pa.int64())

    def open(self, ctx):
        return lambda rows: pl.DataFrame({name: [at + 1] * rows.height for at, name in enumerate(self.names)})


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("token_count > 10", "token_count > 12", {"clean", "unique.signatures", "unique.pairs", "unique.check", "unique.clusters", "best", "plain", "corpus"}),
        ("threshold: 0.7", "threshold: 0.8", {"unique.pairs", "unique.check", "unique.clusters", "best", "corpus"}),
        ("by: word_count", "by: char_count", {"best", "corpus"}),
        ("use: random, inputs: [docs, clean], budget: 3k", "use: random, inputs: [docs, clean], budget: 2k", {"plain"}),
        ("seed: 3", "seed: 4", {"plain", "corpus"}),
        ("shard_bytes: 8KB", "shard_bytes: 4KB", {"corpus"}),
    ],
)  # fmt: skip
def test_a_changed_field_recomputes_its_stage_and_what_depends_on_it(folder, old, new, changed):
    first = go(RECIPE, folder)
    assert old in RECIPE
    second = go(RECIPE.replace(old, new), folder)
    assert set(second.computed) <= changed
    assert second.computed  # the stage itself at least
    fresh = run(RECIPE.replace(old, new), folder, folder / "fresh", **SMALL)
    assert second.digests == fresh.digests
    unchanged = {n.name for n in first.plan.nodes} - changed
    assert {n: second.digests[n] for n in unchanged} == {n: first.digests[n] for n in unchanged}


def test_names_workers_batches_and_stage_limits_recompute_nothing(folder):
    go(RECIPE, folder)
    names = "docs|sig|tok|clean|unique|best|plain|corpus"
    renamed = re.sub(rf"\b(kept_)?({names})\b", r"\1other_\2", RECIPE)
    assert renamed.count("other_") > 20
    for recipe, more in (
        (renamed, {}),
        (RECIPE, {"workers": 2}),
        (RECIPE, {"batch_rows": 7, "buckets": 3, "part_bytes": 9000}),
        (RECIPE.replace("use: signals,", "use: signals, max_bad_share: 0.5, timeout_s: 7,"), {}),
        (RECIPE.replace("inputs: [sig, tok]", "inputs: [tok, sig]"), {}),
    ):
        assert go(recipe, folder, **more).computed == {}, recipe


def test_a_moved_corpus_recomputes_nothing(folder, tmp_path, monkeypatch):
    first = go(RECIPE, folder)
    (folder / "raw").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    moved = RECIPE.replace('"raw/*"', f'"{tmp_path}/elsewhere/*"')
    again = run(moved, folder, folder / "out", **SMALL)
    assert again.computed == {}
    based = moved.replace("id: position", f'id: position, base: "{tmp_path}/elsewhere"')
    assert run(based, folder, folder / "out", **SMALL).computed == {}
    assert again.digests == first.digests


MAPS = """
stages:
  docs:  {use: jsonl, files: "raw/*"}
  lang:  {use: language, inputs: docs}
  tok:   {use: count_tokens, inputs: docs}
  clean: {use: filter, inputs: [lang, tok, docs], keep: {long: "token_count > 10", en: "language = 'en' AND text_bytes > 3"}}
  more:  {use: filter, inputs: [clean, lang], keep: {x: "language_score > 0.2 OR kept_clean"}}
"""


@pytest.mark.parametrize(("name", "size"), [("f100x", 10), ("a", 900)])
def test_one_file_added_to_two_hundred_computes_one_part_per_map(tmp_path, name, size):
    put_corpus(tmp_path / "raw", [t for t in texts(400, seed=8) if t][:200], 200, ".jsonl.gz")
    first = run(MAPS, tmp_path, tmp_path / "out", part_bytes=size)
    assert (len(first.of("docs").parts) == 200) == (size == 10)  # else small files share parts
    put_file(tmp_path / "raw" / f"{name}.jsonl.gz", lines_of(["one more document of some words"]))
    second = run(MAPS, tmp_path, tmp_path / "out", part_bytes=size)
    most = 1 if size == 10 else 2  # a shared part may be cut in two by what came in
    assert set(second.computed) == {"docs", "lang", "tok", "clean", "more"}
    assert set(second.computed.values()) <= set(range(1, most + 1))
    if name == "a":
        forget()
        assert second.digests == run(MAPS, tmp_path, tmp_path / "fresh", part_bytes=size).digests


def test_a_part_whose_file_is_gone_is_computed_again_and_not_adopted(tmp_path):
    put_corpus(tmp_path / "raw", [t for t in texts(40, seed=8) if t][:20], 4)
    recipe = 'stages:\n  docs: {use: jsonl, files: "raw/*"}\n  tok: {use: count_tokens, inputs: docs}\n'
    first = run(recipe, tmp_path, tmp_path / "out", part_bytes=10)
    first.store.delete(next(iter(first.of("tok").parts.values())).files[0].key)
    put_file(tmp_path / "raw" / "more.jsonl", lines_of(["one more document of some words"]))
    forget()
    second = run(recipe, tmp_path, tmp_path / "out", part_bytes=10)
    assert second.computed == {"docs": 1, "tok": 2}
    assert second.digests == run(recipe, tmp_path, tmp_path / "fresh", part_bytes=10).digests


SCORED = """
stages:
  docs:  {use: jsonl, files: "raw/*"}
  tok:   {use: count_tokens, inputs: docs}
  loud:  {use: "mine:shout", inputs: docs}
  best:  {use: top_k, inputs: [docs], by: loud, budget: 50%}
  other: {use: top_k, inputs: [docs], by: tok, budget: 50%}
"""


def test_an_edited_user_scorer_recomputes_itself_and_what_depends_on_it(folder):
    (folder / "mine.py").write_text(MODULE)
    (folder / "helper.py").write_text("FACTOR = 1\n")
    first = go(SCORED, folder)
    assert go(SCORED, folder).computed == {}
    (folder / "mine.py").write_text(
        MODULE.replace("# capital letters", "# other words").replace('"""Scores."""', '"""Told."""')
    )
    assert go(SCORED, folder).computed == {}
    (folder / "mine.py").write_text(MODULE.replace("[A-Z]", "[a-z]"))
    edited = go(SCORED, folder)
    assert set(edited.computed) == {"loud", "best"}
    assert edited.digests["loud"] != first.digests["loud"]
    (folder / "mine.py").write_text(MODULE)
    assert go(SCORED, folder).computed == {}
    (folder / "helper.py").write_text("FACTOR = 2\n")
    assert set(go(SCORED, folder).computed) == {"loud", "best"}


def test_a_scorer_edited_while_a_run_goes_on_does_not_change_that_run(folder):
    (folder / "mine.py").write_text(MODULE)
    (folder / "helper.py").write_text("FACTOR = 1\n")
    first = go(SCORED, folder)
    code = sorted((folder / "out" / "code").rglob("*.py"))
    assert [p.name for p in code] == ["helper.py", "mine.py"]
    assert first.digests["loud"] == go(SCORED, folder).digests["loud"]


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete", "swap"])
@pytest.mark.parametrize("stage", ["docs", "sig", "unique.signatures"])
def test_a_tampered_file_is_refused_by_name(folder, harm, stage):
    first = go(RECIPE, folder)
    node = next(n for n in first.plan.nodes if n.name == stage)
    mine = next(r for r in first.runs if r.node is node)
    victims = [f for receipt in mine.parts.values() for f in receipt.files]
    victim = max(victims, key=lambda f: f.size)
    path = first.store.local_copy(victim.key)
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif harm == "truncate":
        path.write_bytes(data[:-1])
    elif harm == "delete":
        path.unlink()
    else:
        other = next(f for f in victims if f.key != victim.key)
        path.write_bytes(first.store.local_copy(other.key).read_bytes())
    forget()
    changed = RECIPE.replace("threshold: 0.7", "threshold: 0.75")
    if stage != "unique.signatures":
        changed = changed.replace("token_count > 10", "word_count > 9")
    with pytest.raises(StoreError) as refused:
        go(changed, folder)
    assert refused.value.exit_code == 4
    assert str(path) in refused.value.where or path.name in str(refused.value)
    assert "remove" in refused.value.hint


FITTED = """
stages:
  docs:  {use: jsonl, files: "raw/*"}
  mean:  {use: typical, inputs: docs}
  far:   {use: apart, inputs: docs, model: mean}
  best:  {use: top_k, inputs: [docs], by: far, budget: 50%}
  tok:   {use: count_tokens, inputs: docs}
  corpus: {use: write, inputs: [docs, best], carry: [far], shard_bytes: 8KB}
"""


def test_an_artefact_fitted_anew_with_another_digest_invalidates_what_depends_on_it(folder, monkeypatch):
    with own_operators(typical="support_ops:Typical", apart="support_ops:Apart"):
        first = go(FITTED, folder)
        shards = first.shards("corpus")
        shutil.rmtree(first.folder("mean"))
        again = go(FITTED, folder)
        assert set(again.computed) == {"mean"}  # the same artefact came out: nothing depends on its date
        assert again.digests == first.digests
        shutil.rmtree(first.folder("mean"))
        wobble = folder / "wobble"
        wobble.write_text("40")
        monkeypatch.setattr(support_ops, "WOBBLE", wobble)
        other = go(FITTED, folder)
        assert other.digests["mean"] != first.digests["mean"]
        assert set(other.computed) == {"mean", "far", "best", "corpus"}
        assert other.digests["far"] != first.digests["far"]
        assert other.shards("corpus") != shards  # published anew
        fresh = run(FITTED, folder, folder / "fresh", **SMALL)
        assert other.digests == fresh.digests
        assert other.shards("corpus") == fresh.shards("corpus")


def test_another_model_file_is_another_stage(folder):
    """Two models over the same rows must never share a part."""
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/*"}
  lang: {use: language, inputs: docs, model_file: MODEL}
"""
    for name, label in (("one", "en"), ("two", "de")):
        lines = [f"__label__{w} {t}" for w in (label, "xx") for t in ("the of and", "a b c")]
        fasttext_fit.fit_model(lines, SETTINGS, folder / f"{name}.bin")
    one = go(recipe.replace("MODEL", "one.bin"), folder, workers=2)
    two = go(recipe.replace("MODEL", "two.bin"), folder, workers=2)
    assert set(two.computed) == {"lang"}
    labels = [set(r.table("lang", "language").column("language").to_pylist()) for r in (one, two)]
    assert labels[0] <= {"en", "xx"}
    assert labels[1] <= {"de", "xx"}


def test_another_stage_behind_a_reference_is_another_question(folder):
    """Stages that differ in what a reference names never share a part, though all their fields are equal."""
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/*"}
  one:  {use: filter, inputs: docs, keep: {x: "text_bytes % 3 = 0"}}
  two:  {use: filter, inputs: docs, keep: {x: "text_bytes % 3 = 1"}, ignore: all}
  held: {use: decontaminate, inputs: docs, against: HELD, ngram: 3, ignore: all}
"""
    found = {name: go(recipe.replace("HELD", name), folder) for name in ("one", "two")}
    assert set(found["two"].computed) == {"held.matches", "held.verdict"}
    forget()
    fresh = run(recipe.replace("HELD", "two"), folder, folder / "fresh", **SMALL)
    assert found["two"].digests == fresh.digests
    assert found["two"].digests["held.verdict"] != found["one"].digests["held.verdict"]


def test_columns_of_the_same_name_from_two_inputs_are_not_confused(folder):
    """`a > b` and `b > a` over the same columns are different questions, whatever the stages are called."""
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/*"}
  a: {use: filter, inputs: docs, keep: {x: "text_bytes > LOW"}}
  b: {use: filter, inputs: docs, keep: {x: "text_bytes > HIGH"}, ignore: all}
  c: {use: filter, inputs: [a, b], keep: {y: "a.kept AND NOT b.kept"}}
"""
    for low, high in ((100, 300), (300, 100), (50, 200), (200, 50)):
        filled = recipe.replace("LOW", str(low)).replace("HIGH", str(high))
        found = go(filled, folder)
        forget()
        fresh = run(filled, folder, folder / f"fresh-{low}-{high}", **SMALL)
        assert found.digests == fresh.digests
        assert (found.counts("c")["kept"] > 0) == (low < high)


def test_a_carried_column_under_another_name_is_another_corpus(folder):
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/*"}
  tok:  {use: count_tokens, inputs: docs}
  out:  {use: write, inputs: [docs, tok], carry: [NAME]}
  loud: {use: filter, inputs: out, keep: {x: "COLUMN > 3"}}
"""
    one = go(recipe.replace("NAME", "token_count").replace("COLUMN", "token_count"), folder)
    two = go(recipe.replace("NAME", "tok.token_count").replace("COLUMN", "tok_token_count"), folder)
    assert one.counts("loud")["kept"] == two.counts("loud")["kept"] > 0


def test_what_a_process_remembers_of_a_removed_stage_is_not_used(folder):
    first = go(RECIPE, folder)
    shutil.rmtree(first.folder("sig"))
    again = go(RECIPE, folder)
    assert set(again.computed) == {"sig"}
    changed = go(RECIPE.replace("by: word_count", "by: char_count"), folder)
    assert {"best"} <= set(changed.computed) <= {"best", "corpus"}  # an equal selection shares the shards


def test_a_shard_removed_from_the_published_ones_comes_back_and_a_replaced_one_is_refused_by_name(tmp_path):
    put_corpus(tmp_path / "raw", texts(30), files=1)
    recipe = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl"}
  corpus: {use: write, inputs: docs, format: jsonl.zst, shard_bytes: 2KB}
"""
    first = run(recipe, tmp_path, tmp_path / "root")
    shard = sorted((first.folder("corpus") / "shards").glob("shard-*"))[1]
    shard.unlink()
    forget()
    again = run(recipe, tmp_path, tmp_path / "root")
    assert again.computed == {}
    assert again.shards("corpus") == first.shards("corpus")
    body = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))  # a file of its own: what was committed is as it was
    forget()
    with pytest.raises(StoreError) as refused:
        run(recipe, tmp_path, tmp_path / "root")
    assert refused.value.where == str(shard)


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_a_tampered_file_is_refused_even_where_everything_is_cached(tmp_path, harm):
    put_corpus(tmp_path / "raw", texts(30), files=2)
    recipe = f"""
stages:
  docs: {{use: jsonl, files: "{tmp_path}/raw/*.jsonl"}}
  tok: {{use: count_tokens, inputs: docs}}
"""
    first = run(recipe, tmp_path, tmp_path / "root")
    ref = next(f for r in first.manifest("tok").receipts for f in r.files)
    path = first.store.local_copy(ref.key)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    if harm == "delete":
        path.unlink()
    else:
        path.write_bytes(body if harm == "flip" else body[:-8])
    forget()
    with pytest.raises(StoreError) as refused:
        run(recipe, tmp_path, tmp_path / "root")
    assert str(path) in refused.value.where
    assert refused.value.exit_code == 4
