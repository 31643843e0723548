"""The measuring tokenizer, fitted on the pool and never on an arm.

Byte-level BPE: every text has tokens and no byte is lost, so bits per byte compare across tokenizers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.rng import uniform
from winnow.core.operators import Context, Fit, Resources
from winnow.trainers.data.encoder import FILE, check_vocab


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
        """Check the fields.

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


def _without_long_runs(texts: pl.Series) -> pl.Series:
    """The texts with a space after every 256 characters that have none.

    The fit's time grows with the square of a word's length: minutes for one base64 blob of a megabyte.
    """
    return texts.str.replace_all(r"(\S{256})", "${1} ")
