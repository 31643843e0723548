"""Samples of one trained model, as a file of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Exactness, Job, Kind, Resources, port
from winnow.core.operators.contract import Meaning
from winnow.core.terminal import percent
from winnow.trainers.data.encoder import FILE, Encoder
from winnow.trainers.evaluate.evaluate_gpt import controls_of, opened, untrained
from winnow.trainers.evaluate.sampling import Draws, drawn
from winnow.trainers.model.device import Device, Precision, resolve_device

SAMPLES = "samples.parquet"
MOST_EMPTY = 0.1  # share of samples without text above which that is remarked


@dataclass(frozen=True, kw_only=True)
class Drawn(Draws):
    """What is drawn; `sample_text` and `drawn_text` share these fields."""

    samples: int = 256
    control: str = ""  # label that the samples are asked to be of; "": none
    prompts: tuple[str, ...] = ()  # texts to go on from, in turn; (): from the start of a document
    draw_seed: int = 0
    precision: Precision = "auto"
    device: Device = field(default="auto", metadata={"identity": False})


@dataclass(frozen=True, kw_only=True)
class DrawnText(Drawn, Job):
    """Samples of a model: samples.parquet with number, prompt, text (the prompt not included), tokens, ended.

    Ids that no text has (controls, and ids that the tokenizer does not use) are never drawn.

    Source: own
    """

    name: ClassVar[str] = "drawn_text"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    exactness: ClassVar[Exactness] = Exactness(1.0)  # one other token, and all behind it are others
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)
    publishes: ClassVar[str] = "samples"
    meaning: ClassVar[Mapping[str, Meaning]] = {"control": "labels", "prompts": "free"}

    model: str = port("ref", default="")
    tokenizer: str = port("ref", default="")

    def validate(self) -> None:
        """Raise ConfigError for a number out of its range."""
        self.check()
        if self.samples < 1:
            raise ConfigError(f"samples is {self.samples}, and must be at least 1", where="samples")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: samples, their tokens, which share of them ended, is empty, is distinct.

        Raises:
            ConfigError: the model knows no such control. DataError: it was not trained.
        """
        source = ctx.ref("model")
        missing = untrained({"model": source})
        if missing:
            raise DataError(f"the model was not trained: {missing['model']}", where="model")
        (model,), shape = opened({"model": source}, device=resolve_device(self.device))
        encode = Encoder(ctx.ref("tokenizer").files()[FILE])
        ahead = [shape.vocab - 1, *self.control_ids(controls_of(source.result()))]
        banned = np.arange(encode.vocab, shape.vocab - 1)
        prompts = self.prompts or ("",)
        texts: list[Any] = [None] * self.samples
        ids, offsets = encode(pl.Series(prompts, dtype=pl.String))
        for which in range(min(len(prompts), self.samples)):
            numbers = np.arange(which, self.samples, len(prompts))
            prompt = [*ahead, *ids[offsets[which] : offsets[which + 1]].tolist()]
            found = drawn(
                model, prompt, numbers, how=self, seed=self.draw_seed, banned=banned, precision=self.precision
            )
            for number, one in zip(numbers.tolist(), found, strict=True):
                texts[number] = one
        return self._saved(ctx, texts, encode, prompts)

    def control_ids(self, known: Mapping[str, int]) -> list[int]:
        """The id that the samples begin with, or none. Raises ConfigError where no control has that label."""
        if not self.control:
            return []
        if self.control not in known:
            hint = (
                f"its controls are {', '.join(known)}" if known else "it was trained without the policy `conditional`"
            )
            raise ConfigError(f"the model knows no control {self.control!r}", where="control", hint=hint)
        return [known[self.control]]

    def _saved(self, ctx: Context, ids: list[Any], encode: Encoder, prompts: tuple[str, ...]) -> dict[str, Any]:
        texts = pl.Series("text", encode.decode(ids), dtype=pl.String)
        counts = np.array([len(one) for one in ids])
        table = pl.DataFrame({
            "number": np.arange(len(ids)), "prompt": [prompts[n % len(prompts)] for n in range(len(ids))],
            "text": texts, "tokens": counts, "ended": counts < self.max_tokens,
        })  # fmt: skip
        table.write_parquet(ctx.work / SAMPLES)
        empty = int((texts.str.strip_chars() == "").sum()) / len(ids)
        if empty > MOST_EMPTY:
            ctx.remark(f"{percent(empty, 0)} of {len(ids):,} samples have no text: the model ends at once; "
                       "give `prompts`, or train it longer")  # fmt: skip
        ended = float((counts < self.max_tokens).mean())
        ctx.note(
            "summary", f"{len(ids):,} samples of {counts.mean():.0f} tokens, {percent(ended, 0)} ended by themselves"
        )
        return {"samples": len(ids), "tokens": int(counts.sum()), "ended": ended, "empty": empty,
                "distinct": texts.n_unique() / len(texts)}  # fmt: skip
