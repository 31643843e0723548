"""Questions to an endpoint: kept answers, tries and waits, caps, bounds and secrets, against a server process."""

import dataclasses
import json
import socket
import threading
import time
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path

import pytest
from endpoint_server import endpoint

from winnow.core.endpoint import asking, transport
from winnow.core.endpoint.asking import Asker, Unanswered
from winnow.core.endpoint.ledger import Ledger
from winnow.core.endpoint.question import Answer, Question, Refused, unpacked
from winnow.core.endpoint.settings import check_address, is_local
from winnow.core.endpoint.template import GAP, check_slots, filled, shown, slots_of, template_in
from winnow.core.errors import ConfigError, StoreError
from winnow.core.operators import Context
from winnow.core.operators.records import MemoryRecords
from winnow.core.store.posix_store import PosixStore
from winnow.core.store.small_records import StoreRecords
from winnow.scorers.llm_annotate import LlmAnnotate

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.01)


def settings(url, **more):
    fields = {
        "endpoint": url,
        "model": "m",
        "rubric": ("r.txt",),
        "answer": {"score": {"type": "integer"}},
        "max_tokens": 40,
        "request_s": 5.0,
        "patience_s": 20.0,
        "unanswered": "skip",
        **more,
    }
    op = LlmAnnotate(**fields)
    op.validate()
    return op


def asker(url, records=None, **more):
    counts = {}
    ctx = Context(seed=7, work=Path(), records=records if records is not None else MemoryRecords(), counts=counts)
    one = Asker.opened(settings(url, **more), ctx)
    return one, counts


def questions(one, n, text="say <text>number {}</text>"):
    return [one.question(text.format(k)) for k in range(n)]


def test_answers_come_in_the_order_of_the_questions_and_equal_ones_are_asked_once(tmp_path):
    with endpoint(tmp_path) as server:
        one, counts = asker(server.url, concurrency=5)
        asked = questions(one, 12)
        found = one.ask([*asked, *asked[:4]])
        assert [a.text for a in found] == [f"number {k}" for k in (*range(12), *range(4))]
        assert len(server.lines()) == 12
        assert counts["questions_asked"] == 12
        assert counts["tokens_in"] == sum(a.tokens_in for a in found[:12]) > 0
        again = one.ask(asked)
        assert again == found[:12]
        assert len(server.lines()) == 12
        assert counts["answers_kept_before"] == 12


def test_another_model_address_text_or_parameter_is_another_question():
    base = {
        "asked_of": "a",
        "model": "m",
        "messages": (("user", "x"),),
        "parameters": {"temperature": 0.0, "max_tokens": 5},
    }
    others = [
        {"asked_of": "b"},
        {"model": "n"},
        {"messages": (("user", "y"),)},
        {"messages": (("system", "x"),)},
        {"messages": (("user", "x"), ("user", "x"))},
        {"parameters": {"temperature": 0.5, "max_tokens": 5}},
        {"parameters": {"temperature": 0.0, "max_tokens": 6}},
        {"parameters": {}},
    ]
    digests = [Question(**base | other).digest() for other in [{}, *others]]
    assert len(set(digests)) == len(digests)
    assert Question(**base).digest() == digests[0]


@pytest.mark.parametrize("fault", [
    {"kind": "status", "status": 500}, {"kind": "status", "status": 503}, {"kind": "garbage"}, {"kind": "half"},
    {"kind": "status", "status": 429, "retry_after": "0"}, {"kind": "hang", "seconds": 0.2}, {"kind": "text", "text": "", "times": 0},
])  # fmt: skip
def test_a_fault_that_passes_is_survived(tmp_path, fault):
    with endpoint(tmp_path, [{"times": 3, **fault}]) as server:
        one, counts = asker(server.url, concurrency=4, request_s=3.0)
        found = one.ask(questions(one, 8))
        assert [a.text for a in found] == [f"number {k}" for k in range(8)]
        faults = sum(line["kind"] == fault["kind"] for line in server.lines(done=False))
        assert faults == fault.get("times", 3)
        assert counts.get("tries_that_failed", 0) == faults


def test_a_dead_endpoint_ends_with_patience_and_says_how_often_it_was_tried():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        one, _ = asker(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", patience_s=1.0)
        begun = time.monotonic()
        (found,) = one.ask(questions(one, 1))
    assert isinstance(found, Unanswered)
    assert "tries" in found.message
    assert time.monotonic() - begun < 20


def test_a_hang_and_a_drip_end_with_the_time_of_a_request(tmp_path):
    with endpoint(
        tmp_path,
        [{"kind": "hang", "when": "number 0<", "seconds": 30}, {"kind": "drip", "when": "number 1<", "seconds": 0.05}],
    ) as server:
        one, _ = asker(server.url, request_s=0.5, patience_s=1.4)
        begun = time.monotonic()
        found = one.ask(questions(one, 3))
        assert time.monotonic() - begun < 25
        assert [type(f) for f in found] == [Unanswered, Unanswered, Answer]
        assert "did not end in time" in found[1].message


def test_a_request_that_hangs_is_given_up_for_another_while_there_is_patience(tmp_path):
    with endpoint(tmp_path, [{"kind": "hang", "seconds": 60, "times": 1}]) as server:
        one, counts = asker(server.url, request_s=0.5, patience_s=25.0)
        (found,) = one.ask(questions(one, 1))
        assert found.text == "number 0"
        assert counts["tries_that_failed"] == 1


def test_retry_after_is_waited_for(tmp_path):
    with endpoint(tmp_path, [{"kind": "status", "status": 429, "retry_after": "1.5", "times": 1}]) as server:
        one, _ = asker(server.url, concurrency=1)
        one.ask(questions(one, 1))
        first, second = server.lines()
        assert second["at"] - first["at"] >= 1.4


def test_a_date_to_retry_after_is_waited_for(tmp_path):
    until = int(time.time()) + 5  # a date has whole seconds
    fault = {"kind": "status", "status": 429, "retry_after": formatdate(until, usegmt=True), "times": 1}
    with endpoint(tmp_path, [fault]) as server:
        one, _ = asker(server.url, concurrency=1)
        one.ask(questions(one, 1))
        assert server.lines()[-1]["at"] >= until - 0.1


def test_retry_after_beyond_patience_gives_up_at_once_and_says_so(tmp_path):
    with endpoint(tmp_path, [{"kind": "status", "status": 429, "retry_after": "3600"}]) as server:
        one, _ = asker(server.url, patience_s=30.0)
        begun = time.monotonic()
        (found,) = one.ask(questions(one, 1))
        assert time.monotonic() - begun < 25
        assert "3600 s" in found.message
        assert len(server.lines()) == 1


def test_retry_after_of_one_question_holds_the_others_back(tmp_path):
    with endpoint(
        tmp_path, [{"kind": "status", "status": 429, "retry_after": "4", "times": 1}], think_s=0.05
    ) as server:
        one, _ = asker(server.url, concurrency=3)
        one.ask(questions(one, 30))
        starts = [line["at"] for line in server.lines(done=False)]
        refused = next(line["at"] for line in server.lines() if line["kind"] == "status")
        under_way = [at for at in starts if refused + 2 < at < refused + 3.9]
        assert under_way == []
        assert len([at for at in starts if at >= refused + 3.9]) > 10


def test_waits_grow_from_try_to_try_and_tries_are_counted(tmp_path, monkeypatch):
    class Most:
        shuffle = staticmethod(lambda left: None)
        uniform = staticmethod(lambda low, high: high)

    monkeypatch.setattr(asking, "LOTS", Most)
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.1)
    with endpoint(tmp_path, [{"kind": "status", "status": 503}]) as server:
        one, _ = asker(server.url, patience_s=4.0)
        (found,) = one.ask(questions(one, 1))
        at = [line["at"] for line in server.lines()]
        assert len(at) >= 4
        assert all(b - a > 0.1 * 2**n * 0.95 for n, (a, b) in enumerate(pairwise(at), 1))
        assert f"and {len(at)} tries" in found.message


def test_a_wait_is_drawn_from_half_of_it_up():
    drawn = [asking.LOTS.uniform(0.5, 1.0) for _ in range(200)]
    assert 0.5 <= min(drawn) < 0.6 < 0.9 < max(drawn) <= 1.0
    assert [transport.waits(h) for h in ("", "soon", "-3", "2", "1e9")] == [0, 0, 0, 2, 0]


def test_a_question_that_is_refused_is_one_outcome_and_is_asked_once(tmp_path):
    with endpoint(tmp_path, [{"kind": "status", "status": 400, "when": "number 1<", "text": "too long"}]) as server:
        one, _ = asker(server.url)
        found = one.ask(questions(one, 3))
        assert [type(f) for f in found] == [Answer, Refused, Answer]
        assert found[1].message == "too long"
        assert len(server.lines()) == 3


@pytest.mark.parametrize(("status", "where"), [(401, "key_env"), (403, "key_env"), (404, "model"), (405, "endpoint")])
def test_a_refusal_of_everything_stops_at_once(tmp_path, status, where):
    with endpoint(tmp_path, [{"kind": "status", "status": status, "text": "no"}]) as server:
        one, _ = asker(server.url, concurrency=1)
        with pytest.raises(ConfigError, match=str(status)) as error:
            one.ask(questions(one, 30))
        assert error.value.where == where
        assert len(server.lines()) == 1


def test_a_redirect_is_not_followed_and_names_no_more_than_the_host(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    (tmp_path / "other").mkdir()
    with endpoint(tmp_path / "other") as other:
        fault = {"kind": "status", "status": 307, "location": f"{other.url}/chat/completions?token=abc"}
        with endpoint(tmp_path, [fault]) as server:
            one, _ = asker(server.url, key_env="MY_KEY")
            with pytest.raises(ConfigError, match=r"sends us on to 127\.0\.0\.1") as error:
                one.ask(questions(one, 1))
            assert "token" not in str(error.value)
            assert other.lines(done=False) == []


def test_an_answer_of_any_length_is_read_up_to_a_bound_and_not_asked_for_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "MOST_BYTES", 1 << 20)
    with endpoint(tmp_path, [{"kind": "huge", "when": "number 0<", "bytes": 4 << 20}]) as server:
        one, _ = asker(server.url)
        found = one.ask(questions(one, 2))
        assert [f.problem for f in found] == ["too_large", ""]
        assert one.ask(questions(one, 2)) == found
        assert len(server.lines(done=False)) == 2


@pytest.mark.parametrize(
    "said",
    [
        "null",
        "[]",
        '{"choices": []}',
        '{"choices": [{"message": {"content": 3}}]}',
        '{"choices": {"a": 1}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_answer_is_another_try(said):
    question = Question(asked_of="a", model="m", messages=(("user", "x"),))
    with pytest.raises(transport.Failed, match="no answer"):
        transport.answer_of(question, said.encode())


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 2.5, "completion_tokens": 1},
    ],
)
def test_tokens_that_are_not_said_are_estimated_and_marked(usage):
    question = Question(asked_of="a", model="m", messages=(("user", "x" * 300),))
    body = {"choices": [{"message": {"content": "y" * 30}}], "usage": usage}
    answer = transport.answer_of(question, json.dumps(body).encode())
    assert answer.estimated
    assert (answer.tokens_in, answer.tokens_out) == (104, 10)


# -- caps ---------------------------------------------------------------------------------------------------


def test_a_cap_stops_before_it_is_passed_keeps_the_answers_and_goes_on_when_raised(tmp_path):
    records = StoreRecords(PosixStore(tmp_path / "root"))
    with endpoint(tmp_path) as server:
        one, _ = asker(server.url, records, token_cap=400, concurrency=3)
        asked = questions(one, 60)
        with pytest.raises(ConfigError, match="the cap is reached: m has used") as error:
            one.ask(asked)
        assert error.value.where == "token_cap"
        first = len(server.lines())
        assert 3 <= first < 60
        assert sum(one.ledger.total()) <= 400
        two, _ = asker(server.url, records, token_cap=400)
        with pytest.raises(ConfigError, match="the cap is reached"):
            two.ask(asked)  # the same cap: nothing is asked
        assert len(server.lines()) == first
        three, counts = asker(server.url, records, token_cap=100_000)
        assert len(three.ask(asked)) == 60
        assert len(server.lines()) == 60
        assert counts["answers_kept_before"] == first
        total = one.ledger.total()
        assert total == two.ledger.total() == three.ledger.total()
        assert three.ledger.held == {}


def test_a_cap_as_money_is_by_the_prices(tmp_path):
    with endpoint(tmp_path) as server:
        one, _ = asker(server.url, cost_cap=0.5, price_in=1000.0, price_out=5000.0, concurrency=1)
        with pytest.raises(ConfigError, match=r"has used 0\.\d+ of 0\.5, the next question may cost 0\.2") as error:
            one.ask(questions(one, 200))
        assert error.value.where == "cost_cap"
        used = one.ledger.total()
        assert 0.25 < (used[0] * 1000 + used[1] * 5000) / 1e6 <= 0.5


def test_processes_that_share_a_root_share_the_cap(tmp_path):
    records = StoreRecords(PosixStore(tmp_path / "root"))
    with endpoint(tmp_path) as server:
        askers = [asker(server.url, records, token_cap=900, concurrency=3)[0] for _ in range(4)]
        errors = []

        def go(number):
            try:
                askers[number].ask(questions(askers[number], 60, f"q{number} <text>number {{}}</text>"))
            except ConfigError as error:
                errors.append(error)

        threads = [threading.Thread(target=go, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(errors) == 4
        totals = {one.ledger.total() for one in askers}
        assert len(totals) == 1
        assert sum(totals.pop()) <= 900
        assert len(server.lines()) >= 10


def test_what_a_killed_process_had_under_way_stays_counted(tmp_path):
    records = MemoryRecords()
    dead = Ledger(records=records, scope="s", me="dead")
    assert dead.hold("q", (70, 30), fits=lambda use: True) is None
    alive = Ledger(records=records, scope="s", me="alive")
    assert alive.total() == (70, 30)
    assert alive.hold("r", (1, 1), fits=lambda use: sum(use) <= 101) == (70, 30)
    assert alive.held == {}
    assert alive.hold("r", (1, 0), fits=lambda use: sum(use) <= 101) is None
    assert Ledger(records=records, scope="other", me="alive").total() == (0, 0)


def test_a_ledger_waits_for_its_own_questions_before_it_says_no():
    ledger = Ledger(records=MemoryRecords(), scope="s", me="me")
    assert ledger.hold("a", (80, 0), fits=lambda use: sum(use) <= 100) is None
    found = []
    thread = threading.Thread(target=lambda: found.append(ledger.hold("b", (80, 0), fits=lambda use: sum(use) <= 100)))
    thread.start()
    time.sleep(0.2)
    assert found == []
    ledger.settle("a", (5, 5))
    thread.join(5)
    assert found == [None]
    assert ledger.used == (5, 5)


def test_a_note_of_what_was_spent_that_cannot_be_read_is_an_error():
    records = MemoryRecords()
    records.put("spent/s/other.json", b"{}")
    with pytest.raises(StoreError, match="what was spent"):
        Ledger(records=records, scope="s", me="me").total()


def test_an_answer_that_did_not_arrive_may_have_been_paid_for(tmp_path):
    with endpoint(tmp_path, [{"kind": "half", "times": 2}, {"kind": "status", "status": 500, "times": 2}]) as server:
        one, _ = asker(server.url, concurrency=1)
        (question,) = questions(one, 1)
        (answer,) = one.ask([question])
        lost = question.tokens_in() + question.tokens_out()
        assert sum(one.ledger.total()) == 2 * lost + answer.tokens_in + answer.tokens_out


# -- kept answers -------------------------------------------------------------------------------------------


def test_a_kept_answer_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    with pytest.raises(StoreError, match="kept answer") as error:
        unpacked(b'{"text": "half', where="answers/ab/abc.json")
    assert error.value.where == "answers/ab/abc.json"


def test_the_first_answer_is_the_answer_whoever_asked(tmp_path):
    records = MemoryRecords()
    with endpoint(tmp_path) as server:
        one, _ = asker(server.url, records)
        (question,) = questions(one, 1)
        key = f"{question.digest()[:2]}/{question.digest()}.json"
        real = records.get
        records.get = lambda k: None  # another driver answers between the look and the asking
        records.held[key] = Answer(text="earlier").packed()
        one._kept = lambda digest: None if not server.lines(done=False, settled=False) else Asker._kept(one, digest)
        records.get = real
        assert one.ask([question]) == [Answer(text="earlier")]
        assert len(server.lines()) == 1
        assert unpacked(records.held[key], where="").text == "earlier"


def test_two_drivers_at_once_ask_hardly_anything_twice(tmp_path):
    records = StoreRecords(PosixStore(tmp_path / "root"))
    with endpoint(tmp_path, think_s=0.02) as server:
        askers = [asker(server.url, records, concurrency=2)[0] for _ in range(2)]
        found = [None, None]

        def go(n):
            found[n] = askers[n].ask(questions(askers[n], 80))

        threads = [threading.Thread(target=go, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found[0] == found[1]
        assert 80 <= len(server.lines()) <= 100


# -- secrets and addresses ----------------------------------------------------------------------------------


def test_what_a_library_says_is_one_short_line_without_the_key():
    said = transport.Transport("http://127.0.0.1:1", KEY, None)._plain(f"oops\n {KEY} " + "x" * 500)
    assert said.startswith("oops *** xxx")
    assert len(said) == transport.SHOWN


def test_a_key_that_the_endpoint_says_back_is_seen_by_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    records = StoreRecords(PosixStore(tmp_path / "root"))
    faults = [
        {"kind": "text", "text": "the key is KEY", "when": "number 0<"},
        {"kind": "status", "status": 400, "text": "bad KEY", "when": "number 1<"},
        {"kind": "status", "status": 401, "text": "bad KEY", "when": "number 2<"},
    ]
    with endpoint(tmp_path, faults) as server:
        one, _ = asker(server.url, records, key_env="MY_KEY")
        answer, refused = one.ask(questions(one, 2))
        assert answer.text == "the key is ***"
        assert refused.message == "bad ***"
        with pytest.raises(ConfigError, match=r"bad \*\*\*"):
            one.ask(questions(one, 3))
        assert all(line["authorization"] for line in server.lines())
    for path in (tmp_path / "root").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("value", "what"), [(None, "is not set"), ("  ", "is not set"), ("two\nlines", "no key"), ("schlüssel", "no key")]
)
def test_a_key_that_is_none_is_refused_without_showing_it(monkeypatch, value, what):
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(ConfigError, match=what) as error:
        asker("http://127.0.0.1:1/v1", key_env="MY_KEY")
    assert error.value.where == "key_env"
    assert not (value or "").strip() or value.strip() not in str(error.value)


@pytest.mark.parametrize(("address", "what"), [
    ("http://example.org/v1", "in the open"), ("http://10.0.0.7:8000/v1", "in the open"), ("https://user:pw@example.org/v1", "more than an address"),
    ("https://example.org/v1?key=abc", "more than an address"), ("ftp://example.org", "no address"), ("example.org/v1", "no address"),
    ("http://127.0.0.1:99999/v1", "no address"), ("http://localhost.example.org/v1", "in the open"), ("https://example.org/v1#k", "more than an address"),
])  # fmt: skip
def test_an_address_that_would_show_or_send_what_it_should_not_is_refused(address, what):
    with pytest.raises(ConfigError, match=what) as error:
        check_address(address, allow_http=False)
    assert "abc" not in str(error.value)
    assert "pw@" not in str(error.value)


def test_addresses_of_this_machine_and_others():
    assert [
        is_local(h) for h in ("localhost", "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "10.1.1.1", "localhost.")
    ] == [True] * 4 + [False] * 3
    assert check_address("http://10.0.0.7:8000/v1", allow_http=True) is False
    assert check_address("https://example.org/v1", allow_http=False) is False
    with pytest.raises(ConfigError, match="how much this may cost"):
        settings("https://example.org/v1")
    settings("https://example.org/v1", token_cap=10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("concurrency", 0),
        ("max_tokens", 0),
        ("temperature", 2.1),
        ("request_s", 0.0),
        ("patience_s", float("inf")),
        ("token_cap", 0),
        ("cost_cap", -1.0),
        ("price_in", -1.0),
    ],
)
def test_numbers_out_of_range_are_refused(field, value):
    with pytest.raises(ConfigError) as error:
        settings("http://127.0.0.1:1/v1", **{field: value})
    assert error.value.where == field


def test_how_one_asks_is_no_identity_and_who_is_asked_is():
    from winnow.core.operators.fingerprint import fingerprint, operator_identity

    def name(**more):
        return fingerprint(operator_identity(settings("http://127.0.0.1:1/v1", **more)))

    same = {
        "token_cap": 5,
        "price_out": 1.0,
        "concurrency": 2,
        "request_s": 1.0,
        "patience_s": 2.0,
        "key_env": "A",
        "most_invalid": 0.1,
    }
    assert all(name(**{k: v}) == name() for k, v in same.items())
    other = {"model": "n", "known_as": "x", "temperature": 0.5, "max_tokens": 41}
    assert len({name(), *(name(**{k: v}) for k, v in other.items())}) == 5
    moved = dataclasses.replace(settings("http://127.0.0.1:1/v1", known_as="x"), endpoint="http://127.0.0.1:2/v1")
    assert fingerprint(operator_identity(moved)) == name(known_as="x")


# -- templates ----------------------------------------------------------------------------------------------


def test_slots_are_filled_once_and_braces_of_a_document_are_text():
    assert slots_of("a {{text}} {{ url }} {{text}} {x} {{}}") == ("text", "url")
    assert filled("{{text}}|{{url}}", {"text": "{{url}} {}", "url": "u"}) == "{{url}} {}|u"


def test_a_template_with_other_slots_than_are_filled_is_refused(tmp_path):
    path = tmp_path / "r.txt"
    path.write_bytes(b"\xff{{text}}")
    with pytest.raises(ConfigError, match="UTF-8"):
        template_in([path], slots=["text"], where="rubric")
    with pytest.raises(ConfigError, match="2 files"):
        template_in([path, path], slots=["text"], where="rubric")
    with pytest.raises(ConfigError, match=r"\{\{text\}\} does not occur"):
        check_slots("rate this", ["text"], where="rubric")
    with pytest.raises(ConfigError, match=r"nothing fills \{\{url\}\}"):
        check_slots("{{text}} {{url}}", ["text"], where="rubric")


def test_a_long_text_is_shown_by_its_head_or_its_ends():
    text = "a" * 300 + "b" * 300
    assert shown(text, max_chars=600, long="head") == (text, False)
    assert shown(text, max_chars=599, long="head") == (text[:599], True)
    seen, less = shown(text, max_chars=107, long="ends")
    assert less
    assert seen == "a" * 50 + GAP + "b" * 50
    assert len(seen) == 107
