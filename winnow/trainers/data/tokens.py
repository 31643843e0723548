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
from winnow.core.numerics.rng import uniform
from winnow.core.operators import Columns, Context, Fit, Map, Resources, Schema, port
from winnow.core.words.text import utf8_buffers

FILE = "tokenizer.json"
MIN_VOCAB, MAX_VOCAB = 257, 1 << 24
NARROW_VOCAB = 1 << 16  # ids of a larger vocabulary need 32 bits
BYTES_VOCAB = 257  # every byte is its own id, and 256 is the end mark

Ids = npt.NDArray[Any]  # u16, or u32 where the vocabulary is larger than NARROW_VOCAB


@dataclass(frozen=True, kw_only=True)
class Tokenizer(Fit):
    """A byte-level BPE vocabulary fitted on a keyed sample of the documents.

    Source: Sennrich et al. 2016 (byte-pair encoding), over bytes as in GPT-2; fitted by `tokenizers`
    """

    name: ClassVar[str] = "tokenizer"
    version: ClassVar[int] = 2  # 2: long runs are cut for the fit
    role: ClassVar[str] = "trainer"
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    vocab: int = 4096  # ids, the end of a document included
    sample_bytes: int = 8_000_000
    sample_seed: int = 0

    def validate(self) -> None:
        """Nothing, where the sizes can work.

        Raises:
            ConfigError: the vocabulary does not hold all bytes and an end, or is absurdly large.
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
        if not chosen["text"].str.len_bytes().sum():
            raise DataError("there is no text to fit a tokenizer on", hint="check the `where` of the stage")
        bpe: Any = HfTokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab - 1, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
        )
        bpe.train_from_iterator(_without_long_runs(chosen["text"]).to_list(), trainer=trainer)
        bpe.save(str(ctx.work / FILE), pretty=False)
        num_bytes = int(chosen["text"].str.len_bytes().sum())
        return {
            "vocab": self.vocab,
            "learned": bpe.get_vocab_size(),
            "documents": len(chosen),
            "bytes": num_bytes,
        }

    def _smallest(self, rows: pl.DataFrame) -> pl.DataFrame:
        draws = uniform(rows["doc_id"], seed=self.sample_seed, salt="tokenizer")
        ordered = rows.with_columns(_draw=draws).sort("_draw", "doc_id")
        before = ordered["text"].str.len_bytes().cast(pl.Int64).cum_sum().shift(1, fill_value=0)
        return ordered.filter(before < self.sample_bytes).drop("_draw")


@dataclass(frozen=True, kw_only=True)
class Tokens(Map):
    """Token ids of every document, u16 (`wide`: u32) list without an end mark, and their number.

    Source: own; ids of the fitted byte-level BPE
    """

    name: ClassVar[str] = "tokens"
    role: ClassVar[str] = "trainer"
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)

    tokenizer: str = port("ref", default="")
    wide: bool = False  # a vocabulary of more than 65536 ids needs it

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """Null where the text is null."""
        return {"tokens": pa.large_list(pa.uint32() if self.wide else pa.uint16()), "token_ids_count": pa.int32()}

    def open(self, ctx: Context) -> Columns:
        """Batch of texts -> tokens.

        Raises:
            ConfigError: an id of the tokenizer does not fit 16 bits and `wide` is not set.
        """
        encode = Encoder(ctx.ref("tokenizer").files()[FILE])
        if encode.dtype == np.uint32 and not self.wide:
            raise ConfigError("the vocabulary needs ids of 32 bits", where="wide", hint="set `wide: true`")
        kind = pl.UInt32 if self.wide else pl.UInt16

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            text = batch["text"]
            ids, offsets = encode(text.fill_null(""))
            values = pa.array(ids.astype(np.uint32 if self.wide else np.uint16, copy=False))
            lists = pa.LargeListArray.from_arrays(pa.array(offsets), values, mask=_nulls(text))
            counts = pl.Series("token_ids_count", np.diff(offsets).astype(np.int32))
            tokens = pl.Series("tokens", lists, dtype=pl.List(kind))
            return pl.DataFrame({"tokens": tokens, "token_ids_count": counts}).with_columns(
                pl.when(text.is_not_null()).then(pl.col("token_ids_count")).alias("token_ids_count")
            )

        return columns


class Encoder:
    """Texts -> (ids u16 or u32 [total], offsets i64[texts + 1]) by a fitted tokenizer file or its JSON text."""

    def __init__(self, source: Path | str) -> None:
        from tokenizers import Tokenizer as HfTokenizer

        known: Any = HfTokenizer
        self._tokenizer = known.from_file(str(source)) if isinstance(source, Path) else known.from_str(source)
        self._tokenizer.encode_special_tokens = True  # text that looks like a special token stays text
        self.vocab: int = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self.dtype = id_type(self.vocab)

    def __call__(self, texts: pl.Series) -> tuple[Ids, npt.NDArray[np.int64]]:
        """The ids of all texts, one after the other, and where each begins."""
        encoded = self._tokenizer.encode_batch_fast(texts.to_list(), add_special_tokens=False)
        lists = [one.ids for one in encoded]
        offsets = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in lists], out=offsets[1:])
        flat = np.fromiter(itertools.chain.from_iterable(lists), dtype=self.dtype, count=int(offsets[-1]))
        return flat, offsets

    def id_of(self, token: str) -> int | None:
        """The id of a token by its text; None where the vocabulary has none."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found


class ByteEncoder:
    """Texts -> (UTF-8 bytes as u16 ids, offsets i64[texts + 1]); needs no fitting and no library."""

    vocab = BYTES_VOCAB - 1
    dtype = np.uint16

    def __call__(self, texts: pl.Series) -> tuple[Ids, npt.NDArray[np.int64]]:
        """The bytes of all texts, one after the other, and where each begins."""
        offsets, data = utf8_buffers(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))
        return data[offsets[0] : offsets[-1]].astype(np.uint16), (offsets - offsets[0]).astype(np.int64)


def _without_long_runs(texts: pl.Series) -> pl.Series:
    """The texts with a space after every 256 characters that have none.

    The fit's time grows with the square of a word's length: minutes for one base64 blob of a megabyte.
    """
    return texts.str.replace_all(r"(\S{256})", "${1} ")


def id_type(vocab: int) -> Any:
    """The numpy type of ids below `vocab`: u16 up to 65536 of them, else u32."""
    return np.uint16 if vocab <= NARROW_VOCAB else np.uint32


def check_vocab(vocab: int) -> None:
    """Nothing, where `vocab` holds all bytes and an end mark.

    Raises:
        ConfigError: it does not.
    """
    if not MIN_VOCAB <= vocab <= MAX_VOCAB:
        raise ConfigError(f"vocab is {vocab}, not in [{MIN_VOCAB}, {MAX_VOCAB}]", where="vocab")


def _nulls(text: pl.Series) -> pa.Array | None:
    return pa.array(text.is_null().to_numpy()) if text.null_count() else None
