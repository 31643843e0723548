"""The measuring tokenizer, fitted on the pool and never on an arm, and its token ids as a column.

Byte-level BPE: every text has tokens and no byte is lost, so bits per byte compare across tokenizers. The id
`vocab - 1` is the end of a document; it is not part of the tokenizer, so no text can spell it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Columns, Context, Fit, Map, Resources, Schema, port
from winnow.core.rng import uniform

FILE = "tokenizer.json"
MIN_VOCAB, MAX_VOCAB = 257, 65536


@dataclass(frozen=True, kw_only=True)
class Tokenizer(Fit):
    """A byte-level BPE vocabulary fitted on a keyed sample of the documents.

    Source: Sennrich et al. 2016 (byte-pair encoding), over bytes as in GPT-2; fitted by `tokenizers`
    """

    name: ClassVar[str] = "tokenizer"
    role: ClassVar[str] = "trainer"
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    vocab: int = 4096  # ids, the end of a document included
    sample_bytes: int = 8_000_000
    sample_seed: int = 0

    def validate(self) -> None:
        """Nothing, where the sizes can work.

        Raises:
            ConfigError: the vocabulary does not hold all bytes and an end, or does not fit 16 bits.
        """
        check_vocab(self.vocab)
        if self.sample_bytes < 1:
            raise ConfigError(f"sample_bytes is {self.sample_bytes}, and must be above 0", where="sample_bytes")

    def needs(self) -> tuple[str, ...]:
        """Identity and text."""
        return ("doc_id", "text")

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The documents with the smallest draws, as many as reach `sample_bytes`: columns doc_id, text.

        A document among the first of the corpus is among the first of its part, so parts do not matter.
        """
        return self._smallest(rows.select("doc_id", "text").drop_nulls("text"))

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write tokenizer.json.

        Raises:
            DataError: there is no text to learn from.
        """
        from tokenizers import Tokenizer as HfTokenizer
        from tokenizers import decoders, models, pre_tokenizers, trainers

        chosen = self._smallest(sample).sort("doc_id")
        texts = chosen["text"].to_list()
        if not any(texts):
            raise DataError("there is no text to fit a tokenizer on", hint="check the `where` of the stage")
        bpe: Any = HfTokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab - 1, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
        )
        bpe.train_from_iterator(texts, trainer=trainer)
        bpe.save(str(ctx.work / FILE), pretty=False)
        num_bytes = int(chosen["text"].str.len_bytes().sum())
        return {
            "vocab": self.vocab,
            "learned": bpe.get_vocab_size(),
            "documents": len(texts),
            "bytes": num_bytes,
        }

    def _smallest(self, rows: pl.DataFrame) -> pl.DataFrame:
        draws = uniform(rows["doc_id"], seed=self.sample_seed, salt="tokenizer")
        ordered = rows.with_columns(_draw=draws).sort("_draw", "doc_id")
        before = ordered["text"].str.len_bytes().cast(pl.Int64).cum_sum().shift(1, fill_value=0)
        return ordered.filter(before < self.sample_bytes).drop("_draw")


@dataclass(frozen=True, kw_only=True)
class Tokens(Map):
    """Token ids of every document, u16 list without an end mark, and their number.

    Source: own; ids of the fitted byte-level BPE
    """

    name: ClassVar[str] = "tokens"
    role: ClassVar[str] = "trainer"
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)

    tokenizer: str = port("ref", default="")

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """Null where the text is null."""
        return {"tokens": pa.large_list(pa.uint16()), "token_ids_count": pa.int32()}

    def open(self, ctx: Context) -> Columns:
        """Batch of texts -> tokens."""
        encode = Encoder(ctx.ref("tokenizer").files()[FILE])

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            text = batch["text"]
            ids, offsets = encode(text.fill_null(""))
            lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(ids), mask=_nulls(text))
            counts = pl.Series("token_ids_count", np.diff(offsets).astype(np.int32))
            tokens = pl.Series("tokens", lists, dtype=pl.List(pl.UInt16))
            return pl.DataFrame({"tokens": tokens, "token_ids_count": counts}).with_columns(
                pl.when(text.is_not_null()).then(pl.col("token_ids_count")).alias("token_ids_count")
            )

        return columns


class Encoder:
    """Texts -> (ids u16[total], offsets i64[texts + 1]) by a fitted tokenizer file."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as HfTokenizer

        self._tokenizer: Any = HfTokenizer.from_file(str(path))

    def __call__(self, texts: pl.Series) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
        """The ids of all texts, one after the other, and where each begins."""
        encoded = self._tokenizer.encode_batch_fast(texts.to_list(), add_special_tokens=False)
        lists = [one.ids for one in encoded]
        offsets = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in lists], out=offsets[1:])
        flat = np.fromiter(itertools.chain.from_iterable(lists), dtype=np.uint16, count=int(offsets[-1]))
        return flat, offsets


def check_vocab(vocab: int) -> None:
    """Nothing, where `vocab` holds all bytes and an end mark and fits 16 bits.

    Raises:
        ConfigError: it does not.
    """
    if not MIN_VOCAB <= vocab <= MAX_VOCAB:
        raise ConfigError(f"vocab is {vocab}, not in [{MIN_VOCAB}, {MAX_VOCAB}]", where="vocab")


def _nulls(text: pl.Series) -> pa.Array | None:
    return pa.array(text.is_null().to_numpy()) if text.null_count() else None
