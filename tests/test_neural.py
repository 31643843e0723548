"""`neural` and `neural_fit`: a network learns tiny pages, is the same wherever a page stands, and refuses what is no model."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import plan_of, put_file, run

from winnow.core.errors import ConfigError, DataError, WinnowError
from winnow.core.operators import Context
from winnow.core.words.hashing import ngram_hashes
from winnow.pipeline.extract import neural_nodes
from winnow.pipeline.extract.neural import Neural
from winnow.pipeline.extract.neural_fit import NeuralFit
from winnow.pipeline.extract.neural_model import MODEL, SCALE, loaded, scores
from winnow.pipeline.extract.neural_nodes import OVERLAP, WINDOW, nodes_of, part, windows
from winnow.pipeline.extract.node_labels import labelled, weights

SAID = """The mill above the village was closed when its owner died, and nobody has opened it since then.
Every autumn the children bring chestnuts to the forester, who feeds them to the deer in winter.
A map from the year of the flood shows two bridges where today only one is left standing.
They say that the bell was cast from the coins which the pilgrims had thrown into the well.
Whoever walks along the canal in the morning will meet the men who open the gates by hand.
The recipe for the dark bread was written on the inside of a cupboard in the old kitchen.
Her brother built the boat in a barn, and had to take down a wall to bring it to the water.
In the third week of the strike the bakers began to sell their bread from the back of a cart.""".splitlines()
PLACES = ["Aldborough", "Brampton", "Carlow", "Dunmore", "Eastleigh", "Fairford", "Glenside", "Holbeach"]
SETTINGS = "epochs: 30, width: 16, layers: 1, rate: 0.01"
RECIPE = f"""stages:
  known: {{use: jsonl, files: known.jsonl, columns: {{html: string}}}}
  learnt: {{use: neural_fit, inputs: known, {SETTINGS}}}
  pages: {{use: jsonl, files: pages.jsonl, text_field: html}}
  main: {{use: neural, inputs: pages, html: text, model: learnt}}
"""
AGAIN = """stages:
  pages: {use: jsonl, files: pages.jsonl, text_field: html}
  main: {use: neural, inputs: pages, html: text, model: MODEL, least: 0, markdown: code}
"""


def page(seed: int, times: int = 1) -> tuple[str, str]:
    """(page, its main text): an article between menus, lists of links and a footer."""
    draw = random.Random(seed)
    lines = draw.sample(SAID, 5)
    links = "".join(
        f"<li><a href='/{k}'>More of {draw.choice(PLACES)} and {draw.choice(PLACES)}</a></li>" for k in range(6)
    )
    article = "".join(f"<p>{line}</p>" for line in lines) * times
    html = (f"<html><head><title>T</title></head><body><nav><ul>{links}</ul></nav><div class='post'><h1>Notes</h1>{article}</div>"
            f"<div class='related'><ul>{links}</ul></div><footer>All rights reserved by the makers of this site.</footer></body></html>")  # fmt: skip
    return html, "\n".join(lines * times)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("neural")
    rows = [dict(zip(("html", "text"), page(k), strict=True)) for k in range(6)]
    odd = [{"html": "<p>no text is known</p>", "text": ""}, {"html": "<div>" * 1200 + "deep", "text": "deep"}]
    put_file(folder / "known.jsonl", "".join(json.dumps(row) + "\n" for row in rows + odd).encode())
    pages = [page(100 + k)[0] for k in range(5)]
    put_file(folder / "pages.jsonl", "".join(json.dumps({"html": html}) + "\n" for html in pages).encode())
    return folder, run(RECIPE, folder, folder / "root", name="neural")


def model_of(root: Path) -> Path:
    """The file that the fit left."""
    (file,) = root.glob("neural_fit-*/_data/artefact/*.unit")
    return file


def texts_of(ran) -> list[str]:
    return ran.table("main", "text")["text"].to_pylist()


def test_it_finds_the_article_of_pages_that_it_has_not_seen(learnt):
    _, ran = learnt
    for k, text in enumerate(texts_of(ran)):
        gold = page(100 + k)[1]
        assert text.removeprefix("Notes\n") == gold


def test_a_file_reads_as_the_stage_that_wrote_it_in_other_parts_and_the_fit_is_the_same_again(learnt, tmp_path):
    folder, ran = learnt
    wrote = model_of(folder / "root")
    put_file(folder / "given.safetensors", wrote.read_bytes())
    again = run(AGAIN.replace("MODEL", "given.safetensors"), folder, tmp_path / "a", name="again", part_bytes=3000)
    assert texts_of(again) == texts_of(ran)
    fitted = run(RECIPE.partition("  pages:")[0], folder, tmp_path / "b", name="fit")
    assert fitted.plan.nodes
    assert model_of(tmp_path / "b").read_bytes() == wrote.read_bytes()


def test_a_page_longer_than_a_window_is_read_in_bounded_pieces(learnt, monkeypatch):
    network = loaded(model_of(learnt[0] / "root"))
    html, _ = page(7, times=150)
    p, nodes = nodes_of(html.encode(), network.vectors.num_embeddings)
    assert p.num > WINDOW
    seen = []
    monkeypatch.setattr(
        network, "forward", lambda *given, kept=network.forward: seen.append(len(given[0])) or kept(*given)
    )
    found = scores(network, nodes)
    assert max(seen) <= WINDOW
    kept = [bytes(p.text[b[0] : b[1]]).decode() for b, score in zip(p.block, found, strict=False) if score > 0]
    assert sum(line in SAID for line in kept) == 750
    assert all(abs(score) < 100 * SCALE for score in found)


def test_least_keeps_more_below_and_less_above_whatever_was_read_before(learnt):
    source = SimpleNamespace(files=lambda: {MODEL: model_of(learnt[0] / "root")})
    ctx = Context(seed=0, work=Path(), refs={"model": source})
    read = {least: Neural(model="learnt", least=least).extractor_of(ctx) for least in (-10.0, 0.0, 10.0)}
    html, gold = page(200)
    first = read[0.0](html)
    assert first.removeprefix("Notes\n") == gold
    assert read[10.0](html) == "" == read[0.0]("")
    assert "All rights reserved" in read[-10.0](html)
    read[0.0](page(201, times=20)[0])
    assert read[0.0](html) == first


@pytest.mark.parametrize("num", [0, 1, WINDOW, WINDOW + 1, 5 * WINDOW + 3])
def test_windows_decide_every_node_once_and_see_its_neighbours(num):
    cut = windows(num)
    assert [at for _, _, begin, end in cut for at in range(begin, end)] == list(range(num))
    for first, last, begin, end in cut:
        assert last - first <= WINDOW
        assert first == max(0, begin - OVERLAP) or first == begin == 0
        assert last == min(num, end + OVERLAP) or last == num


def test_words_and_pairs_of_each_node_are_hashed_to_its_own_buckets():
    texts = ["one two three", "", "…", "four"]
    buckets, starts = neural_nodes._hashed(texts, 1000)
    for i, text in enumerate(texts):
        hashes = np.concatenate([ngram_hashes(pa.array([text], pa.large_string()), n)[1] for n in (1, 2)])
        wanted = [1 + (int(h) * 999 >> 32) for h in hashes] or [0]
        assert buckets[starts[i] : starts[i + 1]].tolist() == wanted
    whole = neural_nodes.Nodes(np.zeros((4, 2), np.float32), buckets, starts)
    cut = part(whole, 1, 4)
    assert cut.starts[0] == 0
    assert cut.buckets.tolist() == buckets[starts[1] :].tolist()


def test_labels_by_alignment():
    gold = "The quick brown fox jumps over the dog. Share and enjoy."
    y, words = labelled(["The quick brown fox jumps", "Share", "enjoy", "over the lazy dog today", "dog", ""], gold)
    assert words.tolist() == [5, 1, 1, 5, 1, 0]
    assert y.tolist() == [1, 0, 0, 0, 0, 0]
    assert labelled(["over the dog", "Share", "and enjoy"], gold)[0].tolist() == [1, 1, 1]  # beside their neighbours
    half = labelled(["a quick brown fox jumps over it"], gold)[0]
    assert half.tolist() == [2 / 4]
    w = weights(np.zeros(2), np.array([1000.0, 1000.0]), "few words")
    assert w.sum() == pytest.approx(2)  # much beside little gold counts no more than that
    assert weights(np.ones(1), np.array([10.0]), "w " * 30).tolist() == [10 / 50]


def test_what_cannot_work_is_refused(learnt, tmp_path):
    folder, _ = learnt
    for fields, where in (
        ({"width": 18}, "width"),
        ({"epochs": 0}, "epochs"),
        ({"rate": 0.0}, "rate"),
        ({"gold": "html"}, "gold"),
    ):
        with pytest.raises(ConfigError) as caught:
            NeuralFit(**fields).validate()
        assert caught.value.where == where
    with pytest.raises(ConfigError, match="no text"):
        NeuralFit().check_types({"html": pa.int64()})
    with pytest.raises(ConfigError, match="least"):
        Neural(model="m", least=11.0).validate()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no weights at all")
    with pytest.raises(DataError, match="cannot read"):
        loaded(bad)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2, np.float32)}, str(bad))
    with pytest.raises(DataError, match="of another format"):
        loaded(bad)
    put_file(
        folder / "wrong.jsonl", (json.dumps({"html": page(1)[0], "text": "Something else entirely."}) + "\n").encode()
    )
    with pytest.raises(WinnowError, match="stands in its known main text"):
        run(
            RECIPE.partition("  pages:")[0].replace("known.jsonl", "wrong.jsonl"),
            folder,
            tmp_path / "root",
            name="wrong",
        )
    with pytest.raises(ConfigError):
        plan_of(AGAIN.replace("MODEL", "missing.safetensors"), folder)


def test_pages_that_cannot_be_learnt_from_are_left_out():
    rows = pl.DataFrame({"doc_id": [bytes([k]) * 16 for k in range(4)], "html": ["<p>a b c d", None, "<div>" * 1200, "<p>x"],
                         "text": ["a b c d", "x", "x", " "]})  # fmt: skip
    sample = NeuralFit(sample_documents=3).sample(rows, Context(seed=0, work=Path()))
    assert len(sample) == 3
    everything = NeuralFit().sample(rows, Context(seed=0, work=Path())).sort("doc_id")
    assert everything["page"].to_list() == ["<p>a b c d", None, None, None]
