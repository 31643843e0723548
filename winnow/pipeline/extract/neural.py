"""`neural`: main text by a small network over a page's text nodes, fitted on pages whose main text is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, port
from winnow.pipeline.extract.extraction import Extract, Extraction


@dataclass(frozen=True, kw_only=True)
class Neural(Extraction):
    """Main text of web pages by a network that decides on every text node: `text`, empty where none was found, `title`.

    `model` is a stage `neural_fit` or the `model.safetensors` that one wrote: none comes with winnow. Each node's tags,
    class names and neighbours and its hashed words become a vector, self-attention sees all nodes of the page (of a
    longer one windows of 512 that overlap), and a node above `least` is kept. Blocks stand on lines of their own, as
    with `main_text`. A page is read by itself, on one thread: its text does not hang on other pages. On another kind of
    CPU a node within rounding of `least` may fall the other way.

    Raises: DataError where the file is no such model.
    Cost: one pass over the bytes, and a network over the nodes: 0.4 of the speed of `main_text`.
    Source: Xu et al. 2024 (NeuScraper): a decision per node of the page in document order. There XLM-RoBERTa
    encodes the nodes of ClueWeb22's rendered pages, whose annotations are the labels; here they are features of the
    markup and hashed words, with labels by alignment with known texts
    """

    name: ClassVar[str] = "neural"
    uses: ClassVar[tuple[str, ...]] = ("torch", "safetensors")
    becomes: ClassVar[Mapping[str, str]] = {"model": "neural_file"}

    model: str = port("ref")  # a stage `neural_fit`, or the file that one wrote
    least: float = 0.0  # the log-odds from which a node is main text

    def validate(self) -> None:
        """Raises: ConfigError where `least` is out of range, besides what all extractors refuse."""
        super().validate()
        if not -10 <= self.least <= 10:
            raise ConfigError(f"least is {self.least:g}", where="least", hint="log-odds from -10 to 10: 0")

    def extractor_of(self, ctx: Context) -> Extract:
        """Page -> text, by the network of the model's file, which is loaded once."""
        from winnow.pipeline.extract.neural_model import MODEL, SCALE, loaded, scores
        from winnow.pipeline.extract.neural_network import one_thread
        from winnow.pipeline.extract.neural_nodes import nodes_of
        from winnow.pipeline.extract.page_features_kernels import joined

        network = loaded(ctx.ref("model").files()[MODEL])
        buckets, least = network.vectors.num_embeddings, round(self.least * SCALE)

        def extract(page: str) -> str:
            with one_thread():
                p, nodes = nodes_of(page.encode("utf-8", "replace"), buckets)
                score = scores(network, nodes)
            return bytes(joined(p.text, p.block, p.num, score, least)).decode("utf-8", "replace")

        return extract
