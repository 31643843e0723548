"""Rewritten texts, whether they are true to the first, and the documents made of them."""

import json

import numpy as np
import pytest
from endpoint_server import endpoint
from support import put_corpus, run

from winnow.core.endpoint import asking
from winnow.core.errors import ConfigError, WinnowError
from winnow.pipeline.rewrite.faithful import Faithful, Said, _copied, _f1
from winnow.pipeline.rewrite.rewrite import TEMPLATES, text_of

DOCS = [
    {"text": f"Members of club {n} utilise the large garden near Oslo every summer. They pay {n * 100} crowns."}
    for n in range(1, 31)
]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.01)


def recipe(url, more="", gate="", **fields):
    plain = {
        "use": "rewrite",
        "inputs": "docs",
        "endpoint": url,
        "known_as": "writer",
        "model": "w",
        "max_tokens": 200,
        **fields,
    }
    return (
        "seed: 3\nstages:\n  docs: {use: jsonl, files: raw/*.jsonl, id: content}\n"
        f"  plain: {json.dumps(plain)}\n  same: {{use: faithful, inputs: [docs, plain]{gate}}}\n"
        f"  new: {{use: rewritten, inputs: [docs, plain]}}\n{more}"
    )


@pytest.fixture
def corpus(tmp_path):
    put_corpus(tmp_path / "raw", DOCS, files=3)
    return tmp_path


def test_new_documents_know_their_parents_and_have_ids_of_their_own(corpus, tmp_path):
    with endpoint(tmp_path) as server:
        ran = run(recipe(server.url), corpus, tmp_path / "root")
        assert len(server.lines()) == 30
    old = ran.table("docs", "doc_id", "text").to_pydict()
    new = ran.table("new", "doc_id", "text", "parent_ids", "rewrite_model", "rewrite_prompt").to_pydict()
    by_id = {i.hex(): t for i, t in zip(old["doc_id"], old["text"], strict=True)}
    assert len(new["text"]) == 30
    assert all(
        text == by_id[parent].replace("utilise", "use")
        for text, parent in zip(new["text"], new["parent_ids"], strict=True)
    )
    assert not {*new["doc_id"]} & {*old["doc_id"]}
    assert len({*new["doc_id"]}) == 30
    assert {*new["rewrite_model"]} == {"w"}
    assert len({*new["rewrite_prompt"]}) == 1


def test_new_documents_are_the_same_for_any_layout_and_stand_beside_the_old_ones(corpus, tmp_path):
    more = (
        "  all: {use: concat, inputs: [docs, new], columns: union}\n"
        "  mix: {use: mixture, inputs: all, per: rewrite_model, without: first, budget: 20 docs, shares: equal, most: {w: 0.2}}\n"
        "  out: {use: write, inputs: [all, mix], carry: [parent_ids, rewrite_model]}\n"
    )
    with endpoint(tmp_path) as server:
        rans = [
            run(recipe(server.url, more), corpus, tmp_path / f"root{n}", **cut)
            for n, cut in enumerate(({}, {"part_bytes": 400}))
        ]
    assert rans[0].digests == rans[1].digests
    assert rans[0].shards("out") == rans[1].shards("out")
    assert len(rans[1].manifest("new").named("part")) > len(rans[0].manifest("new").named("part"))
    kept = rans[0].table("mix", "kept", "weight").to_pydict()
    models = rans[0].table("all", "rewrite_model")["rewrite_model"].to_pylist()
    used = [w for k, w, m in zip(kept["kept"], kept["weight"], models, strict=True) if k and m == "w"]
    first = [w for k, w, m in zip(kept["kept"], kept["weight"], models, strict=True) if k and m is None]
    assert (sum(used), sum(first)) == (4, 16)


def test_an_unfaithful_text_makes_no_document_and_the_clause_says_why(corpus, tmp_path):
    said = {"club 3 ": "Members of the club utilise gardens near Oslo every summer and pay 999 crowns.", "club 4 ": "Nothing of that sort was ever told here.",
            "club 5 ": DOCS[4]["text"], "club 6 ": "Members of Berlin, Paris, Rome and Madrid utilise the large garden near Oslo every summer. They pay 600 crowns to club 6."}  # fmt: skip
    faults = [{"kind": "text", "text": text, "when": when} for when, text in said.items()] + [
        {"kind": "text", "text": "short", "when": "club 7 "}
    ]
    with endpoint(tmp_path, faults) as server:
        ran = run(recipe(server.url, gate=", max_copied: 0.8"), corpus, tmp_path / "root")
    names = ("written", "length", "words", "new_words", "numbers", "names", "changed")
    verdicts = ran.table("same", "kept", *(f"pass_{n}" for n in names)).to_pydict()
    texts = ran.table("docs", "text")["text"].to_pylist()
    wrong = {
        next(k for k in (*said, "club 7 ") if k in text): [n for n in names if not verdicts[f"pass_{n}"][row]]
        for row, text in enumerate(texts) if not verdicts["kept"][row]
    }  # fmt: skip
    assert wrong == {"club 3 ": ["numbers"], "club 4 ": ["words", "new_words", "numbers"], "club 5 ": ["changed"], "club 6 ": ["names"],
                     "club 7 ": ["length", "words", "new_words", "numbers"]}  # fmt: skip
    assert ran.manifest("new").rows == 25
    assert ran.counts("same")["clause:numbers:fail"] == 3


def test_documents_that_were_not_rewritten_have_a_reason_and_make_no_document(tmp_path):
    put_corpus(tmp_path / "raw", [*DOCS[:5], {"text": "  "}], files=1)
    faults = [
        {"kind": "status", "status": 400, "when": "club 2 "},
        {"kind": "text", "text": "half of", "ended": "length", "when": "club 3 "},
    ]
    with endpoint(tmp_path, faults) as server:
        ran = run(recipe(server.url), tmp_path, tmp_path / "root")
    held = ran.table("plain", "rewritten", "rewrite", "rewrite_model").to_pydict()
    assert sorted(why for why in held["rewrite"] if why != "ok") == ["cut_off", "no_text", "refused"]
    assert all((m is None) == (t is None) == (why != "ok") for t, why, m in zip(*held.values(), strict=True))
    assert ran.manifest("new").rows == 3
    (told,) = ran.of("plain").node.operator.remarks(ran.counts("plain"), {})
    assert told == "3 of 6 documents (50.0%) were not rewritten: cut_off 1, no_text 1, refused 1: raise `max_tokens`"
    assert ran.counts("same")["clause:written:fail"] == 3


def test_a_round_trip_is_another_rewrite_and_a_limit_on_what_it_recovers(corpus, tmp_path):
    text = recipe("URL", gate=", recovered: back.rewritten, rewritten: plain.rewritten, min_recovered: 0.8").replace(
        "  same:", '  back: {use: rewrite, inputs: [docs, plain], column: plain.rewritten, template: recover, endpoint: "URL", known_as: writer, model: w}\n  same:'
    ).replace("use: rewritten, inputs: [docs, plain]", "use: rewritten, inputs: [docs, plain], column: plain.rewritten")  # fmt: skip
    text = text.replace("column: plain.rewritten}", "column: plain.rewritten}")
    with endpoint(tmp_path, [{"kind": "text", "text": "something else altogether", "when": "club 9 use"}]) as server:
        ran = run(text.replace("URL", server.url), corpus, tmp_path / "root")
    held = ran.table("same", "faithful_recovered", "pass_recovered").to_pydict()
    assert held["pass_recovered"].count(False) == 1
    assert min(held["faithful_recovered"]) == 0
    assert 0.9 < max(held["faithful_recovered"]) < 1


def test_another_draw_template_or_prompt_is_another_text_and_other_documents(corpus, tmp_path):
    (tmp_path / "own.txt").write_text("As a poem: <text>{{text}}</text>")
    forms = (
        {},
        {"draw": 1},
        {"template": "simplify"},
        {"template": "question_answer"},
        {"template": "own", "prompt": "own.txt"},
    )
    with endpoint(tmp_path) as server:
        rans = [
            run(recipe(server.url, **form), corpus, tmp_path / "root", name=f"r{n}") for n, form in enumerate(forms)
        ]
        assert len(server.lines()) == 30 * len(forms)
    ids = [{*ran.table("new", "doc_id")["doc_id"].to_pylist()} for ran in rans]
    assert len(set.union(*ids)) == 30 * len(forms)


def test_a_rewrite_that_cannot_work_is_refused(corpus, tmp_path):
    def refused(match, where, **fields):
        with pytest.raises(ConfigError, match=match) as error:
            run(recipe("http://127.0.0.1:1/v1", **fields), corpus, tmp_path / "root")
        assert where in error.value.where

    refused("which prompt", "prompt", template="own")
    refused("prompt has no effect", "prompt", prompt="raw/*.jsonl", template="simplify")
    refused("max_chars is 9", "max_chars", max_chars=9)
    with pytest.raises(WinnowError, match="not text"):
        run(recipe("http://127.0.0.1:1/v1", gate=", rewritten: plain.rewrite_cut"), corpus, tmp_path / "root")
    with pytest.raises(ConfigError, match=r"min_words is 1\.5"):
        run(recipe("http://127.0.0.1:1/v1", gate=", min_words: 1.5"), corpus, tmp_path / "root")


def test_the_templates_name_the_text_once():
    assert {path.stem for path in TEMPLATES.glob("*.txt")} == {"rephrase", "simplify", "question_answer", "recover"}
    assert all(text_of(path.stem).count("{{text}}") == 1 for path in TEMPLATES.glob("*.txt"))


# -- what texts say -----------------------------------------------------------------------------------------


def test_words_numbers_and_names_of_a_text():
    said = Said.by("In 1999 the city of Oslo had 1,000 trees. Trees in Bergen: 3.5. It is\nBig.")
    assert said.numbers == {"1999", "1000", "3.5"}
    assert said.names == {"oslo", "bergen"}
    assert {"city", "trees", "bergen"} <= said.content
    assert not {"1999", "the", "in"} & said.content


def test_a_copy_an_identity_and_nothing_in_common():
    words = tuple(f"w{n}" for n in range(40))
    assert _copied(words, words) == 1
    assert _copied(words, words[::-1]) == 0
    assert (_copied(words, words[:3]), _copied(words[:3], words[:3])) == (0, 1)
    assert (_f1(words, words), _f1(words, ()), _f1((), ()), _f1(words, words[:20])) == (1, 0, 1, pytest.approx(2 / 3))
    rng = np.random.default_rng(0)
    for _ in range(50):  # symmetric, within bounds, and does not hang on the order of words
        one, two = (tuple(rng.choice(words, size=rng.integers(1, 30))) for _ in range(2))
        assert _f1(one, two) == _f1(two, one) == _f1(one, tuple(reversed(two)))
        assert 0 <= _f1(one, two) <= 1


def test_a_text_that_is_the_source_keeps_all_and_adds_nothing():
    text = DOCS[0]["text"]
    found = Faithful()._measured(text, text, None)
    assert {k: v for k, v in found.items() if k.startswith("faithful_")} == {
        "faithful_length": 1, "faithful_words": 1, "faithful_new_words": 0, "faithful_numbers": 1, "faithful_new_numbers": 0,
        "faithful_names": 1, "faithful_new_names": 0, "faithful_copied": 1,
    }  # fmt: skip
    assert [k for k, v in found.items() if v is False] == ["faithful", "kept", "pass_changed"]
    nothing = Faithful()._measured(None, "x", None)
    assert set(nothing.values()) == {None, False}


def test_documents_that_would_share_ids_are_not_united(corpus, tmp_path):
    twice = "  again: {use: rewritten, inputs: [docs, plain]}\n  all: {use: concat, inputs: [new, again]}\n"
    with endpoint(tmp_path) as server:
        with pytest.raises(WinnowError, match="30 documents have an id that another one has"):
            run(recipe(server.url, twice), corpus, tmp_path / "root")
        with pytest.raises(ConfigError, match="two inputs of `concat` hold documents of 'new'"):
            run(
                recipe(server.url, "  one: {use: concat, inputs: [new]}\n  all: {use: concat, inputs: [new, one]}\n"),
                corpus,
                tmp_path / "root",
            )


def test_a_gate_is_found_named_or_left_out_and_says_nothing_of_the_first_texts(corpus, tmp_path):
    with endpoint(tmp_path, [{"kind": "text", "text": "short", "when": "club 7 "}]) as server:
        text = recipe(server.url, "  first: {use: write, inputs: docs}\n")
        ran = run(text, corpus, tmp_path / "root")
        assert ran.manifest("new").rows == 29
        assert ran.manifest("first").rows == 30
        free = run(
            text.replace("rewritten, inputs: [docs, plain]", "rewritten, inputs: [docs, plain], keep: ''"),
            corpus,
            tmp_path / "root",
        )
        assert free.manifest("new").rows == 30
        without = "\n".join(line for line in text.splitlines() if "use: faithful" not in line)
        with pytest.raises(ConfigError, match="faithful"):
            run(without, corpus, tmp_path / "root")
        with pytest.raises(ConfigError, match="not true or false"):
            run(
                text.replace(
                    "rewritten, inputs: [docs, plain]", "rewritten, inputs: [docs, plain], keep: rewrite_model"
                ),
                corpus,
                tmp_path / "root",
            )
