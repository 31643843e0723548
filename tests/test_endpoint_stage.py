"""Stages that ask an endpoint, in whole runs against a server process: faults, caps, kills, drivers, layouts, engines."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from endpoint_server import endpoint
from support import put_corpus, run

from winnow.core.endpoint import asking
from winnow.core.errors import ConfigError, WinnowError

RUBRIC = "Rate this text from 0 to 5.\n<text>{{text}}</text>\n"
DOCS = [{"text": f"Document number {n}, which says something of its own about {n * 7}."} for n in range(40)]
ANSWER = {"score": {"type": "integer", "minimum": 0, "maximum": 5}, "topic": {"enum": ["a", "b"]}}
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.01)


def recipe(url, **more):
    fields = {
        "endpoint": url,
        "known_as": "judge-1",
        "model": "judge",
        "rubric": "rubric.txt",
        "max_tokens": 50,
        "answer": ANSWER,
        **more,
    }
    judged = {"use": "llm_annotate", "inputs": "docs", **fields}
    return (
        "seed: 3\nstages:\n  docs: {use: jsonl, files: raw/*.jsonl, id: content}\n  judged: "
        + json.dumps(judged)
        + "\n"
    )


def put_documents(folder, documents, files=1):
    put_corpus(folder / "raw", documents, files=files)
    (folder / "rubric.txt").write_text(RUBRIC)
    return folder


@pytest.fixture
def corpus(tmp_path):
    return put_documents(tmp_path, DOCS, files=4)


def columns(ran, *names):
    return ran.table("judged", *(names or ("score", "topic", "annotation", "annotation_cut"))).to_pydict()


def failed(ran):
    return str(ran.of("judged").failures[0])


def test_every_document_is_asked_about_once_and_another_root_asks_again(corpus, tmp_path):
    with endpoint(tmp_path) as server:
        first = run(recipe(server.url), corpus, tmp_path / "root")
        held = columns(first)
        assert set(held["annotation"]) == {"ok"}
        assert set(held["score"]) <= set(range(6))
        assert len(set(held["score"])) > 3
        assert set(held["topic"]) == {"a", "b"}
        assert held["annotation_cut"] == [False] * 40
        assert len(server.lines()) == 40
        counts = first.counts("judged")
        assert counts["questions_asked"] == 40
        assert counts["tokens_in"] > 400
        again = run(recipe(server.url), corpus, tmp_path / "root")
        assert again.computed == {}
        run(recipe(server.url, slots=[], most_invalid=0.2), corpus, tmp_path / "root")
        assert len(server.lines()) == 40
        other = run(recipe(server.url), corpus, tmp_path / "other")
        assert other.digests == first.digests
        assert len(server.lines()) == 80


def test_the_columns_are_the_same_for_any_layout(corpus, tmp_path):
    with endpoint(tmp_path) as server:
        cuts = ({}, {"part_bytes": 300}, {"part_bytes": 1000, "batch_rows": 3})
        rans = [run(recipe(server.url), corpus, tmp_path / f"root{n}", **cut) for n, cut in enumerate(cuts)]
        assert len({len(ran.manifest("judged").named("part")) for ran in rans}) > 1
        assert len({ran.digests["judged"] for ran in rans}) == 1


def test_answers_that_do_not_fit_are_asked_for_again_with_what_was_wrong(corpus, tmp_path):
    faults = [
        {"kind": "text", "text": '{"score": 9, "topic": "a"}', "when": "number 3,", "times": 1},
        {"kind": "text", "text": "I would say 4.", "when": "number 5,", "times": 1},
        {"kind": "text", "text": '```json\n{"score": 4, "topic": "b"}\n```', "when": "number 6,"},
    ]  # fmt: skip
    with endpoint(tmp_path, faults) as server:
        ran = run(recipe(server.url), corpus, tmp_path / "root")
        assert set(columns(ran)["annotation"]) == {"ok"}
        assert len(server.lines()) == 42
        asked = [line["prompt"] for line in server.lines() if "cannot be used" in line["prompt"]]
        assert any("9 is greater than the maximum" in said for said in asked)
        assert any("it is no JSON" in said for said in asked)
        row = ran.table("docs", "text")["text"].to_pylist().index(DOCS[6]["text"])
        assert columns(ran)["score"][row] == 4


WRONG = {
    "cannot be read": '{"score": 1, "topic": ', "another type": '{"score": "1", "topic": "a"}', "a fraction": '{"score": 1.5, "topic": "a"}',
    "one too many": '{"score": 1, "topic": "a", "more": 1}', "one too few": '{"score": 1}', "out of the enum": '{"score": 1, "topic": "c"}',
    "no object": "[1, 2]", "NaN": '{"score": NaN, "topic": "a"}', "twice": '{"score": 1, "score": 2, "topic": "a"}', "true": '{"score": true, "topic": "a"}',
    "null": '{"score": null, "topic": "a"}', "nothing": "", "deep": "[" * 50_000,
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG.values(), ids=list(WRONG))
def test_an_answer_that_stays_wrong_is_a_row_without_values_counted_with_its_reason(corpus, tmp_path, text):
    with endpoint(
        tmp_path,
        [
            {"kind": "text", "text": text, "when": "number 11,"},
            {"kind": "text", "text": text, "when": "cannot be used"},
        ],
    ) as server:
        ran = run(recipe(server.url, tries=2), corpus, tmp_path / "root")
        held, texts = columns(ran), ran.table("docs", "text")["text"].to_pylist()
        row = texts.index(DOCS[11]["text"])
        assert [held[c][row] for c in ("score", "topic", "annotation")] == [None, None, "invalid_answer"]
        assert Counter(held["annotation"]) == {"ok": 39, "invalid_answer": 1}
        assert ran.counts("judged")["annotation:invalid_answer"] == 1
        (told,) = ran.of("judged").node.operator.remarks(ran.counts("judged"), {})
        assert told.startswith("1 of 40 documents (2.5%) have no annotation: invalid_answer 1")
        assert len(server.lines()) == 41


def test_documents_that_are_refused_or_say_nothing_have_no_values_and_a_reason(tmp_path):
    docs = [*DOCS[:20], {"text": "   \n"}, {"text": "poison"}, {"text": "vast"}]
    put_corpus(tmp_path / "raw", docs, files=1)
    (tmp_path / "rubric.txt").write_text(RUBRIC)
    faults = [{"kind": "status", "status": 400, "when": "poison"}, {"kind": "huge", "when": "vast"}]
    with endpoint(tmp_path, faults) as server:
        ran = run(recipe(server.url), tmp_path, tmp_path / "root")
        held, texts = columns(ran), ran.table("docs", "text")["text"].to_pylist()
        assert {t: a for t, a in zip(texts, held["annotation"], strict=True) if a != "ok"} == {
            "   \n": "no_text", "poison": "refused", "vast": "too_large",
        }  # fmt: skip
        assert len(server.lines(done=False)) == 22


def test_a_long_text_is_shown_in_part_marked_and_remarked(tmp_path):
    put_corpus(tmp_path / "raw", [{"text": "a" * 90}, {"text": "a" * 101 + "END"}], files=1)
    (tmp_path / "rubric.txt").write_text(RUBRIC)
    with endpoint(tmp_path) as server:
        ran = run(recipe(server.url, max_chars=100, long="ends"), tmp_path, tmp_path / "root")
        assert sorted(columns(ran)["annotation_cut"]) == [False, True]
        assert any("END</text>" in line["prompt"] for line in server.lines())
        (told,) = ran.of("judged").node.operator.remarks(ran.counts("judged"), {})
        assert told.startswith("1 of 2 texts are longer than 100 characters, and the model saw their ends")


def test_the_rubric_is_filled_from_columns(tmp_path):
    put_corpus(
        tmp_path / "raw", [{"text": "the text", "title": "The Title"}, {"text": "other", "title": None}], files=1
    )
    (tmp_path / "rubric.txt").write_text("{{title}}: {{text}}")
    text = recipe("URL", slots=["title"]).replace("id: content", "id: content, columns: {title: string}")
    with endpoint(tmp_path) as server:
        run(text.replace("URL", server.url), tmp_path, tmp_path / "root")
        assert sorted(line["prompt"] for line in server.lines()) == [": other", "The Title: the text"]


def test_most_answers_of_a_batch_wrong_stop_the_stage_before_it_costs_more(tmp_path):
    corpus = put_documents(tmp_path, [{"text": f"text {n}"} for n in range(400)])
    with endpoint(tmp_path, [{"kind": "text", "text": "no"}]) as server:
        with pytest.raises(
            WinnowError, match="of 64 documents of a batch have no annotation, most of them: invalid_answer"
        ):
            run(recipe(server.url, tries=1), corpus, tmp_path / "root")
        assert len(server.lines()) == 64
        ran = run(recipe(server.url, tries=1, most_invalid=1.0), corpus, tmp_path / "root")
        assert set(columns(ran)["annotation"]) == {"invalid_answer"}
        assert len(server.lines()) == 400


def test_an_endpoint_that_is_down_stops_the_stage_and_the_rerun_asks_the_rest(corpus, tmp_path):
    with endpoint(tmp_path, [{"kind": "status", "status": 503, "when": "number 33,"}]) as server:
        with pytest.raises(WinnowError, match=r"no answer in 0\.5 s and \d+ tries, last: status 503") as error:
            run(recipe(server.url, patience_s=0.5), corpus, tmp_path / "root")
        assert "unanswered: skip" in error.value.hint
        answered = {line["digest"] for line in server.lines() if line["kind"] == "ok"}
        assert len(answered) == 39
        port = server.port
    with endpoint(tmp_path, port=port) as server:
        ran = run(recipe(server.url), corpus, tmp_path / "root")
        assert set(columns(ran)["annotation"]) == {"ok"}
        asked = Counter(line["digest"] for line in server.lines() if line["kind"] == "ok")
        assert len(asked) == 40
        assert set(asked.values()) == {1}
    with endpoint(tmp_path, [{"kind": "status", "status": 503, "when": "number 33,"}], port=port) as server:
        ran = run(recipe(server.url, patience_s=0.5, unanswered="skip"), corpus, tmp_path / "third")
        assert Counter(columns(ran)["annotation"]) == {"ok": 39, "unanswered": 1}


def test_an_endpoint_that_answers_nothing_costs_its_patience_twice_at_most(corpus, tmp_path):
    """A worker has one unit under way and one in hand: none that waits is asked about, and none is tried again."""
    with endpoint(tmp_path, [{"kind": "status", "status": 500}]) as server:
        with pytest.raises(WinnowError, match=r"no answer in 1 s and \d+ tries, last: status 500"):
            run(recipe(server.url, patience_s=1, concurrency=3), corpus, tmp_path / "root", part_bytes=900)
        assert 1 <= len({line["digest"] for line in server.lines()}) <= 2 * 3
        port = server.port
    with endpoint(tmp_path, port=port) as server:
        ran = run(recipe(server.url), corpus, tmp_path / "root", part_bytes=900)
        assert len(ran.of("judged").parts) > 3
        assert set(columns(ran)["annotation"]) == {"ok"}


def test_a_cap_stops_the_stage_and_a_raised_one_goes_on_with_the_same_columns(corpus, tmp_path):
    with endpoint(tmp_path) as server:
        with pytest.raises(WinnowError, match="the cap is reached: judge has used") as error:
            run(recipe(server.url, token_cap=800), corpus, tmp_path / "root")
        assert error.value.hint.startswith("raise `token_cap` and run again")
        some = len(server.lines())
        assert 0 < some < 40
        ran = run(recipe(server.url, token_cap=100_000), corpus, tmp_path / "root")
        assert len(server.lines()) == 40
        assert run(recipe(server.url), corpus, tmp_path / "whole").digests == ran.digests


def test_rubrics_and_schemas_that_cannot_work_are_refused_before_anything_is_asked(corpus, tmp_path):
    def refused(match, where, **more):
        with pytest.raises(ConfigError, match=match) as error:
            run(recipe("http://127.0.0.1:1/v1", **more), corpus, tmp_path / "root")
        assert where in error.value.where

    refused("keyword 'pattern'", "answer.a", answer={"a": {"type": "string", "pattern": "x"}})
    refused("its type is 'object'", "answer.a", answer={"a": {"type": "object"}})
    refused("its type is None", "answer.a", answer={"a": {"enum": [1, "b"]}})
    refused("cannot be called 'annotation'", "answer.annotation", answer={"annotation": {"type": "string"}})
    refused("no property", "answer", answer={})
    refused("tries is 0", "tries", tries=0)
    refused("max_chars is 5", "max_chars", max_chars=5)
    refused("in the open", "endpoint", endpoint="http://example.org/v1")
    (corpus / "rubric.txt").write_text("Rate it.")
    refused("does not occur", "rubric")


# -- processes ----------------------------------------------------------------------------------------------


def command(folder, *more):
    return [
        sys.executable,
        "-m",
        "winnow",
        "run",
        str(folder / "r.yaml"),
        "--out",
        str(folder / "root"),
        "--workers",
        "2",
        *more,
    ]


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **more}


def put_recipe(folder, url, documents=120, **more):
    put_corpus(folder / "raw", [{"text": f"Document number {n} of many."} for n in range(documents)], files=2)
    (folder / "rubric.txt").write_text(RUBRIC)
    (folder / "r.yaml").write_text(recipe(url, **more))


@pytest.mark.slow
def test_a_run_that_is_killed_asks_again_only_what_was_under_way(tmp_path):
    with endpoint(tmp_path, think_s=0.05) as server:
        put_recipe(tmp_path, server.url, concurrency=2)
        for _ in range(2):
            before = len(server.lines())
            process = subprocess.Popen(
                command(tmp_path),
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            until = time.monotonic() + 60
            while len(server.lines(settled=False)) < before + 15 and time.monotonic() < until:
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(0.3)  # what was under way is answered to nobody
            assert before + 15 <= len(server.lines(settled=False)) < 120
        done = subprocess.run(
            command(tmp_path, "--json"), env=environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        asked = Counter(line["digest"] for line in server.lines(done=False))
        assert len(asked) == 120
        assert sum(asked.values()) - 120 <= 2 * 2 * 2  # kills, workers, questions under way in each


@pytest.mark.slow
def test_two_drivers_at_once_end_the_same_and_the_key_is_in_no_file_log_or_process_list(tmp_path):
    faults = [
        {"kind": "status", "status": 500, "text": "bad KEY", "times": 3},
        {"kind": "text", "text": "KEY", "when": "number 7 "},
    ]
    with endpoint(tmp_path, faults, think_s=0.03) as server:
        put_recipe(tmp_path, server.url, concurrency=2, key_env="JUDGE_KEY", tries=1)
        two = [
            subprocess.Popen(
                command(tmp_path, "--name", f"run{n}"),
                env=environment(JUDGE_KEY=KEY),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for n in range(2)
        ]
        listed = b""
        while two[0].poll() is None:
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    listed += line.read_bytes()
                except OSError:
                    continue
            time.sleep(0.2)
        out = [process.communicate(timeout=120)[0] for process in two]
        assert [process.returncode for process in two] == [0, 0], out
        digests = {
            json.loads(path.read_text())["content_digest"]
            for path in (tmp_path / "root").glob("llm_annotate-*/manifest.json")
        }
        assert len(digests) == 1
        assert all(line["authorization"] for line in server.lines())
        answered = [line for line in server.lines() if line["kind"] != "status"]
        assert 120 <= len(answered) <= 140
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 130
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert KEY.encode() not in b"".join(out) + listed
    assert b"JUDGE_KEY" in (tmp_path / "r.yaml").read_bytes()


def test_a_key_that_is_missing_or_wrong_is_said_without_showing_it(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with endpoint(tmp_path, [{"kind": "status", "status": 401, "text": "Incorrect key KEY"}]) as server:
        with pytest.raises(WinnowError, match=r"status 401: Incorrect key \*\*\*") as error:
            run(recipe(server.url, key_env="JUDGE_KEY"), corpus, tmp_path / "root")
        assert KEY not in str(error.value)
        monkeypatch.delenv("JUDGE_KEY")
        with pytest.raises(WinnowError, match="environment variable JUDGE_KEY is not set"):
            run(recipe(server.url, key_env="JUDGE_KEY"), corpus, tmp_path / "root")


@pytest.mark.ray
@pytest.mark.slow
def test_ray_gives_the_same_columns(corpus, tmp_path):
    with endpoint(tmp_path) as server:
        local = run(recipe(server.url), corpus, tmp_path / "local")
        on_ray = run(recipe(server.url), corpus, tmp_path / "ray", engine="ray", workers=2)
        assert on_ray.digests == local.digests


@pytest.mark.processes
def test_workers_give_the_same_columns_and_share_the_cap(corpus, tmp_path):
    with endpoint(tmp_path) as server:
        here = run(recipe(server.url), corpus, tmp_path / "here")
        there = run(recipe(server.url), corpus, tmp_path / "there", workers=2, part_bytes=300)
        assert there.digests["judged"] == here.digests["judged"]
        with pytest.raises(WinnowError, match="the cap is reached"):
            run(recipe(server.url, token_cap=900), corpus, tmp_path / "capped", workers=2, part_bytes=300)
        notes = [json.loads(path.read_text()) for path in (tmp_path / "capped" / "answers" / "spent").rglob("*.json")]
        assert 300 < sum(sum(note["used"]) + sum(note["held"]) for note in notes) <= 900
