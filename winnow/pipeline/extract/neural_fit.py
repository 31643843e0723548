"""`neural_fit`: the model of a `neural` extractor, from pages whose main text is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import rng
from winnow.core.operators import Context, Exactness, Fit, Resources, Schema
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.extract.extraction import DEEPEST
from winnow.pipeline.extract.neural_model import MODEL, Example, Sizes, saved, trained
from winnow.pipeline.extract.neural_nodes import nodes_of
from winnow.pipeline.extract.node_labels import labelled, weights

LARGEST = 5_000_000  # bytes of a page to learn from


@dataclass(frozen=True, kw_only=True)
class NeuralFit(Fit):
    """A network for the extractor `neural`, from pages (`html`) with their main text (`gold`): `model.safetensors`.

    A text node is labelled with the share of its runs of four words that the known text has; shorter ones have to stand
    there beside their neighbour's word. Every page weighs about as much as another one. Pages without a word in `gold`,
    of more than 5 MB, or of more than 1,000 nested elements are left out and counted. Training is on the CPU, on one
    thread, in minutes; nothing is downloaded. Judge the model on sites that it was not fitted on.

    Raises: ConfigError for numbers that cannot work; DataError where no page can be learnt from, or none of their nodes
    stands in its known text.
    Cost: about 10 ms per page of 150 nodes and epoch; all sampled pages in memory, as numbers (700 bytes per node).
    Source: Xu et al. 2024 (NeuScraper) for a decision per node; the network and the labels are own
    """

    name: ClassVar[str] = "neural_fit"
    role: ClassVar[str] = "extractor"
    columns_from: ClassVar[tuple[str, ...]] = ("html", "gold")
    seeded: ClassVar[bool] = True
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "safetensors")
    resources: ClassVar[Resources] = Resources(memory_gb=2)

    html: str = "html"  # column of pages
    gold: str = "text"  # column of their main texts
    epochs: int = 4  # for hundreds of pages; fewer pages need more
    rate: float = 2e-3
    width: int = 64
    layers: int = 2
    sample_documents: int = 5000  # pages, chosen by their ids

    def validate(self) -> None:
        """Raises: ConfigError for numbers that make no network or no training."""
        for name, least, most in (("epochs", 1, 1000), ("layers", 1, 12), ("sample_documents", 1, 1_000_000)):
            if not least <= getattr(self, name) <= most:
                hint = f"from {least} to {most:,}"
                raise ConfigError(f"{name} is {getattr(self, name)}", where=name, hint=hint)
        if not 8 <= self.width <= 512 or self.width % Sizes.heads:
            raise ConfigError(f"width is {self.width}", where="width", hint=f"8 to 512, in steps of {Sizes.heads}: 64")
        if not 0 < self.rate < 1:
            raise ConfigError(f"rate is {self.rate:g}", where="rate", hint="a step between 0 and 1: 0.002")
        if self.html == self.gold:
            raise ConfigError("pages and their main texts are one column", where="gold", hint="name another column")

    def needs(self) -> tuple[str, ...]:
        """The id, which decides whether a page is sampled, the page and its main text."""
        return ("doc_id", self.html, self.gold)

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a column is no text."""
        for field in self.columns_from:
            kind = types.get(getattr(self, field))
            if kind is not None and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                what = f"column {getattr(self, field)!r} is {kind}, and no text"
                raise ConfigError(what, where=field, hint="declare it as `string`")

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The pages of the smallest keys of a part: doc_id, key, gold, page; null where it cannot be learnt from."""
        from winnow.pipeline.extract.depth_kernels import depths

        pages = rows[self.html].set((rows[self.html].str.len_bytes() > LARGEST).fill_null(False), None)
        offsets, data = utf8_buffers(pages.fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest()))
        pages = pages.set(pl.Series(depths(offsets, data) > DEEPEST), None)
        pages = pages.set((~rows[self.gold].str.contains(r"\w")).fill_null(True), None)
        keys = rng.keys(rows["doc_id"], seed=ctx.seed, salt=self.name)
        chosen = np.sort(np.argsort(keys, kind="stable")[: self.sample_documents])
        frame = rows.select("doc_id", gold=self.gold).with_columns(key=pl.Series(keys, dtype=pl.UInt64), page=pages)
        return frame[chosen]

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write `model.safetensors`; metrics: pages, those left out, nodes, share of them that is main text, loss."""
        chosen = sample.sort("key", "doc_id").head(self.sample_documents).sort("doc_id")
        usable = chosen.drop_nulls("page")
        sizes = Sizes(width=self.width, layers=self.layers)
        examples = [example(page, gold, sizes) for page, gold in usable.select("page", "gold").iter_rows()]
        nodes, kept = sum(len(one.y) for one in examples), sum(float((one.y >= 0.5).sum()) for one in examples)
        if not kept:
            what = f"no text node of {len(examples):,} pages stands in its known main text"
            raise DataError(what, where=self.name, hint=f"are {self.html!r} the pages of the texts in {self.gold!r}?")
        network, losses = trained(examples, sizes, epochs=self.epochs, rate=self.rate, seed=ctx.seed)
        saved(network, sizes, ctx.work / MODEL)
        left = len(chosen) - len(usable)
        if left:
            ctx.remark(
                f"{left:,} of {len(chosen):,} pages have no known text, or are too large or too deep: not learnt from"
            )
        ctx.note("summary", f"{len(examples):,} pages, {nodes:,} nodes, loss {losses[0]:.3f} -> {losses[-1]:.3f}")
        return {"pages": len(examples), "left_out": left, "nodes": nodes, "kept_share": round(kept / nodes, 4),
                "loss": round(losses[-1], 4)}  # fmt: skip


def example(page: str, gold: str, sizes: Sizes, weight: float = 1.0) -> Example:
    """A page's nodes with their labels and weights, the weights times `weight`. Cost: linear in the page."""
    p, nodes = nodes_of(page.encode("utf-8", "replace"), sizes.buckets)
    y, words = labelled([bytes(p.text[b[0] : b[1]]).decode("utf-8", "replace") for b in p.block[: p.num]], gold)
    return Example(nodes, y, weights(y, words, gold) * weight)
