"""`pair_score`: the cosine of two given vectors, the same for any layout; a pair whose halves fit scores above others."""

import json

import numpy as np
import polars as pl
import pytest
from support import plan_of, run

from winnow.core.errors import ConfigError

RECIPE = """
stages:
  docs: {use: jsonl, files: docs.jsonl, id: "field:id", columns: {image: string, caption: string}}
  image: {use: vectors_from, inputs: docs, column: docs.image, dim: 8}
  caption: {use: vectors_from, inputs: docs, column: docs.caption, dim: 8}
  fit: {use: pair_score, inputs: [docs, image, caption], left: image.vector, right: caption.vector}
  best: {use: threshold, inputs: [docs, fit], by: pair_score, at_least: 0.5}
  out: {use: write, inputs: [docs, best], format: jsonl, carry: [pair_score]}
"""


def put(folder):
    drawn = np.random.default_rng(1)
    images = drawn.normal(size=(40, 8))
    captions = images + drawn.normal(size=images.shape) * 0.3
    captions[20:] = drawn.normal(size=(20, 8))  # captions of other images
    rows = [
        {"id": f"d{i}", "text": f"a picture {i}", "image": a, "caption": b}
        for i, (a, b) in enumerate(zip(images.tolist(), captions.tolist(), strict=True))
    ]
    rows += [
        {"id": "none", "text": "no caption", "image": [1.0] * 8, "caption": None},
        {"id": "zero", "text": "no direction", "image": [1.0] * 8, "caption": [0.0] * 8},
        {"id": "same", "text": "the same", "image": [1.0, 2.0] * 4, "caption": [1.0, 2.0] * 4},
        {"id": "not", "text": "the contrary", "image": [1.0, 2.0] * 4, "caption": [-1.0, -2.0] * 4},
    ]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return images, captions


def test_the_cosine_of_the_reals_for_any_layout(tmp_path):
    images, captions = put(tmp_path)
    ran = [
        run(RECIPE, tmp_path, tmp_path / f"r{n}", **options)
        for n, options in enumerate(({}, {"part_bytes": 900, "batch_rows": 3}))
    ]
    assert len({r.digests["fit"] for r in ran}) == len({r.digests["out"] for r in ran}) == 1
    ids = pl.from_arrow(ran[0].table("docs", "doc_id", "text"))
    found = dict(
        ids.join(pl.from_arrow(ran[0].table("fit", "doc_id", "pair_score")), on="doc_id")
        .select("text", "pair_score")
        .iter_rows()
    )
    want = (images * captions).sum(1) / np.linalg.norm(images, axis=1) / np.linalg.norm(captions, axis=1)
    assert max(abs(found[f"a picture {i}"] - value) for i, value in enumerate(want)) < 1e-3
    assert tuple(found[text] for text in ("no caption", "no direction", "the same", "the contrary")) == (
        None,
        None,
        1.0,
        -1.0,
    )
    kept = [
        json.loads(line)["pair_score"] for path in (tmp_path / "r0").glob("write-*/shards/*") for line in path.open()
    ]
    assert sum(score >= 0.5 for score in kept) == len(kept) == sum(v is not None and v >= 0.5 for v in found.values())
    fit, other = [found[f"a picture {i}"] for i in range(20)], [found[f"a picture {i}"] for i in range(20, 40)]
    assert min(fit) > np.quantile(other, 0.9)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("right: caption.vector", "right: image.vector"), "both are"),
        (("left: image.vector", "left: text_bytes"), "no vector"),
        (("column: docs.caption, dim: 8", "column: docs.caption, dim: 4"), "has 8 numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_run(tmp_path, change, told):
    put(tmp_path)
    with pytest.raises(ConfigError, match=told):
        plan_of(RECIPE.replace(*change), tmp_path)
