"""Evaluation targets: files in every published form, sampled, tokenised once, stored without pickle."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
import support
import zstandard

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Kind
from winnow.testing.in_memory import MemorySource
from winnow.trainers.evaluate import centring, multiple_choice, suites
from winnow.trainers.evaluate.target_file import TargetFile
from winnow.trainers.evaluate.target_formats import NAMES, parse_files
from winnow.trainers.evaluate.target_tokens import TargetTokens

PACKS = Path(__file__).resolve().parents[2] / "shared/data/packs"


def lines(folder: Path, *records: object, name: str = "target.jsonl") -> Path:
    path = folder / name
    path.write_bytes(b"".join((r if isinstance(r, bytes) else orjson.dumps(r)) + b"\n" for r in records))
    return path


def parsed(folder: Path, *records: object, **fields: str) -> suites.Suite:
    return parse_files([lines(folder, *records)], **fields)[0]


def bytes_of(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Every byte a token."""
    raw = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    return np.frombuffer(b"".join(raw), dtype=np.uint8).astype(np.uint16), offsets


def pair_of(suite: suites.Suite) -> list[tuple[str, str]]:
    return list(zip(suite.context, suite.scored, strict=True))


ASK = "Question: 1+1?\nAnswer:"
FORMS = [
    ({"sentence_good": "he runs", "sentence_bad": "he run", "UID": "x"}, "choices", [("", "he runs"), ("", "he run")], 0),
    ({"context_options": ["a so a", "a so b"], "continuation": "won.", "gold": 1}, "choices", [("a so a", " won."), ("a so b", " won.")], 1),
    ({"query": "1+1=", "choices": ["3", "2"], "gold": 1}, "choices", [("1+1=", " 3"), ("1+1=", " 2")], 1),
    ({"doc_to_text": "1+1=", "doc_to_choice": ["3", "2"], "doc_to_target": 1}, "choices", [("1+1=", " 3"), ("1+1=", " 2")], 1),
    ({"doc_to_text": "1+1=", "doc_to_choice": ["3", "2"], "doc_to_target": "2"}, "choices", [("1+1=", " 3"), ("1+1=", " 2")], 1),
    ({"question": "1+1?", "choices": ["3", "2"], "answer": 1}, "choices", [(ASK, " 3"), (ASK, " 2")], 1),
    ({"question": "1+1?", "choices": ["3", "2"], "answer": "B"}, "choices", [(ASK, " 3"), (ASK, " 2")], 1),
    ({"question": "1+1?", "choices": {"text": ["3", "2"], "label": ["1", "2"]}, "answerKey": "2"}, "choices", [(ASK, " 3"), (ASK, " 2")], 1),
    ({"doc": {"question": "1+1?", "choices": ["3", "2"], "answer": "2"}, "resps": []}, "choices", [(ASK, " 3"), (ASK, " 2")], 1),
    ({"context": "1+1=", "continuation": "2"}, "continuation", [("1+1=", " 2")], 0),
    ({"context": "1+1=", "answer": "2", "aliases": ["two"]}, "continuation", [("1+1=", " 2")], 0),
    ({"doc_to_text": "1+1=", "doc_to_target": "2"}, "continuation", [("1+1=", " 2")], 0),
    ({"prompt": "def f():\n", "canonical_solution": "    return 1\n"}, "continuation", [("def f():\n", "    return 1\n")], 0),
    ({"question": "1+1?", "answer": "2"}, "continuation", [(ASK, " 2")], 0),
    ({"text": "a dog", "label": 3}, "labels", [("", "a dog")], 0),
]  # fmt: skip


@pytest.mark.parametrize(("record", "kind", "requests", "gold"), FORMS, ids=[", ".join(f[0]) for f in FORMS])
def test_every_published_form_is_read(tmp_path, record, kind, requests, gold):
    other = {**record, "label": "zebra"} if kind == "labels" else record
    suite = parsed(tmp_path, record, b"", other)
    assert (suite.kind, len(suite)) == (kind, 2)
    assert pair_of(suite) == requests * 2
    assert suite.names.to_list() == ["target.jsonl:1", "target.jsonl:3"]
    assert suite.gold[0] == gold
    assert suite.first.tolist() == [0, len(requests), 2 * len(requests)]
    expected = {"choices": 1 / len(requests), "continuation": 0.0, "labels": 0.5}[kind]
    assert suite.chance.tolist() == [expected] * 2


def test_fields_that_are_not_read_are_named(tmp_path):
    record = {"query": "a", "choices": ["b", "c"], "gold": 0, "category": "x", "id": 7}
    told = parse_files([lines(tmp_path, record)])[1]
    assert told == {"formats": ["choice"], "fields_not_read": ["category", "id"]}


BAD = [
    ({"body": "a"}, "no known form has the fields body"),
    ({}, r"no known form has the fields \(none\)"),
    (b"[1]", "no JSON object"),
    (b"{", "no JSON"),
    ({"query": "a", "choices": ["b"], "gold": 0}, "1 entries"),
    ({"query": "a", "choices": ["b", "c"], "gold": 2}, r"gold is 2, not in 0 \.\. 1"),
    ({"query": "a", "choices": ["b", "c"], "gold": True}, "gold is True"),
    ({"query": "a", "choices": ["b", 1], "gold": 0}, "no list of texts"),
    ({"query": 1, "choices": ["b", "c"], "gold": 0}, "query is no text"),
    ({"question": "a", "choices": ["b", "c"], "answer": "d"}, "'d' is none of the choices"),
    ({"question": "a", "choices": ["b", "c"], "answer": "C"}, "not in 0"),
    ({"context": "a", "continuation": "  "}, "the scored text is empty"),
    ({"sentence_good": "", "sentence_bad": "a"}, "the scored text is empty"),
    ({"text": "a", "label": None}, "label is None"),
    ({"context": "a", "continuation": "b"}, "kind 'continuation' in a target of kind 'choices'"),
]


@pytest.mark.parametrize(("record", "message"), BAD, ids=[m for _, m in BAD])
def test_a_line_that_cannot_be_read_is_an_error_that_names_it(tmp_path, record, message):
    good = {"query": "a", "choices": ["b", "c"], "gold": 0}
    with pytest.raises(DataError, match=message) as error:
        parsed(tmp_path, good, record)
    assert error.value.where == "target.jsonl:2"


def test_an_empty_target_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no item"):
        parsed(tmp_path, b"", b"  ")


@pytest.mark.parametrize(
    ("context", "answer", "delimiter", "request_"),
    [
        ("a", "b", " ", ("a", " b")),
        ("a ", "b", " ", ("a", " b")),
        ("a\n", "b", " ", ("a", "\nb")),
        ("a", " b", " ", ("a", " b")),
        ("", "b", " ", ("", "b")),
        ("a", "b", "\nAnswer: ", ("a\nAnswer:", " b")),
        ("a", "b", "", ("a", "b")),
    ],
)
def test_context_and_answer_meet_at_one_delimiter_and_no_byte_is_lost(tmp_path, context, answer, delimiter, request_):
    suite = parsed(tmp_path, {"context": context, "continuation": answer}, delimiter=delimiter)
    assert pair_of(suite) == [request_]


def test_compressed_files_and_byte_order_marks_are_read_and_names_tell_files_apart(tmp_path):
    record = orjson.dumps({"context": "a", "continuation": "b"}) + b"\n"
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    (tmp_path / "x/t.jsonl").write_bytes(b"\xef\xbb\xbf" + record)
    (tmp_path / "y/t.jsonl").write_bytes(record)
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(record))
    (tmp_path / "t.jsonl.zst").write_bytes(zstandard.compress(record))
    suite, _ = parse_files([tmp_path / n for n in ("x/t.jsonl", "y/t.jsonl", "t.jsonl.gz", "t.jsonl.zst")])
    assert suite.names.to_list()[:2] == ["x/t.jsonl:1", "y/t.jsonl:1"]
    assert pair_of(suite) == [("a", " b")] * 4


def test_documents_are_items_in_ascending_id_and_empty_ones_are_left_out():
    rows = pl.DataFrame({"doc_id": [b"c" * 16, b"a" * 16, b"b" * 16], "text": ["three", "one", ""], "kept": [True] * 3})
    suite = suites.suite_of(MemorySource(rows=rows))
    assert suite.kind == "documents"
    assert suite.scored.to_list() == ["one", "three"]
    assert suite.names.to_list() == [(b"a" * 16).hex(), (b"c" * 16).hex()]
    with pytest.raises(DataError, match="no held-out document has text"):
        suites.documents(rows.filter(text=""), target="x")
    with pytest.raises(DataError, match="no evaluation target"):
        suites.suite_of(MemorySource(kind=Kind.ARTEFACT), target="x")


def choice_suite(tmp_path: Path) -> suites.Suite:
    records = [{"query": f"q{i} is", "choices": ["é", "no", "maybe"][: 2 + i % 2], "gold": i % 2} for i in range(5)]
    return parsed(tmp_path, *records)


def test_tokens_hold_context_then_answer_and_bytes_count_the_answer_alone(tmp_path):
    suite = choice_suite(tmp_path)
    tokenised = suites.tokenise(suite, bytes_of)
    for r, (context, scored) in enumerate(pair_of(suite)):
        ids = tokenised.ids[tokenised.offsets[r] : tokenised.offsets[r + 1]]
        assert bytes(ids.astype(np.uint8)) == (context + scored).encode()
        assert tokenised.context_tokens[r] == len(context.encode())
        assert tokenised.num_bytes[r] == len(scored.encode())
    assert tokenised.gold_requests.tolist() == [0, 3, 5, 8, 10]


def test_every_distinct_text_is_encoded_once(tmp_path):
    seen: list[str] = []

    def encode(texts: pl.Series):
        seen.extend(texts)
        return bytes_of(texts)

    suites.tokenise(choice_suite(tmp_path), encode)
    assert len(seen) == len(set(seen)) == 8


def test_stored_suites_and_tokens_come_back_equal_in_equal_bytes_and_without_pickle(tmp_path):
    suite = choice_suite(tmp_path)
    tokenised = suites.tokenise(suite, bytes_of)
    written = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        suites.save_suite(suite, folder)
        suites.save_tokens(tokenised, folder / suites.TOKENS)
        written.append({p.name: p.read_bytes() for p in sorted(folder.iterdir())})
        again = suites.load_suite({p.name: p for p in folder.iterdir()})
        loaded = suites.load_tokens(folder / suites.TOKENS)
    assert written[0] == written[1]
    assert again.kind == suite.kind
    for name in ("names", "context", "scored", "first", "gold", "chance", "protected"):
        assert np.array_equal(getattr(again, name), getattr(suite, name)), name
    for name in ("names", "first", "gold", "chance", "ids", "offsets", "context_tokens", "num_bytes"):
        assert np.array_equal(getattr(loaded, name), getattr(tokenised, name)), name
    assert (loaded.kind, loaded.digest) == (tokenised.kind, tokenised.digest)


def test_the_digest_tells_targets_and_tokenizers_apart(tmp_path):
    suite = choice_suite(tmp_path)
    other = suites.take(suite, np.array([0, 1, 2, 4, 3]))

    def shifted(texts):
        ids, offsets = bytes_of(texts)
        return ids + 1, offsets

    made = [suites.tokenise(s, e).digest for s, e in ((suite, bytes_of), (other, bytes_of), (suite, shifted))]
    assert len(set(made)) == 3
    assert suites.tokenise(suite, bytes_of).digest == made[0]


def test_what_is_protected_is_the_context_with_the_right_answer(tmp_path):
    assert choice_suite(tmp_path).protected.to_list() == ["q0 is é", "q1 is no", "q2 is é", "q3 is no", "q4 is é"]
    labels = parsed(tmp_path, {"text": "b", "label": "x"}, {"text": "a", "label": "y"})
    assert labels.protected.to_list() == ["b", "a"]


def test_a_suite_of_some_items_holds_their_requests(tmp_path):
    suite = choice_suite(tmp_path)
    some = suites.take(suite, np.array([3, 0]))
    assert pair_of(some) == pair_of(suite)[7:10] + pair_of(suite)[0:2]
    assert some.first.tolist() == [0, 3, 5]
    assert some.protected.to_list() == ["q3 is no", "q0 is é"]


RECIPE = """
stages:
  quiz: {use: target_file, files: quiz.jsonl, max_items: 6}
"""


def test_a_target_file_is_a_stage_that_is_parsed_once(tmp_path):
    records = [{"query": f"q{i}", "choices": ["a", "b", "c"], "gold": i % 3, "extra": 1} for i in range(20)]
    lines(tmp_path, *records, name="quiz.jsonl")
    ran = support.run(RECIPE, tmp_path, tmp_path / "root")
    receipt = next(iter(ran.manifest("quiz").named("artefact").values()))
    metrics = receipt.extra["metrics"]
    assert {k: metrics[k] for k in ("kind", "items", "items_found", "requests")} == {
        "kind": "choices", "items": 6, "items_found": 20, "requests": 18,
    }  # fmt: skip
    assert metrics["fields_not_read"] == ["extra"]
    assert support.run(RECIPE, tmp_path, tmp_path / "root").computed == {}


def test_a_sample_of_items_is_keyed_by_their_names_and_keeps_the_order_of_the_file(tmp_path):
    path = lines(tmp_path, *[{"context": f"c{i}", "continuation": "x"} for i in range(50)])
    chosen = []
    for count in (10, 20):
        work = tmp_path / str(count)
        work.mkdir()
        TargetFile(files=(str(path),), max_items=count).run(Context(seed=0, work=work, refs={"files": [str(path)]}))
        chosen.append(suites.load_suite({p.name: p for p in work.iterdir()}).names.to_list())
    assert set(chosen[0]) < set(chosen[1])
    numbers = [int(name.rpartition(":")[2]) for name in chosen[1]]
    assert numbers == sorted(numbers)
    assert numbers[-1] > 30, "not the head of the file"


@pytest.mark.parametrize(("field", "value"), [("format", "choices"), ("question", "What?"), ("max_items", -1)])
def test_fields_that_cannot_work_are_refused(field, value):
    with pytest.raises(ConfigError) as error:
        TargetFile(files=("x.jsonl",), **{field: value}).validate()
    assert error.value.where == field


def test_a_target_is_tokenised_as_a_stage(tmp_path):
    pytest.importorskip("tokenizers")
    from winnow.trainers.data.tokenizer import Tokenizer

    rows = pl.DataFrame({"doc_id": [bytes([i] * 16) for i in range(9)], "text": [f"words of {i}" for i in range(9)],
                         "kept": [i != 4 for i in range(9)]})  # fmt: skip
    ctx = Context(seed=0, work=tmp_path)
    operator = Tokenizer(vocab=300)
    operator.fit(operator.sample(rows, ctx), ctx)
    refs = {"target": MemorySource(rows=rows), "tokenizer": MemorySource(paths={p.name: p for p in tmp_path.iterdir()})}
    (tmp_path / "work").mkdir()
    metrics = TargetTokens().run(Context(seed=0, work=tmp_path / "work", refs=refs))
    tokenised = suites.load_tokens(tmp_path / "work" / suites.TOKENS)
    assert metrics["items"] == len(tokenised.names) == 8
    assert metrics["scored_bytes"] == 8 * len("words of 0")
    assert metrics["digest"] == tokenised.digest
    seen = []
    for number, most in enumerate((1, 20, 40, 10_000)):
        (tmp_path / str(number)).mkdir()
        part = TargetTokens(most_bytes=most)
        told = part.run(Context(seed=0, work=tmp_path / str(number), refs=refs))
        opened = suites.load_tokens(tmp_path / str(number) / suites.TOKENS)
        seen.append(set(opened.names))
        assert opened.items_found == (0 if len(opened.names) == 8 else 8)
        assert (told["items"], told["items_found"]) == (len(seen[-1]), 8)
    assert [len(names) for names in seen] == [1, 2, 4, 8], "the item that reaches the bytes is the last"
    assert seen[0] < seen[1] < seen[2] < seen[3]


def test_core_centres_accuracies_at_chance():
    assert centring.centred(0.40, 0.25) == pytest.approx(0.20)
    assert centring.centred(0.25, 0.25) == 0.0
    assert centring.centred(1.0, 0.5) == 1.0
    assert centring.core({"a": (0.40, 0.25), "b": (0.5, 0.5), "c": (0.1, 0.0)}) == pytest.approx(0.1)
    with pytest.raises(ConfigError, match="chance"):
        centring.centred(1.0, 1.0)


def test_the_cheapest_choice_wins_and_ties_share():
    cost = np.array([1.0, 2.0, 3.0, 5.0, 5.0, 2.0, 2.0, 2.0, 7.0])
    first = np.array([0, 3, 5, 9])
    assert multiple_choice.correct(cost, first, np.array([0, 0, 2])).tolist() == [1.0, 0.5, 1 / 3]
    assert multiple_choice.correct(cost, first, np.array([1, 1, 3])).tolist() == [0.0, 0.5, 0.0]


def pack(name: str, folder: Path) -> Path:
    """A data pack unpacked into a folder of the test; skips where packs are absent."""
    path = PACKS / f"{name}.tar.xz"
    if not path.exists():
        pytest.skip(f"no data pack {path.name} in {PACKS}")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.packs
def test_the_gauntlet_s_files_are_read(tmp_path):
    found = {p.name: p for p in pack("eval_llmfoundry", tmp_path).rglob("*.jsonl")}
    kinds = {}
    for name, path in sorted(found.items()):
        suite, _ = parse_files([path])
        kinds[name] = suite.kind
        assert len(suite) == sum(1 for line in path.read_bytes().splitlines() if line.strip())
    assert kinds["arc_easy.jsonl"] == kinds["winogrande.jsonl"] == kinds["piqa.jsonl"] == "choices"
    assert kinds["lambada_openai.jsonl"] == kinds["human_eval.jsonl"] == "continuation"
    arc = parse_files([found["arc_easy.jsonl"]], delimiter="\nAnswer: ")[0]
    record = json.loads(found["arc_easy.jsonl"].read_text().splitlines()[0])
    assert arc.context[0] == record["query"] + "\nAnswer:"
    assert arc.scored[0] == " " + record["choices"][0]


@pytest.mark.packs
def test_the_minimal_pairs_of_blimp_are_read(tmp_path):
    paths = sorted(pack("eval_blimp", tmp_path).rglob("*.jsonl"))
    suite, told = parse_files(paths)
    assert (suite.kind, len(suite), told["formats"]) == ("choices", 1000 * len(paths), ["pairs"])
    assert (suite.gold == 0).all()
    assert (suite.chance == 0.5).all()
    assert set(NAMES) > {"pairs"}
