"""A run that is killed inside an editor or a choice of texts, and models below editors and extractors: the same as if nothing had happened."""

from __future__ import annotations

import random
import shutil
import signal

import pytest
from support import put_corpus, run
from support_kill import Killer
from test_ablation_run import sentences

FRAGILE = """
stages:
  docs:  {{use: jsonl, files: "raw/*.jsonl", columns: {{n: int64}}, id: "field:n"}}
  own:   {{use: fragile, inputs: docs, flag: "{flag}"}}
  safe:  {{use: mask_pii, inputs: docs, kinds: [email]}}
  marks: {{use: citation_marks, inputs: docs}}
  corpus: {{use: write, inputs: docs, carry: [n], shard_bytes: 8KB}}
"""
OPERATORS = {"fragile": "support_edit_kill:Fragile"}
SHARED = {"shards": ["corpus"], "operators": OPERATORS, "options": {"part_bytes": 900, "buckets": 1}}


@pytest.fixture(scope="module")
def killer():
    found = Killer()
    yield found
    found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("killed")
    rows = [
        {"text": f"{'!' if n == 25 else 'x'}Line {n}.[{n}] Mail a{n}@example.org to me.", "n": n} for n in range(40)
    ]
    put_corpus(base / "raw", rows, 1)
    return base


def attempt(killer, folder, root, flag, **more):
    out = str(root) + ".json"
    return killer(folder=str(folder), root=str(root), out=out, recipe=FRAGILE.format(flag=flag), **SHARED, **more)


@pytest.fixture(scope="module")
def plain(killer, folder):
    found = attempt(killer, folder, folder / "plain", "", names=True)
    assert "digests" in found, found
    return found


def test_a_run_killed_while_an_editor_works_goes_on_to_the_same_bytes(killer, folder, plain, tmp_path):
    flag = tmp_path / "flag"
    assert attempt(killer, folder, tmp_path / "root", flag) == {"killed": signal.SIGKILL}
    assert flag.exists()
    again = attempt(killer, folder, tmp_path / "root", flag)
    assert (again["digests"], again["shards"]) == (plain["digests"], plain["shards"])
    assert 0 < again["computed"]["own"] < plain["computed"]["own"], "parts that were edited are not edited again"
    third = attempt(killer, folder, tmp_path / "root", flag)
    assert third["computed"] == {}


def test_a_run_killed_at_any_write_of_an_editor_goes_on_to_the_same_bytes(killer, folder, plain, tmp_path):
    """Every third operation on what the editors keep, among them the torn first bytes of a part."""
    own = [
        at
        for at, name in enumerate(plain["names"], 1)
        if any(f"{e}-" in name for e in ("fragile", "mask_pii", "citation_marks"))
    ]
    assert len(own) > 20
    torn = [at for at, name in enumerate(plain["names"], 1) if name == "first bytes" and at - 1 in own]
    assert torn
    for at in [*own[::9], torn[-1]]:
        root = tmp_path / str(at)
        assert attempt(killer, folder, root, "", kill_at=at) == {"killed": signal.SIGKILL}
        again = attempt(killer, folder, root, "")
        assert (again["digests"], again["shards"]) == (plain["digests"], plain["shards"]), plain["names"][at - 1]
        shutil.rmtree(root)


CHOOSES = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", columns: {n: int64}, id: "field:n"}
  all:  {use: main_text, inputs: docs, html: text, least: -10}
  some: {use: main_text, inputs: docs, html: text, least: -10, markdown: code, text: docs}
  ok_all:  {use: filter, inputs: docs, text: all, keep: {even: "n % 3 = 0 AND text_bytes > 0"}}
  ok_some: {use: filter, inputs: docs, text: some, keep: {odd: "n % 3 = 1 AND text_bytes > 0"}, ignore: [ok_all]}
  main: {use: first_text, inputs: docs, texts: [all.text, some.text], passes: [kept_ok_all, kept_ok_some]}
  any:  {use: filter, inputs: [docs, main], keep: {some: text_choice > 0}, ignore: all}
  corpus: {use: write, inputs: [docs, any], carry: [n, text_choice], shard_bytes: 8KB}
"""


def chosen(killer, folder, root, **more):
    options = {"part_bytes": 1500, "buckets": 1} | more.pop("options", {})
    return killer(folder=str(folder), root=str(root), out=str(root) + ".json", recipe=CHOOSES, shards=["corpus"],
                  options=options, **more)  # fmt: skip


def test_the_first_text_is_the_same_in_other_parts_and_after_a_kill_at_any_write_of_it(
    killer, tmp_path_factory, tmp_path
):
    """Pages with a block of code, so that the texts differ: which of them, and the shards, are those of one whole run."""
    folder = tmp_path_factory.mktemp("pages")
    rows = [{"text": f"<p>Page {n} says this and that.<pre>x = {n}</pre>", "n": n} for n in range(40)]
    put_corpus(folder / "raw", rows, 1)
    plain = chosen(killer, folder, folder / "plain", names=True)
    assert "digests" in plain, plain
    for at, options in enumerate(({"part_bytes": 100_000}, {"part_bytes": 700, "batch_rows": 3, "buckets": 5})):
        other = chosen(killer, folder, tmp_path / f"cut{at}", options=options)
        assert (other["digests"], other["shards"]["corpus"]) == (plain["digests"], plain["shards"]["corpus"])
    own = [at for at, name in enumerate(plain["names"], 1) if "first_text-" in name]
    torn = [at for at, name in enumerate(plain["names"], 1) if name == "first bytes" and at - 1 in own]
    assert len(own) > 8
    assert torn
    for at in (own[len(own) // 2], torn[-1]):
        root = tmp_path / str(at)
        assert chosen(killer, folder, root, kill_at=at) == {"killed": signal.SIGKILL}
        again = chosen(killer, folder, root)
        assert (again["digests"], again["shards"]) == (plain["digests"], plain["shards"]), plain["names"][at - 1]
        if at == torn[-1]:
            assert not {"all", "some"} & again["computed"].keys(), "texts that were taken are not taken again"
        shutil.rmtree(root)


TINY = "vocab: 300, width: 16, layers: 1, heads: 2, context: 32, batch: 4, tokens: 1500, precision: fp32"
BELOW = f"""
seed: 1
stages:
  docs: {{{{use: jsonl, files: "{{files}}/*.jsonl", columns: {{{{n: int64}}}}, id: "field:n"}}}}
{{between}}
  plain: {{{{use: random, inputs: docs, budget: 1500 tokens}}}}
  base: {{{{use: train, selection: plain, {TINY}}}}}
  loss: {{{{use: lm_nats, inputs: docs, model: base, precision: fp32, measures: [nll]}}}}
  out:  {{{{use: write, inputs: docs, format: jsonl, carry: [n]}}}}
"""


@pytest.mark.train
@pytest.mark.parametrize("between", ["safe: {use: mask_pii, inputs: docs, kinds: [email]}", "main: {use: main_text, inputs: docs, html: text}"],
                         ids=["editor", "extractor"])  # fmt: skip
def test_training_and_losses_are_those_of_a_corpus_that_was_read_as_it_was_left(between, tmp_path):
    """A model below an editor has the losses of one that read the edited texts from a file, to the bit."""
    pytest.importorskip("torch")
    draw = random.Random(1)
    bodies = [sentences(draw, 6, shuffled=False) for _ in range(30)]
    rows = [{"text": f"<html><body><nav><a href='/'>Home</a> <a href='/b'>About</a></nav><article><p>{body} Mail a{n}@example.org now."
             f"</p><p>{body}</p></article></body></html>", "n": n} for n, body in enumerate(bodies)]  # fmt: skip
    put_corpus(tmp_path / "raw", rows, 1)
    stage = between.partition(":")[0]
    edited = run(BELOW.format(files="raw", between=f"  {between}"), tmp_path, tmp_path / "root")
    table = edited.table(stage, "n", "text").to_pylist()
    assert sum(row["text"] != rows[row["n"]]["text"] for row in table) == 30
    put_corpus(tmp_path / "left", sorted(table, key=lambda row: row["n"]), 1)
    read = run(BELOW.format(files="left", between=""), tmp_path, tmp_path / "other")
    losses = [sorted(ran.table("loss", "nll")["nll"].to_pylist()) for ran in (edited, read)]
    assert losses[0] == losses[1]
    raw = run(BELOW.format(files="raw", between=""), tmp_path, tmp_path / "other")
    assert sorted(raw.table("loss", "nll")["nll"].to_pylist()) != losses[0]
