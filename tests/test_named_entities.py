"""`named_entities`: windows and seams, offsets in bytes, counts, what stops a document or a plan; engines by a stand-in.

The engines themselves: tests/test_named_entities_engines.py.
"""

import importlib.util
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from support import put_file, run

from winnow.core import installing
from winnow.core.errors import ConfigError, RowError
from winnow.core.operators import Context
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.pipeline.measure import named_entities
from winnow.pipeline.measure.entity_windows import (
    Span,
    Window,
    byte_offsets,
    recognised,
    windows_of_characters,
    windows_of_words,
)
from winnow.pipeline.measure.named_entities import NamedEntities

NAMES = re.compile(r"(?P<PERSON>Jörg Müller|Ann Lee|李雷)|(?P<GPE>Wien|مكة)")
PIECES = ["Jörg Müller", "Ann Lee", "李雷", "Wien", "مكة", "\0", "\U0001f600", "x" * 90, "the tide", ".", "漢字漢字"]


class Names:
    """A recogniser of five names, which reads `most` characters or words at once and fails on BOOM."""

    def __init__(self, most=10**9, margin=20, *, words=False):
        self.most, self.margin, self.words, self.read = most, margin, words, []

    def labels(self):
        return frozenset({"PERSON", "GPE"})

    def windows(self, text):
        if self.words:
            starts = [match.start() for match in re.finditer(r"\S+", text)]
            return windows_of_words(len(text), starts, most=self.most, margin=self.margin)
        return windows_of_characters(text, most=self.most, margin=self.margin)

    def spans(self, text):
        self.read.append(text)
        if "BOOM" in text:
            raise OSError("broken")
        return [Span(start=m.start(), stop=m.end(), score=0.9, label=m.lastgroup) for m in NAMES.finditer(text)][::-1]


def texts(seed, number=40):
    draw = np.random.default_rng(seed)
    for _ in range(number):
        yield draw.choice([" ", "\n", "  "]).join(draw.choice(PIECES, size=int(draw.integers(0, 60))))


@pytest.mark.parametrize("words", [False, True])
def test_windows_find_what_the_whole_text_holds_and_read_no_more_than_they_say(words):
    cut = 0
    for text in texts(3):
        few = Names(9 if words else 130, 3 if words else 30, words=words)
        found = recognised(few, text)
        assert found == recognised(Names(), text)
        assert [(s.start, s.stop) for s in found] == sorted(m.span() for m in NAMES.finditer(text))
        size = max((len(piece.split()) if words else len(piece) for piece in few.read), default=0)
        assert size <= (9 if words else 130)
        cut += len(few.read) > 2
    assert cut > 10


def test_windows_without_white_space_and_their_borders():
    assert windows_of_characters("", most=10, margin=2) == [Window(low=0, first=0, behind=0, high=0)]
    assert windows_of_words(5, [], most=10, margin=2) == []
    (whole,) = windows_of_words(30, list(range(0, 30, 3)), most=10, margin=2)
    assert (whole.low, whole.first, whole.behind, whole.high) == (0, 0, 30, 30)
    for text in ("字" * 1000, "ab " * 400, "x" * 101, "x" * 100):
        found = windows_of_characters(text, most=100, margin=10)
        assert (found[0].low, found[0].first, found[-1].high, found[-1].behind) == (0, 0, len(text), len(text))
        for before, after in itertools.pairwise(found):
            assert before.behind == after.first
            assert after.first - 20 <= after.low < after.first < before.high
        assert all(w.high - w.low <= 100 for w in found)
        assert len(windows_of_characters(text[:100], most=100, margin=10)) == 1


class Runs(Names):
    """Every run of a, however long: longer than a window's context."""

    def spans(self, text):
        return [Span(start=m.start(), stop=m.end(), score=0.5, label="RUN") for m in re.finditer("a+", text)]


def test_a_span_longer_than_the_context_of_a_window_is_one():
    for low in (0, 37, 88, 95):
        for size in (5, 60, 150, 400):
            text = "." * low + "a" * size + "." * 300 + "aa"
            found = recognised(Runs(100, 15), text)
            assert [(s.start, s.stop) for s in found] == [(low, low + size), (low + size + 300, low + size + 302)]


class Fickle(Names):
    """Another label in every window."""

    def spans(self, text):
        return [Span(start=m.start(), stop=m.end(), score=0.5, label=text) for m in re.finditer("a", text)]


def test_a_span_that_starts_at_a_seam_is_of_one_window():
    text = "a" * 300
    assert [s.start for s in recognised(Fickle(100, 15), text)] == list(range(300))
    assert [s.start for s in recognised(Fickle(9, 2, words=True), "a " * 50)] == list(range(0, 100, 2))


class Both(Names):
    """Two labels for the same words, and one word that two spans of one label share."""

    def spans(self, text):
        return [Span(start=0, stop=3, score=0.5, label="B"), Span(start=0, stop=3, score=0.4, label="A"),
                Span(start=1, stop=4, score=0.7, label="A")]  # fmt: skip


def test_spans_of_one_window_may_overlap_and_come_in_order():
    found = recognised(Both(), "abcd")
    assert [(s.start, s.stop, s.label, s.score) for s in found] == [
        (0, 3, "A", 0.4),
        (0, 3, "B", 0.5),
        (1, 4, "A", 0.7),
    ]


def test_offsets_in_bytes_are_those_of_the_encoded_text():
    for text in [*texts(5, 10), "", "abc", "é", "\U0001f600é"]:
        data = np.frombuffer(text.encode(), dtype=np.uint8)
        at = np.arange(len(text) + 1)
        assert byte_offsets(data, at).tolist() == [len(text[:n].encode()) for n in at]


@pytest.fixture
def stand_in(monkeypatch):
    """The operator with the names above for its engine."""
    monkeypatch.setattr(NamedEntities, "_recogniser", lambda self, ctx: Names(200, 30))
    monkeypatch.setattr(named_entities, "USES", {"spacy": (), "presidio": (), "gliner": ()})
    return NamedEntities


def opened(cls=NamedEntities, counts=None, **fields):
    operator = cls(**{"engine": "spacy", "model": ("ner/config.cfg",), **fields})
    operator.validate()
    return operator.open(Context(seed=0, work=Path(), counts=counts))


def table(columns, rows):
    return columns(pa.record_batch({"text": pa.array(rows, pa.large_string())})).to_pydict()


def test_spans_are_bytes_of_the_text_and_counts_say_how_many(stand_in):
    rows = ["", None, "Wien", *texts(9, 12), "Jörg Müller in Wien " * 60]
    found = table(opened(), rows)
    assert [row is None for row in found["entity_starts"]] == [row is None for row in rows]
    assert [row is None for row in found["num_persons"]] == [row is None for row in rows]
    for at, text in enumerate(rows):
        if text is None:
            assert found["entity_labels"][at] is None
            continue
        told = [
            text.encode()[a:b].decode()
            for a, b in zip(found["entity_starts"][at], found["entity_stops"][at], strict=True)
        ]
        assert told == [m.group() for m in NAMES.finditer(text)]
        assert found["entity_labels"][at] == [m.lastgroup for m in NAMES.finditer(text)]
        assert found["num_entities"][at] == len(told) == len(found["entity_scores"][at])
        assert found["num_persons"][at] == found["entity_labels"][at].count("PERSON")
    assert found["num_entities"][-1] == 120
    sliced = pa.record_batch({"text": pa.array(["é", *rows], pa.large_string())}).slice(1)
    assert opened()(sliced).to_pydict() == found
    assert table(opened(), [])["num_persons"] == []
    answer = opened()
    one_by_one = [table(answer, [row]) for row in rows]
    assert {name: [row[name][0] for row in one_by_one] for name in found} == found


def test_labels_choose_and_persons_are_those_that_are_said(stand_in):
    row = ["Ann Lee in Wien"]
    assert table(opened(labels=("GPE",)), row)["entity_labels"] == [["GPE"]]
    assert "num_persons" not in table(opened(labels=("GPE",)), row)
    assert table(opened(labels=("PERSON",)), row)["num_persons"] == [1]
    assert table(opened(persons=("gpe", "person")), row)["num_persons"] == [2]
    assert "num_persons" not in table(opened(persons=()), row)
    with pytest.raises(ConfigError, match="`num_persons` would be 0 everywhere") as error:
        opened(persons=("Somebody",))
    assert "it has GPE, PERSON" in error.value.hint
    with pytest.raises(ConfigError, match="no label 'PERSONS'") as error:
        opened(labels=("PERSONS",))
    assert "did you mean 'PERSON'?" in error.value.hint


WRONG = [
    ({"model": ()}, "no model"),
    ({"package": "en_core"}, "two pipelines"),
    ({"engine": "gliner"}, "what it is asked for"),
    ({"engine": "presidio", "min_score": 1.5}, "min_score is 1.5"),
    ({"engine": "presidio", "model": (), "exclude": ("ner",)}, "no pipeline"),
    ({"labels": ("GPE",), "persons": ("X",)}, "none of `persons`"),
    ({"model": (), "package": "no_such_pipeline"}, "installed as 'no_such_pipeline'"),
    ({"model": (), "package": "json"}, "installed as 'json'"),
    ({"model": (), "package": "../up"}, "installed as"),
]


@pytest.mark.parametrize(("fields", "said"), WRONG)
def test_what_cannot_work_is_refused_while_planning(fields, said):
    with pytest.raises(ConfigError, match=said):
        NamedEntities(**{"engine": "spacy", "model": ("ner/config.cfg",), **fields}).validate()


def test_files_that_are_no_model_are_refused_while_planning():
    spacy, gliner = (
        NamedEntities(engine="spacy", model=("m",)),
        NamedEntities(engine="gliner", model=("m",), labels=("a",)),
    )
    spacy.check_files(["m/config.cfg", "m/ner/config.cfg", "m/ner/model", "m/vocab/lookups.bin"])
    gliner.check_files(["m/gliner_config.json", "m/model.safetensors", "m/pytorch_model.bin"])
    for operator, files, said in (
        (spacy, ["m/meta.json"], "0 files called config.cfg"),
        (spacy, ["a/config.cfg", "b/config.cfg"], "2 files called config.cfg"),
        (spacy, ["m/config.cfg", "m/ner/weights.pkl"], "may hold code"),
        (gliner, ["m/gliner_config.json", "m/pytorch_model.bin"], "pickled weights are never loaded"),
        (gliner, ["m/model.safetensors"], "0 files called gliner_config.json"),
    ):
        with pytest.raises(ConfigError, match=said):
            operator.check_files(files)


class Mad(Names):
    answer: Span

    def spans(self, text):
        return [self.answer]


@pytest.mark.parametrize(("start", "stop", "score"), [(0, 5, 1.0), (-1, 2, 1.0), (2, 2, 1.0), (0, 2, float("nan"))])
def test_an_answer_that_is_no_span_puts_the_document_aside(start, stop, score):
    mad = Mad()
    mad.answer = Span(start=start, stop=stop, score=score, label="A")
    with pytest.raises(RowError, match="no span of the text"):
        recognised(mad, "abcd")


def test_running_out_of_memory_is_no_fault_of_the_text():
    full = Names()
    full.spans = lambda text: (_ for _ in ()).throw(MemoryError())
    with pytest.raises(MemoryError):
        recognised(full, "abcd")


def test_what_nothing_holds_is_told(stand_in):
    counts = {}
    answer = opened(counts=counts, labels=("PERSON", "GPE"))
    table(answer, ["Ann Lee", "no one"])
    operator = NamedEntities(engine="spacy", model=("m",), labels=("PERSON", "GPE"))
    (remark,) = operator.remarks({"rows": 2, **counts}, {})
    assert remark.startswith("no span of 'GPE' in 2 documents")
    table(answer, ["Wien"])
    assert operator.remarks({"rows": 3, **counts}, {}) == ()
    assert (
        NamedEntities(engine="spacy", model=("m",))
        .remarks({"rows": 2, "entities": 0}, {})[0]
        .startswith("no entity in 2")
    )


RECIPE = """
max_bad_share: 0.5
stages:
  docs:  {use: jsonl, files: a.jsonl, id: content}
  names: {use: named_entities, inputs: docs, engine: spacy, model: ./ner, labels: [PERSON], where: "text_bytes < 100"}
  mask:  {use: drop_spans, inputs: [docs, names], starts: entity_starts, stops: entity_stops, by: "<PERSON>"}
  all:   {use: write, inputs: [docs, names], format: jsonl, carry: [num_persons]}
  none:  {use: filter, inputs: [docs, names], preset: no_named_persons}
  few:   {use: write, inputs: [docs, none], format: jsonl}
"""


def test_a_run_masks_names_drops_documents_and_puts_one_aside(stand_in, tmp_path):
    rows = ["Dear Jörg Müller and Ann Lee, hello.", "Nobody in Wien.", "BOOM", "Ann Lee " * 20, "李雷"]
    put_file(tmp_path / "a.jsonl", "".join(json.dumps({"text": row}) + "\n" for row in rows).encode())
    put_file(tmp_path / "ner" / "config.cfg", b"")
    ran = run(RECIPE, tmp_path, tmp_path / "run")
    masked = ["<PERSON>", "Ann Lee " * 20, "BOOM", "Dear <PERSON> and <PERSON>, hello.", "Nobody in Wien."]
    assert sorted(row["text"] for row in shard_rows(ran, "all")) == masked
    assert [row["text"] for row in shard_rows(ran, "few")] == ["Nobody in Wien."]
    assert {row["num_persons"] for row in shard_rows(ran, "all") if row["text"] == "BOOM"} == {None}
    assert ran.counts("names")["masked"] == 1  # `where`


def shard_rows(ran, name):
    return [json.loads(line) for path in ran.folder(name).glob("shards/*.jsonl*") for line in lines_of(path)]


def lines_of(path):
    raw = path.read_bytes()
    return (zstandard.ZstdDecompressor().stream_reader(raw).read() if path.suffix == ".zst" else raw).splitlines()


@pytest.mark.skipif(importlib.util.find_spec("spacy") is not None, reason="spaCy is installed")
def test_a_missing_library_is_told_while_planning_with_what_brings_it(tmp_path):
    put_file(tmp_path / "a.jsonl", b'{"text": "a"}\n')
    put_file(tmp_path / "ner" / "config.cfg", b"")
    with pytest.raises(ConfigError, match="needs 'spacy', which is not installed") as error:
        make_plan(parse_recipe(RECIPE, name="r", folder=tmp_path), None)
    assert "[entities]" in error.value.hint
    assert "[gliner]" in installing.how_to_install("gliner")
    assert "[entities]" in installing.how_to_install("presidio-analyzer")
