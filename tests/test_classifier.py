"""`classifier`: given models as columns, from disk, pinned, without their code and without the network."""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import WORDS, plan_of, put_corpus, put_file, run, texts

from winnow.core.errors import ConfigError, DataError, RowError
from winnow.core.operators import Context, Scope
from winnow.scorers import classifier, fasttext_fit, sequence_classifier
from winnow.scorers.classifier import PRESETS, Classifier, load_preset, preset_names
from winnow.scorers.fasttext_classifier import FastTextClassifier
from winnow.scorers.sequence_classifier import SequenceClassifier
from winnow.testing import check_operator, nasty_corpus
from winnow.testing.in_memory import run_map

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed (extra `hf`)"
)
neural = [pytest.mark.train, needs_transformers]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = {0: "news", 1: "forum", 2: "shop"}
BODIES = [t for t in texts(40, seed=3) if t] + ["", None, "the the " * 500]


def scope() -> Scope:
    return Scope(stage="s", inputs=("docs",), where=None, seed=7, lookup=lambda n: None, space=lambda n: n)


def save_model(folder: Path, *, kind="bert", special=True, seed=0, **config) -> Path:
    """A tiny random classifier with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

    vocab = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)])}
    words = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    pad = {"pad_token": "[PAD]"} if kind == "bert" else {}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", model_max_length=64, **pad)
    sizes = {
        "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
                 "max_position_embeddings": 64, "pad_token_id": 0},
        "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64},
    }[kind]  # fmt: skip
    torch.manual_seed(seed)
    made = AutoConfig.for_model(kind, vocab_size=len(vocab), initializer_range=1.0, **sizes, **config)
    AutoModelForSequenceClassification.from_config(made).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def reference(folder: Path, bodies) -> np.ndarray:
    """Logits of one text at a time, straight from the library."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        rows = [model(**tokenizer(b, truncation=True, max_length=64, return_tensors="pt")).logits[0] for b in bodies]
    return torch.stack(rows).double().numpy()


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def scored(folder, bodies=BODIES, *, files=None, tmp=None, batch_rows=None, **fields) -> pl.DataFrame:
    found = [p for p in folder.iterdir() if p.suffix in (".json", ".safetensors")] if files is None else files
    operator = SequenceClassifier(files=tuple(str(p) for p in found), **fields)
    rows = pl.DataFrame({"text": pl.Series(bodies, dtype=pl.String)})
    return run_map(operator, rows, Context(seed=0, work=tmp or folder.parent), batch_rows)


KNOWN = [b for b in BODIES if b is not None]


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("m") / "edu", num_labels=1)


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    return save_model(
        tmp_path_factory.mktemp("m") / "topics", id2label=NAMES, label2id={v: k for k, v in NAMES.items()}
    )


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    model = tmp_path_factory.mktemp("f") / "quality.bin"
    lines = [f"__label__{'hq' if i % 2 else 'cc'} {' '.join(WORDS[i % 2 :: 2][i % 9 : i % 9 + 20])}" for i in range(60)]
    fasttext_fit.fit_model(lines, {"dim": 4, "epoch": 20, "bucket": 0, "wordNgrams": 1, "lr": 0.2, "seed": 1}, model)
    return model


class TestTransformers:
    """Everything that needs transformers and torch."""

    pytestmark = neural

    @pytest.fixture(autouse=True)
    def _one_thread(self):
        """As in a worker; several threads of a test on a busy machine wait for each other."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)

    def test_a_regression_head_gives_its_value(self, regression):
        found = scored(regression)["score"]
        assert found.is_null().to_list() == [b is None for b in BODIES]
        np.testing.assert_allclose(found.drop_nulls(), reference(regression, KNOWN)[:, 0], atol=1e-4)
        assert found.std() > 0.1  # the comparison is not about nothing

    def test_a_classification_head_gives_the_probability_of_each_label(self, topics):
        found = scored(topics, labels={"a": "shop", "b": "0", "c": "forum"}, top=True)
        want = softmax(reference(topics, KNOWN))
        known = found.filter(pl.col("a").is_not_null())
        np.testing.assert_allclose(known.select("b", "c", "a").to_numpy(), want, atol=1e-4)
        assert known["label"].to_list() == [NAMES[i] for i in want.argmax(axis=1)]
        np.testing.assert_allclose(known["label_score"], want.max(axis=1), atol=1e-4)
        assert len(set(known["label"])) > 1
        assert found.filter(pl.Series([b is None for b in BODIES])).null_count().row(0) == (1,) * 5

    def test_labels_that_do_not_exclude_each_other_are_judged_alone(self, tmp_path):
        save_model(tmp_path / "m", num_labels=3, problem_type="multi_label_classification")
        found = scored(tmp_path / "m", KNOWN, labels={"x": "LABEL_0", "y": "LABEL_1"})
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-reference(tmp_path / "m", KNOWN)[:, :2])), atol=1e-4)

    def test_an_activation_may_be_asked_for(self, regression):
        found = scored(regression, KNOWN, activation="sigmoid")["score"]
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-reference(regression, KNOWN)[:, 0])), atol=1e-4)
        with pytest.raises(ConfigError, match="always 1"):
            scored(regression, activation="softmax")

    def test_a_model_that_cannot_pad_is_given_one_text_at_a_time(self, tmp_path):
        save_model(tmp_path / "m", kind="gpt2", special=False, num_labels=1)
        found = scored(tmp_path / "m")["score"]
        assert found.is_null().to_list() == [not b for b in BODIES]  # "" has no token here
        bodies = [b for b in BODIES if b]
        np.testing.assert_allclose(found.drop_nulls(), reference(tmp_path / "m", bodies)[:, 0], atol=1e-4)

    def test_neighbours_and_groups_do_not_change_a_score(self, topics, monkeypatch):
        whole = scored(topics, labels={"a": "shop"})["a"]
        monkeypatch.setattr(sequence_classifier, "GROUP_TOKENS", {"cpu": 100, "cuda": 100})
        cut = scored(topics, labels={"a": "shop"}, batch_rows=1)["a"]
        both = scored(topics, labels={"a": "shop"})["a"]
        for other in (cut, both):
            np.testing.assert_allclose(whole.fill_null(-1), other.fill_null(-1), atol=1e-4)

    def test_only_the_first_tokens_are_read(self, regression):
        head = " ".join(WORDS[:60])
        one, two, three = scored(regression, [f"{head} {end}" for end in ("the the", "know know", "")])["score"]
        assert one != two
        one, two, three = scored(regression, [f"{head} {end}" for end in ("the the", "know know", "")], max_length=32)[
            "score"
        ]
        assert one == two == three
        with pytest.raises(ConfigError, match="the model takes 64"):
            scored(regression, max_length=65)

    def test_odd_texts_get_scores_within_their_range(self, topics):
        rows = nasty_corpus()
        found = scored(topics, rows["text"], labels={"a": "shop"})["a"]
        assert found.is_null().to_list() == rows["text"].is_null().to_list()
        assert found.drop_nulls().is_between(0, 1).all()

    @pytest.mark.slow
    def test_it_keeps_the_contract(self, topics, tmp_path):
        files = tuple(str(p) for p in topics.iterdir())
        operator = SequenceClassifier(files=files, labels={"a": "shop"})
        ctx = Context(seed=7, work=tmp_path, refs={"files": list(files)})
        assert [str(f) for f in check_operator(operator, ctx=ctx)] == []

    def test_pickled_weights_are_never_loaded(self, regression, tmp_path):
        import torch

        folder = shutil.copytree(regression, tmp_path / "m")
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")
        with pytest.raises(ConfigError, match=r"no \.safetensors file"):
            scored(folder, files=list(folder.iterdir()))

    def test_code_that_comes_with_a_model_is_never_run(self, regression, tmp_path):
        folder = shutil.copytree(regression, tmp_path / "m")
        config = json.loads((folder / "config.json").read_text())
        auto = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": auto}))
        (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        with pytest.raises(ConfigError, match="cannot load the model"):
            scored(folder, files=list(folder.iterdir()))
        assert not (tmp_path / "ran").exists()

    def test_a_base_model_without_a_trained_head_is_refused(self, regression, tmp_path):
        from transformers import AutoModel

        folder = shutil.copytree(regression, tmp_path / "m")
        AutoModel.from_pretrained(folder).save_pretrained(folder)
        with pytest.raises(ConfigError, match=r"lacks .* weights, such as 'classifier") as caught:
            scored(folder)
        assert "random" in caught.value.hint

    def test_labels_the_model_lacks_are_named_with_the_nearest(self, topics):
        with pytest.raises(ConfigError, match="no label 'shops'") as caught:
            scored(topics, labels={"a": "shops"})
        assert "'shop'" in caught.value.hint
        with pytest.raises(ConfigError, match="3 labels") as caught:
            scored(topics)
        assert "news, forum, shop" in caught.value.hint

    def test_an_answer_that_is_no_number_is_an_error(self, regression, tmp_path):
        from safetensors.numpy import load_file, save_file

        folder = shutil.copytree(regression, tmp_path / "m")
        weights = load_file(folder / "model.safetensors")
        weights["classifier.bias"][:] = np.nan
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(RowError, match="no finite number"):
            scored(folder)

    def test_loading_uses_no_network_and_leaves_no_file(self, topics, tmp_path, monkeypatch):
        def refuse(*_):
            raise AssertionError("the network was used")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        scored(topics, top=True, tmp=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_pinned_name_is_read_from_the_local_cache(self, topics, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        shutil.copytree(topics, classifier.cached("me/topics", COMMIT))
        put_corpus(tmp_path / "raw", texts(12), 1)
        recipe = f"""
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl"}}
  kind: {{use: classifier, inputs: docs, model: me/topics, revision: {COMMIT}, top: true}}
"""
        found = run(recipe, tmp_path, tmp_path / "root").table("kind.score", "label").column(0).to_pylist()
        assert set(found) <= set(NAMES.values())

    def test_weights_are_identity_and_where_they_lie_is_not(self, regression, tmp_path):
        put_corpus(tmp_path / "raw", texts(12), 1)
        folder = shutil.copytree(regression, tmp_path / "a")

        def fingerprint(model, more=""):
            recipe = f"""
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl"}}
  edu: {{use: classifier, inputs: docs, model: {model}{more}}}
"""
            return plan_of(recipe, tmp_path).node("edu").fingerprint

        first = fingerprint(folder)
        shutil.copytree(folder, tmp_path / "[b]")
        (tmp_path / "[b]" / "README.md").write_text("moved")
        (tmp_path / "[b]" / "training_args.bin").write_bytes(b"")
        assert fingerprint(f'"{tmp_path}/[b]/"') == fingerprint(folder, ", device: cpu") == first
        assert fingerprint(folder, ", max_length: 32") != first
        save_model(folder, num_labels=1, seed=1)
        assert fingerprint(folder) != first

    def test_join_classifiers_and_a_filter_run_as_one_chain(self, regression, fast, tmp_path):
        put_corpus(tmp_path / "raw", [{"text": t, "url": f"u{i}"} for i, t in enumerate(texts(48))], 3)
        notes = [{"u": f"u{i}", "topic": "abc"[i % 3]} for i in range(0, 60, 2)]
        put_file(tmp_path / "notes.jsonl", b"".join(json.dumps(n).encode() + b"\n" for n in notes))
        recipe = f"""
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{url: string}}}}
  notes: {{use: join, inputs: docs, files: notes.jsonl, key: u, on: url, columns: {{topic: string}}}}
  edu: {{use: classifier, inputs: docs, where: matched, preset: fineweb_edu, model: {regression}, max_length: 64}}
  hq: {{use: classifier, inputs: docs, preset: dclm_oh_eli5, model: {fast}}}
  clean: {{use: filter, inputs: [notes, edu, hq], keep: {{edu: edu > 0, topic: "topic <> 'c'", hq: hq > 0.1}}}}
"""
        one = run(recipe, tmp_path, tmp_path / "root", part_bytes=4000)
        counts = one.counts("clean")
        assert 0 < counts["kept"] < 24
        assert one.counts("edu.score")["masked"] == 24
        assert one.counts("edu.score")["failed"] == 0
        two = run(recipe, tmp_path, tmp_path / "again", part_bytes=4000, batch_rows=7)
        assert one.digests == two.digests


@pytest.mark.parametrize("bodies", [[], [None], ["the of", None, "", "a\nb"], ["__label__hq " * 3]])
def test_a_fasttext_model_gives_the_probability_of_its_labels(fast, bodies):
    import fasttext

    operator = FastTextClassifier(model_file=(str(fast),), labels={"good": "hq", "bad": "__label__cc"}, top=True)
    rows = pl.DataFrame({"text": pl.Series(bodies, dtype=pl.String)})
    found = operator.open(Context(seed=0, work=Path()))(rows)
    assert found.schema == {"good": pl.Float64, "bad": pl.Float64, "label": pl.String, "label_score": pl.Float64}
    model = fasttext.load_model(str(fast))
    for body, row in zip(bodies, found.rows(named=True), strict=True):
        if body is None:
            assert set(row.values()) == {None}
            continue
        names, values = model.predict(body.replace("\n", " "), k=-1)
        want = {n: min(max(v - 1e-5, 0), 1) for n, v in zip(names, values, strict=True)}
        assert (row["good"], row["bad"]) == (want["__label__hq"], want["__label__cc"])
        assert (row["label"], row["label_score"]) == (names[0].removeprefix("__label__"), want[names[0]])


def test_a_fasttext_classifier_keeps_the_contract(fast, tmp_path):
    operator = FastTextClassifier(model_file=(str(fast),), labels={"good": "hq"}, top=True, words="spaced")
    ctx = Context(seed=7, work=tmp_path, refs={"model_file": [str(fast)]})
    assert [str(f) for f in check_operator(operator, ctx=ctx)] == []


def test_a_fasttext_label_the_model_lacks_is_an_error_of_the_stage(fast, tmp_path):
    put_corpus(tmp_path / "raw", texts(12), 1)
    recipe = f"""
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl"}}
  hq: {{use: classifier, inputs: docs, model: {fast}, label: high}}
"""
    with pytest.raises(DataError, match="no label 'high'") as caught:
        run(recipe, tmp_path, tmp_path / "root")
    assert "cc" in caught.value.hint


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_says_what_it_is_and_whence_it_is_known(name):
    found = load_preset(name)
    keys = {
        "source",
        "kind",
        "name",
        "range",
        "file",
        "labels",
        "top",
        "activation",
        "max_length",
        "threshold",
        "remote_code",
    }
    assert {"source", "kind", "name", "range"} <= set(found) <= keys
    assert found["kind"] in ("sequence", "fasttext")
    low, high = found["range"]
    assert low <= found.get("threshold", low) <= high
    body = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")
    assert body.startswith("# ")
    for line in body.splitlines():
        if line.startswith(("threshold", "max_length")):
            assert "from memory, unconfirmed" in line or "card" in line


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_becomes_one_scorer_of_a_given_file(name):
    fast = load_preset(name)["kind"] == "fasttext"
    operator = Classifier(preset=name, model="/models/it.bin" if fast else "/models/it")
    operator.validate()
    (sub,) = operator.expand(scope())
    assert isinstance(sub.operator, FastTextClassifier if fast else SequenceClassifier)
    assert sub.operator.outputs() == operator.outputs()
    assert set(operator.outputs()) in ({"score"}, {"label", "label_score"})


def test_fields_of_a_recipe_go_before_those_of_its_preset():
    operator = Classifier(
        preset="weborganizer_topic", model="/m", labels={"a": "News"}, max_length=128, activation="none"
    )
    (sub,) = operator.expand(scope())
    found = sub.operator
    assert (found.labels, found.top, found.max_length, found.activation) == ({"a": "News"}, False, 128, "none")
    (sub,) = Classifier(preset="dclm_oh_eli5", model="/m.bin", label="__label__cc").expand(scope())
    assert sub.operator.labels == {"score": "__label__cc"}


@pytest.mark.parametrize(
    ("fields", "where", "says"),
    [
        ({}, "model", "no model"),
        ({"preset": "fineweb"}, "preset", "no preset"),
        ({"preset": "fineweb_edu"}, "model", "needs `revision:`"),
        ({"model": "some/name"}, "model", "needs `revision:`"),
        ({"model": "some/name", "revision": "main"}, "revision", "no commit"),
        ({"model": "/a/path", "revision": COMMIT}, "revision", "no name"),
        ({"preset": "weborganizer_topic", "revision": COMMIT}, "preset", "runs code"),
        ({"model": "/m.bin"}, "label", "which label"),
        ({"model": "/m", "label": "a", "labels": {"b": "c"}}, "label", "same thing"),
        ({"model": "/m", "labels": {"label": "c"}}, "labels.label", "cannot be called"),
        ({"model": "/m", "max_length": -1}, "max_length", "-1"),
    ],
)
def test_fields_that_cannot_work_are_refused_while_planning(fields, where, says):
    with pytest.raises(ConfigError, match=says) as caught:
        Classifier(**fields).validate()
    assert caught.value.where == where
    assert caught.value.hint


def test_a_name_that_is_not_cached_says_how_to_get_it_and_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    operator = Classifier(preset="dclm_oh_eli5", revision=COMMIT)
    operator.validate()
    with pytest.raises(ConfigError, match="not in the local cache") as caught:
        operator.expand(scope())
    assert f"hf download mlfoundations/fasttext-oh-eli5 {load_preset('dclm_oh_eli5')['file']}" in caught.value.hint


def test_a_download_asks_for_data_files_of_the_pinned_commit_alone(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    asked = []

    def fetch(name, *, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        classifier.cached(name, revision).mkdir(parents=True)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    (sub,) = Classifier(model="me/edu", revision=COMMIT, download=True).expand(scope())
    ((name, revision, patterns),) = asked
    assert (name, revision) == ("me/edu", COMMIT)
    assert not any(p.endswith((".py", ".bin", ".pt", "*")) for p in patterns)
    assert all(p.startswith(str(tmp_path)) for p in sub.operator.files)


def test_a_gpu_is_waited_for_only_where_it_is_asked_for():
    assert SequenceClassifier(files=("m",)).resources.gpus == 0
    assert SequenceClassifier(files=("m",), device="cuda").resources.gpus == 1


def test_importing_the_classifier_is_light():
    program = (
        "import sys, winnow.scorers.classifier;"
        "print([m for m in ('fasttext', 'torch', 'transformers', 'tokenizers', 'numba') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
