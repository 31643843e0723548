"""The pool of `openstax.yaml` in tokens: one selection, random draws, and both books, for a machine without winnow's extras.

The selection is that of the recipe's arm `fasttext` (`top_k` by a classifier that learned from physics), with a larger
budget; the draws are its baseline `plain`, each with lots of its own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from ruamel.yaml import YAML

import winnow
from benchmarks.gpu_check import token_pool
from benchmarks.gpu_check.budget import ROOT
from benchmarks.gpu_check.verdict import ARM, DRAWN
from winnow.core.operators import Context
from winnow.trainers.data import pack
from winnow.trainers.data.encoder import FILE, Encoder
from winnow.trainers.data.tokenizer import Tokenizer
from winnow.trainers.evaluate import suites
from winnow.trainers.model.sizes import shape_of

TARGETS = ("astronomy", "psychology")  # the first is the primary one
KEPT = ("docs", "physics", *TARGETS, "apart", "safe", "lang", "sig", "clean", "unique", "quality", "best")
DRAWS = 6
BUDGET = "1500k tokens"


def prepare(packs: Path, out: Path) -> dict[str, Any]:
    """Write the pool into `out`; sizes and what it holds. Minutes of one core."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from bench_openstax import build

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(packs, folder)
        (folder / "pool.yaml").write_text("")
        with (folder / "pool.yaml").open("w") as sink:
            YAML().dump(recipe(), sink)
        winnow.run_recipe(folder / "pool.yaml", out=folder / "root", workers=1)
        run = winnow.open(folder / "root")
        stages = [ARM, *(f"{DRAWN}_{k}" for k in range(DRAWS))]
        kept = {s: run.frame(s, ["doc_id", "kept"]).filter("kept").select("doc_id").collect()["doc_id"] for s in stages}
        texts = run.frame("docs", ["doc_id", "text"]).collect().sort("doc_id")
        held = {t: run.frame(t, ["doc_id", "text"]).collect() for t in TARGETS}
        made = tokenised(texts, kept, held, folder)
    if out.exists():
        shutil.rmtree(out)
    token_pool.save(made, out)
    return {**made.told, "bytes": sum(path.stat().st_size for path in out.iterdir()), "folder": str(out)}


def recipe() -> dict[str, Any]:
    """The stages of openstax.yaml that the selection needs, and draws."""
    whole = YAML(typ="safe").load((ROOT / "benchmarks/openstax.yaml").read_text())
    stages = {name: dict(whole["stages"][name]) for name in KEPT}
    plain = whole["stages"]["plain"] | {"budget": BUDGET}
    stages["best"]["budget"] = BUDGET
    stages |= {f"{DRAWN}_{k}": plain | {"salt": f"draw {k}"} for k in range(DRAWS)}
    return {"name": "gpu-pool", "seed": whole["seed"], "tokenizer": whole["tokenizer"], "stages": stages}


def tokenised(
    texts: pl.DataFrame, kept: dict[str, pl.Series], held: dict[str, pl.DataFrame], work: Path
) -> token_pool.TokenPool:
    """All texts and targets in the ids of a tokenizer that is fitted on the pool, for the model of 30M."""
    vocab = shape_of("30M").vocab
    ctx = Context(seed=0, work=work)
    fitted = Tokenizer(vocab=vocab)
    fitted.fit(fitted.sample(texts, ctx), ctx)
    encode = Encoder(work / FILE)
    selected = pl.concat(list(kept.values())).unique()
    texts = texts.filter(pl.col("doc_id").is_in(selected.implode())).sort("doc_id")  # the others are not carried
    ids, offsets = encode(texts["text"].fill_null(""))
    place = pl.DataFrame({"doc_id": texts["doc_id"], "row": np.arange(len(texts))})
    rows = {s: np.sort(place.join(d.to_frame("doc_id"), on="doc_id")["row"].to_numpy()) for s, d in kept.items()}
    targets = {name: suites.tokenise(suites.documents(frame), encode) for name, frame in held.items()}
    told = {
        "pool": "benchmarks/openstax.yaml", "budget": BUDGET, "vocabulary": vocab, "documents": len(texts),
        "tokens": len(ids), "selection_tokens": {s: int(np.diff(offsets)[r].sum()) for s, r in rows.items()},
    }  # fmt: skip
    documents = pack.Documents(doc_id=texts["doc_id"], tokens=ids.astype(np.uint16), offsets=offsets)
    return token_pool.TokenPool(documents=documents, selections=rows, targets=targets, vocab=vocab, told=told)
