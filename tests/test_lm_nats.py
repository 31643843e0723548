"""`lm_nats`: losses of documents under one model or several, exact per document whatever stands beside it."""

import dataclasses
import importlib.util
import json
import math
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import WORDS
from test_trainers import Source

from winnow.core.errors import ConfigError, RowError
from winnow.core.operators import Context
from winnow.core.operators.config import build as build_operator
from winnow.dags.recipe.registry import class_named, operator_class
from winnow.trainers.data.encoder import FILE
from winnow.trainers.data.tokens import Tokens
from winnow.trainers.evaluate.causal_nats import CausalNats
from winnow.trainers.evaluate.disagreement import Disagreement, variance
from winnow.trainers.evaluate.gpt_nats import GptNats
from winnow.trainers.evaluate.lm_nats import LmNats
from winnow.trainers.evaluate.model_nats import documents, score
from winnow.trainers.evaluate.target_windows import batches, plan_windows
from winnow.trainers.evaluate.token_nats import Values, Wanted, measured
from winnow.trainers.model import loop
from winnow.trainers.model.initialise import build
from winnow.trainers.model.shape import Shape

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed (extra `hf`)"
)
SHAPE = Shape(vocab=300, width=32, layers=2, heads=2, context=32)
ALL = ("nll", "scored_tokens", "bits_per_byte", "nats_per_token", "token_variance", "token_max", "learnable_median",
       "top_k_share", "el2n")  # fmt: skip
TINY = "vocab: 320, width: 24, layers: 1, heads: 2, context: 32, batch: 4, lr_hidden: 0.02, tokens: 3000"


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory) -> Source:
    """A model of random weights, none of them zero."""
    folder, model = tmp_path_factory.mktemp("gpt"), build(SHAPE, init_seed=0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=draw))
    loop.save(model, folder / "weights.npz")
    return Source(files={"weights.npz": folder / "weights.npz"}, metrics={"shape": dataclasses.asdict(SHAPE)})


def rows_of(lengths: list[int | None], *, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    ids = [None if n is None else draw.integers(0, SHAPE.vocab - 1, n).tolist() for n in lengths]
    size = [0 if n is None else 3 * n + 1 for n in lengths]
    return pl.DataFrame({"tokens": pl.Series(ids, dtype=pl.List(pl.UInt16)), "text_bytes": size})


def scored(gpt: Source, rows: pl.DataFrame, tmp_path: Path, **fields) -> pl.DataFrame:
    operator = GptNats(**({"measures": ALL, "least_learnable": 1, "precision": "fp32", "device": "cpu"} | fields))
    return operator.open(Context(seed=0, work=tmp_path, refs={"run_of": gpt}))(rows)


def by_hand(gpt: Source, ids: list[int], *, context: int, stride: int, top_k: int = 10) -> dict[str, float]:
    """Measures of one document, window by window, from all of its logits."""
    model = loop.load(gpt.files()["weights.npz"], SHAPE)
    start, done, nats, ranks, distance = 0, 0, [], [], []
    while done < len(ids):
        stop = min(start + context, len(ids))
        before = [SHAPE.vocab - 1, *ids][start:stop]
        with torch.no_grad():
            shares = torch.softmax(model(torch.tensor([before])).double()[0], dim=1).numpy()
        for at in range(done, stop):
            row = shares[at - start]
            truth = np.zeros(len(row))
            truth[ids[at]] = 1
            nats.append(-math.log(row[ids[at]]))
            ranks.append(1 + int((row > row[ids[at]]).sum()))
            distance.append(float(np.linalg.norm(row - truth)))
        done, start = stop, start + (stride or context)
    values = np.array(nats)
    learnable = values[np.array(ranks) <= top_k]
    return {
        "nll": values.sum(), "scored_tokens": len(values), "nats_per_token": values.mean(),
        "bits_per_byte": values.sum() / math.log(2) / (3 * len(ids) + 1), "token_variance": values.var(),
        "token_max": values.max(), "learnable_median": np.median(learnable) if len(learnable) else None,
        "top_k_share": len(learnable) / len(values), "el2n": np.mean(distance),
    }  # fmt: skip


@pytest.mark.parametrize(("context", "stride"), [(0, 0), (16, 5), (32, 31), (7, 1)])
def test_every_measure_is_that_of_the_document_alone_by_hand(gpt, tmp_path, context, stride):
    lengths = [1, 2, 31, 32, 33, 64, 100]
    rows = rows_of(lengths)
    found = scored(gpt, rows, tmp_path, context=context, stride=stride)
    for ids, row in zip(rows["tokens"].to_list(), found.to_dicts(), strict=True):
        expected = by_hand(gpt, ids, context=context or SHAPE.context, stride=stride)
        close = {n: v if v is None else pytest.approx(v, rel=1e-5, abs=1e-9) for n, v in expected.items()}
        assert row == close


def test_documents_without_tokens_are_null(gpt, tmp_path):
    found = scored(gpt, rows_of([3, 0, None, 5, 0]), tmp_path)
    assert found["nll"].is_null().to_list() == [False, True, True, False, True]
    assert found["scored_tokens"].to_list() == [3, 0, None, 5, 0]
    assert found.select(pl.exclude("scored_tokens")).filter(pl.col("nll").is_null()).null_count().row(0) == (3,) * 8
    assert scored(gpt, rows_of([0, None]), tmp_path)["nll"].null_count() == 2


def test_a_document_has_its_values_whatever_stands_beside_it(gpt, tmp_path):
    """Over batch sizes, orders and neighbours, to 1e-5 of the value."""
    draw = np.random.default_rng(5)
    rows = rows_of([int(n) for n in draw.integers(0, 90, 60)], seed=1)
    whole = scored(gpt, rows, tmp_path).to_numpy()
    for size in (1, 7, 23):
        parts = [scored(gpt, rows[at : at + size], tmp_path) for at in range(0, len(rows), size)]
        np.testing.assert_allclose(pl.concat(parts).to_numpy(), whole, rtol=1e-5, atol=1e-6)
    order = draw.permutation(len(rows))
    np.testing.assert_allclose(scored(gpt, rows[order], tmp_path).to_numpy(), whole[order], rtol=1e-5, atol=1e-6)


def test_a_giant_document_changes_nobody_else_and_no_batch(gpt, tmp_path):
    """Ten megabytes are many windows: the batches of the forward pass stay as large as they were."""
    small, giant = rows_of([20, 40, 7]), rows_of([60_000], seed=9)
    both = pl.concat([small[:2], giant, small[2:]])
    target = documents(both)
    plan = plan_windows(target, context=32)
    sizes = [inputs.size for inputs, *_ in batches(target, plan, end=299, most_padding=0.1)]
    assert max(sizes) <= 4096
    assert sum(sizes) < 1.1 * len(target.ids)
    found = scored(gpt, both, tmp_path, measures=("nll",))["nll"].to_numpy()
    alone = scored(gpt, small, tmp_path, measures=("nll",))["nll"].to_numpy()
    np.testing.assert_allclose(found[[0, 1, 3]], alone, rtol=1e-6)
    assert found[2] > 60_000


DRAW = np.random.default_rng(2)
SKEWED = {
    "log-normal": np.exp(DRAW.normal(4, 1.2, 512)),
    "pareto": 5 * (1 + DRAW.pareto(0.7, 512)).clip(max=10_000),
    "short and long": np.where(DRAW.random(512) < 0.9, 3, 250),
    "one giant": np.append(DRAW.integers(1, 60, 300), 60_000),
    "every length once": np.arange(1, 400),
    "short": DRAW.integers(1, 33, 256),
    "three": np.array([3, 40, 200]),
    "mostly empty": np.where(np.arange(300) < 290, 0, 7 + np.arange(300) % 90),
}


@pytest.mark.parametrize("room", [64, 4096, 1 << 16])
@pytest.mark.parametrize("lengths", SKEWED.values(), ids=SKEWED)
def test_padding_is_below_a_tenth_and_every_token_is_in_one_batch(lengths, room):
    target = documents(rows_of([int(n) for n in lengths]))
    plan = plan_windows(target, context=256, stride=0)
    tokens = np.zeros(len(target.ids), dtype=int)
    padded, passes = 0, []
    for inputs, place, counts, _ in batches(target, plan, end=299, batch_tokens=room, most_padding=0.1):
        assert counts.any(axis=1).all(), "no window without a token"
        fill = 1 - counts.sum() / inputs.size
        assert fill < 0.1 or inputs.size <= room // 16
        assert inputs.size <= room or len(inputs) == 1
        padded += inputs.size
        passes.append(inputs.size)
        np.add.at(tokens, place[counts], 1)
    assert (tokens == 1).all()
    assert 1 - len(target.ids) / padded < 0.1
    loose = sum(inputs.size for inputs, *_ in batches(target, plan, end=299, batch_tokens=room))
    assert padded <= loose
    alike = 24 + 60  # lengths of one token up to ten, then of a fifth more each: what a pass of few windows is allowed
    assert len(passes) <= alike + 2 * loose / room, "few windows take few passes"


def test_small_batches_may_be_loose_where_the_others_leave_room():
    """A dozen short texts beside many long ones are one pass, and alone as many as their lengths ask for."""
    short, long = list(range(1, 13)), [250] * 200
    passes = []
    for lengths in (short + long, short):
        target = documents(rows_of(lengths))
        found = batches(target, plan_windows(target, context=256), end=299, most_padding=0.1)
        passes.append([inputs.shape for inputs, *_ in found if inputs.shape[1] <= 12])
    assert passes[0] == [(12, 12)]
    assert len(passes[1]) == 6


class Recording:
    """A model of one nat per token that notes the shape of every forward pass."""

    context, longest, first, vocab, room = 256, 256, 299, 300, 4096

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def values(self, inputs, counts, answers, wanted) -> Values:
        self.shapes.append(inputs.shape)
        return Values(nats=np.ones(len(answers)))


@pytest.mark.parametrize("lengths", SKEWED.values(), ids=SKEWED)
def test_what_is_counted_is_what_the_model_was_given(lengths):
    model, ctx = Recording(), Context(seed=0, work=Path(), counts={})
    target = documents(rows_of([int(n) for n in lengths]))
    score(model, target, context=256, stride=100, wanted=Wanted(), ctx=ctx)
    given, counted = sum(rows * width for rows, width in model.shapes), dict(ctx.counts)
    assert counted["read_tokens"] + counted["padded_tokens"] == given
    assert counted["scored_tokens"] == len(target.ids) <= counted["read_tokens"]
    assert counted["forward_passes"] == len(model.shapes)
    assert counted["padded_tokens"] < 0.1 * given


def test_small_forward_passes_are_said_with_their_figures():
    operator, few = GptNats(), {"rows": 9, "read_tokens": 40_000, "padded_tokens": 2_000, "forward_passes": 1_000}
    (told,) = operator.remarks(few, {})
    assert told.startswith("1,000 forward passes held 40 tokens each and 4.8% fill")
    assert operator.remarks(few | {"read_tokens": 256_000}, {}) == ()
    assert operator.remarks(few | {"forward_passes": 99, "read_tokens": 99}, {}) == ()
    assert operator.remarks({}, {}) == ()
    both = operator.remarks(few | {"null": 2}, {})
    assert len(both) == 2
    assert both[0].startswith("2 of 9 documents have no token")


def test_a_giant_document_costs_what_its_tokens_cost_in_small_ones(gpt, tmp_path):
    """As many forward passes of as many tokens, and as much memory at the most."""
    import tracemalloc

    giant, small = rows_of([64_000]), rows_of([32] * 2000)
    passes, peaks = [], []
    for rows in (giant, small):
        target = documents(rows)
        found = batches(target, plan_windows(target, context=32), end=299, most_padding=0.1)
        passes.append([inputs.shape for inputs, *_ in found])
        tracemalloc.start()
        scored(gpt, rows, tmp_path, measures=("nll",))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert passes[0] == passes[1]
    assert peaks[0] < 1.1 * peaks[1]


def test_learnable_median_is_salts_check():
    """SALT, section 2: median over tokens whose truth is in the top k."""
    values = Values(nats=np.array([2.0, 0.5, 1.5, 9.0]), rank=np.array([3, 1, 7, 400]))

    def median(k: int, least: int = 1) -> float:
        offsets, size = np.array([0, 4]), np.array([10])
        return measured(values, offsets, size, ["learnable_median"], top_k=k, least_learnable=least)[
            "learnable_median"
        ][0]

    assert median(10) == 1.5
    assert median(1 << 20) == 1.75
    assert median(1) == 0.5
    assert math.isnan(median(10, least=4))
    assert median(10, least=3) == 1.5
    shares = measured(values, np.array([0, 0, 4]), np.array([0, 10]), ["top_k_share"], top_k=7, least_learnable=1)
    assert np.isnan(shares["top_k_share"][0])
    assert shares["top_k_share"][1] == 0.75


def test_el2n_is_the_papers_at_both_ends(tmp_path):
    """Section 11: 0 where the truth is certain, sqrt((1 - 1/V)^2 + (V - 1)/V^2) for a uniform guess."""
    shape = Shape(vocab=60, width=16, layers=1, heads=2, context=16)
    loop.save(build(shape, init_seed=0), tmp_path / "weights.npz")  # its output layer is zero: it guesses evenly
    model = Source(files={"weights.npz": tmp_path / "weights.npz"}, metrics={"shape": dataclasses.asdict(shape)})
    rows = pl.DataFrame({"tokens": pl.Series([[1, 2, 3]], dtype=pl.List(pl.UInt16)), "text_bytes": [12]})
    found = scored(model, rows, tmp_path, measures=("el2n", "nats_per_token", "top_k_share", "bits_per_byte"))
    assert found["el2n"][0] == pytest.approx(math.sqrt((1 - 1 / 60) ** 2 + 59 / 60**2), rel=1e-6)
    assert found["nats_per_token"][0] == pytest.approx(math.log(60))
    assert found["bits_per_byte"][0] == pytest.approx(math.log2(60) * 3 / 12)
    assert found["top_k_share"][0] == 1.0, "ties rank at the best rank"
    certain = torch.full((1, 60), -1e9)
    certain[0, 7] = 0.0
    from winnow.trainers.evaluate.token_nats import Wanted, values_of

    sure = values_of(lambda chunk: certain[chunk], torch.tensor([7]), [slice(0, 1)], Wanted(el2n=True, ranks=True))
    assert (sure.el2n[0], sure.rank[0], sure.nats[0]) == (0.0, 1, 0.0)


def test_weights_that_are_no_numbers_are_refused(gpt, tmp_path):
    with np.load(gpt.files()["weights.npz"]) as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    arrays["blocks.1.up.weight"][3, 4] = np.nan
    np.savez(tmp_path / "weights.npz", **arrays)
    broken = Source(files={"weights.npz": tmp_path / "weights.npz"}, metrics=gpt.result())
    with pytest.raises(ConfigError, match=r"1 of the model's weights .* blocks.1.up.weight"):
        scored(broken, rows_of([3]), tmp_path)
    with np.load(gpt.files()["weights.npz"]) as stored:
        arrays = {name: stored[name] * (1e38 if name == "head.weight" else 1) for name in stored.files}
    np.savez(tmp_path / "weights.npz", **arrays)
    huge = Source(files={"weights.npz": tmp_path / "weights.npz"}, metrics=gpt.result())
    with pytest.raises(RowError, match="no finite number"):
        scored(huge, rows_of([3]), tmp_path)


def test_ids_of_another_tokenizer_are_refused(gpt, tmp_path):
    rows = pl.DataFrame({"tokens": pl.Series([[1, 300]], dtype=pl.List(pl.UInt16)), "text_bytes": [4]})
    with pytest.raises(ConfigError, match="id 300, and the model knows 300: the tokenizer is another"):
        scored(gpt, rows, tmp_path)


def test_a_context_beyond_the_models_is_refused(gpt, tmp_path):
    for fields, message in (({"context": 33}, "the model takes 32"), ({"stride": 40}, "above the model's context")):
        with pytest.raises(ConfigError, match=message):
            scored(gpt, rows_of([3]), tmp_path, **fields)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, "model"),
        ({"model": "a", "models": {"b": "b"}}, "model"),
        ({"model": "a", "measures": []}, "measures"),
        ({"model": "a", "measures": ["nll", "nll"]}, "measures"),
        ({"model": "a", "stride": -1}, "stride"),
        ({"model": "a", "context": 8, "stride": 9}, "stride"),
        ({"model": "a", "top_k": 5}, "top_k"),
        ({"model": "a", "measures": ["top_k_share"], "least_learnable": 3}, "least_learnable"),
        ({"model": "a", "measures": ["top_k_share"], "top_k": 0}, "top_k"),
        ({"models": {"a-b": "a"}}, "models"),
        ({"models": {"a": "a"}, "at": {"b": 3}}, "at"),
        ({"model": "a", "at": {"model": -3}}, "at.model"),
    ],
)
def test_fields_that_cannot_work_are_refused(fields, where):
    with pytest.raises(ConfigError) as raised:
        build_operator(LmNats, fields, where="s")
    assert raised.value.where == f"s.{where}"


def test_the_old_name_says_the_new_spelling():
    with pytest.raises(ConfigError, match="now called 'lm_nats'") as raised:
        operator_class("document_loss")
    assert "'measure' is called 'measures'" in raised.value.hint
    assert class_named("document_loss") is LmNats
    assert class_named("document_losses") is GptNats


@needs_transformers
class TestFolders:
    """Causal models of transformers."""

    TEXTS = ("the", "one two and three " * 3, "ünï çödé — 漢字 <s> " + " ".join(WORDS[:80]), " ".join(WORDS * 2))

    def rows(self, folder: Path, texts) -> pl.DataFrame:
        tokenizer = Source(files={FILE: folder / FILE})
        ctx = Context(seed=0, work=folder.parent, refs={"tokenizer": tokenizer})
        texts = pl.Series("text", texts, dtype=pl.String)
        ids = Tokens(wide=True).open(ctx)(pl.DataFrame({"text": texts}))
        return ids.select("tokens").with_columns(text_bytes=texts.str.len_bytes().cast(pl.Int64))

    def scored(self, folder: Path, texts, **fields) -> pl.DataFrame:
        plain = [str(p) for p in sorted(folder.iterdir()) if p.suffix in (".json", ".safetensors")]
        given = {"files": tuple(plain), "measures": ALL, "least_learnable": 1, "precision": "fp32", "device": "cpu"}
        operator = CausalNats(**(given | fields))
        return operator.open(Context(seed=0, work=folder.parent))(self.rows(folder, texts))

    @pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
    def test_a_document_has_the_losses_of_a_plain_forward_pass(self, tmp_path, kind):
        from support_causal import plain_logits, plain_nats, save_causal

        folder = save_causal(tmp_path / kind, kind=kind, **({"n_positions": 512} if kind == "gpt2" else
                             {"max_position_embeddings": 512}))  # fmt: skip
        found = self.scored(folder, self.TEXTS)
        for text, row in zip(self.TEXTS, found.to_dicts(), strict=True):
            logits, ids = plain_logits(folder, text)
            nats = plain_nats(logits, ids)
            assert row["nll"] == pytest.approx(nats.sum(), rel=1e-5, abs=1e-4)
            assert row["scored_tokens"] == len(ids)
            assert row["bits_per_byte"] == pytest.approx(nats.sum() / math.log(2) / len(text.encode()), rel=1e-5)
            ranks = 1 + (logits > logits[np.arange(len(ids)), ids][:, None]).sum(axis=1)
            assert row["top_k_share"] == (ranks <= 10).mean()

    def test_a_document_longer_than_the_model_is_scored_in_windows(self, tmp_path):
        """Every token once, the later ones with at least `context - stride` tokens before them."""
        import torch
        from support_causal import save_causal
        from transformers import AutoModelForCausalLM

        folder = save_causal(tmp_path / "m", kind="gpt2")
        text = " ".join(WORDS * 2)
        found = self.scored(folder, [text], context=40, stride=15, measures=("nll", "scored_tokens"))
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        ids = self.rows(folder, [text])["tokens"].to_list()[0]
        total, done, start = 0.0, 0, 0
        while done < len(ids):
            stop = min(start + 40, len(ids))
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([[0, *ids][start:stop]])).logits[0].double().log_softmax(-1)
            for at in range(done, stop):
                assert at < 40 or at - start >= 25
                total -= float(logits[at - start, ids[at]])
            done, start = stop, start + 15
        assert found["scored_tokens"].to_list() == [len(ids)]
        assert len(ids) > 64
        assert found["nll"][0] == pytest.approx(total, rel=1e-5)

    def test_what_is_no_causal_model_in_plain_files_is_refused(self, tmp_path):
        from support_causal import save_causal

        folder = save_causal(tmp_path / "m")
        with pytest.raises(ConfigError, match="is not there"):
            build_operator(operator_class("causal_lm"), {"folder": str(tmp_path / "none")}, where="s")
        with pytest.raises(ConfigError, match="is a file"):
            build_operator(operator_class("causal_lm"), {"folder": str(folder / FILE)}, where="s")
        pickled = shutil.copytree(folder, tmp_path / "pickled")
        (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
        with pytest.raises(ConfigError, match=r"pickled \(pytorch_model.bin\)"):
            build_operator(operator_class("causal_lm"), {"folder": str(pickled)}, where="s")
        for name in (FILE, "config.json"):
            bare = shutil.copytree(folder, tmp_path / f"without_{name}")
            (bare / name).unlink()
            with pytest.raises(ConfigError, match=f"has no {name}"):
                build_operator(operator_class("causal_lm"), {"folder": str(bare)}, where="s")
        with pytest.raises(ConfigError, match="not causal"):
            self.scored(save_causal(tmp_path / "bert", kind="bert"), ["a"])

    def test_broken_weights_and_foreign_tokenizers_are_refused(self, tmp_path):
        from safetensors.numpy import load_file, save_file
        from support_causal import save_causal

        folder = save_causal(tmp_path / "m")
        weights = load_file(folder / "model.safetensors")
        name = "model.layers.0.mlp.up_proj.weight"
        broken = shutil.copytree(folder, tmp_path / "nan")
        save_file(weights | {name: np.full_like(weights[name], np.nan)}, broken / "model.safetensors", {"format": "pt"})
        with pytest.raises(ConfigError, match=f"no finite numbers, such as {name}"):
            self.scored(broken, ["a"])
        part = shutil.copytree(folder, tmp_path / "part")
        save_file({n: w for n, w in weights.items() if n != name}, part / "model.safetensors", {"format": "pt"})
        with pytest.raises(ConfigError, match=f"lacks 1 weights, such as '{name}'"):
            self.scored(part, ["a"])
        other = save_causal(tmp_path / "large", vocab=600)
        shutil.copy(other / FILE, folder / FILE)
        with pytest.raises(ConfigError, match="the tokenizer is another model's"):
            self.scored(folder, [" ".join(WORDS)])

    def test_the_first_token_is_predicted_from_bos_or_eos(self, tmp_path):
        from support_causal import save_causal

        from winnow.trainers.model.causal_folder import first_id

        folder = save_causal(tmp_path / "m")
        files = {path.name: path for path in folder.iterdir()}
        vocab = json.loads(files[FILE].read_bytes())["model"]["vocab"]
        told = json.loads(files["tokenizer_config.json"].read_bytes())
        for tokens, expected in (
            ({"bos_token": "a", "eos_token": "b"}, vocab["a"]),
            ({"bos_token": None, "eos_token": {"content": "b"}}, 5),  # the configuration's BOS is nearer than an EOS
        ):
            files["tokenizer_config.json"].write_text(json.dumps(told | tokens))
            config = json.loads(files["config.json"].read_bytes())
            files["config.json"].write_text(json.dumps(config | {"bos_token_id": 5}))
            assert first_id(files) == expected
        files["config.json"].write_text(json.dumps(config | {"bos_token_id": None, "eos_token_id": None}))
        assert first_id(files) == vocab["b"]
        files["tokenizer_config.json"].write_text(json.dumps(told | {"bos_token": None, "eos_token": None}))
        with pytest.raises(ConfigError, match="neither a BOS nor an EOS"):
            first_id(files)


def test_disagreement_is_the_variance_over_members():
    draw = np.random.default_rng(0)
    values = draw.normal(3, 1, (200, 5))
    frame = pl.DataFrame(values, schema=list("abcde"))
    np.testing.assert_allclose(variance(frame).to_numpy(), values.var(axis=1), rtol=1e-12)
    equal = pl.DataFrame(dict.fromkeys("abc", values[:, 0]))
    assert (variance(equal) == 0).all(), "0.1 + 0.1 + 0.1 over 3 is not 0.1"
    holes = frame.with_columns(b=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise("b"))
    assert variance(holes).is_null().to_list() == [True] * 3 + [False] * 197
    endless = pl.DataFrame({"a": [1.0, math.inf], "b": [2.0, math.inf]})
    assert variance(endless).to_list() == [0.25, None]
    for of in (["a"], ["a", "a"]):
        with pytest.raises(ConfigError, match=r"disagree|twice"):
            build_operator(Disagreement, {"of": of}, where="s")
