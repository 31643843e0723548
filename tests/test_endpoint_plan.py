"""What plans, estimates and warming say of stages that ask an endpoint, and that they ask nothing."""

import json

import pytest
from cli_runs import winnow as command_line
from endpoint_server import endpoint
from test_endpoint_stage import put_documents, recipe

from winnow.dags.driver import warm
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.testing import check_operator


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return put_documents(tmp_path, [{"text": f"document {n}"} for n in range(30)])


@pytest.fixture
def winnow(capsys):
    return lambda *args: command_line(capsys, *args)


@pytest.fixture
def planned(winnow):
    def plan():
        done = winnow("plan", "r.yaml", "--out", "root", "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["questions"]

    return plan


def test_a_plan_says_how_many_questions_and_tokens_and_what_they_may_cost(folder, winnow, planned):
    with endpoint(folder) as server:
        text = recipe(server.url, price_in=2.0, price_out=10.0, cost_cap=5.0)
        (folder / "r.yaml").write_text(text)
        said = planned()["judged"]
        assert (said["known"], said["documents"]) == (False, 1000)
        line = winnow("plan", "r.yaml", "--out", "root").out
        assert "judged: asks judge about every 1,000 documents: 1,000 questions" in " ".join(line.split())
        assert winnow("run", "r.yaml", "--out", "root", "--until", "docs").code == 0
        said = planned()["judged"]
        assert (said["known"], said["documents"], said["questions"], said["tokens_out"]) == (True, 30, 30, 1500)
        assert said["cost"] == pytest.approx((said["tokens_in"] * 2 + 1500 * 10) / 1e6)
        assert said["used"] == [0, 0]
        assert winnow("plan", "r.yaml", "--out", "root", "--estimate").code == 0
        assert server.lines(done=False) == []
        assert winnow("run", "r.yaml", "--out", "root").code == 0
        assert planned() == {}
        (folder / "r.yaml").write_text(text.replace('"b"', '"c"'))
        assert sum(planned()["judged"]["used"]) > 300


def test_a_plan_counts_what_the_decisions_above_kept(folder, winnow, planned):
    (folder / "r.yaml").write_text(
        recipe("http://127.0.0.1:9/v1").replace(
            "  judged:", '  short: {use: filter, inputs: docs, keep: {short: "text_bytes < 11"}}\n  judged:'
        )
    )
    assert winnow("run", "r.yaml", "--out", "root", "--until", "short").code == 0
    assert planned()["judged"]["documents"] == 10


def test_an_estimate_and_warming_ask_nothing_and_say_so(folder, winnow):
    with endpoint(folder) as server:
        (folder / "r.yaml").write_text(recipe(server.url))
        said = json.loads(winnow("plan", "r.yaml", "--out", "root", "--json", "--estimate").out)["estimate"]
        assert [one["stage"] for one in said["not_timed"]] == ["judged"]
        assert "asks an endpoint" in said["not_timed"][0]["why"]
        left: list[str] = []
        sampled = (
            warm._sampled(parse_recipe(recipe(server.url), name="a", folder=folder), folder / "w", left)
            if (folder / "w").mkdir() is None
            else None
        )
        assert [stage.name for stage in sampled.stages] == ["docs"]
        assert left == ["nothing is trained, no endpoint is asked: judged"]
        assert server.lines(done=False) == []


def test_the_annotator_keeps_the_contract_with_an_endpoint(folder):
    from winnow.core.operators import Context
    from winnow.scorers.llm_annotate import LlmAnnotate
    from winnow.testing import nasty_corpus

    with endpoint(folder) as server:
        op = LlmAnnotate(endpoint=server.url, model="m", rubric=(str(folder / "rubric.txt"),), max_tokens=50,
                         answer={"score": {"type": "integer"}, "share": {"type": "number"}, "good": {"type": ["boolean", "null"]}, "kind": {"enum": ["a", "b"]}})  # fmt: skip
        findings = check_operator(
            op, nasty_corpus(), ctx=Context(seed=7, work=folder, refs={"rubric": [folder / "rubric.txt"]})
        )
        assert [str(f) for f in findings if f.status == "broken"] == []
        assert len(server.lines()) > 10


def test_gc_leaves_what_was_paid_for(folder, winnow):
    with endpoint(folder) as server:
        (folder / "r.yaml").write_text(recipe(server.url))
        assert winnow("run", "r.yaml", "--out", "root").code == 0
        assert winnow("forget", "root:r").code == 0
        assert winnow("gc", "root").code == 0
        assert not list((folder / "root").glob("llm_annotate-*"))
        assert len(list((folder / "root" / "answers").glob("??/*.json"))) == 30
        assert winnow("run", "r.yaml", "--out", "root").code == 0
        assert len(server.lines()) == 30
