"""The engines of `named_entities` themselves: spaCy, presidio, GLiNER; each skips where it is not installed."""

import pickle
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import put_file, run

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.pipeline.measure import entity_recognisers as engines
from winnow.pipeline.measure.named_entities import NamedEntities

spacy = pytest.importorskip("spacy", reason="spaCy is not installed: the extra [entities]")
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

NAMES = {"Jörg Müller": "PERSON", "Ann Lee": "PERSON", "Wien": "GPE", "Acme GmbH": "ORG"}
TEXT = "On Monday Jörg Müller \U0001f600 of Acme GmbH met\0 Ann Lee in Wien, call 212-555-5555 or mail jo@example.org. "


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": name} for name, label in NAMES.items()])
    nlp.add_pipe("sentencizer")
    path = tmp_path_factory.mktemp("models") / "ner"
    nlp.to_disk(path)
    return path


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **named):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def files(folder):
    return tuple(sorted(str(path) for path in Path(folder).rglob("*") if path.is_file()))


def opened(work, **fields):
    operator = NamedEntities(**fields)
    operator.validate()
    if operator.model:
        operator.check_files(operator.model)
    return operator.open(Context(seed=0, work=work))


def found(columns, rows):
    out = columns(pa.record_batch({"text": pa.array(rows, pa.large_string())})).to_pydict()
    return [
        None
        if text is None
        else [
            (text.encode()[a:b].decode(), label)
            for a, b, label in zip(
                out["entity_starts"][at], out["entity_stops"][at], out["entity_labels"][at], strict=True
            )
        ]
        for at, text in enumerate(rows)
    ]


def test_a_pipeline_of_spacy_gives_its_entities_in_any_batch(folder, offline, tmp_path):
    answer = opened(tmp_path, engine="spacy", model=files(folder))
    rows = [TEXT, "", None, "\0", "  \n", "مكة Wien", "nothing", "x" * 60_000, "字" * 60_000, TEXT[::-1]]
    told = found(answer, rows)
    assert told[0] == [(name, NAMES[name]) for name in ("Jörg Müller", "Acme GmbH", "Ann Lee", "Wien")]
    assert told[1:8] == [[], None, [], [], [("Wien", "GPE")], [], []]
    assert [found(answer, [row])[0] for row in rows] == told
    assert list(tmp_path.iterdir()) == []  # what was linked is gone


def test_a_long_text_has_the_entities_of_its_pieces(folder, tmp_path):
    draw = np.random.default_rng(2)
    pieces = draw.choice([TEXT, "The tide turns twice a day. ", "Ann Lee and ", "字", "\n"], size=2500).tolist()
    text = "".join(pieces)
    assert len(text) > 3 * engines.SPACY_MOST
    nlp = spacy.load(folder)
    nlp.max_length = len(text) + 1
    theirs = [(e.text, e.label_) for e in nlp(text).ents]
    assert found(opened(tmp_path, engine="spacy", model=files(folder)), [text]) == [theirs]


def test_the_vocabulary_does_not_grow_with_the_texts(folder, tmp_path):
    nlp = engines.spacy_pipeline([Path(path) for path in files(folder)], tmp_path)
    recogniser = engines.SpacyRecogniser(nlp)
    before = len(nlp.vocab.strings)
    for n in range(50):
        recogniser.spans(f"word{n} Ann Lee other{n}")
    assert len(nlp.vocab.strings) <= before + 5


def test_components_may_be_left_out(folder, tmp_path):
    nlp = engines.spacy_pipeline([Path(path) for path in files(folder)], tmp_path, exclude=("sentencizer",))
    assert nlp.pipe_names == ["entity_ruler"]
    with pytest.raises(ConfigError, match="no component 'sentenciser'"):
        opened(tmp_path, engine="spacy", model=files(folder), exclude=("sentenciser",))
    with pytest.raises(ConfigError, match="names no entities"):
        opened(tmp_path, engine="spacy", model=files(folder), exclude=("entity_ruler",))


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path(BOMB),))


BOMB = "exploded"


def test_nothing_foreign_is_run_or_unpickled(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = (copy / "config.cfg").read_text()

    @spacy.Language.component("of_a_test")
    def of_a_test(doc):
        return doc

    @spacy.registry.misc("of_a_test.v1")
    def misc():
        return None

    for changed, said in (
        (config.replace('factory = "sentencizer"', 'factory = "of_a_test"'), "'of_a_test', which is of spacy.language"),
        (config.replace('factory = "sentencizer"', 'factory = "no_such"'), "'no_such', which is not known here"),
        (config.replace('factory = "sentencizer"', 'source = "other"'), "of another pipeline, 'other'"),
        (config.replace("before_creation = null", 'before_creation = {"@misc": "of_a_test.v1"}'), "'of_a_test.v1'"),
        (config.replace("punct_chars = null", 'punct_chars = {"@misc": "of_a_test.v1"}'), "'of_a_test.v1'"),
    ):
        assert changed != config
        (copy / "config.cfg").write_text(changed)
        with pytest.raises(ConfigError, match=said):
            opened(tmp_path, engine="spacy", model=files(copy))
    (copy / "config.cfg").write_text(config)
    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    shutil.copy(tmp_path / "bomb.npy", copy / "vocab" / "vectors")
    with pytest.raises(ConfigError, match="cannot load the pipeline"):
        opened(tmp_path, engine="spacy", model=files(copy))
    shutil.copy(folder / "vocab" / "vectors", copy / "vocab" / "vectors")
    (copy / "entity_ruler" / "patterns.jsonl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ConfigError, match="cannot load the pipeline"):
        opened(tmp_path, engine="spacy", model=files(copy))
    assert not (tmp_path / BOMB).exists()


def test_an_installed_pipeline_is_found_without_running_it(folder, tmp_path, monkeypatch):
    put_file(tmp_path / "xx_test_pipeline" / "__init__.py", b"raise SystemExit")
    shutil.copytree(folder, tmp_path / "xx_test_pipeline" / "xx_test_pipeline-1.0.0")
    put_file(tmp_path / "xx_test_pipeline-1.0.0.dist-info" / "METADATA", b"Name: xx_test_pipeline\nVersion: 1.0.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    operator = NamedEntities(engine="spacy", package="xx_test_pipeline")
    assert operator.uses == ("spacy", "thinc", "xx_test_pipeline")
    work = tmp_path / "work"
    work.mkdir()
    assert found(opened(work, engine="spacy", package="xx_test_pipeline"), ["Ann Lee"]) == [[("Ann Lee", "PERSON")]]
    assert "xx_test_pipeline" not in sys.modules


RECIPE = """
stages:
  docs:  {use: jsonl, files: a.jsonl, id: content}
  names: {use: named_entities, inputs: docs, engine: spacy, model: ./ner, labels: [PERSON]}
  mask:  {use: drop_spans, inputs: [docs, names], starts: entity_starts, stops: entity_stops, by: "<PERSON>"}
  all:   {use: write, inputs: docs, format: jsonl}
"""


def test_a_run_masks_and_the_model_is_part_of_the_stage(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "ner")
    put_file(tmp_path / "a.jsonl", b'{"text": "Dear Ann Lee of Wien."}\n')
    ran = run(RECIPE, tmp_path, tmp_path / "run")
    assert ran.table("mask", "text").column("text").to_pylist() == ["Dear <PERSON> of Wien."]

    def print_of():
        return make_plan(parse_recipe(RECIPE, name="r", folder=tmp_path), None).node("names").fingerprint

    before = print_of()
    patterns = tmp_path / "ner" / "entity_ruler" / "patterns.jsonl"
    patterns.write_text(patterns.read_text().replace("Ann Lee", "Ann Loe"))
    assert print_of() != before


def test_presidio_finds_by_pattern_and_by_pipeline_without_the_network(folder, offline, tmp_path):
    pytest.importorskip("presidio_analyzer", reason="presidio is not installed: the extra [entities]")
    blank = opened(tmp_path, engine="presidio", persons=(), labels=("EMAIL_ADDRESS", "PHONE_NUMBER"))
    assert found(blank, [TEXT, "", None]) == [
        [("212-555-5555", "PHONE_NUMBER"), ("jo@example.org", "EMAIL_ADDRESS")], [], None]  # fmt: skip
    named = opened(tmp_path, engine="presidio", model=files(folder))
    told = found(named, [TEXT])[0]
    assert {("Jörg Müller", "PERSON"), ("Wien", "LOCATION"), ("jo@example.org", "EMAIL_ADDRESS")} <= set(told)
    sure = opened(tmp_path, engine="presidio", model=files(folder), min_score=0.8)
    assert ("212-555-5555", "PHONE_NUMBER") not in found(sure, [TEXT])[0]
    assert ("Jörg Müller", "PERSON") in found(sure, [TEXT])[0]
    with pytest.raises(ConfigError, match="no label 'PERSON'"):
        opened(tmp_path, engine="presidio", labels=("PERSON",))
    with pytest.raises(ConfigError, match="`num_persons` would be 0"):
        opened(tmp_path, engine="presidio")
    with pytest.raises(ConfigError, match="no language 'zz'"):
        opened(tmp_path, engine="presidio", language="zz", persons=())


def test_gliner_reads_windows_of_its_words(offline, tmp_path):
    pytest.importorskip("gliner", reason="gliner is not installed: the extra [gliner], in its own environment")
    model = tiny_gliner(tmp_path)
    fields = {"engine": "gliner", "model": files(model), "labels": ("person", "place"), "min_score": 0.3}
    answer = opened(tmp_path, **fields, persons=("person",))
    rows = ["", None, TEXT, "\0", "My name is Ann Lee. " * 200]
    told = found(answer, rows)
    assert [row is None for row in told] == [False, True, False, False, False]
    assert told[2]
    assert len(told[4]) > 200  # of a model of chance: far behind the first window
    assert found(answer, rows[::-1]) == told[::-1]
    with pytest.raises(ConfigError, match="reads"):
        opened(tmp_path, **{**fields, "labels": tuple(f"label number {n}" for n in range(80))})
    config = (model / "gliner_config.json").read_text()
    for changed, said in (
        (config.replace('"encoder_config"', '"other"'), "no encoder_config"),
        (config.replace('"labels_encoder": null', '"labels_encoder": "x/y"'), "second encoder"),
        (config.replace('"model_type": "bert"', '"model_type": "bert", "auto_map": {"AutoModel": "x--y.Z"}'), "code"),
    ):
        assert changed != config
        (model / "gliner_config.json").write_text(changed)
        with pytest.raises(ConfigError, match=said):
            opened(tmp_path, **fields)
    (model / "gliner_config.json").write_text(config)
    (model / "tokenizer_config.json").unlink()
    with pytest.raises(ConfigError, match="no tokenizer_config"):
        opened(tmp_path, **{**fields, "model": files(model)})


def tiny_gliner(folder):
    """A model of random weights."""
    import torch
    from gliner import GLiNER, GLiNERConfig
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, PreTrainedTokenizerFast

    torch.manual_seed(0)
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.train_from_iterator([TEXT] * 3, trainers.WordPieceTrainer(vocab_size=200, special_tokens=marks))
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), marks, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=512, **names).save_pretrained(folder / "bert")
    BertConfig(vocab_size=words.get_vocab_size(), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
               intermediate_size=64).save_pretrained(folder / "bert")  # fmt: skip
    config = GLiNERConfig(model_name=str(folder / "bert"), hidden_size=32, max_len=128, max_width=4, name="tiny")
    model = GLiNER.from_config(config, backbone_from_pretrained=False)
    model.save_pretrained(folder / "gliner", safe_serialization=True)
    return folder / "gliner"
