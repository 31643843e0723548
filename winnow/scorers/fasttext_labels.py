"""Any fastText classifier file: probabilities of named labels, or the likeliest label of each text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.words.fasttext_predict import Predictor
from winnow.scorers import fasttext_fit

MARK = "__label__"
_FLOOR = 1e-5  # fastText reports p + 1e-5, so that its logarithm stays finite


@dataclass(frozen=True, kw_only=True)
class Lines:
    """How a text becomes the line that fastText reads."""

    words: Literal["plain", "spaced"] = "plain"  # fastText: how a text becomes a line


Probabilities = Callable[[pl.Series], npt.NDArray[np.float64]]


def one_file(files: Sequence[Any]) -> Path:
    """The one file of a port. Raises: ConfigError where there is not exactly one."""
    if len(files) != 1:
        raise ConfigError(f"model_file matches {len(files)} files", where="model_file", hint="name exactly one")
    return Path(files[0])


def probabilities(model: Predictor, labels: Sequence[str]) -> Probabilities:
    """Lines -> probability of each of `labels`, f64[lines, labels] in [0, 1].

    Raises: ConfigError where the model lacks one of them.
    """
    wanted = [label if label.startswith(MARK) else f"{MARK}{label}" for label in labels]
    known = {label: at for at, label in enumerate(model.labels)}
    for label, full in zip(labels, wanted, strict=True):
        if full not in known:
            raise ConfigError(
                f"the model has no label {label!r}",
                where="label",
                hint="it has " + ", ".join(name.removeprefix(MARK) for name in model.labels[:20]),
            )
    places = [known[full] for full in wanted]

    def answer(lines: pl.Series) -> npt.NDArray[np.float64]:
        return np.clip(model.every(lines)[:, places].astype(np.float64) - _FLOOR, 0.0, 1.0)

    return answer


def likeliest(model: Predictor, lines: pl.Series) -> tuple[pl.Series, pl.Series]:
    """(label without its mark, probability) of each line; null where the model says nothing."""
    numbers, shares = model.likeliest(lines)
    names = pl.Series([name.removeprefix(MARK) for name in model.labels], dtype=pl.String)
    said = pl.Series(numbers >= 0)
    labels = names.gather(np.maximum(numbers, 0)) if len(numbers) else names.clear()
    scores = pl.Series(np.clip(shares.astype(np.float64) - _FLOOR, 0.0, 1.0))
    none = pl.Series([None], dtype=pl.String), pl.Series([None], dtype=pl.Float64)
    return labels.zip_with(said, none[0]), scores.zip_with(said, none[1])


def line_of(words: str) -> pl.Expr:
    """One line per text: `spaced` sets punctuation apart as our own fits do, `plain` is the text."""
    return pl.col("text") if words == "plain" else fasttext_fit.tokenised(pl.col("text"))


def lines_of(text: pl.Series, line: pl.Expr) -> pl.Series:
    """The lines of the texts that are not null."""
    known = text.filter(text.is_not_null())
    return pl.DataFrame({"text": known}).select(line).to_series()


def placed(text: pl.Series, answers: pl.DataFrame) -> pl.DataFrame:
    """Answers for the texts that are not null, put back among all rows; null elsewhere."""
    known = text.is_not_null()
    if known.all():
        return answers
    row = pl.DataFrame({"known": known}).select(pl.when("known").then(pl.col("known").cum_sum() - 1))
    return answers.select(pl.all().gather(row.to_series()))


def scores_of(text: pl.Series, line: pl.Expr, probability: Probabilities) -> pl.DataFrame:
    """Column `score`: the probability of the one label, null where the text is."""
    score = pl.DataFrame({"score": probability(lines_of(text, line))[:, 0]})
    return placed(text, score)
